// The ops of the oracle that need no KV.
#include "backend/ref/ref_int.h"
#include "backend/ref/ref_matrix.h"

#include <math.h>
#include <string.h>

void ref_embed(ref *s, const pn_step *step) {
  const cpu_rows out = cpu_workspace_rows(s->ws, step->out);
  for (int r = 0; r < out.n; r++) {
    float *o = out.p + r * out.stride;
    ref_matrix_row(&step->w[0]->m, s->batch.token[r], o);
    for (int i = 0; i < step->out.width; i++) o[i] *= step->embed.scale;
  }
}

static void norm_piece(const float *x, const float *weight, float eps, int width, float *out) {
  double sum = 0;
  for (int i = 0; i < width; i++) sum += (double)x[i] * (double)x[i];
  double factor = 1.0 / sqrt(sum / width + (double)eps);
  for (int i = 0; i < width; i++) out[i] = (float)((double)x[i] * factor * (double)weight[i]);
}

void ref_rmsnorm(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->in[0]), out = cpu_workspace_rows(s->ws, step->out);
  int width = step->out.width / step->norm.heads, apart = step->norm.stride ? step->norm.stride : width;
  for (int r = 0; r < out.n; r++)
    for (int h = 0; h < step->norm.heads; h++)
      norm_piece(x.p + r * x.stride + h * apart, step->w[0]->vector, step->norm.eps, width,
                 out.p + r * out.stride + h * width);
}

static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

void ref_gated_rmsnorm(ref *s, const pn_step *step) {
  const cpu_rows gate = cpu_workspace_rows(s->ws, step->in[1]), out = cpu_workspace_rows(s->ws, step->out);
  ref_rmsnorm(s, step);
  for (int r = 0; r < out.n; r++)
    for (int i = 0; i < step->out.width; i++) {
      double g = (double)gate.p[r * gate.stride + i];
      out.p[r * out.stride + i] = (float)((double)out.p[r * out.stride + i] * g * sigmoid(g));
    }
}

void ref_add_rmsnorm(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->in[0]), y = cpu_workspace_rows(s->ws, step->in[1]),
                 out = cpu_workspace_rows(s->ws, step->out);
  int width = step->out.width;
  for (int r = 0; r < out.n; r++) {
    for (int i = 0; i < width; i++) x.p[r * x.stride + i] += y.p[r * y.stride + i];
    norm_piece(x.p + r * x.stride, step->w[0]->vector, step->norm.eps, width, out.p + r * out.stride);
  }
}

// out[r][c] for all rows r of the input and the output columns [begin, end) of one weight.
typedef struct product {
  ref *s;
  const pn_weight *w;
  int n_rows;
  const double *x; // [group of TOGETHER rows][column][row]
  float *out;
  int64_t out_stride;
} product;

// Sums of w[i] * x[i][k], i ascending.
static void multiply_group(const float *w, const double *x, int64_t cols, double sum[TOGETHER]) {
  double acc[TOGETHER] = {0};
  for (int64_t i = 0; i < cols; i++, x += TOGETHER)
    for (int k = 0; k < TOGETHER; k++) acc[k] += (double)w[i] * x[k];
  memcpy(sum, acc, sizeof acc);
}

static void multiply(void *ctx, int thread, int64_t begin, int64_t end) {
  const product *p = ctx;
  const pn_matrix *m = &p->w->m;
  float *w = (float *)p->s->row.p + thread * p->s->max_cols;
  for (int64_t c = begin; c < end; c++) {
    const double *x = p->x;
    ref_matrix_row(m, c, w);
    for (int r = 0; r < p->n_rows; r += TOGETHER, x += m->cols * TOGETHER) {
      double sum[TOGETHER];
      multiply_group(w, x, m->cols, sum);
      for (int k = 0; k < TOGETHER && r + k < p->n_rows; k++)
        p->out[(r + k) * p->out_stride + c] = (float)sum[k];
    }
  }
}

// The input's rows side by side, zeros behind the last.
static const double *interleave(ref *s, const cpu_rows *x, int64_t cols) {
  double *to = s->columns.p;
  for (int r = 0; r < x->n; r += TOGETHER)
    for (int64_t i = 0; i < cols; i++)
      for (int k = 0; k < TOGETHER; k++) *to++ = r + k < x->n ? (double)x->p[(r + k) * x->stride + i] : 0;
  return s->columns.p;
}

