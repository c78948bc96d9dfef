// How many rows of prompts a step may have, so that running streams hardly notice: learned from how long steps took.
// Pure: time comes in as numbers. One owner.
#ifndef PN_ENGINE_STEP_COST_H
#define PN_ENGINE_STEP_COST_H

#include <stdint.h>

#define STEP_COST_BUCKETS 12
#define STEP_COST_RECENT 5

// Of steps with about as many running streams: 1, 2, 3-4, 5-8, ...
typedef struct step_cost_bucket {
  uint64_t recent_us[STEP_COST_RECENT]; // of the latest steps without prompts
  unsigned n_seen;                      // such steps
  unsigned n_mixed;                     // steps with prompts since the latest of them
  double rows;                          // of prompts, that seem to fit
  int overs;                            // steps in a row that took too long
  int settled;                          // it took too long once: grow gently
} step_cost_bucket;

typedef struct step_cost {
  double share;             // of a step's time that prompts may take
  int max_rows;             // of prompts, in any step
  double alone_rows_per_us; // without streams; 0: unknown
  step_cost_bucket buckets[STEP_COST_BUCKETS];
} step_cost;

void step_cost_init(step_cost *c, double share, int max_rows);
// Rows of prompts for a step beside n_decode streams (0: none). 0: none this time, so that the streams alone are measured.
int step_cost_budget(const step_cost *c, int n_decode);
// A step took us.
void step_cost_took(step_cost *c, int n_decode, int n_prompt, uint64_t us);

#endif
