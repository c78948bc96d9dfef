// Routed experts of the oracle: which ones a row goes to, and what they make of it.
#include "backend/ref/ref_int.h"
#include "backend/ref/ref_matrix.h"

#include <math.h>

// The expert that no earlier slot has with the largest key.
static int next_best(const float *key, int n, const float *taken, int n_taken) {
  int best = -1;
  for (int i = 0; i < n; i++) {
    bool free = true;
    for (int t = 0; t < n_taken; t++) free = free && taken[t] != (float)i;
    if (free && (best < 0 || key[i] > key[best] || (isnan(key[best]) && !isnan(key[i])))) best = i;
  }
  return best;
}

static void sort_ascending(float *v, int n) {
  for (int i = 1; i < n; i++)
    for (int j = i; j > 0 && v[j - 1] > v[j]; j--) {
      float x = v[j];
      v[j] = v[j - 1];
      v[j - 1] = x;
    }
}

// out: k numbers, k weights.
static void route_row(const pn_step *step, const float *x, float *out) {
  const int n = step->in[0].width, k = step->out.width / 2;
  const bool softmax = step->route.gate == PN_GATE_SOFTMAX;
  double score[PN_MAX_EXPERTS], top = -INFINITY, all = 0, chosen = 0;
  float key[PN_MAX_EXPERTS];
  for (int i = 0; i < n; i++) top = fmax(top, (double)x[i]);
  for (int i = 0; i < n; i++) {
    score[i] = softmax ? exp((double)x[i] - top) : 1 / (1 + exp(-(double)x[i]));
    key[i] = step->n_weights ? (float)score[i] + step->w[0]->vector[i] : x[i];
    all += score[i];
  }
  for (int j = 0; j < k; j++) out[j] = (float)next_best(key, n, out, j);
  sort_ascending(out, k);
  for (int j = 0; j < k; j++) chosen += score[(int)out[j]];
  const double divisor = step->route.normalise ? chosen : softmax ? all : 1;
  for (int j = 0; j < k; j++) out[k + j] = (float)(score[(int)out[j]] / divisor * (double)step->route.scale);
}

void ref_route(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->in[0]), out = cpu_workspace_rows(s->ws, step->out);
  for (int r = 0; r < out.n; r++) route_row(step, x.p + r * x.stride, out.p + r * out.stride);
}

// W[row] . x
static double product(const pn_weight *w, int64_t row, const float *x, float *room) {
  double sum = 0;
  ref_matrix_row(&w->m, row, room);
  for (int64_t i = 0; i < w->m.cols; i++) sum += (double)room[i] * (double)x[i];
  return sum;
}

// act[width] of one expert: the row of gate, and that of up, which is behind all of gate's in a matrix of
// both.
static void activate(const pn_step *step, int expert, const float *x, float *act, float *room) {
  const int width = step->experts.width;
  const bool both = step->n_weights == 2;
  const int64_t gate = (int64_t)expert * width * (both ? 2 : 1), up = both ? gate + width : gate;
  for (int i = 0; i < width; i++) {
    double g = (double)(float)product(step->w[0], gate + i, x, room);
    double u = (double)(float)product(step->w[both ? 0 : 1], up + i, x, room);
    act[i] = (float)(g / (1.0 + exp(-g)) * u);
  }
}

typedef struct experts_job {
  ref *s;
  const pn_step *step;
  cpu_rows x, route, out;
} experts_job;

static void experts_rows(void *ctx, int thread, int64_t begin, int64_t end) {
  const experts_job *j = ctx;
  const pn_step *step = j->step;
  const int k = step->in[1].width / 2, width = step->out.width;
  float *room = (float *)j->s->row.p + thread * j->s->max_cols;
  float *act = (float *)j->s->act.p + thread * j->s->max_cols;
  for (int64_t r = begin; r < end; r++) {
    const float *route = j->route.p + r * j->route.stride;
    float *out = j->out.p + r * j->out.stride;
    for (int i = 0; i < width; i++) out[i] = 0;
    for (int slot = 0; slot < k; slot++) {
      const int expert = (int)route[slot];
      const pn_weight *down = step->w[step->n_weights - 1];
      activate(step, expert, j->x.p + r * j->x.stride, act, room);
      for (int i = 0; i < width; i++)
        out[i] += (float)((double)route[k + slot] * product(down, (int64_t)expert * width + i, act, room));
    }
  }
}

void ref_experts(ref *s, const pn_step *step) {
  experts_job j = {s, step, cpu_workspace_rows(s->ws, step->in[0]), cpu_workspace_rows(s->ws, step->in[1]),
                   cpu_workspace_rows(s->ws, step->out)};
  cpu_pool_run(s->pool, experts_rows, &j, j.out.n, 1);
}
