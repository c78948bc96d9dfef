// Many rows of x: a unit is transposed into a tile whose lanes are its 16 rows, and every four codes of x are
// broadcast to all lanes. A step of four columns is one dpbusd a row of x; a block costs one convert, two
// multiplies, one FMA and one add a row of x. Bound by dpbusd.
#include "backend/cpu/cpu_matmul_avx512.h"

enum { MOST = 12 }; // rows of x at a time: 2 registers each, of 32

// Transpose and store the first n dwords of each row.
MATMUL_INLINE void put_tile(__m512i v[16], uint8_t *to, size_t n) {
  matmul_avx512_transpose(v);
  MATMUL_UNROLL
  for (size_t i = 0; i < 16; i++) {
    if (i < n) _mm512_storeu_si512(to + 64 * i, v[i]);
  }
}

// Rows of plain bytes or plain nibbles.
static void tile_of_lines(const uint8_t *p, size_t row_bytes, uint8_t *to) {
  for (size_t at = 0; at < row_bytes; at += 64, to += 1024) {
    __m512i v[16];
    const __mmask16 m = matmul_avx512_first((row_bytes - at) / 4);
    MATMUL_UNROLL
    for (size_t r = 0; r < 16; r++) v[r] = _mm512_maskz_loadu_epi32(m, p + r * row_bytes + at);
    put_tile(v, to, (row_bytes - at) / 4);
  }
}

static void tile_of_q4(const pn_weight *w, const uint8_t *p, uint8_t *to) {
  const bool q4_1 = w->m.kind == PN_Q4_1;
  const size_t four = matmul_avx512_four(q4_1), row_bytes = w->m.row_bytes;
  for (size_t at = 0; at < row_bytes; at += four, to += 1024) {
    __m512i v[16];
    const size_t left = row_bytes - at < four ? row_bytes - at : four; // bytes of up to four blocks
    const size_t last = left > four - 64 ? left - (four - 64) : 0;
    const __mmask32 m = left >= 64 ? ~0u : (1u << (left / 2)) - 1,
                    m_last = last >= 64 ? ~0u : (1u << (last / 2)) - 1;
    MATMUL_UNROLL
    for (size_t r = 0; r < 16; r++) {
      const uint8_t *from = p + r * row_bytes + at;
      const __m512i a = _mm512_maskz_loadu_epi16(m, from),
                    b = _mm512_maskz_loadu_epi16(m_last, from + four - 64);
      v[r] = q4_1 ? matmul_avx512_q4_codes(true, a, b) : matmul_avx512_q4_codes(false, a, b);
    }
    put_tile(v, to, left / (four / 4) * 4);
  }
}

static void tile_of_q8(const pn_weight *w, const uint8_t *p, uint8_t *to) {
  const size_t row_bytes = w->m.row_bytes, block = PN_Q8_0_BYTES;
  const __m512i flip = _mm512_set1_epi8(-128);
  for (size_t at = 0; at < row_bytes; at += 2 * block, to += 1024) {
    __m512i v[16];
    const bool two = row_bytes - at > block;
    const __mmask8 m = two ? 0xFF : 0;
    MATMUL_UNROLL
    for (size_t r = 0; r < 16; r++) {
      const uint8_t *from = p + r * row_bytes + at;
      const __m256i a = _mm256_loadu_si256((const __m256i *)(from + 2)),
                    b = _mm256_maskz_loadu_epi32(m, from + block + 2);
      v[r] = _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1), flip);
    }
    put_tile(v, to, two ? 16 : 8);
  }
}

static void transpose_scales(const float *from, int n_blocks, float *to) {
  for (int g = 0; g < n_blocks; g += 16) {
    __m512i v[16];
    const __mmask16 m = matmul_avx512_first((size_t)(n_blocks - g));
    MATMUL_UNROLL
    for (int r = 0; r < 16; r++) v[r] = _mm512_maskz_loadu_epi32(m, from + (size_t)r * (size_t)n_blocks + g);
    put_tile(v, (uint8_t *)(to + (size_t)g * 16), (size_t)(n_blocks - g));
  }
}

MATMUL_INLINE __m512i four_codes(const int8_t *q) {
  int v;
  memcpy(&v, q, 4);
  return _mm512_set1_epi32(v);
}

