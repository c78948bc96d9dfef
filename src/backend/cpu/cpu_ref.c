// The oracle: every op as plain loops, written to be read. It uses threads only to share out independent outputs, so
// no result depends on their number.
//
// Accumulation: matrix products, norms, scores and the sums of the softmax run in double, ascending, and are rounded
// to f32 once. The KV has the dtype of its shape, and of int8 and int4 the values that their codes stand for, as f32;
// everything else is f32.
#include "backend/cpu/cpu.h"
#include "backend/cpu/cpu_hadamard.h"
#include "backend/cpu/cpu_memory.h"
#include "backend/cpu/cpu_pool.h"
#include "backend/cpu/cpu_ref_codes.h"
#include "backend/cpu/cpu_ref_matrix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pn_weight {
  pn_matrix m;
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
  pn_batch batch;
  int64_t max_cols;      // of all weights opened
  cpu_scratch row;       // a weight's row a thread: [n_threads][max_cols] floats
  cpu_scratch scores;    // [n_threads][max_positions] doubles
  int64_t max_positions; // over all rows of the batch
} ref;

static void ref_close(pn_backend *b) {
  ref *s = (ref *)b;
  cpu_pool_free(s->pool);
  cpu_scratch_fini(&s->row);
  cpu_scratch_fini(&s->scores);
  free(s);
}

static const char *ref_describe(pn_backend *b) { return ((ref *)b)->description; }

static void *ref_alloc(pn_backend *b, size_t bytes) {
  (void)b;
  return cpu_memory_new(bytes);
}

static void ref_release(pn_backend *b, void *p) {
  (void)b;
  cpu_memory_free(p);
}

static void ref_copy(pn_backend *b, void *dst, const void *src, size_t bytes) {
  (void)b;
  if (bytes) memcpy(dst, src, bytes);
}

static void ref_sync(pn_backend *b) { (void)b; }

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
  w->m = *m;
  return w;
}

static void ref_weight_close(pn_backend *b, pn_weight *w) {
  (void)b;
  free(w);
}

static pn_kv *ref_kv_open(pn_backend *b, const pn_kv_shape *shape, pn_error *e) {
  (void)b;
  const pn_kv_shape *s = shape;
  if (s->n_layers < 1 || s->n_kv_heads < 1 || s->head_dim < 1 || s->page_tokens < 1 || s->n_pages < 1 ||
      (unsigned)s->type >= PN_KV_N_TYPES || (s->type == PN_KV_INT4 && s->head_dim > CPU_HADAMARD_MAX)) {
    pn_fail(e, PN_ERR_UNSUPPORTED, "KV of %d layers, %d heads of %d, %d pages of %d tokens, %s", s->n_layers,
            s->n_kv_heads, s->head_dim, s->n_pages, s->page_tokens, pn_kv_type_name(s->type));
    return NULL;
  }
  pn_dtype dtype = s->type == PN_KV_F16 ? PN_F16 : s->type == PN_KV_BF16 ? PN_BF16 : PN_F32;
  pn_kv_shape held = *shape; // what pages of plain numbers take, which is no less than what they take here
  if (dtype == PN_F32) held.type = PN_KV_F32;
  uint64_t bytes = pn_kv_shape_bytes(&held);
  pn_kv *kv = malloc(sizeof *kv);
  char *data = bytes < SIZE_MAX ? cpu_memory_new((size_t)bytes) : NULL;
  if (!kv || !data) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for a KV of %llu bytes", (unsigned long long)bytes);
    cpu_memory_free(data);
    free(kv);
    return NULL;
  }
  *kv = (pn_kv){*shape, dtype, data};
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

static bool ref_begin(pn_backend *b, const pn_batch *batch, pn_error *e) {
  ref *s = (ref *)b;
  int64_t positions = s->max_positions;
  for (int r = 0; r < batch->n_rows; r++)
    if (batch->pos[r] >= positions) positions = (int64_t)batch->pos[r] + 1;
  if (!cpu_scratch_reserve(&s->scores,
                           (size_t)cpu_pool_threads(s->pool) * (size_t)positions * sizeof(double)))
    return pn_fail(e, PN_ERR_NOMEM, "no memory for the scores of %lld positions", (long long)positions);
  s->max_positions = positions;
  s->batch = *batch;
  return true;
}

