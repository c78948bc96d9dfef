// One row of x: a unit's 16 rows are one line of 16 * n_blocks stored blocks, walked in the order of the
// file, 16 blocks a step. The dots are reduced in integers, the products p of a step are made in lanes and
// kept in L1; then the rows' sums run over a 16 x 16 transpose, so that every row adds its blocks in
// ascending order. Bound by reading the weights.
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

MATMUL_INLINE __m512i nibbles(const row_x *x, __m512i v, const int8_t *q) {
  const __m512i mask = _mm512_set1_epi8(15);
  const __m512i low = _mm512_and_si512(v, mask), up = _mm512_and_si512(_mm512_srli_epi16(v, 4), mask);
  __m512i d = _mm512_dpbusd_epi32(_mm512_setzero_si512(), low, _mm512_loadu_si512(q));
  d = _mm512_dpbusd_epi32(d, up, _mm512_loadu_si512(q + x->high));
  if (x->planes == 1) return d;
  d = _mm512_dpbusd_epi32(_mm512_slli_epi32(d, 8), low, _mm512_loadu_si512(q + x->plane));
  return _mm512_dpbusd_epi32(d, up, _mm512_loadu_si512(q + x->plane + x->high));
}

#ifndef AHEAD
#define AHEAD 8192
#endif
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

// As reduce_8, of the two halves of Q4_K and Q5_K: d[j] holds the 32s j / 2 * 4 + j % 2 and + 2.
MATMUL_INLINE __m512i reduce_k(const __m512i d[8]) {
  return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15),
                                  reduce_8(d));
}

// The two 32s of x at q and q + 64, those of every other 32 codes, against v in 8 sums each.
MATMUL_INLINE __m512i apart(const row_x *x, __m512i v, const int8_t *q) {
  const __m256i *at = (const __m256i *)(const void *)q;
  const __m512i high =
      _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(at)), _mm256_loadu_si256(at + 2), 1);
  const __m512i d = _mm512_dpbusd_epi32(_mm512_setzero_si512(), v, high);
  if (x->planes == 1) return d;
  at = (const __m256i *)(const void *)(q + x->plane);
  const __m512i low =
      _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(at)), _mm256_loadu_si256(at + 2), 1);
  return _mm512_dpbusd_epi32(_mm512_slli_epi32(d, 8), v, low);
}

// Scales d * S and biases -dmin * M of the 32s of two superblocks, `bytes` apart.
MATMUL_INLINE void k_heads(const uint8_t *p, size_t bytes, __m512 *scale, __m512 *bias) {
  uint32_t heads[2];
  uint64_t s[2], m[2];
  MATMUL_UNROLL
  for (int i = 0; i < 2; i++, p += bytes) {
    uint32_t a, b, c; // four numbers at a time
    memcpy(&heads[i], p, 4);
    memcpy(&a, p + 4, 4);
    memcpy(&b, p + 8, 4);
    memcpy(&c, p + 12, 4);
    s[i] = (a & 0x3F3F3F3Fu) | (uint64_t)((c & 0x0F0F0F0Fu) | (a >> 6 & 0x03030303u) << 4) << 32;
    m[i] = (b & 0x3F3F3F3Fu) | (uint64_t)((c >> 4 & 0x0F0F0F0Fu) | (b >> 6 & 0x03030303u) << 4) << 32;
  }
  const __m512 d =
      _mm512_castps128_ps512(_mm_cvtph_ps(_mm_set_epi64x(0, (int64_t)(heads[0] | (uint64_t)heads[1] << 32))));
  const __m512i of_s = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2);
  const __m512i of_m = _mm512_setr_epi32(1, 1, 1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m512i all_s = _mm512_cvtepu8_epi32(_mm_set_epi64x((int64_t)s[1], (int64_t)s[0]));
  const __m512i all_m = _mm512_cvtepu8_epi32(_mm_set_epi64x((int64_t)m[1], (int64_t)m[0]));
  const __m512 minus = _mm512_xor_ps(_mm512_permutexvar_ps(of_m, d), _mm512_set1_ps(-0.0f));
  *scale = _mm512_mul_ps(_mm512_permutexvar_ps(of_s, d), _mm512_cvtepi32_ps(all_s));
  *bias = _mm512_mul_ps(minus, _mm512_cvtepi32_ps(all_m));
}

