// The rows of the table of kinds and their functions. A new kind is added here and nowhere else.
//
// Included by the file that owns the table and once more by each instruction set that wants the functions
// compiled with its own flags. `codes` and `scales` are therefore written with the vector types of the
// compiler, which become the instructions of whatever processor a file is compiled for. `decode` is the plain
// definition. Layouts of blocks are those of GGUF files, little-endian, without padding (checked against
// gguf-py's dequantize, bit for bit).
#ifndef PN_BASE_KIND_ROWS_H
#define PN_BASE_KIND_ROWS_H

#include "base/kind.h"

#include <math.h>

// An f16 as f32. Instruction sets that convert it in one instruction say so before they include this file.
#ifndef KIND_HALF
#define KIND_HALF(h) pn_f16_to_f32(h)
#endif

// Vectors of bytes, words and floats that may lie at any address. Functions take pointers to them, never
// values: how a value is passed depends on the flags.
typedef uint8_t u8x16 __attribute__((vector_size(16), aligned(1)));
typedef uint8_t u8x8 __attribute__((vector_size(8), aligned(1)));
typedef uint16_t u16x8 __attribute__((vector_size(16), aligned(1)));
typedef uint8_t u8x32 __attribute__((vector_size(32), aligned(1)));
typedef uint16_t u16x16 __attribute__((vector_size(32), aligned(1)));
typedef uint64_t u64x2 __attribute__((vector_size(16), aligned(1)));
typedef uint32_t u32x4 __attribute__((vector_size(16), aligned(1)));
typedef float f32x4 __attribute__((vector_size(16), aligned(4)));
typedef uint32_t u32x8 __attribute__((vector_size(32), aligned(1)));
typedef int32_t i32x8 __attribute__((vector_size(32), aligned(4)));
typedef float f32x8 __attribute__((vector_size(32), aligned(4)));
#define U8X16(p) (*(const u8x16 *)(p))
#define U8X32(p) (*(const u8x32 *)(p))

// Sixteen bytes of `table`, those that the bytes of v name (each below 16). Instruction sets that have an
// instruction for it say so where the compiler has no operation of its own.
#ifndef KIND_LOOKUP
#if defined(__clang__)
static inline u8x16 kind_lookup(const u8x16 *table, const u8x16 *v) {
  u8x16 out;
  for (int i = 0; i < 16; i++) out[i] = (*table)[(*v)[i]];
  return out;
}
#define KIND_LOOKUP(table, v) kind_lookup(&(table), &(v))
#else
#define KIND_LOOKUP(table, v) __builtin_shuffle(table, v)
#endif
#endif

static inline float half_at(const unsigned char *p) {
  uint16_t h;
  memcpy(&h, p, 2);
  return KIND_HALF(h);
}

// Eight floats: the signed bytes of two words, the lowest first, times d.
static inline void bytes_times(uint32_t low, uint32_t high, float d, float *out) {
  const u32x8 v = {low, low, low, low, high, high, high, high}, shift = {24, 16, 8, 0, 24, 16, 8, 0};
  *(f32x8 *)out = d * __builtin_convertvector((i32x8)(v << shift) >> 24, f32x8);
}

static void decode_f32(const unsigned char *p, int64_t n, float *out) {
  pn_floats_to_f32(PN_F32, p, out, (size_t)n);
}
static void decode_f16(const unsigned char *p, int64_t n, float *out) {
  pn_floats_to_f32(PN_F16, p, out, (size_t)n);
}
static void decode_bf16(const unsigned char *p, int64_t n, float *out) {
  pn_floats_to_f32(PN_BF16, p, out, (size_t)n);
}

// Element i of 32 nibbles in halves: the low ones of 16 bytes are elements 0 .. 15, the high ones 16 .. 31.
static inline int nibble_at(const unsigned char *q, int i) { return i < 16 ? q[i] & 15 : q[i - 16] >> 4; }

static inline void nibbles(const unsigned char *q, uint8_t *codes) {
  const u8x16 v = U8X16(q);
  *(u8x16 *)codes = v & 15;
  *(u8x16 *)(codes + 16) = v >> 4;
}

