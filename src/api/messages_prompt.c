#include "api/messages_prompt.h"

#include "api/prompt_marks.h"
#include "base/clock.h"
#include "base/log.h"

#include <string.h>

void prompt_fini(prompt *p) {
  pn_ids_fini(&p->ids);
  pn_ids_fini(&p->marks);
  *p = (prompt){0};
}

static bool variable_is_ours(pn_str name) {
  static const char *const ours[] = {"messages",  "tools",     "documents", "add_generation_prompt",
                                     "bos_token", "eos_token", "unk_token", "pad_token"};
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
    if (pn_str_is(name, ours[i])) return true;
  return memchr(name.p, '\0', name.n) != NULL;
}

static pn_json *message_of(const turn *t) {
  static const char *const names[] = {"system", "user", "assistant", "tool"};
  pn_json *m = pn_json_new_object();
  bool ok = pn_json_set(m, "role", pn_json_new_str(pn_str_of(names[t->role])));
  ok = pn_json_set(m, "content", pn_json_new_str(pn_buf_view(&t->text))) && ok;
  if (t->thoughts.n)
    ok = pn_json_set(m, "reasoning_content", pn_json_new_str(pn_buf_view(&t->thoughts))) && ok;
  if (t->calls) ok = pn_json_set(m, "tool_calls", pn_json_share(t->calls)) && ok;
  if (t->role == TURN_TOOL) {
    ok = pn_json_set(m, "tool_call_id", pn_json_new_str(pn_str_of(t->call_id))) && ok;
    ok = pn_json_set(m, "name", pn_json_new_str(t->tool)) && ok;
  }
  if (ok) return m;
  pn_json_free(m);
  return NULL;
}

// What templates of models that think look at, under the names that they have for it.
static bool set_thinking(const pn_api *a, const messages_request *q, pn_json *vars) {
  pn_str effort = q->effort.n ? speech_effort(&a->speech, q->effort) : (pn_str){0};
  bool ok = pn_json_set(vars, "enable_thinking", pn_json_new_bool(q->thinks));
  if (effort.n) ok = pn_json_set(vars, "reasoning_effort", pn_json_new_str(effort)) && ok;
  if (effort.n) ok = pn_json_set(vars, "reasoning_strength", pn_json_new_str(effort)) && ok;
  if (q->keeps_thoughts < 0) return ok;
  ok = pn_json_set(vars, "preserve_thinking", pn_json_new_bool(q->keeps_thoughts)) && ok;
  return pn_json_set(vars, "clear_thinking", pn_json_new_bool(!q->keeps_thoughts)) && ok;
}

// Those of the request itself; the conversation is not theirs.
static bool set_more(const pn_json *more, pn_json *vars) {
  bool ok = true;
  for (const pn_json_member *it = pn_json_first(more); it; it = pn_json_next(more, it)) {
    const char *name = pn_json_key(it).p;
    if (!variable_is_ours(pn_json_key(it)))
      ok = pn_json_set(vars, name, pn_json_share(pn_json_value(it))) && ok;
  }
  return ok;
}

static pn_json *variables(const pn_api *a, const messages_request *q, const turn_style *style,
                          const turn_list *turns, bool go_on) {
  pn_json *vars = pn_json_new_object(), *messages = pn_json_new_array();
  bool ok = vars && messages;
  for (size_t i = 0; ok && i < turns->n; i++) ok = pn_json_push(messages, message_of(&turns->p[i]));
  ok = pn_json_set(vars, "messages", messages) && ok;
  if (!style->tools_as_text && pn_json_len(q->tools.shown))
    ok = pn_json_set(vars, "tools", pn_json_share(q->tools.shown)) && ok;
  ok = pn_json_set(vars, "add_generation_prompt", pn_json_new_bool(!go_on)) && ok;
  ok = set_thinking(a, q, vars) && set_more(q->more_variables, vars) && ok;
  if (ok) return vars;
  pn_json_free(vars);
  return NULL;
}

// A prompt on its way: the text, and which of it is the user's.
typedef struct rendering {
  pn_buf text;
  pn_text_spans user;
  bool has_system, has_tools;
  bool goes_on; // within the assistant's last turn
  turn_style style;
  size_t n_uses;
} rendering;

