// Arm NEON (AArch64): a v16 is four registers.
#include "backend/cpu/cpu_ops.h"

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#define OPS_TABLE cpu_ops_neon
#define OPS_NAME "neon"
// Of 32 registers a tile of panels has 24 sums, 4 of K or V and a broadcast.
#define TILE_QUERIES 6
#define PANEL_VECTORS 1
#define KEY_VECTORS(nq) ((nq) <= 2 ? 2 : 1)
#define VALUE_VECTORS(nq) ((nq) == 1 ? 4 : (nq) == 2 ? 2 : 1)
#define DELTA_BLOCKS 2
#define FOUR(f, x) ((v16){f((x).a), f((x).b), f((x).c), f((x).d)})
#define FOUR2(f, x, y) ((v16){f((x).a, (y).a), f((x).b, (y).b), f((x).c, (y).c), f((x).d, (y).d)})

typedef struct v16 {
  float32x4_t a, b, c, d;
} v16;

static inline v16 v_load(const float *p) {
  return (v16){vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}
static inline v16 v_load_n(const float *p, int n) {
  float whole[CPU_LANES] = {0};
  memcpy(whole, p, (size_t)n * sizeof *p);
  return v_load(whole);
}
static inline void v_store(float *p, v16 v) {
  vst1q_f32(p, v.a);
  vst1q_f32(p + 4, v.b);
  vst1q_f32(p + 8, v.c);
  vst1q_f32(p + 12, v.d);
}
static inline void v_store_n(float *p, v16 v, int n) {
  float whole[CPU_LANES];
  v_store(whole, v);
  memcpy(p, whole, (size_t)n * sizeof *p);
}
static inline v16 v_set1(float x) {
  float32x4_t v = vdupq_n_f32(x);
  return (v16){v, v, v, v};
}
static inline v16 v_add(v16 x, v16 y) { return FOUR2(vaddq_f32, x, y); }
static inline v16 v_sub(v16 x, v16 y) { return FOUR2(vsubq_f32, x, y); }
static inline v16 v_mul(v16 x, v16 y) { return FOUR2(vmulq_f32, x, y); }
static inline v16 v_div(v16 x, v16 y) { return FOUR2(vdivq_f32, x, y); }
static inline v16 v_fma(v16 x, v16 y, v16 z) {
  return (v16){vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c),
               vfmaq_f32(z.d, x.d, y.d)};
}
// The second where the comparison fails, as on x86, so that a NaN gives the same on both.
static inline float32x4_t max4(float32x4_t x, float32x4_t y) { return vbslq_f32(vcgtq_f32(x, y), x, y); }
static inline float32x4_t min4(float32x4_t x, float32x4_t y) { return vbslq_f32(vcltq_f32(x, y), x, y); }
static inline v16 v_max(v16 x, v16 y) { return FOUR2(max4, x, y); }
static inline v16 v_min(v16 x, v16 y) { return FOUR2(min4, x, y); }
static inline v16 v_round(v16 x) { return FOUR(vrndnq_f32, x); }
static inline float32x4_t pow2(float32x4_t n) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)), 23));
}
static inline v16 v_pow2(v16 n) { return FOUR(pow2, n); }
// x * 2^n where that is a normal number, for whole n.
static inline float32x4_t scale2(float32x4_t x, float32x4_t n) {
  return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), vshlq_n_s32(vcvtq_s32_f32(n), 23)));
}
static inline v16 v_scale2(v16 x, v16 n) { return FOUR2(scale2, x, n); }
static inline v16 v_swap_pairs(v16 x) { return FOUR(vrev64q_f32, x); }
static inline float v_sum(v16 v) {
  float32x4_t x = vaddq_f32(vaddq_f32(v.a, v.c), vaddq_f32(v.b, v.d));
  float32x2_t y = vadd_f32(vget_low_f32(x), vget_high_f32(x));
  return vget_lane_f32(y, 0) + vget_lane_f32(y, 1);
}
static inline float v_top(v16 v) {
  float32x4_t x = max4(max4(v.a, v.c), max4(v.b, v.d));
  float f[4];
  vst1q_f32(f, x);
  float low = f[0] > f[2] ? f[0] : f[2], high = f[1] > f[3] ? f[1] : f[3];
  return low > high ? low : high;
}
static inline float32x4_t widen_f16(const uint16_t *p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
static inline v16 v_from_f16(const void *src) {
  const uint16_t *p = src;
  return (v16){widen_f16(p), widen_f16(p + 4), widen_f16(p + 8), widen_f16(p + 12)};
}
static inline float32x4_t widen_bf16(const uint16_t *p) {
  return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
static inline v16 v_from_bf16(const void *src) {
  const uint16_t *p = src;
  return (v16){widen_bf16(p), widen_bf16(p + 4), widen_bf16(p + 8), widen_bf16(p + 12)};
}
static inline void narrow_f16(uint16_t *p, float32x4_t x) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x)));
}
static inline void v_to_f16(uint16_t *p, v16 v) {
  narrow_f16(p, v.a);
  narrow_f16(p + 4, v.b);
  narrow_f16(p + 8, v.c);
  narrow_f16(p + 12, v.d);
}
static inline void narrow_bf16(uint16_t *p, float32x4_t x) {
  uint32x4_t u = vreinterpretq_u32_f32(x), odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
  uint32x4_t r = vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7FFF)));
  r = vbslq_u32(vceqq_f32(x, x), r, vorrq_u32(u, vdupq_n_u32(0x400000)));
  vst1_u16(p, vshrn_n_u32(r, 16));
}
static inline void v_to_bf16(uint16_t *p, v16 v) {
  narrow_bf16(p, v.a);
  narrow_bf16(p + 4, v.b);
  narrow_bf16(p + 8, v.c);
  narrow_bf16(p + 12, v.d);
}
static inline v16 v_from_i8(const void *src) {
  int8x16_t c = vld1q_s8(src);
  int16x8_t low = vmovl_s8(vget_low_s8(c)), high = vmovl_s8(vget_high_s8(c));
  return (v16){vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
               vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))};
}
static inline int16x8_t narrow_i16(float32x4_t x, float32x4_t y) {
  return vcombine_s16(vmovn_s32(vcvtq_s32_f32(x)), vmovn_s32(vcvtq_s32_f32(y)));
}
static inline void v_to_i8(int8_t *p, v16 v) {
  vst1q_s8(p, vcombine_s8(vmovn_s16(narrow_i16(v.a, v.b)), vmovn_s16(narrow_i16(v.c, v.d))));
}
static inline v16 widen_u8(uint8x16_t c) {
  uint16x8_t low = vmovl_u8(vget_low_u8(c)), high = vmovl_u8(vget_high_u8(c));
  return (v16){vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
               vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)))};
}
static inline void v_from_u4(const void *p, v16 out[2]) {
  uint8x16_t c = vld1q_u8(p);
  out[0] = widen_u8(vandq_u8(c, vdupq_n_u8(15)));
  out[1] = widen_u8(vshrq_n_u8(c, 4));
}
typedef uint8x16_t v_bytes;
static inline v_bytes v_load_bytes(const char *p) { return vld1q_u8((const uint8_t *)p); }
static inline v16 v_from_u6(v_bytes low, v_bytes high, int d) {
  low = d % 2 ? vshrq_n_u8(low, 4) : vandq_u8(low, vdupq_n_u8(15));
  high = vshlq_u8(high, vdupq_n_s8((int8_t)(4 - 2 * d))); // a negative shift goes right
  return widen_u8(vorrq_u8(low, vandq_u8(high, vdupq_n_u8(48))));
}
// Which lanes are >= those of b, the first in the lowest bit.
static inline unsigned bits4(uint32x4_t wide) {
  static const uint32_t each[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(wide, vld1q_u32(each)));
}
static inline unsigned v_bits_ge(v16 x, v16 y) {
  return bits4(vcgeq_f32(x.a, y.a)) | bits4(vcgeq_f32(x.b, y.b)) << 4 | bits4(vcgeq_f32(x.c, y.c)) << 8 |
         bits4(vcgeq_f32(x.d, y.d)) << 12;
}
// w where x >= least, else 0.
static inline float32x4_t zero_below4(float32x4_t w, float32x4_t x, float32x4_t least) {
  return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(w), vcgeq_f32(x, least)));
}
static inline v16 v_zero_below(v16 w, v16 x, v16 least) {
  return (v16){zero_below4(w.a, x.a, least.a), zero_below4(w.b, x.b, least.b), zero_below4(w.c, x.c, least.c),
               zero_below4(w.d, x.d, least.d)};
}
static inline float32x4_t by_bits4(unsigned bits, float32x4_t set, float32x4_t clear) {
  static const uint32_t each[4] = {1, 2, 4, 8};
  return vbslq_f32(vtstq_u32(vdupq_n_u32(bits), vld1q_u32(each)), set, clear);
}
static inline v16 v_by_bits(unsigned bits, v16 x, v16 y) {
  return (v16){by_bits4(bits, x.a, y.a), by_bits4(bits >> 4, x.b, y.b), by_bits4(bits >> 8, x.c, y.c),
               by_bits4(bits >> 12, x.d, y.d)};
}
typedef struct v_units {
  uint64x2_t q[8];
} v_units;
// Adding CPU_UNIT_SHIFT rounds to whole units, which are the lowest bits of the sum then.
static inline uint64x2_t units2(float32x2_t w) {
  float64x2_t shift = vdupq_n_f64(CPU_UNIT_SHIFT);
  return vsubq_u64(vreinterpretq_u64_f64(vaddq_f64(vcvt_f64_f32(w), shift)), vreinterpretq_u64_f64(shift));
}
static inline v_units v_to_units(v16 w) {
  return (v_units){{units2(vget_low_f32(w.a)), units2(vget_high_f32(w.a)), units2(vget_low_f32(w.b)),
                    units2(vget_high_f32(w.b)), units2(vget_low_f32(w.c)), units2(vget_high_f32(w.c)),
                    units2(vget_low_f32(w.d)), units2(vget_high_f32(w.d))}};
}
static inline v_units v_no_units(void) {
  v_units x;
  for (int k = 0; k < 8; k++) x.q[k] = vdupq_n_u64(0);
  return x;
}
static inline v_units v_add_units(v_units x, v_units y) {
  for (int k = 0; k < 8; k++) x.q[k] = vaddq_u64(x.q[k], y.q[k]);
  return x;
}
static inline void v_store_units(uint64_t *p, v_units x) {
  for (int k = 0; k < 8; k++) vst1q_u64(p + 2 * k, x.q[k]);
}

#include "backend/cpu/cpu_ops_body.h"