// Blocks that begin with an f16 scale, and behind it an f16 bias where the kind has one.
static inline void head_scales(const unsigned char *p, size_t bytes, int64_t n, float *scale) {
  for (int64_t b = 0; b < n; b++) scale[b] = half_at(p + (size_t)b * bytes);
}
static inline void head_pairs(const unsigned char *p, size_t bytes, int64_t n, float *scale, float *bias) {
  head_scales(p, bytes, n, scale);
  head_scales(p + 2, bytes, n, bias);
}

// Q4_0, 18 bytes for 32: 0: f16 d; 2: 16 bytes of nibbles. Value = (q - 8) * d.
static void decode_q4_0(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += PN_Q4_0_BYTES, out += 32) {
    const float d = half_at(p);
    for (int i = 0; i < 32; i++) out[i] = (float)(nibble_at(p + 2, i) - 8) * d;
  }
}
static void codes_q4_0(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += PN_Q4_0_BYTES, codes += 32) nibbles(p + 2, codes);
}
static void scales_q4_0(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  head_scales(p, PN_Q4_0_BYTES, n, scale);
}

// Q4_1, 20 bytes for 32: 0: f16 d; 2: f16 m; 4: 16 bytes of nibbles. Value = q * d + m.
static void decode_q4_1(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += PN_Q4_1_BYTES, out += 32) {
    const float d = half_at(p), m = half_at(p + 2);
    for (int i = 0; i < 32; i++) out[i] = (float)nibble_at(p + 4, i) * d + m;
  }
}
static void codes_q4_1(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += PN_Q4_1_BYTES, codes += 32) nibbles(p + 4, codes);
}
static void scales_q4_1(const unsigned char *p, int64_t n, float *scale, float *bias) {
  head_pairs(p, PN_Q4_1_BYTES, n, scale, bias);
}

// Q8_0, 34 bytes for 32: 0: f16 d; 2: 32 int8. Value = q * d; the code is q with its top bit flipped, q +
// 128.
static void decode_q8_0(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += PN_Q8_0_BYTES, out += 32) {
    const float d = half_at(p);
    for (int i = 0; i < 32; i++) out[i] = (float)(int8_t)p[2 + i] * d;
  }
}
static void codes_q8_0(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += PN_Q8_0_BYTES, codes += 32) *(u8x32 *)codes = U8X32(p + 2) ^ 0x80;
}
static void scales_q8_0(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  head_scales(p, PN_Q8_0_BYTES, n, scale);
}

// 32 codes of nibbles in halves at q, their fifth bits in the little-endian word at `high`. Word j of the
// eight takes bits 4 j .. 4 j + 3; a product with a bit every 7 places puts each bit of them into a byte of
// its own.
static inline void five_bits(const unsigned char *high, const unsigned char *q, uint8_t *codes) {
  uint32_t h;
  memcpy(&h, high, 4);
  const u32x8 all = {h, h, h, h, h, h, h, h}, shift = {0, 4, 8, 12, 16, 20, 24, 28};
  const u32x8 fifth = ((all >> shift & 15) * 0x00204081 & 0x01010101) << 4;
  const u8x16 v = U8X16(q);
  u8x16 half[2];
  memcpy(half, &fifth, 32);
  *(u8x16 *)codes = (v & 15) | half[0];
  *(u8x16 *)(codes + 16) = v >> 4 | half[1];
}

// Q5_0, 22 bytes for 32: 0: f16 d; 2: u32, bit i is the fifth bit of q_i; 6: 16 bytes of nibbles. Value = (q
// - 16) * d.
static void decode_q5_0(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += PN_Q5_0_BYTES, out += 32) {
    const float d = half_at(p);
    for (int i = 0; i < 32; i++)
      out[i] = (float)((nibble_at(p + 6, i) | (p[2 + i / 8] >> i % 8 & 1) << 4) - 16) * d;
  }
}
static void codes_q5_0(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += PN_Q5_0_BYTES, codes += 32) five_bits(p + 2, p + 6, codes);
}
static void scales_q5_0(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  head_scales(p, PN_Q5_0_BYTES, n, scale);
}

