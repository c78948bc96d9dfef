// Five and more rows of x against tiles of 16 rows of weights. A tile holds AVX2_CHUNK columns as int16,
// pairs of columns of the 16 rows side by side: 64 bytes a pair, two vectors of 8 rows; x broadcasts a pair.
// So no lane is ever added up: a vector of 8 rows keeps its dots through a block, then becomes 8 products p
// and is added to 8 results.
//
// For each pair of columns of a panel of 6 rows: 2 loads, 6 broadcasts, 12 vpmaddwd, 12 additions for 384
// products (with AVX-VNNI 12 vpdpwssd). The vector units bound it: 24 instructions where two (Zen) can start
// a cycle. A tile costs 0.5 instructions a code, its scales 0.13: a third of the time of 8 rows, a twentieth
// of that of 64, so the next unit's bytes are fetched meanwhile: 16 rows at once are more than a processor
// follows by itself.
#include "backend/cpu/cpu_matmul_avx2.h"

enum { TILE_ROWS = 16, PAIR_BYTES = 64, CHUNK_BLOCKS = AVX2_CHUNK / 16 };

// What the next unit's tile is made from, fetched in as many shares as this tile has blocks, beside the
// products of the first panel.
typedef struct tile_ahead {
  const uint8_t *codes; // of the next unit's first row
  size_t row_bytes, bytes;
} tile_ahead;

// A thread's scratch.
typedef struct tile_scratch {
  uint8_t tile[TILE_ROWS * AVX2_CHUNK * 2];                // [pair of columns][16 rows][2] int16
  float scale[CHUNK_BLOCKS * 16], bias[CHUNK_BLOCKS * 16]; // [block][row]
  uint8_t codes[8][AVX2_CHUNK];                            // rows of a kind that has to be unpacked
  float acc[MATMUL_SLICE * TILE_ROWS];                     // [row of x][row]
  tile_ahead ahead;
} tile_scratch;

// What a tile is made from: 8 of its rows, the blocks [g, g + n) of each.
typedef struct tile_source {
  const pn_weight *w;
  avx2_form form;
  int64_t row[8]; // those behind the matrix's end repeat its last
  int g, n;
} tile_source;

static const uint8_t *row_blocks(const tile_source *s, int i) {
  return (const uint8_t *)s->w->m.data + (size_t)s->row[i] * s->w->m.row_bytes +
         (size_t)s->g * matmul_avx2_block_bytes(s->w);
}

static void store(uint8_t *p, __m256i v) { _mm256_store_si256((__m256i *)(void *)p, v); }

// 64 columns whose nibbles lie in sequence: a dword has 8 of them, two of each column mod 4.
static void fill_nibbles_64(const tile_source *s, uint8_t *tile) {
  for (int b = 0; b < s->n; b++, tile += 32 * PAIR_BYTES) {
    __m256i v[8], c[4];
    for (int i = 0; i < 8; i++) v[i] = matmul_avx2_load(row_blocks(s, i) + 32 * (size_t)b);
    matmul_avx2_transpose(v);
    for (int d = 0; d < 8; d++) {
      matmul_avx2_nibbles(v[d], c);
      for (int k = 0; k < 4; k++) store(tile + (k * 8 + d) * PAIR_BYTES, c[k]);
    }
  }
}

// Two blocks of 32 columns: the first has dwords 0 .. 3, the second 4 .. 7.
static void fill_nibbles_32(const tile_source *s, uint8_t *tile) {
  const size_t step = matmul_avx2_block_bytes(s->w), head = matmul_avx2_head(s->form);
  for (int b = 0; b < s->n; b += 2, tile += 32 * PAIR_BYTES) {
    __m256i v[8], c[4];
    for (int i = 0; i < 8; i++) {
      const uint8_t *p = row_blocks(s, i) + (size_t)b * step + head;
      v[i] = matmul_avx2_two(p, p + step);
    }
    matmul_avx2_transpose(v);
    for (int d = 0; d < 8; d++) {
      matmul_avx2_nibbles(v[d], c);
      for (int k = 0; k < 4; k++) store(tile + (d / 4 * 16 + k * 4 + d % 4) * PAIR_BYTES, c[k]);
    }
  }
}