static void rendering_fini(rendering *r) {
  pn_buf_fini(&r->text);
  pn_text_spans_fini(&r->user);
}

static bool render(const pn_api *a, const messages_request *q, const turn_style *style,
                   const turn_list *turns, bool go_on, rendering *r, pn_error *e) {
  pn_template_consts consts = a->o.template_consts;
  if (consts.now_ms == 0) consts.now_ms = (int64_t)pn_wall_ms();
  pn_json *vars = variables(a, q, style, turns, go_on);
  if (!vars) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the template's variables");
  bool ok =
      pn_template_render(a->o.chat_template, vars, &consts, &(pn_template_limits){0}, &r->text, &r->user, e);
  pn_json_free(vars);
  // With a request's own variables, of any type, whatever goes wrong is the request's.
  if (!ok && q->more_variables && e && e->code != PN_ERR_NOMEM) e->code = PN_ERR_USAGE;
  if (!ok) return pn_fail_in(e, "messages");
  return r->text.oom ? pn_fail(e, PN_ERR_NOMEM, "out of memory for the prompt") : true;
}

static pn_str trim_left(pn_str s) {
  while (s.n && (*s.p == ' ' || (*s.p >= '\t' && *s.p <= '\r'))) s = (pn_str){s.p + 1, s.n - 1};
  return s;
}

// Drop what the template writes after the last turn's text (its end-of-turn mark), so that the model goes on
// with it. The text is the end of the last range of user text, unless the template changed it or wrote
// something behind it.
static bool cut_after_last(const turn_list *turns, rendering *r, pn_error *e) {
  pn_str last = trim_left(pn_buf_view(&turns->p[turns->n - 1].text));
  size_t end = r->user.n ? r->user.p[r->user.n - 1].end : 0;
  if (end > r->text.n || !pn_str_ends((pn_str){r->text.p, end}, last))
    return pn_fail(e, PN_ERR_UNSUPPORTED,
                   "messages: this model's chat template cannot continue a final assistant message; the "
                   "conversation must end with a user message");
  r->text.n = end;
  return true;
}

// Whether the conversation ends within an assistant turn. An empty one is only an invitation to answer.
static bool goes_on(turn_list *turns) {
  turn *last = turns->n ? &turns->p[turns->n - 1] : NULL;
  if (!last || last->role != TURN_ASSISTANT || last->calls) return false;
  if (last->text.n) return true;
  pn_buf_fini(&last->text);
  turns->n--;
  return false;
}

static bool render_whole(const pn_api *a, const messages_request *q, const turn_style *style,
                         turn_list *turns, rendering *r, pn_error *e) {
  bool go_on = r->goes_on = goes_on(turns);
  if (go_on) {
    pn_str last = pn_buf_view(&turns->p[turns->n - 1].text);
    if (trim_left((pn_str){last.p + last.n - 1, 1}).n == 0)
      return pn_fail(e, PN_ERR_USAGE,
                     "messages: final assistant content cannot end with trailing whitespace");
  }
  if (turns->n == 0) return pn_fail(e, PN_ERR_USAGE, "messages: at least one message must have content");
  return render(a, q, style, turns, go_on, r, e) && (!go_on || cut_after_last(turns, r, e));
}

static bool try_style(const pn_api *a, const messages_request *q, const turn_part *part,
                      const turn_style *style, rendering *r, pn_error *e) {
  turn_list turns = {0};
  pn_buf_clear(&r->text);
  r->user.n = 0;
  bool ok = messages_turns(q, part, style, &turns, e);
  r->has_system = turns.has_system;
  r->has_tools = turns.has_tools;
  r->n_uses = turns.n_uses;
  if (ok) ok = part ? render(a, q, style, &turns, true, r, e) : render_whole(a, q, style, &turns, r, e);
  turn_list_fini(&turns);
  return ok;
}

