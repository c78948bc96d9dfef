#include "engine/engine.h"

#include "base/clock.h"
#include "base/log.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"

#include <stdlib.h>

#define MAX_PARTS 1 // sequences a step, with this scheduler

struct pn_engine {
  // Constant after opening.
  pn_model *model;
  const pn_tokenizer *tokenizer;
  pn_backend *backend;
  pn_engine_options options;
  uint64_t kv_bytes, page_bytes;
  pthread_t thread;

  // Shared with other threads.
  pn_mpsc *inbox;
  atomic_int n_requests, n_running; // in the inbox, waiting or running; running
  atomic_int used_pages;
  atomic_bool closing, failed;

  // The engine's thread only.
  scheduler scheduler;
  sampler sampler;
  pn_kv *kv;
  pn_kv_pool *pool;
  float *logits;                     // [MAX_PARTS][n_vocab], host
  int32_t *token, *seq, *pos, *slot; // rows of a step, one allocation
};

static void finish(pn_engine *g, pn_gen *gen, pn_stop_reason why, int stop_index, const pn_error *error) {
  scheduler_remove(&g->scheduler, gen);
  pn_kv_release(g->pool, &gen->table, gen->tokens, 0);
  atomic_store(&g->used_pages, pn_kv_pool_stats(g->pool).n_used);
  atomic_store(&g->n_running, g->scheduler.running != NULL);
  atomic_fetch_sub(&g->n_requests, 1);
  generation_end(gen, why, stop_index, error);
  generation_unref(gen);
}

static void drop_cancelled(pn_engine *g) {
  static const pn_error gone = {PN_ERR_CANCELLED, "the request was cancelled"};
  for (pn_gen *gen; (gen = scheduler_cancelled(&g->scheduler));) {
    pn_log(PN_LOG_INFO, gen->id, "generation cancelled",
           PN_FIELDS(PN_I("prompt_tokens", gen->n_prompt), PN_I("computed_tokens", gen->n_computed),
                     PN_I("output_tokens", generation_n_output(gen))));
    finish(g, gen, PN_STOP_END_TURN, -1, &gone);
  }
}

// The rows of one part into the step's arrays, from row n on. Pages for them are reserved here.
static bool add_rows(pn_engine *g, const step_part *part, int seq, int n, pn_error *e) {
  pn_gen *gen = part->gen;
  if (!pn_kv_reserve(g->pool, &gen->table, gen->n_computed + part->n_rows, e)) return false;
  for (int i = 0; i < part->n_rows; i++) {
    int at = gen->n_computed + i;
    g->token[n + i] = gen->tokens[at];
    g->seq[n + i] = seq;
    g->pos[n + i] = at;
    g->slot[n + i] = pn_kv_slot(&gen->table, at);
  }
  return true;
}

static bool is_end(const pn_engine *g, int32_t id) {
  size_t n;
  const int32_t *ends = pn_tokenizer_end_ids(g->tokenizer, &n);
  for (size_t i = 0; i < n; i++)
    if (ends[i] == id) return true;
  return false;
}

// Everything of the sequence is computed: choose its next token from the logits after the last one.
static void advance(pn_engine *g, pn_gen *gen, const float *logits) {
  int32_t id = sampler_pick(&g->sampler, logits, &gen->sampling, &gen->rng);
  if (id < 0) {
    const pn_error bad = {PN_ERR_INTERNAL, "the model's logits are not finite numbers"};
    pn_log(PN_LOG_ERROR, gen->id, bad.msg, NULL);
    finish(g, gen, PN_STOP_END_TURN, -1, &bad);
    return;
  }
  int stop = -1;
  bool end = !gen->ignore_end && is_end(g, id);
  if (generation_take(gen, id, end, &stop))
    finish(g, gen, PN_STOP_STRING, stop, NULL);
  else if (end)
    finish(g, gen, PN_STOP_END_TURN, -1, NULL);
  else if (generation_n_output(gen) >= gen->max_tokens)
    finish(g, gen, PN_STOP_MAX_TOKENS, -1, NULL);
  else if (gen->n_tokens >= g->options.n_ctx)
    finish(g, gen, PN_STOP_CONTEXT, -1, NULL);
  else if (gen->slow_reader)
    finish(g, gen, PN_STOP_END_TURN, -1, NULL);
}

static void fail_parts(pn_engine *g, const step_part *parts, int n_parts, const pn_error *e) {
  if (e->code == PN_ERR_DEVICE) atomic_store(&g->failed, true); // before anyone hears of it
  for (int i = 0; i < n_parts; i++) {
    pn_log(PN_LOG_ERROR, parts[i].gen->id, "step failed",
           PN_FIELDS(PN_S("code", pn_code_name(e->code)), PN_S("error", e->msg)));
    finish(g, parts[i].gen, PN_STOP_END_TURN, -1, e);
  }
}

