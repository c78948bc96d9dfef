// Many rows of x: tiles of 32 weight rows, lanes are rows, meet up to 6 rows of x, whose codes lie a block of
// a row after the other. Every four codes of x are broadcast once for both halves of the tile, and every four
// codes of the tile are loaded once for both planes of x: 14 loads for 24 dpbusd, where a load for each would
// be the bound. The sums of a block's two planes are kept apart, 24 registers, so that no addition waits for
// another; the sums of a row stay in memory meanwhile.
//
// A block costs two integer additions, one convert, two multiplies, one FMA and one add a row and 16 lanes.
// The multiplies share pipes with dpbusd, which bounds int16 at 0.91 of two planes of dpbusd in blocks of 64,
// 0.84 of 32 and 0.80 of 16. On a Zen 5 0.76 to 0.78, 0.68 to 0.75 and 0.60 to 0.63 are reached at 512 rows.
#include "backend/cpu/cpu_matmul_avx512.h"

enum { MOST = MATMUL_AVX512_PANEL };

// The sums of a block: of one plane of up to MOST rows of x, with both halves of the tile.
typedef struct block_sums {
  __m512i d[2][MOST];
} block_sums;

// Add four codes of every row of the tile, v, times those of t rows of x, `stride` bytes apart.
MATMUL_INLINE void add_four(int t, const __m512i v[2], const int8_t *q, int stride, block_sums *sums) {
  MATMUL_UNROLL
  for (int i = 0; i < t; i++) {
    int four;
    memcpy(&four, q + i * stride, 4);
    const __m512i x = _mm512_set1_epi32(four);
    sums->d[0][i] = _mm512_dpbusd_epi32(sums->d[0][i], v[0], x);
    sums->d[1][i] = _mm512_dpbusd_epi32(sums->d[1][i], v[1], x);
  }
}

// Both planes of x; `plane` bytes lie between them.
MATMUL_INLINE void add_planes(int planes, int t, const __m512i v[2], const int8_t *q, int stride,
                              block_sums sums[2]) {
  add_four(t, v, q, stride, &sums[0]);
  if (planes == 2) add_four(t, v, q + t * stride, stride, &sums[1]);
}

// The sums of a block whose codes of x lie from q on: those of the tile are bytes or nibbles.
MATMUL_INLINE void add_block(int planes, int t, bool nibbles, int block, const uint8_t *const tile[2],
                             const int8_t *q, block_sums sums[2]) {
  const __m512i mask = _mm512_set1_epi8(15);
  const int steps = nibbles ? block / 8 : block / 4;
  MATMUL_UNROLL
  for (int j = 0; j < steps; j++) {
    __m512i v[2] = {_mm512_load_si512(tile[0] + 64 * j), _mm512_load_si512(tile[1] + 64 * j)};
    if (nibbles) {
      const __m512i low[2] = {_mm512_and_si512(v[0], mask), _mm512_and_si512(v[1], mask)};
      add_planes(planes, t, low, q + 4 * j, block, sums);
      v[0] = _mm512_and_si512(_mm512_srli_epi16(v[0], 4), mask);
      v[1] = _mm512_and_si512(_mm512_srli_epi16(v[1], 4), mask);
    }
    add_planes(planes, t, v, q + (nibbles ? block / 2 : 0) + 4 * j, block, sums);
  }
}

// What a call reads, and how it goes on.
typedef struct job {
  const matmul_x *x;
  const avx512_tile *tile[2];
  const avx512_ahead *ahead;
  __mmask16 lanes[2];
  float *out;
  int64_t out_stride;
} job;