// Number i of eight scales (min: of eight minimums), 6 bits each, in the 12 bytes at s: the first four of
// both lie in the low six bits of bytes 0 .. 7, the last four are nibbles of bytes 8 .. 11 with the two bits
// that are left of those.
static inline int six_bits_at(const unsigned char *s, int i, bool min) {
  if (i < 4) return s[min ? i + 4 : i] & 63;
  return min ? s[i + 4] >> 4 | s[i] >> 6 << 4 : (s[i + 4] & 15) | s[i - 4] >> 6 << 4;
}

// Scales d * S and biases -(dmin * M) of n blocks of 256 that begin with d, dmin and those 12 bytes.
static inline void k_scales(const unsigned char *p, size_t bytes, int64_t n, float *scale, float *bias) {
  for (; n--; p += bytes, scale += 8, bias += 8) {
    uint32_t a, b, c; // four numbers at a time
    memcpy(&a, p + 4, 4);
    memcpy(&b, p + 8, 4);
    memcpy(&c, p + 12, 4);
    const uint32_t last_a = (c & 0x0F0F0F0Fu) | (a >> 6 & 0x03030303u) << 4;
    const uint32_t last_b = (c >> 4 & 0x0F0F0F0Fu) | (b >> 6 & 0x03030303u) << 4;
    bytes_times(a & 0x3F3F3F3Fu, last_a, half_at(p), scale);
    bytes_times(b & 0x3F3F3F3Fu, last_b, -half_at(p + 2), bias);
  }
}

// Q4_K, 144 bytes for 256: 0: f16 d; 2: f16 dmin; 4: 12 bytes of scales S and minimums M of the eight 32; 16:
// 128 bytes of nibbles, the low ones of each 32 bytes for the next 32 elements, then the high ones. Value = q
// * (d * S) - dmin * M.
static void decode_q4_k(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += 144, out += 256) {
    for (int i = 0; i < 256; i++) {
      const int g = i / 32, byte = p[16 + 32 * (g / 2) + i % 32];
      const float d = half_at(p) * (float)six_bits_at(p + 4, g, false),
                  m = half_at(p + 2) * (float)six_bits_at(p + 4, g, true);
      out[i] = (float)(g % 2 ? byte >> 4 : byte & 15) * d - m;
    }
  }
}
static void codes_q4_k(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += 144, codes += 256) {
    for (int k = 0; k < 4; k++) {
      const unsigned char *q = p + 16 + 32 * k;
      uint8_t *to = codes + 64 * k;
      *(u8x32 *)to = U8X32(q) & 15;
      *(u8x32 *)(to + 32) = U8X32(q) >> 4;
    }
  }
}
static void scales_q4_k(const unsigned char *p, int64_t n, float *scale, float *bias) {
  k_scales(p, 144, n, scale, bias);
}

// Q6_K, 210 bytes for 256: 0: 128 bytes of low nibbles; 128: 64 bytes of two high bits; 192: 16 int8 S, one
// for each 16; 208: f16 d. Of each 128 elements, r-th of them: the nibble is in byte r % 64 of 64, low for r
// < 64; the high bits are 2 * (r / 32) and up of byte r % 32 of 32. Value = (q - 32) * (d * S).
static void decode_q6_k(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += 210, out += 256) {
    for (int i = 0; i < 256; i++) {
      const int r = i % 128, byte = p[64 * (i / 128) + r % 64], low = r < 64 ? byte & 15 : byte >> 4;
      const int high = p[128 + 32 * (i / 128) + r % 32] >> 2 * (r / 32) & 3;
      const float d = half_at(p + 208) * (float)(int8_t)p[192 + i / 16];
      out[i] = (float)((low | high << 4) - 32) * d;
    }
  }
}
static void codes_q6_k(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += 210, codes += 256) {
    for (int k = 0; k < 2; k++) {
      const u8x32 a = U8X32(p + 64 * k), b = U8X32(p + 64 * k + 32), high = U8X32(p + 128 + 32 * k);
      uint8_t *to = codes + 128 * k;
      *(u8x32 *)to = (a & 15) | (u8x32)((u16x16)(high & 3) << 4);
      *(u8x32 *)(to + 32) = (b & 15) | (u8x32)((u16x16)(high & 12) << 2);
      *(u8x32 *)(to + 64) = a >> 4 | (high & 48);
      *(u8x32 *)(to + 96) = b >> 4 | (high >> 2 & 48);
    }
  }
}
static void scales_q6_k(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  for (; n--; p += 210, scale += 16) {
    const float d = half_at(p + 208);
    uint32_t four[4];
    memcpy(four, p + 192, 16);
    bytes_times(four[0], four[1], d, scale);
    bytes_times(four[2], four[3], d, scale + 8);
  }
}

