// Blocks to turns: what a template is given of a conversation.
#include "api/api_core.h"
#include "api/kept_calls.h"
#include "api/messages_read.h"
#include "api/messages_words.h"
#include "api/thinking.h"
#include "base/hash.h"
#include "dialect/dialect.h"

#include <stdlib.h>
#include <string.h>

void turn_list_fini(turn_list *t) {
  for (size_t i = 0; i < t->n; i++) {
    pn_buf_fini(&t->p[i].text);
    pn_buf_fini(&t->p[i].thoughts);
    pn_json_free(t->p[i].calls);
  }
  free(t->p);
  *t = (turn_list){0};
}

// A conversation on its way into turns.
typedef struct building {
  const messages_request *q;
  const turn_style *style;
  turn_list *out;
  turn_role role;   // of the message that is added
  pn_json *names;   // the name of every tool that was called, by the call's id
  pn_json *cleared; // by a call's id: whether its result is left out
  pn_json *calls;   // ids of the calls that wait for their results, in order
  // Where the last call that was written as text ends: the turn, and the length of its text.
  size_t call_turn, call_end;
  bool oom;
} building;

static turn *add_turn(building *b, turn_role role) {
  turn_list *t = b->out;
  if (t->n == t->cap) {
    size_t cap = t->cap ? t->cap * 2 : 16;
    turn *p = realloc(t->p, cap * sizeof *p);
    if (!p) {
      b->oom = true;
      return NULL;
    }
    t->p = p;
    t->cap = cap;
  }
  t->p[t->n] = (turn){.role = role};
  return &t->p[t->n++];
}

// The turn that what is said in a role goes to. NULL when memory ran out.
static turn *open_turn(building *b, turn_role role) {
  turn *last = b->out->n ? &b->out->p[b->out->n - 1] : NULL;
  return last && last->role == role ? last : add_turn(b, role);
}

static void say(building *b, pn_str part) {
  turn *t = part.n ? open_turn(b, b->role) : NULL;
  if (t) words_add_part(&t->text, part);
}

static void say_buf(building *b, pn_buf *part) {
  b->oom |= part->oom;
  say(b, pn_buf_view(part));
  pn_buf_fini(part);
}

static bool says(const pn_json *message, const char *role) {
  return pn_str_is(pn_json_str(pn_json_get(message, "role")), role);
}

// --- tools -------------------------------------------------------------------------------------------------

// Nine letters and digits, which every template takes: some refuse ids of another form.
static void short_id(pn_str id, char out[TURN_CALL_ID]) {
  static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  uint64_t h = pn_hash(id.p, id.n, 0);
  for (int i = 0; i < TURN_CALL_ID - 1; i++, h /= 36) out[i] = digits[h % 36];
  out[TURN_CALL_ID - 1] = '\0';
}

static bool is_listed(const pn_json *names, pn_str name) {
  for (size_t i = 0; i < pn_json_len(names); i++)
    if (pn_str_eq(pn_json_str(pn_json_at(names, i)), name)) return true;
  return false;
}

// Whether this call's result is left out. Calls of excluded tools are not counted.
static bool leaves_out(building *b, const pn_json *call) {
  if (is_listed(pn_json_get(b->q->clear, "exclude_tools"), pn_json_str(pn_json_get(call, "name"))))
    return false;
  return b->out->n_uses++ < b->q->n_cleared;
}

static const pn_json *arguments_of(building *b, const pn_json *call, const pn_json *written, bool left_out,
                                   const pn_json *empty) {
  const pn_json *inputs = pn_json_get(b->q->clear, "clear_tool_inputs");
  bool clear =
      left_out && (pn_json_true(inputs) || is_listed(inputs, pn_json_str(pn_json_get(call, "name"))));
  return clear ? empty : written ? written : pn_json_get(call, "input");
}

static pn_json *make_call(pn_str id, const pn_json *name, const pn_json *arguments) {
  char short_form[TURN_CALL_ID];
  short_id(id, short_form);
  pn_json *call = pn_json_new_object(), *function = pn_json_new_object();
  bool ok = pn_json_set(function, "name", pn_json_share(name));
  ok = pn_json_set(function, "arguments", pn_json_share(arguments)) && ok;
  ok = pn_json_set(call, "id", pn_json_new_str(pn_str_of(short_form))) && ok;
  ok = pn_json_set(call, "type", pn_json_new_str(PN_STR("function"))) && ok;
  ok = pn_json_set(call, "function", function) && ok;
  if (ok) return call;
  pn_json_free(call);
  return NULL;
}

