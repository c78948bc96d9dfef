// AVX2 with FMA and F16C. Codes of up to 7 bits meet x in maddubs (two products of at most 127 * 127 fit in 16 bits);
// (127 * 128 in a second plane, too); the eighth bit of wide codes goes through a second maddubs and counts 128.
#include "backend/cpu/cpu_matmul_kernels.h"

#include <cpuid.h>
#include <immintrin.h>
#include <math.h>

static bool usable(void) {
  unsigned a, b, c, d;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
  return f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static uint32_t top_bits(__m256i v) {
  const __m128i a = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  const __m128i b = _mm_max_epi32(a, _mm_shuffle_epi32(a, 0x4E));
  return (uint32_t)_mm_cvtsi128_si32(_mm_max_epi32(b, _mm_shuffle_epi32(b, 0xB1)));
}

static int sum_lanes(__m256i v) {
  const __m128i a = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  const __m128i b = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(b, _mm_shuffle_epi32(b, 0xB1)));
}

static void put_32(__m256i a, __m256i b, __m256i c, __m256i d, int8_t *q) {
  const __m256i v = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
  _mm256_storeu_si256((__m256i *)q,
                      _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}

static __m256i first_plane(__m256i q) {
  return _mm256_srai_epi32(_mm256_add_epi32(q, _mm256_set1_epi32(128)), 8);
}

static __m256i second_plane(__m256i q) { return _mm256_srai_epi32(_mm256_slli_epi32(q, 24), 24); }

// 32 floats times `inverse`, rounded, to q (a second plane `plane` bytes further); returns the lanes' sums.
static __m256i round_32(const float *f, __m256 inverse, int planes, size_t plane, int8_t *q) {
  const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(f), inverse));
  const __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(f + 8), inverse));
  const __m256i c = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(f + 16), inverse));
  const __m256i d = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(f + 24), inverse));
  if (planes == 2) {
    put_32(first_plane(a), first_plane(b), first_plane(c), first_plane(d), q);
    put_32(second_plane(a), second_plane(b), second_plane(c), second_plane(d), q + plane);
  } else {
    put_32(a, b, c, d, q);
  }
  return _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
}

static void quantise(const matmul_x *x, int r) {
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  for (int b = 0; b < x->n_blocks; b++) {
    const float *f = x->f + (int64_t)r * x->f_stride + (int64_t)b * x->block;
    int8_t *q = x->q + (size_t)r * x->q_stride + (size_t)b * (size_t)x->block;
    const size_t at = (size_t)r * x->s_stride + (size_t)b;
    __m256i top = _mm256_setzero_si256(), sums = top;
    for (int i = 0; i < x->block; i += 8)
      top = _mm256_max_epi32(top, _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(f + i)), magnitude));
    const uint32_t bits = top_bits(top);
    float amax, dx = 0;
    memcpy(&amax, &bits, 4);
    if (bits >= 0x7F800000u || !(amax >= 0x1p-100f)) {
      if (bits >= 0x7F800000u) dx = NAN;
      for (int k = 0; k < x->planes; k++) memset(q + (size_t)k * x->plane, 0, (size_t)x->block);
    } else {
      dx = amax / matmul_top(x);
      const __m256 inverse = _mm256_set1_ps(matmul_top(x) / amax);
      for (int i = 0; i < x->block; i += 32)
        sums = _mm256_add_epi32(sums, round_32(f + i, inverse, x->planes, x->plane, q + i));
    }
    const int sum = sum_lanes(sums);
    x->dx[at] = dx;
    x->sum[at] = dx * (float)sum;
    x->shift[at] = -x->offset * sum;
  }
}

// 8 partial dots of 32 codes.
static inline __m256i dot_32(const uint8_t *codes, const int8_t *q, bool wide) {
  const __m256i c = _mm256_loadu_si256((const __m256i *)codes), v = _mm256_loadu_si256((const __m256i *)q);
  if (!wide) return _mm256_madd_epi16(_mm256_maddubs_epi16(c, v), _mm256_set1_epi16(1));
  const __m256i low = _mm256_maddubs_epi16(_mm256_and_si256(c, _mm256_set1_epi8(127)), v);
  const __m256i bit = _mm256_and_si256(_mm256_srli_epi16(c, 7), _mm256_set1_epi8(1));
  return _mm256_add_epi32(_mm256_madd_epi16(low, _mm256_set1_epi16(1)),
                          _mm256_madd_epi16(_mm256_maddubs_epi16(bit, v), _mm256_set1_epi16(128)));
}

// 8 partial dots of a block with all planes of x.
static inline __m256i dot_block(const uint8_t *codes, const int8_t *q, int block, bool wide, int planes,
                                size_t plane) {
  __m256i d = dot_32(codes, q, wide);
  if (block == 64) d = _mm256_add_epi32(d, dot_32(codes + 32, q + 32, wide));
  if (planes == 1) return d;
  d = _mm256_add_epi32(_mm256_slli_epi32(d, 8), dot_32(codes, q + plane, wide));
  return block == 64 ? _mm256_add_epi32(d, dot_32(codes + 32, q + plane + 32, wide)) : d;
}

