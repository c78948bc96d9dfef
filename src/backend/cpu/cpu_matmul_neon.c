// NEON with the dot-product extension (sdot). Codes of up to 7 bits are their own signed bytes; of wide codes
// the eighth bit is a second dot that counts 128.
#include "backend/cpu/cpu_matmul_kernels.h"

#include <arm_neon.h>
#include <math.h>
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static bool usable(void) {
#if defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return true; // every Apple processor that runs macOS on arm64 has it
#endif
}

static void quantise(const matmul_x *x, int r) {
  const uint32x4_t magnitude = vdupq_n_u32(0x7FFFFFFFu);
  for (int b = 0; b < x->n_blocks; b++) {
    const float *f = x->f + (int64_t)r * x->f_stride + (int64_t)b * x->block;
    int8_t *q = x->q + (size_t)r * x->q_stride + (size_t)b * (size_t)x->block;
    const size_t at = (size_t)r * x->s_stride + (size_t)b;
    uint32x4_t top = vdupq_n_u32(0);
    for (int i = 0; i < x->block; i += 4)
      top = vmaxq_u32(top, vandq_u32(vreinterpretq_u32_f32(vld1q_f32(f + i)), magnitude));
    const uint32_t bits = vmaxvq_u32(top);
    float amax, dx = 0;
    int32x4_t sums = vdupq_n_s32(0);
    memcpy(&amax, &bits, 4);
    if (bits >= 0x7F800000u || !(amax >= 0x1p-100f)) {
      if (bits >= 0x7F800000u) dx = NAN;
      for (int k = 0; k < x->planes; k++) memset(q + (size_t)k * x->plane, 0, (size_t)x->block);
    } else {
      const float32x4_t inverse = vdupq_n_f32(matmul_top(x) / amax);
      dx = amax / matmul_top(x);
      for (int i = 0; i < x->block; i += 8) {
        const int32x4_t lo = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(f + i), inverse));
        const int32x4_t hi = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(f + i + 4), inverse));
        sums = vaddq_s32(sums, vaddq_s32(lo, hi));
        const int16x8_t v = vcombine_s16(vmovn_s32(lo), vmovn_s32(hi));
        vst1_s8(q + i + (x->planes == 2 ? x->plane : 0), vmovn_s16(v));
        if (x->planes == 2) vst1_s8(q + i, vmovn_s16(vshrq_n_s16(vaddq_s16(v, vdupq_n_s16(128)), 8)));
      }
    }
    const int sum = vaddvq_s32(sums);
    x->dx[at] = dx;
    x->sum[at] = dx * (float)sum;
    x->shift[at] = -x->offset * sum;
  }
}

// 4 partial dots of a block with one plane of x.
static inline int32x4_t dot_plane(const uint8_t *codes, const int8_t *q, int block, bool wide) {
  int32x4_t low = vdupq_n_s32(0), high = low;
  for (int i = 0; i < block; i += 16) {
    const uint8x16_t c = vld1q_u8(codes + i);
    const int8x16_t v = vld1q_s8(q + i);
    low = vdotq_s32(low, vreinterpretq_s8_u8(wide ? vandq_u8(c, vdupq_n_u8(127)) : c), v);
    if (wide) high = vdotq_s32(high, vreinterpretq_s8_u8(vshrq_n_u8(c, 7)), v);
  }
  return wide ? vaddq_s32(low, vshlq_n_s32(high, 7)) : low;
}

static inline int32x4_t dot_block(const uint8_t *codes, const int8_t *q, int block, bool wide, int planes,
                                  size_t plane) {
  const int32x4_t d = dot_plane(codes, q, block, wide);
  if (planes == 1) return d;
  return vaddq_s32(vshlq_n_s32(d, 8), dot_plane(codes, q + plane, block, wide));
}

