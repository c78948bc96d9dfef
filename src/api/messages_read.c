#include "api/messages_read.h"

#include "api/messages_results.h"
#include "base/rng.h"

#include <limits.h>
#include <stdlib.h>

static bool is_blank(pn_str s) {
  for (size_t i = 0; i < s.n; i++)
    if (s.p[i] != ' ' && (s.p[i] < '\t' || s.p[i] > '\r')) return false;
  return true;
}

static bool read_stops(messages_request *q, pn_error *e) {
  const pn_json *list = pn_json_get(q->json, "stop_sequences");
  size_t n = pn_json_len(list);
  if (n == 0) return true;
  q->stops = calloc(n, sizeof *q->stops);
  if (!q->stops) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the stop sequences");
  for (size_t i = 0; i < n; i++) {
    pn_str stop = pn_json_str(pn_json_at(list, i));
    if (is_blank(stop))
      return pn_fail(e, PN_ERR_USAGE, "stop_sequences: each stop sequence must contain non-whitespace");
    q->stops[q->n_stops++] = stop;
  }
  return true;
}

// A top_p of 0 keeps the likeliest token only; the engine's range begins above 0.
static void read_sampling(messages_request *q) {
  const pn_json *temperature = pn_json_get(q->json, "temperature");
  const pn_json *top_p = pn_json_get(q->json, "top_p");
  int64_t top_k = pn_json_int(pn_json_get(q->json, "top_k"));
  q->sampling = (pn_sampling){
      .temperature = pn_json_is_number(temperature) ? (float)pn_json_num(temperature) : 1.0f,
      .top_p = pn_json_is_number(top_p) ? (float)pn_json_num(top_p) : 1.0f,
      .top_k = top_k > INT_MAX ? INT_MAX : (int)top_k,
      .seed = pn_rng_entropy(),
  };
  if (!(q->sampling.top_p > 1e-6f)) q->sampling.top_p = 1e-6f;
}

static bool is_empty(const pn_json *content) {
  return pn_json_is(content, PN_JSON_STRING) ? pn_json_str(content).n == 0 : pn_json_len(content) == 0;
}

static bool is_text(const pn_json *block) {
  return pn_str_is(pn_json_str(pn_json_get(block, "type")), "text");
}

#define BLANK "text content blocks must contain non-whitespace text"

static bool check_texts(const pn_json *blocks, const char *where, size_t i, pn_error *e) {
  for (size_t j = 0; pn_json_is(blocks, PN_JSON_ARRAY) && j < pn_json_len(blocks); j++) {
    const pn_json *b = pn_json_at(blocks, j);
    if (!is_text(b) || !is_blank(pn_json_str(pn_json_get(b, "text")))) continue;
    if (!where) return pn_fail(e, PN_ERR_USAGE, "system.%zu.text: " BLANK, j);
    return pn_fail(e, PN_ERR_USAGE, "%s.%zu.content.%zu.text: " BLANK, where, i, j);
  }
  return true;
}

// User messages must say something. Assistant messages may be empty or blank: a model may answer nothing, and
// clients echo it. System messages may be empty: Claude Code sends such.
static bool check_messages(const pn_json *messages, pn_error *e) {
  for (size_t i = 0; i < pn_json_len(messages); i++) {
    const pn_json *m = pn_json_at(messages, i), *content = pn_json_get(m, "content");
    if (!pn_str_is(pn_json_str(pn_json_get(m, "role")), "user")) continue;
    if (is_empty(content))
      return pn_fail(e, PN_ERR_USAGE,
                     "messages.%zu.content: all messages must have non-empty content except for the "
                     "optional final assistant message",
                     i);
    if (pn_json_is(content, PN_JSON_STRING) && is_blank(pn_json_str(content)))
      return pn_fail(e, PN_ERR_USAGE, "messages.%zu.content: " BLANK, i);
    if (!check_texts(content, "messages", i, e)) return false;
  }
  return true;
}

static size_t count_marks(const pn_json *v) {
  size_t n = 0;
  for (size_t i = 0; pn_json_is(v, PN_JSON_ARRAY) && i < pn_json_len(v); i++)
    n += count_marks(pn_json_at(v, i));
  if (!pn_json_is(v, PN_JSON_OBJECT)) return n;
  if (pn_json_is(pn_json_get(v, "cache_control"), PN_JSON_OBJECT)) n++;
  return n + count_marks(pn_json_get(v, "content")) +
         count_marks(pn_json_get(pn_json_get(v, "source"), "content"));
}

static bool check_marks(const pn_json *body, pn_error *e) {
  size_t n = count_marks(pn_json_get(body, "tools")) + count_marks(pn_json_get(body, "system")) +
             count_marks(pn_json_get(body, "messages")) + count_marks(body);
  return n <= 4 ||
         pn_fail(e, PN_ERR_USAGE, "A maximum of 4 blocks with cache_control may be provided. Found %zu.", n);
}

// What only a service with other machines behind it can do. Null is absent.
static bool check_services(const pn_json *body, pn_error *e) {
  if (pn_json_len(pn_json_get(body, "mcp_servers")))
    return pn_fail(e, PN_ERR_USAGE,
                   "mcp_servers: this server connects to no MCP servers; give the tools themselves");
  const pn_json *container = pn_json_get(body, "container"), *compaction = pn_json_get(body, "compaction");
  if (container && !pn_json_is(container, PN_JSON_NULL))
    return pn_fail(e, PN_ERR_USAGE, "container: this server has no containers");
  if (compaction && !pn_json_is(compaction, PN_JSON_NULL))
    return pn_fail(e, PN_ERR_USAGE,
                   "compaction: this server does not compact conversations; ask for a summary in a "
                   "message");
  return true;
}

