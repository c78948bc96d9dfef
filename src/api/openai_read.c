// Bodies of /v1/chat/completions and /v1/completions: checked, and taken apart.
#include "api/openai.h"

#include <limits.h>
#include <stdlib.h>

static float number_or(const pn_json *body, const char *name, double otherwise) {
  const pn_json *v = pn_json_get(body, name);
  return (float)(pn_json_is_number(v) ? pn_json_num(v) : otherwise);
}

static void read_sampling(openai_request *r) {
  const pn_json *seed = pn_json_get(r->body, "seed");
  pn_sampling *s = &r->q.sampling;
  int64_t top_k = pn_json_int(pn_json_get(r->body, "top_k"));
  s->temperature = number_or(r->body, "temperature", 1);
  s->top_p = number_or(r->body, "top_p", 1);
  if (!(s->top_p > 1e-6f)) s->top_p = 1e-6f; // 0 keeps the likeliest token only
  s->min_p = number_or(r->body, "min_p", 0);
  if (s->min_p > 0.999999f) s->min_p = 0.999999f;
  s->top_k = top_k > INT_MAX ? INT_MAX : (int)top_k;
  r->seeded = pn_json_is_number(seed);
  if (r->seeded) s->seed = (uint64_t)pn_json_int(seed);
}

static bool read_stops(openai_request *r, pn_error *e) {
  const pn_json *stop = pn_json_get(r->body, "stop");
  bool single = pn_json_is(stop, PN_JSON_STRING);
  size_t n = single ? 1 : pn_json_is(stop, PN_JSON_ARRAY) ? pn_json_len(stop) : 0;
  if (n == 0) return true;
  r->q.stops = calloc(n, sizeof *r->q.stops);
  if (!r->q.stops) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the stop sequences");
  for (size_t i = 0; i < n; i++) {
    pn_str text = pn_json_str(single ? stop : pn_json_at(stop, i));
    if (text.n) r->q.stops[r->q.n_stops++] = text; // an empty one never stops anything
  }
  return true;
}

// Null is absent.
static const pn_json *given(const pn_json *body, const char *name) {
  const pn_json *v = pn_json_get(body, name);
  return v && !pn_json_is(v, PN_JSON_NULL) ? v : NULL;
}

// What is well formed and can't be done.
static bool check_supported(const pn_json *body, pn_error *e) {
  static const char *const absent[] = {"functions", "function_call", "audio", "web_search_options", "suffix"};
  for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
    if (given(body, absent[i]))
      return pn_fail(e, PN_ERR_USAGE, "%s: this server does not support it", absent[i]);
  if (pn_json_len(pn_json_get(body, "logit_bias")))
    return pn_fail(e, PN_ERR_USAGE, "logit_bias: this server does not support it");
  if (pn_json_true(pn_json_get(body, "echo")))
    return pn_fail(e, PN_ERR_USAGE, "echo: this server does not support it");
  if (given(body, "top_logprobs") && !pn_json_true(pn_json_get(body, "logprobs")))
    return pn_fail(e, PN_ERR_USAGE, "top_logprobs: may only be given with logprobs");
  return true;
}

static void read_wish(openai_request *r, bool chat) {
  const pn_json *logprobs = given(r->body, "logprobs");
  r->wish = (openai_wish){
      .chat = chat,
      .include_usage = pn_json_true(pn_json_get(pn_json_get(r->body, "stream_options"), "include_usage")),
      .logprobs = chat ? pn_json_true(logprobs) : logprobs != NULL};
  r->n_top_logprobs =
      (int)pn_json_int(chat ? pn_json_get(r->body, "top_logprobs") : logprobs); // bounded by their shapes
}

// A call that is asked for leaves no room for thoughts.
static bool forces_calls(const pn_json *body) {
  const pn_json *choice = pn_json_get(body, "tool_choice");
  return pn_json_is(choice, PN_JSON_OBJECT) || pn_str_is(pn_json_str(choice), "required");
}

// Whoever asks for an effort wants thoughts; a switch of the template's own says it in so many words.
static void read_thinking(openai_request *r) {
  static const char *const switches[] = {"enable_thinking", "thinking"};
  const pn_json *effort = given(r->body, "reasoning_effort"), *more = given(r->body, "chat_template_kwargs"),
                *own = pn_json_get(more, "reasoning_effort");
  messages_request *q = &r->q;
  q->more_variables = more;
  if (pn_json_is(own, PN_JSON_STRING)) effort = own;
  if (effort) q->effort = pn_json_str(effort);
  q->thinks = effort != NULL && !pn_str_is(q->effort, "none");
  for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
    const pn_json *on = pn_json_get(more, switches[i]);
    if (pn_json_is(on, PN_JSON_BOOL)) q->thinks = pn_json_true(on);
  }
  if (!q->thinks && pn_str_is(q->effort, "none")) q->effort = (pn_str){0};
  q->thinks = q->thinks && !forces_calls(r->body);
}

bool openai_read(const shape *s, pn_str body, openai_request *r, pn_error *e) {
  bool chat = s == &openai_chat_shape;
  r->body = pn_json_parse(body, e);
  if (!r->body) return pn_fail_in(e, "request body");
  if (!shape_check(s, r->body, NULL, e) || !check_supported(r->body, e)) return false;
  if (chat) {
    pn_json *converted = openai_to_messages(r->body, e);
    if (!converted || !messages_take(converted, &r->q, e)) return false;
    read_thinking(r);
  }
  const pn_json *form = pn_json_get(pn_json_get(r->body, "response_format"), "json_schema");
  r->q.schema_is_strict = pn_json_true(pn_json_get(form, "strict"));
  read_sampling(r);
  read_wish(r, chat);
  r->q.model = pn_json_str(pn_json_get(r->body, "model"));
  r->q.stream = pn_json_true(pn_json_get(r->body, "stream"));
  const pn_json *most = chat ? given(r->body, "max_completion_tokens") : NULL;
  if (!most) most = given(r->body, "max_tokens");
  r->q.max_tokens = most ? pn_json_int(most) : chat ? 0 : 16;
  return read_stops(r, e);
}

void openai_request_fini(openai_request *r) {
  messages_request_fini(&r->q);
  pn_json_free(r->body);
  *r = (openai_request){0};
}
