// Five and more rows of x against tiles of 16 rows of weights. A tile holds AVX2_CHUNK columns as int16,
// pairs of columns of the 16 rows side by side: 64 bytes a pair, two vectors of 8 rows; x broadcasts a pair.
// So no lane is ever added up: a vector of 8 rows keeps its dots through a block, then becomes 8 products p
// and is added to 8 results.
//
// For each pair of columns of a panel of 6 rows: 2 loads, 6 broadcasts, 12 vpmaddwd, 12 additions for 384
// products (with AVX-VNNI 12 vpdpwssd). The vector units bound it: 24 instructions where two (Zen) can start
// a cycle. Reached on one thread of a Zen 5 with 64 rows: 150 to 178 GOP/s, with AVX-VNNI 168 to 197. A tile
// costs about 0.5 instructions a code, its scales 0.13: a third of the work for 8 rows, a twentieth of that
// for 64. The next unit's bytes are fetched meanwhile: 16 rows at once are more than a processor follows by
// itself.
//
// int8 activations meet tiles of bytes, four columns of 16 rows side by side: the same instructions
// (vpmaddubsw and an addition in 16 bits, or vpdpbusd) for twice as many products, and a few more to widen
// the sums of 16 bits before they overflow. Reached with 64 rows of 4-bit codes: 210, with AVX-VNNI 275.
#include "backend/cpu/cpu_matmul_avx2.h"

// A tile's groups are pairs of columns as int16, or four as bytes.
enum { TILE_ROWS = 16, GROUP = 64, CHUNK_BLOCKS = AVX2_CHUNK / 16 };

// What the next unit's tile is made from, fetched in as many shares as this tile has blocks, beside the
// products of the first panel.
typedef struct tile_ahead {
  const uint8_t *codes; // of the next unit's first row
  size_t row_bytes, bytes;
} tile_ahead;

// A thread's scratch.
typedef struct tile_scratch {
  uint8_t tile[TILE_ROWS * AVX2_CHUNK * 2];                // [group of columns][16 rows][its columns]
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
  bool bytes; // else int16
} tile_source;

static const uint8_t *row_blocks(const tile_source *s, int i) {
  return (const uint8_t *)s->w->m.data + (size_t)s->row[i] * s->w->m.row_bytes +
         (size_t)s->g * matmul_avx2_block_bytes(s->w);
}

static void store(uint8_t *p, __m256i v) { _mm256_store_si256((__m256i *)(void *)p, v); }

// The low and the high nibbles of bytes, as groups of a tile of bytes.
MATMUL_INLINE void store_nibbles(uint8_t *low, uint8_t *high, __m256i v) {
  const __m256i mask = _mm256_set1_epi8(15);
  store(low, _mm256_and_si256(v, mask));
  store(high, _mm256_and_si256(_mm256_srli_epi16(v, 4), mask));
}

// 64 columns whose nibbles lie in sequence: a dword has 8 of them, two of each column mod 4.
static void fill_nibbles_64(const tile_source *s, uint8_t *tile) {
  for (int b = 0; b < s->n; b++, tile += (s->bytes ? 16 : 32) * GROUP) {
    __m256i v[8], c[4];
    for (int i = 0; i < 8; i++) v[i] = matmul_avx2_load(row_blocks(s, i) + 32 * (size_t)b);
    matmul_avx2_transpose(v);
    for (int d = 0; d < 8; d++) {
      if (s->bytes) {
        store_nibbles(tile + 2 * d * GROUP, tile + (2 * d + 1) * GROUP, v[d]);
        continue;
      }
      matmul_avx2_nibbles(v[d], c);
      for (int k = 0; k < 4; k++) store(tile + (k * 8 + d) * GROUP, c[k]);
    }
  }
}

