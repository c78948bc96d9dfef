// POST /v1/messages and /v1/messages/count_tokens.
#include "api/messages.h"

#include "api/answer_end.h"
#include "api/api_rate.h"
#include "api/api_sessions.h"
#include "api/messages_answer.h"
#include "api/messages_cache.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

bool messages_may_begin(pn_api *a, const pn_api_request *r, messages_not_now * not ) {
  api_sessions_note(a->sessions, r);
  *not = (messages_not_now){.status = 503, .message = "the server is starting"};
  if (!a->o.engine) return false;
  snprintf(not ->message, sizeof not ->message, "the server is shutting down and takes no new requests");
  if (atomic_load(&a->draining)) return false;
  not ->status = 429;
  snprintf(not ->message, sizeof not ->message,
           "This request would exceed the rate limit of %d requests per minute",
           api_rate_per_minute(a->rate));
  return r->background || api_rate_take(a->rate, r->key_name, a->now_us(), &not ->retry_after_s);
}

bool messages_check_model(const pn_api *a, pn_str model, pn_error *e) {
  if (model_served(a, model)) return true;
  return pn_fail(e, PN_ERR_NOT_FOUND, "model: %.*s", (int)(model.n < 200 ? model.n : 200), model.p);
}

bool messages_check_length(const pn_api *a, int64_t max_tokens, size_t n, pn_error *e) {
  pn_engine_info info = {0};
  pn_engine_info_of(a->o.engine, &info);
  size_t most = info.n_ctx > 0 ? (size_t)info.n_ctx : 0;
  if (n > most || (n == most && max_tokens == 0))
    return pn_fail(e, PN_ERR_USAGE, "prompt is too long: %zu tokens > %zu maximum", n, most);
  // Claude Code reads the three numbers and comes back with a smaller max_tokens.
  if ((uint64_t)max_tokens > most - n)
    return pn_fail(e, PN_ERR_USAGE,
                   "input length and `max_tokens` exceed context limit: %zu + %lld > %zu, decrease input "
                   "length or `max_tokens` and try again",
                   n, (long long)max_tokens, most);
  if (n == 0)
    return pn_fail(e, PN_ERR_USAGE, "messages: the model's chat template made an empty prompt of it");
  return true;
}

static pn_reply *generate(pn_api *a, const pn_api_request *r, const messages_request *q, const prompt *p,
                          const answer_plan *plan, pn_error *e) {
  if (!messages_check_length(a, q->max_tokens, p->ids.n, e)) return NULL;
  answer_ask ask = {.writer = &messages_answer,
                    .model = q->model,
                    .stops = q->stops,
                    .n_stops = q->n_stops,
                    .stream = q->stream};
  messages_cache_marks(a, q, &p->ids, &ask.marks);
  messages_wish *wish = calloc(1, sizeof *wish);
  live_ask generation = messages_generation(a, r, q, p, plan);
  // What a batch says must not push out what conversations come back for.
  if (!wish || (!r->background && !answer_end_watch(a, r->request_id, p, plan, &generation))) {
    free(wish);
    return pn_fail(e, PN_ERR_NOMEM, "out of memory for the answer"), NULL;
  }
  *wish = (messages_wish){.edits = q->has_edits,
                          .n_cleared = q->n_cleared,
                          .n_tokens = p->n_original - p->ids.n,
                          .omits_thinking = q->omits_thinking,
                          .api = a};
  ask.extra = wish;
  return answer_open(a, r, &ask, &generation, e);
}

live_ask messages_generation(const pn_api *a, const pn_api_request *r, const messages_request *q,
                             const prompt *p, const answer_plan *plan) {
  // A batch may have to wait long, and nobody waits for it.
  int timeout_s = r->background ? 0 : a->o.request_timeout_s;
  return (live_ask){
      .engine = a->o.engine,
      .request = {.id = r->request_id ? r->request_id : "",
                  .tokens = p->ids.p,
                  .n_tokens = p->ids.n,
                  .marks = p->marks.p,
                  .n_marks = p->marks.n,
                  .max_tokens = q->max_tokens < INT_MAX ? (int)q->max_tokens : INT_MAX,
                  .sampling = q->sampling,
                  .stops = q->stops,
                  .n_stops = q->n_stops,
                  .guide = plan->guide,
                  .raw = plan->reading.tongue != NULL,
                  .client = r->client,
                  .background = r->background,
                  .timeout_us = timeout_s > 0 ? (uint64_t)timeout_s * 1000000 : 0},
      .key_name = r->key_name,
      .n_retries = r->n_retries,
      .reading = plan->reading,
  };
}

// When there may be room. Clients give up at once when they are told more than a minute.
int messages_retry_after_s(const pn_api *a) {
  pn_engine_info info = {0};
  pn_engine_info_of(a->o.engine, &info);
  return info.retry_after_s < 1 ? 1 : info.retry_after_s > 60 ? 60 : info.retry_after_s;
}

pn_reply *messages_create(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  messages_not_now not ;
  if (!messages_may_begin(a, r, &not ))
    return api_reply_later(api_reply_error(not .status, not .message, NULL, r->request_id),
                           not .retry_after_s);
  pn_error e = {0};
  messages_request q = {0};
  prompt p = {0};
  answer_plan plan = {0};
  pn_reply *reply = NULL;
  if (messages_read(&messages_create_shape, r->body, &q, &e) && messages_check_model(a, q.model, &e) &&
      messages_prompt(a, r->request_id, &q, &p, &e) && messages_plan(a, r->request_id, &q, &p, &plan, &e))
    reply = generate(a, r, &q, &p, &plan, &e);
  if (!reply && e.code != PN_OK) {
    reply = api_reply_fail(&e, q.details, r->request_id);
    if (reply && reply->status == 529) reply->retry_after_s = messages_retry_after_s(a);
  }
  answer_plan_fini(&plan);
  messages_request_fini(&q);
  prompt_fini(&p);
  return reply;
}

static void write_count(pn_buf *b, const messages_request *q, const prompt *p) {
  pn_buf_printf(b, "{\"input_tokens\":%zu", p->ids.n);
  if (q->has_edits)
    pn_buf_printf(b, ",\"context_management\":{\"original_input_tokens\":%zu}", p->n_original);
  pn_buf_char(b, '}');
}

pn_reply *messages_count(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  pn_error e = {0};
  messages_request q = {0};
  prompt p = {0};
  pn_reply *reply;
  if (messages_read(&messages_count_shape, r->body, &q, &e) && messages_check_model(a, q.model, &e) &&
      messages_prompt(a, r->request_id, &q, &p, &e)) {
    reply = api_reply_new(200, "application/json");
    if (reply) write_count(&reply->body, &q, &p);
  } else {
    reply = api_reply_fail(&e, q.details, r->request_id);
  }
  messages_request_fini(&q);
  prompt_fini(&p);
  return reply;
}