// Q5_1, 24 bytes for 32: 0: f16 d; 2: f16 m; 4: u32 of fifth bits; 8: 16 bytes of nibbles. Value = q * d + m.
static void decode_q5_1(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += PN_Q5_1_BYTES, out += 32) {
    const float d = half_at(p), m = half_at(p + 2);
    for (int i = 0; i < 32; i++)
      out[i] = (float)(nibble_at(p + 8, i) | (p[4 + i / 8] >> i % 8 & 1) << 4) * d + m;
  }
}
static void codes_q5_1(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += PN_Q5_1_BYTES, codes += 32) five_bits(p + 4, p + 8, codes);
}
static void scales_q5_1(const unsigned char *p, int64_t n, float *scale, float *bias) {
  head_pairs(p, PN_Q5_1_BYTES, n, scale, bias);
}

// Q5_K, 176 bytes for 256: as Q4_K, with 16: 32 bytes of fifth bits, bit g of byte i % 32 for element i of
// the g-th 32; 48: 128 bytes of nibbles.
static void decode_q5_k(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += 176, out += 256) {
    for (int i = 0; i < 256; i++) {
      const int g = i / 32, byte = p[48 + 32 * (g / 2) + i % 32], fifth = p[16 + i % 32] >> g & 1;
      const float d = half_at(p) * (float)six_bits_at(p + 4, g, false),
                  m = half_at(p + 2) * (float)six_bits_at(p + 4, g, true);
      out[i] = (float)((g % 2 ? byte >> 4 : byte & 15) | fifth << 4) * d - m;
    }
  }
}
static void codes_q5_k(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += 176, codes += 256) {
    for (int k = 0; k < 4; k++) {
      const u8x32 q = U8X32(p + 48 + 32 * k), fifth = U8X32(p + 16) >> 2 * k;
      *(u8x32 *)(codes + 64 * k) = (q & 15) | (u8x32)((u16x16)(fifth & 1) << 4);
      *(u8x32 *)(codes + 64 * k + 32) = q >> 4 | (u8x32)((u16x16)(fifth & 2) << 3);
    }
  }
}
static void scales_q5_k(const unsigned char *p, int64_t n, float *scale, float *bias) {
  k_scales(p, 176, n, scale, bias);
}

// Q2_K, 84 bytes for 256: 0: 16 bytes, the low nibble S and the high nibble M of each 16; 16: 64 bytes of
// codes, 80: f16 d; 82: f16 dmin. Of each 128 elements, r-th of them: bits 2 * (r / 32) and up of byte r % 32
// of 32. Value = q * (d * S) - dmin * M.
static void decode_q2_k(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += 84, out += 256) {
    for (int i = 0; i < 256; i++) {
      const int q = p[16 + 32 * (i / 128) + i % 32] >> i % 128 / 32 * 2 & 3;
      const float d = half_at(p + 80) * (float)(p[i / 16] & 15),
                  m = half_at(p + 82) * (float)(p[i / 16] >> 4);
      out[i] = (float)q * d - m;
    }
  }
}
static void codes_q2_k(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += 84, codes += 256) {
    for (int k = 0; k < 8; k++) *(u8x32 *)(codes + 32 * k) = U8X32(p + 16 + 32 * (k / 4)) >> k % 4 * 2 & 3;
  }
}
static void scales_q2_k(const unsigned char *p, int64_t n, float *scale, float *bias) {
  for (; n--; p += 84, scale += 16, bias += 16) {
    const float d = half_at(p + 80), m = -half_at(p + 82);
    uint32_t four[4];
    memcpy(four, p, 16);
    for (int k = 0; k < 4; k += 2) {
      bytes_times(four[k] & 0x0F0F0F0Fu, four[k + 1] & 0x0F0F0F0Fu, d, scale + 4 * k);
      bytes_times(four[k] >> 4 & 0x0F0F0F0Fu, four[k + 1] >> 4 & 0x0F0F0F0Fu, m, bias + 4 * k);
    }
  }
}

