// What the engine counts. Everything is optional: without a registry all of it does nothing. docs/METRICS.md
// lists the series.
//
// Threads: engine_metrics_now from the engine's; the rest from any.
#ifndef PN_ENGINE_METRICS_H
#define PN_ENGINE_METRICS_H

#include "engine/engine.h"

typedef struct engine_metrics engine_metrics;

// What never changes: for the info and the constant gauges.
typedef struct engine_metrics_setup {
  const char *kv_type;
  int page_tokens, n_pages;
  uint64_t token_bytes, kv_bytes;
} engine_metrics_setup;

// Adds every series to the registry, which keeps nothing of *s. NULL when there is none or memory ran out.
engine_metrics *engine_metrics_new(pn_metrics *registry, const engine_metrics_setup *s);
void engine_metrics_free(engine_metrics *m);

// A step of streams (a row each) or a pass of prompts that went well: how long it took, rows, sequences in
// it.
void engine_metrics_step(engine_metrics *m, bool prompts, uint64_t us, int n_rows, int n_seqs);
// First admission. n_recomputed: tokens behind the cached ones that the cache knew too, but can't go on from.
void engine_metrics_started(engine_metrics *m, uint64_t queue_us, int n_prompt, int n_cached,
                            int n_recomputed);
// Every generated token is one of these two, an end-of-turn token too.
void engine_metrics_first_token(engine_metrics *m, uint64_t since_submit_us);
void engine_metrics_next_token(engine_metrics *m, uint64_t since_last_us);
// Of the tokens that were guessed for a stream in a step, so many were right.
void engine_metrics_guessed(engine_metrics *m, int n_guessed, int n_right);
void engine_metrics_preempted(engine_metrics *m,
                              int n_tokens_lost); // computed tokens that fell out of the table
void engine_metrics_refused(engine_metrics *m);   // queue full
// The end of a request: `error` PN_OK with its stop reason, or what failed.
void engine_metrics_ended(engine_metrics *m, pn_stop_reason stop, pn_code error, uint64_t since_submit_us,
                          int n_output);

// The state after a step or a change.
typedef struct engine_metrics_state {
  int n_running, n_waiting, n_free_pages, n_used_pages, n_cached_pages; // pages of the full groups
  uint64_t used_bytes, cached_bytes;                                    // of all groups
  uint64_t n_evicted_pages;                                             // in all
} engine_metrics_state;
void engine_metrics_now(engine_metrics *m, const engine_metrics_state *s);

#endif
