#include "base/clock.h"
#include "engine/engine_int.h"

#include <stdlib.h>

#define DEFAULT_PREFILL_SHARE 0.3

// Prompt tokens a step at most. When nobody says: as many as 16 MiB of activations hold, which caches may
// keep; on a device, which has many more units to feed, 256 MiB.
static int chunk_of(const pn_model *m, const pn_backend *b, const pn_engine_options *o) {
  if (o->chunk_tokens > 0) return o->chunk_tokens;
  const bool device = b->ops->device_memory != NULL;
  const uint64_t bytes = device ? 256 << 20 : 16 << 20, most = device ? 2048 : 512;
  uint64_t rows = bytes / (pn_model_row_bytes(m) + 1) / 16 * 16;
  return rows < 32 ? 32 : rows > most ? (int)most : (int)rows;
}

// The pool for options that are complete.
static pn_kv_setup kv_setup_of(const pn_model *m, pn_backend *b, const pn_engine_options *o) {
  const pn_kv_wish wish = {
      .type = o->kv_type,
      .n_pages = pn_kv_pages_of(o->kv_tokens),
      .max_running = o->max_running > 1 ? o->max_running : 1,
      .step_tokens = chunk_of(m, b, o) > 2 * SEQUENCE_AHEAD ? chunk_of(m, b, o) : 2 * SEQUENCE_AHEAD,
  };
  return pn_kv_setup_of(pn_model_config_of(m), b, &wish);
}

uint64_t pn_engine_kv_bytes(const pn_model *m, pn_backend *b, const pn_engine_options *o) {
  const pn_kv_setup setup = kv_setup_of(m, b, o);
  return pn_kv_setup_bytes(pn_model_config_of(m), b, o->kv_type, &setup);
}

uint64_t pn_engine_scratch_bytes(const pn_model *m, const pn_backend *b, const pn_engine_options *o) {
  int running = o->max_running > 1 ? o->max_running : 1, queue = o->max_queue > 0 ? o->max_queue : 0;
  int chunk = chunk_of(m, b, o);
  uint64_t vocab = (uint64_t)pn_model_config_of(m)->n_vocab, n_ctx = (uint64_t)o->n_ctx;
  int rows = running + DRAFT_ROWS;
  uint64_t steps = pn_model_step_bytes(m, rows, rows) + pn_model_step_bytes(m, chunk, running);
  uint64_t texts = o->speculate ? drafter_bytes(running, o->n_ctx) : 0;
  // Rows of logits that masks leave; what sampling picks out of a row, for as many threads as have one.
  uint64_t sampling = (uint64_t)rows * vocab * sizeof(float) + vocab * 2 * sizeof(uint64_t);
  uint64_t request =
      GENERATION_OUTBOX_BYTES + n_ctx * sizeof(int32_t) * (PN_KV_PAGE_TOKENS + 1) / PN_KV_PAGE_TOKENS;
  return steps + texts + sampling + request * ((uint64_t)running + (uint64_t)queue);
}

static bool check_options(pn_engine *g, pn_error *e) {
  const pn_model_config *c = pn_model_config_of(g->model);
  pn_engine_options *o = &g->options;
  int64_t most = (int64_t)c->max_positions * PN_MODEL_STRETCH;
  if (o->n_ctx < 2 || o->n_ctx > most)
    return pn_fail(e, PN_ERR_USAGE, "context: expected 2 to %lld tokens, found %d", (long long)most,
                   o->n_ctx);
  if (o->kv_tokens == 0) o->kv_tokens = o->n_ctx;
  if (o->kv_tokens < o->n_ctx || o->kv_tokens > INT32_MAX - PN_KV_PAGE_TOKENS)
    return pn_fail(e, PN_ERR_USAGE, "KV cache: expected %d (the context) to %d tokens, found %lld", o->n_ctx,
                   INT32_MAX - PN_KV_PAGE_TOKENS, (long long)o->kv_tokens);
  if (o->max_running <= 0) o->max_running = 1;
  if (o->max_queue < 0) o->max_queue = 0;
  if (o->max_running > 4096 || o->max_queue > 1 << 20)
    return pn_fail(e, PN_ERR_USAGE, "%d running and %d waiting requests: expected at most 4096 and %d",
                   o->max_running, o->max_queue, 1 << 20);
  o->chunk_tokens = chunk_of(g->model, g->backend, o);
  if (!(o->prefill_share > 0)) o->prefill_share = (float)DEFAULT_PREFILL_SHARE;
  if (o->prefill_share > 0.9f) o->prefill_share = 0.9f;
  return true;
}