// Q3_K, 110 bytes for 256: 0: 32 bytes of third bits, bit g of byte i % 32 for element i of the g-th 32; 32:
// 64 bytes of two low bits, as the codes of Q2_K; 96: 12 bytes of sixteen S of 6 bits: the low nibbles of
// bytes 0 .. 7, then the high ones, hold the low four bits, bytes 8 .. 11 the upper two, four S with each two
// bits; 108: f16 d. Value = (q - 4) * (d * (S - 32)).
static void decode_q3_k(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += 110, out += 256) {
    const unsigned char *s = p + 96;
    for (int i = 0; i < 256; i++) {
      const int j = i / 16, low = j < 8 ? s[j] & 15 : s[j - 8] >> 4, high = s[8 + j % 4] >> 2 * (j / 4) & 3;
      const int q = (p[32 + 32 * (i / 128) + i % 32] >> i % 128 / 32 * 2 & 3) | (p[i % 32] >> i / 32 & 1)
                                                                                    << 2;
      out[i] = (float)(q - 4) * (half_at(p + 108) * (float)((low | high << 4) - 32));
    }
  }
}
static void codes_q3_k(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += 110, codes += 256) {
    for (int k = 0; k < 8; k++) {
      const u8x32 low = U8X32(p + 32 + 32 * (k / 4)) >> k % 4 * 2 & 3, third = U8X32(p) >> k & 1;
      *(u8x32 *)(codes + 32 * k) = low | (u8x32)((u16x16)third << 2);
    }
  }
}
// S - 32 of four S of 6 bits, as signed bytes.
static inline uint32_t less_32(uint32_t low, uint32_t high) {
  return (((low & 0x0F0F0F0Fu) | (high & 0x03030303u) << 4) + 0x60606060u) ^ 0x80808080u;
}
static void scales_q3_k(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  for (; n--; p += 110, scale += 16) {
    const float d = half_at(p + 108);
    uint32_t a, b, c;
    memcpy(&a, p + 96, 4);
    memcpy(&b, p + 100, 4);
    memcpy(&c, p + 104, 4);
    bytes_times(less_32(a, c), less_32(b, c >> 2), d, scale);
    bytes_times(less_32(a >> 4, c >> 4), less_32(b >> 4, c >> 6), d, scale + 8);
  }
}

#include "base/kind_tables.h"

// A type of which only the size matters.
#define KIND_SIZE(n, number, elements, size)                                                                 \
  { .name = n, .gguf = number, .block = elements, .bytes = size }
