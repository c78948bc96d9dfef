// Choosing the experts of each row. The same on every instruction set: exponentials by cpu_ops.h, the rest
// one number after another.
#include "backend/cpu/cpu_state.h"

#include <math.h>

typedef struct route_job {
  const cpu_backend *s;
  const pn_step *step;
  cpu_rows x, out;
} route_job;

// Scores of n experts; what they are ranked by goes to `key`.
static void score_experts(const route_job *j, const float *x, int n, float *score, float *key) {
  const bool softmax = j->step->route.gate == PN_GATE_SOFTMAX;
  const float *bias = j->step->n_weights ? j->step->w[0]->vector : NULL;
  float top = -INFINITY;
  for (int i = 0; i < n; i++)
    if (x[i] > top) top = x[i];
  for (int i = 0; i < n; i++) score[i] = softmax ? x[i] - top : -x[i];
  j->s->ops->exp(score, n, score);
  for (int i = 0; i < n; i++) {
    if (isnan(x[i])) score[i] = NAN;
    if (!softmax) score[i] = 1 / (1 + score[i]);
    key[i] = bias ? score[i] + bias[i] : x[i];
  }
}

static bool ranks_above(float a, float b) { return a > b || (isnan(b) && !isnan(a)); }

// best[k] = the experts with the largest keys, ascending by number.
static void choose(const float *key, int n, int k, int32_t *best) {
  int held = 0; // from the largest key to the smallest, of equal ones the lower number first
  for (int i = 0; i < n; i++) {
    if (held == k && !ranks_above(key[i], key[best[k - 1]])) continue;
    int at = held < k ? held++ : k - 1;
    for (; at > 0 && ranks_above(key[i], key[best[at - 1]]); at--) best[at] = best[at - 1];
    best[at] = i;
  }
  for (int i = 1; i < k; i++) {
    const int32_t moved = best[i];
    int at = i;
    for (; at > 0 && best[at - 1] > moved; at--) best[at] = best[at - 1];
    best[at] = moved;
  }
}

static void route_rows(void *ctx, int thread, int64_t begin, int64_t end) {
  const route_job *j = ctx;
  const pn_step *step = j->step;
  const int n = step->in[0].width, k = step->out.width / 2;
  float score[PN_MAX_EXPERTS], key[PN_MAX_EXPERTS];
  int32_t best[PN_MAX_EXPERTS];
  (void)thread;
  for (int64_t r = begin; r < end; r++) {
    float *out = j->out.p + r * j->out.stride;
    score_experts(j, j->x.p + r * j->x.stride, n, score, key);
    choose(key, n, k, best);
    float divisor = 0;
    if (step->route.normalise)
      for (int i = 0; i < k; i++) divisor += score[best[i]];
    else if (step->route.gate == PN_GATE_SOFTMAX)
      for (int i = 0; i < n; i++) divisor += score[i];
    else
      divisor = 1;
    for (int i = 0; i < k; i++) {
      out[i] = (float)best[i];
      out[k + i] = score[best[i]] / divisor * step->route.scale;
    }
  }
}

void cpu_route(cpu_backend *s, const pn_step *step) {
  route_job j = {s, step, cpu_rows_of(s, step->in[0]), cpu_rows_of(s, step->out)};
  if ((int64_t)j.out.n * step->in[0].width < 4096) // too little to wake anyone for
    route_rows(&j, 0, 0, j.out.n);
  else
    cpu_pool_run(s->pool, route_rows, &j, j.out.n, cpu_pool_chunk(s->pool, j.out.n, 2));
}
