// The oracle: every op as plain loops, written to be read. It uses threads only to share out independent
// outputs, so no result depends on their number.
//
// Accumulation: matrix products, norms, scores and the sums of the softmax run in double, ascending, and are
// rounded to f32 once. The KV has the dtype of its shape, and of int8 and int4 the values that their codes
// stand for, as f32; everything else is f32.
#include "backend/cpu/cpu.h"
#include "backend/cpu/cpu_hadamard.h"
#include "backend/cpu/cpu_memory.h"
#include "backend/cpu/cpu_pool.h"
#include "backend/cpu/cpu_ref_codes.h"
#include "backend/cpu/cpu_ref_matrix.h"
#include "backend/cpu/cpu_ref_sample.h"
#include "backend/cpu/cpu_workspace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  DIMS = 256,  // of a head, that are looked at in one go
  TOGETHER = 8 // rows whose sums go on side by side in products
};

struct pn_weight {
  pn_matrix m;
  float *vector; // of a vector, in the same block of memory; NULL: a matrix
};

// [layer][page][kv head][offset][K, V][head_dim]
struct pn_kv {
  pn_kv_shape shape;
  pn_dtype dtype;
  char *data;
};

typedef struct ref {
  pn_backend head;
  cpu_pool *pool;
  char description[64];
  const pn_workspace *ws; // of the step under way
  pn_batch batch;         // the workspace's
  int64_t max_cols;       // of all weights opened
  cpu_scratch row;        // a weight's row a thread: [n_threads][max_cols] floats
  cpu_scratch columns;    // rows of a product's input side by side, doubles
  cpu_scratch scores;     // [n_threads][max_positions] doubles
  int64_t max_positions;  // over all rows of the batch
  cpu_ref_sampler sampler;
} ref;

static void ref_close(pn_backend *b) {
  ref *s = (ref *)b;
  cpu_pool_free(s->pool);
  cpu_scratch_fini(&s->row);
  cpu_scratch_fini(&s->columns);
  cpu_scratch_fini(&s->scores);
  cpu_ref_sample_fini(&s->sampler);
  free(s);
}

static const char *ref_describe(pn_backend *b) { return ((ref *)b)->description; }

static pn_weight *ref_weight_open(pn_backend *b, const pn_matrix *m, pn_error *e) {
  ref *s = (ref *)b;
  if (!cpu_ref_matrix_check(m, e)) return NULL;
  pn_weight *w = malloc(sizeof *w);
  if (!w ||
      !cpu_scratch_reserve(&s->row, (size_t)cpu_pool_threads(s->pool) * (size_t)m->cols * sizeof(float))) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for a weight of %lld columns", (long long)m->cols);
    free(w);
    return NULL;
  }
  if (m->cols > s->max_cols) s->max_cols = m->cols;
  *w = (pn_weight){.m = *m};
  return w;
}

static pn_weight *ref_vector_open(pn_backend *b, const float *host, int64_t n, pn_error *e) {
  (void)b;
  pn_weight *w = n > 0 && (uint64_t)n < SIZE_MAX / 8 ? malloc(sizeof *w + (size_t)n * sizeof *host) : NULL;
  if (!w) return pn_fail(e, PN_ERR_NOMEM, "no memory for a vector of %lld numbers", (long long)n), NULL;
  *w = (pn_weight){.vector = (float *)(w + 1)};
  memcpy(w->vector, host, (size_t)n * sizeof *host);
  return w;
}

static void ref_weight_close(pn_backend *b, pn_weight *w) {
  (void)b;
  free(w);
}

// int8 and int4 are kept as the values that their codes stand for.
static pn_dtype kept_as(pn_kv_type t) { return t == PN_KV_F16 ? PN_F16 : t == PN_KV_BF16 ? PN_BF16 : PN_F32; }

static uint64_t ref_kv_bytes(pn_backend *b, const pn_kv_shape *s) {
  (void)b;
  const int counts[] = {s->n_layers, s->n_kv_heads, s->head_dim, s->page_tokens, s->n_pages};
  uint64_t bytes = 2 * pn_dtype_block_bytes(kept_as(s->type));
  for (int i = 0; i < 5; i++) {
    if (counts[i] < 1) return 0;
    if (__builtin_mul_overflow(bytes, (uint64_t)counts[i], &bytes)) return UINT64_MAX;
  }
  return bytes;
}