// A plain float type.
#define KIND_FLOAT(n, number, size, f)                                                                       \
  { .name = n, .gguf = number, .block = 1, .bytes = size, .decode = decode_##f }
// Name, number in GGUF files, elements and bytes of a block, bits, offset, group, biased, suffix of its
// functions.
#define KIND_CODES(n, number, elements, size, width, zero, columns, has_bias, f)                             \
  {                                                                                                          \
    .name = n, .gguf = number, .block = elements, .bytes = size, .bits = width, .offset = zero,              \
    .group = columns, .biased = has_bias, .decode = decode_##f, .codes = codes_##f, .scales = scales_##f     \
  }

// A byte of scale for each group, in an array of their own: name, bytes of a block of 32, bits, group and
// suffix.
#define KIND_APART(n, size, width, columns, f)                                                               \
  {                                                                                                          \
    .name = n, .gguf = -1, .block = 32, .bytes = size, .bits = width, .offset = FP4_OFFSET,                  \
    .group = columns, .scale_bytes = 32 / (columns), .decode_apart = decode_##f, .codes = codes_##f,         \
    .scales = scales_##f                                                                                     \
  }

static const pn_kind rows[PN_OTHER + 1] = {
    [PN_F32] = KIND_FLOAT("F32", 0, 4, f32),
    [PN_F16] = KIND_FLOAT("F16", 1, 2, f16),
    [PN_BF16] = KIND_FLOAT("BF16", 30, 2, bf16),
    [PN_F64] = KIND_SIZE("F64", 28, 1, 8),
    [PN_I8] = KIND_SIZE("I8", 24, 1, 1),
    [PN_U8] = KIND_SIZE("U8", -1, 1, 1),
    [PN_I16] = KIND_SIZE("I16", 25, 1, 2),
    [PN_U16] = KIND_SIZE("U16", -1, 1, 2),
    [PN_I32] = KIND_SIZE("I32", 26, 1, 4),
    [PN_U32] = KIND_SIZE("U32", -1, 1, 4),
    [PN_I64] = KIND_SIZE("I64", 27, 1, 8),
    [PN_U64] = KIND_SIZE("U64", -1, 1, 8),
    [PN_BOOL] = KIND_SIZE("BOOL", -1, 1, 1),
    [PN_Q4_0] = KIND_CODES("Q4_0", 2, 32, PN_Q4_0_BYTES, 4, 8, 32, false, q4_0),
    [PN_Q4_1] = KIND_CODES("Q4_1", 3, 32, PN_Q4_1_BYTES, 4, 0, 32, true, q4_1),
    [PN_Q5_0] = KIND_CODES("Q5_0", 6, 32, PN_Q5_0_BYTES, 5, 16, 32, false, q5_0),
    [PN_Q5_1] = KIND_CODES("Q5_1", 7, 32, PN_Q5_1_BYTES, 5, 0, 32, true, q5_1),
    [PN_Q8_0] = KIND_CODES("Q8_0", 8, 32, PN_Q8_0_BYTES, 8, 128, 32, false, q8_0),
    [PN_Q2_K] = KIND_CODES("Q2_K", 10, 256, 84, 2, 0, 16, true, q2_k),
    [PN_Q3_K] = KIND_CODES("Q3_K", 11, 256, 110, 3, 4, 16, false, q3_k),
    [PN_Q4_K] = KIND_CODES("Q4_K", 12, 256, 144, 4, 0, 32, true, q4_k),
    [PN_Q5_K] = KIND_CODES("Q5_K", 13, 256, 176, 5, 0, 32, true, q5_k),
    [PN_Q6_K] = KIND_CODES("Q6_K", 14, 256, 210, 6, 32, 16, false, q6_k),
    [PN_IQ4_NL] = KIND_CODES("IQ4_NL", 20, 32, 18, 8, IQ4_OFFSET, 32, false, iq4_nl),
    [PN_IQ4_XS] = KIND_CODES("IQ4_XS", 23, 256, 136, 8, IQ4_OFFSET, 32, false, iq4_xs),
    [PN_MXFP4] = KIND_CODES("MXFP4", 39, 32, 17, 5, FP4_OFFSET, 32, false, mxfp4),
    [PN_NVFP4] = KIND_CODES("NVFP4", 40, 64, 36, 5, FP4_OFFSET, 16, false, nvfp4),
    [PN_AFFINE] = {.name = "affine", .gguf = -1, .biased = true}, // bits and group are the matrix's
    [PN_MLX_MXFP4] = KIND_APART("mxfp4", 16, 5, 32, mlx_mxfp4),
    [PN_MLX_NVFP4] = KIND_APART("nvfp4", 16, 5, 16, mlx_nvfp4),
    [PN_MLX_MXFP8] = {.name = "mxfp8",
                      .gguf = -1,
                      .block = 32,
                      .bytes = 32,
                      .scale_bytes = 1,
                      .decode_apart = decode_mlx_mxfp8},
    [PN_OTHER] = KIND_SIZE("other", -1, 0, 0),
};

#endif
