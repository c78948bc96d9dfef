// Products of f32, f16 and bf16 weights with AVX2: 16 lanes in two accumulators, as cpu_matmul.h orders them.
// Bound by reading with one row of x; with more, four rows share what is loaded.
#include "backend/cpu/cpu_matmul_avx2.h"

enum { TOGETHER = 4 };

MATMUL_INLINE __m256 load_8(pn_dtype kind, const uint8_t *p) {
  if (kind == PN_F32) return _mm256_loadu_ps((const float *)(const void *)p);
  const __m128i h = _mm_loadu_si128((const __m128i *)p);
  if (kind == PN_F16) return _mm256_cvtph_ps(h);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

MATMUL_INLINE float add_lanes(__m256 a, __m256 b) {
  const __m256 c = _mm256_add_ps(a, b);
  const __m128 d = _mm_add_ps(_mm256_castps256_ps128(c), _mm256_extractf128_ps(c, 1));
  const __m128 e = _mm_add_ps(d, _mm_movehl_ps(d, d));
  return _mm_cvtss_f32(_mm_add_ss(e, _mm_movehdup_ps(e)));
}

// One stored row at p with t rows of x from f on.
MATMUL_INLINE void row_of(pn_dtype kind, const uint8_t *p, const float *f, int64_t stride, int cols, int t,
                          float *out) {
  const size_t size = kind == PN_F32 ? 4 : 2;
  __m256 a[TOGETHER], b[TOGETHER];
  for (int j = 0; j < t; j++) a[j] = b[j] = _mm256_setzero_ps();
  int i = 0;
  for (; i + 16 <= cols; i += 16) {
    const __m256 v = load_8(kind, p + (size_t)i * size), u = load_8(kind, p + (size_t)(i + 8) * size);
    for (int j = 0; j < t; j++) {
      a[j] = _mm256_fmadd_ps(v, _mm256_loadu_ps(f + j * stride + i), a[j]);
      b[j] = _mm256_fmadd_ps(u, _mm256_loadu_ps(f + j * stride + i + 8), b[j]);
    }
  }
  const size_t left = (size_t)(cols - i);
  uint8_t rest[64] = {0};
  memcpy(rest, p + (size_t)i * size, left * size);
  for (int j = 0; j < t; j++) {
    float tail[16] = {0};
    memcpy(tail, f + j * stride + i, left * 4);
    a[j] = _mm256_fmadd_ps(load_8(kind, rest), _mm256_loadu_ps(tail), a[j]);
    b[j] = _mm256_fmadd_ps(load_8(kind, rest + 8 * size), _mm256_loadu_ps(tail + 8), b[j]);
    out[j] = add_lanes(a[j], b[j]);
  }
}

MATMUL_INLINE void rows_of(pn_dtype kind, const uint8_t *p, const matmul_x *x, float *out,
                           int64_t out_stride) {
  for (int k = 0, t; k < x->n_rows; k += t) {
    const float *f = x->f + k * x->f_stride;
    float y[TOGETHER];
    t = x->n_rows - k >= TOGETHER ? TOGETHER : 1;
    if (t == TOGETHER)
      row_of(kind, p, f, x->f_stride, x->cols, TOGETHER, y);
    else
      row_of(kind, p, f, x->f_stride, x->cols, 1, y);
    for (int j = 0; j < t; j++) out[(k + j) * out_stride] = y[j];
  }
}

void matmul_avx2_float(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                       int64_t out_stride) {
  for (int64_t r = r0; r < r0 + n; r++) {
    const uint8_t *p = (const uint8_t *)w->m.data + (size_t)r * w->m.row_bytes;
    switch (w->m.kind) {
    case PN_F32: rows_of(PN_F32, p, x, out + r, out_stride); break;
    case PN_F16: rows_of(PN_F16, p, x, out + r, out_stride); break;
    default: rows_of(PN_BF16, p, x, out + r, out_stride); break;
    }
  }
}
