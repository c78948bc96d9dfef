// Which sequences the next step computes. This one serves requests one after the other in the order of their arrival.
// Owned by the engine's thread.
#ifndef PN_ENGINE_SCHEDULER_H
#define PN_ENGINE_SCHEDULER_H

#include "engine/generation.h"

// A share of a step: the next n_rows tokens of a generation that are not computed yet.
typedef struct step_part {
  pn_gen *gen;
  int n_rows;
} step_part;

typedef struct scheduler {
  int chunk_tokens; // prompt tokens a step at most
  pn_gen *running;
  pn_gen *first, *last; // waiting, oldest first
  int n_waiting;
} scheduler;

void scheduler_add(scheduler *s, pn_gen *gen);
// Fill `parts` (room for max_parts) with the next step; the number of parts, 0 when there is nothing to do.
int scheduler_plan(scheduler *s, step_part *parts, int max_parts);
// Forget a generation, waiting or running. The scheduler never frees one.
void scheduler_remove(scheduler *s, pn_gen *gen);
// Some generation that was cancelled, or NULL.
pn_gen *scheduler_cancelled(scheduler *s);
// Any generation, for the end; NULL when there is none.
pn_gen *scheduler_any(scheduler *s);
bool scheduler_idle(const scheduler *s);

#endif
