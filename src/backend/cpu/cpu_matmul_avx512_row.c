// One or two rows of x: a unit's 16 rows are one line of 16 * n_blocks stored blocks, walked in the order of
// the file, 16 blocks a step. The dots are reduced in integers, the products p of a step are made in lanes
// and kept in L1; then the rows' sums run over a 16 x 16 transpose, so that every row adds its blocks in
// ascending order. A second row meets the codes while they are in registers.
//
// Instructions for a byte of weights, int16: Q4_1 and Q4_0 0.3, Q8_0 0.24, Q6_K 0.35, Q5_0 0.37, Q4_K and
// Q5_K 0.42; a second row adds half as many (0.4 to 0.7 for both). Bound by reading: one row takes weights of
// 2 MB and more at 0.89 to 0.96 of what two cores of a Zen 5 read (docs/SPEED.md).
#include "backend/cpu/cpu_matmul_avx512_dots.h"

enum { AHEAD = 8192 }; // bytes that are fetched ahead of those in use

// s->p[0 .. rows) of the unit with as many rows of x.
MATMUL_INLINE void walk(coding c, int planes, int rows, const pn_weight *w, int n, const matmul_x *x,
                        const avx512_scratch *s, const uint8_t *p) {
  const bool staged = c < BLOCKS_Q4_0;
  const bool biased = staged || c == BLOCKS_Q4_1 || c == BLOCKS_Q4_K || c == BLOCKS_Q5_K;
  const row_x row[2] = {{planes, x->q, x->high, x->plane},
                        {planes, x->q + (rows - 1) * (ptrdiff_t)x->q_stride, x->high, x->plane}};
  const size_t n_blocks = (size_t)w->n_blocks, total = (size_t)n * n_blocks, advance = 16 % n_blocks;
  size_t b = 0; // the block of x that meets the first of the step
  for (size_t i = 0; i < total; i += 16, p += step_bytes(c)) {
    __m512 scale = _mm512_setzero_ps(), bias = _mm512_setzero_ps();
    for (size_t line = 0; line < step_bytes(c); line += 64)
      _mm_prefetch((const char *)p + AHEAD + line, _MM_HINT_T0);
    __m512i d[2];
    MATMUL_UNROLL
    for (int k = 0; k < rows; k++) d[k] = dots(c, p, &row[k], b, &scale, &bias);
    if (staged) {
      scale = _mm512_loadu_ps(s->scale + i);
      bias = _mm512_loadu_ps(s->bias + i);
    }
    MATMUL_UNROLL
    for (int k = 0; k < rows; k++) {
      const size_t at = (size_t)k * x->s_stride + b;
      if (!biased) d[k] = _mm512_add_epi32(d[k], _mm512_loadu_si512(x->shift + at));
      const __m512 dot = _mm512_cvtepi32_ps(d[k]);
      __m512 v = _mm512_mul_ps(scale, _mm512_mul_ps(_mm512_loadu_ps(x->dx + at), dot));
      if (biased) v = _mm512_fmadd_ps(bias, _mm512_loadu_ps(x->sum + at), v);
      _mm512_storeu_ps(s->p[k] + i, v);
    }
    b += advance;
    if (b >= n_blocks) b -= n_blocks;
  }
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
    __m512i t[4];
    matmul_avx512_columns(p + g, (size_t)n_blocks * sizeof *p, t);
    for (int i = 0; i < 4 && g + i < n_blocks; i++) acc = _mm512_add_ps(acc, _mm512_castsi512_ps(t[i]));
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

MATMUL_INLINE void walk_any(coding c, int planes, int rows, const pn_weight *w, int n, const matmul_x *x,
                            const avx512_scratch *s, const uint8_t *p) {
  switch (c) {
  case NIBBLES_64: walk(NIBBLES_64, planes, rows, w, n, x, s, p); break;
  case NIBBLES_32: walk(NIBBLES_32, planes, rows, w, n, x, s, p); break;
  case BYTES_64: walk(BYTES_64, planes, rows, w, n, x, s, p); break;
  case BYTES_32: walk(BYTES_32, planes, rows, w, n, x, s, p); break;
  case BYTES_16: break; // walk_piece has it
  case BLOCKS_Q4_0: walk(BLOCKS_Q4_0, planes, rows, w, n, x, s, p); break;
  case BLOCKS_Q4_1: walk(BLOCKS_Q4_1, planes, rows, w, n, x, s, p); break;
  case BLOCKS_Q8_0: walk(BLOCKS_Q8_0, planes, rows, w, n, x, s, p); break;
  case BLOCKS_Q5_0: walk(BLOCKS_Q5_0, planes, rows, w, n, x, s, p); break;
  case BLOCKS_Q4_K: walk(BLOCKS_Q4_K, planes, rows, w, n, x, s, p); break;
  case BLOCKS_Q5_K: walk(BLOCKS_Q5_K, planes, rows, w, n, x, s, p); break;
  case BLOCKS_Q6_K: walk(BLOCKS_Q6_K, planes, rows, w, n, x, s, p); break;
  }
}

static void walk_1(coding c, const pn_weight *w, int n, const matmul_x *x, const avx512_scratch *s,
                   const uint8_t *p) {
  if (x->planes == 2)
    walk_any(c, 2, 1, w, n, x, s, p);
  else
    walk_any(c, 1, 1, w, n, x, s, p);
}

static void walk_2(coding c, const pn_weight *w, int n, const matmul_x *x, const avx512_scratch *s,
                   const uint8_t *p) {
  if (x->planes == 2)
    walk_any(c, 2, 2, w, n, x, s, p);
  else
    walk_any(c, 1, 2, w, n, x, s, p);
}

void matmul_avx512_rows(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                        int64_t out_stride, const avx512_scratch *s, const uint8_t *stored) {
  (x->n_rows == 1 ? walk_1 : walk_2)(coding_of(w), w, n, x, s, stored);
  const uint8_t *ahead = stored + MATMUL_UNIT * w->m.row_bytes + AHEAD;
  for (int k = 0; k < x->n_rows; k++)
    _mm512_mask_storeu_ps(out + k * out_stride + r0, matmul_avx512_first((size_t)n),
                          sum_rows(s->p[k], w->n_blocks, ahead));
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
      walk_piece_any(&at, w, n_blocks, x, k, done % (size_t)w->n_blocks, s->p[k] + done);
    stored += (size_t)m * kind->bytes;
    scales += (size_t)m * scale_bytes;
    done += (size_t)n_blocks;
  }
  for (int k = 0; k < x->n_rows; k++)
    _mm512_mask_storeu_ps(out + k * out_stride + r0, matmul_avx512_first((size_t)n),
                          sum_rows(s->p[k], w->n_blocks, stored + AHEAD));
}
