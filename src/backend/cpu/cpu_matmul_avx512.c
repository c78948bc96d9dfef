// AVX-512 with VNNI: choice of kernel for a unit, activations, scales.
#include "backend/cpu/cpu_matmul_avx512.h"

#include <math.h>

enum {
  ROW_MAX = 2,    // up to so many rows of x walk the stored rows; more are worth a transposed tile
  TILE_UNITS = 2, // units of a tile
};

static bool usable(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

static matmul_layout layout(const pn_weight *w) {
  if (w->m.kind == PN_AFFINE && w->m.bits == 4) return MATMUL_EVEN_ODD;
  if (w->m.kind == PN_Q4_0 || w->m.kind == PN_Q4_1 || w->m.kind == PN_Q5_0) return MATMUL_HALVES;
  if (w->m.kind == PN_Q4_K || w->m.kind == PN_Q5_K) return MATMUL_PAIRS;
  return MATMUL_PLAIN;
}

static matmul_packing packing(int n_rows) { return n_rows <= ROW_MAX ? MATMUL_LINE : MATMUL_PANELS; }

// Where row r lies: the first byte of its codes (in panels, of those of a block and a plane, which the other
// rows' follow, `step` bytes for all), and the place of its first block's numbers and their distance.
typedef struct place {
  int8_t *q;
  size_t step, at, at_step;
} place;

static place place_of(const matmul_x *x, int r) {
  if (x->packing != MATMUL_PANELS)
    return (place){x->q + (size_t)r * x->q_stride, 0, (size_t)r * x->s_stride, 1};
  int k = 0, t = matmul_avx512_panel(x->n_rows);
  while (k + t <= r) {
    k += t;
    t = matmul_avx512_panel(x->n_rows - k);
  }
  return (place){x->q + (size_t)k * x->q_stride + (size_t)x->block * (size_t)(r - k),
                 (size_t)x->block * (size_t)t, (size_t)k * x->s_stride + (size_t)(r - k), (size_t)t};
}

// The low and the high stream of a block's codes, in the lower half of each; or all in `low`.
static void split(const matmul_x *x, __m512i q, __m512i *low, __m512i *high) {
  *low = *high = q;
  if (x->layout == MATMUL_HALVES) *high = _mm512_shuffle_i32x4(q, q, 0x01); // blocks of 32 only
  if (x->layout != MATMUL_EVEN_ODD) return;
  *low = _mm512_castsi256_si512(_mm512_cvtepi16_epi8(q));
  *high = _mm512_castsi256_si512(_mm512_cvtepi16_epi8(_mm512_srli_epi16(q, 8)));
}

static void put_block(const matmul_x *x, const place *to, int b, int plane, __m512i q) {
  const bool panels = x->packing == MATMUL_PANELS;
  const size_t block = (size_t)x->block, n = (size_t)b;
  const __mmask16 all = matmul_avx512_first(block / 4);
  int8_t *at =
      panels ? to->q + (n * (size_t)x->planes + (size_t)plane) * to->step : to->q + (size_t)plane * x->plane;
  if (x->layout == MATMUL_PAIRS && !panels) {
    _mm512_mask_storeu_epi32(at + n / 2 * block + n % 2 * x->high, all, q);
  } else if (x->layout == MATMUL_PLAIN || (x->layout != MATMUL_EVEN_ODD && panels)) {
    _mm512_mask_storeu_epi32(panels ? at : at + n * block, all, q);
  } else {
    __m512i low, high;
    split(x, q, &low, &high);
    if (!panels) at += n * block / 2;
    _mm512_mask_storeu_epi32(at, matmul_avx512_first(block / 8), low);
    _mm512_mask_storeu_epi32(at + (panels ? block / 2 : x->high), matmul_avx512_first(block / 8), high);
  }
}

// Of 64 codes the bytes of the first plane of two, and the last one's, in order. Codes of 8 bits are in the
// last.
static void planes_of(const __m512i q[4], __m512i *first, __m512i *last) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i low = _mm512_packs_epi32(q[0], q[1]), high = _mm512_packs_epi32(q[2], q[3]);
  const __m512i half = _mm512_set1_epi16(128), byte = _mm512_set1_epi16(255);
  *first = _mm512_packs_epi16(_mm512_srai_epi16(_mm512_add_epi16(low, half), 8),
                              _mm512_srai_epi16(_mm512_add_epi16(high, half), 8));
  *last = _mm512_packus_epi16(_mm512_and_si512(low, byte), _mm512_and_si512(high, byte));
  *first = _mm512_permutexvar_epi32(order, *first);
  *last = _mm512_permutexvar_epi32(order, *last);
}