// System messages that the template leaves out or refuses (anywhere but first, or at all) go to the user's
// turn at the same place, so that what came before them is rendered as ever: from the start where that was
// seen when the model was loaded, else upon its error. Templates that refuse how tools are used (several
// calls at once) get them as text.
static bool render_request(const pn_api *a, const messages_request *q, const turn_part *part, rendering *r,
                           pn_error *e) {
  pn_error first = {0};
  for (int as_text = a->speech.knows_tools ? 0 : 1; as_text < 2; as_text++) {
    for (turn_fold fold = a->speech.fold; fold < TURN_N_FOLDS; fold++) {
      pn_error now = {0};
      r->style = (turn_style){.fold = fold, .tools_as_text = as_text, .dialect = a->speech.text.dialect};
      if (try_style(a, q, part, &r->style, r, &now)) return true;
      if (first.code == PN_OK) first = now;
      if (now.code != PN_ERR_USAGE || !r->has_system) break;
    }
    if (!r->has_tools) break;
  }
  if (e) *e = first;
  return false;
}

static bool encode(const pn_api *a, const rendering *r, pn_ids *ids, kept_mark *end, pn_error *e) {
  return kept_encode(a->kept, a->o.tokenizer, pn_buf_view(&r->text), &r->user, ids, end, e) &&
         (!ids->oom || pn_fail(e, PN_ERR_NOMEM, "out of memory for the prompt's tokens"));
}

// Whether the text ends with a mark, white space behind it aside.
static bool ends_with(const rendering *r, const char *mark) {
  pn_str s = pn_buf_view(&r->text);
  while (s.n && trim_left((pn_str){s.p + s.n - 1, 1}).n == 0) s.n--;
  return pn_str_ends(s, pn_str_of(mark));
}

// How the answer begins. Who must not think, and would, finds an empty thought in front of the answer.
static bool begin_answer(const pn_api *a, const messages_request *q, rendering *r, prompt *p, pn_error *e) {
  p->tongue = r->style.tools_as_text ? &a->speech.text : &a->speech.native;
  p->fold = r->style.fold;
  p->thinks = PN_THINKS_NOT;
  const pn_thinking_marks *m = p->tongue->thinking;
  if (!m || r->goes_on || ends_with(r, m->close)) return true;
  bool begun = ends_with(r, m->open);
  if (q->thinks) {
    p->thinks = begun ? PN_THINKS_ALREADY : q->must_think ? PN_THINKS_FIRST : PN_THINKS_MAYBE;
  } else if (begun) {
    pn_buf_printf(&r->text, "\n%s\n\n", m->close);
  } else if (!a->speech.switches_thinking) {
    pn_buf_printf(&r->text, "%s\n\n%s\n\n", m->open, m->close);
  }
  return !r->text.oom || pn_fail(e, PN_ERR_NOMEM, "out of memory for the prompt");
}

static int64_t value_of(const pn_json *edit, const char *name, int64_t otherwise) {
  const pn_json *v = pn_json_get(pn_json_get(edit, name), "value");
  return v ? pn_json_int(v) : otherwise;
}

// How many calls clear_tool_uses wants without their results, of a prompt with so many calls and tokens.
static size_t n_to_clear(const pn_json *edit, size_t n_uses, size_t n_tokens) {
  pn_str by = pn_json_str(pn_json_get(pn_json_get(edit, "trigger"), "type"));
  size_t measured = pn_str_is(by, "tool_uses") ? n_uses : n_tokens;
  int64_t keep = value_of(edit, "keep", 3);
  if ((int64_t)measured <= value_of(edit, "trigger", 100000) || (int64_t)n_uses <= keep) return 0;
  return n_uses - (size_t)keep;
}

// The prompt once more without old results, unless that saves too little.
static bool clear_results(const pn_api *a, messages_request *q, rendering *r, prompt *p, pn_error *e) {
  q->n_cleared = n_to_clear(q->clear, r->n_uses, p->ids.n);
  if (q->n_cleared == 0) return true;
  prompt shorter = {.n_original = p->ids.n};
  if (!render_request(a, q, NULL, r, e) || !begin_answer(a, q, r, &shorter, e) ||
      !encode(a, r, &shorter.ids, &shorter.end, e)) {
    prompt_fini(&shorter);
    return false;
  }
  int64_t saved = (int64_t)p->ids.n - (int64_t)shorter.ids.n;
  if (saved > 0 && saved >= value_of(q->clear, "clear_at_least", 0)) {
    prompt_fini(p);
    *p = shorter;
    return true;
  }
  q->n_cleared = 0;
  prompt_fini(&shorter);
  return true;
}