static inline __m256i reduce_8(const __m256i d[8]) {
  const __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(d[0], d[1]), _mm256_hadd_epi32(d[2], d[3]));
  const __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(d[4], d[5]), _mm256_hadd_epi32(d[6], d[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

static inline void products_of(const matmul_line *l, int block, bool wide, int planes, const uint8_t *codes,
                               const float *scale, const float *bias, int k, float *p) {
  const matmul_x *x = l->x;
  const int8_t *q = x->q + (size_t)k * x->q_stride;
  const size_t at = (size_t)k * x->s_stride;
  for (int b = 0; b < l->n_padded; b += 8) {
    __m256i d[8];
    for (int i = 0; i < 8; i++, codes += block, q += block)
      d[i] = dot_block(codes, q, block, wide, planes, x->plane);
    const size_t s = at + (size_t)b;
    const __m256i shift = _mm256_loadu_si256((const __m256i *)(x->shift + s));
    const __m256 dot = _mm256_cvtepi32_ps(_mm256_add_epi32(reduce_8(d), shift));
    __m256 v = _mm256_mul_ps(_mm256_loadu_ps(scale + b), _mm256_mul_ps(_mm256_loadu_ps(x->dx + s), dot));
    if (l->bias) v = _mm256_fmadd_ps(_mm256_loadu_ps(bias + b), _mm256_loadu_ps(x->sum + s), v);
    _mm256_storeu_ps(p + b, v);
  }
}

static inline void products_any(const matmul_line *l, int planes, const uint8_t *codes, const float *scale,
                                const float *bias, int k, float *p) {
  if (l->w->block == 64) {
    if (l->wide)
      products_of(l, 64, true, planes, codes, scale, bias, k, p);
    else
      products_of(l, 64, false, planes, codes, scale, bias, k, p);
  } else {
    if (l->wide)
      products_of(l, 32, true, planes, codes, scale, bias, k, p);
    else
      products_of(l, 32, false, planes, codes, scale, bias, k, p);
  }
}

static void products(const matmul_line *l, const uint8_t *codes, const float *scale, const float *bias, int k,
                     float *p) {
  if (l->x->planes == 2)
    products_any(l, 2, codes, scale, bias, k, p);
  else
    products_any(l, 1, codes, scale, bias, k, p);
}

static inline __m256 load_8(pn_matrix_kind kind, const uint8_t *p) {
  if (kind == PN_MATRIX_F32) return _mm256_loadu_ps((const float *)(const void *)p);
  const __m128i h = _mm_loadu_si128((const __m128i *)p);
  if (kind == PN_MATRIX_F16) return _mm256_cvtph_ps(h);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

static inline void floats_of(pn_matrix_kind kind, const uint8_t *p, const matmul_x *x, int k, int t,
                             float *out) {
  const size_t size = kind == PN_MATRIX_F32 ? 4 : 2;
  const float *f = x->f + k * x->f_stride;
  __m256 a[4], b[4];
  for (int j = 0; j < t; j++) a[j] = b[j] = _mm256_setzero_ps();
  int i = 0;
  for (; i + 16 <= x->cols; i += 16) {
    const __m256 v = load_8(kind, p + (size_t)i * size), u = load_8(kind, p + (size_t)(i + 8) * size);
    for (int j = 0; j < t; j++) {
      a[j] = _mm256_fmadd_ps(v, _mm256_loadu_ps(f + j * x->f_stride + i), a[j]);
      b[j] = _mm256_fmadd_ps(u, _mm256_loadu_ps(f + j * x->f_stride + i + 8), b[j]);
    }
  }
  const size_t left = (size_t)(x->cols - i);
  uint8_t rest[64] = {0};
  memcpy(rest, p + (size_t)i * size, left * size);
  for (int j = 0; j < t; j++) {
    float tail[16] = {0};
    memcpy(tail, f + j * x->f_stride + i, left * 4);
    a[j] = _mm256_fmadd_ps(load_8(kind, rest), _mm256_loadu_ps(tail), a[j]);
    b[j] = _mm256_fmadd_ps(load_8(kind, rest + 8 * size), _mm256_loadu_ps(tail + 8), b[j]);
    const __m256 c = _mm256_add_ps(a[j], b[j]);
    const __m128 d = _mm_add_ps(_mm256_castps256_ps128(c), _mm256_extractf128_ps(c, 1));
    const __m128 e = _mm_add_ps(d, _mm_movehl_ps(d, d));
    out[j] = _mm_cvtss_f32(_mm_add_ss(e, _mm_movehdup_ps(e)));
  }
}

static void floats(const pn_weight *w, int64_t row, const matmul_x *x, int k, int t, float *out) {
  const uint8_t *p = (const uint8_t *)w->m.data + (size_t)row * w->m.row_bytes;
  const int many = t == 4 ? 4 : 1;
  if (w->m.kind == PN_MATRIX_F32)
    floats_of(PN_MATRIX_F32, p, x, k, many, out);
  else if (w->m.kind == PN_MATRIX_F16)
    floats_of(PN_MATRIX_F16, p, x, k, many, out);
  else
    floats_of(PN_MATRIX_BF16, p, x, k, many, out);
}

static void unit(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out, int64_t out_stride,
                 void *scratch) {
  matmul_unit_lines(w, r0, n, x, out, out_stride, scratch, products, floats);
}

const matmul_kernels matmul_avx2 = {"avx2", usable, matmul_layout_plain, matmul_packing_rows, quantise, unit};
