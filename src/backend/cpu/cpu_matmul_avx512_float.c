// Float weights: 16 lanes an accumulator. One row of x walks one stored row at a time (bound by reading);
// more rows of x share the loads of four stored rows.
#include "backend/cpu/cpu_matmul_avx512.h"

MATMUL_INLINE __m512 load(pn_dtype kind, const uint8_t *p, __mmask16 m) {
  if (kind == PN_F32) return _mm512_maskz_loadu_ps(m, p);
  const __m256i h = _mm256_maskz_loadu_epi16(m, p);
  if (kind == PN_F16) return _mm512_cvtph_ps(h);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

// Lanes l + 8, then + 4, + 2, + 1 are added to lane l.
MATMUL_INLINE float sum_lanes(__m512 v) {
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

MATMUL_INLINE void products(pn_dtype kind, int rows, int t, const uint8_t *p, size_t row_bytes, int cols,
                            const float *x, int64_t x_stride, float *out, int64_t out_stride) {
  const size_t size = kind == PN_F32 ? 4 : 2;
  __m512 acc[4][4];
  MATMUL_UNROLL
  for (int r = 0; r < rows; r++) {
    MATMUL_UNROLL
    for (int k = 0; k < t; k++) acc[r][k] = _mm512_setzero_ps();
  }
  for (int i = 0; i < cols; i += 16) {
    const __mmask16 m = matmul_avx512_first((size_t)(cols - i));
    __m512 w[4];
    MATMUL_UNROLL
    for (int r = 0; r < rows; r++) w[r] = load(kind, p + (size_t)r * row_bytes + (size_t)i * size, m);
    MATMUL_UNROLL
    for (int k = 0; k < t; k++) {
      const __m512 v = _mm512_maskz_loadu_ps(m, x + k * x_stride + i);
      MATMUL_UNROLL
      for (int r = 0; r < rows; r++) acc[r][k] = _mm512_fmadd_ps(w[r], v, acc[r][k]);
    }
  }
  MATMUL_UNROLL
  for (int r = 0; r < rows; r++) {
    MATMUL_UNROLL
    for (int k = 0; k < t; k++) out[k * out_stride + r] = sum_lanes(acc[r][k]);
  }
}

MATMUL_INLINE void all(pn_dtype kind, const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                       int64_t out_stride) {
  for (int k = 0; k < x->n_rows;) {
    const int t = x->n_rows - k >= 4 ? 4 : 1;
    const float *f = x->f + k * x->f_stride;
    for (int i = 0; i < n;) {
      const uint8_t *p = (const uint8_t *)w->m.data + (size_t)(r0 + i) * w->m.row_bytes;
      float *to = out + k * out_stride + r0 + i;
      if (t == 4 && n - i >= 4) {
        products(kind, 4, 4, p, w->m.row_bytes, x->cols, f, x->f_stride, to, out_stride);
        i += 4;
      } else if (t == 4) {
        products(kind, 1, 4, p, w->m.row_bytes, x->cols, f, x->f_stride, to, out_stride);
        i++;
      } else {
        products(kind, 1, 1, p, w->m.row_bytes, x->cols, f, x->f_stride, to, out_stride);
        i++;
      }
    }
    k += t;
  }
}

void matmul_avx512_float(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                         int64_t out_stride) {
  if (w->m.kind == PN_F32)
    all(PN_F32, w, r0, n, x, out, out_stride);
  else if (w->m.kind == PN_F16)
    all(PN_F16, w, r0, n, x, out, out_stride);
  else
    all(PN_BF16, w, r0, n, x, out, out_stride);
}