// One step; false when there was nothing to do.
static bool step(pn_engine *g) {
  step_part parts[MAX_PARTS];
  const int32_t *pages[MAX_PARTS];
  int32_t logit_rows[MAX_PARTS];
  int n_parts = scheduler_plan(&g->scheduler, parts, MAX_PARTS), n_rows = 0, n_logits = 0;
  if (n_parts == 0) return false;
  atomic_store(&g->n_running, n_parts);
  pn_error e;
  for (int i = 0; i < n_parts; i++) {
    pn_gen *gen = parts[i].gen;
    if (gen->start_us == 0) gen->start_us = pn_now_us();
    if (!add_rows(g, &parts[i], i, n_rows, &e)) return fail_parts(g, parts, n_parts, &e), true;
    pages[i] = gen->table.pages;
    n_rows += parts[i].n_rows;
    if (gen->n_computed + parts[i].n_rows == gen->n_tokens) logit_rows[n_logits++] = n_rows - 1;
  }
  atomic_store(&g->used_pages, pn_kv_pool_stats(g->pool).n_used);
  const pn_batch batch = {n_rows, n_parts, g->token, g->seq, g->pos, g->slot, pages};
  if (!pn_model_forward(g->model, g->kv, &batch, logit_rows, n_logits, g->logits, NULL, &e))
    return fail_parts(g, parts, n_parts, &e), true;
  const float *logits = g->logits;
  for (int i = 0; i < n_parts; i++) {
    pn_gen *gen = parts[i].gen;
    bool prefill = gen->n_computed < gen->n_prompt;
    gen->n_computed += parts[i].n_rows;
    if (prefill) generation_prefilled(gen);
    if (gen->n_computed < gen->n_tokens) continue;
    advance(g, gen, logits);
    logits += pn_model_config_of(g->model)->n_vocab;
  }
  return true;
}

static void *engine_main(void *arg) {
  pn_engine *g = arg;
  while (!atomic_load(&g->closing)) {
    bool idle = scheduler_idle(&g->scheduler);
    for (pn_gen *gen; (gen = pn_mpsc_pop(g->inbox, idle ? UINT64_MAX : 0)); idle = false)
      scheduler_add(&g->scheduler, gen);
    drop_cancelled(g);
    step(g);
  }
  static const pn_error closing = {PN_ERR_CANCELLED, "the server is shutting down"};
  for (pn_gen *gen; (gen = pn_mpsc_pop(g->inbox, 0));) scheduler_add(&g->scheduler, gen);
  for (pn_gen *gen; (gen = scheduler_any(&g->scheduler));) finish(g, gen, PN_STOP_END_TURN, -1, &closing);
  return NULL;
}

// Prompt tokens a step when nobody says: as many as 16 MiB of activations hold.
static int default_chunk(const pn_model_config *c) {
  int64_t heads = (int64_t)(2 * c->n_heads + 2 * c->n_kv_heads) * c->head_dim, ffn = 3 * (int64_t)c->d_ffn;
  int64_t row = (3 * (int64_t)c->d_model + (heads > ffn ? heads : ffn)) * (int64_t)sizeof(float);
  int64_t rows = (16 << 20) / row / 16 * 16;
  return rows < 32 ? 32 : rows > 512 ? 512 : (int)rows;
}

static bool open_memory(pn_engine *g, pn_error *e) {
  const pn_model_config *c = pn_model_config_of(g->model);
  pn_engine_options *o = &g->options;
  if (o->n_ctx < 2 || o->n_ctx > c->max_positions)
    return pn_fail(e, PN_ERR_USAGE, "context: expected 2 to %d tokens, found %d", c->max_positions, o->n_ctx);
  if (o->chunk_tokens <= 0) o->chunk_tokens = default_chunk(c);
  g->scheduler.chunk_tokens = o->chunk_tokens;
  size_t rows = (size_t)o->chunk_tokens;
  int n_pages = (o->n_ctx + PN_KV_PAGE_TOKENS - 1) / PN_KV_PAGE_TOKENS;
  g->token = malloc(4 * rows * sizeof *g->token);
  g->logits = malloc(MAX_PARTS * (size_t)c->n_vocab * sizeof *g->logits);
  g->inbox = pn_mpsc_new((size_t)o->max_queue + MAX_PARTS);
  if (!g->token || !g->logits || !g->inbox)
    return pn_fail(e, PN_ERR_NOMEM, "out of memory for steps of %zu rows", rows);
  g->seq = g->token + rows;
  g->pos = g->seq + rows;
  g->slot = g->pos + rows;
  const pn_kv_shape shape = pn_model_kv_shape(g->model, o->kv_type, PN_KV_PAGE_TOKENS, n_pages);
  g->kv_bytes = pn_kv_shape_bytes(&shape);
  g->page_bytes = pn_kv_token_bytes(&shape) * PN_KV_PAGE_TOKENS;
  g->pool = pn_kv_pool_new(n_pages, e);
  if (!g->pool) return false;
  g->kv = g->backend->ops->kv_open(g->backend, &shape, e);
  return g->kv && sampler_init(&g->sampler, c->n_vocab, e) &&
         pn_model_reserve(g->model, o->chunk_tokens, MAX_PARTS, e);
}

