// OpenAI's endpoints: chat completions, text completions, embeddings (refused), and tokens.
#include "api/openai.h"

#include "api/answer_end.h"
#include "api/envelope.h"
#include "api/messages_results.h"

#include <limits.h>
#include <stdlib.h>

static pn_reply *refuse(const pn_api *a, const pn_error *e) {
  pn_reply *reply = api_reply_openai_error(envelope_status(e->code), e->msg);
  if (reply && reply->status == 529) reply->retry_after_s = messages_retry_after_s(a);
  return reply;
}

// `max_tokens` 0 is what fits.
static bool fit(const pn_api *a, openai_request *o, size_t n, pn_error *e) {
  pn_engine_info info = {0};
  pn_engine_info_of(a->o.engine, &info);
  if (o->q.max_tokens == 0 && info.n_ctx > 0 && n < (size_t)info.n_ctx)
    o->q.max_tokens = (int64_t)info.n_ctx - (int64_t)n;
  return messages_check_length(a, o->q.max_tokens, n, e);
}

static pn_reply *generate(pn_api *a, const pn_api_request *r, openai_request *o, const prompt *p,
                          const answer_plan *plan, pn_error *e) {
  if (!fit(a, o, p->ids.n, e)) return NULL;
  openai_wish *wish = malloc(sizeof *wish);
  if (!wish) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the answer"), NULL;
  *wish = o->wish;
  wish->created_s = (int64_t)(a->wall_ms() / 1000);
  answer_ask ask = {.writer = &openai_answer,
                    .model = o->q.model,
                    .stops = o->q.stops,
                    .n_stops = o->q.n_stops,
                    .stream = o->q.stream,
                    .marks = {.n_prompt = p->ids.n},
                    .extra = wish};
  live_ask generation = messages_generation(a, r, &o->q, p, plan);
  generation.seeded = o->seeded;
  generation.request.logprobs = o->wish.logprobs;
  generation.request.n_top_logprobs = o->n_top_logprobs;
  // A completion's text is no turn of a conversation.
  if (o->wish.chat && !answer_end_watch(a, r->request_id, p, plan, &generation)) {
    free(wish);
    return pn_fail(e, PN_ERR_NOMEM, "out of memory for the answer"), NULL;
  }
  return answer_open(a, r, &ask, &generation, e);
}

static bool push_ids(const pn_api *a, const pn_json *list, pn_ids *out, pn_error *e) {
  int32_t n_vocab = pn_tokenizer_n_vocab(a->o.tokenizer);
  for (size_t i = 0; i < pn_json_len(list); i++) {
    const pn_json *v = pn_json_at(list, i);
    int64_t id = pn_json_int(v);
    if (!pn_json_is(v, PN_JSON_INT) || id < 0 || id >= n_vocab)
      return pn_fail(e, PN_ERR_USAGE, "prompt.%zu: expected a token from 0 to %d", i, (int)n_vocab - 1);
    pn_ids_add(out, (int32_t)id);
  }
  return !out->oom || pn_fail(e, PN_ERR_NOMEM, "out of memory for the prompt's tokens");
}

// A raw prompt: text, in which control tokens may be spelled, or tokens. A list may hold one of either.
static bool raw_prompt(const pn_api *a, const pn_json *v, prompt *out, pn_error *e) {
  bool list = pn_json_is(v, PN_JSON_ARRAY);
  const pn_json *first = list ? pn_json_at(v, 0) : v;
  if (list && pn_json_is(first, PN_JSON_INT)) return push_ids(a, v, &out->ids, e);
  if (list && pn_json_len(v) != 1)
    return pn_fail(e, PN_ERR_USAGE, "prompt: this server takes one prompt a request, found %zu",
                   pn_json_len(v));
  if (pn_json_is(first, PN_JSON_ARRAY)) return push_ids(a, first, &out->ids, e);
  if (!pn_json_is(first, PN_JSON_STRING))
    return pn_fail(e, PN_ERR_USAGE, "prompt: Input should be a valid string or a list of tokens");
  if (pn_tokenizer_adds_bos(a->o.tokenizer)) pn_ids_add(&out->ids, pn_tokenizer_bos(a->o.tokenizer));
  return pn_tokenizer_encode(a->o.tokenizer, pn_json_str(first), NULL, 0, &out->ids, e);
}

static pn_reply *complete(pn_api *a, const pn_api_request *r, const shape *s) {
  pn_error e = {0};
  openai_request o = {0};
  prompt p = {0};
  answer_plan plan = {0};
  pn_reply *reply = NULL;
  messages_not_now not ;
  if (!messages_may_begin(a, r, &not ))
    return api_reply_later(api_reply_openai_error(not .status, not .message), not .retry_after_s);
  if (openai_read(s, r->body, &o, &e) && messages_check_model(a, o.q.model, &e) &&
      (o.wish.chat ? messages_prompt(a, r->request_id, &o.q, &p, &e) &&
                         messages_plan(a, r->request_id, &o.q, &p, &plan, &e)
                   : raw_prompt(a, pn_json_get(o.body, "prompt"), &p, &e)))
    reply = generate(a, r, &o, &p, &plan, &e);
  if (!reply && e.code != PN_OK) reply = refuse(a, &e);
  answer_plan_fini(&plan);
  openai_request_fini(&o);
  prompt_fini(&p);
  return reply;
}

