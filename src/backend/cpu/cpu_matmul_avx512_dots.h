// Dots of 16 stored blocks with a row of x, for the kernel of one row: the codes are made in registers on
// their way into the products.
#ifndef PN_BACKEND_CPU_MATMUL_AVX512_DOTS_H
#define PN_BACKEND_CPU_MATMUL_AVX512_DOTS_H

#include "backend/cpu/cpu_matmul_avx512.h"

MATMUL_INLINE __m512i pair_epi32(__m512i a, __m512i b) {
  return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}

MATMUL_INLINE __m512i pair_epi64(__m512i a, __m512i b) {
  return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

// d[j] holds 8 partial sums of each of the blocks 2 j, 2 j + 1: all 16 blocks' sums in order.
MATMUL_INLINE __m512i reduce_8(const __m512i d[8]) {
  const __m512i order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
  const __m512i a = pair_epi64(pair_epi32(d[0], d[1]), pair_epi32(d[2], d[3]));
  const __m512i b = pair_epi64(pair_epi32(d[4], d[5]), pair_epi32(d[6], d[7]));
  const __m512i sum = _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
  return _mm512_permutexvar_epi32(order, sum);
}

// d[j] holds 4 partial sums of each of the blocks 4 j .. 4 j + 3.
MATMUL_INLINE __m512i reduce_4(const __m512i d[4]) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_epi32(order, pair_epi64(pair_epi32(d[0], d[1]), pair_epi32(d[2], d[3])));
}

// d[j] holds the 16 partial sums of block j, j < 16, reduced by a transpose.
MATMUL_INLINE __m512i reduce_16(__m512i d[16]) {
  matmul_avx512_transpose(d);
  MATMUL_UNROLL
  for (int step = 8; step; step /= 2) {
    MATMUL_UNROLL
    for (int i = 0; i < step; i++) d[i] = _mm512_add_epi32(d[i], d[i + step]);
  }
  return d[0];
}

// One row of x, as far as dots need it. planes is a constant where the functions below are inlined.
typedef struct row_x {
  int planes;
  const int8_t *q;
  size_t high, plane;
} row_x;

// Dots of 64 bytes of codes with the codes of x from q on, in 16 sums.
MATMUL_INLINE __m512i bytes(const row_x *x, __m512i v, const int8_t *q) {
  const __m512i d = _mm512_dpbusd_epi32(_mm512_setzero_si512(), v, _mm512_loadu_si512(q));
  if (x->planes == 1) return d;
  return _mm512_dpbusd_epi32(_mm512_slli_epi32(d, 8), v, _mm512_loadu_si512(q + x->plane));
}

// The same of 128: those that meet the low stream from q on, and those that meet the high one.
MATMUL_INLINE __m512i halves(const row_x *x, __m512i low, __m512i up, const int8_t *q) {
  __m512i d = _mm512_dpbusd_epi32(_mm512_setzero_si512(), low, _mm512_loadu_si512(q));
  d = _mm512_dpbusd_epi32(d, up, _mm512_loadu_si512(q + x->high));
  if (x->planes == 1) return d;
  d = _mm512_dpbusd_epi32(_mm512_slli_epi32(d, 8), low, _mm512_loadu_si512(q + x->plane));
  return _mm512_dpbusd_epi32(d, up, _mm512_loadu_si512(q + x->plane + x->high));
}

MATMUL_INLINE __m512i nibbles(const row_x *x, __m512i v, const int8_t *q) {
  const __m512i mask = _mm512_set1_epi8(15);
  return halves(x, _mm512_and_si512(v, mask), _mm512_and_si512(_mm512_srli_epi16(v, 4), mask), q);
}

typedef enum coding {
  NIBBLES_64,
  NIBBLES_32,
  BYTES_64,
  BYTES_32,
  BYTES_16, // unpacked kinds only
  BLOCKS_Q4_0,
  BLOCKS_Q4_1,
  BLOCKS_Q8_0,
  BLOCKS_Q5_0,
  BLOCKS_Q4_K,
  BLOCKS_Q5_K,
  BLOCKS_Q6_K
} coding;

