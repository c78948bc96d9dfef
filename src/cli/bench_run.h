// Generations that are measured. Every prompt whose time counts is a new one: what the engine has cached
// never shortens a measurement.
#ifndef PN_CLI_BENCH_RUN_H
#define PN_CLI_BENCH_RUN_H

#include "base/rng.h"
#include "cli/open_model.h"

#define BENCH_MAX_STREAMS 256
#define BENCH_STREAM_PROMPT 16 // prompt tokens of each of several streams

// Zero-initialise; bench_run_fini in every case. Owned by one thread.
typedef struct bench_run {
  const open_model *m;
  pn_engine *engine;
  pn_sampling sampling; // greedy unless it is set
  pn_rng rng;
  int32_t first;          // the last prompt's first token
  int32_t *ids;           // room for a prompt
  uint64_t kv_peak_bytes; // the most of the KV cache that held something
} bench_run;

bool bench_run_init(bench_run *r, const open_model *m, pn_engine *g, int max_prompt, pn_error *e);
void bench_run_fini(bench_run *r);

// One generation of n_out tokens after a prompt of n_prompt: tokens a second of the prompt, and of the answer
// behind its first token. Either may be NULL.
bool bench_run_one(bench_run *r, int n_prompt, int n_out, double *prompt_tok_s, double *answer_tok_s,
                   pn_error *e);

// Only the answer counts: so many tokens behind a prompt that is always the same for this depth, so that it
// is computed once, as long as the prefix cache keeps it.
bool bench_run_behind(bench_run *r, int depth, int n_out, double *answer_tok_s, pn_error *e);

// n answers at the same time, each of n_out tokens after a prompt of n_prompt: tokens a second of all of them
// together, from the moment when every prompt is computed until the last answer ends.
bool bench_run_streams(bench_run *r, int n, int n_prompt, int n_out, double *tok_s, pn_error *e);

#endif