// n vectors of a block.
MATMUL_INLINE void quantise_block(const matmul_x *x, int n, const float *f, int b, const place *to) {
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  const size_t at = to->at + (size_t)b * to->at_step;
  __m512 v[4];
  __m512i top = _mm512_setzero_si512(), sums = top;
  MATMUL_UNROLL
  for (int i = 0; i < n; i++) {
    v[i] = _mm512_loadu_ps(f + 16 * i);
    top = _mm512_max_epi32(top, _mm512_and_si512(_mm512_castps_si512(v[i]), magnitude));
  }
  const int bits = _mm512_reduce_max_epi32(top);
  float amax, dx = 0;
  memcpy(&amax, &bits, 4);
  __m512i q[4] = {sums, sums, sums, sums}, first, last;
  if (bits >= 0x7F800000) {
    dx = NAN;
  } else if (amax >= 0x1p-100f) {
    const __m512 inverse = _mm512_set1_ps(matmul_top(x) / amax);
    dx = amax / matmul_top(x);
    MATMUL_UNROLL
    for (int i = 0; i < n; i++) {
      q[i] = _mm512_cvtps_epi32(_mm512_mul_ps(v[i], inverse));
      sums = _mm512_add_epi32(sums, q[i]);
    }
  }
  planes_of(q, &first, &last);
  if (x->planes == 2) put_block(x, to, b, 0, first);
  put_block(x, to, b, x->planes - 1, last);
  const int sum = _mm512_reduce_add_epi32(sums);
  x->dx[at] = dx;
  x->sum[at] = dx * (float)sum;
  x->shift[at] = -x->offset * sum;
}

static void quantise(const matmul_x *x, int r) {
  const place to = place_of(x, r);
  const float *f = x->f + (int64_t)r * x->f_stride;
  for (int b = 0; b < x->n_blocks; b++, f += x->block) {
    switch (x->block) {
    case 16: quantise_block(x, 1, f, b, &to); break;
    case 32: quantise_block(x, 2, f, b, &to); break;
    default: quantise_block(x, 4, f, b, &to); break;
    }
  }
}

// The parts of a thread's scratch.
static avx512_scratch parts_of(const pn_weight *w, void *memory) {
  const size_t cols = (size_t)w->m.cols, line = MATMUL_UNIT * (size_t)w->n_blocks;
  avx512_scratch s = {0};
  uint8_t *at = memory;
  for (int i = 0; i < TILE_UNITS; i++, at += MATMUL_UNIT * cols) s.tile[i].codes = at;
  float *f = (float *)(void *)at;
  for (int i = 0; i < TILE_UNITS; i++, f += 2 * line) {
    s.tile[i].scale = f;
    s.tile[i].bias = f + line;
  }
  s.scale = f;
  s.bias = s.scale + line + 16;
  s.p[0] = s.bias + line + 16;
  s.p[1] = s.p[0] + line + 16;
  s.rows = (uint8_t *)(s.p[1] + line + 16);
  return s;
}