// Bytes of 16 stored blocks.
MATMUL_INLINE size_t step_bytes(coding c) {
  switch (c) {
  case NIBBLES_64: return 512;
  case NIBBLES_32: return 256;
  case BYTES_64: return 1024;
  case BYTES_32: return 512;
  case BYTES_16: return 256;
  case BLOCKS_Q4_0: return 16 * PN_Q4_0_BYTES;
  case BLOCKS_Q4_1: return 16 * PN_Q4_1_BYTES;
  case BLOCKS_Q5_0: return 16 * PN_Q5_0_BYTES;
  case BLOCKS_Q4_K: return 2 * PN_Q4_K_BYTES;
  case BLOCKS_Q5_K: return 2 * PN_Q5_K_BYTES;
  case BLOCKS_Q6_K: return PN_Q6_K_BYTES;
  default: return 16 * PN_Q8_0_BYTES;
  }
}

// As reduce_8, of Q4_K and Q5_K, whose even and odd blocks are in vectors of their own: d[j] holds the blocks
// 4 * (j / 2) + j % 2 and the next but one.
MATMUL_INLINE __m512i reduce_k(const __m512i d[8]) {
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15),
                                  reduce_8(d));
}

// Scales d * S and biases -dmin * M of the 32s of two superblocks, `bytes` apart, in all lanes at once. A
// dword gets the byte that has the low bits of its number, and behind it the byte whose top bits are above
// those (numbers 4 .. 7, whose low bits are nibbles of bytes 12 .. 15 of the head).
MATMUL_INLINE void k_heads(const uint8_t *p, size_t bytes, __m512 *scale, __m512 *bias) {
  const __m512i of_s =
      _mm512_setr_epi32(4, 5, 6, 7, 0x40C, 0x50D, 0x60E, 0x70F, 4, 5, 6, 7, 0x40C, 0x50D, 0x60E, 0x70F);
  const __m512i of_m =
      _mm512_setr_epi32(8, 9, 10, 11, 0x80C, 0x90D, 0xA0E, 0xB0F, 8, 9, 10, 11, 0x80C, 0x90D, 0xA0E, 0xB0F);
  const __m512i low = _mm512_setr_epi32(63, 63, 63, 63, 15, 15, 15, 15, 63, 63, 63, 63, 15, 15, 15, 15);
  const __m512i top = _mm512_setr_epi32(0, 0, 0, 0, 48, 48, 48, 48, 0, 0, 0, 0, 48, 48, 48, 48);
  const __m512i right = _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 0, 0, 0, 0, 4, 4, 4, 4);
  const __m512i of_d = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2);
  const __m512i of_min = _mm512_setr_epi32(1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m128i one = _mm_loadu_si128((const __m128i *)(const void *)p);
  const __m128i two = _mm_loadu_si128((const __m128i *)(const void *)(p + bytes));
  const __m512i head = _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(one), 0xFF00, two);
  const __m512i s = _mm512_shuffle_epi8(head, of_s), m = _mm512_shuffle_epi8(head, of_m);
  const __m512i top_s = _mm512_and_si512(_mm512_srli_epi32(s, 10), top);
  const __m512i top_m = _mm512_and_si512(_mm512_srli_epi32(m, 10), top);
  const __m512i all_s = _mm512_or_si512(_mm512_and_si512(s, low), top_s);
  const __m512i all_m = _mm512_or_si512(_mm512_and_si512(_mm512_srlv_epi32(m, right), low), top_m);
  // d, -dmin, and the next superblock's
  const __m128i d = _mm_xor_si128(_mm_unpacklo_epi32(one, two), _mm_set1_epi32(INT32_MIN));
  const __m512 four = _mm512_castps128_ps512(_mm_cvtph_ps(d));
  *scale = _mm512_mul_ps(_mm512_permutexvar_ps(of_d, four), _mm512_cvtepi32_ps(all_s));
  *bias = _mm512_mul_ps(_mm512_permutexvar_ps(of_min, four), _mm512_cvtepi32_ps(all_m));
}