// Add to d a block's dots of t rows of x, whose codes (of one plane) lie from q on.
MATMUL_INLINE void plane_dots(int t, bool nibbles, int steps, const uint8_t *tile, const int8_t *q,
                              __m512i d[MOST]) {
  const __m512i mask = _mm512_set1_epi8(15);
  MATMUL_UNROLL
  for (int j = 0; j < steps; j++) {
    const __m512i v = _mm512_load_si512(tile + 64 * j);
    const __m512i low = nibbles ? _mm512_and_si512(v, mask) : v;
    MATMUL_UNROLL
    for (int i = 0; i < t; i++) d[i] = _mm512_dpbusd_epi32(d[i], low, four_codes(q + 4 * i));
    q += 4 * t;
    if (!nibbles) continue;
    const __m512i up = _mm512_and_si512(_mm512_srli_epi16(v, 4), mask);
    MATMUL_UNROLL
    for (int i = 0; i < t; i++) d[i] = _mm512_dpbusd_epi32(d[i], up, four_codes(q + 4 * i));
    q += 4 * t;
  }
}

MATMUL_INLINE void next_plane(int t, __m512i d[MOST]) {
  MATMUL_UNROLL
  for (int i = 0; i < t; i++) d[i] = _mm512_slli_epi32(d[i], 8);
}

// The panel of rows k .. k + t of x with the tile; t and the flags are constants where this is inlined.
// Beside the last panel the next unit is fetched in the order of the file: the strided walk over it would not
// keep memory busy.
MATMUL_INLINE void multiply(int planes, int t, bool nibbles, int block, bool biased, const matmul_x *x, int k,
                            const avx512_scratch *s, __mmask16 lanes, float *out, int64_t out_stride) {
  const int steps = nibbles ? block / 8 : block / 4, plane_bytes = t * block;
  const int8_t *q = x->q + (size_t)k * x->q_stride;
  const size_t at = (size_t)k * x->s_stride;
  const float *dx = x->dx + at, *sum = x->sum + at, *tile_scale = s->tile_scale, *tile_bias = s->tile_bias;
  const int32_t *shift = x->shift + at;
  const uint8_t *tile = s->tile, *next = k + t == x->n_rows ? s->next : NULL;
  __m512 acc[MOST];
  MATMUL_UNROLL
  for (int i = 0; i < t; i++) acc[i] = _mm512_setzero_ps();
  for (int b = 0; b < x->n_blocks; b++, dx += t, sum += t, shift += t, tile_scale += 16, tile_bias += 16) {
    __m512i d[MOST];
    if (next) {
      for (size_t i = 0; i < s->next_bytes; i += 64) _mm_prefetch((const char *)next + i, _MM_HINT_T0);
      next += s->next_bytes;
    }
    MATMUL_UNROLL
    for (int i = 0; i < t; i++) d[i] = _mm512_setzero_si512();
    if (biased) { // gcc makes the better code of each this way
      MATMUL_UNROLL
      for (int plane = 1; plane <= planes; plane++, q += plane_bytes) {
        if (plane == 2) next_plane(t, d);
        plane_dots(t, nibbles, steps, tile, q, d);
      }
    } else {
      for (int plane = 1; plane <= planes; plane++, q += plane_bytes) {
        if (plane == 2) next_plane(t, d);
        if (plane == planes) {
          MATMUL_UNROLL
          for (int i = 0; i < t; i++) d[i] = _mm512_add_epi32(d[i], _mm512_set1_epi32(shift[i]));
        }
        plane_dots(t, nibbles, steps, tile, q, d);
      }
    }
    tile += 64 * steps;
    const __m512 scale = _mm512_load_ps(tile_scale);
    const __m512 bias = biased ? _mm512_load_ps(tile_bias) : scale;
    MATMUL_UNROLL
    for (int i = 0; i < t; i++) {
      __m512 p = _mm512_mul_ps(scale, _mm512_mul_ps(_mm512_set1_ps(dx[i]), _mm512_cvtepi32_ps(d[i])));
      if (biased) p = _mm512_fmadd_ps(bias, _mm512_set1_ps(sum[i]), p);
      acc[i] = _mm512_add_ps(acc[i], p);
    }
  }
  MATMUL_UNROLL
  for (int i = 0; i < t; i++) _mm512_mask_storeu_ps(out + (k + i) * out_stride, lanes, acc[i]);
}

