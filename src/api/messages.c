// POST /v1/messages and /v1/messages/count_tokens.
#include "api/api_core.h"
#include "api/messages_answer.h"
#include "api/messages_cache.h"
#include "api/messages_prompt.h"
#include "api/messages_read.h"

#include <limits.h>

static void no_wake(void *ctx) { (void)ctx; }

static bool check_length(const pn_api *a, const messages_request *q, size_t n, pn_error *e) {
  pn_engine_info info = {0};
  pn_engine_info_of(a->o.engine, &info);
  size_t most = info.n_ctx > 0 ? (size_t)info.n_ctx : 0;
  if (n > most) return pn_fail(e, PN_ERR_USAGE, "prompt is too long: %zu tokens > %zu maximum", n, most);
  // Claude Code reads the three numbers and comes back with a smaller max_tokens.
  if ((uint64_t)q->max_tokens > most - n)
    return pn_fail(e, PN_ERR_USAGE,
                   "input length and `max_tokens` exceed context limit: %zu + %lld > %zu, decrease input "
                   "length or `max_tokens` and try again",
                   n, (long long)q->max_tokens, most);
  if (n == 0)
    return pn_fail(e, PN_ERR_USAGE, "messages: the model's chat template made an empty prompt of it");
  return true;
}

static pn_gen *submit(const pn_api *a, const pn_api_request *r, const messages_request *q, const pn_ids *ids,
                      pn_error *e) {
  // A batch may have to wait long, and nobody waits for it.
  int timeout_s = r->background ? 0 : a->o.request_timeout_s;
  pn_request request = {
      .id = r->request_id ? r->request_id : "",
      .tokens = ids->p,
      .n_tokens = ids->n,
      .max_tokens = q->max_tokens < INT_MAX ? (int)q->max_tokens : INT_MAX,
      .sampling = q->sampling,
      .stops = q->stops,
      .n_stops = q->n_stops,
      .client = r->client,
      .timeout_us = timeout_s > 0 ? (uint64_t)timeout_s * 1000000 : 0,
      .notify = r->wake ? r->wake : no_wake,
      .notify_ctx = r->wake_ctx,
  };
  return pn_engine_submit(a->o.engine, &request, e);
}

// The answer's memory is taken before the engine works, so that nothing can fail between.
static pn_reply *generate(const pn_api *a, const pn_api_request *r, const messages_request *q,
                          const pn_ids *ids, pn_error *e) {
  if (!check_length(a, q, ids->n, e)) return NULL;
  cache_marks marks;
  messages_cache_marks(a, q, ids, &marks);
  answer *w = answer_new(a, r, q, &marks);
  if (!w) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the answer"), NULL;
  pn_gen *gen = submit(a, r, q, ids, e);
  if (gen) return answer_start(w, gen);
  answer_free(w);
  return NULL;
}

// When there may be room. Clients give up at once when they are told more than a minute.
static int retry_after_s(const pn_api *a) {
  pn_engine_info info = {0};
  pn_engine_info_of(a->o.engine, &info);
  return info.retry_after_s < 1 ? 1 : info.retry_after_s > 60 ? 60 : info.retry_after_s;
}

pn_reply *messages_create(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  if (!a->o.engine) return api_reply_error(503, "the server is starting", NULL, r->request_id);
  if (atomic_load(&a->draining))
    return api_reply_error(503, "the server is shutting down and takes no new requests", NULL, r->request_id);
  pn_error e = {0};
  messages_request q = {0};
  pn_ids ids = {0};
  pn_reply *reply = NULL;
  if (messages_read(&messages_create_shape, r->body, &q, &e) && messages_prompt(a, &q, &ids, &e))
    reply = generate(a, r, &q, &ids, &e);
  if (!reply && e.code != PN_OK) {
    reply = api_reply_fail(&e, q.details, r->request_id);
    if (reply && reply->status == 529) reply->retry_after_s = retry_after_s(a);
  }
  messages_request_fini(&q);
  pn_ids_fini(&ids);
  return reply;
}

pn_reply *messages_count(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  pn_error e = {0};
  messages_request q = {0};
  pn_ids ids = {0};
  pn_reply *reply;
  if (messages_read(&messages_count_shape, r->body, &q, &e) && messages_prompt(a, &q, &ids, &e)) {
    reply = api_reply_new(200, "application/json");
    if (reply) pn_buf_printf(&reply->body, "{\"input_tokens\":%zu}", ids.n);
  } else {
    reply = api_reply_fail(&e, q.details, r->request_id);
  }
  messages_request_fini(&q);
  pn_ids_fini(&ids);
  return reply;
}