// Dots of two superblocks of Q4_K or Q5_K. The low nibbles of 32 bytes are a block, the high ones the next,
// so the two streams of x meet them as they are.
MATMUL_INLINE __m512i dots_k(bool five, const uint8_t *p, const row_x *x, const int8_t *q, __m512 *scale,
                             __m512 *bias) {
  const size_t size = five ? PN_Q5_K_BYTES : PN_Q4_K_BYTES, codes = five ? 48 : 16;
  const __m512i mask = _mm512_set1_epi8(15), sixteen = _mm512_set1_epi8(16);
  __m512i d[8];
  k_heads(p, size, scale, bias);
  MATMUL_UNROLL
  for (int j = 0; j < 4; j++) { // 128 codes each
    const uint8_t *at = p + size * (size_t)(j / 2);
    const __m512i v = _mm512_loadu_si512(at + codes + 64 * (j % 2));
    __m512i low = _mm512_and_si512(v, mask), up = _mm512_and_si512(_mm512_srli_epi16(v, 4), mask);
    if (five) { // bit g of a byte is of the g-th 32
      const __m512i bits =
          _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)(at + 16)));
      const __m512i first = _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << 4 * (j % 2))),
                                               _mm256_set1_epi8((char)(4 << 4 * (j % 2))), 1);
      const __m512i next = _mm512_add_epi8(first, first);
      low = _mm512_mask_add_epi8(low, _mm512_test_epi8_mask(bits, first), low, sixteen);
      up = _mm512_mask_add_epi8(up, _mm512_test_epi8_mask(bits, next), up, sixteen);
    }
    d[2 * j] = bytes(x, low, q + 64 * j);
    d[2 * j + 1] = bytes(x, up, q + x->high + 64 * j);
  }
  return reduce_k(d);
}

// Dots of a superblock of Q6_K; its 16 scales.
MATMUL_INLINE __m512i dots_6(const uint8_t *p, const row_x *x, const int8_t *q, __m512 *scale) {
  const __m512i mask = _mm512_set1_epi8(15), two = _mm512_set1_epi8(48);
  const __m512i left = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
  __m512i d[4];
  uint16_t head;
  memcpy(&head, p + 208, 2);
  MATMUL_UNROLL
  for (int k = 0; k < 2; k++) { // 128 codes each; the two upper bits of the r-th 32 are 2 * r and up
    const __m512i v = _mm512_loadu_si512(p + 64 * k);
    const __m512i bits =
        _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)(p + 128 + 32 * k)));
    const __m512i first = _mm512_and_si512(_mm512_sllv_epi16(bits, left), two);
    const __m512i right = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1);
    const __m512i last = _mm512_and_si512(_mm512_srlv_epi16(bits, right), two);
    d[2 * k] = bytes(x, _mm512_or_si512(_mm512_and_si512(v, mask), first), q + 128 * k);
    d[2 * k + 1] =
        bytes(x, _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(v, 4), mask), last), q + 128 * k + 64);
  }
  const __m512i s = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p + 192)));
  *scale = _mm512_mul_ps(_mm512_set1_ps(_cvtsh_ss(head)), _mm512_cvtepi32_ps(s));
  return reduce_4(d);
}

// Dots of 16 blocks of Q5_0. The fifth bits of the low and of the high nibbles become masks.
MATMUL_INLINE __m512i dots_5(const uint8_t *p, const row_x *x, const int8_t *q, __m512 *scale) {
  const __m512i mask = _mm512_set1_epi8(15), sixteen = _mm512_set1_epi8(16);
  const __m512i bit = _mm512_set1_epi64((int64_t)0x8040201008040201u);
  const __m512i of_low = _mm512_set4_epi32(0x01010101, 0x01010101, 0, 0);
  const __m512i of_high = _mm512_set4_epi32(0x03030303, 0x03030303, 0x02020202, 0x02020202);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  __m512i d[4], head[4];
  MATMUL_UNROLL
  for (int j = 0; j < 4; j++, p += 4 * PN_Q5_0_BYTES) {
    const __m512i first = _mm512_loadu_si512(p), last = _mm512_loadu_si512(p + 4 * PN_Q5_0_BYTES - 64);
    const __m512i v = matmul_avx512_q5_codes(first, last);
    head[j] = matmul_avx512_q5_heads(first, last);
    const __mmask64 of_l = _mm512_test_epi8_mask(_mm512_shuffle_epi8(head[j], of_low), bit);
    const __mmask64 of_h = _mm512_test_epi8_mask(_mm512_shuffle_epi8(head[j], of_high), bit);
    __m512i low = _mm512_and_si512(v, mask), up = _mm512_and_si512(_mm512_srli_epi16(v, 4), mask);
    low = _mm512_mask_add_epi8(low, of_l, low, sixteen);
    up = _mm512_mask_add_epi8(up, of_h, up, sixteen);
    d[j] = halves(x, low, up, q + 64 * j);
  }
  const __m512i scales =
      _mm512_unpackhi_epi64(_mm512_unpacklo_epi32(head[0], head[1]), _mm512_unpacklo_epi32(head[2], head[3]));
  *scale = _mm512_permutexvar_ps(order, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(scales)));
  return reduce_4(d);
}