// In the turn's text; right behind another call they are written as ones that are made together.
static void say_call(building *b, pn_str name, const pn_json *arguments) {
  turn *t = open_turn(b, b->role);
  if (!t) return;
  size_t i = (size_t)(t - b->out->p);
  bool behind_call = t->text.n && i == b->call_turn && t->text.n == b->call_end;
  if (!behind_call && t->text.n) pn_buf_char(&t->text, '\n');
  pn_dialect_write_call(&t->text, b->style->dialect, name, arguments, behind_call);
  b->call_turn = i;
  b->call_end = t->text.n;
}

static void add_call(building *b, const pn_json *block) {
  const pn_json *id = pn_json_get(block, "id"), *name = pn_json_get(block, "name");
  bool left_out = leaves_out(b, block);
  pn_json *empty = pn_json_new_object();
  // What the model wrote itself it sees again as it was.
  pn_json *written =
      b->q->api ? kept_calls_find(b->q->api->kept_calls, pn_json_str(id), pn_json_str(name)) : NULL;
  const pn_json *arguments = arguments_of(b, block, written, left_out, empty);
  b->out->has_tools = true;
  b->oom |= !pn_json_set(b->names, pn_json_cstr(id), pn_json_share(name));
  b->oom |= !pn_json_set(b->cleared, pn_json_cstr(id), pn_json_new_bool(left_out));
  b->oom |= !pn_json_push(b->calls, pn_json_share(id));
  if (b->style->tools_as_text) {
    say_call(b, pn_json_str(name), arguments);
  } else {
    turn *t = open_turn(b, b->role);
    if (t && !t->calls) t->calls = pn_json_new_array();
    b->oom |= !t || !pn_json_push(t->calls, make_call(pn_json_str(id), name, arguments));
  }
  pn_json_free(empty);
  pn_json_free(written);
}

static void add_result(building *b, const pn_json *block) {
  const pn_json *id = pn_json_get(block, "tool_use_id");
  pn_buf text = {0}, marked = {0};
  b->out->has_tools = true;
  words_write_result(&b->q->tools, &text, block, pn_json_true(pn_json_get(b->cleared, pn_json_cstr(id))));
  if (b->style->tools_as_text) {
    pn_dialect_write_result(&marked, pn_buf_view(&text), false); // the words say what is an error
    say_buf(b, &marked);
  } else {
    turn *t = add_turn(b, TURN_TOOL);
    if (t) {
      short_id(pn_json_str(id), t->call_id);
      t->tool = pn_json_str(pn_json_get(b->names, pn_json_cstr(id)));
      pn_buf_str(&t->text, pn_buf_view(&text));
      b->oom |= t->text.oom;
    }
  }
  b->oom |= text.oom;
  pn_buf_fini(&text);
}

static void collect_results(building *b, const pn_json *content, pn_json *results) {
  for (size_t i = 0; pn_json_is(content, PN_JSON_ARRAY) && i < pn_json_len(content); i++) {
    const pn_json *block = pn_json_at(content, i);
    if (words_is_type(block, "tool_result"))
      b->oom |= !pn_json_set(results, pn_json_cstr(pn_json_get(block, "tool_use_id")), pn_json_share(block));
  }
}

static bool holds_results(const pn_json *content) {
  for (size_t i = 0; pn_json_is(content, PN_JSON_ARRAY) && i < pn_json_len(content); i++)
    if (words_is_type(pn_json_at(content, i), "tool_result")) return true;
  return false;
}

// The results of the assistant's calls, from the messages behind it: in the order of the calls, by which
// templates and models pair them, and before whatever else is said there.
static void add_results(building *b, const pn_json *messages, size_t from, size_t to) {
  if (pn_json_len(b->calls) == 0) return;
  pn_json *calls = b->calls, *results = pn_json_new_object();
  b->calls = pn_json_new_array();
  b->oom |= !results || !b->calls;
  b->role = TURN_USER;
  for (size_t i = from; i < to && !says(pn_json_at(messages, i), "assistant"); i++)
    collect_results(b, pn_json_get(pn_json_at(messages, i), "content"), results);
  for (size_t i = 0; i < pn_json_len(calls); i++) {
    const pn_json *block = pn_json_get(results, pn_json_cstr(pn_json_at(calls, i)));
    if (block) add_result(b, block);
  }
  pn_json_free(results);
  pn_json_free(calls);
}

// --- messages ----------------------------------------------------------------------------------------------

// A thought of this model's own, unchanged, stands by the answer that it led to; templates show it where the
// model was trained so. Others are not shown.
static void add_thought(building *b, const pn_json *block) {
  pn_str text = pn_json_str(pn_json_get(block, "thinking"));
  if (!b->q->api || !thinking_signed(b->q->api, text, pn_json_str(pn_json_get(block, "signature")))) return;
  turn *t = b->role == TURN_ASSISTANT ? open_turn(b, b->role) : NULL;
  if (t) words_add_part(&t->thoughts, text);
}

