// A conversation in OpenAI's shape becomes one in the Messages API's.
#include "api/call_pairs.h"
#include "api/openai.h"

// A new object of one string member.
static pn_json *object_of(const char *key, pn_str value) {
  pn_json *o = pn_json_new_object();
  if (pn_json_set(o, key, pn_json_new_str(value))) return o;
  pn_json_free(o);
  return NULL;
}

static bool push_text(pn_json *blocks, pn_str text) {
  if (text.n == 0) return true; // an empty text says nothing, and the Messages API has no such block
  pn_json *block = object_of("type", PN_STR("text"));
  bool ok = pn_json_set(block, "text", pn_json_new_str(text));
  return pn_json_push(blocks, block) && ok;
}

static bool no_memory(pn_error *e) { return pn_fail(e, PN_ERR_NOMEM, "out of memory for the conversation"); }

// A block of a tool's result that the model can't read; the Messages API's words for it stand in the prompt.
static bool push_unread(pn_json *blocks, const char *type, const char *key, const pn_json *where,
                        const pn_json *title) {
  pn_json *block = object_of("type", pn_str_of(type)), *source = pn_json_new_object();
  bool ok = pn_json_set(source, "type", pn_json_new_str(PN_STR("url")));
  if (pn_json_is(where, PN_JSON_STRING)) ok = pn_json_set(source, key, pn_json_share(where)) && ok;
  if (pn_json_is(title, PN_JSON_STRING)) ok = pn_json_set(block, "title", pn_json_share(title)) && ok;
  ok = pn_json_set(block, "source", source) && ok;
  return pn_json_push(blocks, block) && ok;
}

static bool push_part(pn_json *blocks, const pn_json *part) {
  pn_str type = pn_json_str(pn_json_get(part, "type"));
  const pn_json *image = pn_json_get(part, "image_url"), *file = pn_json_get(part, "file");
  if (pn_str_is(type, "text")) return push_text(blocks, pn_json_str(pn_json_get(part, "text")));
  if (pn_str_is(type, "refusal")) return push_text(blocks, pn_json_str(pn_json_get(part, "refusal")));
  if (pn_str_is(type, "input_audio")) return push_text(blocks, PN_STR("[audio that this model can't hear]"));
  if (pn_str_is(type, "file"))
    return push_unread(blocks, "document", "file_id", pn_json_get(file, "file_id"),
                       pn_json_get(file, "filename"));
  return push_unread(blocks, "image", "url",
                     pn_json_is(image, PN_JSON_STRING) ? image : pn_json_get(image, "url"), NULL);
}

static bool is_text(const pn_json *part) {
  pn_str type = pn_json_str(pn_json_get(part, "type"));
  return pn_str_is(type, "text") || pn_str_is(type, "refusal");
}

// A string or parts, as blocks. What isn't text may only come from a tool: who asks can ask otherwise.
static bool push_content(pn_json *blocks, const pn_json *m, size_t i, bool tool, pn_error *e) {
  const pn_json *content = pn_json_get(m, "content");
  bool ok = push_text(blocks, pn_json_str(content));
  for (size_t k = 0; pn_json_is(content, PN_JSON_ARRAY) && k < pn_json_len(content); k++) {
    const pn_json *part = pn_json_at(content, k);
    if (!tool && !is_text(part))
      return pn_fail(e, PN_ERR_UNSUPPORTED, "messages.%zu.content.%zu: this model reads text only", i, k);
    ok = push_part(blocks, part) && ok;
  }
  return ok || no_memory(e);
}

// Arguments that are no object are shown to the model as the text that they are, in an object of their own: a
// client sends a broken call again with every turn, and refusing it would end the conversation.
static pn_json *input_of(pn_str arguments) {
  pn_json *input = arguments.n ? pn_json_parse(arguments, NULL) : pn_json_new_object();
  if (pn_json_is(input, PN_JSON_OBJECT)) return input;
  pn_json_free(input);
  return object_of("arguments", arguments);
}

static bool push_call(pn_json *blocks, const pn_json *call, pn_error *e) {
  const pn_json *function = pn_json_get(call, "function");
  pn_json *input = input_of(pn_json_str(pn_json_get(function, "arguments")));
  pn_json *block = object_of("type", PN_STR("tool_use"));
  bool ok = pn_json_set(block, "input", input);
  ok = pn_json_set(block, "id", pn_json_share(pn_json_get(call, "id"))) && ok;
  ok = pn_json_set(block, "name", pn_json_share(pn_json_get(function, "name"))) && ok;
  return (pn_json_push(blocks, block) && ok) || no_memory(e);
}