// The panel of rows k .. k + t of x with the tile; t and the flags are constants where this is inlined.
MATMUL_INLINE void multiply(int planes, int t, bool nibbles, int block, bool biased, const job *of, int k) {
  const matmul_x *x = of->x;
  const int8_t *q = x->q + (size_t)k * x->q_stride;
  const size_t at = (size_t)k * x->s_stride, step = (size_t)block * (nibbles ? 8 : 16);
  const float *dx = x->dx + at, *sum = x->sum + at;
  const int32_t *shift = x->shift + at;
  const uint8_t *codes[2] = {of->tile[0]->codes, of->tile[1]->codes};
  // This panel's share of what is fetched.
  const uint8_t *next = of->ahead->p + of->ahead->bytes * (size_t)k / (size_t)x->n_rows;
  const size_t next_bytes = of->ahead->bytes * (size_t)t / (size_t)x->n_rows / (size_t)x->n_blocks;
  __m512 acc[2][MOST];
  MATMUL_UNROLL
  for (int i = 0; i < t; i++) acc[0][i] = acc[1][i] = _mm512_setzero_ps();
  for (int b = 0; b < x->n_blocks; b++, dx += t, sum += t, shift += t) {
    block_sums sums[2];
    for (size_t i = 0; i < next_bytes; i += 64) _mm_prefetch((const char *)next + i, _MM_HINT_T0);
    next += next_bytes;
    MATMUL_UNROLL
    for (int i = 0; i < t; i++) {
      sums[0].d[0][i] = sums[0].d[1][i] = _mm512_setzero_si512();
      sums[planes - 1].d[0][i] = sums[planes - 1].d[1][i] =
          biased ? _mm512_setzero_si512() : _mm512_set1_epi32(shift[i]);
    }
    add_block(planes, t, nibbles, block, codes, q, sums);
    q += planes * t * block;
    MATMUL_UNROLL
    for (int h = 0; h < 2; h++) {
      codes[h] += step;
      const __m512 scale = _mm512_load_ps(of->tile[h]->scale + 16 * (size_t)b);
      const __m512 bias = biased ? _mm512_load_ps(of->tile[h]->bias + 16 * (size_t)b) : scale;
      MATMUL_UNROLL
      for (int i = 0; i < t; i++) {
        __m512i d = sums[0].d[h][i];
        if (planes == 2) d = _mm512_add_epi32(_mm512_slli_epi32(d, 8), sums[1].d[h][i]);
        __m512 p = _mm512_mul_ps(scale, _mm512_mul_ps(_mm512_set1_ps(dx[i]), _mm512_cvtepi32_ps(d)));
        if (biased) p = _mm512_fmadd_ps(bias, _mm512_set1_ps(sum[i]), p);
        acc[h][i] = _mm512_add_ps(acc[h][i], p);
      }
    }
  }
  MATMUL_UNROLL
  for (int i = 0; i < t; i++) {
    float *to = of->out + (k + i) * of->out_stride;
    _mm512_mask_storeu_ps(to, of->lanes[0], acc[0][i]);
    if (of->lanes[1]) _mm512_mask_storeu_ps(to + 16, of->lanes[1], acc[1][i]);
  }
}

MATMUL_INLINE void all_rows(int planes, bool nibbles, int block, bool biased, const job *of) {
  for (int k = 0, n; k < of->x->n_rows; k += n) {
    n = matmul_avx512_panel(of->x->n_rows - k);
    switch (n) {
    case 1: multiply(planes, 1, nibbles, block, biased, of, k); break;
    case 2: multiply(planes, 2, nibbles, block, biased, of, k); break;
    case 3: multiply(planes, 3, nibbles, block, biased, of, k); break;
    case 4: multiply(planes, 4, nibbles, block, biased, of, k); break;
    case 5: multiply(planes, 5, nibbles, block, biased, of, k); break;
    default: multiply(planes, 6, nibbles, block, biased, of, k); break;
    }
  }
}

#define ALL_ROWS(name, nibbles, block, biased)                                                               \
  static void name(const job *of) {                                                                          \
    if (of->x->planes == 2)                                                                                  \
      all_rows(2, nibbles, block, biased, of);                                                               \
    else                                                                                                     \
      all_rows(1, nibbles, block, biased, of);                                                               \
  }

ALL_ROWS(nibbles_64, true, 64, true)
ALL_ROWS(nibbles_32, true, 32, true)
ALL_ROWS(nibbles_32_signed, true, 32, false)
ALL_ROWS(bytes_64, false, 64, true)
ALL_ROWS(bytes_32, false, 32, true)
ALL_ROWS(bytes_32_signed, false, 32, false)
ALL_ROWS(bytes_16, false, 16, true)
ALL_ROWS(bytes_16_signed, false, 16, false)

void matmul_avx512_tiles(const pn_weight *w, int n, const matmul_x *x, float *out, int64_t out_stride,
                         const avx512_scratch *s, const avx512_ahead *ahead) {
  const job of = {.x = x,
                  .tile = {&s->tile[0], &s->tile[n > 16]},
                  .ahead = ahead,
                  .lanes = {matmul_avx512_first((size_t)n), n > 16 ? matmul_avx512_first((size_t)n - 16) : 0},
                  .out = out,
                  .out_stride = out_stride};
  const bool nibbles = w->m.kind == PN_AFFINE ? w->m.bits == 4 : w->m.kind == PN_Q4_0 || w->m.kind == PN_Q4_1;
  if (w->block == 64)
    (nibbles ? nibbles_64 : bytes_64)(&of);
  else if (w->block == 16)
    (w->biased ? bytes_16 : bytes_16_signed)(&of);
  else if (nibbles)
    (w->biased ? nibbles_32 : nibbles_32_signed)(&of);
  else
    (w->biased ? bytes_32 : bytes_32_signed)(&of);
}
