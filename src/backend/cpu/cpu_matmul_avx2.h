// Shared by the AVX2 files of the matrix products; included only where AVX2, FMA and F16C are enabled.
//
// x is kept as int16, since vpmaddwd multiplies int16 exactly: two products and their sum a lane. (Panels of
// int8 activations: below.) Weights are widened to int16 in registers. Both are taken in the same order of
// columns within a block, the one in which the stored codes come apart with the fewest instructions; 16 int16
// are a vector:
//   nibbles in sequence (affine 4 bit): by column mod 4; 16-bit word w holds columns 4w .. 4w + 3
//   nibbles in halves (Q4_0, Q4_1): word w holds columns 2w, 2w + 16, 2w + 1, 2w + 17
//   bytes: of every 32 the even columns, then the odd ones; in blocks of 16: of every 16
// int8 ascend, except that nibbles in sequence want of every 8 columns the even ones first. (The lowest bits
// of a word come first.) Nibbles in blocks of 32 fill half a vector, and so do bytes in blocks of 16, so two
// blocks are taken together: vector c has the c-th nibbles of the first block's words, then the second's (and
// the even columns of both blocks, then the odd ones).
#ifndef PN_BACKEND_CPU_MATMUL_AVX2_H
#define PN_BACKEND_CPU_MATMUL_AVX2_H

#include "backend/cpu/cpu_matmul_kernels.h"
#include "base/kind.h"

#include <immintrin.h>

enum {
  AVX2_STEP = 8,     // blocks that are read at a time
  AVX2_CHUNK = 512,  // columns of a tile: 16 rows of them as int16 are half of a first-level cache
  AVX2_ROW_MAX = 4,  // up to so many rows of x walk the stored rows; more are worth a tile
  AVX2_PANEL_MAX = 6 // rows of x that meet a tile together
};

// How stored codes are widened, and how their blocks lie.
typedef enum avx2_form {
  AVX2_NIBBLES_64, // affine, 4 bit
  AVX2_NIBBLES_32, // the same in blocks of 32; two blocks at a time
  AVX2_Q4_0,       // two blocks at a time
  AVX2_Q4_1,       // two blocks at a time
  AVX2_Q8_0,
  AVX2_BYTES_64, // affine, 8 bit
  AVX2_BYTES_32,
  AVX2_BITS_64, // affine, other widths
  AVX2_BITS_32,
  AVX2_Q5_0,
  AVX2_Q5_1,
  AVX2_Q4_K, // eight blocks at a time
  AVX2_Q5_K, // eight blocks at a time
  AVX2_Q6_K, // sixteen blocks at a time
  // kinds without kernels of their own: codes as bytes and f32 scales, by the table of kinds
  AVX2_UNPACKED_32,
  AVX2_UNPACKED_16, // two blocks at a time
  AVX2_N_FORMS
} avx2_form;

// Bytes of the head in front of a block's codes.
MATMUL_INLINE size_t matmul_avx2_head(avx2_form f) {
  switch (f) {
  case AVX2_Q4_0:
  case AVX2_Q8_0:
  case AVX2_Q5_0: return 2;
  case AVX2_Q4_1:
  case AVX2_Q5_1: return 4;
  default: return 0;
  }
}

// Bytes from one block to the next, of a weight of w->n_blocks of them that is read as stored.
MATMUL_INLINE size_t matmul_avx2_step(avx2_form f, const pn_weight *w) {
  switch (f) { // constants, where there are
  case AVX2_NIBBLES_64:
  case AVX2_BYTES_32: return 32;
  case AVX2_NIBBLES_32: return 16;
  case AVX2_BYTES_64: return 64;
  case AVX2_Q4_0: return PN_Q4_0_BYTES;
  case AVX2_Q4_1: return PN_Q4_1_BYTES;
  case AVX2_Q8_0: return PN_Q8_0_BYTES;
  case AVX2_Q5_0: return PN_Q5_0_BYTES;
  case AVX2_Q5_1: return PN_Q5_1_BYTES;
  default: return w->m.row_bytes / (size_t)w->n_blocks;
  }
}

// Whether the form is of an affine matrix, whose scales lie apart from its codes.
MATMUL_INLINE bool matmul_avx2_affine(avx2_form f) {
  return f <= AVX2_NIBBLES_32 || (f >= AVX2_BYTES_64 && f <= AVX2_BITS_32);
}

// Whether the nibbles of two blocks make a vector.
MATMUL_INLINE bool matmul_avx2_pairs(avx2_form f) { return f >= AVX2_NIBBLES_32 && f <= AVX2_Q4_1; }

// The row of the table of kinds, its functions compiled for AVX2.
const pn_kind *matmul_avx2_kind_of(pn_dtype t);

avx2_form matmul_avx2_form(const pn_weight *w);

// How many of `left` rows of x the next panel takes.
MATMUL_INLINE int matmul_avx2_panel(int left) {
  if (left == 7 || left == 8) return 4;
  return left < AVX2_PANEL_MAX ? left : AVX2_PANEL_MAX;
}