// 32 columns of bytes at a time, `step` from one 32 of a row to the next. Columns 4 d and 4 d + 2 are the
// even ones of a block, so they come before the odd ones of the same block of 16 or of 32 and more.
MATMUL_INLINE void fill_bytes(bool is_signed, bool sixteen, const uint8_t *const rows[8], size_t step, int n,
                              uint8_t *tile) {
  for (int b = 0; b < n; b++, tile += 16 * PAIR_BYTES) {
    __m256i v[8], c[2];
    for (int i = 0; i < 8; i++) v[i] = matmul_avx2_load(rows[i] + (size_t)b * step);
    matmul_avx2_transpose(v);
    for (int d = 0; d < 8; d++) {
      matmul_avx2_bytes(is_signed, v[d], c);
      const int even = sixteen ? d / 4 * 8 + d % 4 : d, odd = sixteen ? even + 4 : 8 + d;
      store(tile + even * PAIR_BYTES, c[0]);
      store(tile + odd * PAIR_BYTES, c[1]);
    }
  }
}

static void fill_any_bytes(const tile_source *s, uint8_t *tile, uint8_t codes[8][AVX2_CHUNK]) {
  const uint8_t *rows[8];
  const int cols = s->n * s->w->block;
  const bool other_bits = s->form == AVX2_BITS_64 || s->form == AVX2_BITS_32;
  for (int i = 0; i < 8; i++) {
    rows[i] = row_blocks(s, i) + matmul_avx2_head(s->form);
    if (!other_bits) continue;
    matmul_avx2_unpack(s->w->m.bits, rows[i], cols, codes[i]);
    rows[i] = codes[i];
  }
  if (s->form == AVX2_Q8_0)
    fill_bytes(true, false, rows, PN_Q8_0_BYTES, s->n, tile);
  else
    fill_bytes(false, false, rows, 32, cols / 32, tile);
}

// Kinds of the table: codes and scales of 8 rows.
static void fill_unpacked(const tile_source *s, uint8_t *tile, float *scale, float *bias,
                          uint8_t codes[8][AVX2_CHUNK]) {
  const pn_kind *kind = matmul_avx2_kind_of(s->w->m.kind);
  const int cols = s->n * s->w->block, first = s->g * s->w->block;
  const uint8_t *rows[8];
  float u[8][CHUNK_BLOCKS] = {{0}}, v[8][CHUNK_BLOCKS] = {{0}};
  for (int i = 0; i < 8; i++) {
    const int64_t block = s->row[i] * (s->w->m.cols / kind->block) + first / kind->block;
    const uint8_t *p = (const uint8_t *)s->w->m.data + block * kind->bytes;
    kind->codes(p, cols / kind->block, codes[i]);
    kind->scales(matmul_scales_at(s->w, kind, block), cols / kind->block, u[i], v[i]);
    rows[i] = codes[i];
  }
  if (s->w->block == 16)
    fill_bytes(false, true, rows, 32, cols / 32, tile);
  else
    fill_bytes(false, false, rows, 32, cols / 32, tile);
  for (int b = 0; b < s->n; b += 8) {
    __m256i x[8], y[8];
    for (int i = 0; i < 8; i++) x[i] = matmul_avx2_load(u[i] + b), y[i] = matmul_avx2_load(v[i] + b);
    matmul_avx2_transpose(x);
    matmul_avx2_transpose(y);
    for (int i = 0; i < 8; i++) {
      _mm256_store_si256((__m256i *)(void *)(scale + (b + i) * TILE_ROWS), x[i]);
      _mm256_store_si256((__m256i *)(void *)(bias + (b + i) * TILE_ROWS), y[i]);
    }
  }
}

static void fill_scales(const tile_source *s, float *scale, float *bias) {
  const int64_t all = s->w->m.rows * s->w->n_blocks;
  avx2_rest rest;
  for (int b = 0; b < s->n; b += AVX2_STEP) {
    __m256i u[8], v[8];
    const int m = s->n - b < AVX2_STEP ? s->n - b : AVX2_STEP;
    for (int i = 0; i < 8; i++) {
      const int64_t first = s->row[i] * s->w->n_blocks + s->g + b;
      avx2_blocks blocks = matmul_avx2_blocks_at(s->w, first);
      if (first + AVX2_STEP > all) blocks = matmul_avx2_copy_blocks(s->w, blocks, m, &rest);
      __m256 x, y;
      matmul_avx2_scales(s->form, s->w, &blocks, &x, &y);
      u[i] = _mm256_castps_si256(x);
      v[i] = _mm256_castps_si256(y);
    }
    matmul_avx2_transpose(u);
    matmul_avx2_transpose(v);
    for (int i = 0; i < m; i++) {
      _mm256_store_si256((__m256i *)(void *)(scale + (b + i) * TILE_ROWS), u[i]);
      _mm256_store_si256((__m256i *)(void *)(bias + (b + i) * TILE_ROWS), v[i]);
    }
  }
}

