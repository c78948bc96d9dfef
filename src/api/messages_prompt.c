#include "api/messages_prompt.h"

#include "base/clock.h"

static pn_json *message_of(const turn *t) {
  static const char *const names[] = {"system", "user", "assistant"};
  pn_json *m = pn_json_new_object();
  bool ok = pn_json_set(m, "role", pn_json_new_str(pn_str_of(names[t->role])));
  ok = pn_json_set(m, "content", pn_json_new_str(pn_buf_view(&t->text))) && ok;
  if (ok) return m;
  pn_json_free(m);
  return NULL;
}

static pn_json *variables(const turn_list *turns, bool go_on) {
  pn_json *vars = pn_json_new_object(), *messages = pn_json_new_array();
  bool ok = vars && messages;
  for (size_t i = 0; ok && i < turns->n; i++) ok = pn_json_push(messages, message_of(&turns->p[i]));
  ok = pn_json_set(vars, "messages", messages) && ok;
  ok = pn_json_set(vars, "add_generation_prompt", pn_json_new_bool(!go_on)) && ok;
  if (ok) return vars;
  pn_json_free(vars);
  return NULL;
}

static bool render(const pn_api *a, const turn_list *turns, bool go_on, pn_buf *text, pn_text_spans *user,
                   pn_error *e) {
  pn_template_consts consts = a->o.template_consts;
  if (consts.now_ms == 0) consts.now_ms = (int64_t)pn_wall_ms();
  pn_json *vars = variables(turns, go_on);
  if (!vars) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the template's variables");
  bool ok = pn_template_render(a->o.chat_template, vars, &consts, &(pn_template_limits){0}, text, user, e);
  pn_json_free(vars);
  if (!ok) return pn_fail_in(e, "messages");
  return text->oom ? pn_fail(e, PN_ERR_NOMEM, "out of memory for the prompt") : true;
}

static pn_str trim_left(pn_str s) {
  while (s.n && (*s.p == ' ' || (*s.p >= '\t' && *s.p <= '\r'))) s = (pn_str){s.p + 1, s.n - 1};
  return s;
}

// Drop what the template writes after the last turn's text (its end-of-turn mark), so that the model goes on with it.
// The text is the end of the last range of user text, unless the template changed it or wrote something behind it.
static bool cut_after_last(const turn_list *turns, pn_buf *text, const pn_text_spans *user, pn_error *e) {
  pn_str last = trim_left(pn_buf_view(&turns->p[turns->n - 1].text));
  size_t end = user->n ? user->p[user->n - 1].end : 0;
  if (end > text->n || !pn_str_ends((pn_str){text->p, end}, last))
    return pn_fail(e, PN_ERR_UNSUPPORTED,
                   "messages: this model's chat template cannot continue a final assistant message; the "
                   "conversation must end with a user message");
  text->n = end;
  return true;
}

// Whether the conversation ends within an assistant turn. An empty one is only an invitation to answer.
static bool goes_on(turn_list *turns) {
  turn *last = turns->n ? &turns->p[turns->n - 1] : NULL;
  if (!last || last->role != TURN_ASSISTANT) return false;
  if (last->text.n) return true;
  pn_buf_fini(&last->text);
  turns->n--;
  return false;
}

static bool try_fold(const pn_api *a, const messages_request *q, const turn_part *part, turn_fold fold,
                     pn_buf *text, pn_text_spans *user, bool *has_system, pn_error *e) {
  turn_list turns = {0};
  bool ok = messages_turns(q, part, fold, &turns, e);
  *has_system = turns.has_system;
  if (part) {
    ok = ok && render(a, &turns, true, text, user, e);
    turn_list_fini(&turns);
    return ok;
  }
  bool go_on = ok && goes_on(&turns);
  if (go_on) {
    pn_str last = pn_buf_view(&turns.p[turns.n - 1].text);
    if (trim_left((pn_str){last.p + last.n - 1, 1}).n == 0)
      ok = pn_fail(e, PN_ERR_USAGE, "messages: final assistant content cannot end with trailing whitespace");
  }
  if (ok && turns.n == 0) ok = pn_fail(e, PN_ERR_USAGE, "messages: at least one message must have content");
  ok = ok && render(a, &turns, go_on, text, user, e);
  if (ok && go_on) ok = cut_after_last(&turns, text, user, e);
  turn_list_fini(&turns);
  return ok;
}

// Templates that refuse system messages (anywhere but first, or at all) say so by an error: then such text goes to the
// user's turn at the same place, so that what came before it is rendered as ever.
static bool render_request(const pn_api *a, const messages_request *q, const turn_part *part, pn_buf *text,
                           pn_text_spans *user, pn_error *e) {
  pn_error first = {0};
  for (turn_fold fold = TURN_FOLD_NONE; fold < TURN_N_FOLDS; fold++) {
    pn_error now = {0};
    bool has_system = false;
    pn_buf_clear(text);
    user->n = 0;
    if (try_fold(a, q, part, fold, text, user, &has_system, &now)) return true;
    if (fold == TURN_FOLD_NONE) first = now;
    if (now.code != PN_ERR_USAGE || !has_system) break;
  }
  if (e) *e = first;
  return false;
}

bool messages_prompt(const pn_api *a, const messages_request *q, pn_ids *out, pn_error *e) {
  return messages_prompt_part(a, q, NULL, out, e);
}

bool messages_prompt_part(const pn_api *a, const messages_request *q, const turn_part *part, pn_ids *out,
                          pn_error *e) {
  if (!a->o.chat_template) return pn_fail(e, PN_ERR_UNSUPPORTED, "messages: this model has no chat template");
  pn_buf text = {0};
  pn_text_spans user = {0};
  bool ok = render_request(a, q, part, &text, &user, e) &&
            pn_tokenizer_encode(a->o.tokenizer, pn_buf_view(&text), user.p, user.n, out, e);
  if (ok && out->oom) ok = pn_fail(e, PN_ERR_NOMEM, "out of memory for the prompt's tokens");
  pn_buf_fini(&text);
  pn_text_spans_fini(&user);
  return ok;
}