// Dots of two superblocks of Q4_K or Q5_K.
MATMUL_INLINE __m512i dots_k(bool five, const uint8_t *p, const row_x *x, const int8_t *q, __m512 *scale,
                             __m512 *bias) {
  const size_t bytes = five ? PN_Q5_K_BYTES : PN_Q4_K_BYTES, codes = five ? 48 : 16;
  const __m512i mask = _mm512_set1_epi8(15), sixteen = _mm512_set1_epi8(16);
  __m512i d[8];
  k_heads(p, bytes, scale, bias);
  MATMUL_UNROLL
  for (int j = 0; j < 4; j++) { // 128 codes each
    const uint8_t *at = p + bytes * (size_t)(j / 2);
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
    d[2 * j] = apart(x, low, q + 128 * j);
    d[2 * j + 1] = apart(x, up, q + 128 * j + 32);
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

// Dots of 16 blocks of Q5_0.
MATMUL_INLINE __m512i dots_5(const uint8_t *p, const row_x *x, const int8_t *q, __m512 *scale) {
  const __m512i right = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0, 0x0004000400040004,
                                         0x0004000400040004, 0, 0);
  const __m512i both = _mm512_setr_epi64(0, 1, 0, 1, 2, 3, 2, 3);
  __m512i d[8];
  uint16_t heads[16];
  MATMUL_UNROLL
  for (int j = 0; j < 8; j++, p += 2 * PN_Q5_0_BYTES) { // two blocks
    const uint8_t *next = p + PN_Q5_0_BYTES;
    uint32_t fifth[2];
    memcpy(&heads[2 * j], p, 2);
    memcpy(&heads[2 * j + 1], next, 2);
    memcpy(&fifth[0], p + 2, 4);
    memcpy(&fifth[1], next + 2, 4);
    const __m256i pair = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(p + 6))),
        _mm_loadu_si128((const __m128i *)(const void *)(next + 6)), 1);
    const __m512i all = _mm512_permutexvar_epi64(both, _mm512_castsi256_si512(pair));
    const __m512i v = _mm512_and_si512(_mm512_srlv_epi16(all, right), _mm512_set1_epi8(15));
    const __mmask64 bits = fifth[0] | (uint64_t)fifth[1] << 32;
    d[j] = bytes(x, _mm512_mask_add_epi8(v, bits, v, _mm512_set1_epi8(16)), q + 64 * j);
  }
  *scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)heads));
  return reduce_8(d);
}

