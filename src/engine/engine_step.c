// One turn of the engine: a step of the running streams and a part of a pass of prompts, each in two halves:
// planned and submitted, then collected and taken. Nothing here allocates, but for what guides learn on the
// way.
#include "base/clock.h"
#include "base/log.h"
#include "engine/engine_int.h"

static bool copy(void *ctx, const pn_kv_prefix *what) {
  const pn_engine *g = ctx;
  pn_error e;
  if (pn_kv_memory_copy(&g->kv, what, &e)) return true;
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

scheduler_hooks engine_hooks(pn_engine *g) { return (scheduler_hooks){copy, was_paused, g}; }

void engine_admit(pn_engine *g) {
  for (sequence *seq; (seq = scheduler_admit(&g->scheduler));) {
    pn_gen *gen = generation_of(seq);
    if (gen->start_us == 0) gen->start_us = g->now_us;
  }
}

static bool asynchronous(const pn_engine *g) { return g->backend->ops->asynchronous; }

// The parts' sequences fail. What was submitted for them is over first, since their pages are others' from
// then on.
static void fail_parts(pn_engine *g, step_rows *r, const pn_error *e) {
  pn_error ignored;
  if (asynchronous(g)) g->backend->ops->sync(g->backend, &ignored);
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
  const sequence *seq = &gen->seq;
  // The last token is always computed.
  int again = pn_kv_known(g->pool, 0, seq->tokens, seq->n_prompt - 1) - seq->n_cached;
  if (again < 0) again = 0;
  engine_metrics_started(g->metrics, gen->start_us - gen->submit_us, seq->n_prompt, seq->n_cached, again);
  prefix_log(g->pool, g->tokenizer, gen, again);
}

// The rows of the parts into the step's arrays. Their pages are reserved.
static pn_batch lay_out(pn_engine *g, step_rows *r) {
  r->n_rows = r->n_logits = 0;
  for (int i = 0; i < r->n_parts; i++) {
    const step_part *part = &r->parts[i];
    const sequence *seq = part->seq;
    if (!seq->started) begin(g, generation_of(part->seq));
    for (int k = 0, n = r->n_rows; k < part->n_rows + part->n_draft; k++, n++) {
      int at = seq->n_computed + k;
      r->token[n] = at < seq->n_tokens ? seq->tokens[at] : seq->draft[at - seq->n_tokens];
      r->seq[n] = i;
      r->pos[n] = at;
      pn_kv_places_set_row(&r->places, n, &seq->table, at);
    }
    pn_kv_places_set_seq(&r->places, i, &seq->table);
    scheduler_begun(part);
    r->n_rows += part->n_rows;
    bool to_end = seq->n_computed + part->n_rows == seq->n_tokens;
    r->choice[i] = to_end ? 0 : -1; // the number comes with the mask
    for (int k = 0; to_end && k <= part->n_draft; k++) r->logit_rows[r->n_logits++] = r->n_rows - 1 + k;
    r->n_rows += part->n_draft;
  }
  engine_show_state(g);
  return (pn_batch){.n_rows = r->n_rows,
                    .n_seqs = r->n_parts,
                    .token = r->token,
                    .seq = r->seq,
                    .pos = r->pos,
                    .n_kv = r->places.n_groups,
                    .kv = r->places.rows,
                    .n_logits = r->n_logits,
                    .logit_rows = r->logit_rows};
}

// Its rows are submitted: gather the masks of the sequences that are computed to their end with it, and have
// their tokens chosen.
static bool submit_choices(pn_engine *g, step_rows *r, pn_logits logits, pn_error *e) {
  r->first_choice = g->chooser.n;
  for (int i = 0; i < r->n_parts; i++) {
    pn_gen *gen = generation_of(r->parts[i].seq);
    if (r->choice[i] < 0) continue;
    r->choice[i] = chooser_add(&g->chooser, gen, 0);
    for (int k = 1; k <= r->parts[i].n_draft; k++) chooser_add(&g->chooser, gen, k);
  }
  if (!chooser_submit(&g->chooser, logits, r->first_choice, r->n_logits, e)) return false;
  for (int i = 0; i < r->n_parts; i++) generation_of(r->parts[i].seq)->in_flight = true;
  return true;
}

// Nothing of the step is in flight any more: end the answers that were over meanwhile, without what was
// computed for them.
static void land(pn_engine *g, step_rows *r) {
  int n = r->n_parts, left = 0;
  for (int i = 0; i < n; i++) {
    pn_gen *gen = generation_of(r->parts[i].seq);
    gen->in_flight = false;
    r->parts[left] = r->parts[i];
    r->choice[left] = r->choice[i];
    if (!gen->over_in_flight)
      left++;
    else
      engine_finish(g, gen, gen->over_stop >= 0 ? PN_STOP_STRING : PN_STOP_END_TURN, gen->over_stop, NULL,
                    true);
  }
  r->n_parts = left;
}

// The token that was chosen for a part, and those after its guessed tokens as long as these are right.
static void take(pn_engine *g, const step_part *part, int choice) {
  sequence *seq = part->seq;
  int base = seq->n_tokens, right = 0, had;
  bool on;
  do {
    on = engine_append(g, generation_of(seq), chooser_choice(&g->chooser, choice + right));
    had = right;
    while (on && right < part->n_draft && base + right < seq->n_tokens &&
           seq->tokens[base + right] == seq->draft[right])
      right++;
    if (right > had) scheduler_guessed(&g->scheduler, seq, right - had);
  } while (on && base + right == seq->n_tokens);
  engine_metrics_guessed(g->metrics, part->n_draft, right);
  if (on) drafter_learn(&g->drafter, seq);
}

// Wait for the step, and append the tokens that were chosen. A backend that is not asynchronous has nothing
// to do meanwhile, so they are said at once, when every sequence has its token: clients don't take the core
// before.
static bool collect(pn_engine *g, step_rows *r, pn_logits logits) {
  pn_error e;
  bool ok = chooser_collect(&g->chooser, logits, r->first_choice, r->n_logits, &e);
  g->now_us = pn_now_us();
  land(g, r);
  if (!ok) {
    fail_parts(g, r, &e);
    return false;
  }
  int n = r->n_parts;
  r->n_parts = 0;
  for (int i = 0; i < n; i++) {
    bool prefill = r->parts[i].seq->n_computed < r->parts[i].seq->n_prompt;
    scheduler_computed(&g->scheduler, &r->parts[i]);
    if (prefill) generation_prefilled(generation_of(r->parts[i].seq));
  }
  for (int i = 0; i < n; i++)
    if (r->choice[i] < 0)
      generation_tell(generation_of(r->parts[i].seq));
    else
      take(g, &r->parts[i], r->choice[i]);
  if (!asynchronous(g)) engine_say(g);
  return true;
}

// --- streams -----------------------------------------------------------------------------------------------

// Tokens to guess for a stream in one step.
static int most_draft(const pn_gen *gen) {
  const sequence *seq = &gen->seq;
  int left = seq->max_tokens - (seq->n_tokens - seq->n_prompt), room = seq->cap_tokens - seq->n_tokens;
  int most = (left < room ? left : room) - 1;
  return gen->logprobs || most < 0 ? 0 : most < DRAFT_RUN ? most : DRAFT_RUN;
}

// Guessed tokens for the streams of a step that is planned, as far as guides allow them and pages are free.
static void plan_drafts(pn_engine *g, step_rows *r) {
  if (g->drafter.n_texts == 0) return;
  for (int i = 0; i < r->n_parts; i++)
    r->parts[i].seq->most_draft = most_draft(generation_of(r->parts[i].seq));
  drafter_plan(&g->drafter, r->parts, r->n_parts);
  for (int i = 0; i < r->n_parts; i++) {
    sequence *seq = r->parts[i].seq;
    pn_error ignored;
    if (seq->n_draft == 0) continue;
    seq->n_draft = generation_allowed(generation_of(seq));
    if (!pn_kv_reserve(g->pool, &seq->table, seq->n_tokens + seq->n_draft, &ignored)) seq->n_draft = 0;
    r->parts[i].n_draft = seq->n_draft;
  }
}

static bool plan_streams(pn_engine *g) {
  pn_error e;
  sequence *stuck;
  step_rows *r = &g->streams;
  r->n_parts = scheduler_plan_streams(&g->scheduler, r->parts, &stuck, &e);
  if (stuck) engine_finish(g, generation_of(stuck), PN_STOP_END_TURN, -1, &e, true);
  plan_drafts(g, r);
  return r->n_parts > 0;
}

static bool submit_streams(pn_engine *g) {
  pn_error e;
  step_rows *r = &g->streams;
  const pn_batch batch = lay_out(g, r);
  bool ok = pn_model_forward(g->model, &batch, NULL, NULL, &e);
  g->now_us = pn_now_us();
  if (ok && submit_choices(g, r, pn_model_logits(g->model), &e)) return true;
  fail_parts(g, r, &e);
  return false;
}

static void streams_took(pn_engine *g, uint64_t us, int n_parts) {
  g->streams_us = us ? us : 1;
  engine_metrics_step(g->metrics, false, g->streams_us, g->streams.n_rows, n_parts);
}

// A step of the streams, if there are any; g->streams_us is how long it took. False: there was none.
static bool step_streams(pn_engine *g) {
  uint64_t start = g->now_us;
  if (!plan_streams(g) || !submit_streams(g)) return false;
  streams_took(g, g->now_us - start, g->streams.n_parts);
  if (collect(g, &g->streams, pn_model_logits(g->model)))
    drafter_took(&g->drafter, g->streams.n_rows, g->now_us - start);
  return true;
}

// --- prompts -----------------------------------------------------------------------------------------------

void engine_leave_pass(pn_engine *g, const sequence *seq) {
  step_rows *r = &g->prompts;
  int n = r->n_parts, at = 0;
  while (at < n && r->parts[at].seq != seq) at++;
  if (at == n) return;
  r->n_parts = 0; // the others' rows are computed again
  for (int i = 0; i < n; i++)
    if (i != at) scheduler_give_up(&g->scheduler, r->parts[i].seq);
}

static bool plan_pass(pn_engine *g, bool streams) {
  pn_error e;
  sequence *stuck;
  step_rows *r = &g->prompts;
  r->n_parts =
      scheduler_plan_prompts(&g->scheduler, prompt_pace_rows(&g->pace, streams), r->parts, &stuck, &e);
  if (stuck) engine_finish(g, generation_of(stuck), PN_STOP_END_TURN, -1, &e, true);
  return r->n_parts > 0;
}

static bool begin_pass(pn_engine *g) {
  pn_error e;
  step_rows *r = &g->prompts;
  const pn_batch batch = lay_out(g, r);
  prompt_pace_begin(&g->pace, r->n_rows);
  if (pn_pass_begin(g->pass, &batch, &e)) return true;
  fail_parts(g, r, &e);
  return false;
}

static bool someone_knocks(pn_engine *g) { return atomic_load(&g->n_cancels) || pn_mpsc_count(g->inbox); }

// Layers of prompts, until the pace, the end of the pass or someone's call stops them.
static void step_prompts(pn_engine *g, bool streams) {
  pn_error e;
  step_rows *r = &g->prompts;
  if (r->n_parts == 0 && !(plan_pass(g, streams) && begin_pass(g))) return;
  bool done = false;
  uint64_t start = pn_now_us();
  do {
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
  const pn_logits logits = pn_pass_logits(g->pass);
  if (submit_choices(g, r, logits, &e))
    collect(g, r, logits);
  else
    fail_parts(g, r, &e);
}

static bool submit_pass(pn_engine *g) {
  pn_error e;
  if (!begin_pass(g)) return false;
  if (pn_pass_submit(g->pass, &e) && submit_choices(g, &g->prompts, pn_pass_logits(g->pass), &e)) return true;
  fail_parts(g, &g->prompts, &e);
  return false;
}

// --- the turn ----------------------------------------------------------------------------------------------

static void drop_paused(step_rows *r) {
  int n = 0;
  for (int i = 0; i < r->n_parts; i++)
    if (r->parts[i].seq->state == SEQUENCE_RUNNING) r->parts[n++] = r->parts[i];
  r->n_parts = n;
}

// Computed behind the call: the streams' step, then a whole pass of prompts. All pages are given out before,
// and nothing is in flight between two turns.
static void turn_behind(pn_engine *g) {
  bool streams = plan_streams(g);
  prompt_pace_turn(&g->pace, streams ? g->streams_us + 1 : 0, scheduler_n_prompts(&g->scheduler));
  bool prompts = prompt_pace_fits(&g->pace) && plan_pass(g, streams);
  drop_paused(&g->streams); // a prompt may have needed their pages
  uint64_t start = pn_now_us();
  streams = g->streams.n_parts > 0 && submit_streams(g);
  prompts = prompts && submit_pass(g);
  engine_say(g); // of the steps before
  int n_parts = g->streams.n_parts;
  if (streams && collect(g, &g->streams, pn_model_logits(g->model))) {
    streams_took(g, g->now_us - start, n_parts);
    drafter_took(&g->drafter, g->streams.n_rows, g->now_us - start);
    start = g->now_us;
  }
  if (!prompts) return;
  engine_say(g); // of the streams, while the pass is computed
  n_parts = g->prompts.n_parts;
  if (!collect(g, &g->prompts, pn_pass_logits(g->pass))) return;
  prompt_pace_took(&g->pace, g->now_us - start);
  engine_metrics_step(g->metrics, true, g->pace.pass_us, g->prompts.n_rows, n_parts);
}

// Computed within the call: the streams' step, then as many layers of a pass as the pace allows.
static void turn_within(pn_engine *g) {
  bool streams = step_streams(g);
  prompt_pace_turn(&g->pace, streams ? g->streams_us : 0, scheduler_n_prompts(&g->scheduler));
  step_prompts(g, streams);
}

void engine_step(pn_engine *g) {
  chooser_clear(&g->chooser);
  if (asynchronous(g))
    turn_behind(g);
  else
    turn_within(g);
}
