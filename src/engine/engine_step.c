// One step: what comes next, computed and sampled. Nothing here allocates.
#include "base/clock.h"
#include "base/log.h"
#include "engine/engine_int.h"

static bool copy_page(void *ctx, int32_t from, int32_t to) {
  pn_engine *g = ctx;
  pn_error e;
  if (g->backend->ops->kv_copy(g->backend, g->kv, from, to, &e)) return true;
  pn_log(PN_LOG_WARN, NULL, "a page of the prefix cache could not be copied",
         PN_FIELDS(PN_S("error", e.msg)));
  return false;
}

static void was_paused(void *ctx, sequence *seq, int n_lost) {
  pn_engine *g = ctx;
  const pn_gen *gen = generation_of(seq);
  pn_log(PN_LOG_INFO, gen->id, "generation preempted",
         PN_FIELDS(PN_I("computed_tokens", n_lost), PN_I("output_tokens", generation_n_output(gen))));
  engine_metrics_preempted(g->metrics, n_lost);
}

scheduler_hooks engine_hooks(pn_engine *g) { return (scheduler_hooks){copy_page, was_paused, g}; }

void engine_admit(pn_engine *g) {
  for (sequence *seq; (seq = scheduler_admit(&g->scheduler));) {
    pn_gen *gen = generation_of(seq);
    if (gen->start_us == 0) gen->start_us = g->now_us;
  }
}

static bool is_end(const pn_engine *g, int32_t id) {
  size_t n;
  const int32_t *ends = pn_tokenizer_end_ids(g->tokenizer, &n);
  for (size_t i = 0; i < n; i++)
    if (ends[i] == id) return true;
  return false;
}

// Everything of the sequence is computed: choose its next token from the logits after the last one.
static void advance(pn_engine *g, pn_gen *gen, const float *logits, uint64_t now_us) {
  int32_t id = sampler_pick(&g->sampler, logits, &gen->sampling, &gen->rng);
  if (id < 0) {
    const pn_error bad = {PN_ERR_INTERNAL, "the model's logits are not finite numbers"};
    pn_log(PN_LOG_ERROR, gen->id, bad.msg, NULL);
    engine_finish(g, gen, PN_STOP_END_TURN, -1, &bad, false);
    return;
  }
  if (gen->first_us == 0)
    engine_metrics_first_token(g->metrics, now_us - gen->submit_us);
  else
    engine_metrics_next_token(g->metrics, now_us - gen->last_us);
  int stop = -1;
  bool end = !gen->ignore_end && is_end(g, id);
  if (generation_take(gen, id, end, now_us, &stop))
    engine_finish(g, gen, PN_STOP_STRING, stop, NULL, true);
  else if (end)
    engine_finish(g, gen, PN_STOP_END_TURN, -1, NULL, true);
  else if (generation_n_output(gen) >= gen->seq.max_tokens)
    engine_finish(g, gen, PN_STOP_MAX_TOKENS, -1, NULL, true);
  else if (gen->seq.n_tokens >= g->options.n_ctx)
    engine_finish(g, gen, PN_STOP_CONTEXT, -1, NULL, true);
  else if (gen->slow_reader)
    engine_finish(g, gen, PN_STOP_END_TURN, -1, NULL, true);
}

static void fail_parts(pn_engine *g, int n_parts, const pn_error *e) {
  if (e->code == PN_ERR_DEVICE) atomic_store(&g->failed, true); // before anyone hears of it
  for (int i = 0; i < n_parts; i++) {
    pn_gen *gen = generation_of(g->parts[i].seq);
    pn_log(PN_LOG_ERROR, gen->id, "step failed",
           PN_FIELDS(PN_S("code", pn_code_name(e->code)), PN_S("error", e->msg)));
    engine_finish(g, gen, PN_STOP_END_TURN, -1, e, e->code != PN_ERR_DEVICE);
  }
}

// The first rows of a request: from here on it is settled what the cache gave to it.
static void begin(pn_engine *g, pn_gen *gen) {
  engine_metrics_started(g->metrics, gen->start_us - gen->submit_us, gen->seq.n_prompt, gen->seq.n_cached);
  prefix_log(g->pool, g->tokenizer, gen);
}

// What a step is made of.
typedef struct step_size {
  int n_parts, n_rows, n_logits, n_decode;
} step_size;

// The rows of the i-th part into the step's arrays. Their pages are reserved.
static void add_rows(pn_engine *g, int i, step_size *size) {
  const step_part *part = &g->parts[i];
  const sequence *seq = part->seq;
  int n = size->n_rows;
  for (int k = 0; k < part->n_rows; k++) {
    int at = seq->n_computed + k;
    g->token[n + k] = seq->tokens[at];
    g->seq[n + k] = i;
    g->pos[n + k] = at;
    g->slot[n + k] = pn_kv_slot(&seq->table, at);
  }
  g->pages[i] = seq->table.pages;
  size->n_rows += part->n_rows;
  size->n_decode += sequence_decoding(seq);
  if (seq->n_computed + part->n_rows == seq->n_tokens) g->logit_rows[size->n_logits++] = size->n_rows - 1;
}

static void take_results(pn_engine *g, int n_parts, uint64_t now_us) {
  const float *logits = g->logits;
  for (int i = 0; i < n_parts; i++) {
    sequence *seq = g->parts[i].seq;
    pn_gen *gen = generation_of(seq);
    bool prefill = seq->n_computed < seq->n_prompt;
    scheduler_computed(&g->scheduler, &g->parts[i]);
    if (prefill) generation_prefilled(gen);
    if (seq->n_computed < seq->n_tokens) continue;
    advance(g, gen, logits, now_us);
    logits += g->n_vocab;
  }
}

void engine_step(pn_engine *g) {
  pn_error e;
  sequence *stuck;
  int n_decode = scheduler_n_decoding(&g->scheduler);
  step_size size = {
      .n_parts = scheduler_plan(&g->scheduler, step_cost_budget(&g->cost, n_decode), g->parts, &stuck, &e)};
  if (stuck) engine_finish(g, generation_of(stuck), PN_STOP_END_TURN, -1, &e, true);
  if (size.n_parts == 0) return;
  for (int i = 0; i < size.n_parts; i++) {
    if (!g->parts[i].seq->started) begin(g, generation_of(g->parts[i].seq));
    add_rows(g, i, &size);
  }
  engine_show_state(g);
  const pn_batch batch = {size.n_rows, size.n_parts, g->token, g->seq, g->pos, g->slot, g->pages};
  if (!pn_model_forward(g->model, g->kv, &batch, g->logit_rows, size.n_logits, g->logits, NULL, &e)) {
    fail_parts(g, size.n_parts, &e);
    return;
  }
  uint64_t now_us = pn_now_us();
  int n_prompt = size.n_rows - size.n_decode;
  step_cost_took(&g->cost, size.n_decode, n_prompt, now_us - g->now_us);
  engine_metrics_step(g->metrics, now_us - g->now_us, size.n_decode, n_prompt, size.n_parts);
  g->now_us = now_us;
  take_results(g, size.n_parts, now_us);
}