// Dots of 16 stored blocks with x from its block b on; for Q* also the heads.
MATMUL_INLINE __m512i dots(coding c, const uint8_t *p, const row_x *x, size_t b, __m512 *scale,
                           __m512 *bias) {
  const int8_t *q = x->q;
  __m512i d[16];
  if (c == BLOCKS_Q4_K || c == BLOCKS_Q5_K) return dots_k(c == BLOCKS_Q5_K, p, x, q + 32 * b, scale, bias);
  if (c == BLOCKS_Q6_K) return dots_6(p, x, q + 16 * b, scale);
  if (c == BLOCKS_Q5_0) return dots_5(p, x, q + 32 * b, scale);
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

// s->p of the unit.
MATMUL_INLINE void walk(coding c, int planes, const pn_weight *w, int n, const matmul_x *x, int k,
                        const avx512_scratch *s, const uint8_t *p) {
  const bool staged = c < BLOCKS_Q4_0;
  const bool biased = staged || c == BLOCKS_Q4_1 || c == BLOCKS_Q4_K || c == BLOCKS_Q5_K, offset = !biased;
  const row_x one = {planes, x->q + (size_t)k * x->q_stride, x->high, x->plane};
  const size_t row = (size_t)k * x->s_stride, n_blocks = (size_t)w->n_blocks, total = (size_t)n * n_blocks;
  const size_t advance = 16 % n_blocks;
  size_t b = 0; // the block of x that meets the first of the step
  for (size_t i = 0; i < total; i += 16, p += step_bytes(c)) {
    __m512 scale = _mm512_setzero_ps(), bias = _mm512_setzero_ps();
    for (size_t line = 0; line < step_bytes(c); line += 64)
      _mm_prefetch((const char *)p + AHEAD + line, _MM_HINT_T0);
    __m512i d = dots(c, p, &one, b, &scale, &bias);
    if (staged) {
      scale = _mm512_loadu_ps(s->scale + i);
      bias = _mm512_loadu_ps(s->bias + i);
    }
    if (offset) d = _mm512_add_epi32(d, _mm512_loadu_si512(x->shift + row + b));
    __m512 v = _mm512_mul_ps(scale, _mm512_mul_ps(_mm512_loadu_ps(x->dx + row + b), _mm512_cvtepi32_ps(d)));
    if (biased) v = _mm512_fmadd_ps(bias, _mm512_loadu_ps(x->sum + row + b), v);
    _mm512_storeu_ps(s->p + i, v);
    b += advance;
    if (b >= n_blocks) b -= n_blocks;
  }
}

// Columns g .. g + 4 of 16 lines.
MATMUL_INLINE void four_columns(const float *p, int n_blocks, __m512 t[4]) {
  __m512 v[4];
  MATMUL_UNROLL
  for (size_t i = 0; i < 4; i++) { // quarter l of v[i] is from line 4 l + i
    const float *line = p + i * (size_t)n_blocks;
    const size_t four = 4 * (size_t)n_blocks;
    v[i] = _mm512_castps128_ps512(_mm_loadu_ps(line));
    v[i] = _mm512_insertf32x4(v[i], _mm_loadu_ps(line + four), 1);
    v[i] = _mm512_insertf32x4(v[i], _mm_loadu_ps(line + 2 * four), 2);
    v[i] = _mm512_insertf32x4(v[i], _mm_loadu_ps(line + 3 * four), 3);
  }
  const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(v[0], v[1])),
                b = _mm512_castps_pd(_mm512_unpackhi_ps(v[0], v[1]));
  const __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(v[2], v[3])),
                d = _mm512_castps_pd(_mm512_unpackhi_ps(v[2], v[3]));
  t[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
  t[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
  t[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
  t[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
}

// Sums of 16 lines of n_blocks products, ascending. Meanwhile memory from `ahead` on is fetched for the next
// unit.
static __m512 sum_rows(const float *p, int n_blocks, const uint8_t *ahead) {
  __m512 acc = _mm512_setzero_ps();
  int g = 0;
  for (; g + 16 <= n_blocks; g += 16) {
    __m512i t[16];
    MATMUL_UNROLL
    for (int r = 0; r < 16; r++) {
      t[r] = _mm512_loadu_si512(p + (size_t)r * (size_t)n_blocks + g);
      _mm_prefetch((const char *)ahead + g * 64 + r * 64, _MM_HINT_T0);
    }
    matmul_avx512_transpose(t);
    MATMUL_UNROLL
    for (int i = 0; i < 16; i++) acc = _mm512_add_ps(acc, _mm512_castsi512_ps(t[i]));
  }
  for (; g < n_blocks; g += 4) {
    __m512 t[4];
    four_columns(p + g, n_blocks, t);
    for (int i = 0; i < 4 && g + i < n_blocks; i++) acc = _mm512_add_ps(acc, t[i]);
  }
  return acc;
}

static coding coding_of(const pn_weight *w) {
  switch (w->m.kind) {
  case PN_Q4_0: return BLOCKS_Q4_0;
  case PN_Q4_1: return BLOCKS_Q4_1;
  case PN_Q8_0: return BLOCKS_Q8_0;
  case PN_Q5_0: return BLOCKS_Q5_0;
  case PN_Q4_K: return BLOCKS_Q4_K;
  case PN_Q5_K: return BLOCKS_Q5_K;
  case PN_Q6_K: return BLOCKS_Q6_K;
  default: break;
  }
  if (w->m.bits == 4) return w->block == 64 ? NIBBLES_64 : NIBBLES_32;
  return w->block == 64 ? BYTES_64 : BYTES_32;
}

MATMUL_INLINE void walk_any(coding c, int planes, const pn_weight *w, int n, const matmul_x *x, int k,
                            const avx512_scratch *s, const uint8_t *p) {
  switch (c) {
  case NIBBLES_64: walk(NIBBLES_64, planes, w, n, x, k, s, p); break;
  case NIBBLES_32: walk(NIBBLES_32, planes, w, n, x, k, s, p); break;
  case BYTES_64: walk(BYTES_64, planes, w, n, x, k, s, p); break;
  case BYTES_32: walk(BYTES_32, planes, w, n, x, k, s, p); break;
  case BYTES_16: break; // walk_piece has it
  case BLOCKS_Q4_0: walk(BLOCKS_Q4_0, planes, w, n, x, k, s, p); break;
  case BLOCKS_Q4_1: walk(BLOCKS_Q4_1, planes, w, n, x, k, s, p); break;
  case BLOCKS_Q8_0: walk(BLOCKS_Q8_0, planes, w, n, x, k, s, p); break;
  case BLOCKS_Q5_0: walk(BLOCKS_Q5_0, planes, w, n, x, k, s, p); break;
  case BLOCKS_Q4_K: walk(BLOCKS_Q4_K, planes, w, n, x, k, s, p); break;
  case BLOCKS_Q5_K: walk(BLOCKS_Q5_K, planes, w, n, x, k, s, p); break;
  case BLOCKS_Q6_K: walk(BLOCKS_Q6_K, planes, w, n, x, k, s, p); break;
  }
}

void matmul_avx512_row(const pn_weight *w, int64_t r0, int n, const matmul_x *x, int k, float *out,
                       const avx512_scratch *s, const uint8_t *stored) {
  const coding c = coding_of(w);
  if (x->planes == 2)
    walk_any(c, 2, w, n, x, k, s, stored);
  else
    walk_any(c, 1, w, n, x, k, s, stored);
  const uint8_t *ahead = stored + MATMUL_UNIT * w->m.row_bytes + AHEAD;
  _mm512_mask_storeu_ps(out + r0, matmul_avx512_first((size_t)n), sum_rows(s->p, w->n_blocks, ahead));
}

// A piece of an unpacked line: PIECE columns, few enough for a first-level cache, and many enough that the
// stores of a step's codes are done when its wider loads come.
enum { PIECE = 2048 };
typedef struct piece {
  uint8_t codes[PIECE];
  float scale[PIECE / 16], bias[PIECE / 16];
} piece;

// p of n_blocks blocks of a piece with row k of x, from block b of it on; up to 15 more are made of whatever
// lies there.
MATMUL_INLINE void walk_piece(coding c, int planes, const piece *at, bool biased, int n_blocks,
                              const matmul_x *x, int k, size_t b, float *p) {
  const row_x one = {planes, x->q + (size_t)k * x->q_stride, x->high, x->plane};
  const size_t row = (size_t)k * x->s_stride, all = (size_t)x->n_blocks, advance = 16 % all;
  const uint8_t *codes = at->codes;
  for (int i = 0; i < n_blocks; i += 16, codes += step_bytes(c)) {
    const __m512i d =
        _mm512_add_epi32(dots(c, codes, &one, b, NULL, NULL), _mm512_loadu_si512(x->shift + row + b));
    __m512 v = _mm512_mul_ps(_mm512_load_ps(at->scale + i),
                             _mm512_mul_ps(_mm512_loadu_ps(x->dx + row + b), _mm512_cvtepi32_ps(d)));
    if (biased) v = _mm512_fmadd_ps(_mm512_load_ps(at->bias + i), _mm512_loadu_ps(x->sum + row + b), v);
    _mm512_storeu_ps(p + i, v);
    b += advance;
    if (b >= all) b -= all;
  }
}

static void walk_piece_any(const piece *at, const pn_weight *w, int n_blocks, const matmul_x *x, int k,
                           size_t b, float *p) {
  if (w->block == 16) {
    if (x->planes == 2)
      walk_piece(BYTES_16, 2, at, w->biased, n_blocks, x, k, b, p);
    else
      walk_piece(BYTES_16, 1, at, w->biased, n_blocks, x, k, b, p);
  } else {
    if (x->planes == 2)
      walk_piece(BYTES_32, 2, at, w->biased, n_blocks, x, k, b, p);
    else
      walk_piece(BYTES_32, 1, at, w->biased, n_blocks, x, k, b, p);
  }
}

void matmul_avx512_rows_unpacked(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                                 int64_t out_stride, const avx512_scratch *s) {
  const pn_kind *kind = matmul_avx512_kind_of(w->m.kind);
  const uint8_t *stored = (const uint8_t *)w->m.data + (size_t)r0 * w->m.row_bytes;
  const size_t scale_bytes = kind->scale_bytes ? kind->scale_bytes : kind->bytes;
  const uint8_t *scales = matmul_scales_at(w, kind, r0 * (w->m.cols / kind->block));
  float *const p[2] = {s->p, (float *)(void *)s->tile}; // tiles belong to calls of more rows
  const int most = PIECE / kind->block;
  size_t done = 0; // blocks of x
  piece at __attribute__((aligned(64)));
  memset(&at, 0, sizeof at);
  for (int64_t left = n * (w->m.cols / kind->block), m; left > 0; left -= m) {
    m = left < most ? left : most;
    kind->codes(stored, m, at.codes);
    kind->scales(scales, m, at.scale, at.bias);
    const int n_blocks = (int)m * kind->block / w->block;
    for (size_t i = 0; i < (size_t)m * kind->bytes; i += 64)
      _mm_prefetch((const char *)stored + AHEAD + i, _MM_HINT_T0);
    for (int k = 0; k < x->n_rows; k++)
      walk_piece_any(&at, w, n_blocks, x, k, done % (size_t)w->n_blocks, p[k] + done);
    stored += (size_t)m * kind->bytes;
    scales += (size_t)m * scale_bytes;
    done += (size_t)n_blocks;
  }
  for (int k = 0; k < x->n_rows; k++)
    _mm512_mask_storeu_ps(out + k * out_stride + r0, matmul_avx512_first((size_t)n),
                          sum_rows(p[k], w->n_blocks, stored + AHEAD));
}
