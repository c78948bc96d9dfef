// Blocks to text: what a template is given of a conversation.
#include "api/messages_read.h"

#include <stdlib.h>

void turn_list_fini(turn_list *t) {
  for (size_t i = 0; i < t->n; i++) pn_buf_fini(&t->p[i].text);
  free(t->p);
  *t = (turn_list){0};
}

static turn *add_turn(turn_list *t, turn_role role) {
  if (t->n == t->cap) {
    size_t cap = t->cap ? t->cap * 2 : 16;
    turn *p = realloc(t->p, cap * sizeof *p);
    if (!p) return NULL;
    t->p = p;
    t->cap = cap;
  }
  t->p[t->n] = (turn){.role = role};
  return &t->p[t->n++];
}

// The turn that text of this role goes to.
static pn_buf *open_turn(turn_list *t, turn_role role) {
  turn *last = t->n ? &t->p[t->n - 1] : NULL;
  if (!last || last->role != role) last = add_turn(t, role);
  return last ? &last->text : NULL;
}

static void begin_part(pn_buf *b) {
  if (b->n) pn_buf_char(b, '\n');
}

static void add_part(pn_buf *b, pn_str text) {
  if (text.n == 0) return;
  begin_part(b);
  pn_buf_str(b, text);
}

static bool is_type(const pn_json *block, const char *type) {
  return pn_str_is(pn_json_str(pn_json_get(block, "type")), type);
}

static void add_content(pn_buf *b, const pn_json *content);

static void add_document(pn_buf *b, const pn_json *block) {
  const pn_json *source = pn_json_get(block, "source");
  add_part(b, pn_json_str(pn_json_get(block, "title")));
  add_part(b, pn_json_str(pn_json_get(block, "context")));
  add_part(b, pn_json_str(pn_json_get(source, "data")));
  add_content(b, pn_json_get(source, "content"));
}

// The call as the Hermes format writes it, which most open models have seen.
static void add_tool_use(pn_buf *b, const pn_json *block) {
  begin_part(b);
  pn_buf_z(b, "<tool_call>\n{\"name\": ");
  pn_json_write_str(b, pn_json_str(pn_json_get(block, "name")));
  pn_buf_z(b, ", \"arguments\": ");
  pn_json_write(b, pn_json_get(block, "input"));
  pn_buf_z(b, "}\n</tool_call>");
}

static void add_tool_result(pn_buf *b, const pn_json *block) {
  if (pn_json_true(pn_json_get(block, "is_error"))) add_part(b, PN_STR("Error:"));
  add_content(b, pn_json_get(block, "content"));
}

// Thinking is not shown again, and references carry no text.
static void add_block(pn_buf *b, const pn_json *block) {
  if (is_type(block, "text")) {
    add_part(b, pn_json_str(pn_json_get(block, "text")));
  } else if (is_type(block, "tool_use")) {
    add_tool_use(b, block);
  } else if (is_type(block, "tool_result")) {
    add_tool_result(b, block);
  } else if (is_type(block, "document")) {
    add_document(b, block);
  } else if (is_type(block, "search_result")) {
    add_part(b, pn_json_str(pn_json_get(block, "title")));
    add_part(b, pn_json_str(pn_json_get(block, "source")));
    add_content(b, pn_json_get(block, "content"));
  }
}

static void add_content(pn_buf *b, const pn_json *content) {
  add_part(b, pn_json_str(content));
  if (pn_json_is(content, PN_JSON_ARRAY))
    for (size_t i = 0; i < pn_json_len(content); i++) add_block(b, pn_json_at(content, i));
}

// Claude Code's billing line holds a hash that changes with every prompt; it says nothing to a model and would spoil
// every cached prefix.
static bool is_billing(pn_str text) { return pn_str_starts(text, PN_STR("x-anthropic-billing-header:")); }

static void add_system(pn_buf *b, const pn_json *system) {
  pn_str text = pn_json_str(system);
  if (!is_billing(text)) add_part(b, text);
  if (!pn_json_is(system, PN_JSON_ARRAY)) return;
  for (size_t i = 0; i < pn_json_len(system); i++) {
    const pn_json *block = pn_json_at(system, i);
    if (!is_billing(pn_json_str(pn_json_get(block, "text")))) add_block(b, block);
  }
}

static turn_role role_of(const pn_json *message) {
  pn_str role = pn_json_str(pn_json_get(message, "role"));
  return pn_str_is(role, "system") ? TURN_SYSTEM : pn_str_is(role, "user") ? TURN_USER : TURN_ASSISTANT;
}

static turn_role folded(const turn_list *t, turn_fold fold) {
  bool leading = t->n == 0 || (t->n == 1 && t->p[0].role == TURN_SYSTEM);
  return fold == TURN_FOLD_ALL || (fold == TURN_FOLD_LATER && !leading) ? TURN_USER : TURN_SYSTEM;
}

static bool no_memory(pn_error *e) { return pn_fail(e, PN_ERR_NOMEM, "out of memory for the conversation"); }

static bool add_message(turn_list *t, const pn_json *message, turn_fold fold, pn_error *e) {
  turn_role role = role_of(message);
  const pn_json *content = pn_json_get(message, "content");
  pn_buf text = {0};
  if (role == TURN_SYSTEM)
    add_system(&text, content);
  else
    add_content(&text, content);
  bool ok = !text.oom;
  if (ok && role == TURN_SYSTEM) {
    if (text.n == 0) return true;
    t->has_system = true;
    role = folded(t, fold);
  }
  pn_buf *b = ok ? open_turn(t, role) : NULL;
  if (b) add_part(b, pn_buf_view(&text));
  pn_buf_fini(&text);
  return b && !b->oom ? true : no_memory(e);
}

bool messages_turns(const messages_request *q, const turn_part *part, turn_fold fold, turn_list *out,
                    pn_error *e) {
  const pn_json *messages = pn_json_get(q->json, "messages");
  pn_buf system = {0};
  if (!part || part->system) add_system(&system, pn_json_get(q->json, "system"));
  bool ok = !system.oom;
  if (ok && system.n) {
    out->has_system = true;
    turn *first = add_turn(out, folded(out, fold));
    ok = first != NULL;
    if (ok) first->text = system;
  }
  if (!ok || system.n == 0) pn_buf_fini(&system);
  if (!ok) return no_memory(e);
  size_t n = part ? part->n_messages : pn_json_len(messages);
  for (size_t i = 0; i < n; i++)
    if (!add_message(out, pn_json_at(messages, i), fold, e)) return false;
  return true;
}
