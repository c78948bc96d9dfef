// The engine's thread: it takes requests, sees who has left or waited too long, and steps.
#include "base/clock.h"
#include "base/log.h"
#include "engine/engine_int.h"

void engine_show_state(pn_engine *g) {
  pn_kv_stats k = pn_kv_pool_stats(g->pool);
  int running = g->scheduler.n_running;
  uint64_t used, cached;
  pn_kv_memory_used(&g->kv, g->pool, &used, &cached);
  atomic_store(&g->used_bytes, used);
  atomic_store(&g->cached_bytes, cached);
  atomic_store(&g->n_running, running);
  engine_metrics_now(g->metrics, &(engine_metrics_state){running, g->scheduler.waiting.n, k.n_free, k.n_used,
                                                         k.n_cached, used, cached, k.n_evicted});
}

static void note_end(pn_engine *g) {
  uint64_t took = g->now_us - g->last_end_us, before = atomic_load(&g->end_interval_us);
  atomic_store(&g->end_interval_us, before ? (3 * before + took) / 4 : took);
  g->last_end_us = g->now_us;
}

void engine_finish(pn_engine *g, pn_gen *gen, pn_stop_reason why, int stop_index, const pn_error *error,
                   bool keep) {
  int stop;
  if (generation_say(gen, &stop)) { // it was over before
    why = stop >= 0 ? PN_STOP_STRING : PN_STOP_END_TURN;
    stop_index = stop;
    error = NULL;
  }
  for (int i = 0; i < g->n_unsaid; i++)
    if (g->unsaid[i] == gen) g->unsaid[i] = NULL;
  engine_leave_pass(g, &gen->seq);
  if (gen->seq.background)
    atomic_fetch_sub(&g->n_background, 1);
  else if (!gen->seq.held) // those that are held were taken off when they were
    atomic_fetch_sub(&g->n_requests, 1);
  scheduler_remove(&g->scheduler, &gen->seq, keep);
  generation_end(gen, why, stop_index, error, g->now_us);
  note_end(g);
  engine_show_state(g);
  engine_metrics_ended(g->metrics, gen->final.stop, gen->final.error.code, g->now_us - gen->submit_us,
                       gen->final.n_output);
  generation_tell_end(gen);
  generation_unref(gen);
}

static void take(pn_engine *g, pn_gen *gen) {
  scheduler_add(&g->scheduler, &gen->seq);
  if (gen->deadline_us < g->next_deadline_us) g->next_deadline_us = gen->deadline_us;
  if (atomic_load(&gen->cancelled) || atomic_load(&gen->held))
    atomic_fetch_add(&g->n_cancels, 1); // its own count may have been seen before
  int32_t differs;
  generation_queued(gen, pn_kv_lookup(g->pool, 0, gen->seq.tokens, gen->seq.n_prompt - 1, &differs));
  generation_tell(gen);
}

// Something goes back after a rest: the memory of free pages soon, the prefix cache later. Returns after how
// long a rest the next of these is due.
static uint64_t give_back(pn_engine *g, uint64_t rested_us) {
  uint64_t keep_us = g->options.cache_idle_s > 0 ? (uint64_t)g->options.cache_idle_s * 1000000 : UINT64_MAX;
  int n_cached = pn_kv_pool_stats(g->pool).n_cached;
  bool forget = n_cached > 0 && rested_us >= keep_us;
  if (forget) {
    pn_log(PN_LOG_INFO, NULL, "prefix cache given up after a long rest", PN_FIELDS(PN_I("pages", n_cached)));
    pn_kv_forget(g->pool);
    engine_show_state(g);
  }
  if (forget || (g->worked && rested_us >= ENGINE_LONG_IDLE_US)) {
    pn_kv_memory_trim(&g->kv, g->pool);
    g->worked = false;
  }
  uint64_t due_us = n_cached > 0 && !forget ? keep_us : UINT64_MAX;
  return g->worked && ENGINE_LONG_IDLE_US < due_us ? ENGINE_LONG_IDLE_US : due_us;
}

// Without work it sleeps. What is laid aside may end by its deadline, or its submitter may ring.
static pn_gen *await(pn_engine *g) {
  pn_gen *gen = NULL;
  uint64_t since = pn_now_us(), now = since;
  while (!gen && !atomic_load(&g->closing) && atomic_load(&g->n_cancels) == 0 && now < g->next_deadline_us) {
    uint64_t rested_us = now - since, due_us = give_back(g, rested_us);
    uint64_t wait_us = due_us == UINT64_MAX ? due_us : due_us - rested_us;
    uint64_t left_us = g->next_deadline_us == UINT64_MAX ? UINT64_MAX : g->next_deadline_us - now;
    gen = pn_mpsc_pop(g->inbox, wait_us < left_us ? wait_us : left_us);
    now = pn_now_us();
  }
  g->last_end_us = pn_now_us();
  return gen;
}