// The blocks [g, g + n_blocks) of the rows r0 .. r0 + n.
static void fill(const pn_weight *w, int64_t r0, int n, int g, int n_blocks, tile_scratch *t) {
  tile_source s = {.w = w, .form = matmul_avx2_form(w), .g = g, .n = n_blocks};
  for (int half = 0; half < 2; half++) {
    for (int i = 0; i < 8; i++) s.row[i] = r0 + (half * 8 + i < n ? half * 8 + i : n - 1);
    uint8_t *tile = t->tile + half * 32;
    float *scale = t->scale + half * 8, *bias = t->bias + half * 8;
    if (s.form >= AVX2_Q5_0) {
      fill_unpacked(&s, tile, scale, bias, t->codes);
      continue;
    }
    switch (s.form) {
    case AVX2_NIBBLES_64: fill_nibbles_64(&s, tile); break;
    case AVX2_NIBBLES_32:
    case AVX2_Q4_0:
    case AVX2_Q4_1: fill_nibbles_32(&s, tile); break;
    default: fill_any_bytes(&s, tile, t->codes); break;
    }
    fill_scales(&s, scale, bias);
  }
}

// gcc would otherwise put off an addition, and with that need more registers than there are.
#define SETTLE(r) __asm__("" : "+x"(r))

// Eight pairs of columns; a[2 t] and a[2 t + 1] are the dots of the panel's row t.
MATMUL_INLINE void eight_pairs(__m256i a[], const uint8_t *tile, const int16_t *x, int width) {
  MATMUL_UNROLL
  for (int j = 0; j < 8; j++) {
    const __m256i u = _mm256_load_si256((const __m256i *)(const void *)(tile + j * PAIR_BYTES));
    const __m256i v = _mm256_load_si256((const __m256i *)(const void *)(tile + j * PAIR_BYTES + 32));
    MATMUL_UNROLL
    for (int t = 0; t < width; t++) {
      int pair;
      memcpy(&pair, x + 2 * (j * width + t), 4);
      const __m256i b = _mm256_set1_epi32(pair);
      a[2 * t] = matmul_avx2_add_pairs(a[2 * t], b, u);
      SETTLE(a[2 * t]);
      a[2 * t + 1] = matmul_avx2_add_pairs(a[2 * t + 1], b, v);
      SETTLE(a[2 * t + 1]);
    }
  }
}

// acc += p of 8 rows.
MATMUL_INLINE void add_products(__m256i dot, bool has_bias, const float *scale, const float *bias, float dx,
                                float sum, float *acc) {
  __m256 v = _mm256_mul_ps(_mm256_load_ps(scale), _mm256_mul_ps(_mm256_set1_ps(dx), _mm256_cvtepi32_ps(dot)));
  if (has_bias) v = _mm256_fmadd_ps(_mm256_load_ps(bias), _mm256_set1_ps(sum), v);
  _mm256_store_ps(acc, _mm256_add_ps(_mm256_load_ps(acc), v));
}

MATMUL_INLINE void fetch_share(const tile_ahead *a, int b, int n) {
  for (int row = TILE_ROWS * b / n; row < TILE_ROWS * (b + 1) / n; row++)
    for (size_t i = 0; i < a->bytes; i += 64)
      _mm_prefetch((const char *)a->codes + (size_t)row * a->row_bytes + i, _MM_HINT_T0);
}

