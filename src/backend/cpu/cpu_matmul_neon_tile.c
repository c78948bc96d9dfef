// Five and more rows of x against tiles of 16 rows of weights. A tile holds NEON_CHUNK columns as signed
// bytes, groups of columns of some rows side by side in a vector: 4 columns of 4 rows, or 8 of 2 for smmla. A
// panel of x has groups of as many columns of up to 4 rows. So no lane is ever added up: a vector of dots
// stays through a block, then becomes products p and is added to as many results.
//
// For 8 columns of a panel of 4 rows and a plane of x (512 products): sdot 8 + 2 loads, 32 sdot; smmla 8 + 2
// loads, 16 smmla. Then for each block and each of its 16 vectors of dots: a conversion, two products, an
// addition, and where there is a bias a fused product, for a second plane a shift. So a block of 32 with
// int16 activations takes about 500 instructions for 2048 products of int16 with sdot and 375 with smmla,
// counted in gcc's loops; sdot (smmla) bounds it. No speed was measured: there was no Arm machine.
#include "backend/cpu/cpu_matmul_neon.h"

enum {
  TILE_ROWS = 16,
  CHUNK_BLOCKS = NEON_CHUNK / 16,
  TOGETHER = 16 / NEON_GROUP,        // rows of a vector of codes
  VECTORS = TILE_ROWS / TOGETHER,    // of codes, for a group of columns
  LANES = 4 / TOGETHER,              // rows of x whose dots a vector has
  X_VECTORS = NEON_PANEL_MAX / LANES // vectors of dots for each vector of codes
};

// A thread's scratch.
typedef struct tile_scratch {
  int8_t tile[TILE_ROWS * NEON_CHUNK]; // [vector][group of columns][row][column]
  float32x4_t scale[CHUNK_BLOCKS * VECTORS], bias[CHUNK_BLOCKS * VECTORS]; // [block][vector], as dots lie
  uint8_t codes[TOGETHER][NEON_CHUNK];
  float number[2][4][CHUNK_BLOCKS];                      // scales and biases of four rows
  float32x4_t acc[(MATMUL_SLICE / LANES + 1) * VECTORS]; // [rows of x that share vectors][vector]
} tile_scratch;

// What a tile is made from: the blocks [g, g + n) of rows from r0 on; those behind the last repeat it.
typedef struct tile_source {
  const pn_weight *w;
  int64_t r0;
  int last, g, n;
} tile_source;

static int64_t row_of(const tile_source *s, int i) { return s->r0 + (i < s->last ? i : s->last); }

// The codes of a row as unsigned bytes, in the order in which x lies.
static void codes_of(const tile_source *s, int i, uint8_t *codes) {
  const pn_weight *w = s->w;
  const int cols = s->n * w->block;
  const uint8_t *p = (const uint8_t *)w->m.data + (size_t)row_of(s, i) * w->m.row_bytes;
  if (w->m.kind != PN_AFFINE) {
    const pn_kind *kind = matmul_neon_kind_of(w->m.kind);
    kind->codes(p + (size_t)(s->g * w->block / kind->block) * kind->bytes, cols / kind->block, codes);
    return;
  }
  p += (size_t)s->g * matmul_neon_block_bytes(w);
  if (w->m.bits == 8) {
    memcpy(codes, p, (size_t)cols);
  } else if (w->m.bits == 4) {
    const int half = w->block / 2;
    for (int b = 0; b < cols; b += w->block, p += half) {
      for (int k = 0; k < half; k += 16) {
        const uint8x16_t v = vld1q_u8(p + k);
        vst1q_u8(codes + b + k, vandq_u8(v, vdupq_n_u8(15)));
        vst1q_u8(codes + b + half + k, vshrq_n_u8(v, 4));
      }
    }
  } else {
    matmul_neon_unpack(w->m.bits, p, cols, codes);
  }
}

// The rows of vector v, from codes less `centre`.
static void fill_vector(const tile_source *s, int v, tile_scratch *t) {
  // Codes of 8 bits without an offset less 128, which the sums of x make up for.
  const bool wide = s->w->bits == 8 && s->w->biased;
  const uint8x16_t centre = vdupq_n_u8((uint8_t)(wide ? 128 : s->w->offset));
  int8_t *tile = t->tile + v * TOGETHER * NEON_CHUNK;
  for (int i = 0; i < TOGETHER; i++) codes_of(s, v * TOGETHER + i, t->codes[i]);
  for (int c = 0; c < s->n * s->w->block; c += 16, tile += 16 * TOGETHER) {
    uint8x16_t row[TOGETHER];
    for (int i = 0; i < TOGETHER; i++) row[i] = vsubq_u8(vld1q_u8(t->codes[i] + c), centre);
#ifdef __ARM_FEATURE_MATMUL_INT8
    const uint64x2x2_t turn = {{vreinterpretq_u64_u8(row[0]), vreinterpretq_u64_u8(row[1])}};
    vst2q_u64((uint64_t *)(void *)tile, turn);
#else
    const uint32x4x4_t turn = {{vreinterpretq_u32_u8(row[0]), vreinterpretq_u32_u8(row[1]),
                                vreinterpretq_u32_u8(row[2]), vreinterpretq_u32_u8(row[3])}};
    vst4q_u32((uint32_t *)(void *)tile, turn);
#endif
  }
}

