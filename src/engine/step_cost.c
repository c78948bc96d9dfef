#include "engine/step_cost.h"

#define REMEASURE 32      // mixed steps until the streams alone are measured again
#define ALONE_US 250000.0 // a step of prompts only: newcomers and those who leave wait so long
#define ALONE_MIN 16      // rows
#define ALONE_FIRST 64    // rows, before anything was measured
#define FIRST_ROWS 8.0    // beside streams, before anything was measured

void step_cost_init(step_cost *c, double share, int max_rows) {
  *c = (step_cost){.share = share, .max_rows = max_rows};
  for (int i = 0; i < STEP_COST_BUCKETS; i++) c->buckets[i].rows = FIRST_ROWS;
}

static int bucket_of(int n_decode) {
  int i = 0;
  for (int top = 1; top < n_decode && i < STEP_COST_BUCKETS - 1; top *= 2) i++;
  return i;
}

// The median of what was seen lately: one step that another program held up does not count.
static double usual_us(const step_cost_bucket *b) {
  uint64_t v[STEP_COST_RECENT];
  int n = b->n_seen < STEP_COST_RECENT ? (int)b->n_seen : STEP_COST_RECENT;
  for (int i = 0; i < n; i++) {
    int at = i;
    for (; at > 0 && v[at - 1] > b->recent_us[i]; at--) v[at] = v[at - 1];
    v[at] = b->recent_us[i];
  }
  return n ? (double)v[n / 2] : 0;
}

static int clamp(double rows, int least, int most) {
  int n = rows >= (double)most ? most : (int)rows;
  if (n < least) n = least;
  return n < most ? n : most;
}

int step_cost_budget(const step_cost *c, int n_decode) {
  if (n_decode == 0) {
    double rows = c->alone_rows_per_us > 0 ? c->alone_rows_per_us * ALONE_US : ALONE_FIRST;
    return clamp(rows, ALONE_MIN, c->max_rows);
  }
  const step_cost_bucket *b = &c->buckets[bucket_of(n_decode)];
  if (b->n_seen == 0 || b->n_mixed >= REMEASURE) return 0;
  return clamp(b->rows, 1, c->max_rows);
}

static void took_alone(step_cost *c, int n_prompt, double us) {
  double rate = (double)n_prompt / us;
  // A small step pays the same fixed costs as a large one: it can only show that more is possible.
  if (rate < c->alone_rows_per_us && 2 * n_prompt < step_cost_budget(c, 0)) return;
  c->alone_rows_per_us = c->alone_rows_per_us > 0 ? (c->alone_rows_per_us + rate) / 2 : rate;
}

static void took_mixed(step_cost_bucket *b, double share, int n_prompt, double us, int max_rows) {
  double limit = usual_us(b) / (1 - share);
  b->n_mixed++;
  if (limit <= 0) return;
  if (us > limit) {
    // The first time may be chance; twice in a row, or far over, is not.
    double rows = b->rows < (double)n_prompt ? b->rows : (double)n_prompt;
    double cut = us > 1.5 * limit ? 0.5 : 0.8;
    b->overs++;
    b->settled = 1;
    b->rows = rows * (b->overs > 1 ? cut : 0.9);
    if (b->rows < 1) b->rows = 1;
    return;
  }
  b->overs = 0;
  if ((double)n_prompt < 0.9 * (double)clamp(b->rows, 1, max_rows))
    return; // it did not show that more would fit
  b->rows = b->settled ? b->rows * (1 + 1.0 / 64) + 0.1 : b->rows * 1.5;
  if (b->rows > (double)max_rows) b->rows = (double)max_rows;
}

void step_cost_took(step_cost *c, int n_decode, int n_prompt, uint64_t us) {
  if (us == 0) us = 1;
  if (n_decode == 0) {
    if (n_prompt > 0) took_alone(c, n_prompt, (double)us);
    return;
  }
  step_cost_bucket *b = &c->buckets[bucket_of(n_decode)];
  if (n_prompt > 0) {
    took_mixed(b, c->share, n_prompt, (double)us, c->max_rows);
    return;
  }
  b->recent_us[b->n_seen % STEP_COST_RECENT] = us;
  b->n_seen++;
  b->n_mixed = 0;
}
