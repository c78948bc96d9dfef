// Shared by the AVX-512 (VNNI) files of the matrix products; included only where those instructions are
// enabled.
#ifndef PN_BACKEND_CPU_MATMUL_AVX512_H
#define PN_BACKEND_CPU_MATMUL_AVX512_H

#include "backend/cpu/cpu_matmul_kernels.h"
#include "base/kind.h"

#include <immintrin.h>

// A thread's scratch for a unit of 16 rows.
typedef struct avx512_scratch {
  uint8_t *rows;                 // 16 rows as stored (zero-padded), or their codes as bytes
  uint8_t *tile;                 // codes, transposed: 4 bytes of each of 16 rows, then the next 4
  float *scale, *bias;           // [row][block], one line of 16 * n_blocks, and 16 more
  float *tile_scale, *tile_bias; // [block][row]
  float *p;                      // [row][block], and 16 more
  const uint8_t *next;           // a tile's successor in the file, and its bytes a block
  size_t next_bytes;
} avx512_scratch;

// How many of `left` rows of x the next panel takes: as even as the kernels' instances allow.
MATMUL_INLINE int matmul_avx512_panel(int left) {
  if (left >= 17 || left == 12) return 12;
  if (left >= 13 || left == 11 || left == 8) return 8;
  if (left >= 9 || left == 6) return 6;
  return left == 7 ? 4 : left;
}

// The row of the table of kinds, its functions compiled for AVX-512.
const pn_kind *matmul_avx512_kind_of(pn_dtype t);

// Whether weights of this kind are unpacked by the table of kinds, since they have no kernels of their own.
MATMUL_INLINE bool matmul_avx512_unpacked(pn_dtype t) {
  return t != PN_AFFINE && t != PN_Q4_0 && t != PN_Q4_1 && t != PN_Q8_0;
}

// Of those, the kinds whose one-row kernel reads them as they are stored.
MATMUL_INLINE bool matmul_avx512_row_as_stored(pn_dtype t) {
  return t == PN_Q5_0 || t == PN_Q4_K || t == PN_Q5_K || t == PN_Q6_K;
}

// The first n of 16 lanes; all for n above.
MATMUL_INLINE __mmask16 matmul_avx512_first(size_t n) {
  return (__mmask16)(n >= 16 ? 0xFFFFu : (1u << n) - 1);
}

// Transpose 16 x 16 dwords in place.
MATMUL_INLINE void matmul_avx512_transpose(__m512i v[16]) {
  __m512i t[16], u[16];
  MATMUL_UNROLL
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
  MATMUL_UNROLL
  for (int i = 0; i < 16; i += 4) {
    u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  MATMUL_UNROLL
  for (int i = 0; i < 4; i++) { // u[4 a + i]: columns i, 4 + i, 8 + i, 12 + i of rows 4 a .. 4 a + 3
    t[i] = _mm512_shuffle_i32x4(u[i], u[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(u[i], u[i + 4], 0xDD);
    t[i + 8] = _mm512_shuffle_i32x4(u[i + 8], u[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(u[i + 8], u[i + 12], 0xDD);
  }
  MATMUL_UNROLL
  for (int i = 0; i < 4; i++) {
    v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
    v[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    v[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xDD);
  }
}

// Bytes of four blocks of nibbles.
MATMUL_INLINE size_t matmul_avx512_four(bool q4_1) { return 4 * (q4_1 ? PN_Q4_1_BYTES : PN_Q4_0_BYTES); }

// The packed nibbles of four Q4_1 (Q4_0) blocks, 16 bytes a block, from their first 64 bytes and their last
// 64.
MATMUL_INLINE __m512i matmul_avx512_q4_codes(bool q4_1, __m512i first, __m512i last) {
  if (q4_1) {
    const __m512i at = _mm512_setr_epi32(1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 28, 29, 30, 31);
    return _mm512_permutex2var_epi32(first, at, last);
  }
  const __m512i at = _mm512_set_epi16(63, 62, 61, 60, 59, 58, 57, 56, 26, 25, 24, 23, 22, 21, 20, 19, 17, 16,
                                      15, 14, 13, 12, 11, 10, 8, 7, 6, 5, 4, 3, 2, 1);
  return _mm512_permutex2var_epi16(first, at, last);
}

// The heads of 16 blocks, from the first 64 bytes of each four: scale and (Q4_1) bias.
MATMUL_INLINE void matmul_avx512_q4_heads(bool q4_1, const __m512i first[4], __m512 *scale, __m512 *bias) {
  if (q4_1) {
    const __m512i at = _mm512_setr_epi32(0, 5, 10, 15, 16, 21, 26, 31, 0, 5, 10, 15, 16, 21, 26, 31);
    const __m512i heads = _mm512_permutex2var_epi32(first[0], at, first[1]);
    const __m512i high = _mm512_permutex2var_epi32(first[2], at, first[3]);
    const __m512i all = _mm512_mask_mov_epi32(heads, 0xFF00, high);
    *scale = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(all));
    *bias = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(all, 16)));
    return;
  }
  const __m512i at = _mm512_set_epi16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 59, 50, 41, 32, 27, 18,
                                      9, 0, 59, 50, 41, 32, 27, 18, 9, 0);
  const __m256i low = _mm512_castsi512_si256(_mm512_permutex2var_epi16(first[0], at, first[1]));
  const __m256i high = _mm512_castsi512_si256(_mm512_permutex2var_epi16(first[2], at, first[3]));
  *scale = _mm512_cvtph_ps(_mm256_mask_mov_epi16(low, 0xFF00, high));
}

// The scales of 16 Q8_0 blocks.
MATMUL_INLINE __m512 matmul_avx512_q8_heads(const uint8_t *p) {
  const __m512i at = _mm512_set1_epi64(0x0031002000110000); // words 0, 17 of each of two
  const int two = 2 * PN_Q8_0_BYTES;
  __m256i heads = _mm256_setzero_si256();
  MATMUL_UNROLL
  for (int i = 0; i < 4; i++) {
    const __m512i pair = _mm512_permutex2var_epi16(_mm512_loadu_si512(p + two * 2 * i), at,
                                                   _mm512_loadu_si512(p + two * (2 * i + 1)));
    heads = _mm256_mask_mov_epi16(heads, (__mmask16)(0xF << (4 * i)), _mm512_castsi512_si256(pair));
  }
  return _mm512_cvtph_ps(heads);
}

// Products of one row of x with a unit, a line of blocks at a time; and of many rows with a transposed unit.
void matmul_avx512_row(const pn_weight *w, int64_t r0, int n, const matmul_x *x, int k, float *out,
                       const avx512_scratch *s, const uint8_t *stored);
// The same for kinds that are unpacked by the table of kinds, and the rows of x that may lie as lines (at
// most two).
void matmul_avx512_rows_unpacked(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                                 int64_t out_stride, const avx512_scratch *s);
void matmul_avx512_tile(const pn_weight *w, int n, const matmul_x *x, float *out, int64_t out_stride,
                        const avx512_scratch *s, const uint8_t *stored);
// f32, f16 or bf16 weights.
void matmul_avx512_float(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                         int64_t out_stride);

#endif