// Two blocks of 32 columns: the first has dwords 0 .. 3, the second 4 .. 7.
static void fill_nibbles_32(const tile_source *s, uint8_t *tile) {
  const size_t step = matmul_avx2_block_bytes(s->w), head = matmul_avx2_head(s->form);
  const bool halves = s->form != AVX2_NIBBLES_32;
  for (int b = 0; b < s->n; b += 2, tile += (s->bytes ? 16 : 32) * GROUP) {
    __m256i v[8], c[4];
    for (int i = 0; i < 8; i++) {
      const uint8_t *p = row_blocks(s, i) + (size_t)b * step + head;
      v[i] = matmul_avx2_two(p, p + step);
    }
    matmul_avx2_transpose(v);
    for (int d = 0; d < 8; d++) {
      if (s->bytes) {
        uint8_t *low = tile + (d / 4 * 8 + d % 4 * (halves ? 1 : 2)) * GROUP;
        store_nibbles(low, low + (halves ? 4 : 1) * GROUP, v[d]);
        continue;
      }
      matmul_avx2_nibbles(v[d], c);
      for (int k = 0; k < 4; k++) store(tile + (d / 4 * 16 + k * 4 + d % 4) * GROUP, c[k]);
    }
  }
}

// 32 columns of bytes at a time, `step` from one 32 of a row to the next. As int16 columns 4 d and 4 d + 2
// are the even ones of a block, so they come before the odd ones of the same block of 16 or of 32 and more.
MATMUL_INLINE void fill_bytes(const tile_source *s, const uint8_t *const rows[8], size_t step,
                              uint8_t *tile) {
  const bool is_signed = s->form == AVX2_Q8_0, sixteen = s->w->block == 16;
  const __m256i sign = _mm256_set1_epi8(is_signed ? -128 : 0); // bytes of a tile have none
  for (int b = 0; b < s->n * s->w->block; b += 32, tile += (s->bytes ? 8 : 16) * GROUP) {
    __m256i v[8], c[2];
    for (int i = 0; i < 8; i++) v[i] = matmul_avx2_load(rows[i] + (size_t)(b / 32) * step);
    matmul_avx2_transpose(v);
    for (int d = 0; d < 8; d++) {
      if (s->bytes) {
        store(tile + d * GROUP, _mm256_xor_si256(v[d], sign));
        continue;
      }
      if (is_signed)
        matmul_avx2_bytes(true, v[d], c);
      else
        matmul_avx2_bytes(false, v[d], c);
      const int even = sixteen ? d / 4 * 8 + d % 4 : d, odd = sixteen ? even + 4 : 8 + d;
      store(tile + even * GROUP, c[0]);
      store(tile + odd * GROUP, c[1]);
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
  fill_bytes(s, rows, s->form == AVX2_Q8_0 ? PN_Q8_0_BYTES : 32, tile);
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
  fill_bytes(s, rows, 32, tile);
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
static void fill(const pn_weight *w, int64_t r0, int n, int g, int n_blocks, bool bytes, tile_scratch *t) {
  tile_source s = {.w = w, .form = matmul_avx2_form(w), .g = g, .n = n_blocks, .bytes = bytes};
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

// Four columns of row t of x, in every lane.
MATMUL_INLINE __m256i four_bytes(const int8_t *x, int t) {
  int v;
  memcpy(&v, x + 4 * t, 4);
  return _mm256_set1_epi32(v);
}

// Eight pairs of columns of int16; a[2 t] and a[2 t + 1] are the dots of the panel's row t.
MATMUL_INLINE void eight_pairs(__m256i a[], const uint8_t *tile, const int8_t *x, int width) {
  MATMUL_UNROLL
  for (int j = 0; j < 8; j++) {
    const __m256i u = matmul_avx2_load(tile + j * GROUP), v = matmul_avx2_load(tile + j * GROUP + 32);
    MATMUL_UNROLL
    for (int t = 0; t < width; t++) {
      const __m256i pair = four_bytes(x, j * width + t);
      a[2 * t] = matmul_avx2_add_pairs(a[2 * t], pair, u);
      SETTLE(a[2 * t]);
      a[2 * t + 1] = matmul_avx2_add_pairs(a[2 * t + 1], pair, v);
      SETTLE(a[2 * t + 1]);
    }
  }
}

// n fours of columns as bytes, with `count` rows of a panel of `width`. Products of `most` fours fit into 16
// bits.
MATMUL_INLINE void some_fours(__m256i a[], const uint8_t *tile, const int8_t *x, int width, int count, int n,
                              int most) {
#ifdef __AVXVNNI__
  (void)most;
  for (int j = 0; j < n; j += 4, tile += 4 * GROUP, x += 16 * width) {
    MATMUL_UNROLL
    for (int i = 0; i < 4; i++) {
      const __m256i u = matmul_avx2_load(tile + i * GROUP), v = matmul_avx2_load(tile + i * GROUP + 32);
      MATMUL_UNROLL
      for (int t = 0; t < count; t++) {
        const __m256i four = four_bytes(x, i * width + t);
        a[2 * t] = _mm256_dpbusd_avx_epi32(a[2 * t], u, four);
        SETTLE(a[2 * t]);
        a[2 * t + 1] = _mm256_dpbusd_avx_epi32(a[2 * t + 1], v, four);
        SETTLE(a[2 * t + 1]);
      }
    }
  }
#else
  const __m256i one = _mm256_set1_epi16(1);
  for (int j = 0; j < n; j += most) {
    __m256i s[AVX2_PANEL_MAX];
    MATMUL_UNROLL
    for (int t = 0; t < 2 * count; t++) s[t] = _mm256_setzero_si256();
    for (int l = 0; l < most; l++, tile += GROUP, x += 4 * width) {
      const __m256i u = matmul_avx2_load(tile), v = matmul_avx2_load(tile + 32);
      MATMUL_UNROLL
      for (int t = 0; t < count; t++) {
        const __m256i four = four_bytes(x, t);
        s[2 * t] = _mm256_add_epi16(s[2 * t], _mm256_maddubs_epi16(u, four));
        SETTLE(s[2 * t]);
        s[2 * t + 1] = _mm256_add_epi16(s[2 * t + 1], _mm256_maddubs_epi16(v, four));
        SETTLE(s[2 * t + 1]);
      }
    }
    MATMUL_UNROLL
    for (int t = 0; t < 2 * count; t++) a[t] = _mm256_add_epi32(a[t], _mm256_madd_epi16(s[t], one));
  }
#endif
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

// What the panels of a chunk have in common.
typedef struct tile_walk {
  const matmul_x *x;
  tile_scratch *s;
  int g, n; // blocks
  int most; // fours of columns whose products fit into 16 bits
} tile_walk;

// The tile's blocks with the panel of `width` rows of x from `first` on. Of bytes without vpdpbusd half of
// the panel at a time, since each dot has two sums.
MATMUL_INLINE void panel_of(const tile_walk *c, bool bytes, int block, bool bias, int first, int width,
                            float *acc) {
#ifdef __AVXVNNI__
  const int pass = width;
#else
  const int pass = bytes && width > 3 ? (width + 1) / 2 : width;
#endif
  const matmul_x *x = c->x;
  const tile_scratch *s = c->s;
  const tile_ahead ahead = first == 0 ? s->ahead : (tile_ahead){.bytes = 0};
  const int x_bytes = block * width * (bytes ? 1 : 2);
  const int8_t *q = x->q + (size_t)first * x->q_stride + (size_t)c->g * (size_t)x_bytes;
  const uint8_t *tile = s->tile;
  for (int b = 0; b < c->n; b++, q += x_bytes, tile += block / (bytes ? 4 : 2) * GROUP) {
    const size_t at = (size_t)first * x->s_stride + (size_t)(c->g + b);
    const float *scale = s->scale + b * TILE_ROWS, *biases = s->bias + b * TILE_ROWS;
    MATMUL_UNROLL
    for (int t0 = 0; t0 < width; t0 += pass) {
      const int count = width - t0 < pass ? width - t0 : pass;
      __m256i a[2 * AVX2_PANEL_MAX];
      MATMUL_UNROLL
      for (int t = 0; t < count; t++)
        a[2 * t] = a[2 * t + 1] = _mm256_set1_epi32(x->shift[at + (size_t)(t0 + t) * x->s_stride]);
      if (bytes) {
        some_fours(a, tile, q + 4 * t0, width, count, block / 4, c->most);
      } else {
        for (int j = 0; j < block / 16; j++) eight_pairs(a, tile + 8 * j * GROUP, q + 32 * j * width, width);
      }
      if (t0 == 0) fetch_share(&ahead, b, c->n);
      MATMUL_UNROLL
      for (int t = 0; t < count; t++) {
        const size_t i = at + (size_t)(t0 + t) * x->s_stride;
        float *to = acc + (t0 + t) * TILE_ROWS;
        add_products(a[2 * t], bias, scale, biases, x->dx[i], x->sum[i], to);
        add_products(a[2 * t + 1], bias, scale + 8, biases + 8, x->dx[i], x->sum[i], to + 8);
      }
    }
  }
}

MATMUL_INLINE void panels_of(const tile_walk *c, bool bytes, int block, bool bias) {
  for (int k = 0, width; k < c->x->n_rows; k += width) {
    float *acc = c->s->acc + k * TILE_ROWS;
    switch (width = matmul_avx2_panel(c->x->n_rows - k)) {
    case 1: panel_of(c, bytes, block, bias, k, 1, acc); break;
    case 2: panel_of(c, bytes, block, bias, k, 2, acc); break;
    case 3: panel_of(c, bytes, block, bias, k, 3, acc); break;
    case 4: panel_of(c, bytes, block, bias, k, 4, acc); break;
    case 5: panel_of(c, bytes, block, bias, k, 5, acc); break;
    default: panel_of(c, bytes, block, bias, k, 6, acc); break;
    }
  }
}

typedef void panels_fn(const tile_walk *c);
static void panels_64(const tile_walk *c) { panels_of(c, false, 64, true); }
static void panels_32(const tile_walk *c) { panels_of(c, false, 32, true); }
static void panels_32_plain(const tile_walk *c) { panels_of(c, false, 32, false); }
static void panels_16(const tile_walk *c) { panels_of(c, false, 16, true); }
static void panels_16_plain(const tile_walk *c) { panels_of(c, false, 16, false); }
static void bytes_64(const tile_walk *c) { panels_of(c, true, 64, true); }
static void bytes_32(const tile_walk *c) { panels_of(c, true, 32, true); }
static void bytes_32_plain(const tile_walk *c) { panels_of(c, true, 32, false); }
static void bytes_16(const tile_walk *c) { panels_of(c, true, 16, true); }
static void bytes_16_plain(const tile_walk *c) { panels_of(c, true, 16, false); }

static panels_fn *panels_for(const pn_weight *w, bool bytes) {
  if (w->block == 64) return bytes ? bytes_64 : panels_64;
  if (w->block == 16 && w->biased) return bytes ? bytes_16 : panels_16;
  if (w->block == 16) return bytes ? bytes_16_plain : panels_16_plain;
  if (w->biased) return bytes ? bytes_32 : panels_32;
  return bytes ? bytes_32_plain : panels_32_plain;
}

size_t AVX2_OF_TIER(tile_bytes)(void) { return sizeof(tile_scratch); }

void AVX2_OF_TIER(tile)(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                        int64_t out_stride, void *scratch) {
  tile_scratch *s = scratch;
  const bool bytes = matmul_avx2_bytes_of(x);
  panels_fn *panels = panels_for(w, bytes);
  tile_walk c = {.x = x, .s = s, .most = w->bits <= 4 ? 8 : w->bits == 5 ? 4 : 2};
  const size_t block_bytes = matmul_avx2_block_bytes(w);
  const int chunk = AVX2_CHUNK / w->block;
  if (c.most > w->block / 4) c.most = w->block / 4;
  memset(s->acc, 0, (size_t)x->n_rows * TILE_ROWS * sizeof *s->acc);
  for (; c.g < w->n_blocks; c.g += chunk) {
    c.n = w->n_blocks - c.g < chunk ? w->n_blocks - c.g : chunk;
    fill(w, r0, n, c.g, c.n, bytes, s);
    s->ahead = (tile_ahead){(const uint8_t *)w->m.data + (size_t)(r0 + TILE_ROWS) * w->m.row_bytes +
                                (size_t)c.g * block_bytes,
                            w->m.row_bytes, (size_t)c.n * block_bytes};
    panels(&c);
  }
  for (int k = 0; k < x->n_rows; k++)
    memcpy(out + k * out_stride + r0, s->acc + k * TILE_ROWS, (size_t)n * sizeof *out);
}