MATMUL_INLINE void all_rows(int planes, bool nibbles, int block, bool biased, const matmul_x *x,
                            const avx512_scratch *s, __mmask16 lanes, float *out, int64_t stride) {
  for (int k = 0, n; k < x->n_rows; k += n) {
    n = matmul_avx512_panel(x->n_rows - k);
    switch (n) {
    case 1: multiply(planes, 1, nibbles, block, biased, x, k, s, lanes, out, stride); break;
    case 2: multiply(planes, 2, nibbles, block, biased, x, k, s, lanes, out, stride); break;
    case 3: multiply(planes, 3, nibbles, block, biased, x, k, s, lanes, out, stride); break;
    case 4: multiply(planes, 4, nibbles, block, biased, x, k, s, lanes, out, stride); break;
    case 5: multiply(planes, 5, nibbles, block, biased, x, k, s, lanes, out, stride); break;
    case 6: multiply(planes, 6, nibbles, block, biased, x, k, s, lanes, out, stride); break;
    case 8: multiply(planes, 8, nibbles, block, biased, x, k, s, lanes, out, stride); break;
    default: multiply(planes, 12, nibbles, block, biased, x, k, s, lanes, out, stride); break;
    }
  }
}

#define ALL_ROWS(name, nibbles, block, biased)                                                               \
  static void name(const matmul_x *x, const avx512_scratch *s, __mmask16 lanes, float *out,                  \
                   int64_t stride) {                                                                         \
    if (x->planes == 2)                                                                                      \
      all_rows(2, nibbles, block, biased, x, s, lanes, out, stride);                                         \
    else                                                                                                     \
      all_rows(1, nibbles, block, biased, x, s, lanes, out, stride);                                         \
  }

ALL_ROWS(nibbles_64, true, 64, true)
ALL_ROWS(nibbles_32, true, 32, true)
ALL_ROWS(nibbles_32_signed, true, 32, false)
ALL_ROWS(bytes_64, false, 64, true)
ALL_ROWS(bytes_32, false, 32, true)
ALL_ROWS(bytes_32_signed, false, 32, false)
ALL_ROWS(bytes_16, false, 16, true)
ALL_ROWS(bytes_16_signed, false, 16, false)

void matmul_avx512_tile(const pn_weight *w, int n, const matmul_x *x, float *out, int64_t out_stride,
                        const avx512_scratch *scratch, const uint8_t *stored) {
  avx512_scratch fetching = *scratch, *s = &fetching;
  s->next = stored + 16 * w->m.row_bytes;
  s->next_bytes = 16 * w->m.row_bytes / (size_t)w->n_blocks;
  const __mmask16 lanes = matmul_avx512_first((size_t)n);
  transpose_scales(s->scale, w->n_blocks, s->tile_scale);
  if (w->biased) transpose_scales(s->bias, w->n_blocks, s->tile_bias);
  switch (w->m.kind) {
  case PN_Q4_0:
    tile_of_q4(w, stored, s->tile);
    nibbles_32_signed(x, s, lanes, out, out_stride);
    return;
  case PN_Q4_1:
    tile_of_q4(w, stored, s->tile);
    nibbles_32(x, s, lanes, out, out_stride);
    return;
  case PN_Q8_0:
    tile_of_q8(w, stored, s->tile);
    bytes_32_signed(x, s, lanes, out, out_stride);
    return;
  case PN_AFFINE: break;
  default:
    tile_of_lines(stored, (size_t)w->m.cols, s->tile);
    if (w->block == 32)
      (w->biased ? bytes_32 : bytes_32_signed)(x, s, lanes, out, out_stride);
    else
      (w->biased ? bytes_16 : bytes_16_signed)(x, s, lanes, out, out_stride);
    return;
  }
  const bool nibbles = w->m.bits == 4;
  tile_of_lines(stored, nibbles ? w->m.row_bytes : (size_t)w->m.cols, s->tile);
  if (nibbles)
    (w->block == 64 ? nibbles_64 : nibbles_32)(x, s, lanes, out, out_stride);
  else
    (w->block == 64 ? bytes_64 : bytes_32)(x, s, lanes, out, out_stride);
}
