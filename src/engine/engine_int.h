// What the files of the engine share: the engine itself.
#ifndef PN_ENGINE_INT_H
#define PN_ENGINE_INT_H

#include "engine/engine_metrics.h"
#include "engine/generation.h"
#include "engine/sampler.h"
#include "engine/scheduler.h"
#include "engine/step_cost.h"

#define ENGINE_LONG_IDLE_US (10u * 1000000u) // without work: then the memory of free pages goes back

struct pn_engine {
  // Constant after opening.
  pn_model *model;
  const pn_tokenizer *tokenizer;
  pn_backend *backend;
  pn_engine_options options;
  uint64_t kv_bytes, page_bytes;
  int n_vocab;
  pthread_t thread;

  // Shared with other threads.
  pn_mpsc *inbox;
  atomic_int n_requests, n_running; // in the inbox, waiting or running; running
  atomic_int n_cancels;             // not seen yet
  atomic_int used_pages, cached_pages;
  _Atomic uint64_t end_interval_us; // between the ends of requests, lately; 0: unknown
  atomic_bool closing, failed;
  engine_metrics *metrics; // counting is lock-free

  // The engine's thread only.
  scheduler scheduler;
  step_cost cost;
  sampler sampler;
  pn_kv *kv;
  pn_kv_pool *pool;
  uint64_t now_us;           // of this turn
  uint64_t next_deadline_us; // the earliest; UINT64_MAX: none
  uint64_t last_end_us;      // of a request, or when work began after a rest
  bool worked;               // since memory was given back
  // Of a step, with room for chunk_tokens + max_running rows and max_running sequences. One allocation each.
  int32_t *token, *seq, *pos, *slot, *logit_rows;
  step_part *parts;
  const int32_t **pages;
  float *logits; // [max_running][n_vocab], host
};

// engine_loop.c: the thread.
void *engine_main(void *engine);
// The request leaves; its last event follows. `keep`: what it computed may serve others.
void engine_finish(pn_engine *g, pn_gen *gen, pn_stop_reason why, int stop_index, const pn_error *error,
                   bool keep);
void engine_show_state(pn_engine *g); // for other threads and for the metrics

// engine_step.c: admit, plan, compute, sample.
void engine_admit(pn_engine *g);
void engine_step(pn_engine *g);
scheduler_hooks engine_hooks(pn_engine *g);

// prefix_log.c: one debug line on what the cache gave to a request, and where it differs from what it knew.
void prefix_log(const pn_kv_pool *pool, const pn_tokenizer *t, const pn_gen *gen);

// idle_pages.c: give the memory of free pages back, where the backend can.
void idle_pages_give_back(pn_kv_pool *pool, pn_backend *b, pn_kv *kv);

#endif
