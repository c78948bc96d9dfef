// AVX2 with FMA and F16C: choice of kernel, activations. What decides the speed: decode reads the weights as
// they lie, one pass, and has instructions to spare (0.6 to 1.3 a byte); prefill is bound by vpmaddwd and its
// additions, or vpdpwssd.
#include "backend/cpu/cpu_matmul_avx2.h"

#include "backend/cpu/cpu_isa.h"

#include <math.h>

static matmul_layout layout(const pn_weight *w) {
  if (!w->block) return MATMUL_PLAIN;
  if (w->bits == 8) return MATMUL_WIDE;
  switch (matmul_avx2_form(w)) {
  case AVX2_NIBBLES_64:
  case AVX2_NIBBLES_32: return MATMUL_EVEN_ODD;
  case AVX2_Q4_0:
  case AVX2_Q4_1: return MATMUL_HALVES;
  default: return MATMUL_PLAIN;
  }
}

static matmul_packing packing(int n_rows) { return n_rows <= AVX2_ROW_MAX ? MATMUL_LINE : MATMUL_PANELS; }

static uint32_t largest(__m256i v) {
  const __m128i a = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  const __m128i b = _mm_max_epi32(a, _mm_shuffle_epi32(a, 0x4E));
  return (uint32_t)_mm_cvtsi128_si32(_mm_max_epi32(b, _mm_shuffle_epi32(b, 0xB1)));
}

static int sum_lanes(__m256i v) {
  const __m128i a = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  const __m128i b = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(b, _mm_shuffle_epi32(b, 0xB1)));
}

// The block's columns, 16 a vector, rounded as cpu_matmul.h says; *dx and *sum are its scale and the sum of
// its codes.
static void round_block(const float *f, int block, float top, __m256i q[4], float *dx, int *sum) {
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  __m256i most = _mm256_setzero_si256(), sums = most;
  for (int i = 0; i < block; i += 8)
    most = _mm256_max_epi32(most, _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(f + i)), magnitude));
  const uint32_t bits = largest(most);
  float amax;
  memcpy(&amax, &bits, 4);
  *dx = bits >= 0x7F800000u ? NAN : 0;
  *sum = 0;
  for (int i = 0; i < 4; i++) q[i] = _mm256_setzero_si256();
  if (bits >= 0x7F800000u || amax < 0x1p-100f) return;
  *dx = amax / top;
  const __m256 inverse = _mm256_set1_ps(top / amax);
  for (int i = 0; i < block / 16; i++) {
    const __m256i u = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(f + 16 * i), inverse));
    const __m256i v = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(f + 16 * i + 8), inverse));
    sums = _mm256_add_epi32(sums, _mm256_add_epi32(u, v));
    q[i] = _mm256_permute4x64_epi64(_mm256_packs_epi32(u, v), 0xD8);
  }
  *sum = sum_lanes(sums);
}

// Four lanes of eight columns each, each put as pairs of columns mod 4: their pairs transposed.
static void by_mod_4(__m256i a, __m256i b, __m256i out[2]) { // a: lanes 0, 1; b: lanes 2, 3
  const __m256i pairs = _mm256_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15, 0, 1, 8, 9, 2,
                                         3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
  a = _mm256_shuffle_epi8(a, pairs);
  b = _mm256_shuffle_epi8(b, pairs);
  const __m256i even = _mm256_permute2x128_si256(a, b, 0x20), odd = _mm256_permute2x128_si256(a, b, 0x31);
  const __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
  // low: columns 0, 1 mod 4 of lanes 0, 1 | of lanes 2, 3; high: columns 2, 3.
  out[0] = _mm256_permute4x64_epi64(low, 0xD8);
  out[1] = _mm256_permute4x64_epi64(high, 0xD8);
}

// The even columns of 16, then the odd ones.
static __m256i by_parity(__m256i v) {
  const __m256i at = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0, 1, 4, 5, 8, 9,
                                      12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
  return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(v, at), 0xD8);
}

// Columns of a block from ascending order into the kernels'.
static void order_block(matmul_layout layout, int block, __m256i q[4]) {
  __m256i a[4];
  if (block == 16) {
    q[0] = by_parity(q[0]);
    return;
  }
  for (int i = 0; i < block / 16; i += 2) {
    if (layout == MATMUL_EVEN_ODD) {
      by_mod_4(q[i], q[i + 1], a + i);
    } else {
      const __m256i u = by_parity(q[i]), v = by_parity(q[i + 1]);
      a[i] = _mm256_permute2x128_si256(u, v, 0x20);
      a[i + 1] = _mm256_permute2x128_si256(u, v, 0x31);
    }
  }
  if (layout == MATMUL_EVEN_ODD && block == 64) {
    q[0] = _mm256_permute2x128_si256(a[0], a[2], 0x20);
    q[1] = _mm256_permute2x128_si256(a[0], a[2], 0x31);
    q[2] = _mm256_permute2x128_si256(a[1], a[3], 0x20);
    q[3] = _mm256_permute2x128_si256(a[1], a[3], 0x31);
    return;
  }
  for (int i = 0; i < block / 16; i++) q[i] = a[i];
}

