// AVX2, FMA and F16C: a v16 is two registers.
#include "backend/cpu/cpu_ops.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define OPS_TABLE cpu_ops_avx2
#define OPS_NAME "avx2"
// Of 16 registers a tile of panels has 12 sums, 2 of K or V and a broadcast.
#define TILE_QUERIES 6
#define PANEL_VECTORS 1
#define KEY_VECTORS(nq) ((nq) <= 2 ? 2 : 1)
#define VALUE_VECTORS(nq) ((nq) == 1 ? 4 : (nq) == 2 ? 2 : 1)
#define DELTA_BLOCKS 2
#define BOTH(call_a, call_b) ((v16){(call_a), (call_b)})

typedef struct v16 {
  __m256 a, b;
} v16;

static inline v16 v_load(const float *p) { return BOTH(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
static inline v16 v_load_n(const float *p, int n) {
  float whole[CPU_LANES] = {0};
  memcpy(whole, p, (size_t)n * sizeof *p);
  return v_load(whole);
}
static inline void v_store(float *p, v16 v) {
  _mm256_storeu_ps(p, v.a);
  _mm256_storeu_ps(p + 8, v.b);
}
static inline void v_store_n(float *p, v16 v, int n) {
  float whole[CPU_LANES];
  v_store(whole, v);
  memcpy(p, whole, (size_t)n * sizeof *p);
}
static inline v16 v_set1(float x) { return BOTH(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
static inline v16 v_add(v16 x, v16 y) { return BOTH(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)); }
static inline v16 v_sub(v16 x, v16 y) { return BOTH(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)); }
static inline v16 v_mul(v16 x, v16 y) { return BOTH(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)); }
static inline v16 v_div(v16 x, v16 y) { return BOTH(_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)); }
static inline v16 v_fma(v16 x, v16 y, v16 z) {
  return BOTH(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b));
}
static inline v16 v_max(v16 x, v16 y) { return BOTH(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)); }
static inline v16 v_min(v16 x, v16 y) { return BOTH(_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)); }
static inline __m256 round8(__m256 x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline v16 v_round(v16 x) { return BOTH(round8(x.a), round8(x.b)); }
static inline __m256 pow2(__m256 n) {
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
static inline v16 v_pow2(v16 n) { return BOTH(pow2(n.a), pow2(n.b)); }
// x * 2^n where that is a normal number, for whole n.
static inline __m256 scale2(__m256 x, __m256 n) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
}
static inline v16 v_scale2(v16 x, v16 n) { return BOTH(scale2(x.a, n.a), scale2(x.b, n.b)); }
static inline v16 v_swap_pairs(v16 x) {
  return BOTH(_mm256_permute_ps(x.a, 0xB1), _mm256_permute_ps(x.b, 0xB1));
}
static inline float v_sum(v16 v) {
  __m256 a = _mm256_add_ps(v.a, v.b);
  __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
static inline float v_top(v16 v) {
  __m256 a = _mm256_max_ps(v.a, v.b);
  __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}
static inline v16 v_from_f16(const void *p) {
  const __m128i *h = p;
  return BOTH(_mm256_cvtph_ps(_mm_loadu_si128(h)), _mm256_cvtph_ps(_mm_loadu_si128(h + 1)));
}
static inline __m256 widen_bf16(__m128i h) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
static inline v16 v_from_bf16(const void *p) {
  const __m128i *h = p;
  return BOTH(widen_bf16(_mm_loadu_si128(h)), widen_bf16(_mm_loadu_si128(h + 1)));
}
static inline void v_to_f16(uint16_t *p, v16 v) {
  __m128i *out = (__m128i *)(void *)p;
  _mm_storeu_si128(out, _mm256_cvtps_ph(v.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  _mm_storeu_si128(out + 1, _mm256_cvtps_ph(v.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline __m128i narrow_bf16(__m256 v) {
  __m256i u = _mm256_castps_si256(v), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  __m256i r = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
  __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  r = _mm256_blendv_epi8(r, _mm256_or_si256(u, _mm256_set1_epi32(0x400000)), nan);
  r = _mm256_srli_epi32(r, 16);
  return _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
}
static inline void v_to_bf16(uint16_t *p, v16 v) {
  __m128i *out = (__m128i *)(void *)p;
  _mm_storeu_si128(out, narrow_bf16(v.a));
  _mm_storeu_si128(out + 1, narrow_bf16(v.b));
}
static inline __m256 widen_i8(__m128i c) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(c)); }
static inline v16 v_from_i8(const void *p) {
  __m128i c = _mm_loadu_si128(p);
  return BOTH(widen_i8(c), widen_i8(_mm_unpackhi_epi64(c, c)));
}
static inline __m128i narrow_i16(__m256 v) {
  __m256i n = _mm256_cvtps_epi32(v);
  return _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1));
}
static inline void v_to_i8(int8_t *p, v16 v) {
  _mm_storeu_si128((__m128i *)(void *)p, _mm_packs_epi16(narrow_i16(v.a), narrow_i16(v.b)));
}
static inline v16 widen_u8(__m128i c) {
  return BOTH(widen_i8(c), widen_i8(_mm_unpackhi_epi64(c, c)));
} // below 128
static inline __m128i nibbles(__m128i c) { return _mm_and_si128(c, _mm_set1_epi8(15)); }
static inline void v_from_u4(const void *p, v16 out[2]) {
  __m128i c = _mm_loadu_si128(p);
  out[0] = widen_u8(nibbles(c));
  out[1] = widen_u8(nibbles(_mm_srli_epi16(c, 4)));
}
typedef __m128i v_bytes;
static inline v_bytes v_load_bytes(const char *p) { return _mm_loadu_si128((const void *)p); }
static inline v16 v_from_u6(v_bytes low, v_bytes high, int d) {
  low = nibbles(d % 2 ? _mm_srli_epi16(low, 4) : low);
  high = d == 3 ? _mm_srli_epi16(high, 2) : _mm_slli_epi16(high, 4 - 2 * d);
  return widen_u8(_mm_or_si128(low, _mm_and_si128(high, _mm_set1_epi8(48))));
}
// Which lanes are >= those of b, the first in the lowest bit.
static inline unsigned v_bits_ge(v16 x, v16 y) {
  return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x.a, y.a, _CMP_GE_OQ)) |
         (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x.b, y.b, _CMP_GE_OQ)) << 8;
}
// w where x >= least, else 0.
static inline v16 v_zero_below(v16 w, v16 x, v16 least) {
  return BOTH(_mm256_and_ps(w.a, _mm256_cmp_ps(x.a, least.a, _CMP_GE_OQ)),
              _mm256_and_ps(w.b, _mm256_cmp_ps(x.b, least.b, _CMP_GE_OQ)));
}
static inline v16 v_by_bits(unsigned bits, v16 set, v16 clear) {
  __m256i low = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128), high = _mm256_slli_epi32(low, 8);
  __m256i all = _mm256_set1_epi32((int)bits);
  __m256i a = _mm256_cmpeq_epi32(_mm256_and_si256(all, low), low),
          b = _mm256_cmpeq_epi32(_mm256_and_si256(all, high), high);
  return BOTH(_mm256_blendv_ps(clear.a, set.a, _mm256_castsi256_ps(a)),
              _mm256_blendv_ps(clear.b, set.b, _mm256_castsi256_ps(b)));
}
typedef struct v_units {
  __m256i q[4];
} v_units;
// Adding CPU_UNIT_SHIFT rounds to whole units, which are the lowest bits of the sum then.
static inline __m256i units4(__m128 w) {
  __m256d shift = _mm256_set1_pd(CPU_UNIT_SHIFT);
  return _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(_mm256_cvtps_pd(w), shift)),
                          _mm256_castpd_si256(shift));
}
static inline v_units v_to_units(v16 w) {
  return (v_units){{units4(_mm256_castps256_ps128(w.a)), units4(_mm256_extractf128_ps(w.a, 1)),
                    units4(_mm256_castps256_ps128(w.b)), units4(_mm256_extractf128_ps(w.b, 1))}};
}
static inline v_units v_no_units(void) {
  __m256i zero = _mm256_setzero_si256();
  return (v_units){{zero, zero, zero, zero}};
}
static inline v_units v_add_units(v_units x, v_units y) {
  return (v_units){{_mm256_add_epi64(x.q[0], y.q[0]), _mm256_add_epi64(x.q[1], y.q[1]),
                    _mm256_add_epi64(x.q[2], y.q[2]), _mm256_add_epi64(x.q[3], y.q[3])}};
}
static inline void v_store_units(uint64_t *p, v_units x) {
  for (int k = 0; k < 4; k++) _mm256_storeu_si256((__m256i *)(void *)(p + 4 * k), x.q[k]);
}

#include "backend/cpu/cpu_ops_body.h"