static void ref_embed(pn_backend *b, const pn_weight *w, float scale, float *out, int64_t out_stride) {
  ref *s = (ref *)b;
  for (int r = 0; r < s->batch.n_rows; r++) {
    float *o = out + r * out_stride;
    cpu_ref_matrix_row(&w->m, s->batch.token[r], o);
    for (int64_t i = 0; i < w->m.cols; i++) o[i] *= scale;
  }
}

static void ref_rmsnorm(pn_backend *b, const float *x, int64_t x_stride, const float *weight, float eps,
                        int n_rows, int width, float *out, int64_t out_stride) {
  (void)b;
  for (int r = 0; r < n_rows; r++) {
    const float *in = x + r * x_stride;
    double sum = 0;
    for (int i = 0; i < width; i++) sum += (double)in[i] * (double)in[i];
    double factor = 1.0 / sqrt(sum / width + (double)eps);
    for (int i = 0; i < width; i++)
      out[r * out_stride + i] = (float)((double)in[i] * factor * (double)weight[i]);
  }
}

// out[r][c] for all rows r of the input and the output columns [begin, end) of one part.
typedef struct product {
  ref *s;
  const float *x;
  int64_t x_stride;
  int n_rows;
  const pn_matmul_part *part;
} product;

static void multiply(void *ctx, int thread, int n_threads) {
  const product *p = ctx;
  const pn_matrix *m = &p->part->w->m;
  float *w = (float *)p->s->row.p + thread * p->s->max_cols;
  int64_t begin, end;
  cpu_pool_share(m->rows, 1, thread, n_threads, &begin, &end);
  for (int64_t c = begin; c < end; c++) {
    cpu_ref_matrix_row(m, c, w);
    for (int r = 0; r < p->n_rows; r += 4) { // four sums at a time, so that they overlap
      int n = p->n_rows - r < 4 ? p->n_rows - r : 4;
      const float *x[4];
      double sum[4] = {0};
      for (int k = 0; k < 4; k++) x[k] = p->x + (r + (k < n ? k : 0)) * p->x_stride;
      for (int64_t i = 0; i < m->cols; i++)
        for (int k = 0; k < 4; k++) sum[k] += (double)w[i] * (double)x[k][i];
      for (int k = 0; k < n; k++) p->part->out[(r + k) * p->part->out_stride + c] = (float)sum[k];
    }
  }
}

static void ref_matmul(pn_backend *b, const float *x, int64_t x_stride, int n_rows,
                       const pn_matmul_part *parts, int n_parts) {
  ref *s = (ref *)b;
  for (int i = 0; i < n_parts; i++)
    cpu_pool_run(s->pool, multiply, &(product){s, x, x_stride, n_rows, &parts[i]});
}

