// AVX-512 with VNNI: choice of kernel for a unit, activations, scales.
#include "backend/cpu/cpu_matmul_avx512.h"

#include <math.h>

enum { ROW_MAX = 2 }; // up to so many rows of x walk the stored rows; more are worth a transposed tile

static bool usable(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

static matmul_layout layout(const pn_weight *w) {
  if (w->m.kind == PN_AFFINE && w->m.bits == 4) return MATMUL_EVEN_ODD;
  if (w->m.kind == PN_Q4_0 || w->m.kind == PN_Q4_1) return MATMUL_HALVES;
  return MATMUL_PLAIN;
}

static matmul_packing packing(int n_rows) { return n_rows <= ROW_MAX ? MATMUL_LINE : MATMUL_PANELS; }

// Where row r lies: its codes' first byte, the bytes between its groups of 4 codes (4: they follow each
// other), and the place of its first block's numbers and their distance.
typedef struct place {
  int8_t *q;
  size_t q_step, at, at_step;
} place;

static place place_of(const matmul_x *x, int r) {
  if (x->packing != MATMUL_PANELS)
    return (place){x->q + (size_t)r * x->q_stride, 4, (size_t)r * x->s_stride, 1};
  int k = 0, t = matmul_avx512_panel(x->n_rows);
  while (k + t <= r) {
    k += t;
    t = matmul_avx512_panel(x->n_rows - k);
  }
  return (place){x->q + (size_t)k * x->q_stride + 4 * (size_t)(r - k), 4 * (size_t)t,
                 (size_t)k * x->s_stride + (size_t)(r - k), (size_t)t};
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
  __m512i low, high;
  split(x, q, &low, &high);
  const size_t bytes = (size_t)x->block / (x->layout == MATMUL_PLAIN ? 1 : 2);
  if (x->packing != MATMUL_PANELS) {
    const __mmask16 m = matmul_avx512_first(bytes / 4);
    int8_t *at = to->q + (size_t)plane * x->plane + (size_t)b * bytes;
    _mm512_mask_storeu_epi32(at, m, low);
    if (x->layout != MATMUL_PLAIN) _mm512_mask_storeu_epi32(at + x->high, m, high);
    return;
  }
  int32_t fours[2][16];
  _mm512_storeu_si512(fours[0], low);
  _mm512_storeu_si512(fours[1], high);
  int8_t *at = to->q + (size_t)(b * x->planes + plane) * (size_t)(x->block / 4) * to->q_step;
  for (size_t i = 0; i < bytes / 4; i++, at += to->q_step) {
    memcpy(at, fours[0] + i, 4);
    if (x->layout == MATMUL_PLAIN) continue;
    at += to->q_step;
    memcpy(at, fours[1] + i, 4);
  }
}

// The lowest bytes of 64 codes, in order.
static __m512i bytes_of(const __m512i q[4]) {
  const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm512_cvtepi32_epi8(q[0])),
                                              _mm512_cvtepi32_epi8(q[1]), 1);
  const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm512_cvtepi32_epi8(q[2])),
                                               _mm512_cvtepi32_epi8(q[3]), 1);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