// The files that multiply are compiled once more with AVX-VNNI (cpu_matmul_avx2_vnni.c); what they define has
// other names there.
#ifdef __AVXVNNI__
#define AVX2_OF_TIER(name) matmul_avx2_vnni_##name
#else
#define AVX2_OF_TIER(name) matmul_avx2_##name
#endif

// acc, and in each lane the products of two pairs of int16.
MATMUL_INLINE __m256i matmul_avx2_add_pairs(__m256i acc, __m256i a, __m256i b) {
#ifdef __AVXVNNI__
  return _mm256_dpwssd_avx_epi32(acc, a, b);
#else
  return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
#endif
}

// Whether the panels of x are int8, four columns of a row together, to meet tiles of bytes: vpmaddubsw adds
// two products in 16 bits, which codes of 8 bits would not fit; vpdpbusd adds four in 32.
MATMUL_INLINE bool matmul_avx2_bytes_of(const matmul_x *x) {
#ifdef __AVXVNNI__
  return x->planes == 1 && x->packing == MATMUL_PANELS;
#else
  return x->planes == 1 && x->packing == MATMUL_PANELS && x->layout != MATMUL_WIDE;
#endif
}

MATMUL_INLINE __m256i matmul_avx2_load(const void *p) { return _mm256_loadu_si256(p); }

// 16 bytes at a, then 16 at b.
MATMUL_INLINE __m256i matmul_avx2_two(const uint8_t *a, const uint8_t *b) {
  const __m128i low = _mm_loadu_si128((const __m128i *)a), high = _mm_loadu_si128((const __m128i *)b);
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

// The four nibbles of every 16-bit word.
MATMUL_INLINE void matmul_avx2_nibbles(__m256i v, __m256i c[4]) {
  const __m256i low = _mm256_set1_epi16(15);
  c[0] = _mm256_and_si256(v, low);
  c[1] = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
  c[2] = _mm256_and_si256(_mm256_srli_epi16(v, 8), low);
  c[3] = _mm256_srli_epi16(v, 12);
}

// The even and the odd bytes.
MATMUL_INLINE void matmul_avx2_bytes(bool is_signed, __m256i v, __m256i c[2]) {
  c[0] =
      is_signed ? _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8) : _mm256_and_si256(v, _mm256_set1_epi16(255));
  c[1] = is_signed ? _mm256_srai_epi16(v, 8) : _mm256_srli_epi16(v, 8);
}

