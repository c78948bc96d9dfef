// Stored codes as signed bytes in registers: what the one-row kernel reads in place of unpacked rows.
//
// Instructions for 32 codes, loads apart: nibbles 2, affine bytes 2, Q8_0 none, Q5_0 and Q5_1 8, Q4_K 2, Q5_K
// 7, Q6_K 5.
#ifndef PN_BACKEND_CPU_MATMUL_NEON_CODES_H
#define PN_BACKEND_CPU_MATMUL_NEON_CODES_H

#include "backend/cpu/cpu_matmul_neon.h"

// How stored codes become bytes, and how their blocks lie.
typedef enum neon_form {
  NEON_NIBBLES_64, // affine, 4 bit
  NEON_NIBBLES_32,
  NEON_BYTES_64, // affine, 8 bit
  NEON_BYTES_32,
  NEON_Q4_0,
  NEON_Q4_1,
  NEON_Q5_0,
  NEON_Q5_1,
  NEON_Q8_0,
  NEON_Q4_K, // eight blocks at a time
  NEON_Q5_K, // eight blocks at a time
  NEON_Q6_K, // sixteen blocks at a time
  // what has no kernels of its own: codes as bytes and f32 scales
  NEON_UNPACKED_64,
  NEON_UNPACKED_32,
  NEON_UNPACKED_16,
  NEON_N_FORMS
} neon_form;

MATMUL_INLINE bool neon_affine(neon_form f) { return f <= NEON_BYTES_32; }

MATMUL_INLINE int neon_block(neon_form f) {
  if (f == NEON_NIBBLES_64 || f == NEON_BYTES_64 || f == NEON_UNPACKED_64) return 64;
  return f == NEON_Q6_K || f == NEON_UNPACKED_16 ? 16 : 32;
}

// Bytes of a stored block, of the forms before NEON_Q4_K.
MATMUL_INLINE size_t neon_block_bytes(neon_form f) {
  static const uint8_t bytes[NEON_Q4_K] = {
      32, 16, 64, 32, PN_Q4_0_BYTES, PN_Q4_1_BYTES, PN_Q5_0_BYTES, PN_Q5_1_BYTES, PN_Q8_0_BYTES};
  return bytes[f];
}

MATMUL_INLINE int8x16_t neon_low(uint8x16_t v) { return vreinterpretq_s8_u8(vandq_u8(v, vdupq_n_u8(15))); }
MATMUL_INLINE int8x16_t neon_high(uint8x16_t v) { return vreinterpretq_s8_u8(vshrq_n_u8(v, 4)); }
MATMUL_INLINE int8x16_t neon_less_128(uint8x16_t v) {
  return vreinterpretq_s8_u8(veorq_u8(v, vdupq_n_u8(128)));
}

// The word of fifth bits at p, nibbles in halves behind it.
MATMUL_INLINE void neon_five_bits(const uint8_t *p, int8x16_t c[2]) {
  static const uint8_t at[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
  const uint8x16_t bits = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u)), first = vld1q_u8(at);
  const uint8x16_t v = vld1q_u8(p + 4), sixteen = vdupq_n_u8(16);
  uint32_t word;
  memcpy(&word, p, 4);
  const uint8x16_t h = vreinterpretq_u8_u32(vdupq_n_u32(word));
  const uint8x16_t a = vtstq_u8(vqtbl1q_u8(h, first), bits);
  const uint8x16_t b = vtstq_u8(vqtbl1q_u8(h, vaddq_u8(first, vdupq_n_u8(2))), bits);
  c[0] = vorrq_s8(neon_low(v), vreinterpretq_s8_u8(vandq_u8(a, sixteen)));
  c[1] = vorrq_s8(neon_high(v), vreinterpretq_s8_u8(vandq_u8(b, sixteen)));
}

// The codes of the block at p.
MATMUL_INLINE void neon_codes(neon_form form, const uint8_t *p, int8x16_t c[4]) {
  switch (form) {
  case NEON_NIBBLES_64:
    c[0] = neon_low(vld1q_u8(p));
    c[1] = neon_low(vld1q_u8(p + 16));
    c[2] = neon_high(vld1q_u8(p));
    c[3] = neon_high(vld1q_u8(p + 16));
    return;
  case NEON_NIBBLES_32:
    c[0] = neon_low(vld1q_u8(p));
    c[1] = neon_high(vld1q_u8(p));
    return;
  case NEON_Q4_0:
    c[0] = neon_low(vld1q_u8(p + 2));
    c[1] = neon_high(vld1q_u8(p + 2));
    return;
  case NEON_Q4_1:
    c[0] = neon_low(vld1q_u8(p + 4));
    c[1] = neon_high(vld1q_u8(p + 4));
    return;
  case NEON_Q5_0: neon_five_bits(p + 2, c); return;
  case NEON_Q5_1: neon_five_bits(p + 4, c); return;
  case NEON_Q8_0:
    c[0] = vreinterpretq_s8_u8(vld1q_u8(p + 2));
    c[1] = vreinterpretq_s8_u8(vld1q_u8(p + 18));
    return;
  default: break;
  }
  MATMUL_UNROLL
  for (int i = 0; i < neon_block(form) / 16; i++) {
    const uint8x16_t v = vld1q_u8(p + 16 * i);
    c[i] = form == NEON_BYTES_64 || form == NEON_BYTES_32 ? neon_less_128(v) : vreinterpretq_s8_u8(v);
  }
}

