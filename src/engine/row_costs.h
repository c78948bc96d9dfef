// What steps of so many rows cost on this machine, learned from the steps that were computed. Pure: time
// comes in as numbers. One owner; zero-initialise.
#ifndef PN_ENGINE_ROW_COSTS_H
#define PN_ENGINE_ROW_COSTS_H

#include <stdint.h>

enum { ROW_COSTS_MOST = 64 };

typedef struct row_costs {
  double us[ROW_COSTS_MOST + 1];              // by rows; 0: never seen
  uint64_t seen[ROW_COSTS_MOST + 1], n_steps; // the step in which it was seen last
} row_costs;

void row_costs_took(row_costs *c, int n_rows, uint64_t us);
// Microseconds of a step of 1 to ROW_COSTS_MOST rows: between numbers that were seen lately on a straight
// line, beyond them a little cheaper than is likely, so that they are tried. 0: nothing was seen.
double row_costs_of(const row_costs *c, int n_rows);

#endif