// Rows of streams may be guessed tokens, and logits are wanted after each of those.
static bool open_rows(step_rows *r, const pn_kv_memory *kv, int max_rows, int max_parts, pn_error *e) {
  size_t rows = (size_t)max_rows, parts = (size_t)max_parts, logits = parts + DRAFT_ROWS;
  r->token = calloc(3 * rows + logits + parts, sizeof *r->token);
  r->parts = calloc(parts, sizeof *r->parts);
  if (!r->token || !r->parts) return pn_fail(e, PN_ERR_NOMEM, "out of memory for steps of %zu rows", rows);
  r->seq = r->token + rows;
  r->pos = r->seq + rows;
  r->logit_rows = r->pos + rows;
  r->choice = r->logit_rows + logits;
  return pn_kv_places_init(&r->places, kv, max_rows, max_parts, e);
}

static void free_rows(step_rows *r) {
  free(r->token);
  free(r->parts);
  pn_kv_places_fini(&r->places);
}

// Rows of a pass without streams of which each routed expert meets 8 on average; 0: there are no experts. A
// pass of few rows reads nearly all experts for a row or two each: of Qwen3-30B-A3B one of 16 rows costs 3
// times as much a row as one of 128.
static int rows_for_experts(const pn_model_config *c) {
  return c->n_experts ? 8 * c->n_experts / c->n_experts_used : 0;
}

// What steps write to.
static bool open_steps(pn_engine *g, pn_error *e) {
  const pn_engine_options *o = &g->options;
  int n = o->max_running, chunk = o->chunk_tokens;
  // Where steps run behind the call, a pass can't rest between layers.
  int pieces = g->backend->ops->asynchronous ? 1 : pn_model_config_of(g->model)->n_layers;
  prompt_pace_init(&g->pace, (double)o->prefill_share, chunk, pieces);
  const int least = rows_for_experts(pn_model_config_of(g->model));
  if (least > g->pace.alone_least) g->pace.alone_least = least;
  g->unsaid = calloc((size_t)n, sizeof(pn_gen *));
  if (!g->unsaid) return pn_fail(e, PN_ERR_NOMEM, "out of memory for %d running sequences", n);
  int rows = n * SEQUENCE_AHEAD + DRAFT_ROWS;
  // A state can't go back over tokens that were guessed wrong.
  bool guesses = o->speculate && !pn_kv_pool_has_states(g->pool);
  return open_rows(&g->streams, &g->kv, rows, n, e) && open_rows(&g->prompts, &g->kv, chunk, n, e) &&
         chooser_init(&g->chooser, g->backend, g->n_vocab, n + DRAFT_ROWS, e) &&
         (!guesses || drafter_init(&g->drafter, n, o->n_ctx, e)) &&
         pn_model_reserve(g->model, rows, n + DRAFT_ROWS, e) &&
         (g->pass = pn_pass_open(g->model, chunk, n, e)) != NULL;
}

static bool open_cache(pn_engine *g, pn_error *e) {
  const pn_engine_options *o = &g->options;
  const pn_model_config *c = pn_model_config_of(g->model);
  const pn_kv_setup setup = kv_setup_of(g->model, g->backend, o);
  g->kv_bytes = pn_kv_setup_bytes(c, g->backend, o->kv_type, &setup);
  g->pool = pn_kv_pool_new(&setup, e);
  if (!g->pool || !pn_kv_memory_open(&g->kv, c, g->backend, o->kv_type, &setup, e)) return false;
  uint64_t n_tokens = (uint64_t)setup.n_pages * PN_KV_PAGE_TOKENS;
  g->metrics = engine_metrics_new(
      o->metrics, &(engine_metrics_setup){pn_kv_type_name(o->kv_type), PN_KV_PAGE_TOKENS, setup.n_pages,
                                          (g->kv_bytes + n_tokens - 1) / n_tokens, g->kv_bytes});
  return scheduler_init(&g->scheduler, g->pool, o->max_running, engine_hooks(g), e);
}

