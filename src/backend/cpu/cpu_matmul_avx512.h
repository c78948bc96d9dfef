// Shared by the AVX-512 (VNNI) files of the matrix products; included only where those instructions are
// enabled.
#ifndef PN_BACKEND_CPU_MATMUL_AVX512_H
#define PN_BACKEND_CPU_MATMUL_AVX512_H

#include "backend/cpu/cpu_matmul_kernels.h"
#include "base/kind.h"

#include <immintrin.h>

// 16 rows of a weight, transposed: lanes are rows.
typedef struct avx512_tile {
  uint8_t *codes;      // 4 bytes of each of 16 rows, then the next 4
  float *scale, *bias; // [block][row]
} avx512_tile;

// A thread's scratch for a unit of 16 rows, or two in tiles.
typedef struct avx512_scratch {
  uint8_t *rows;       // 16 rows as stored (zero-padded), or their codes as bytes
  float *scale, *bias; // [row][block], one line of 16 * n_blocks, and 16 more
  float *p[2];         // [row][block], and 16 more, of up to two rows of x
  avx512_tile tile[2];
} avx512_scratch;

// What is read after the unit at work, fetched beside it in the order of the file: the strided walk over it
// would not keep memory busy.
typedef struct avx512_ahead {
  const uint8_t *p;
  size_t bytes; // that are left
  size_t lines; // of 64 bytes, for every KiB that is packed
} avx512_ahead;

MATMUL_INLINE void matmul_avx512_fetch(avx512_ahead *a) {
  for (size_t i = 0; i < a->lines && a->bytes >= 64; i++, a->p += 64, a->bytes -= 64)
    _mm_prefetch((const char *)a->p, _MM_HINT_T0);
}

enum { MATMUL_AVX512_PANEL = 6 }; // the most rows of x in a panel

// How many of `left` rows of x the next panel takes: panels as even as they can be.
MATMUL_INLINE int matmul_avx512_panel(int left) {
  const int n = (left + MATMUL_AVX512_PANEL - 1) / MATMUL_AVX512_PANEL;
  return (left + n - 1) / n;
}

// The row of the table of kinds, its functions compiled for AVX-512.
const pn_kind *matmul_avx512_kind_of(pn_dtype t);

// Whether weights of this kind are unpacked by the table of kinds, since they have no kernels of their own.
MATMUL_INLINE bool matmul_avx512_unpacked(pn_dtype t) {
  return t != PN_AFFINE && t != PN_Q4_0 && t != PN_Q4_1 && t != PN_Q8_0;
}

// Of those, the kinds that the kernels read as they are stored.
MATMUL_INLINE bool matmul_avx512_as_stored(pn_dtype t) {
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

// Dwords 0 .. 3 of 16 rows, `stride` bytes apart: dword i of row r in lane r of t[i].
MATMUL_INLINE void matmul_avx512_columns(const void *p, size_t stride, __m512i t[4]) {
  __m512i v[4];
  MATMUL_UNROLL
  for (size_t i = 0; i < 4; i++) { // quarter l of v[i] is from row 4 l + i
    const char *row = (const char *)p + i * stride;
    v[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)row));
    v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i *)(const void *)(row + 4 * stride)), 1);
    v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i *)(const void *)(row + 8 * stride)), 2);
    v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i *)(const void *)(row + 12 * stride)), 3);
  }
  const __m512i a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
  const __m512i c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
  t[0] = _mm512_unpacklo_epi64(a, c);
  t[1] = _mm512_unpackhi_epi64(a, c);
  t[2] = _mm512_unpacklo_epi64(b, d);
  t[3] = _mm512_unpackhi_epi64(b, d);
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

// The same of four Q5_0 blocks.
MATMUL_INLINE __m512i matmul_avx512_q5_codes(__m512i first, __m512i last) {
  const __m512i at = _mm512_setr_epi64(0x0006000500040003, 0x000A000900080007, 0x00110010000F000E,
                                       0x0015001400130012, 0x001C001B001A0019, 0x0034001F001E001D,
                                       0x003B003A00390038, 0x003F003E003D003C); // words
  return _mm512_permutex2var_epi16(first, at, last);
}

// Their heads: quarter i of the result has the fifth bits of block i, then its scale.
MATMUL_INLINE __m512i matmul_avx512_q5_heads(__m512i first, __m512i last) {
  const __m512i at = _mm512_setr_epi64(0x0000000000020001, 0, 0x000B000B000D000C, 0, 0x0016001600180017, 0,
                                       0x0035003500370036, 0);
  return _mm512_permutex2var_epi16(first, at, last);
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

// Products of the rows of x that may lie as lines, one or two, with a unit, a line of blocks at a time.
void matmul_avx512_rows(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                        int64_t out_stride, const avx512_scratch *s, const uint8_t *stored);
// The same for kinds that are unpacked by the table of kinds.
void matmul_avx512_rows_unpacked(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                                 int64_t out_stride, const avx512_scratch *s);
// Make a tile of 16 rows that lie at `stored`: as in the file, or as bytes where matmul_avx512_unpacked and
// not _as_stored or of affine widths other than 4. Scales [row][block] are in s->scale and s->bias unless the
// kind has a tile of its own (_as_stored).
void matmul_avx512_pack(const pn_weight *w, const uint8_t *stored, const avx512_scratch *s,
                        const avx512_tile *to, avx512_ahead *ahead);
// Products of all rows of x with the tiles of n rows, up to 32.
void matmul_avx512_tiles(const pn_weight *w, int n, const matmul_x *x, float *out, int64_t out_stride,
                         const avx512_scratch *s, const avx512_ahead *ahead);
// f32, f16 or bf16 weights.
void matmul_avx512_float(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                         int64_t out_stride);

#endif