static void free_memory(pn_engine *g) {
  if (g->kv) g->backend->ops->kv_close(g->backend, g->kv);
  pn_kv_pool_free(g->pool);
  sampler_fini(&g->sampler);
  pn_mpsc_free(g->inbox);
  free(g->logits);
  free(g->token);
  free(g);
}

pn_engine *pn_engine_open(pn_model *m, const pn_tokenizer *t, pn_backend *b, const pn_engine_options *o,
                          pn_error *e) {
  pn_engine *g = calloc(1, sizeof *g);
  if (!g) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the engine"), NULL;
  g->model = m;
  g->tokenizer = t;
  g->backend = b;
  g->options = *o;
  if (g->options.max_queue < 0) g->options.max_queue = 0;
  bool ok = open_memory(g, e);
  if (ok && pthread_create(&g->thread, NULL, engine_main, g) != 0)
    ok = pn_fail(e, PN_ERR_NOMEM, "cannot start the engine's thread");
  if (ok) return g;
  free_memory(g);
  return NULL;
}

void pn_engine_close(pn_engine *g) {
  if (!g) return;
  atomic_store(&g->closing, true);
  pn_mpsc_wake(g->inbox);
  pthread_join(g->thread, NULL);
  free_memory(g);
}

void pn_engine_info_of(pn_engine *g, pn_engine_info *out) {
  int running = atomic_load(&g->n_running), all = atomic_load(&g->n_requests);
  *out = (pn_engine_info){.n_ctx = g->options.n_ctx,
                          .n_running = running,
                          .n_waiting = all > running ? all - running : 0,
                          .kv_bytes = g->kv_bytes,
                          .kv_used_bytes = (uint64_t)atomic_load(&g->used_pages) * g->page_bytes,
                          .failed = atomic_load(&g->failed)};
}

static bool check_request(const pn_engine *g, const pn_request *r, pn_error *e) {
  if (r->n_tokens == 0) return pn_fail(e, PN_ERR_USAGE, "the prompt is empty");
  if (r->n_tokens >= (size_t)g->options.n_ctx)
    return pn_fail(e, PN_ERR_LIMIT, "prompt is too long: %zu tokens > %d maximum", r->n_tokens,
                   g->options.n_ctx - 1);
  if (r->max_tokens < 1)
    return pn_fail(e, PN_ERR_USAGE, "max_tokens: expected 1 or more, found %d", r->max_tokens);
  const pn_sampling *s = &r->sampling;
  if (!(s->temperature >= 0 && s->top_p > 0 && s->top_p <= 1 && s->min_p >= 0 && s->min_p < 1 &&
        s->top_k >= 0))
    return pn_fail(e, PN_ERR_USAGE, "sampling settings are out of range");
  for (size_t i = 0; i < r->n_stops; i++)
    if (r->stops[i].n == 0) return pn_fail(e, PN_ERR_USAGE, "stop string %zu is empty", i);
  return true;
}

pn_gen *pn_engine_submit(pn_engine *g, const pn_request *r, pn_error *e) {
  if (!check_request(g, r, e)) return NULL;
  if (atomic_fetch_add(&g->n_requests, 1) >= g->options.max_queue + MAX_PARTS) {
    atomic_fetch_sub(&g->n_requests, 1);
    pn_fail(e, PN_ERR_BUSY, "%d requests are waiting already", g->options.max_queue);
    return NULL;
  }
  pn_gen *gen = generation_new(r, g->tokenizer, g->options.n_ctx, e);
  if (!gen) {
    atomic_fetch_sub(&g->n_requests, 1);
    return NULL;
  }
  pn_mpsc_push(g->inbox, gen); // has room for every request that was counted
  return gen;
}