bool messages_prompt(const pn_api *a, const char *request_id, messages_request *q, prompt *out, pn_error *e) {
  if (!a->o.chat_template) return pn_fail(e, PN_ERR_UNSUPPORTED, "messages: this model has no chat template");
  rendering r = {0};
  q->api = a;
  bool ok = render_request(a, q, NULL, &r, e) && begin_answer(a, q, &r, out, e) &&
            encode(a, &r, &out->ids, &out->end, e);
  out->n_original = out->ids.n;
  if (ok && q->clear) ok = clear_results(a, q, &r, out, e);
  if (ok) {
    prompt_marks(a->o.tokenizer, &out->ids, &out->marks);
    ok = !out->marks.oom || pn_fail(e, PN_ERR_NOMEM, "out of memory for the prompt");
  }
  if (ok && pn_log_on(PN_LOG_TRACE))
    pn_log(PN_LOG_TRACE, request_id, "prompt",
           PN_FIELDS(PN_I("tokens", out->ids.n), PN_S("text", pn_buf_cstr(&r.text))));
  rendering_fini(&r);
  return ok;
}

bool messages_prompt_part(const pn_api *a, const messages_request *q, const turn_part *part, pn_ids *out,
                          pn_error *e) {
  if (!a->o.chat_template) return pn_fail(e, PN_ERR_UNSUPPORTED, "messages: this model has no chat template");
  rendering r = {0};
  kept_mark end;
  bool ok = render_request(a, q, part, &r, e) && encode(a, &r, out, &end, e);
  rendering_fini(&r);
  return ok;
}

// Where the assistant's turn ends: at the first end-of-turn token behind everything that was said.
static size_t end_of_turn(const pn_api *a, const rendering *r, size_t from) {
  size_t n, first = SIZE_MAX, said = r->user.n ? r->user.p[r->user.n - 1].end : 0;
  const int32_t *ends = pn_tokenizer_end_ids(a->o.tokenizer, &n);
  for (size_t i = 0; i < n; i++) {
    size_t at = pn_str_find(pn_buf_view(&r->text), pn_tokenizer_spelling(a->o.tokenizer, ends[i]),
                            said > from ? said : from);
    if (at < first) first = at;
  }
  return first;
}

static pn_json *echo_body(const pn_json *content) {
  pn_json *body = pn_json_new_object(), *messages = pn_json_new_array(), *user = pn_json_new_object(),
          *assistant = pn_json_new_object();
  bool ok = pn_json_set(user, "role", pn_json_new_str(PN_STR("user")));
  ok = pn_json_set(user, "content", pn_json_new_str(PN_STR("q"))) && ok;
  ok = pn_json_set(assistant, "role", pn_json_new_str(PN_STR("assistant"))) && ok;
  ok = pn_json_set(assistant, "content", pn_json_share(content)) && ok;
  ok = pn_json_push(messages, user) && ok;
  ok = pn_json_push(messages, assistant) && ok;
  ok = pn_json_set(body, "messages", messages) && ok;
  if (ok) return body;
  pn_json_free(body);
  return NULL;
}

// The same question with and without the answer: what is more is the answer.
bool messages_echo(const pn_api *a, const prompt *p, const pn_json *content, pn_buf *out) {
  messages_request q = {.json = echo_body(content), .api = a, .keeps_thoughts = -1};
  rendering without = {0}, with = {0};
  turn_style style = {
      .fold = p->fold, .tools_as_text = p->tongue == &a->speech.text, .dialect = a->speech.text.dialect};
  turn_list turns = {0}, all = {0};
  bool ok = q.json && messages_turns(&q, &(turn_part){.n_messages = 1}, &style, &turns, NULL) &&
            messages_turns(&q, &(turn_part){.n_messages = 2}, &style, &all, NULL) &&
            render(a, &q, &style, &turns, false, &without, NULL) &&
            render(a, &q, &style, &all, true, &with, NULL);
  size_t end = ok ? end_of_turn(a, &with, without.text.n) : SIZE_MAX;
  ok = end != SIZE_MAX && pn_str_starts(pn_buf_view(&with.text), pn_buf_view(&without.text));
  if (ok) pn_buf_add(out, with.text.p + without.text.n, end - without.text.n);
  rendering_fini(&without);
  rendering_fini(&with);
  turn_list_fini(&turns);
  turn_list_fini(&all);
  pn_json_free(q.json);
  return ok && !out->oom;
}
