#include "engine/prompt_pace.h"

#define ALONE_US 250000.0 // a pass without streams: newcomers wait so long
#define ALONE_MIN 16      // rows
#define FIRST_ROWS 16     // beside streams, before anything was measured
#define LEAST_ROWS 8      // fewer cost as much
#define LEAST_WHOLE                                                                                          \
  64 // the same of passes that are computed whole: a device reads the weights for so many at once
#define LAYER_PART 0.8 // of a turn's budget, that a layer should take
#define MORE_SHARE 0.1 // for each further prompt
#define MOST_SHARE 0.5
#define REST_TURNS 2 // after a layer that was far longer than the budget
#define FAR 1.25
#define ADVANCE 0.8 // of what a layer takes: then it may begin, and the rest is paid later

void prompt_pace_init(prompt_pace *p, double share, int max_rows, int n_layers) {
  *p = (prompt_pace){.share = share, .max_rows = max_rows, .n_layers = n_layers, .rows = FIRST_ROWS};
  p->alone_least = ALONE_MIN;
  p->least = n_layers > 1 ? LEAST_ROWS : LEAST_WHOLE;
}

static int clamp(double rows, int least, int most) {
  int n = rows >= (double)most ? most : (int)rows;
  if (n < least) n = least;
  return n < most ? n : most;
}

int prompt_pace_rows(const prompt_pace *p, bool streams) {
  if (streams) return clamp(p->rows, p->least, p->max_rows);
  if (p->alone_rows_per_us <= 0) return clamp(4 * FIRST_ROWS, p->alone_least, p->max_rows);
  return clamp(p->alone_rows_per_us * ALONE_US, p->alone_least, p->max_rows);
}

void prompt_pace_begin(prompt_pace *p, int n_rows) {
  if (p->pass_rows > 0) p->layer_us *= (double)n_rows / p->pass_rows;
  p->shared = p->budget_us > 0;
  p->pass_us = 0;
  p->pass_rows = n_rows;
  p->pass_layers = 0;
}

void prompt_pace_turn(prompt_pace *p, uint64_t streams_us, int n_prompts) {
  p->turns_since++;
  if (streams_us == 0) {
    p->shared = false;
    p->budget_us = p->credit_us = 0;
    return;
  }
  double share = p->share, most_share = share > MOST_SHARE ? share : MOST_SHARE;
  if (n_prompts > 1) share += MORE_SHARE * (n_prompts - 1);
  if (share > most_share) share = most_share;
  p->budget_us = (double)streams_us * share / (1 - share);
  p->credit_us += p->budget_us;
  double most = p->layer_us > p->budget_us ? p->layer_us : p->budget_us;
  if (p->credit_us > 1.25 * most) p->credit_us = 1.25 * most;
}

bool prompt_pace_fits(const prompt_pace *p) {
  if (p->budget_us <= 0 || p->layer_us <= 0) return true;
  // Far longer than a turn's budget: then most turns go without, and few streams' tokens come late.
  if (p->layer_us > FAR * p->budget_us && p->turns_since <= REST_TURNS) return false;
  return p->credit_us >= ADVANCE * p->layer_us;
}

// What a whole pass says of the rows that the next one should have.
static void learn(prompt_pace *p) {
  double layer = (double)p->pass_us / p->pass_layers, want = LAYER_PART * p->budget_us;
  if (!p->shared) {
    double rate = (double)p->pass_rows / (double)(p->pass_us ? p->pass_us : 1);
    // A small pass pays the same fixed costs as a large one: it can only show that more is possible.
    if (rate < p->alone_rows_per_us && 2 * p->pass_rows < prompt_pace_rows(p, false)) return;
    p->alone_rows_per_us = p->alone_rows_per_us > 0 ? (p->alone_rows_per_us + rate) / 2 : rate;
    return;
  }
  if (layer <= 0 || want <= 0) return;
  double rows = (double)p->pass_rows * want / layer;
  if (rows > p->rows && p->pass_rows < clamp(p->rows, p->least, p->max_rows)) return; // the prompts ended
  if (rows > 2 * p->rows) rows = 2 * p->rows;
  p->rows = (p->rows + rows) / 2;
  if (p->rows < p->least) p->rows = p->least;
  if (p->rows > (double)p->max_rows) p->rows = (double)p->max_rows;
}

void prompt_pace_took(prompt_pace *p, uint64_t us) {
  p->credit_us -= (double)us;
  p->turns_since = 0;
  p->pass_us += us;
  bool last = ++p->pass_layers >= p->n_layers;
  // The last of several has the logits with it: it says nothing of the others.
  if (!last || p->n_layers == 1) p->layer_us = us ? (double)us : 1;
  if (last) learn(p);
}
