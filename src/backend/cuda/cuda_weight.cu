// Weights on the device: uploaded once, in one of the forms that the kernels read.
#include "backend/cuda/cuda_int.h"

extern "C" {
#include "backend/cuda/cuda_unpack.h"
}

#include <stdlib.h>

static bool upload(void **to, const void *from, size_t bytes, pn_error *e) {
  return cuda_check(cudaMalloc(to, bytes + 64), e, "memory of weights") &&
         cuda_check(cudaMemcpy(*to, from, bytes, cudaMemcpyHostToDevice), e, "weights");
}

// Scales as f16 where that changes none of them.
static bool upload_scales(cuda_backend *s, pn_weight *w, const float *scales, int64_t n, pn_error *e) {
  if (!w->half) return upload(&w->scale, scales, (size_t)n * sizeof *scales, e);
  uint16_t *halves = (uint16_t *)malloc((size_t)n * sizeof *halves);
  if (!halves) return pn_fail(e, PN_ERR_NOMEM, "no memory for %lld scales", (long long)n);
  cuda_unpack_half(s->unpacker, scales, halves, n);
  const bool ok = upload(&w->scale, halves, (size_t)n * sizeof *halves, e);
  free(halves);
  return ok;
}

static bool upload_codes(cuda_backend *s, pn_weight *w, const cuda_unpacking *p, pn_error *e) {
  const int64_t n = w->rows * w->n_blocks * (w->biased ? 2 : 1);
  unsigned char *codes = (unsigned char *)malloc((size_t)w->rows * p->row_bytes);
  float *scales = (float *)malloc((size_t)n * sizeof *scales);
  bool ok = codes && scales;
  if (ok) {
    cuda_unpack_rows(s->unpacker, p, codes, scales, &w->half);
    ok = upload(&w->data, codes, (size_t)w->rows * p->row_bytes, e) && upload_scales(s, w, scales, n, e);
  } else {
    pn_fail(e, PN_ERR_NOMEM, "no memory to unpack a weight of %lld rows", (long long)w->rows);
  }
  free(codes);
  free(scales);
  return ok;
}

// Plain floats lie in rows of row_bytes.
static bool upload_floats(pn_weight *w, const pn_matrix *m, pn_error *e) {
  const size_t bytes = (size_t)m->cols * (m->kind == PN_F32 ? 4 : 2);
  w->codes = m->kind == PN_F32 ? CUDA_FLOAT : m->kind == PN_F16 ? CUDA_HALF : CUDA_BF16;
  return cuda_check(cudaMalloc(&w->data, bytes * (size_t)m->rows + 64), e, "memory of weights") &&
         cuda_check(cudaMemcpy2D(w->data, bytes, m->data, m->row_bytes, bytes, (size_t)m->rows,
                                 cudaMemcpyHostToDevice),
                    e, "weights");
}

// Values of other kinds without codes, as bf16.
static bool upload_decoded(cuda_backend *s, pn_weight *w, const cuda_unpacking *p, const pn_matrix *m,
                           pn_error *e) {
  pn_matrix plain = *m;
  uint16_t *values = (uint16_t *)malloc((size_t)m->rows * (size_t)m->cols * sizeof *values);
  if (!values)
    return pn_fail(e, PN_ERR_NOMEM, "no memory to unpack a weight of %lld rows", (long long)m->rows);
  cuda_unpack_values(s->unpacker, p, values);
  plain.kind = PN_BF16;
  plain.data = values;
  plain.row_bytes = (size_t)m->cols * sizeof *values;
  const bool ok = upload_floats(w, &plain, e);
  free(values);
  return ok;
}

pn_weight *cuda_weight_open(pn_backend *b, const pn_matrix *m, pn_error *e) {
  cuda_backend *s = (cuda_backend *)b;
  cuda_unpacking p;
  if (!cuda_unpack_begin(m, &p, e)) return NULL;
  pn_weight *w = (pn_weight *)calloc(1, sizeof *w);
  bool ok = w != NULL;
  if (ok) {
    w->rows = m->rows;
    w->cols = m->cols;
    w->block = p.block;
    w->n_blocks = p.n_blocks;
    w->shift = p.shift;
    w->biased = p.biased;
    w->codes = p.nibbles ? CUDA_NIBBLES : CUDA_BYTES;
    ok = p.block     ? upload_codes(s, w, &p, e)
         : p.decoded ? upload_decoded(s, w, &p, m, e)
                     : upload_floats(w, m, e);
  } else {
    pn_fail(e, PN_ERR_NOMEM, "no memory for a weight");
  }
  cuda_unpack_end(&p);
  if (ok) return w;
  cuda_weight_close(b, w);
  return NULL;
}

pn_weight *cuda_vector_open(pn_backend *b, const float *host, int64_t n, pn_error *e) {
  pn_weight *w = n > 0 ? (pn_weight *)calloc(1, sizeof *w) : NULL;
  if (!w)
    return pn_fail(e, PN_ERR_NOMEM, "no memory for a vector of %lld numbers", (long long)n),
           (pn_weight *)NULL;
  w->rows = 1;
  w->cols = n;
  w->codes = CUDA_FLOAT;
  if (upload(&w->data, host, (size_t)n * sizeof *host, e)) return w;
  cuda_weight_close(b, w);
  return NULL;
}

void cuda_weight_close(pn_backend *b, pn_weight *w) {
  (void)b;
  if (!w) return;
  cudaFree(w->data);
  cudaFree(w->scale);
  free(w);
}