static inline void products_of(const matmul_line *l, int block, bool wide, int planes, const uint8_t *codes,
                               const float *scale, const float *bias, int k, float *p) {
  const matmul_x *x = l->x;
  const int8_t *q = x->q + (size_t)k * x->q_stride;
  const size_t at = (size_t)k * x->s_stride;
  for (int b = 0; b < l->n_padded; b += 4) {
    int32x4_t d[4];
    for (int i = 0; i < 4; i++, codes += block, q += block)
      d[i] = dot_block(codes, q, block, wide, planes, x->plane);
    const size_t s = at + (size_t)b;
    const int32x4_t dots = vpaddq_s32(vpaddq_s32(d[0], d[1]), vpaddq_s32(d[2], d[3]));
    const float32x4_t dot = vcvtq_f32_s32(vaddq_s32(dots, vld1q_s32(x->shift + s)));
    float32x4_t v = vmulq_f32(vld1q_f32(scale + b), vmulq_f32(vld1q_f32(x->dx + s), dot));
    if (l->bias) v = vfmaq_f32(v, vld1q_f32(bias + b), vld1q_f32(x->sum + s));
    vst1q_f32(p + b, v);
  }
}

static inline void products_any(const matmul_line *l, int planes, const uint8_t *codes, const float *scale,
                                const float *bias, int k, float *p) {
  if (l->w->block == 64) {
    if (l->wide)
      products_of(l, 64, true, planes, codes, scale, bias, k, p);
    else
      products_of(l, 64, false, planes, codes, scale, bias, k, p);
  } else if (l->w->block == 16) {
    products_of(l, 16, l->wide, planes, codes, scale, bias, k, p);
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

static inline float32x4_t load_4(pn_dtype kind, const uint8_t *p) {
  if (kind == PN_F32) return vreinterpretq_f32_u8(vld1q_u8(p));
  const uint16x4_t h = vreinterpret_u16_u8(vld1_u8(p));
  if (kind == PN_F16) return vcvt_f32_f16(vreinterpret_f16_u16(h));
  return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

static inline void add_16(pn_dtype kind, const uint8_t *p, const float *f, float32x4_t acc[4]) {
  const size_t size = kind == PN_F32 ? 4 : 2;
  for (size_t i = 0; i < 4; i++)
    acc[i] = vfmaq_f32(acc[i], load_4(kind, p + 4 * i * size), vld1q_f32(f + 4 * i));
}

static inline void floats_of(pn_dtype kind, const uint8_t *p, const matmul_x *x, int k, int t, float *out) {
  const size_t size = kind == PN_F32 ? 4 : 2;
  const float *f = x->f + k * x->f_stride;
  float32x4_t acc[4][4];
  for (int j = 0; j < t; j++) {
    for (int i = 0; i < 4; i++) acc[j][i] = vdupq_n_f32(0);
  }
  int i = 0;
  for (; i + 16 <= x->cols; i += 16) {
    for (int j = 0; j < t; j++) add_16(kind, p + (size_t)i * size, f + j * x->f_stride + i, acc[j]);
  }
  const size_t left = (size_t)(x->cols - i);
  uint8_t rest[64] = {0};
  memcpy(rest, p + (size_t)i * size, left * size);
  for (int j = 0; j < t; j++) {
    float tail[16] = {0};
    memcpy(tail, f + j * x->f_stride + i, left * 4);
    add_16(kind, rest, tail, acc[j]);
    const float32x4_t a = vaddq_f32(vaddq_f32(acc[j][0], acc[j][2]), vaddq_f32(acc[j][1], acc[j][3]));
    const float32x2_t b = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    out[j] = vget_lane_f32(b, 0) + vget_lane_f32(b, 1);
  }
}

static void floats(const pn_weight *w, int64_t row, const matmul_x *x, int k, int t, float *out) {
  const uint8_t *p = (const uint8_t *)w->m.data + (size_t)row * w->m.row_bytes;
  const int many = t == 4 ? 4 : 1;
  if (w->m.kind == PN_F32)
    floats_of(PN_F32, p, x, k, many, out);
  else if (w->m.kind == PN_F16)
    floats_of(PN_F16, p, x, k, many, out);
  else
    floats_of(PN_BF16, p, x, k, many, out);
}

static void unit(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out, int64_t out_stride,
                 void *scratch) {
  matmul_unit_lines(w, r0, n, x, out, out_stride, scratch, products, floats);
}

const matmul_kernels matmul_neon = {.name = "neon",
                                    .usable = usable,
                                    .layout = matmul_layout_plain,
                                    .packing = matmul_packing_rows,
                                    .quantise = quantise,
                                    .scratch_bytes = matmul_scratch_unpacked,
                                    .unit = unit};