static void quantise(const matmul_x *x, int r) {
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  const place to = place_of(x, r);
  const int n = x->block / 16;
  for (int b = 0; b < x->n_blocks; b++) {
    const float *f = x->f + (int64_t)r * x->f_stride + (int64_t)b * x->block;
    const size_t at = to.at + (size_t)b * to.at_step;
    __m512 v[4];
    __m512i top = _mm512_setzero_si512(), sums = top;
    for (int i = 0; i < n; i++) {
      v[i] = _mm512_loadu_ps(f + 16 * i);
      top = _mm512_max_epi32(top, _mm512_and_si512(_mm512_castps_si512(v[i]), magnitude));
    }
    const int bits = _mm512_reduce_max_epi32(top);
    float amax, dx = 0;
    memcpy(&amax, &bits, 4);
    __m512i q[4] = {sums, sums, sums, sums};
    if (bits >= 0x7F800000) {
      dx = NAN;
    } else if (amax >= 0x1p-100f) {
      const __m512 inverse = _mm512_set1_ps(matmul_top(x) / amax);
      dx = amax / matmul_top(x);
      for (int i = 0; i < n; i++) {
        q[i] = _mm512_cvtps_epi32(_mm512_mul_ps(v[i], inverse));
        sums = _mm512_add_epi32(sums, q[i]);
      }
    }
    put_block(x, &to, b, x->planes - 1, bytes_of(q));
    if (x->planes == 2) {
      for (int i = 0; i < n; i++) q[i] = _mm512_srai_epi32(_mm512_add_epi32(q[i], _mm512_set1_epi32(128)), 8);
      put_block(x, &to, b, 0, bytes_of(q));
    }
    const int sum = _mm512_reduce_add_epi32(sums);
    x->dx[at] = dx;
    x->sum[at] = dx * (float)sum;
    x->shift[at] = -x->offset * sum;
  }
}

static avx512_scratch matmul_avx512_scratch(const pn_weight *w, void *memory) {
  const size_t cols = (size_t)w->m.cols, line = MATMUL_UNIT * (size_t)w->n_blocks;
  avx512_scratch s = {.tile = memory};
  s.tile_scale = (float *)(s.tile + MATMUL_UNIT * cols);
  s.tile_bias = s.tile_scale + line;
  s.scale = s.tile_bias + line;
  s.bias = s.scale + line + 16;
  s.p = s.bias + line + 16;
  s.rows = (uint8_t *)(s.p + line + 16);
  return s;
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
static void matmul_avx512_stage_scales(const pn_weight *w, int64_t r0, int n, const uint8_t *stored,
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
// of the table where no `line` of stored blocks is wanted.
static const uint8_t *stored_rows(const pn_weight *w, int64_t r0, int n, const avx512_scratch *s, bool line) {
  const uint8_t *p = (const uint8_t *)w->m.data + (size_t)r0 * w->m.row_bytes;
  if (w->m.kind == PN_AFFINE && w->m.bits != 4 && w->m.bits != 8) {
    for (int i = 0; i < n; i++) matmul_unpack_codes(w, r0 + i, s->rows + (size_t)i * (size_t)w->m.cols);
    return s->rows;
  }
  if (matmul_avx512_unpacked(w->m.kind) && !line) {
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

static void unit(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out, int64_t out_stride,
                 void *scratch) {
  if (!w->block) {
    matmul_avx512_float(w, r0, n, x, out, out_stride);
    return;
  }
  const avx512_scratch s = matmul_avx512_scratch(w, scratch);
  const bool line = x->packing == MATMUL_LINE;
  if (line && matmul_avx512_unpacked(w->m.kind) && !matmul_avx512_row_as_stored(w->m.kind)) {
    matmul_avx512_rows_unpacked(w, r0, n, x, out, out_stride, &s);
    return;
  }
  const uint8_t *stored = stored_rows(w, r0, n, &s, line);
  if (line) {
    if (w->m.kind == PN_AFFINE) matmul_avx512_stage_scales(w, r0, n, stored, &s);
    for (int k = 0; k < x->n_rows; k++) matmul_avx512_row(w, r0, n, x, k, out + k * out_stride, &s, stored);
    return;
  }
  matmul_avx512_stage_scales(w, r0, n, stored, &s);
  matmul_avx512_tile(w, n, x, out + r0, out_stride, &s, stored);
}

const matmul_kernels matmul_avx512 = {.name = "avx512",
                                      .usable = usable,
                                      .layout = layout,
                                      .packing = packing,
                                      .quantise = quantise,
                                      .scratch_bytes = matmul_scratch_unpacked,
                                      .unit = unit};
