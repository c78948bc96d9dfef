#include "engine/row_costs.h"

#include <stdbool.h>

#define LATELY 1000 // steps: what was not seen for so long is tried anew
#define RATE 0.2    // of the distance to what a step took
#define DRIFT 0.05  // of it, for all others: contexts grow, other programs come and go
#define GROWTH 0.04 // of a step, that one row more costs, as long as nobody knows

void row_costs_took(row_costs *c, int n_rows, uint64_t us) {
  if (n_rows < 1 || n_rows > ROW_COSTS_MOST || us == 0) return;
  double *own = &c->us[n_rows], ratio = *own > 0 ? (double)us / *own : 1;
  if (*own == 0) *own = (double)us;
  c->seen[n_rows] = ++c->n_steps;
  if (ratio > 2) ratio = 2; // a hiccup
  if (ratio < 0.5) ratio = 0.5;
  for (int n = 1; n <= ROW_COSTS_MOST; n++) c->us[n] *= 1 + (n == n_rows ? RATE : DRIFT) * (ratio - 1);
}

static bool known(const row_costs *c, int n_rows) {
  return c->us[n_rows] > 0 && c->n_steps - c->seen[n_rows] < LATELY;
}

double row_costs_of(const row_costs *c, int n_rows) {
  int below = n_rows, above = n_rows;
  while (below > 0 && !known(c, below)) below--;
  while (above <= ROW_COSTS_MOST && !known(c, above)) above++;
  double low = below > 0 ? c->us[below] : 0, high = above <= ROW_COSTS_MOST ? c->us[above] : 0;
  if (low == 0) return high / (1 + GROWTH * (above - n_rows));
  if (high == 0) return low * (1 + GROWTH * (n_rows - below));
  return below == above ? low : low + (high - low) * (n_rows - below) / (above - below);
}