// What other servers did by themselves is not shown.
static void add_block(building *b, const pn_json *block) {
  pn_buf text = {0};
  if (words_is_type(block, "tool_use"))
    add_call(b, block);
  else if (words_is_type(block, "thinking"))
    add_thought(b, block);
  else if (words_is_type(block, "tool_addition") || words_is_type(block, "tool_removal"))
    words_write_tool_change(&b->q->tools, &text, block);
  else if (!words_is_type(block, "tool_result")) // add_results has those
    words_write_block(&b->q->tools, &text, block);
  say_buf(b, &text);
}

static void add_content(building *b, const pn_json *content) {
  say(b, pn_json_str(content));
  if (pn_json_is(content, PN_JSON_ARRAY))
    for (size_t i = 0; i < pn_json_len(content); i++) add_block(b, pn_json_at(content, i));
}

// Claude Code's billing line holds a hash that changes with every prompt; it says nothing to a model and
// would spoil every cached prefix.
static bool is_billing(pn_str text) { return pn_str_starts(text, PN_STR("x-anthropic-billing-header:")); }

static void add_system(building *b, const pn_json *system) {
  pn_str text = pn_json_str(system);
  if (!is_billing(text)) say(b, text);
  if (!pn_json_is(system, PN_JSON_ARRAY)) return;
  for (size_t i = 0; i < pn_json_len(system); i++) {
    const pn_json *block = pn_json_at(system, i);
    if (!is_billing(pn_json_str(pn_json_get(block, "text")))) add_block(b, block);
  }
}

// What system text becomes at this place of the conversation.
static turn_role system_role(const building *b) {
  const turn_list *t = b->out;
  turn_fold fold = b->style->fold;
  bool leading = t->n == 0 || (t->n == 1 && t->p[0].role == TURN_SYSTEM);
  return fold == TURN_FOLD_ALL || (fold == TURN_FOLD_LATER && !leading) ? TURN_USER : TURN_SYSTEM;
}

static size_t n_said(const turn_list *t) { return t->n ? t->p[t->n - 1].text.n + t->n : 0; }

static void add_message(building *b, const pn_json *message) {
  const pn_json *content = pn_json_get(message, "content");
  if (says(message, "system")) {
    size_t before = n_said(b->out);
    b->role = system_role(b);
    add_system(b, content);
    b->out->has_system |= n_said(b->out) != before;
    return;
  }
  b->role = says(message, "user") ? TURN_USER : TURN_ASSISTANT;
  // A turn of its own even when it says nothing: whose it is decides who speaks next. Results are turns of
  // the user's.
  if (!holds_results(content) && !open_turn(b, b->role)) return;
  add_content(b, content);
}

static void add_messages(building *b, size_t n) {
  const pn_json *messages = pn_json_get(b->q->json, "messages");
  size_t next = 0; // who speaks from here on, but for the system
  for (size_t i = 0; i < n && !b->oom; i++) {
    if (next < i) next = i;
    while (next < n && says(pn_json_at(messages, next), "system")) next++;
    if (next < n && says(pn_json_at(messages, next), "user")) add_results(b, messages, i, n);
    add_message(b, pn_json_at(messages, i));
  }
}

static void add_tools(building *b) {
  pn_buf text = {0};
  if (pn_json_len(b->q->tools.shown) == 0) return;
  b->out->has_tools = true;
  if (!b->style->tools_as_text) return; // the template writes them
  pn_dialect_write_tools(&text, b->style->dialect, b->q->tools.shown);
  say_buf(b, &text);
}

static void add_schema(building *b) {
  pn_buf text = {0};
  if (!b->q->schema) return;
  pn_buf_z(&text, "Answer with one JSON value that is valid by this JSON Schema, and with nothing else:\n");
  pn_json_write(&text, b->q->schema);
  say_buf(b, &text);
}

bool messages_turns(const messages_request *q, const turn_part *part, const turn_style *style, turn_list *out,
                    pn_error *e) {
  building b = {.q = q,
                .style = style,
                .out = out,
                .names = pn_json_new_object(),
                .cleared = pn_json_new_object(),
                .calls = pn_json_new_array()};
  b.role = system_role(&b);
  add_tools(&b);
  if (!part || part->system) {
    add_system(&b, pn_json_get(q->json, "system"));
    add_schema(&b);
  }
  out->has_system = out->n > 0;
  add_messages(&b, part ? part->n_messages : pn_json_len(pn_json_get(q->json, "messages")));
  bool ok = !b.oom && b.names && b.cleared && b.calls;
  for (size_t i = 0; i < out->n; i++) ok = ok && !out->p[i].text.oom && !out->p[i].thoughts.oom;
  pn_json_free(b.names);
  pn_json_free(b.cleared);
  pn_json_free(b.calls);
  return ok || pn_fail(e, PN_ERR_NOMEM, "out of memory for the conversation");
}
