// Up to four rows of x against weights as they lie. The rows of a unit are walked as one line of blocks,
// eight at a time, so that a row whose blocks are no multiple of eight wastes nothing; x goes on with its
// first blocks behind its last.
//
// A step loads eight blocks, makes int16 of them, multiplies (vpmaddwd; with AVX-VNNI half of the additions
// belong to it), adds the lanes of eight blocks up together (7 additions and 14 shuffles) and leaves p of
// each block in scratch; the blocks of a row are then added up in ascending order, eight rows at once through
// a transposition. One thread of a Zen 5 takes 20 GB/s of Q4_1, Q4_K and Q6_K, 28 of Q8_0, 24 of affine 4 bit
// and 15 of Q5_0, two threads 1.5 to 1.7 times as much. Memory bounds it with one row of x and several
// threads, instructions with four rows, and with one of Q5_0 and Q5_1.
//
// Instructions a byte with one row of x, counted in gcc's loops: Q8_0 0.57, affine of 8 bits 0.42, of 4 bits
// 0.81, of 6, 5, 3 and 2 bits 0.78, 0.93, 1.5 and 2.0, Q4_0 0.94, Q4_1 0.86, Q5_0 1.3, Q5_1 1.2, Q4_K and
// Q5_K 0.97, Q6_K 0.67; with four rows 2.1 (Q4_1) to 2.6 (Q5_0). Kinds without kernels of their own are
// unpacked PIECE columns at a time.
#include "backend/cpu/cpu_matmul_avx2_codes.h"

enum {
  ROWS = 8,
  PIECE = 1024,
  AHEAD_BYTES = 2048
}; // fetched ahead: the processor's own prefetching stops at every page