// The tile's blocks [g, g + n) with the panel of `width` rows of x from `first` on.
MATMUL_INLINE void panel_of(const matmul_x *x, int block, bool bias, const tile_scratch *s, int g, int n,
                            int first, int width, float *acc) {
  const tile_ahead ahead = first == 0 ? s->ahead : (tile_ahead){.bytes = 0};
  const int16_t *q = (const int16_t *)(const void *)(x->q + (size_t)first * x->q_stride) +
                     (size_t)g * (size_t)(block * width);
  const uint8_t *tile = s->tile;
  for (int b = 0; b < n; b++) {
    const size_t at = (size_t)first * x->s_stride + (size_t)(g + b);
    __m256i a[2 * AVX2_PANEL_MAX];
    MATMUL_UNROLL
    for (int t = 0; t < width; t++)
      a[2 * t] = a[2 * t + 1] = _mm256_set1_epi32(x->shift[at + (size_t)t * x->s_stride]);
    for (int j = 0; j < block / 16; j++, tile += 8 * PAIR_BYTES, q += 16 * width)
      eight_pairs(a, tile, q, width);
    fetch_share(&ahead, b, n);
    MATMUL_UNROLL
    for (int t = 0; t < width; t++) {
      const float dx = x->dx[at + (size_t)t * x->s_stride], sum = x->sum[at + (size_t)t * x->s_stride];
      const int m = b * TILE_ROWS;
      add_products(a[2 * t], bias, s->scale + m, s->bias + m, dx, sum, acc + t * TILE_ROWS);
      add_products(a[2 * t + 1], bias, s->scale + m + 8, s->bias + m + 8, dx, sum, acc + t * TILE_ROWS + 8);
    }
  }
}

MATMUL_INLINE void panels_of(const matmul_x *x, int block, bool bias, tile_scratch *s, int g, int n) {
  for (int k = 0, width; k < x->n_rows; k += width) {
    float *acc = s->acc + k * TILE_ROWS;
    switch (width = matmul_avx2_panel(x->n_rows - k)) {
    case 1: panel_of(x, block, bias, s, g, n, k, 1, acc); break;
    case 2: panel_of(x, block, bias, s, g, n, k, 2, acc); break;
    case 3: panel_of(x, block, bias, s, g, n, k, 3, acc); break;
    case 4: panel_of(x, block, bias, s, g, n, k, 4, acc); break;
    case 5: panel_of(x, block, bias, s, g, n, k, 5, acc); break;
    default: panel_of(x, block, bias, s, g, n, k, 6, acc); break;
    }
  }
}

static void panels_64(const matmul_x *x, tile_scratch *s, int g, int n) { panels_of(x, 64, true, s, g, n); }
static void panels_32(const matmul_x *x, tile_scratch *s, int g, int n) { panels_of(x, 32, true, s, g, n); }
static void panels_32_plain(const matmul_x *x, tile_scratch *s, int g, int n) {
  panels_of(x, 32, false, s, g, n);
}
static void panels_16(const matmul_x *x, tile_scratch *s, int g, int n) { panels_of(x, 16, true, s, g, n); }
static void panels_16_plain(const matmul_x *x, tile_scratch *s, int g, int n) {
  panels_of(x, 16, false, s, g, n);
}

size_t AVX2_OF_TIER(tile_bytes)(void) { return sizeof(tile_scratch); }

void AVX2_OF_TIER(tile)(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                        int64_t out_stride, void *scratch) {
  tile_scratch *s = scratch;
  const int chunk = AVX2_CHUNK / w->block;
  memset(s->acc, 0, (size_t)x->n_rows * TILE_ROWS * sizeof *s->acc);
  for (int g = 0; g < w->n_blocks; g += chunk) {
    const int m = w->n_blocks - g < chunk ? w->n_blocks - g : chunk;
    fill(w, r0, n, g, m, s);
    const size_t at = (size_t)g * matmul_avx2_block_bytes(w);
    s->ahead = (tile_ahead){(const uint8_t *)w->m.data + (size_t)(r0 + TILE_ROWS) * w->m.row_bytes + at,
                            w->m.row_bytes, (size_t)m * matmul_avx2_block_bytes(w)};
    if (w->block == 64)
      panels_64(x, s, g, m);
    else if (w->block == 16)
      (w->biased ? panels_16 : panels_16_plain)(x, s, g, m);
    else if (w->biased)
      panels_32(x, s, g, m);
    else
      panels_32_plain(x, s, g, m);
  }
  for (int k = 0; k < x->n_rows; k++)
    memcpy(out + k * out_stride + r0, s->acc + k * TILE_ROWS, (size_t)n * sizeof *out);
}