static pn_kv *ref_kv_open(pn_backend *b, const pn_kv_shape *s, pn_error *e) {
  uint64_t bytes = ref_kv_bytes(b, s);
  if (bytes == 0 || (unsigned)s->type >= PN_KV_N_TYPES ||
      (s->type == PN_KV_INT4 && s->head_dim > CPU_HADAMARD_MAX)) {
    pn_fail(e, PN_ERR_UNSUPPORTED, "KV of %d layers, %d heads of %d, %d pages of %d tokens, %s", s->n_layers,
            s->n_kv_heads, s->head_dim, s->n_pages, s->page_tokens, pn_kv_type_name(s->type));
    return NULL;
  }
  pn_kv *kv = malloc(sizeof *kv);
  char *data = bytes < SIZE_MAX ? cpu_memory_new((size_t)bytes) : NULL;
  if (!kv || !data) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for a KV of %llu bytes", (unsigned long long)bytes);
    cpu_memory_free(data);
    free(kv);
    return NULL;
  }
  *kv = (pn_kv){*s, kept_as(s->type), data};
  return kv;
}

static void ref_kv_close(pn_backend *b, pn_kv *kv) {
  (void)b;
  if (!kv) return;
  cpu_memory_free(kv->data);
  free(kv);
}

static size_t page_bytes(const pn_kv *kv) {
  const pn_kv_shape *s = &kv->shape;
  return (size_t)s->n_kv_heads * (size_t)s->page_tokens * 2 * (size_t)s->head_dim *
         pn_dtype_block_bytes(kv->dtype);
}

static char *page_at(const pn_kv *kv, int layer, int32_t page) {
  return kv->data + ((size_t)layer * (size_t)kv->shape.n_pages + (size_t)page) * page_bytes(kv);
}

static bool ref_kv_copy(pn_backend *b, pn_kv *kv, int32_t from, int32_t to, pn_error *e) {
  (void)b, (void)e;
  for (int layer = 0; layer < kv->shape.n_layers && from != to; layer++)
    memcpy(page_at(kv, layer, to), page_at(kv, layer, from), page_bytes(kv));
  return true;
}

static void ref_kv_discard(pn_backend *b, pn_kv *kv, int32_t first, int n) {
  (void)b;
  for (int layer = 0; layer < kv->shape.n_layers; layer++)
    cpu_memory_discard(kv->data, page_at(kv, layer, first), (size_t)n * page_bytes(kv));
}

static uint64_t ref_workspace_bytes(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits) {
  (void)b;
  uint64_t bytes;
  return cpu_workspace_bytes(plan, max_rows, max_logits, &bytes) ? bytes : UINT64_MAX;
}

static pn_workspace *ref_workspace_open(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits,
                                        pn_error *e) {
  (void)b;
  return cpu_workspace_new(plan, max_rows, max_logits, e);
}

static void ref_workspace_close(pn_backend *b, pn_workspace *ws) {
  (void)b;
  cpu_workspace_free(ws);
}

static bool ref_begin(pn_backend *b, pn_workspace *ws, pn_kv *kv, const pn_batch *batch, pn_error *e) {
  ref *s = (ref *)b;
  int64_t positions = s->max_positions;
  for (int r = 0; r < batch->n_rows; r++)
    if (batch->pos && batch->pos[r] >= positions) positions = (int64_t)batch->pos[r] + 1;
  if (!cpu_scratch_reserve(&s->scores,
                           (size_t)cpu_pool_threads(s->pool) * (size_t)positions * sizeof(double)))
    return pn_fail(e, PN_ERR_NOMEM, "no memory for the scores of %lld positions", (long long)positions);
  s->max_positions = positions;
  size_t groups = (size_t)(batch->n_rows > batch->n_logits ? batch->n_rows : batch->n_logits) / TOGETHER + 1;
  if (!cpu_scratch_reserve(&s->columns, groups * TOGETHER * (size_t)s->max_cols * sizeof(double)))
    return pn_fail(e, PN_ERR_NOMEM, "no memory for products of %d rows", batch->n_rows);
  return cpu_workspace_begin(ws, kv, batch, e);
}

static void ref_write(pn_backend *b, pn_workspace *ws, pn_view v, int first, int n, const float *host) {
  (void)b;
  cpu_workspace_write(ws, v, first, n, host);
}

static bool ref_read(pn_backend *b, pn_workspace *ws, pn_view v, int first, int n, float *host, pn_error *e) {
  (void)b, (void)e;
  cpu_workspace_read(ws, v, first, n, host);
  return true;
}

