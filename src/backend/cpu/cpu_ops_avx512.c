// AVX-512 F, BW, VL.
#include "backend/cpu/cpu_ops.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define OPS_TABLE cpu_ops_avx512
#define OPS_NAME "avx512"
// Of 32 registers a tile of panels has 16 sums, 2 of K or V and a broadcast.
#define TILE_QUERIES 8
#define PANEL_VECTORS 2
#define KEY_VECTORS(nq) 2
#define VALUE_VECTORS(nq) 4
#define DELTA_BLOCKS 4

typedef __m512 v16;

static inline __mmask16 first(int n) { return (__mmask16)((1u << n) - 1u); }
static inline v16 v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline v16 v_load_n(const float *p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
static inline void v_store(float *p, v16 v) { _mm512_storeu_ps(p, v); }
static inline void v_store_n(float *p, v16 v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }
static inline v16 v_set1(float x) { return _mm512_set1_ps(x); }
static inline v16 v_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
static inline v16 v_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
static inline v16 v_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
static inline v16 v_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
static inline v16 v_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
static inline v16 v_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
static inline v16 v_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }
static inline v16 v_round(v16 a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline v16 v_pow2(v16 n) {
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}
// x * 2^n where that is a normal number, for whole n.
static inline v16 v_scale2(v16 x, v16 n) {
  return _mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(x), _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23)));
}
static inline v16 v_swap_pairs(v16 a) { return _mm512_permute_ps(a, 0xB1); }
static inline __m256 upper(v16 v) {
  return _mm256_castsi256_ps(_mm512_extracti64x4_epi64(_mm512_castps_si512(v), 1));
}
static inline float v_sum(v16 v) {
  __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), upper(v));
  __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
static inline float v_top(v16 v) {
  __m256 a = _mm256_max_ps(_mm512_castps512_ps256(v), upper(v));
  __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}
static inline v16 v_from_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
static inline v16 v_from_bf16(const void *p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
static inline void v_to_f16(uint16_t *p, v16 v) {
  _mm256_storeu_si256((__m256i *)(void *)p,
                      _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline void v_to_bf16(uint16_t *p, v16 v) {
  __m512i u = _mm512_castps_si512(v), odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  __m512i r = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  r = _mm512_mask_or_epi32(r, nan, u, _mm512_set1_epi32(0x400000));
  _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(r, 16)));
}
static inline v16 v_from_i8(const void *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p)));
}
static inline void v_to_i8(int8_t *p, v16 v) {
  _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}
static inline v16 widen_u8(__m128i c) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(c)); }
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
static inline unsigned v_bits_ge(v16 a, v16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
// w where x >= least, else 0.
static inline v16 v_zero_below(v16 w, v16 x, v16 least) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, least, _CMP_GE_OQ), w);
}
static inline v16 v_by_bits(unsigned bits, v16 set, v16 clear) {
  return _mm512_mask_blend_ps((__mmask16)bits, clear, set);
}
typedef struct v_units {
  __m512i a, b;
} v_units;
// Adding CPU_UNIT_SHIFT rounds to whole units, which are the lowest bits of the sum then.
static inline __m512i units8(__m256 w) {
  __m512d shift = _mm512_set1_pd(CPU_UNIT_SHIFT);
  return _mm512_sub_epi64(_mm512_castpd_si512(_mm512_add_pd(_mm512_cvtps_pd(w), shift)),
                          _mm512_castpd_si512(shift));
}
static inline v_units v_to_units(v16 w) {
  return (v_units){units8(_mm512_castps512_ps256(w)), units8(upper(w))};
}
static inline v_units v_no_units(void) { return (v_units){_mm512_setzero_si512(), _mm512_setzero_si512()}; }
static inline v_units v_add_units(v_units x, v_units y) {
  return (v_units){_mm512_add_epi64(x.a, y.a), _mm512_add_epi64(x.b, y.b)};
}
static inline void v_store_units(uint64_t *p, v_units x) {
  _mm512_storeu_si512(p, x.a);
  _mm512_storeu_si512(p + 8, x.b);
}

#include "backend/cpu/cpu_ops_body.h"