static bool push_result(pn_json *blocks, const pn_json *m, size_t i, pn_error *e) {
  const pn_json *id = pn_json_get(m, "tool_call_id");
  if (!id) return pn_fail(e, PN_ERR_USAGE, "messages.%zu.tool_call_id: Field required", i);
  pn_json *content = pn_json_new_array();
  if (!push_content(content, m, i, true, e)) {
    pn_json_free(content);
    return false;
  }
  pn_json *block = object_of("type", PN_STR("tool_result"));
  bool ok = pn_json_set(block, "content", content);
  ok = pn_json_set(block, "tool_use_id", pn_json_share(id)) && ok;
  return (pn_json_push(blocks, block) && ok) || no_memory(e);
}

static pn_json *message_of(const pn_json *m, size_t i, pn_error *e) {
  pn_str role = pn_json_str(pn_json_get(m, "role"));
  bool tool = pn_str_is(role, "tool"), assistant = pn_str_is(role, "assistant");
  if (pn_str_is(role, "developer")) role = PN_STR("system");
  const pn_json *calls = pn_json_get(m, "tool_calls");
  pn_json *out = object_of("role", tool ? PN_STR("user") : role), *blocks = pn_json_new_array();
  bool ok = out && blocks;
  if (!ok) no_memory(e);
  if (tool)
    ok = ok && push_result(blocks, m, i, e);
  else
    ok = ok && push_content(blocks, m, i, false, e);
  for (size_t k = 0; assistant && ok && k < pn_json_len(calls); k++)
    ok = push_call(blocks, pn_json_at(calls, k), e);
  if (!pn_json_set(out, "content", blocks)) ok = ok && no_memory(e);
  if (ok) return out;
  pn_json_free(out);
  return NULL;
}

static pn_json *tools_of(const pn_json *tools) {
  pn_json *out = pn_json_new_array();
  bool ok = out != NULL;
  for (size_t i = 0; ok && i < pn_json_len(tools); i++) {
    const pn_json *f = pn_json_get(pn_json_at(tools, i), "function"),
                  *parameters = pn_json_get(f, "parameters");
    const pn_json *description = pn_json_get(f, "description");
    pn_json *tool = pn_json_new_object();
    ok = pn_json_set(tool, "name", pn_json_share(pn_json_get(f, "name")));
    if (pn_json_is(description, PN_JSON_STRING))
      ok = pn_json_set(tool, "description", pn_json_share(description)) && ok;
    ok = pn_json_set(tool, "input_schema",
                     pn_json_is(parameters, PN_JSON_OBJECT) ? pn_json_share(parameters)
                                                            : object_of("type", PN_STR("object"))) &&
         ok;
    if (pn_json_get(f, "strict"))
      ok = pn_json_set(tool, "strict", pn_json_share(pn_json_get(f, "strict"))) && ok;
    ok = pn_json_push(out, tool) && ok;
  }
  if (ok) return out;
  pn_json_free(out);
  return NULL;
}

static pn_json *choice_of(const pn_json *choice, pn_error *e) {
  pn_str word = pn_json_str(choice);
  const pn_json *name = pn_json_get(pn_json_get(choice, "function"), "name");
  if (pn_str_is(word, "auto") || pn_str_is(word, "none")) return object_of("type", word);
  if (pn_str_is(word, "required")) return object_of("type", PN_STR("any"));
  if (pn_json_is(name, PN_JSON_STRING)) {
    pn_json *out = object_of("type", PN_STR("tool"));
    pn_json_set(out, "name", pn_json_share(name));
    return out;
  }
  pn_fail(e, PN_ERR_USAGE, "tool_choice: Input should be 'none', 'auto', 'required' or a function's name");
  return NULL;
}

// {"format":{"type":"json_schema","schema":...}, "effort":...}
static pn_json *output_of(const pn_json *body) {
  const pn_json *format = pn_json_get(body, "response_format"),
                *effort = pn_json_get(body, "reasoning_effort");
  const pn_json *schema = pn_json_get(pn_json_get(format, "json_schema"), "schema");
  pn_str type = pn_json_str(pn_json_get(format, "type"));
  pn_json *out = pn_json_new_object();
  bool ok = out != NULL;
  if (pn_str_is(type, "json_object") || pn_str_is(type, "json_schema")) {
    pn_json *f = object_of("type", PN_STR("json_schema"));
    ok = pn_json_set(f, "schema", schema ? pn_json_share(schema) : object_of("type", PN_STR("object"))) && ok;
    ok = pn_json_set(out, "format", f) && ok;
  }
  if (pn_json_is(effort, PN_JSON_STRING)) ok = pn_json_set(out, "effort", pn_json_share(effort)) && ok;
  if (ok) return out;
  pn_json_free(out);
  return NULL;
}

// --- calls and their results -------------------------------------------------------------------------------