static bool ref_sync(pn_backend *b, pn_error *e) { return (void)b, (void)e, true; }

static void ref_embed(ref *s, const pn_step *step) {
  const cpu_rows out = cpu_workspace_rows(s->ws, step->out);
  for (int r = 0; r < out.n; r++) {
    float *o = out.p + r * out.stride;
    cpu_ref_matrix_row(&step->w[0]->m, s->batch.token[r], o);
    for (int i = 0; i < step->out.width; i++) o[i] *= step->embed.scale;
  }
}

static void norm_piece(const float *x, const float *weight, float eps, int width, float *out) {
  double sum = 0;
  for (int i = 0; i < width; i++) sum += (double)x[i] * (double)x[i];
  double factor = 1.0 / sqrt(sum / width + (double)eps);
  for (int i = 0; i < width; i++) out[i] = (float)((double)x[i] * factor * (double)weight[i]);
}

static void ref_rmsnorm(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->in[0]), out = cpu_workspace_rows(s->ws, step->out);
  int width = step->out.width / step->norm.heads;
  for (int r = 0; r < out.n; r++)
    for (int at = 0; at < step->out.width; at += width)
      norm_piece(x.p + r * x.stride + at, step->w[0]->vector, step->norm.eps, width,
                 out.p + r * out.stride + at);
}

