#include "cli/tools_fallback.h"

#include "dialect/dialect.h"

#include <string.h>

typedef struct rewriting {
  pn_json *out; // messages
  pn_str role;  // of the message whose text is gathered; {NULL, 0}: none
  pn_buf text;
  const pn_dialect *dialect;
  bool ok;
} rewriting;

static void end_message(rewriting *w) {
  if (!w->role.p) return;
  pn_json *m = pn_json_new_object();
  bool ok = pn_json_set(m, "role", pn_json_new_str(w->role));
  ok = pn_json_set(m, "content", pn_json_new_str(pn_buf_view(&w->text))) && ok;
  w->ok = pn_json_push(w->out, m) && ok && !w->text.oom && w->ok;
  pn_buf_clear(&w->text);
  w->role = (pn_str){0};
}

// What follows is said in this role; with `join` in the same message as what this role said right before.
static void speak(rewriting *w, pn_str role, bool join) {
  if (!join || !pn_str_eq(w->role, role)) end_message(w);
  if (w->text.n) pn_buf_char(&w->text, '\n');
  w->role = role;
}

static void add_calls(rewriting *w, const pn_json *calls) {
  for (size_t i = 0; i < pn_json_len(calls); i++) {
    const pn_json *f = pn_json_get(pn_json_at(calls, i), "function"),
                  *arguments = pn_json_get(f, "arguments");
    if (i == 0 && w->text.n) pn_buf_char(&w->text, '\n');
    pn_dialect_write_call(&w->text, w->dialect, pn_json_str(pn_json_get(f, "name")), arguments, i > 0);
  }
}

static void add_message(rewriting *w, const pn_json *m) {
  pn_str role = pn_json_str(pn_json_get(m, "role")), content = pn_json_str(pn_json_get(m, "content"));
  const pn_json *calls = pn_json_get(m, "tool_calls");
  if (pn_str_is(role, "tool")) {
    speak(w, PN_STR("user"), true);
    pn_dialect_write_result(&w->text, content, false);
  } else if (pn_json_len(calls)) {
    speak(w, role, false);
    pn_buf_str(&w->text, content);
    add_calls(w, calls);
  } else {
    speak(w, role, pn_str_is(role, "user") || pn_str_is(role, "system"));
    pn_buf_str(&w->text, content);
  }
}

pn_json *tools_fallback(const pn_json *vars, pn_error *e) {
  const pn_json *tools = pn_json_get(vars, "tools"), *messages = pn_json_get(vars, "messages");
  pn_json *out = pn_json_new_object();
  rewriting w = {.out = pn_json_new_array(), .dialect = &pn_dialects[0], .ok = true};
  if (pn_json_len(tools)) {
    speak(&w, PN_STR("system"), false);
    pn_dialect_write_tools(&w.text, w.dialect, tools);
  }
  for (size_t i = 0; i < pn_json_len(messages); i++) add_message(&w, pn_json_at(messages, i));
  end_message(&w);
  for (const pn_json_member *it = pn_json_first(vars); it; it = pn_json_next(vars, it)) {
    const char *key = pn_json_key(it).p;
    if (strcmp(key, "tools") != 0 && strcmp(key, "messages") != 0)
      w.ok = pn_json_set(out, key, pn_json_share(pn_json_value(it))) && w.ok;
  }
  w.ok = pn_json_set(out, "messages", w.out) && w.ok;
  pn_buf_fini(&w.text);
  if (w.ok) return out;
  pn_json_free(out);
  pn_fail(e, PN_ERR_NOMEM, "out of memory for the conversation");
  return NULL;
}