// The numbers of four rows, [block][vector].
static void put_numbers(float number[4][CHUNK_BLOCKS], int n, int first, float32x4_t *to) {
  for (int b = 0; b < n; b += 4) {
    float32x4_t v[4];
    for (int i = 0; i < 4; i++) v[i] = vld1q_f32(number[i] + b);
    matmul_neon_transpose(v);
    for (int i = 0; i < 4; i++) {
      float32x4_t *at = to + (b + i) * VECTORS + first / TOGETHER;
#ifdef __ARM_FEATURE_MATMUL_INT8
      at[0] = vzip1q_f32(v[i], v[i]);
      at[1] = vzip2q_f32(v[i], v[i]);
#else
      at[0] = v[i];
#endif
    }
  }
}

static void fill_numbers(const tile_source *s, int first, tile_scratch *t) {
  const pn_weight *w = s->w;
  for (int i = 0; i < 4; i++) {
    const int64_t row = row_of(s, first + i);
    float *scale = t->number[0][i], *bias = t->number[1][i];
    if (w->m.kind == PN_AFFINE) {
      matmul_neon_affine_numbers(w, w->m.scales, row, s->g, s->n, scale);
      matmul_neon_affine_numbers(w, w->m.biases, row, s->g, s->n, bias);
      continue;
    }
    const pn_kind *kind = matmul_neon_kind_of(w->m.kind);
    const int blocks = s->g * w->block / kind->block, n = s->n * w->block / kind->block;
    kind->scales(matmul_scales_at(w, kind, row * (w->m.cols / kind->block) + blocks), n, scale, bias);
  }
  put_numbers(t->number[0], s->n, first, t->scale);
  put_numbers(t->number[1], s->n, first, t->bias);
}

static void fill(const tile_source *s, tile_scratch *t) {
  for (int v = 0; v < VECTORS; v++) fill_vector(s, v, t);
  for (int first = 0; first < TILE_ROWS; first += 4) fill_numbers(s, first, t);
}

// A group of columns of the tile with a panel of `width` rows of x; a[k][v] are dots of the k-th vector of x.
MATMUL_INLINE void multiply_group(int32x4_t a[X_VECTORS][VECTORS], const int8_t *tile, const int8_t *x,
                                  int width) {
  int8x16_t w[VECTORS];
  MATMUL_UNROLL
  for (int v = 0; v < VECTORS; v++) w[v] = vld1q_s8(tile + v * TOGETHER * NEON_CHUNK);
#ifdef __ARM_FEATURE_MATMUL_INT8
  MATMUL_UNROLL
  for (int k = 0; 2 * k < width; k++) {
    const int8x16_t rows = vld1q_s8(x + 16 * k); // of an odd number the last one's neighbour is anything
    MATMUL_UNROLL
    for (int v = 0; v < VECTORS; v++) a[k][v] = vmmlaq_s32(a[k][v], w[v], rows);
  }
#else
  const int8x16_t rows = vld1q_s8(x);
  MATMUL_UNROLL
  for (int v = 0; v < VECTORS; v++) {
    a[0][v] = vdotq_laneq_s32(a[0][v], w[v], rows, 0);
    if (width > 1) a[1][v] = vdotq_laneq_s32(a[1][v], w[v], rows, 1);
    if (width > 2) a[2][v] = vdotq_laneq_s32(a[2][v], w[v], rows, 2);
    if (width > 3) a[3][v] = vdotq_laneq_s32(a[3][v], w[v], rows, 3);
  }
#endif
}

// The numbers of the rows of x whose dots are in vector k of a panel, as dots lie. p: those of its first row.
MATMUL_INLINE float32x4_t numbers_of(const float *p, size_t stride, int k, int width) {
  const int first = k * LANES, other = first + 1 < width ? first + 1 : first;
  const float32x4_t a = vld1q_dup_f32(p + (size_t)first * stride);
  return LANES == 1 ? a : vzip1q_f32(a, vld1q_dup_f32(p + (size_t)other * stride));
}

MATMUL_INLINE int32x4_t shift_of(const int32_t *p, size_t stride, int k, int width) {
  const int first = k * LANES, other = first + 1 < width ? first + 1 : first;
  const int32x4_t a = vld1q_dup_s32(p + (size_t)first * stride);
  return LANES == 1 ? a : vzip1q_s32(a, vld1q_dup_s32(p + (size_t)other * stride));
}

