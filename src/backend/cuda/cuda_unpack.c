// Weights in host memory as the device wants them, by the cpu backend's own readers of each kind.
#include "backend/cuda/cuda_unpack.h"

#include "backend/cpu/cpu_matmul_kernels.h"
#include "backend/cpu/cpu_pool.h"
#include "backend/ref/ref_matrix.h"

#include <stdatomic.h>
#include <stdlib.h>

struct cuda_unpacker {
  cpu_pool *pool;
};

cuda_unpacker *cuda_unpacker_new(pn_error *e) {
  cuda_unpacker *u = calloc(1, sizeof *u);
  if (!u) return pn_fail(e, PN_ERR_NOMEM, "no memory to unpack weights"), NULL;
  u->pool = cpu_pool_new(cpu_pool_cores(), e);
  if (u->pool) return u;
  free(u);
  return NULL;
}

void cuda_unpacker_free(cuda_unpacker *u) {
  if (!u) return;
  cpu_pool_free(u->pool);
  free(u);
}

bool cuda_unpack_begin(const pn_matrix *m, cuda_unpacking *out, pn_error *e) {
  pn_weight *w = cpu_matmul_weight_open(m, e);
  if (!w) return false;
  *out = (cuda_unpacking){
      .weight = w, .block = w->block, .n_blocks = w->n_blocks, .biased = w->biased, .decoded = w->decoded};
  out->nibbles = w->block >= 32 && w->bits <= 4; // blocks of 16 have kernels for bytes only
  out->shift = out->nibbles ? -w->offset : w->biased && w->bits == 8 ? 128 : 0;
  out->row_bytes = out->nibbles ? (size_t)m->cols / 2 : (size_t)m->cols;
  return true;
}

void cuda_unpack_end(cuda_unpacking *p) {
  cpu_matmul_weight_close(p->weight);
  p->weight = NULL;
}

typedef struct job {
  const cuda_unpacking *p;
  unsigned char *codes;
  float *scales;
  atomic_bool inexact;
  const float *from;
  uint16_t *to;
} job;

// In place: 8 columns into 4 bytes.
static void pack_nibbles(const uint8_t *codes, int64_t cols, unsigned char *to) {
  for (int64_t i = 0; i < cols; i += 8, to += 4)
    for (int k = 0; k < 4; k++) to[k] = (unsigned char)(codes[i + k] | codes[i + 4 + k] << 4);
}

static bool exact(const float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (pn_f16_to_f32(pn_f32_to_f16(x[i])) != x[i]) return false;
  return true;
}

static void unpack_rows(void *ctx, int thread, int64_t begin, int64_t end) {
  job *j = ctx;
  const pn_weight *w = j->p->weight;
  const int64_t cols = w->m.cols, n = w->n_blocks, step = w->biased ? 2 : 1;
  uint8_t *row = malloc((size_t)cols + 64);
  float *bias = malloc((size_t)n * 2 * sizeof *bias), *scale = bias ? bias + n : NULL;
  (void)thread;
  for (int64_t r = begin; row && bias && r < end; r++) {
    unsigned char *to = j->codes + (size_t)r * j->p->row_bytes;
    float *pairs = j->scales + r * n * step;
    matmul_unpack_codes(w, r, row);
    const int less = j->p->shift > 0 ? j->p->shift : w->offset;
    if (j->p->nibbles)
      pack_nibbles(row, cols, to);
    else
      for (int64_t i = 0; i < cols; i++) to[i] = (unsigned char)(row[i] - less);
    matmul_unpack_scales(w, r, scale, bias);
    const float factor = ref_matrix_factor(&w->m, r);
    for (int64_t b = 0; b < n; b++) {
      pairs[b * step] = scale[b] * factor;
      if (w->biased) pairs[b * 2 + 1] = bias[b] * factor;
    }
    if (!atomic_load(&j->inexact) && !exact(pairs, n * step)) atomic_store(&j->inexact, true);
  }
  free(row);
  free(bias);
}

void cuda_unpack_rows(cuda_unpacker *u, const cuda_unpacking *p, unsigned char *codes, float *scales,
                      bool *half) {
  job j = {.p = p, .codes = codes, .scales = scales};
  cpu_pool_run(u->pool, unpack_rows, &j, p->weight->m.rows, 16);
  *half = !atomic_load(&j.inexact);
}

static void decode_rows(void *ctx, int thread, int64_t begin, int64_t end) {
  job *j = ctx;
  const pn_matrix *m = &j->p->weight->m;
  float *row = malloc((size_t)m->cols * sizeof *row);
  (void)thread;
  for (int64_t r = begin; row && r < end; r++) {
    ref_matrix_row(m, r, row);
    for (int64_t i = 0; i < m->cols; i++) j->to[r * m->cols + i] = pn_f32_to_bf16(row[i]);
  }
  free(row);
}

void cuda_unpack_values(cuda_unpacker *u, const cuda_unpacking *p, uint16_t *to) {
  job j = {.p = p, .to = to};
  cpu_pool_run(u->pool, decode_rows, &j, p->weight->m.rows, 16);
}

static void halve(void *ctx, int thread, int64_t begin, int64_t end) {
  job *j = ctx;
  (void)thread;
  for (int64_t i = begin; i < end; i++) j->to[i] = pn_f32_to_f16(j->from[i]);
}

void cuda_unpack_half(cuda_unpacker *u, const float *from, uint16_t *to, int64_t n) {
  job j = {.from = from, .to = to};
  cpu_pool_run(u->pool, halve, &j, n, 4096);
}
