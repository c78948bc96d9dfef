// Stored codes widened to int16 in registers, in the order of columns that cpu_matmul_avx2.h gives each form:
// what the one-row kernel reads in place of unpacked rows.
//
// Instructions for 32 codes, loads apart: nibbles 3.5; bytes 2 (signed 3); other affine widths 6; Q5_0 and
// Q5_1 11; Q4_K 3; Q5_K 8; Q6_K 7.
#ifndef PN_BACKEND_CPU_MATMUL_AVX2_CODES_H
#define PN_BACKEND_CPU_MATMUL_AVX2_CODES_H

#include "backend/cpu/cpu_matmul_avx2.h"

// 32 codes of five bits as bytes: the word of their fifth bits at p, their nibbles in halves behind it.
MATMUL_INLINE __m256i avx2_five_bits(const uint8_t *p) {
  const __m256i at = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2,
                                      3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i bits = _mm256_set1_epi64x((long long)0x8040201008040201u);
  const __m128i v = _mm_loadu_si128((const __m128i *)(p + 4));
  const __m256i halves = _mm256_inserti128_si256(_mm256_castsi128_si256(v), _mm_srli_epi16(v, 4), 1);
  const __m256i h = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(matmul_avx2_u32(p)), at), bits);
  const __m256i fifth = _mm256_and_si256(_mm256_cmpeq_epi8(h, bits), _mm256_set1_epi8(16));
  return _mm256_or_si256(_mm256_and_si256(halves, _mm256_set1_epi8(15)), fifth);
}

// The words of a vector's codes: 64 columns in four vectors, or 32 in two. p: the codes of its block, or of
// the first of two blocks `step` bytes apart.
MATMUL_INLINE void avx2_widen(avx2_form form, const avx2_bits *bits, const uint8_t *p, size_t step,
                              __m256i c[4]) {
  switch (form) {
  case AVX2_NIBBLES_64: matmul_avx2_nibbles(matmul_avx2_load(p), c); return;
  case AVX2_NIBBLES_32:
  case AVX2_Q4_0:
  case AVX2_Q4_1: matmul_avx2_nibbles(matmul_avx2_two(p, p + step), c); return;
  case AVX2_Q8_0: matmul_avx2_bytes(true, matmul_avx2_load(p), c); return;
  case AVX2_Q5_0:
  case AVX2_Q5_1: matmul_avx2_bytes(false, avx2_five_bits(p), c); return;
  case AVX2_BITS_64:
    c[2] = matmul_avx2_words(bits, p + 2 * bits->half, 0);
    c[3] = matmul_avx2_words(bits, p + 2 * bits->half, 1); // fall through
  case AVX2_BITS_32:
    c[0] = matmul_avx2_words(bits, p, 0);
    c[1] = matmul_avx2_words(bits, p, 1);
    return;
  case AVX2_BYTES_64: matmul_avx2_bytes(false, matmul_avx2_load(p + 32), c + 2); // fall through
  default: matmul_avx2_bytes(false, matmul_avx2_load(p), c); return;
  }
}

// Codes 64 k .. 64 k + 63 of a superblock of Q4_K at p.
MATMUL_INLINE void avx2_widen_q4_k(const uint8_t *p, int k, __m256i c[4]) {
  const __m256i v = matmul_avx2_load(p + 16 + 32 * k), low = _mm256_set1_epi16(15);
  c[0] = _mm256_and_si256(v, low);
  c[1] = _mm256_and_si256(_mm256_srli_epi16(v, 8), low);
  c[2] = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
  c[3] = _mm256_srli_epi16(v, 12);
}

// The same of Q5_K: bit g of a byte of fifth bits is of the g-th 32.
MATMUL_INLINE void avx2_widen_q5_k(const uint8_t *p, int k, __m256i c[4]) {
  const __m256i v = matmul_avx2_load(p + 48 + 32 * k), fifth = matmul_avx2_load(p + 16);
  const __m256i mask = _mm256_set1_epi8(15), bit = _mm256_set1_epi8(16);
  const __m256i first = 2 * k < 4 ? _mm256_slli_epi16(fifth, 4 - 2 * k) : _mm256_srli_epi16(fifth, 2 * k - 4);
  const __m256i next = k < 2 ? _mm256_slli_epi16(fifth, 3 - 2 * k) : _mm256_srli_epi16(fifth, 2 * k - 3);
  const __m256i a = _mm256_or_si256(_mm256_and_si256(v, mask), _mm256_and_si256(first, bit));
  const __m256i b =
      _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(v, 4), mask), _mm256_and_si256(next, bit));
  matmul_avx2_bytes(false, a, c);
  matmul_avx2_bytes(false, b, c + 2);
}

// Codes 32 r .. 32 r + 31 of the half `k` of a superblock of Q6_K at p: the nibbles are those of 32 of 64
// bytes, the two upper bits 2 * r and up of 32 others.
MATMUL_INLINE void avx2_widen_q6_k(const uint8_t *p, int k, int r, __m256i c[2]) {
  const __m256i v = matmul_avx2_load(p + 64 * k + r % 2 * 32), h = matmul_avx2_load(p + 128 + 32 * k);
  const __m256i mask = _mm256_set1_epi8(15), two = _mm256_set1_epi8(48);
  const __m256i low = _mm256_and_si256(r < 2 ? v : _mm256_srli_epi16(v, 4), mask);
  const __m256i high = r == 2 ? h : r < 2 ? _mm256_slli_epi16(h, 4 - 2 * r) : _mm256_srli_epi16(h, 2);
  matmul_avx2_bytes(false, _mm256_or_si256(low, _mm256_and_si256(high, two)), c);
}

// Scales d * S and biases -(dmin * M) of the eight 32s of a superblock of Q4_K or Q5_K.
MATMUL_INLINE void avx2_k_scales(const uint8_t *p, __m256 *scale, __m256 *bias) {
  const uint32_t a = (uint32_t)matmul_avx2_u32(p + 4), b = (uint32_t)matmul_avx2_u32(p + 8),
                 c = (uint32_t)matmul_avx2_u32(p + 12); // four numbers at a time
  const uint64_t s = (a & 0x3F3F3F3Fu) | (uint64_t)((c & 0x0F0F0F0Fu) | (a >> 6 & 0x03030303u) << 4) << 32;
  const uint64_t m = (b & 0x3F3F3F3Fu) | (uint64_t)((c >> 4 & 0x0F0F0F0Fu) | (b >> 6 & 0x03030303u) << 4)
                                             << 32;
  const __m128 d = _mm_cvtph_ps(_mm_cvtsi32_si128(matmul_avx2_u32(p)));
  const __m128 minus = _mm_xor_ps(d, _mm_set1_ps(-0.0f));
  const __m256i all_s = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)s));
  const __m256i all_m = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)m));
  *scale = _mm256_mul_ps(_mm256_broadcastss_ps(d), _mm256_cvtepi32_ps(all_s));
  *bias = _mm256_mul_ps(_mm256_broadcastss_ps(_mm_movehdup_ps(minus)), _mm256_cvtepi32_ps(all_m));
}

// Scales d * S of the 16s of the half `k` of a superblock of Q6_K.
MATMUL_INLINE __m256 avx2_q6_k_scales(const uint8_t *p, int k) {
  const __m128 d = _mm_cvtph_ps(_mm_cvtsi32_si128((unsigned short)matmul_avx2_u16(p + 208)));
  const __m256i s = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + 192 + 8 * k)));
  return _mm256_mul_ps(_mm256_broadcastss_ps(d), _mm256_cvtepi32_ps(s));
}

#endif