// The tile's blocks [g, g + n) with the panel of `width` rows of x from `first` on.
MATMUL_INLINE void panel_of(const matmul_x *x, int block, bool bias, const tile_scratch *s, int g, int n,
                            int first, int width, float32x4_t *acc) {
  const int vectors = (width + LANES - 1) / LANES;
  const int8_t *q = x->q + (size_t)first * x->q_stride + (size_t)(g * block * x->planes * width);
  for (int b = 0; b < n; b++) {
    const size_t at = (size_t)first * x->s_stride + (size_t)(g + b);
    int32x4_t a[X_VECTORS][VECTORS];
    MATMUL_UNROLL
    for (int k = 0; k < vectors; k++) {
      MATMUL_UNROLL
      for (int v = 0; v < VECTORS; v++) a[k][v] = vdupq_n_s32(0);
    }
    for (int plane = 0; plane < x->planes; plane++) {
      const int8_t *tile = s->tile + b * block * TOGETHER;
      __asm__(""
              : "+r"(tile)); // gcc would otherwise keep a block of the tile for the next plane, and spill it
      if (plane) {
        MATMUL_UNROLL
        for (int k = 0; k < vectors; k++) {
          MATMUL_UNROLL
          for (int v = 0; v < VECTORS; v++) a[k][v] = vshlq_n_s32(a[k][v], 8);
        }
      }
      for (int c = 0; c < block; c += NEON_GROUP, tile += 16, q += NEON_GROUP * width)
        multiply_group(a, tile, q, width);
    }
    MATMUL_UNROLL
    for (int k = 0; k < vectors; k++) {
      const float32x4_t dx = numbers_of(x->dx + at, x->s_stride, k, width);
      const float32x4_t sum = numbers_of(x->sum + at, x->s_stride, k, width);
      const int32x4_t shift = shift_of(x->shift + at, x->s_stride, k, width);
      MATMUL_UNROLL
      for (int v = 0; v < VECTORS; v++) {
        const float32x4_t dot = vcvtq_f32_s32(bias ? vaddq_s32(a[k][v], shift) : a[k][v]);
        float32x4_t p = vmulq_f32(s->scale[b * VECTORS + v], vmulq_f32(dx, dot));
        if (bias) p = vfmaq_f32(p, s->bias[b * VECTORS + v], sum);
        acc[k * VECTORS + v] = vaddq_f32(acc[k * VECTORS + v], p);
      }
    }
  }
}

MATMUL_INLINE void panels_of(const matmul_x *x, int block, bool bias, tile_scratch *s, int g, int n) {
  float32x4_t *acc = s->acc;
  for (int k = 0, width; k < x->n_rows; k += width) {
    switch (width = matmul_neon_panel(x->n_rows - k)) {
    case 1: panel_of(x, block, bias, s, g, n, k, 1, acc); break;
    case 2: panel_of(x, block, bias, s, g, n, k, 2, acc); break;
    case 3: panel_of(x, block, bias, s, g, n, k, 3, acc); break;
    default: panel_of(x, block, bias, s, g, n, k, 4, acc); break;
    }
    acc += (width + LANES - 1) / LANES * VECTORS;
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

// The results of a panel's row, from where the tile's products were added up.
static void take_row(const float32x4_t *acc, int row, float y[TILE_ROWS]) {
  acc += row / LANES * VECTORS;
#ifdef __ARM_FEATURE_MATMUL_INT8
  for (int v = 0; v < VECTORS; v += 2)
    vst1q_f32(y + 2 * v, row % 2 ? vuzp2q_f32(acc[v], acc[v + 1]) : vuzp1q_f32(acc[v], acc[v + 1]));
#else
  for (int v = 0; v < VECTORS; v++) vst1q_f32(y + 4 * v, acc[v]);
#endif
}

size_t NEON_OF_TIER(tile_bytes)(void) { return sizeof(tile_scratch); }

void NEON_OF_TIER(tile)(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                        int64_t out_stride, void *scratch) {
  tile_scratch *s = scratch;
  const int chunk = NEON_CHUNK / w->block;
  memset(s->acc, 0, (size_t)(x->n_rows / LANES + 1) * VECTORS * sizeof *s->acc);
  for (int g = 0; g < w->n_blocks; g += chunk) {
    const int m = w->n_blocks - g < chunk ? w->n_blocks - g : chunk;
    fill(&(tile_source){w, r0, n - 1, g, m}, s);
    if (w->block == 64)
      panels_64(x, s, g, m);
    else if (w->block == 16)
      (w->biased ? panels_16 : panels_16_plain)(x, s, g, m);
    else if (w->biased)
      panels_32(x, s, g, m);
    else
      panels_32_plain(x, s, g, m);
  }
  const float32x4_t *acc = s->acc;
  for (int k = 0, width; k < x->n_rows; k += width) {
    width = matmul_neon_panel(x->n_rows - k);
    for (int j = 0; j < width; j++) {
      float y[TILE_ROWS];
      take_row(acc, j, y);
      memcpy(out + (k + j) * out_stride + r0, y, (size_t)n * sizeof *y);
    }
    acc += (width + LANES - 1) / LANES * VECTORS;
  }
}