static void ref_add_rmsnorm(ref *s, const pn_step *step) {
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

static void multiply(void *ctx, int thread, int n_threads) {
  const product *p = ctx;
  const pn_matrix *m = &p->w->m;
  float *w = (float *)p->s->row.p + thread * p->s->max_cols;
  int64_t begin, end;
  cpu_pool_share(m->rows, 1, thread, n_threads, &begin, &end);
  for (int64_t c = begin; c < end; c++) {
    const double *x = p->x;
    cpu_ref_matrix_row(m, c, w);
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

static void ref_matmul(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->in[0]), out = cpu_workspace_rows(s->ws, step->out);
  const double *columns = interleave(s, &x, step->in[0].width);
  float *at = out.p;
  for (int i = 0; i < step->n_weights; at += step->w[i++]->m.rows)
    cpu_pool_run(s->pool, multiply, &(product){s, step->w[i], x.n, columns, at, out.stride});
}

static void ref_rope(ref *s, const pn_step *step) {
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

// Where K (which = 0) or V (1) of a token lies.
static char *kv_at(const pn_kv *kv, int layer, int64_t slot, int head, int which) {
  const pn_kv_shape *s = &kv->shape;
  int64_t page = slot / s->page_tokens, offset = slot % s->page_tokens;
  int64_t index = ((layer * (int64_t)s->n_pages + page) * s->n_kv_heads + head) * s->page_tokens + offset;
  return kv->data + (size_t)((index * 2 + which) * s->head_dim) * pn_dtype_block_bytes(kv->dtype);
}

static void store(pn_kv_type t, bool value, void *dst, const float *src, int n) {
  if (t == PN_KV_INT8 || t == PN_KV_INT4) {
    cpu_ref_codes(t, value, src, n, dst);
    return;
  }
  if (t == PN_KV_F32) {
    memcpy(dst, src, (size_t)n * 4);
    return;
  }
  for (int i = 0; i < n; i++) {
    uint16_t h = t == PN_KV_F16 ? pn_f32_to_f16(src[i]) : pn_f32_to_bf16(src[i]);
    memcpy((char *)dst + 2 * i, &h, 2);
  }
}

static void ref_kv_write(ref *s, const pn_step *step) {
  const cpu_rows k = cpu_workspace_rows(s->ws, step->in[0]), v = cpu_workspace_rows(s->ws, step->in[1]);
  const pn_kv *kv = s->ws->kv;
  int d = kv->shape.head_dim, layer = step->kv.layer;
  for (int r = 0; r < k.n; r++)
    for (int h = 0; h < kv->shape.n_kv_heads; h++) {
      int64_t slot = s->batch.slot[r];
      store(kv->shape.type, false, kv_at(kv, layer, slot, h, 0), k.p + r * k.stride + (int64_t)h * d, d);
      store(kv->shape.type, true, kv_at(kv, layer, slot, h, 1), v.p + r * v.stride + (int64_t)h * d, d);
    }
}

typedef struct attend_job {
  ref *s;
  const pn_kv *kv;
  const pn_attention *a;
  const float *q;
  int64_t q_stride;
  float *out;
  int64_t out_stride;
} attend_job;

// Numbers [from, from + n) of K (which = 0) or V (1) of position p of a sequence: where they lie, or in
// `room`.
static const float *numbers_of(const attend_job *j, const int32_t *pages, int p, int kv_head, int which,
                               int from, int n, float room[DIMS]) {
  const pn_kv_shape *shape = &j->kv->shape;
  int64_t slot = (int64_t)pages[p / shape->page_tokens] * shape->page_tokens + p % shape->page_tokens;
  const char *at = kv_at(j->kv, j->a->layer, slot, kv_head, which);
  at += (size_t)from * pn_dtype_block_bytes(j->kv->dtype);
  if (j->kv->dtype == PN_F32) return (const float *)(const void *)at;
  pn_floats_to_f32(j->kv->dtype, at, room, (size_t)n);
  return room;
}

static double score_of(const attend_job *j, const float *q, const int32_t *pages, int p, int kv_head) {
  float room[DIMS];
  double dot = 0;
  for (int from = 0, d = j->a->head_dim; from < d; from += DIMS) {
    int n = d - from < DIMS ? d - from : DIMS;
    const float *k = numbers_of(j, pages, p, kv_head, 0, from, n, room);
    for (int i = 0; i < n; i++) dot += (double)q[from + i] * (double)k[i];
  }
  return dot * (double)j->a->scale;
}

// One query head of one row. Scores first, then their maximum, then the weights, then the sum of V.
static void attend(const attend_job *j, int r, int h, double *score) {
  const pn_batch *batch = &j->s->batch;
  int d = j->a->head_dim, kv_head = h / (j->a->n_heads / j->a->n_kv_heads);
  int last = batch->pos[r], first = j->a->window && last >= j->a->window ? last - j->a->window + 1 : 0;
  const int32_t *pages = batch->pages[batch->seq[r]];
  float *out = j->out + r * j->out_stride + (int64_t)h * d;
  double max = -INFINITY, sum = 0;
  for (int p = first; p <= last; p++) {
    score[p] = score_of(j, j->q + r * j->q_stride + (int64_t)h * d, pages, p, kv_head);
    if (score[p] > max) max = score[p];
  }
  for (int p = first; p <= last; p++) {
    score[p] = exp(score[p] - max);
    sum += score[p];
  }
  for (int from = 0; from < d; from += DIMS) {
    int n = d - from < DIMS ? d - from : DIMS;
    double acc[DIMS] = {0}; // each grows in ascending order of positions
    for (int p = first; p <= last; p++) {
      float room[DIMS];
      const float *v = numbers_of(j, pages, p, kv_head, 1, from, n, room);
      for (int i = 0; i < n; i++) acc[i] += score[p] * (double)v[i];
    }
    for (int i = 0; i < n; i++) out[from + i] = (float)(acc[i] / sum);
  }
}

static void attend_share(void *ctx, int thread, int n_threads) {
  (void)n_threads;
  const attend_job *j = ctx;
  int64_t n = (int64_t)j->s->batch.n_rows * j->a->n_heads;
  double *score = (double *)j->s->scores.p + thread * j->s->max_positions;
  for (int64_t i; (i = cpu_pool_take(j->s->pool, 1)) < n;)
    attend(j, (int)(i / j->a->n_heads), (int)(i % j->a->n_heads), score);
}

static void ref_attention(ref *s, const pn_step *step) {
  const cpu_rows q = cpu_workspace_rows(s->ws, step->in[0]), out = cpu_workspace_rows(s->ws, step->out);
  cpu_pool_run(s->pool, attend_share,
               &(attend_job){s, s->ws->kv, &step->attention, q.p, q.stride, out.p, out.stride});
}

static void ref_silu_mul(ref *s, const pn_step *step) {
  const cpu_rows gate = cpu_workspace_rows(s->ws, step->in[0]), up = cpu_workspace_rows(s->ws, step->in[1]),
                 out = cpu_workspace_rows(s->ws, step->out);
  for (int r = 0; r < out.n; r++)
    for (int i = 0; i < step->out.width; i++) {
      double g = (double)gate.p[r * gate.stride + i];
      out.p[r * out.stride + i] = (float)(g / (1.0 + exp(-g)) * (double)up.p[r * up.stride + i]);
    }
}

static void ref_add(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->out), y = cpu_workspace_rows(s->ws, step->in[0]);
  for (int r = 0; r < x.n; r++)
    for (int i = 0; i < step->out.width; i++) x.p[r * x.stride + i] += y.p[r * y.stride + i];
}

static void ref_add_bias(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->out);
  for (int r = 0; r < x.n; r++)
    for (int i = 0; i < step->out.width; i++) x.p[r * x.stride + i] += step->w[0]->vector[i];
}

static void ref_gather(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->in[0]), out = cpu_workspace_rows(s->ws, step->out);
  for (int k = 0; k < out.n; k++)
    for (int i = 0; i < step->out.width; i++)
      out.p[k * out.stride + i] = x.p[s->batch.logit_rows[k] * x.stride + i];
}