// The sums of eight vectors, in order.
MATMUL_INLINE __m256i sums_of_8(const __m256i d[8]) {
  __m256i a[4];
  MATMUL_UNROLL
  for (int i = 0; i < 4; i++)
    a[i] = _mm256_add_epi32(_mm256_unpacklo_epi32(d[2 * i], d[2 * i + 1]),
                            _mm256_unpackhi_epi32(d[2 * i], d[2 * i + 1]));
  const __m256i u = _mm256_add_epi32(_mm256_unpacklo_epi64(a[0], a[1]), _mm256_unpackhi_epi64(a[0], a[1]));
  const __m256i v = _mm256_add_epi32(_mm256_unpacklo_epi64(a[2], a[3]), _mm256_unpackhi_epi64(a[2], a[3]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(u, v, 0x20), _mm256_permute2x128_si256(u, v, 0x31));
}

// The sums of the halves of four vectors, in order.
MATMUL_INLINE __m256i sums_of_halves(const __m256i d[4]) {
  const __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(d[0], d[1]), _mm256_hadd_epi32(d[2], d[3]));
  return _mm256_permutevar8x32_epi32(a, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

// Two widened vectors meet 32 columns of x, four meet 64 (or two blocks' 32).
MATMUL_INLINE __m256i dot_32(const __m256i c[2], const int16_t *x) {
  return matmul_avx2_add_pairs(_mm256_madd_epi16(c[0], matmul_avx2_load(x)), c[1], matmul_avx2_load(x + 16));
}
MATMUL_INLINE __m256i dot_64(const __m256i c[4], const int16_t *x) {
  return _mm256_add_epi32(dot_32(c, x), dot_32(c + 2, x + 32));
}

// t rows of x as a step sees them.
typedef struct x_rows {
  const int16_t *q[AVX2_ROW_MAX];
  const float *dx, *sum;
  const int32_t *shift;
  size_t stride; // of the numbers
} x_rows;

MATMUL_INLINE x_rows x_rows_of(const matmul_x *x, int first, int t) {
  const size_t at = (size_t)first * x->s_stride;
  x_rows r = {.dx = x->dx + at, .sum = x->sum + at, .shift = x->shift + at, .stride = x->s_stride};
  for (int k = 0; k < t; k++)
    r.q[k] = (const int16_t *)(const void *)(x->q + (size_t)(first + k) * x->q_stride);
  return r;
}

// The dots of eight blocks from codes with t rows of x from block `at` on, one vector a row; `step` bytes
// from one block to the next.
MATMUL_INLINE void dots_of_step(avx2_form form, const avx2_bits *bits, const uint8_t *codes, size_t step,
                                const x_rows *x, int at, int t, __m256i dot[]) {
  const bool wide = form == AVX2_NIBBLES_64 || form == AVX2_BYTES_64 || form == AVX2_BITS_64;
  const bool halves = matmul_avx2_pairs(form) || form == AVX2_UNPACKED_16; // two blocks at a time
  const size_t block = wide ? 64 : form == AVX2_UNPACKED_16 ? 16 : 32, columns = halves ? 2 * block : block;
  const int vectors = halves ? 4 : 8;
  __m256i d[AVX2_ROW_MAX][8];
  MATMUL_UNROLL
  for (int i = 0; i < vectors; i++) {
    const uint8_t *p = codes + (size_t)(halves ? 2 * i : i) * step + matmul_avx2_head(form);
    __m256i c[4];
    avx2_widen(form, bits, p, step, c);
    MATMUL_UNROLL
    for (int k = 0; k < t; k++) {
      const int16_t *q = x->q[k] + (size_t)at * block + (size_t)i * columns;
      d[k][i] = columns == 64 ? dot_64(c, q) : dot_32(c, q);
    }
  }
  MATMUL_UNROLL
  for (int k = 0; k < t; k++) dot[k] = halves ? sums_of_halves(d[k]) : sums_of_8(d[k]);
}

// p of eight blocks from their dots with t rows of x from block `at` on, a row's p_stride floats behind the
// row's before it.
MATMUL_INLINE void put_products(const __m256i dot[], __m256 scale, __m256 bias, const x_rows *x, int at,
                                int t, float *p, size_t p_stride) {
  MATMUL_UNROLL
  for (int k = 0; k < t; k++) {
    const size_t i = (size_t)k * x->stride + (size_t)at;
    const __m256 d = _mm256_cvtepi32_ps(_mm256_add_epi32(dot[k], matmul_avx2_load(x->shift + i)));
    const __m256 v = _mm256_mul_ps(scale, _mm256_mul_ps(_mm256_loadu_ps(x->dx + i), d));
    _mm256_storeu_ps(p + (size_t)k * p_stride, _mm256_fmadd_ps(bias, _mm256_loadu_ps(x->sum + i), v));
  }
}

// A walk: n rows of w from r0 on, as one line.
typedef struct line_walk {
  const pn_weight *w;
  int64_t r0;
  int n;
  const matmul_x *x;
  int first, t; // rows of x
  float *p;
  size_t p_stride;
} line_walk;

MATMUL_INLINE void walk(avx2_form form, const line_walk *l, int t) {
  const pn_weight *w = l->w;
  const x_rows x = x_rows_of(l->x, l->first, t);
  const bool other_bits = form == AVX2_BITS_64 || form == AVX2_BITS_32; // which are read with bytes behind
  const avx2_bits bits = other_bits ? matmul_avx2_bits(w->m.bits) : (avx2_bits){.half = 0};
  const int n_blocks = w->n_blocks;
  const int64_t first = l->r0 * n_blocks, last = first + (int64_t)l->n * n_blocks, all = w->m.rows * n_blocks;
  const size_t step = matmul_avx2_step(form, w), bytes = AVX2_STEP * step, p_stride = l->p_stride;
  const size_t scale_bytes = AVX2_STEP / (size_t)w->per_group * pn_dtype_block_bytes(w->m.scale_dtype);
  avx2_blocks next = matmul_avx2_blocks_at(w, first);
  avx2_rest rest;
  float *p = l->p;
  int at = 0;
  for (int64_t b = first; b < last; b += AVX2_STEP, p += AVX2_STEP) {
    const int64_t left = last - b < AVX2_STEP ? last - b : AVX2_STEP;
    const avx2_blocks blocks =
        b + (other_bits ? 2 : 1) * AVX2_STEP <= all ? next : matmul_avx2_copy_blocks(w, next, left, &rest);
    __m256i dot[AVX2_ROW_MAX];
    __m256 scale, bias;
    for (size_t i = 0; i < bytes; i += 64)
      _mm_prefetch((const char *)next.codes + i + AHEAD_BYTES, _MM_HINT_T0);
    dots_of_step(form, &bits, blocks.codes, step, &x, at, t, dot);
    matmul_avx2_scales(form, w, &blocks, &scale, &bias);
    put_products(dot, scale, bias, &x, at, t, p, p_stride);
    next.codes += bytes;
    if (matmul_avx2_affine(form)) next.scale += scale_bytes, next.bias += scale_bytes;
    for (at += AVX2_STEP; at >= n_blocks;) at -= n_blocks;
  }
}

// The same for kinds of the table: some whole blocks of the kind are unpacked, then read a step at a time.
// Behind the last block a step multiplies what was left from before, and nobody reads what it gets.
MATMUL_INLINE void walk_unpacked(avx2_form form, const line_walk *l, int t) {
  const pn_weight *w = l->w;
  const pn_kind *kind = matmul_avx2_kind_of(w->m.kind);
  const x_rows x = x_rows_of(l->x, l->first, t);
  const int group = form == AVX2_UNPACKED_16 ? 16 : 32, most = PIECE / kind->block;
  const uint8_t *stored = (const uint8_t *)w->m.data + (size_t)l->r0 * w->m.row_bytes;
  const size_t scale_bytes = kind->scale_bytes ? kind->scale_bytes : kind->bytes;
  const uint8_t *scales = matmul_scales_at(w, kind, l->r0 * (w->m.cols / kind->block));
  uint8_t codes[PIECE] __attribute__((aligned(32))) = {0};
  float scale[PIECE / 16] = {0}, bias[PIECE / 16] = {0}, *p = l->p;
  int at = 0;
  for (int64_t left = l->n * (w->m.cols / kind->block), n; left > 0; left -= n) {
    n = left < most ? left : most;
    kind->codes(stored, n, codes);
    kind->scales(scales, n, scale, bias);
    for (size_t i = 0; i < (size_t)n * kind->bytes; i += 64)
      _mm_prefetch((const char *)stored + i + AHEAD_BYTES, _MM_HINT_T0);
    stored += (size_t)n * kind->bytes;
    scales += (size_t)n * scale_bytes;
    for (int g = 0; g < (int)n * kind->block / group; g += AVX2_STEP, p += AVX2_STEP) {
      __m256i dot[AVX2_ROW_MAX];
      dots_of_step(form, NULL, codes + g * group, (size_t)group, &x, at, t, dot);
      put_products(dot, _mm256_loadu_ps(scale + g), _mm256_loadu_ps(bias + g), &x, at, t, p, l->p_stride);
      const int blocks = (int)n * kind->block / group - g;
      at += blocks < AVX2_STEP ? blocks : AVX2_STEP;
      while (at >= w->n_blocks) at -= w->n_blocks;
    }
  }
}

// The dots of a superblock's eight 32s (Q6_K: of the eight 16s of its half `half`) with t rows of x.
MATMUL_INLINE void dots_of_k(avx2_form form, const uint8_t *stored, int half, const x_rows *x, int at, int t,
                             __m256i dot[]) {
  const bool six = form == AVX2_Q6_K;
  __m256i d[AVX2_ROW_MAX][8];
  MATMUL_UNROLL
  for (int i = 0; i < 4; i++) {
    __m256i c[4];
    if (six)
      avx2_widen_q6_k(stored, half, i, c);
    else if (form == AVX2_Q5_K)
      avx2_widen_q5_k(stored, i, c);
    else
      avx2_widen_q4_k(stored, i, c);
    MATMUL_UNROLL
    for (int k = 0; k < t; k++) {
      if (six) {
        d[k][i] = dot_32(c, x->q[k] + (size_t)at * 16 + (size_t)i * 32);
      } else {
        d[k][2 * i] = dot_32(c, x->q[k] + (size_t)(at + 2 * i) * 32);
        d[k][2 * i + 1] = dot_32(c + 2, x->q[k] + (size_t)(at + 2 * i + 1) * 32);
      }
    }
  }
  MATMUL_UNROLL
  for (int k = 0; k < t; k++) dot[k] = six ? sums_of_halves(d[k]) : sums_of_8(d[k]);
}

// K-quants as they are stored, a superblock at a time.
MATMUL_INLINE void walk_k(avx2_form form, const line_walk *l, int t) {
  const pn_weight *w = l->w;
  const bool six = form == AVX2_Q6_K;
  const int steps = six ? 2 : 1;
  const size_t bytes = six ? PN_Q6_K_BYTES : form == AVX2_Q5_K ? PN_Q5_K_BYTES : PN_Q4_K_BYTES;
  const x_rows x = x_rows_of(l->x, l->first, t);
  const uint8_t *stored = (const uint8_t *)w->m.data + (size_t)l->r0 * w->m.row_bytes;
  float *p = l->p;
  int at = 0;
  for (int64_t left = (int64_t)l->n * (w->m.cols / 256); left > 0; left--, stored += bytes) {
    for (size_t i = 0; i < bytes; i += 64) _mm_prefetch((const char *)stored + i + AHEAD_BYTES, _MM_HINT_T0);
    MATMUL_UNROLL
    for (int half = 0; half < steps; half++) {
      __m256i dot[AVX2_ROW_MAX];
      __m256 scale, bias = _mm256_setzero_ps();
      dots_of_k(form, stored, half, &x, at + half * AVX2_STEP, t, dot);
      if (six)
        scale = avx2_q6_k_scales(stored, half);
      else
        avx2_k_scales(stored, &scale, &bias);
      put_products(dot, scale, bias, &x, at + half * AVX2_STEP, t, p + half * AVX2_STEP, l->p_stride);
    }
    p += steps * AVX2_STEP;
    at += steps * AVX2_STEP;
    if (at >= w->n_blocks) at = 0;
  }
}

MATMUL_INLINE void walk_form(avx2_form form, const line_walk *l, int t) {
  if (form >= AVX2_UNPACKED_32)
    walk_unpacked(form, l, t);
  else if (form >= AVX2_Q4_K)
    walk_k(form, l, t);
  else
    walk(form, l, t);
}

MATMUL_INLINE void walk_rows(avx2_form form, const line_walk *l) {
  switch (l->t) {
  case 1: walk_form(form, l, 1); break;
  case 2: walk_form(form, l, 2); break;
  case 3: walk_form(form, l, 3); break;
  default: walk_form(form, l, 4); break;
  }
}

static void walk_nibbles_64(const line_walk *l) { walk_rows(AVX2_NIBBLES_64, l); }
static void walk_nibbles_32(const line_walk *l) { walk_rows(AVX2_NIBBLES_32, l); }
static void walk_q4_0(const line_walk *l) { walk_rows(AVX2_Q4_0, l); }
static void walk_q4_1(const line_walk *l) { walk_rows(AVX2_Q4_1, l); }
static void walk_q8_0(const line_walk *l) { walk_rows(AVX2_Q8_0, l); }
static void walk_bytes_64(const line_walk *l) { walk_rows(AVX2_BYTES_64, l); }
static void walk_bytes_32(const line_walk *l) { walk_rows(AVX2_BYTES_32, l); }
static void walk_bits_64(const line_walk *l) { walk_rows(AVX2_BITS_64, l); }
static void walk_bits_32(const line_walk *l) { walk_rows(AVX2_BITS_32, l); }
static void walk_q5_0(const line_walk *l) { walk_rows(AVX2_Q5_0, l); }
static void walk_q5_1(const line_walk *l) { walk_rows(AVX2_Q5_1, l); }
static void walk_q4_k(const line_walk *l) { walk_rows(AVX2_Q4_K, l); }
static void walk_q5_k(const line_walk *l) { walk_rows(AVX2_Q5_K, l); }
static void walk_q6_k(const line_walk *l) { walk_rows(AVX2_Q6_K, l); }
static void walk_unpacked_32(const line_walk *l) { walk_rows(AVX2_UNPACKED_32, l); }
static void walk_unpacked_16(const line_walk *l) { walk_rows(AVX2_UNPACKED_16, l); }

// out[i] = p[i][0] + p[i][1] + ... for eight rows of n; reads up to eight floats behind the last.
static void add_up(const float *p, int n, float out[ROWS]) {
  __m256 acc = _mm256_setzero_ps();
  for (int b = 0; b < n; b += 8) {
    __m256i v[8];
    const int m = n - b < 8 ? n - b : 8;
    for (int i = 0; i < ROWS; i++) v[i] = matmul_avx2_load(p + (size_t)i * (size_t)n + (size_t)b);
    matmul_avx2_transpose(v);
    for (int i = 0; i < m; i++) acc = _mm256_add_ps(acc, _mm256_castsi256_ps(v[i]));
  }
  _mm256_storeu_ps(out, acc);
}

// Floats of p for a row of x: those of eight rows of blocks, and what is read or written behind the last.
static size_t products_of(size_t n_blocks) { return ROWS * n_blocks + AVX2_STEP; }

size_t AVX2_OF_TIER(rows_bytes)(int64_t cols) {
  return AVX2_ROW_MAX * products_of((size_t)cols / 16 + 1) * sizeof(float);
}

void AVX2_OF_TIER(rows)(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                        int64_t out_stride, void *scratch) {
  static void (*const walks[AVX2_N_FORMS])(const line_walk *) = {
      [AVX2_NIBBLES_64] = walk_nibbles_64,
      [AVX2_NIBBLES_32] = walk_nibbles_32,
      [AVX2_Q4_0] = walk_q4_0,
      [AVX2_Q4_1] = walk_q4_1,
      [AVX2_Q8_0] = walk_q8_0,
      [AVX2_BYTES_64] = walk_bytes_64,
      [AVX2_BYTES_32] = walk_bytes_32,
      [AVX2_BITS_64] = walk_bits_64,
      [AVX2_BITS_32] = walk_bits_32,
      [AVX2_Q5_0] = walk_q5_0,
      [AVX2_Q5_1] = walk_q5_1,
      [AVX2_Q4_K] = walk_q4_k,
      [AVX2_Q5_K] = walk_q5_k,
      [AVX2_Q6_K] = walk_q6_k,
      [AVX2_UNPACKED_32] = walk_unpacked_32,
      [AVX2_UNPACKED_16] = walk_unpacked_16,
  };
  const avx2_form form = matmul_avx2_form(w);
  line_walk l = {.w = w, .x = x, .p = scratch, .p_stride = products_of((size_t)w->n_blocks)};
  for (int i = 0; i < n; i += ROWS) {
    l.r0 = r0 + i;
    l.n = n - i < ROWS ? n - i : ROWS;
    for (l.first = 0; l.first < x->n_rows; l.first += l.t) {
      l.t = x->n_rows - l.first < AVX2_ROW_MAX ? x->n_rows - l.first : AVX2_ROW_MAX;
      walks[form](&l);
      for (int k = 0; k < l.t; k++) {
        float y[ROWS];
        add_up(l.p + (size_t)k * l.p_stride, w->n_blocks, y);
        memcpy(out + (l.first + k) * out_stride + l.r0, y, (size_t)l.n * sizeof *y);
      }
    }
  }
}