void ref_matmul(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->in[0]), out = cpu_workspace_rows(s->ws, step->out);
  const double *columns = interleave(s, &x, step->in[0].width);
  float *at = out.p;
  for (int i = 0; i < step->n_weights; at += step->w[i++]->m.rows)
    cpu_pool_run(s->pool, multiply, &(product){s, step->w[i], x.n, columns, at, out.stride},
                 step->w[i]->m.rows, cpu_pool_chunk(s->pool, step->w[i]->m.rows, 4));
}

void ref_rope(ref *s, const pn_step *step) {
  const pn_rope *rope = &s->ws->plan->ropes[step->rope.table];
  const cpu_rows x = cpu_workspace_rows(s->ws, step->out);
  int half = rope->n_rot / 2;
  for (int r = 0; r < x.n; r++)
    for (int i = 0; i < half; i++) {
      float angle = (float)s->batch.pos[r] * rope->inv_freq[i];
      float c = cosf(angle) * rope->scale, d = sinf(angle) * rope->scale;
      int first = rope->order == PN_ROPE_HALF ? i : 2 * i;
      int second = rope->order == PN_ROPE_HALF ? i + half : 2 * i + 1;
      for (int h = 0; h < step->rope.n_heads; h++) {
        float *v = x.p + r * x.stride + (int64_t)h * step->rope.head_dim;
        float a = v[first], z = v[second];
        v[first] = a * c - z * d;
        v[second] = z * c + a * d;
      }
    }
}

void ref_silu_mul(ref *s, const pn_step *step) {
  const cpu_rows gate = cpu_workspace_rows(s->ws, step->in[0]), up = cpu_workspace_rows(s->ws, step->in[1]),
                 out = cpu_workspace_rows(s->ws, step->out);
  for (int r = 0; r < out.n; r++)
    for (int i = 0; i < step->out.width; i++) {
      double g = (double)gate.p[r * gate.stride + i];
      out.p[r * out.stride + i] = (float)(g * sigmoid(g) * (double)up.p[r * up.stride + i]);
    }
}

void ref_gelu_mul(ref *s, const pn_step *step) {
  const cpu_rows gate = cpu_workspace_rows(s->ws, step->in[0]), up = cpu_workspace_rows(s->ws, step->in[1]),
                 out = cpu_workspace_rows(s->ws, step->out);
  for (int r = 0; r < out.n; r++)
    for (int i = 0; i < step->out.width; i++) {
      double g = (double)gate.p[r * gate.stride + i];
      double act = g / 2 * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (g + 0.044715 * g * g * g)));
      out.p[r * out.stride + i] = (float)(act * (double)up.p[r * up.stride + i]);
    }
}

void ref_sigmoid_gate(ref *s, const pn_step *step) {
  const cpu_rows gate = cpu_workspace_rows(s->ws, step->in[0]), out = cpu_workspace_rows(s->ws, step->out);
  int width = step->out.width / step->gate.heads, apart = step->gate.stride ? step->gate.stride : width;
  for (int r = 0; r < out.n; r++)
    for (int h = 0; h < step->gate.heads; h++)
      for (int i = 0; i < width; i++) {
        float *o = out.p + r * out.stride + h * width + i;
        *o = (float)((double)*o * sigmoid((double)gate.p[r * gate.stride + h * apart + i]));
      }
}

void ref_scale(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->out);
  for (int r = 0; r < x.n; r++)
    for (int i = 0; i < step->out.width; i++) x.p[r * x.stride + i] *= step->scale.by;
}

void ref_soft_cap(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->out);
  const double limit = (double)step->cap.limit;
  for (int r = 0; r < x.n; r++)
    for (int i = 0; i < step->out.width; i++) {
      float *v = &x.p[r * x.stride + i];
      *v = (float)(limit * tanh((double)*v / limit));
    }
}

void ref_add(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->out), y = cpu_workspace_rows(s->ws, step->in[0]);
  for (int r = 0; r < x.n; r++)
    for (int i = 0; i < step->out.width; i++) x.p[r * x.stride + i] += y.p[r * y.stride + i];
}

void ref_add_bias(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->out);
  for (int r = 0; r < x.n; r++)
    for (int i = 0; i < step->out.width; i++) x.p[r * x.stride + i] += step->w[0]->vector[i];
}

void ref_gather(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->in[0]), out = cpu_workspace_rows(s->ws, step->out);
  for (int k = 0; k < out.n; k++)
    for (int i = 0; i < step->out.width; i++)
      out.p[k * out.stride + i] = x.p[s->batch.logit_rows[k] * x.stride + i];
}
