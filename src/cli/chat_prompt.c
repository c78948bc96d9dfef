#include "cli/chat_prompt.h"

#include "base/clock.h"

// A new array of the first n messages.
static pn_json *first_messages(const pn_json *messages, size_t n) {
  pn_json *out = pn_json_new_array();
  for (size_t i = 0; i < n; i++) pn_json_push(out, pn_json_share(pn_json_at(messages, i)));
  return out;
}

bool chat_init(chat *c, const char *system, pn_error *e) {
  c->messages = pn_json_new_array();
  if (!c->messages) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a conversation");
  if (!system) return true;
  c->n_fixed = 1;
  return chat_add(c, "system", pn_str_of(system), e);
}

void chat_fini(chat *c) {
  pn_json_free(c->messages);
  *c = (chat){0};
}

bool chat_add(chat *c, const char *role, pn_str text, pn_error *e) {
  pn_json *content = pn_json_new_str(text);
  if (!content) return pn_fail(e, PN_ERR_USAGE, "the %s's text is not valid UTF-8", role);
  pn_json *m = pn_json_new_object();
  bool ok = pn_json_set(m, "role", pn_json_new_str(pn_str_of(role)));
  ok = pn_json_set(m, "content", content) && ok;
  return (pn_json_push(c->messages, m) && ok) || pn_fail(e, PN_ERR_NOMEM, "out of memory for a message");
}

static void keep(chat *c, size_t n) {
  pn_json *messages = first_messages(c->messages, n);
  if (!messages) return;
  pn_json_free(c->messages);
  c->messages = messages;
}

void chat_drop_last(chat *c) {
  size_t n = pn_json_len(c->messages);
  if (n) keep(c, n - 1);
}

void chat_clear(chat *c) { keep(c, c->n_fixed); }

bool chat_ids(const chat *c, const open_model *m, pn_ids *out, pn_error *e) {
  if (!m->chat_template)
    return pn_fail(e, PN_ERR_UNSUPPORTED,
                   "%s has no chat template: it continues text, but holds no conversation", m->path);
  pn_json *vars = pn_json_new_object();
  bool ok = pn_json_set(vars, "messages", pn_json_share(c->messages));
  ok = pn_json_set(vars, "add_generation_prompt", pn_json_new_bool(true)) && ok;
  if (!ok) pn_fail(e, PN_ERR_NOMEM, "out of memory for the prompt");
  pn_template_consts consts = m->consts;
  consts.now_ms = (int64_t)pn_wall_ms();
  pn_buf text = {0};
  pn_text_spans user = {0};
  ok = ok && pn_template_render(m->chat_template, vars, &consts, &(pn_template_limits){0}, &text, &user, e) &&
       pn_tokenizer_encode(m->tokenizer, pn_buf_view(&text), user.p, user.n, out, e);
  if (ok && (text.oom || out->oom)) ok = pn_fail(e, PN_ERR_NOMEM, "out of memory for the prompt");
  pn_text_spans_fini(&user);
  pn_buf_fini(&text);
  pn_json_free(vars);
  return ok;
}