// Transpose 8 x 8 dwords in place.
MATMUL_INLINE void matmul_avx2_transpose(__m256i v[8]) {
  __m256i t[8], u[8];
  MATMUL_UNROLL
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
  }
  MATMUL_UNROLL
  for (int i = 0; i < 8; i += 4) {
    u[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
    u[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
    u[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
    u[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  MATMUL_UNROLL
  for (int i = 0; i < 4; i++) {
    v[i] = _mm256_permute2x128_si256(u[i], u[i + 4], 0x20);
    v[i + 4] = _mm256_permute2x128_si256(u[i], u[i + 4], 0x31);
  }
}

// Up to AVX2_STEP blocks of a weight that follow each other in memory, across the borders of rows too, since
// rows have no padding. Reading a whole step from it stays within the weight or within `rest`.
typedef struct avx2_blocks {
  const uint8_t *codes;        // the first block
  const uint8_t *scale, *bias; // affine: the numbers of its group
} avx2_blocks;

// What lies behind the last block of a weight must not be read: the end of it is copied to here, zeros
// behind.
typedef struct avx2_rest {
  uint8_t codes[AVX2_STEP * 64], scale[AVX2_STEP * 4], bias[AVX2_STEP * 4];
} avx2_rest;

// Bytes of a block as stored, which is not that of the form when it has to be unpacked.
MATMUL_INLINE size_t matmul_avx2_block_bytes(const pn_weight *w) {
  return w->m.row_bytes / (size_t)w->n_blocks;
}

// The weight's blocks from number `first` on, row after row.
avx2_blocks matmul_avx2_blocks_at(const pn_weight *w, int64_t first);
// The first n blocks of b, copied to where a whole step can be read.
avx2_blocks matmul_avx2_copy_blocks(const pn_weight *w, avx2_blocks b, int64_t n, avx2_rest *rest);

MATMUL_INLINE int matmul_avx2_u32(const uint8_t *p) {
  int v;
  memcpy(&v, p, 4);
  return v;
}

MATMUL_INLINE short matmul_avx2_u16(const uint8_t *p) {
  short v;
  memcpy(&v, p, 2);
  return v;
}

MATMUL_INLINE __m256 matmul_avx2_floats(pn_dtype type, const uint8_t *p) {
  if (type == PN_F32) return _mm256_loadu_ps((const float *)(const void *)p);
  const __m128i h = _mm_loadu_si128((const __m128i *)p);
  if (type == PN_F16) return _mm256_cvtph_ps(h);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

// The numbers of 8 blocks, of which each two share one.
MATMUL_INLINE __m256 matmul_avx2_floats_twice(pn_dtype type, const uint8_t *p) {
  const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
  if (type == PN_F32) {
    const __m128 v = _mm_loadu_ps((const float *)(const void *)p);
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(v), twice);
  }
  const __m128i h = _mm_loadl_epi64((const __m128i *)p), two = _mm_unpacklo_epi16(h, h);
  if (type == PN_F16) return _mm256_cvtph_ps(two);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(two), 16));
}

// The first 32 bits of 8 blocks, `s` bytes apart: scales in the low halves, biases in the high ones.
MATMUL_INLINE void matmul_avx2_head_pairs(const uint8_t *p, size_t s, __m256 *scale, __m256 *bias) {
  const __m128i u = _mm_setr_epi32(matmul_avx2_u32(p), matmul_avx2_u32(p + s), matmul_avx2_u32(p + 2 * s),
                                   matmul_avx2_u32(p + 3 * s));
  const __m128i v = _mm_setr_epi32(matmul_avx2_u32(p + 4 * s), matmul_avx2_u32(p + 5 * s),
                                   matmul_avx2_u32(p + 6 * s), matmul_avx2_u32(p + 7 * s));
  const __m128i low = _mm_set1_epi32(0xFFFF);
  *scale = _mm256_cvtph_ps(_mm_packus_epi32(_mm_and_si128(u, low), _mm_and_si128(v, low)));
  *bias = _mm256_cvtph_ps(_mm_packus_epi32(_mm_srli_epi32(u, 16), _mm_srli_epi32(v, 16)));
}

// The f16 at the beginnings of 8 blocks, `s` bytes apart.
MATMUL_INLINE __m256 matmul_avx2_heads(const uint8_t *p, size_t s) {
  return _mm256_cvtph_ps(_mm_setr_epi16(matmul_avx2_u16(p), matmul_avx2_u16(p + s),
                                        matmul_avx2_u16(p + 2 * s), matmul_avx2_u16(p + 3 * s),
                                        matmul_avx2_u16(p + 4 * s), matmul_avx2_u16(p + 5 * s),
                                        matmul_avx2_u16(p + 6 * s), matmul_avx2_u16(p + 7 * s)));
}

// The scales and (where the kind has them) biases of a step.
MATMUL_INLINE void matmul_avx2_scales(avx2_form form, const pn_weight *w, const avx2_blocks *b, __m256 *scale,
                                      __m256 *bias) {
  *bias = _mm256_setzero_ps();
  switch (form) {
  case AVX2_Q4_0: *scale = matmul_avx2_heads(b->codes, PN_Q4_0_BYTES); return;
  case AVX2_Q5_0: *scale = matmul_avx2_heads(b->codes, PN_Q5_0_BYTES); return;
  case AVX2_Q8_0: *scale = matmul_avx2_heads(b->codes, PN_Q8_0_BYTES); return;
  case AVX2_Q4_1: matmul_avx2_head_pairs(b->codes, PN_Q4_1_BYTES, scale, bias); return;
  case AVX2_Q5_1: matmul_avx2_head_pairs(b->codes, PN_Q5_1_BYTES, scale, bias); return;
  default: break; // affine
  }
  const bool shared = w->per_group == 2;
  *scale = shared ? matmul_avx2_floats_twice(w->m.scale_dtype, b->scale)
                  : matmul_avx2_floats(w->m.scale_dtype, b->scale);
  *bias = shared ? matmul_avx2_floats_twice(w->m.scale_dtype, b->bias)
                 : matmul_avx2_floats(w->m.scale_dtype, b->bias);
}

// How affine codes of 2 to 6 bits become words: 16 codes lie in the first 2 * bits bytes of a lane. A shuffle
// gives every other code the two bytes that it lies in, a product moves it to the top of its word, and the
// high half of another one brings it down.
typedef struct avx2_bits {
  __m256i at[2], times[2], down; // of the even codes and the odd ones
  size_t half;                   // bytes of 16 codes
} avx2_bits;

avx2_bits matmul_avx2_bits(int bits);

// The even codes (odd: 0) or the odd ones of 32 at p. Reads 16 + half bytes.
MATMUL_INLINE __m256i matmul_avx2_words(const avx2_bits *b, const uint8_t *p, int odd) {
  const __m256i v = _mm256_shuffle_epi8(matmul_avx2_two(p, p + b->half), b->at[odd]);
  return _mm256_mulhi_epu16(_mm256_mullo_epi16(v, b->times[odd]), b->down);
}

// n codes (a multiple of 32) of 2 to 6 bits as unsigned bytes. Reads exactly what they take.
void matmul_avx2_unpack(int bits, const uint8_t *p, int n, uint8_t *codes);

// out[k][r0 .. r0 + n) for the rows k of x: up to AVX2_ROW_MAX of them as lines, or any number as panels.
void AVX2_OF_TIER(rows)(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                        int64_t out_stride, void *scratch);
void AVX2_OF_TIER(tile)(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                        int64_t out_stride, void *scratch);
// The scratch that they take, for any weight of up to `cols` columns.
size_t AVX2_OF_TIER(rows_bytes)(int64_t cols);
size_t AVX2_OF_TIER(tile_bytes)(void);
// f32, f16 or bf16 weights.
void matmul_avx2_float(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                       int64_t out_stride);

#endif