// Half j of the i-th 32 of a superblock of Q4_K or Q5_K at p; bit i of a byte of fifth bits is its own.
MATMUL_INLINE int8x16_t neon_code_q45_k(bool five, const uint8_t *p, int i, int j) {
  const uint8x16_t v = vld1q_u8(p + (five ? 48 : 16) + 32 * (i / 2) + 16 * j);
  const int8x16_t c = i % 2 ? neon_high(v) : neon_low(v);
  if (!five) return c;
  const uint8x16_t h = vld1q_u8(p + 16 + 16 * j), sixteen = vdupq_n_u8(16);
  const uint8x16_t fifth = vshlq_u8(h, vdupq_n_s8((int8_t)(4 - i)));
  return vorrq_s8(c, vreinterpretq_s8_u8(vandq_u8(fifth, sixteen)));
}

// The i-th 16 of a superblock of Q6_K at p. Of each 128 codes the r-th 32 have their two upper bits at 2 * r.
MATMUL_INLINE int8x16_t neon_code_q6_k(const uint8_t *p, int i) {
  const int half = i / 8, r = i % 8 / 2, j = i % 2;
  const uint8x16_t v = vld1q_u8(p + 64 * half + r % 2 * 32 + 16 * j),
                   h = vld1q_u8(p + 128 + 32 * half + 16 * j);
  const uint8x16_t three = vdupq_n_u8(3), upper = vdupq_n_u8(48);
  switch (r) { // an insertion keeps the four bits that are not shifted in
  case 0: return vreinterpretq_s8_u8(vsliq_n_u8(v, vandq_u8(h, three), 4));
  case 1: return vreinterpretq_s8_u8(vsliq_n_u8(v, vandq_u8(vshrq_n_u8(h, 2), three), 4));
  case 2: return vreinterpretq_s8_u8(vsriq_n_u8(vandq_u8(h, upper), v, 4));
  default: return vreinterpretq_s8_u8(vsriq_n_u8(vandq_u8(vshrq_n_u8(h, 2), upper), v, 4));
  }
}

// Scales d * S and biases -(dmin * M) of the eight 32s of a superblock of Q4_K or Q5_K.
MATMUL_INLINE void neon_k_scales(const uint8_t *p, float32x4_t scale[2], float32x4_t bias[2]) {
  uint32_t n[3]; // four numbers at a time
  memcpy(n, p + 4, 12);
  const uint32_t last_s = (n[2] & 0x0F0F0F0Fu) | (n[0] >> 6 & 0x03030303u) << 4;
  const uint32_t last_m = (n[2] >> 4 & 0x0F0F0F0Fu) | (n[1] >> 6 & 0x03030303u) << 4;
  const uint16x8_t s = vmovl_u8(vcreate_u8((n[0] & 0x3F3F3F3Fu) | (uint64_t)last_s << 32));
  const uint16x8_t m = vmovl_u8(vcreate_u8((n[1] & 0x3F3F3F3Fu) | (uint64_t)last_m << 32));
  uint32_t head;
  memcpy(&head, p, 4);
  const float32x4_t d = vcvt_f32_f16(vreinterpret_f16_u32(vdup_n_u32(head))), minus = vnegq_f32(d);
  scale[0] = vmulq_laneq_f32(vcvtq_f32_u32(vmovl_u16(vget_low_u16(s))), d, 0);
  scale[1] = vmulq_laneq_f32(vcvtq_f32_u32(vmovl_high_u16(s)), d, 0);
  bias[0] = vmulq_laneq_f32(vcvtq_f32_u32(vmovl_u16(vget_low_u16(m))), minus, 1);
  bias[1] = vmulq_laneq_f32(vcvtq_f32_u32(vmovl_high_u16(m)), minus, 1);
}

// Scales d * S of the sixteen 16s of a superblock of Q6_K.
MATMUL_INLINE void neon_q6_k_scales(const uint8_t *p, float32x4_t scale[4]) {
  const int8x16_t s = vreinterpretq_s8_u8(vld1q_u8(p + 192));
  const int16x8_t a = vmovl_s8(vget_low_s8(s)), b = vmovl_high_s8(s);
  uint16_t head;
  memcpy(&head, p + 208, 2);
  const float32x4_t d = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(head)));
  scale[0] = vmulq_f32(d, vcvtq_f32_s32(vmovl_s16(vget_low_s16(a))));
  scale[1] = vmulq_f32(d, vcvtq_f32_s32(vmovl_high_s16(a)));
  scale[2] = vmulq_f32(d, vcvtq_f32_s32(vmovl_s16(vget_low_s16(b))));
  scale[3] = vmulq_f32(d, vcvtq_f32_s32(vmovl_high_s16(b)));
}

// The f16 (pairs: the scales and the biases) at the beginnings of four blocks, `s` bytes apart.
MATMUL_INLINE float32x4_t neon_heads(const uint8_t *p, size_t s) {
  uint16_t h[4];
  MATMUL_UNROLL
  for (size_t i = 0; i < 4; i++) memcpy(h + i, p + i * s, 2);
  const uint16x4_t v = {h[0], h[1], h[2], h[3]};
  return vcvt_f32_f16(vreinterpret_f16_u16(v));
}
MATMUL_INLINE void neon_head_pairs(const uint8_t *p, size_t s, float32x4_t *scale, float32x4_t *bias) {
  uint32_t h[4];
  MATMUL_UNROLL
  for (size_t i = 0; i < 4; i++) memcpy(h + i, p + i * s, 4);
  const uint32x4_t v = {h[0], h[1], h[2], h[3]};
  *scale = vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(v)));
  *bias = vcvt_f32_f16(vreinterpret_f16_u16(vshrn_n_u32(v, 16)));
}

#endif