// The background is laid aside while there are others, and waits again when there are none.
static void clear_the_way(pn_engine *g) {
  for (sequence *seq; (seq = scheduler_in_the_way(&g->scheduler));) {
    engine_leave_pass(g, seq);
    scheduler_yield(&g->scheduler, seq);
  }
}

static void take_inbox(pn_engine *g) {
  clear_the_way(g); // the last of the others may just have ended: then there is work
  pn_gen *gen = scheduler_idle(&g->scheduler) ? await(g) : pn_mpsc_pop(g->inbox, 0);
  for (; gen; gen = pn_mpsc_pop(g->inbox, 0)) {
    g->worked = true;
    take(g, gen);
  }
  g->now_us = pn_now_us();
}

static bool is_cancelled(const sequence *seq, void *ctx) {
  (void)ctx;
  const pn_gen *gen = generation_of((sequence *)seq);
  return atomic_load(&gen->cancelled);
}

static void drop_cancelled(pn_engine *g) {
  static const pn_error gone = {PN_ERR_CANCELLED, "the request was cancelled"};
  for (sequence *seq; (seq = scheduler_find(&g->scheduler, is_cancelled, NULL));) {
    pn_gen *gen = generation_of(seq);
    pn_log(PN_LOG_INFO, gen->id, "generation cancelled",
           PN_FIELDS(PN_I("prompt_tokens", seq->n_prompt), PN_I("computed_tokens", seq->n_computed),
                     PN_I("output_tokens", generation_n_output(gen))));
    engine_finish(g, gen, PN_STOP_END_TURN, -1, &gone, true);
  }
}

static bool is_held_otherwise(const sequence *seq, void *ctx) {
  (void)ctx;
  const pn_gen *gen = generation_of((sequence *)seq);
  return atomic_load(&gen->held) != seq->held;
}

static void hold_and_release(pn_engine *g) {
  for (sequence *seq; (seq = scheduler_find(&g->scheduler, is_held_otherwise, NULL));) {
    const pn_gen *gen = generation_of(seq);
    bool hold = !seq->held;
    pn_log(PN_LOG_INFO, gen->id, hold ? "generation held" : "generation resumed",
           PN_FIELDS(PN_I("prompt_tokens", seq->n_prompt), PN_I("computed_tokens", seq->n_computed),
                     PN_I("output_tokens", generation_n_output(gen))));
    if (!seq->background) atomic_fetch_add(&g->n_requests, hold ? -1 : 1);
    if (hold) {
      engine_leave_pass(g, seq);
      scheduler_hold(&g->scheduler, seq);
    } else {
      scheduler_release(&g->scheduler, seq);
    }
  }
  engine_show_state(g);
}

// What submitters have rung for.
static void answer_bells(pn_engine *g) {
  if (atomic_load(&g->n_cancels) == 0 || atomic_exchange(&g->n_cancels, 0) == 0) return;
  drop_cancelled(g);
  hold_and_release(g);
}

// Finds who is late; the earliest deadline of the others is noted on the way.
static bool is_late(const sequence *seq, void *ctx) {
  pn_engine *g = ctx;
  const pn_gen *gen = generation_of((sequence *)seq);
  if (gen->deadline_us <= g->now_us) return true;
  if (gen->deadline_us < g->next_deadline_us) g->next_deadline_us = gen->deadline_us;
  return false;
}

static void drop_late(pn_engine *g) {
  if (g->now_us < g->next_deadline_us) return;
  g->next_deadline_us = UINT64_MAX;
  for (sequence *seq; (seq = scheduler_find(&g->scheduler, is_late, g));) {
    pn_gen *gen = generation_of(seq);
    pn_error late;
    pn_fail(&late, PN_ERR_TIMEOUT, "the request took longer than %g s", (double)gen->timeout_us / 1e6);
    engine_finish(g, gen, PN_STOP_END_TURN, -1, &late, true);
  }
}

static bool any(const sequence *seq, void *ctx) { return (void)seq, (void)ctx, true; }

void *engine_main(void *engine) {
  pn_engine *g = engine;
  while (!atomic_load(&g->closing)) {
    take_inbox(g);
    answer_bells(g);
    drop_late(g);
    clear_the_way(g);
    engine_admit(g);
    engine_step(g);
  }
  static const pn_error closing = {PN_ERR_CANCELLED, "the server is shutting down"};
  for (pn_gen *gen; (gen = pn_mpsc_pop(g->inbox, 0));) scheduler_add(&g->scheduler, &gen->seq);
  g->now_us = pn_now_us();
  for (sequence *seq; (seq = scheduler_find(&g->scheduler, any, NULL));)
    engine_finish(g, generation_of(seq), PN_STOP_END_TURN, -1, &closing, true);
  return NULL;
}
