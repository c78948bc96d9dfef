#include "api/messages_results.h"

#include "api/call_pairs.h"

// A place in the conversation.
typedef struct place {
  size_t message, block;
} place;

static bool no_memory(pn_error *e) { return pn_fail(e, PN_ERR_NOMEM, "out of memory for the conversation"); }

static bool check_use(call_pairs *c, const pn_json *block, place at, pn_error *e) {
  switch (call_pairs_call(c, pn_json_get(block, "id"), at.message)) {
  case CALL_PAIRED: return true;
  case CALL_NO_MEMORY: return no_memory(e);
  default: break;
  }
  return pn_fail(e, PN_ERR_USAGE, "messages.%zu.content.%zu: `tool_use` ids must be unique", at.message,
                 at.block);
}

static bool check_result(call_pairs *c, const pn_json *block, place at, pn_error *e) {
  const pn_json *id = pn_json_get(block, "tool_use_id");
  switch (call_pairs_answer(c, id)) {
  case CALL_PAIRED: return true;
  case CALL_TWICE:
    return pn_fail(e, PN_ERR_USAGE,
                   "messages.%zu.content.%zu: each tool_use must have a single result. Found multiple "
                   "`tool_result` blocks with id: %.*s",
                   at.message, at.block, CALL_ID_ARGS(id));
  default: break;
  }
  return pn_fail(
      e, PN_ERR_USAGE,
      "messages.%zu.content.%zu: unexpected `tool_use_id` found in `tool_result` blocks: %.*s. "
      "Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
      at.message, at.block, CALL_ID_ARGS(id));
}

static bool end_round(call_pairs *c, pn_error *e) {
  size_t message = 0;
  char ids[CALL_IDS_MAX];
  if (call_pairs_end(c, &message, ids)) return true;
  return pn_fail(
      e, PN_ERR_USAGE,
      "messages.%zu: `tool_use` ids were found without `tool_result` blocks immediately after: %s. "
      "Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
      message, ids);
}

static bool check_block(call_pairs *c, pn_str role, const pn_json *block, place at, pn_error *e) {
  pn_str type = pn_json_str(pn_json_get(block, "type"));
  bool use = pn_str_is(type, "tool_use"), result = pn_str_is(type, "tool_result");
  if (use && !pn_str_is(role, "assistant"))
    return pn_fail(e, PN_ERR_USAGE,
                   "messages.%zu.content.%zu: `tool_use` blocks can only be in `assistant` messages",
                   at.message, at.block);
  if (result && !pn_str_is(role, "user"))
    return pn_fail(e, PN_ERR_USAGE,
                   "messages.%zu.content.%zu: `tool_result` blocks can only be in `user` messages",
                   at.message, at.block);
  if (use) return check_use(c, block, at, e);
  return !result || check_result(c, block, at, e);
}

static bool check(call_pairs *c, const pn_json *messages, pn_error *e) {
  bool users_turn = false;
  for (size_t i = 0; i < pn_json_len(messages); i++) {
    const pn_json *m = pn_json_at(messages, i), *content = pn_json_get(m, "content");
    pn_str role = pn_json_str(pn_json_get(m, "role"));
    if (users_turn && pn_str_is(role, "assistant") && !end_round(c, e)) return false;
    if (!pn_str_is(role, "system")) users_turn = pn_str_is(role, "user");
    for (size_t j = 0; pn_json_is(content, PN_JSON_ARRAY) && j < pn_json_len(content); j++)
      if (!check_block(c, role, pn_json_at(content, j), (place){i, j}, e)) return false;
  }
  return end_round(c, e);
}

bool messages_check_results(const pn_json *messages, pn_error *e) {
  call_pairs c = {0};
  bool ok = check(&c, messages, e);
  call_pairs_fini(&c);
  return ok;
}