static bool read_thinking(messages_request *q, pn_error *e) {
  const pn_json *thinking = pn_json_get(q->json, "thinking"),
                *temperature = pn_json_get(q->json, "temperature");
  pn_str type = pn_json_str(pn_json_get(thinking, "type"));
  q->thinks = type.n && !pn_str_is(type, "disabled");
  if (!q->thinks) return true;
  q->must_think = pn_str_is(type, "enabled");
  q->omits_thinking = pn_str_is(pn_json_str(pn_json_get(thinking, "display")), "omitted");
  int64_t budget = pn_json_int(pn_json_get(thinking, "budget_tokens"));
  q->think_tokens = budget > INT_MAX ? INT_MAX : (int)budget;
  if (pn_str_is(type, "enabled") && q->max_tokens > 0 &&
      pn_json_int(pn_json_get(thinking, "budget_tokens")) >= q->max_tokens)
    return pn_fail(e, PN_ERR_USAGE, "`max_tokens` must be greater than `thinking.budget_tokens`.");
  if (pn_json_is_number(temperature) && pn_json_num(temperature) != 1)
    return pn_fail(e, PN_ERR_USAGE, "`temperature` may only be set to 1 when thinking is enabled.");
  return true;
}

static bool read_tools(messages_request *q, pn_error *e) {
  const pn_json *choice = pn_json_get(q->json, "tool_choice");
  pn_str type = pn_json_str(pn_json_get(choice, "type")), name = pn_json_str(pn_json_get(choice, "name"));
  if (!tools_read(pn_json_get(q->json, "tools"), &q->tools, e) ||
      !tools_follow(&q->tools, pn_json_get(q->json, "messages"), e))
    return false;
  bool forced = pn_str_is(type, "any") || pn_str_is(type, "tool");
  if (forced && pn_json_len(pn_json_get(q->json, "tools")) == 0)
    return pn_fail(e, PN_ERR_USAGE, "tool_choice: may only be specified while providing tools");
  if (forced && q->thinks)
    return pn_fail(e, PN_ERR_USAGE, "Thinking may not be enabled when tool_choice forces tool use.");
  if (pn_str_is(type, "any") && pn_json_len(q->tools.callable) == 0)
    return pn_fail(e, PN_ERR_USAGE, "tool_choice: none of the tools can be called here");
  if (pn_str_is(type, "tool") && !tools_find(&q->tools, name))
    return pn_fail(e, PN_ERR_USAGE, "tool_choice.name: Tool '%.*s' not found in provided tools",
                   (int)(name.n < 128 ? name.n : 128), name.p);
  return true;
}

static void read_context(messages_request *q) {
  const pn_json *config = pn_json_get(q->json, "output_config");
  const pn_json *management = pn_json_get(q->json, "context_management"),
                *edits = pn_json_get(management, "edits");
  q->effort = pn_json_str(pn_json_get(config, "effort"));
  q->schema = pn_json_get(pn_json_get(config, "format"), "schema");
  q->schema_is_strict = true; // as the API is
  q->has_edits = pn_json_is(management, PN_JSON_OBJECT);
  q->keeps_thoughts = -1;
  for (size_t i = 0; i < pn_json_len(edits); i++) {
    const pn_json *edit = pn_json_at(edits, i), *keep = pn_json_get(edit, "keep");
    pn_str type = pn_json_str(pn_json_get(edit, "type"));
    if (pn_str_is(type, "clear_tool_uses_20250919")) q->clear = edit;
    if (pn_str_is(type, "clear_thinking_20251015")) q->keeps_thoughts = pn_str_is(pn_json_str(keep), "all");
  }
}

// Threads live on the server, and this one keeps none. Ignoring the field would lose the conversation; this
// answer makes clients send it in full.
static bool check_thread(messages_request *q, pn_error *e) {
  const pn_json *thread = pn_json_get(q->json, "thread");
  if (!thread || pn_json_is(thread, PN_JSON_NULL)) return true;
  q->details = "{\"error_code\":\"thread_unsupported_request\",\"unsupported\":[\"thread\"]}";
  return pn_fail(e, PN_ERR_USAGE,
                 "thread: this server does not keep threads; send the whole conversation in `messages`");
}

bool messages_take(pn_json *body, messages_request *q, pn_error *e) {
  q->json = body;
  if (!check_thread(q, e) || !check_services(body, e) || !check_marks(body, e)) return false;
  q->model = pn_json_str(pn_json_get(body, "model"));
  q->max_tokens = pn_json_int(pn_json_get(body, "max_tokens"));
  q->stream = pn_json_true(pn_json_get(body, "stream"));
  read_sampling(q);
  read_context(q);
  return read_stops(q, e) && read_thinking(q, e) && read_tools(q, e) &&
         check_texts(pn_json_get(body, "system"), NULL, 0, e) &&
         check_messages(pn_json_get(body, "messages"), e);
}

bool messages_read(const shape *s, pn_str body, messages_request *q, pn_error *e) {
  pn_json *json = pn_json_parse(body, e);
  if (!json) return pn_fail_in(e, "request body");
  q->json = json; // freed with the request, also when it is refused
  return shape_check(s, json, NULL, e) && messages_take(json, q, e) &&
         messages_check_results(pn_json_get(json, "messages"), e);
}

void messages_request_fini(messages_request *q) {
  tool_list_fini(&q->tools);
  pn_json_free(q->json);
  free(q->stops);
  *q = (messages_request){0};
}
