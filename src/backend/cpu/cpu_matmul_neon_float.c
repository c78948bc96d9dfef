// Products of f32, f16 and bf16 weights with NEON: 16 lanes in four accumulators, as cpu_matmul.h orders
// them; a bf16 is widened by a shift, an f16 by a conversion. Bound by reading with one row of x; with more,
// four rows share what is loaded.
#include "backend/cpu/cpu_matmul_neon.h"

MATMUL_INLINE float32x4_t load_4(pn_dtype kind, const uint8_t *p) {
  if (kind == PN_F32) return vreinterpretq_f32_u8(vld1q_u8(p));
  const uint16x4_t h = vreinterpret_u16_u8(vld1_u8(p));
  if (kind == PN_F16) return vcvt_f32_f16(vreinterpret_f16_u16(h));
  return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

MATMUL_INLINE void add_16(pn_dtype kind, const uint8_t *p, const float *f, float32x4_t acc[4]) {
  const size_t size = kind == PN_F32 ? 4 : 2;
  for (size_t i = 0; i < 4; i++)
    acc[i] = vfmaq_f32(acc[i], load_4(kind, p + 4 * i * size), vld1q_f32(f + 4 * i));
}

MATMUL_INLINE void floats_of(pn_dtype kind, const uint8_t *p, const matmul_x *x, int k, int t, float *out) {
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

MATMUL_INLINE void rows_of(pn_dtype kind, const uint8_t *p, const matmul_x *x, float *out,
                           int64_t out_stride) {
  for (int k = 0, t; k < x->n_rows; k += t) {
    float y[4];
    t = x->n_rows - k >= 4 ? 4 : 1;
    if (t == 4)
      floats_of(kind, p, x, k, 4, y);
    else
      floats_of(kind, p, x, k, 1, y);
    for (int j = 0; j < t; j++) out[(k + j) * out_stride] = y[j];
  }
}

void matmul_neon_float(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
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
