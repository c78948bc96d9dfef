// A backend that takes whole plans, for tests: another one whose table gains compile and submit.
// Asynchronous, it computes nothing before somebody waits for it, so that whatever is read or changed too
// early shows.
#ifndef PN_TESTS_LATE_BACKEND_H
#define PN_TESTS_LATE_BACKEND_H

#include "backend/backend.h"

typedef struct late_counts {
  int n_compiled, n_submits, n_samples, n_collects;
  // a step begun or a page copied while rows were in flight, or a choice asked for in the wrong way
  int n_early;
} late_counts;

// Give *b the new table; at most one backend at a time has it. Counts begin at 0.
void late_wrap(pn_backend *b, bool asynchronous);
late_counts late_counted(void);
// From now on `compile` refuses the plan's first step of that op. PN_N_OPS: none.
void late_refuse(pn_op op);

#endif