// Dots of 16 stored blocks with x from its block b on; for Q* also the heads.
MATMUL_INLINE __m512i dots(coding c, const uint8_t *p, const row_x *x, size_t b, __m512 *scale,
                           __m512 *bias) {
  const int8_t *q = x->q;
  __m512i d[16];
  if (c == BLOCKS_Q4_K || c == BLOCKS_Q5_K) return dots_k(c == BLOCKS_Q5_K, p, x, q + 16 * b, scale, bias);
  if (c == BLOCKS_Q6_K) return dots_6(p, x, q + 16 * b, scale);
  if (c == BLOCKS_Q5_0) return dots_5(p, x, q + 16 * b, scale);
  if (c == NIBBLES_64) {
    MATMUL_UNROLL
    for (int j = 0; j < 8; j++) d[j] = nibbles(x, _mm512_loadu_si512(p + 64 * j), q + 32 * b + 64 * j);
    return reduce_8(d);
  }
  if (c == NIBBLES_32) {
    MATMUL_UNROLL
    for (int j = 0; j < 4; j++) d[j] = nibbles(x, _mm512_loadu_si512(p + 64 * j), q + 16 * b + 64 * j);
    return reduce_4(d);
  }
  if (c == BYTES_64) {
    MATMUL_UNROLL
    for (int j = 0; j < 16; j++) d[j] = bytes(x, _mm512_loadu_si512(p + 64 * j), q + 64 * b + 64 * j);
    return reduce_16(d);
  }
  if (c == BYTES_32) {
    MATMUL_UNROLL
    for (int j = 0; j < 8; j++) d[j] = bytes(x, _mm512_loadu_si512(p + 64 * j), q + 32 * b + 64 * j);
    return reduce_8(d);
  }
  if (c == BYTES_16) {
    MATMUL_UNROLL
    for (int j = 0; j < 4; j++) d[j] = bytes(x, _mm512_loadu_si512(p + 64 * j), q + 16 * b + 64 * j);
    return reduce_4(d);
  }
  if (c == BLOCKS_Q8_0) {
    *scale = matmul_avx512_q8_heads(p);
    MATMUL_UNROLL
    for (int j = 0; j < 8; j++) {
      const __m256i even = _mm256_loadu_si256((const __m256i *)(p + PN_Q8_0_BYTES * 2 * j + 2));
      const __m256i odd = _mm256_loadu_si256((const __m256i *)(p + PN_Q8_0_BYTES * (2 * j + 1) + 2));
      const __m512i v = _mm512_inserti64x4(_mm512_castsi256_si512(even), odd, 1);
      d[j] = bytes(x, _mm512_xor_si512(v, _mm512_set1_epi8(-128)), q + 32 * b + 64 * j);
    }
    return reduce_8(d);
  }
  const bool q4_1 = c == BLOCKS_Q4_1;
  const size_t four = matmul_avx512_four(q4_1);
  __m512i first[4];
  MATMUL_UNROLL
  for (size_t j = 0; j < 4; j++) {
    first[j] = _mm512_loadu_si512(p + four * j);
    const __m512i v = matmul_avx512_q4_codes(q4_1, first[j], _mm512_loadu_si512(p + four * (j + 1) - 64));
    d[j] = nibbles(x, v, q + 16 * b + 64 * j);
  }
  matmul_avx512_q4_heads(q4_1, first, scale, bias);
  return reduce_4(d);
}

#endif