static bool open_memory(pn_engine *g, pn_error *e) {
  if (!check_options(g, e)) return false;
  // As many again for the background.
  g->inbox = pn_mpsc_new(2 * ((size_t)g->options.max_queue + (size_t)g->options.max_running));
  if (!g->inbox) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the queue");
  return open_cache(g, e) && open_steps(g, e);
}

static void free_memory(pn_engine *g) {
  scheduler_fini(&g->scheduler);
  engine_metrics_free(g->metrics);
  pn_kv_memory_close(&g->kv);
  pn_kv_pool_free(g->pool);
  chooser_fini(&g->chooser);
  drafter_fini(&g->drafter);
  pn_mpsc_free(g->inbox);
  pn_pass_close(g->pass);
  free_rows(&g->streams);
  free_rows(&g->prompts);
  free(g->unsaid);
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
  g->n_vocab = pn_model_config_of(m)->n_vocab;
  g->next_deadline_us = UINT64_MAX;
  bool ok = open_memory(g, e);
  if (ok) engine_show_state(g);
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

// As long as those that wait will take at the pace at which requests ended lately.
static int retry_after(pn_engine *g, int n_waiting) {
  uint64_t us = atomic_load(&g->end_interval_us);
  if (us > 60000000) us = 60000000;
  uint64_t s = (us * (uint64_t)n_waiting + 999999) / 1000000;
  return s < 1 ? 1 : s > 60 ? 60 : (int)s;
}

void pn_engine_info_of(pn_engine *g, pn_engine_info *out) {
  int running = atomic_load(&g->n_running), all = atomic_load(&g->n_requests);
  int waiting = all > running ? all - running : 0;
  *out = (pn_engine_info){.n_ctx = g->options.n_ctx,
                          .n_running = running,
                          .n_waiting = waiting,
                          .kv_bytes = g->kv_bytes,
                          .kv_used_bytes = atomic_load(&g->used_bytes),
                          .kv_cached_bytes = atomic_load(&g->cached_bytes),
                          .retry_after_s = retry_after(g, waiting),
                          .failed = atomic_load(&g->failed)};
}

static bool check_request(const pn_engine *g, const pn_request *r, pn_error *e) {
  if (r->n_tokens == 0) return pn_fail(e, PN_ERR_USAGE, "the prompt is empty");
  if (r->n_tokens >= (size_t)g->options.n_ctx)
    return pn_fail(e, PN_ERR_LIMIT, "prompt is too long: %zu tokens > %d maximum", r->n_tokens,
                   g->options.n_ctx - 1);
  for (size_t i = 0; i < r->n_tokens; i++) // in a step it would fail the others too
    if (r->tokens[i] < 0 || r->tokens[i] >= g->n_vocab)
      return pn_fail(e, PN_ERR_USAGE, "token %zu: expected 0 to %d, found %d", i, g->n_vocab - 1,
                     (int)r->tokens[i]);
  if (r->n_top_logprobs < 0 || r->n_top_logprobs > PN_TOP_LOGPROBS)
    return pn_fail(e, PN_ERR_USAGE, "top log probabilities: expected 0 to %d, found %d", PN_TOP_LOGPROBS,
                   r->n_top_logprobs);
  for (size_t i = 0; i < r->n_marks; i++)
    if (r->marks[i] < 1 || (size_t)r->marks[i] > r->n_tokens || (i && r->marks[i] <= r->marks[i - 1]))
      return pn_fail(e, PN_ERR_USAGE,
                     "mark %zu: expected 1 to %zu tokens, more than the one before, found %d", i, r->n_tokens,
                     (int)r->marks[i]);
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
  atomic_int *n = r->background ? &g->n_background : &g->n_requests;
  if (atomic_fetch_add(n, 1) >= g->options.max_queue + g->options.max_running) {
    atomic_fetch_sub(n, 1);
    engine_metrics_refused(g->metrics);
    pn_fail(e, PN_ERR_BUSY, "%d requests are waiting already", g->options.max_queue);
    return NULL;
  }
  pn_gen *gen =
      generation_new(r, g->tokenizer, &(generation_room){g->options.n_ctx, g->streams.places.n_windows},
                     (generation_bell){&g->n_cancels, g->inbox}, e);
  if (!gen) {
    atomic_fetch_sub(n, 1);
    return NULL;
  }
  pn_mpsc_push(g->inbox, gen); // has room for every request that was counted
  return gen;
}
