// One turn: a step of the running streams, then as many layers of a pass of prompts as its pace allows. Nothing here
// allocates, but for what guides learn on the way.
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
  engine_leave_pass(g, seq);
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

static bool fail_one(pn_engine *g, pn_gen *gen, const pn_error *e) {
  pn_log(PN_LOG_ERROR, gen->id, e->msg, NULL);
  engine_finish(g, gen, PN_STOP_END_TURN, -1, e, false);
  return false;
}

// A token comes, the model's own or one that must follow. False: the answer has ended.
static bool take(pn_engine *g, pn_gen *gen, int32_t id, const pn_token_event *told, uint64_t now_us) {
  int stop = -1;
  bool end = !gen->ignore_end && is_end(g, id);
  if (generation_take(gen, id, end, told, now_us, &stop))
    engine_finish(g, gen, PN_STOP_STRING, stop, NULL, true);
  else if (end || gen->off_guide || generation_over(gen))
    engine_finish(g, gen, PN_STOP_END_TURN, -1, NULL, true);
  else if (generation_n_output(gen) >= gen->seq.max_tokens)
    engine_finish(g, gen, PN_STOP_MAX_TOKENS, -1, NULL, true);
  else if (gen->seq.n_tokens >= g->options.n_ctx)
    engine_finish(g, gen, PN_STOP_CONTEXT, -1, NULL, true);
  else if (gen->slow_reader)
    engine_finish(g, gen, PN_STOP_END_TURN, -1, NULL, true);
  else
    return true;
  return false;
}

// Take the token that was chosen for a sequence (NULL: memory ran out on the way), and with it the tokens
// that must follow: they need no choice, and are computed together with it. False: the sequence has ended.
static bool advance(pn_engine *g, pn_gen *gen, const pn_choice *choice, uint64_t now_us) {
  static const pn_error not_finite = {PN_ERR_INTERNAL, "the model's logits are not finite numbers"},
                        no_memory = {PN_ERR_NOMEM, "out of memory for the answer's grammar"};
  if (!choice) return fail_one(g, gen, &no_memory);
  if (choice->id < 0) return fail_one(g, gen, &not_finite);
  if (gen->first_us == 0)
    engine_metrics_first_token(g->metrics, now_us - gen->submit_us);
  else
    engine_metrics_next_token(g->metrics, now_us - gen->last_us);
  if (!take(g, gen, choice->id, gen->logprobs ? choice : NULL, now_us)) return false;
  int32_t ids[SEQUENCE_AHEAD - 1];
  int n = generation_forced(gen, ids, SEQUENCE_AHEAD - 1);
  for (int i = 0; i < n; i++)
    if (!take(g, gen, ids[i], NULL, now_us)) return false;
  return true;
}