// Columns of a block as int8, in the order of the byte kernels; the first block / 16 vectors have 16 each.
static void narrow_block(matmul_layout layout, int block, const __m256i q[4], __m128i bytes[4]) {
  const __m128i turn = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
  for (int i = 0; i < block / 16; i++) {
    bytes[i] = _mm_packs_epi16(_mm256_castsi256_si128(q[i]), _mm256_extracti128_si256(q[i], 1));
    if (layout == MATMUL_EVEN_ODD) bytes[i] = _mm_shuffle_epi8(bytes[i], turn);
  }
}

// A row of a panel: n bytes of it, four and four, the panel's rows in turn.
static void put_in_panel(int8_t *block, int width, int row, const void *q, int n) {
  int8_t *to = block + 4 * row;
  for (int i = 0; i < n; i += 4, to += 4 * width) memcpy(to, (const int8_t *)q + i, 4);
}

static void put_in_line(const matmul_x *x, int16_t *line, int b, const int16_t *q) {
  if (x->block == 16) {
    int16_t *pair = line + (size_t)(b / 2) * 32 + b % 2 * 8;
    memcpy(pair, q, 16);
    memcpy(pair + 16, q + 8, 16);
    return;
  }
  if ((x->layout != MATMUL_EVEN_ODD && x->layout != MATMUL_HALVES) || x->block == 64) {
    memcpy(line + (size_t)b * (size_t)x->block, q, (size_t)x->block * 2);
    return;
  }
  int16_t *pair = line + (size_t)(b / 2) * 64 + b % 2 * 8;
  for (int c = 0; c < 4; c++) memcpy(pair + 16 * c, q + 8 * c, 16);
}

static void quantise(const matmul_x *x, int r) {
  const bool panels = x->packing == MATMUL_PANELS, narrow = matmul_avx2_bytes_of(x);
  int first = r, width = 1; // of the row's panel
  if (panels) {
    for (first = 0; first + (width = matmul_avx2_panel(x->n_rows - first)) <= r;) first += width;
  }
  int8_t *base = x->q + (size_t)first * x->q_stride;
  for (int b = 0; b < x->n_blocks; b++) {
    const size_t at = (size_t)r * x->s_stride + (size_t)b;
    const int bytes = x->block * (narrow ? 1 : 2);
    __m256i q[4];
    __m128i codes[8];
    int sum;
    round_block(x->f + (int64_t)r * x->f_stride + (int64_t)b * x->block, x->block, matmul_top(x), q,
                x->dx + at, &sum);
    if (narrow) {
      narrow_block(x->layout, x->block, q, codes);
    } else {
      order_block(x->layout, x->block, q);
      for (int i = 0; i < x->block / 16; i++) _mm256_storeu_si256((__m256i *)(codes + 2 * i), q[i]);
    }
    x->sum[at] = x->dx[at] * (float)sum;
    x->shift[at] = x->offset == 128 && !narrow ? 0 : -x->offset * sum; // Q8_0 as int16 keeps its sign
    if (panels)
      put_in_panel(base + (size_t)b * (size_t)(bytes * width), width, r - first, codes, bytes);
    else
      put_in_line(x, (int16_t *)(void *)base, b, (const int16_t *)(const void *)codes);
  }
}

static size_t scratch_bytes(int64_t cols) {
  const size_t rows = AVX2_OF_TIER(rows_bytes)(cols), tile = AVX2_OF_TIER(tile_bytes)();
  return rows > tile ? rows : tile;
}

static void unit(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out, int64_t out_stride,
                 void *scratch) {
  if (!w->block)
    matmul_avx2_float(w, r0, n, x, out, out_stride);
  else if (x->packing == MATMUL_LINE)
    AVX2_OF_TIER(rows)(w, r0, n, x, out, out_stride, scratch);
  else
    AVX2_OF_TIER(tile)(w, r0, n, x, out, out_stride, scratch);
}

#ifdef __AVXVNNI__
#define TABLE matmul_avx2_vnni
#define NAME "avx2-vnni"
static bool usable(void) { return cpu_isa_has(CPU_AVX2_VNNI); }
#else
#define TABLE matmul_avx2
#define NAME "avx2"
static bool usable(void) { return cpu_isa_has(CPU_AVX2); }
#endif

const matmul_kernels TABLE = {.name = NAME,
                              .words = true,
                              .together = true,
                              .usable = usable,
                              .layout = layout,
                              .packing = packing,
                              .quantise = quantise,
                              .scratch_bytes = scratch_bytes,
                              .unit = unit};