pn_reply *openai_chat(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  return complete(a, r, &openai_chat_shape);
}

pn_reply *openai_completion(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  return complete(a, r, &openai_completion_shape);
}

pn_reply *openai_embedding(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  pn_error e = {0};
  pn_json *body = pn_json_parse(r->body, &e);
  if (!body) pn_fail_in(&e, "request body");
  if (body && shape_check(&openai_embedding_shape, body, NULL, &e))
    pn_fail(&e, PN_ERR_UNSUPPORTED,
            "model: %s generates text and makes no embeddings; this server has no other model",
            a->o.model_name ? a->o.model_name : "this model");
  pn_json_free(body);
  return refuse(a, &e);
}

// The tokens of a text, or of a conversation as the model's template writes it.
static bool tokens_of(const pn_api *a, const pn_api_request *r, const pn_json *body, prompt *out,
                      pn_error *e) {
  const pn_json *messages = pn_json_get(body, "messages"), *text = pn_json_get(body, "content");
  if (!pn_json_is(text, PN_JSON_STRING)) text = pn_json_get(body, "prompt");
  if (pn_json_is(messages, PN_JSON_ARRAY)) {
    pn_json *asked = pn_json_new_object();
    messages_request q = {0};
    bool ok = pn_json_set(asked, "messages", pn_json_share(messages));
    ok = (pn_json_set(asked, "model", pn_json_new_str(PN_STR("m"))) && ok) ||
         pn_fail(e, PN_ERR_NOMEM, "out of memory for the conversation");
    q.json = asked;
    ok = ok && shape_check(&messages_count_shape, asked, NULL, e) && messages_take(asked, &q, e) &&
         messages_check_results(messages, e) && messages_prompt(a, r->request_id, &q, out, e);
    messages_request_fini(&q);
    return ok;
  }
  if (!pn_json_is(text, PN_JSON_STRING)) return pn_fail(e, PN_ERR_USAGE, "content: Field required");
  if (pn_json_true(pn_json_get(body, "add_special")) && pn_tokenizer_bos(a->o.tokenizer) >= 0)
    pn_ids_add(&out->ids, pn_tokenizer_bos(a->o.tokenizer));
  pn_str s = pn_json_str(text);
  const pn_span all = {0, s.n};
  return pn_tokenizer_encode(a->o.tokenizer, s, &all,
                             pn_json_true(pn_json_get(body, "parse_special")) ? 0 : 1, &out->ids, e);
}

pn_reply *openai_tokenize(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  pn_error e = {0};
  prompt p = {0};
  pn_reply *reply = NULL;
  pn_engine_info info = {0};
  if (a->o.engine) pn_engine_info_of(a->o.engine, &info);
  pn_json *body = pn_json_parse(r->body, &e);
  if (!body) pn_fail_in(&e, "request body");
  if (body && shape_check(&openai_tokenize_shape, body, NULL, &e) && tokens_of(a, r, body, &p, &e)) {
    reply = api_reply_new(200, "application/json");
    if (reply)
      pn_buf_printf(&reply->body, "{\"count\":%zu,\"max_model_len\":%d,\"tokens\":[", p.ids.n, info.n_ctx);
    for (size_t i = 0; reply && i < p.ids.n; i++)
      pn_buf_printf(&reply->body, i ? ",%d" : "%d", (int)p.ids.p[i]);
    if (reply) pn_buf_z(&reply->body, "]}");
  }
  pn_json_free(body);
  prompt_fini(&p);
  return reply || e.code == PN_OK ? reply : refuse(a, &e);
}

pn_reply *openai_detokenize(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  pn_error e = {0};
  pn_ids ids = {0};
  pn_buf text = {0};
  pn_reply *reply = NULL;
  pn_json *body = pn_json_parse(r->body, &e);
  if (!body) pn_fail_in(&e, "request body");
  if (body && shape_check(&openai_detokenize_shape, body, NULL, &e) &&
      push_ids(a, pn_json_get(body, "tokens"), &ids, &e)) {
    pn_tokenizer_decode(a->o.tokenizer, ids.p, ids.n, true, &text);
    reply = api_reply_new(200, "application/json");
    if (reply) {
      pn_buf_z(&reply->body, "{\"content\":");
      pn_json_write_str(&reply->body, pn_buf_view(&text));
      pn_buf_z(&reply->body, ",\"prompt\":");
      pn_json_write_str(&reply->body, pn_buf_view(&text));
      pn_buf_char(&reply->body, '}');
    }
  }
  pn_json_free(body);
  pn_ids_fini(&ids);
  pn_buf_fini(&text);
  return reply || e.code == PN_OK ? reply : refuse(a, &e);
}