static bool check_calls(call_pairs *c, const pn_json *calls, size_t i, pn_error *e) {
  for (size_t k = 0; k < pn_json_len(calls); k++) {
    call_pairing got = call_pairs_call(c, pn_json_get(pn_json_at(calls, k), "id"), i);
    if (got == CALL_NO_MEMORY) return no_memory(e);
    if (got == CALL_TWICE) // in another turn it may come again: many servers count from 0 in each
      return pn_fail(e, PN_ERR_USAGE, "messages.%zu.tool_calls.%zu.id: the ids of calls must be unique", i,
                     k);
  }
  return true;
}

static bool check_result(call_pairs *c, const pn_json *m, size_t i, pn_error *e) {
  const pn_json *id = pn_json_get(m, "tool_call_id");
  if (c->n == c->round)
    return pn_fail(e, PN_ERR_USAGE,
                   "messages.%zu.role: messages with role 'tool' must be a response to a preceeding message "
                   "with 'tool_calls'.",
                   i);
  call_pairing got = call_pairs_answer(c, id);
  if (got == CALL_PAIRED) return true;
  if (got == CALL_TWICE)
    return pn_fail(e, PN_ERR_USAGE, "messages.%zu.tool_call_id: Duplicate value for 'tool_call_id' of '%.*s'",
                   i, CALL_ID_ARGS(id));
  return pn_fail(e, PN_ERR_USAGE,
                 "messages.%zu.tool_call_id: 'tool_call_id' of '%.*s' not found in 'tool_calls' of previous "
                 "message.",
                 i, CALL_ID_ARGS(id));
}

static bool end_round(call_pairs *c, pn_error *e) {
  size_t message = 0;
  char ids[CALL_IDS_MAX];
  if (call_pairs_end(c, &message, ids)) return true;
  return pn_fail(e, PN_ERR_USAGE,
                 "messages.%zu.tool_calls: An assistant message with 'tool_calls' must be followed by tool "
                 "messages responding to each 'tool_call_id'. The following tool_call_ids did not have "
                 "response messages: %s",
                 message, ids);
}

static bool check_pairs(call_pairs *c, const pn_json *messages, pn_error *e) {
  bool others_turn = false;
  for (size_t i = 0; i < pn_json_len(messages); i++) {
    const pn_json *m = pn_json_at(messages, i);
    pn_str role = pn_json_str(pn_json_get(m, "role"));
    bool assistant = pn_str_is(role, "assistant"), tool = pn_str_is(role, "tool");
    if (assistant && others_turn && !end_round(c, e)) return false;
    if (assistant && !check_calls(c, pn_json_get(m, "tool_calls"), i, e)) return false;
    if (tool && !check_result(c, m, i, e)) return false;
    if (assistant || tool || pn_str_is(role, "user")) others_turn = !assistant;
  }
  return end_round(c, e);
}

static bool check_conversation(const pn_json *messages, pn_error *e) {
  call_pairs c = {0};
  bool ok = check_pairs(&c, messages, e);
  call_pairs_fini(&c);
  return ok;
}

pn_json *openai_to_messages(const pn_json *body, pn_error *e) {
  const pn_json *messages = pn_json_get(body, "messages"), *choice = pn_json_get(body, "tool_choice");
  pn_json *out = pn_json_new_object(), *list = pn_json_new_array();
  bool ok = (out && list) || no_memory(e);
  for (size_t i = 0; ok && i < pn_json_len(messages); i++) {
    pn_json *m = message_of(pn_json_at(messages, i), i, e);
    ok = m != NULL && (pn_json_push(list, m) || no_memory(e));
  }
  ok = ok && check_conversation(messages, e);
  bool set = pn_json_set(out, "messages", list);
  set = pn_json_set(out, "model", pn_json_share(pn_json_get(body, "model"))) && set;
  if (pn_json_len(pn_json_get(body, "tools")))
    set = pn_json_set(out, "tools", tools_of(pn_json_get(body, "tools"))) && set;
  set = pn_json_set(out, "output_config", output_of(body)) && set;
  if (ok && !set) ok = no_memory(e);
  const pn_json *parallel = pn_json_get(body, "parallel_tool_calls");
  bool one = pn_json_is(parallel, PN_JSON_BOOL) && !pn_json_true(parallel);
  bool chosen = choice && !pn_json_is(choice, PN_JSON_NULL);
  if (ok && (chosen || one)) {
    pn_json *c = chosen ? choice_of(choice, e) : object_of("type", PN_STR("auto"));
    if (c && one && !pn_json_set(c, "disable_parallel_tool_use", pn_json_new_bool(true))) ok = no_memory(e);
    ok = c != NULL && (pn_json_set(out, "tool_choice", c) || no_memory(e)) && ok;
  }
  if (ok) return out;
  pn_json_free(out);
  return NULL;
}