static void ref_rope(pn_backend *b, const pn_rope *rope, float *x, int64_t x_stride, int n_heads,
                     int head_dim) {
  ref *s = (ref *)b;
  int half = rope->n_rot / 2;
  for (int r = 0; r < s->batch.n_rows; r++)
    for (int i = 0; i < half; i++) {
      float angle = (float)s->batch.pos[r] * rope->inv_freq[i];
      float c = cosf(angle) * rope->scale, d = sinf(angle) * rope->scale;
      int first = rope->order == PN_ROPE_HALF ? i : 2 * i;
      int second = rope->order == PN_ROPE_HALF ? i + half : 2 * i + 1;
      for (int h = 0; h < n_heads; h++) {
        float *v = x + r * x_stride + (int64_t)h * head_dim;
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

static void ref_kv_write(pn_backend *b, pn_kv *kv, int layer, const float *k, int64_t k_stride,
                         const float *v, int64_t v_stride) {
  ref *s = (ref *)b;
  int d = kv->shape.head_dim;
  for (int r = 0; r < s->batch.n_rows; r++)
    for (int h = 0; h < kv->shape.n_kv_heads; h++) {
      int64_t slot = s->batch.slot[r];
      store(kv->shape.type, false, kv_at(kv, layer, slot, h, 0), k + r * k_stride + (int64_t)h * d, d);
      store(kv->shape.type, true, kv_at(kv, layer, slot, h, 1), v + r * v_stride + (int64_t)h * d, d);
    }
}

static float element(pn_dtype t, const char *p, int i) {
  float f;
  pn_floats_to_f32(t, p + (size_t)i * pn_dtype_block_bytes(t), &f, 1);
  return f;
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

// One query head of one row. Scores first, then their maximum, then the weights, then the sum of V.
static void attend(const attend_job *j, int r, int h, double *score) {
  const pn_batch *batch = &j->s->batch;
  const pn_kv_shape *shape = &j->kv->shape;
  int d = j->a->head_dim, kv_head = h / (j->a->n_heads / j->a->n_kv_heads);
  int last = batch->pos[r], first = j->a->window && last >= j->a->window ? last - j->a->window + 1 : 0;
  const int32_t *pages = batch->pages[batch->seq[r]];
  const float *q = j->q + r * j->q_stride + (int64_t)h * d;
  double max = -INFINITY, sum = 0;
  for (int p = first; p <= last; p++) {
    int64_t slot = (int64_t)pages[p / shape->page_tokens] * shape->page_tokens + p % shape->page_tokens;
    const char *k = kv_at(j->kv, j->a->layer, slot, kv_head, 0);
    double dot = 0;
    for (int i = 0; i < d; i++) dot += (double)q[i] * (double)element(j->kv->dtype, k, i);
    score[p] = dot * (double)j->a->scale;
    if (score[p] > max) max = score[p];
  }
  for (int p = first; p <= last; p++) {
    score[p] = exp(score[p] - max);
    sum += score[p];
  }
  for (int i = 0; i < d; i++) {
    double acc = 0;
    for (int p = first; p <= last; p++) {
      int64_t slot = (int64_t)pages[p / shape->page_tokens] * shape->page_tokens + p % shape->page_tokens;
      acc += score[p] * (double)element(j->kv->dtype, kv_at(j->kv, j->a->layer, slot, kv_head, 1), i);
    }
    j->out[r * j->out_stride + (int64_t)h * d + i] = (float)(acc / sum);
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

static void ref_attention(pn_backend *b, pn_kv *kv, const pn_attention *a, const float *q, int64_t q_stride,
                          float *out, int64_t out_stride) {
  ref *s = (ref *)b;
  cpu_pool_run(s->pool, attend_share, &(attend_job){s, kv, a, q, q_stride, out, out_stride});
}

static void ref_silu_mul(pn_backend *b, const float *gate, const float *up, int64_t in_stride, int n_rows,
                         int width, float *out, int64_t out_stride) {
  (void)b;
  for (int r = 0; r < n_rows; r++)
    for (int i = 0; i < width; i++) {
      double g = (double)gate[r * in_stride + i];
      out[r * out_stride + i] = (float)(g / (1.0 + exp(-g)) * (double)up[r * in_stride + i]);
    }
}

static void ref_add(pn_backend *b, float *x, int64_t x_stride, const float *y, int64_t y_stride, int n_rows,
                    int width) {
  (void)b;
  for (int r = 0; r < n_rows; r++)
    for (int i = 0; i < width; i++) x[r * x_stride + i] += y[r * y_stride + i];
}

static void ref_gather(pn_backend *b, const float *x, int64_t x_stride, const int32_t *rows, int n_rows,
                       int width, float *out, int64_t out_stride) {
  (void)b;
  for (int k = 0; k < n_rows; k++)
    for (int i = 0; i < width; i++) out[k * out_stride + i] = x[rows[k] * x_stride + i];
}

static const pn_backend_ops ref_ops = {
    .version = PN_BACKEND_VERSION,
    .name = "ref",
    .close = ref_close,
    .describe = ref_describe,
    .alloc = ref_alloc,
    .release = ref_release,
    .upload = ref_copy,
    .download = ref_copy,
    .sync = ref_sync,
    .weight_open = ref_weight_open,
    .weight_close = ref_weight_close,
    .kv_open = ref_kv_open,
    .kv_close = ref_kv_close,
    .kv_copy = ref_kv_copy,
    .kv_discard = ref_kv_discard,
    .begin = ref_begin,
    .embed = ref_embed,
    .rmsnorm = ref_rmsnorm,
    .matmul = ref_matmul,
    .rope = ref_rope,
    .kv_write = ref_kv_write,
    .attention = ref_attention,
    .silu_mul = ref_silu_mul,
    .add = ref_add,
    .gather = ref_gather,
};

pn_backend *cpu_ref_open(const pn_backend_options *o, pn_error *e) {
  ref *s = calloc(1, sizeof *s);
  if (!s) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for the backend 'ref'");
    return NULL;
  }
  s->head.ops = &ref_ops;
  s->pool = cpu_pool_new(o->n_threads ? o->n_threads : cpu_pool_cores(), e);
  if (!s->pool) {
    free(s);
    return NULL;
  }
  snprintf(s->description, sizeof s->description, "ref, %d threads", cpu_pool_threads(s->pool));
  return &s->head;
}