static void fail_parts(pn_engine *g, step_rows *r, const pn_error *e) {
  if (e->code == PN_ERR_DEVICE) atomic_store(&g->failed, true); // before anyone hears of it
  int n = r->n_parts;
  r->n_parts = 0;
  for (int i = 0; i < n; i++) {
    pn_gen *gen = generation_of(r->parts[i].seq);
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

// The rows of the parts into the step's arrays. Their pages are reserved.
static pn_batch lay_out(pn_engine *g, step_rows *r) {
  r->n_rows = r->n_logits = 0;
  for (int i = 0; i < r->n_parts; i++) {
    const step_part *part = &r->parts[i];
    const sequence *seq = part->seq;
    if (!seq->started) begin(g, generation_of(part->seq));
    for (int k = 0, n = r->n_rows; k < part->n_rows; k++, n++) {
      int at = seq->n_computed + k;
      r->token[n] = seq->tokens[at];
      r->seq[n] = i;
      r->pos[n] = at;
      r->slot[n] = pn_kv_slot(&seq->table, at);
    }
    r->pages[i] = seq->table.pages;
    r->n_rows += part->n_rows;
    if (seq->n_computed + part->n_rows == seq->n_tokens) r->logit_rows[r->n_logits++] = r->n_rows - 1;
  }
  return (pn_batch){r->n_rows, r->n_parts, r->token,    r->seq,       r->pos,
                    r->slot,   r->pages,   r->n_logits, r->logit_rows};
}

// All rows are computed: choose a token for every sequence that is computed to its end, from its row of logits. Clients hear of it when every sequence has its token, so that they don't take the core before.
static void take_results(pn_engine *g, step_rows *r, pn_logits logits) {
  pn_error e;
  int n = r->n_parts, row = 0;
  r->n_parts = 0;
  for (int i = 0; i < n; i++) {
    sequence *seq = r->parts[i].seq;
    bool prefill = seq->n_computed < seq->n_prompt;
    scheduler_computed(&g->scheduler, &r->parts[i]);
    if (prefill) generation_prefilled(generation_of(seq));
    if (seq->n_computed == seq->n_tokens) chooser_add(&g->chooser, generation_of(seq));
  }
  if (!chooser_run(&g->chooser, logits, &e)) {
    r->n_parts = n;
    fail_parts(g, r, &e);
    return;
  }
  for (int i = 0; i < n; i++) {
    sequence *seq = r->parts[i].seq;
    if (seq->n_computed < seq->n_tokens) continue;
    if (!advance(g, generation_of(seq), chooser_choice(&g->chooser, row++), g->now_us))
      r->parts[i].seq = NULL;
  }
  for (int i = 0; i < n; i++)
    if (r->parts[i].seq) generation_tell(generation_of(r->parts[i].seq));
}

// How long it took; 0: there was none.
static uint64_t step_streams(pn_engine *g) {
  pn_error e;
  sequence *stuck;
  step_rows *r = &g->streams;
  uint64_t start = g->now_us;
  r->n_parts = scheduler_plan_streams(&g->scheduler, r->parts, &stuck, &e);
  if (stuck) engine_finish(g, generation_of(stuck), PN_STOP_END_TURN, -1, &e, true);
  if (r->n_parts == 0) return 0;
  const pn_batch batch = lay_out(g, r);
  engine_show_state(g);
  if (!pn_model_forward(g->model, g->kv, &batch, NULL, NULL, &e)) {
    fail_parts(g, r, &e);
    return 0;
  }
  g->now_us = pn_now_us();
  uint64_t us = g->now_us > start ? g->now_us - start : 1;
  engine_metrics_step(g->metrics, false, us, r->n_rows, r->n_parts);
  take_results(g, r, pn_model_logits(g->model));
  return us;
}

void engine_leave_pass(pn_engine *g, const sequence *seq) {
  for (int i = 0; i < g->prompts.n_parts; i++)
    if (g->prompts.parts[i].seq == seq) g->prompts.n_parts = 0; // the others' rows are computed again
}

static bool plan_pass(pn_engine *g, bool streams) {
  pn_error e;
  sequence *stuck;
  step_rows *r = &g->prompts;
  r->n_parts =
      scheduler_plan_prompts(&g->scheduler, prompt_pace_rows(&g->pace, streams), r->parts, &stuck, &e);
  if (stuck) engine_finish(g, generation_of(stuck), PN_STOP_END_TURN, -1, &e, true);
  if (r->n_parts == 0) return false;
  const pn_batch batch = lay_out(g, r);
  engine_show_state(g);
  prompt_pace_begin(&g->pace, r->n_rows);
  if (pn_pass_begin(g->pass, g->kv, &batch, &e)) return true;
  fail_parts(g, r, &e);
  return false;
}

static bool someone_knocks(pn_engine *g) { return atomic_load(&g->n_cancels) || pn_mpsc_count(g->inbox); }

// Layers of prompts, until the pace, the end of the pass or someone's call stops them.
static void step_prompts(pn_engine *g, bool streams) {
  step_rows *r = &g->prompts;
  if (r->n_parts == 0 && !plan_pass(g, streams)) return;
  bool done = false;
  uint64_t start = pn_now_us();
  do {
    pn_error e;
    if (!prompt_pace_fits(&g->pace)) return;
    if (!pn_pass_layer(g->pass, NULL, &done, &e)) {
      fail_parts(g, r, &e);
      return;
    }
    g->now_us = pn_now_us();
    prompt_pace_took(&g->pace, g->now_us - start);
    start = g->now_us;
  } while (!done && !someone_knocks(g));
  if (!done) return;
  engine_metrics_step(g->metrics, true, g->pace.pass_us, r->n_rows, r->n_parts);
  take_results(g, r, pn_pass_logits(g->pass));
}

void engine_step(pn_engine *g) {
  uint64_t streams_us = step_streams(g);
  prompt_pace_turn(&g->pace, streams_us, scheduler_n_prompts(&g->scheduler));
  step_prompts(g, streams_us > 0);
}
