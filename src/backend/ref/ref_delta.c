// The gated delta rule of the oracle: a row and a head at a time, everything between in double.
#include "backend/ref/ref_int.h"

#include <math.h>
#include <string.h>

// x / sqrt(|x|^2 + eps) * scale.
static void normalize(const float *x, int n, double eps, double scale, double *out) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
  for (int i = 0; i < n; i++) out[i] = (double)x[i] / sqrt(sum + eps) * scale;
}

static double dot(const float *s, const double *x, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += (double)s[i] * x[i];
  return sum;
}

// One row of a head: S [head_dim][key_dim] becomes the next one, out[head_dim] = S q.
static void advance(const pn_step *step, float *state, double decay, double beta, const double *q,
                    const double *k, const float *v, float *out) {
  const int n = step->delta.key_dim;
  for (int j = 0; j < step->delta.head_dim; j++) {
    float *s = state + (int64_t)j * n;
    double delta = beta * ((double)v[j] - decay * dot(s, k, n));
    for (int i = 0; i < n; i++) s[i] = (float)(decay * (double)s[i] + delta * k[i]);
    out[j] = (float)dot(s, q, n);
  }
}

static void delta_row(const pn_step *step, const float *x, const float *y, float *state, float *out) {
  const int dim = step->delta.key_dim, n_keys = step->delta.n_key_heads, n = step->delta.n_heads;
  const float *rate = step->w[0]->vector, *bias = rate + n, *v = x + 2 * (int64_t)n_keys * dim;
  for (int h = 0; h < n; h++) {
    const int from = step->delta.tiled ? h % n_keys : h / (n / n_keys);
    double q[PN_DELTA_MAX_KEY], k[PN_DELTA_MAX_KEY];
    normalize(x + from * dim, dim, (double)step->delta.eps, 1 / sqrt(dim), q);
    normalize(x + (n_keys + from) * dim, dim, (double)step->delta.eps, 1, k);
    double beta = 1 / (1 + exp(-(double)y[h])), a = (double)y[n + h] + (double)bias[h];
    double decay = exp((double)rate[h] * (a > 40 ? a : log1p(exp(a))));
    const int64_t at = (int64_t)h * step->delta.head_dim;
    advance(step, state + at * dim, decay, beta, q, k, v + at, out + at);
  }
}

void ref_gated_delta(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->in[0]), y = cpu_workspace_rows(s->ws, step->in[1]),
                 out = cpu_workspace_rows(s->ws, step->out);
  const pn_kv_rows *places = &s->batch.kv[step->delta.group];
  const size_t n = (size_t)step->out.width * (size_t)step->delta.key_dim;
  for (int r = 0; r < x.n; r++) {
    float *state =
        (float *)(void *)ref_kv_page(places->kv, step->delta.layer, places->state[s->batch.seq[r]]) +
        step->delta.offset;
    if (s->batch.pos[r] == 0) memset(state, 0, n * sizeof *state);
    delta_row(step, x.p + r * x.stride, y.p + r * y.stride, state, out.p + r * out.stride);
  }
}