static void ref_run(pn_backend *b, pn_workspace *ws, const pn_step *step) {
  static void (*const ops[PN_N_OPS])(ref *, const pn_step *) = {
      [PN_OP_EMBED] = ref_embed,
      [PN_OP_RMSNORM] = ref_rmsnorm,
      [PN_OP_ADD_RMSNORM] = ref_add_rmsnorm,
      [PN_OP_MATMUL] = ref_matmul,
      [PN_OP_ADD_BIAS] = ref_add_bias,
      [PN_OP_ROPE] = ref_rope,
      [PN_OP_KV_WRITE] = ref_kv_write,
      [PN_OP_ATTENTION] = ref_attention,
      [PN_OP_SILU_MUL] = ref_silu_mul,
      [PN_OP_ADD] = ref_add,
      [PN_OP_GATHER] = ref_gather,
  };
  ref *s = (ref *)b;
  s->ws = ws;
  s->batch = ws->batch;
  ops[step->op](s, step);
}

static bool ref_sample_reserve(pn_backend *b, int n_vocab, int max_rows, pn_error *e) {
  (void)max_rows;
  return cpu_ref_sample_reserve(&((ref *)b)->sampler, n_vocab, e);
}

static bool ref_sample(pn_backend *b, pn_workspace *ws, pn_view logits, const pn_sample *how, int n,
                       pn_choice *out, pn_error *e) {
  (void)e;
  const cpu_rows rows = cpu_workspace_rows(ws, logits);
  for (int r = 0; r < n; r++)
    out[r] = cpu_ref_sample_row(&((ref *)b)->sampler, rows.p + r * rows.stride, logits.width, &how[r]);
  return true;
}

static const pn_backend_ops ref_ops = {
    .version = PN_BACKEND_VERSION,
    .size = sizeof(pn_backend_ops),
    .name = "ref",
    .close = ref_close,
    .describe = ref_describe,
    .weight_open = ref_weight_open,
    .vector_open = ref_vector_open,
    .weight_close = ref_weight_close,
    .kv_bytes = ref_kv_bytes,
    .kv_open = ref_kv_open,
    .kv_close = ref_kv_close,
    .kv_copy = ref_kv_copy,
    .kv_discard = ref_kv_discard,
    .workspace_bytes = ref_workspace_bytes,
    .workspace_open = ref_workspace_open,
    .workspace_close = ref_workspace_close,
    .begin = ref_begin,
    .run = ref_run,
    .sample_reserve = ref_sample_reserve,
    .sample = ref_sample,
    .write = ref_write,
    .read = ref_read,
    .sync = ref_sync,
};

static pn_backend *ref_open(const pn_setting *settings, int n, pn_error *e) {
  int threads = 0;
  if (!pn_setting_count(settings, n, "threads", 0, CPU_POOL_MAX_THREADS, &threads, e)) return NULL;
  ref *s = calloc(1, sizeof *s);
  if (!s) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for the backend 'ref'");
    return NULL;
  }
  s->head.ops = &ref_ops;
  s->pool = cpu_pool_new(threads ? threads : cpu_pool_cores(), e);
  if (!s->pool) {
    free(s);
    return NULL;
  }
  snprintf(s->description, sizeof s->description, "ref, %d threads", cpu_pool_threads(s->pool));
  return &s->head;
}

static const char *ref_about(void) { return "plain loops, the oracle of every other"; }

static const pn_setting_kind ref_settings[] = {
    {"threads", "threads; 0: as many as this process may use cores", NULL}, {NULL, NULL, NULL}};

const pn_backend_kind cpu_ref_kind = {.version = PN_BACKEND_VERSION,
                                      .size = sizeof(pn_backend_kind),
                                      .name = "ref",
                                      .about = ref_about,
                                      .settings = ref_settings,
                                      .open = ref_open};