// Tiles are bytes at most, rows as stored 34 bytes for 32 columns, and blocks 16 columns at least.
static size_t scratch_bytes(int64_t cols) {
  const size_t wide = (size_t)cols, line = 4 * (MATMUL_UNIT * (wide / 16 + 1) + 16);
  return TILE_UNITS * (MATMUL_UNIT * wide + 2 * line) + 4 * line + MATMUL_UNIT * (wide + wide / 16 + 64) + 64;
}

static __m512 load_scales(pn_dtype type, const uint8_t *p, __mmask16 m) {
  if (type == PN_F32) return _mm512_maskz_loadu_ps(m, p);
  const __m256i h = _mm256_maskz_loadu_epi16(m, p);
  if (type == PN_F16) return _mm512_cvtph_ps(h);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

static void stage_affine(const pn_weight *w, const void *from, int64_t r0, int n, float *to) {
  const size_t size = pn_dtype_block_bytes(w->m.scale_dtype), groups = (size_t)(w->n_blocks / w->per_group);
  const uint8_t *p = (const uint8_t *)from + (size_t)r0 * groups * size;
  const size_t step = w->per_group == 2 ? 8 : 16, total = (size_t)n * groups;
  const __m512i twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  for (size_t i = 0; i < total; i += step, to += 16) {
    const __mmask16 m = matmul_avx512_first(total - i < step ? total - i : step);
    __m512 v = load_scales(w->m.scale_dtype, p + i * size, m);
    _mm_prefetch((const char *)p + (total + i) * size, _MM_HINT_T0); // the next unit's
    if (step == 8) v = _mm512_permutexvar_ps(twice, v);
    _mm512_storeu_ps(to, v);
  }
}

static void stage_unpacked(const pn_weight *w, int64_t r0, int n, const avx512_scratch *s) {
  const pn_kind *kind = matmul_avx512_kind_of(w->m.kind);
  const size_t line = (size_t)w->n_blocks;
  for (size_t i = 0; i < (size_t)n; i++) {
    const int64_t blocks = w->m.cols / kind->block;
    kind->scales(matmul_scales_at(w, kind, (r0 + (int64_t)i) * blocks), blocks, s->scale + i * line,
                 s->bias + i * line);
  }
}

// Scales and biases of the unit's rows from `stored` rows of blocks (Q4_0, Q4_1, Q8_0), the affine arrays or
// the table's functions, into s->scale and s->bias.
static void stage_scales(const pn_weight *w, int64_t r0, int n, const uint8_t *stored,
                         const avx512_scratch *s) {
  if (w->m.kind == PN_AFFINE) {
    stage_affine(w, w->m.scales, r0, n, s->scale);
    stage_affine(w, w->m.biases, r0, n, s->bias);
    return;
  }
  if (matmul_avx512_unpacked(w->m.kind)) {
    stage_unpacked(w, r0, n, s);
    return;
  }
  for (int i = 0; i < w->n_blocks; i++) { // a unit has 16 * n_blocks blocks
    if (w->m.kind == PN_Q8_0) {
      _mm512_storeu_ps(s->scale + 16 * i, matmul_avx512_q8_heads(stored + 16 * PN_Q8_0_BYTES * (size_t)i));
      continue;
    }
    const bool q4_1 = w->m.kind == PN_Q4_1;
    const size_t four = matmul_avx512_four(q4_1);
    __m512i first[4];
    __m512 scale, bias = _mm512_setzero_ps();
    for (int j = 0; j < 4; j++) first[j] = _mm512_loadu_si512(stored + (4 * (size_t)i + (size_t)j) * four);
    if (q4_1)
      matmul_avx512_q4_heads(true, first, &scale, &bias);
    else
      matmul_avx512_q4_heads(false, first, &scale, &bias);
    _mm512_storeu_ps(s->scale + 16 * i, scale);
    _mm512_storeu_ps(s->bias + 16 * i, bias);
  }
}

// The unit's rows as the kernels read them: as they lie in the file where that is possible, else a copy:
// padded to 16 rows at the end of a matrix, or unpacked to bytes: affine widths other than 4 and 8, and kinds
// of the table that are not wanted `as_stored`.
static const uint8_t *stored_rows(const pn_weight *w, int64_t r0, int n, const avx512_scratch *s,
                                  bool as_stored) {
  const uint8_t *p = (const uint8_t *)w->m.data + (size_t)r0 * w->m.row_bytes;
  if (w->m.kind == PN_AFFINE && w->m.bits != 4 && w->m.bits != 8) {
    for (int i = 0; i < n; i++) matmul_unpack_codes(w, r0 + i, s->rows + (size_t)i * (size_t)w->m.cols);
    return s->rows;
  }
  if (matmul_avx512_unpacked(w->m.kind) && !as_stored) {
    const pn_kind *kind = matmul_avx512_kind_of(w->m.kind);
    for (int i = 0; i < n; i++, p += w->m.row_bytes) {
      for (size_t at = 0; at < w->m.row_bytes; at += 64) // the same row of the next unit
        _mm_prefetch((const char *)p + MATMUL_UNIT * w->m.row_bytes + at, _MM_HINT_T0);
      kind->codes(p, w->m.cols / kind->block, s->rows + (size_t)i * (size_t)w->m.cols);
    }
    return s->rows;
  }
  if (n == MATMUL_UNIT) return p;
  memset(s->rows, 0, w->m.row_bytes * MATMUL_UNIT);
  memcpy(s->rows, p, w->m.row_bytes * (size_t)n);
  return s->rows;
}

// Up to two units with many rows of x. To pack them takes about as long as a row of x.
static void tiles(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out, int64_t out_stride,
                  const avx512_scratch *s) {
  const size_t bytes = (size_t)n * w->m.row_bytes, shares = (size_t)x->n_rows + 1;
  avx512_ahead ahead = {.p = (const uint8_t *)w->m.data + (size_t)r0 * w->m.row_bytes + bytes,
                        .bytes = bytes,
                        .lines = (16 + shares - 1) / shares};
  for (int i = 0; MATMUL_UNIT * i < n; i++) {
    const int64_t row = r0 + MATMUL_UNIT * i;
    const int rows = n - MATMUL_UNIT * i < MATMUL_UNIT ? n - MATMUL_UNIT * i : MATMUL_UNIT;
    const uint8_t *stored = stored_rows(w, row, rows, s, matmul_avx512_as_stored(w->m.kind));
    if (!matmul_avx512_as_stored(w->m.kind)) stage_scales(w, row, rows, stored, s);
    matmul_avx512_pack(w, stored, s, &s->tile[i], &ahead);
  }
  matmul_avx512_tiles(w, n, x, out + r0, out_stride, s, &ahead);
}

static void unit(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out, int64_t out_stride,
                 void *scratch) {
  if (!w->block) {
    matmul_avx512_float(w, r0, n, x, out, out_stride);
    return;
  }
  const avx512_scratch s = parts_of(w, scratch);
  if (x->packing == MATMUL_PANELS) {
    tiles(w, r0, n, x, out, out_stride, &s);
    return;
  }
  if (matmul_avx512_unpacked(w->m.kind) && !matmul_avx512_as_stored(w->m.kind)) {
    matmul_avx512_rows_unpacked(w, r0, n, x, out, out_stride, &s);
    return;
  }
  const uint8_t *stored = stored_rows(w, r0, n, &s, true);
  if (w->m.kind == PN_AFFINE) stage_scales(w, r0, n, stored, &s);
  matmul_avx512_rows(w, r0, n, x, out, out_stride, &s, stored);
}

const matmul_kernels matmul_avx512 = {.name = "avx512",
                                      .panel_units = TILE_UNITS,
                                      .usable = usable,
                                      .layout = layout,
                                      .packing = packing,
                                      .quantise = quantise,
                                      .scratch_bytes = scratch_bytes,
                                      .unit = unit};
