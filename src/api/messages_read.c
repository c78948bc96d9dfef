#include "api/messages_read.h"

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

// User messages must say something. Assistant messages may be empty: a model may answer nothing, and clients echo it.
// System messages may be empty: Claude Code sends such.
static bool check_messages(const pn_json *messages, pn_error *e) {
  for (size_t i = 0; i < pn_json_len(messages); i++) {
    const pn_json *m = pn_json_at(messages, i);
    if (pn_str_is(pn_json_str(pn_json_get(m, "role")), "user") && is_empty(pn_json_get(m, "content")))
      return pn_fail(e, PN_ERR_USAGE,
                     "messages.%zu.content: all messages must have non-empty content except for the "
                     "optional final assistant message",
                     i);
  }
  return true;
}

// Threads live on the server, and this one keeps none. Ignoring the field would lose the conversation; this answer
// makes clients send it in full.
static bool check_thread(messages_request *q, pn_error *e) {
  const pn_json *thread = pn_json_get(q->json, "thread");
  if (!thread || pn_json_is(thread, PN_JSON_NULL)) return true;
  q->details = "{\"error_code\":\"thread_unsupported_request\",\"unsupported\":[\"thread\"]}";
  return pn_fail(e, PN_ERR_USAGE,
                 "thread: this server does not keep threads; send the whole conversation in `messages`");
}

bool messages_read(const shape *s, pn_str body, messages_request *q, pn_error *e) {
  q->json = pn_json_parse(body, e);
  if (!q->json) return pn_fail_in(e, "request body");
  if (!shape_check(s, q->json, NULL, e) || !check_thread(q, e)) return false;
  q->model = pn_json_str(pn_json_get(q->json, "model"));
  q->max_tokens = pn_json_int(pn_json_get(q->json, "max_tokens"));
  q->stream = pn_json_true(pn_json_get(q->json, "stream"));
  read_sampling(q);
  return read_stops(q, e) && check_messages(pn_json_get(q->json, "messages"), e);
}

void messages_request_fini(messages_request *q) {
  pn_json_free(q->json);
  free(q->stops);
  *q = (messages_request){0};
}
