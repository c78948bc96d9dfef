// Tiles for many rows of x: 16 rows of a weight transposed so that lanes are rows, four codes (nibbles:
// eight) a dword. Stored bytes are transposed as they lie and taken apart after that, 16 rows at once, so the
// scales of 16 rows come out of one multiply. To pack a tile takes as long as 2 to 3 rows of x on a Zen 5;
// what is read next is fetched meanwhile.
#include "backend/cpu/cpu_matmul_avx512.h"

// Transpose and store the first n dwords of each row.
MATMUL_INLINE void put_tile(__m512i v[16], uint8_t *to, size_t n) {
  matmul_avx512_transpose(v);
  MATMUL_UNROLL
  for (size_t i = 0; i < 16; i++) {
    if (i < n) _mm512_store_si512(to + 64 * i, v[i]);
  }
}

// Bytes [0, 4 * n) of 16 rows, transposed; n a constant.
MATMUL_INLINE void columns_16(const uint8_t *p, size_t row_bytes, size_t n, __m512i v[16]) {
  MATMUL_UNROLL
  for (size_t r = 0; r < 16; r++) v[r] = _mm512_maskz_loadu_epi32(matmul_avx512_first(n), p + r * row_bytes);
  matmul_avx512_transpose(v);
}

// Rows of plain bytes or plain nibbles.
static void pack_lines(const uint8_t *p, size_t row_bytes, uint8_t *to, avx512_ahead *ahead) {
  for (size_t at = 0; at < row_bytes; at += 64, to += 1024) {
    matmul_avx512_fetch(ahead);
    __m512i v[16];
    const __mmask16 m = matmul_avx512_first((row_bytes - at) / 4);
    MATMUL_UNROLL
    for (size_t r = 0; r < 16; r++) v[r] = _mm512_maskz_loadu_epi32(m, p + r * row_bytes + at);
    put_tile(v, to, (row_bytes - at) / 4);
  }
}

static void pack_q4(const pn_weight *w, const uint8_t *p, uint8_t *to, avx512_ahead *ahead) {
  const bool q4_1 = w->m.kind == PN_Q4_1;
  const size_t four = matmul_avx512_four(q4_1), row_bytes = w->m.row_bytes;
  for (size_t at = 0; at < row_bytes; at += four, to += 1024) {
    matmul_avx512_fetch(ahead);
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

static void pack_q8(const pn_weight *w, const uint8_t *p, uint8_t *to, avx512_ahead *ahead) {
  const size_t row_bytes = w->m.row_bytes, block = PN_Q8_0_BYTES;
  const __m512i flip = _mm512_set1_epi8(-128);
  for (size_t at = 0; at < row_bytes; at += 2 * block, to += 1024) {
    matmul_avx512_fetch(ahead);
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

// `low` where the bits of `mask` are, else `high`.
MATMUL_INLINE __m512i join(__m512i mask, __m512i low, __m512i high) {
  return _mm512_ternarylogic_epi32(mask, low, high, 0xCA);
}

// The eight scales and biases of a superblock of Q4_K or Q5_K of 16 rows, from the four dwords of its head.
MATMUL_INLINE void put_k_scales(const __m512i head[4], float *scale, float *bias) {
  const __m512i six = _mm512_set1_epi8(63), four = _mm512_set1_epi8(15), two = _mm512_set1_epi8(48);
  const __m512 d = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(head[0]));
  const __m512i upper = _mm512_srli_epi32(_mm512_xor_si512(head[0], _mm512_set1_epi32((int)0x80000000)), 16);
  const __m512 minus = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(upper));
  const __m512i c = head[3];
  __m512i s[2], m[2]; // four bytes a lane
  s[0] = _mm512_and_si512(head[1], six);
  m[0] = _mm512_and_si512(head[2], six);
  s[1] = join(four, c, _mm512_and_si512(_mm512_srli_epi32(head[1], 2), two));
  m[1] = join(four, _mm512_srli_epi32(c, 4), _mm512_and_si512(_mm512_srli_epi32(head[2], 2), two));
  s[1] = _mm512_and_si512(s[1], six);
  m[1] = _mm512_and_si512(m[1], six);
  MATMUL_UNROLL
  for (unsigned i = 0; i < 8; i++) {
    const __m512i byte = _mm512_set1_epi32(255);
    const __m512i of_s = _mm512_and_si512(_mm512_srli_epi32(s[i / 4], 8 * (i % 4)), byte);
    const __m512i of_m = _mm512_and_si512(_mm512_srli_epi32(m[i / 4], 8 * (i % 4)), byte);
    _mm512_store_ps(scale + 16 * i, _mm512_mul_ps(d, _mm512_cvtepi32_ps(of_s)));
    _mm512_store_ps(bias + 16 * i, _mm512_mul_ps(minus, _mm512_cvtepi32_ps(of_m)));
  }
}

static void pack_q4_k(const pn_weight *w, const uint8_t *p, const avx512_tile *t, avx512_ahead *ahead) {
  const __m512i four = _mm512_set1_epi8(15);
  const size_t row_bytes = w->m.row_bytes;
  uint8_t *to = t->codes;
  float *scale = t->scale, *bias = t->bias;
  for (int64_t at = 0; at < w->m.cols; at += 256, p += PN_Q4_K_BYTES, scale += 128, bias += 128) {
    __m512i head[4];
    matmul_avx512_columns(p, row_bytes, head);
    put_k_scales(head, scale, bias);
    for (size_t j = 0; j < 2; j++) { // 128 codes: the low nibbles of each 32 bytes, then the high ones
      __m512i v[16];
      matmul_avx512_fetch(ahead);
      columns_16(p + 16 + 64 * j, row_bytes, 16, v);
      MATMUL_UNROLL
      for (size_t i = 0; i < 16; i++) {
        uint8_t *low = to + 64 * (i % 8) + 1024 * (i / 8);
        _mm512_store_si512(low, _mm512_and_si512(v[i], four));
        _mm512_store_si512(low + 512, _mm512_and_si512(_mm512_srli_epi16(v[i], 4), four));
      }
      to += 2048;
    }
  }
}

// Bit `bit` of each byte of v at bit 4, among others.
MATMUL_INLINE __m512i fifth(__m512i v, unsigned bit) {
  return bit < 4 ? _mm512_slli_epi32(v, 4 - bit) : _mm512_srli_epi32(v, bit - 4);
}

static void pack_q5_k(const pn_weight *w, const uint8_t *p, const avx512_tile *t, avx512_ahead *ahead) {
  const __m512i four = _mm512_set1_epi8(15), five = _mm512_set1_epi8(31);
  const size_t row_bytes = w->m.row_bytes;
  uint8_t *to = t->codes;
  float *scale = t->scale, *bias = t->bias;
  for (int64_t at = 0; at < w->m.cols; at += 256, p += PN_Q5_K_BYTES, scale += 128, bias += 128) {
    __m512i head[16]; // and the fifth bits
    columns_16(p, row_bytes, 12, head);
    put_k_scales(head, scale, bias);
    MATMUL_UNROLL
    for (unsigned j = 0; j < 2; j++) {
      __m512i v[16];
      matmul_avx512_fetch(ahead);
      columns_16(p + 48 + 64 * j, row_bytes, 16, v);
      MATMUL_UNROLL
      for (unsigned i = 0; i < 16; i++) {
        const __m512i bits = head[4 + i % 8];
        const unsigned block = 4 * j + 2 * (i / 8);
        uint8_t *low = to + 64 * (i % 8) + 512 * block;
        const __m512i a = join(four, v[i], fifth(bits, block));
        const __m512i b = join(four, _mm512_srli_epi16(v[i], 4), fifth(bits, block + 1));
        _mm512_store_si512(low, _mm512_and_si512(a, five));
        _mm512_store_si512(low + 512, _mm512_and_si512(b, five));
      }
    }
    to += 4096;
  }
}

// The 16 scales of a superblock of Q6_K of 16 rows.
MATMUL_INLINE void put_q6_k_scales(const uint8_t *p, size_t row_bytes, float *scale) {
  __m512i s[4], end[4];
  matmul_avx512_columns(p + 192, row_bytes, s);
  matmul_avx512_columns(p + 194, row_bytes, end); // the last two bytes are d
  const __m512 d = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(end[3], 16)));
  MATMUL_UNROLL
  for (unsigned i = 0; i < 16; i++) {
    const __m512i code = _mm512_srai_epi32(_mm512_slli_epi32(s[i / 4], 24 - 8 * (i % 4)), 24);
    _mm512_store_ps(scale + 16 * i, _mm512_mul_ps(d, _mm512_cvtepi32_ps(code)));
  }
}

static void pack_q6_k(const pn_weight *w, const uint8_t *p, const avx512_tile *t, avx512_ahead *ahead) {
  const __m512i four = _mm512_set1_epi8(15), six = _mm512_set1_epi8(63);
  const size_t row_bytes = w->m.row_bytes;
  uint8_t *to = t->codes;
  float *scale = t->scale;
  for (int64_t at = 0; at < w->m.cols; at += 256, p += PN_Q6_K_BYTES, scale += 256) {
    matmul_avx512_fetch(ahead);
    __m512i high[16]; // the upper two bits, eight for each 128 codes
    put_q6_k_scales(p, row_bytes, scale);
    columns_16(p + 128, row_bytes, 16, high);
    MATMUL_UNROLL
    for (unsigned k = 0; k < 2; k++) {
      __m512i v[16];
      matmul_avx512_fetch(ahead);
      columns_16(p + 64 * k, row_bytes, 16, v);
      MATMUL_UNROLL
      for (unsigned i = 0; i < 16; i++) {
        const __m512i bits = high[8 * k + i % 8];
        const __m512i a = join(four, v[i], i < 8 ? _mm512_slli_epi32(bits, 4) : _mm512_slli_epi32(bits, 2));
        const __m512i b = join(four, _mm512_srli_epi16(v[i], 4), i < 8 ? bits : _mm512_srli_epi32(bits, 2));
        _mm512_store_si512(to + 64 * i, _mm512_and_si512(a, six));
        _mm512_store_si512(to + 64 * i + 1024, _mm512_and_si512(b, six));
      }
      to += 2048;
    }
  }
}

// From four blocks of Q5_0 of each of 16 rows, of which `left` bytes are there: v their nibbles, head[i] the
// fifth bits of block i / 4 and head[i + 1] its scale, i = 0, 4, 8, 12, all transposed.
MATMUL_INLINE void columns_q5_0(const uint8_t *p, size_t row_bytes, size_t left, __m512i v[16],
                                __m512i head[16]) {
  const size_t rest = 4 * PN_Q5_0_BYTES - 64;
  const size_t last = left > rest ? left - rest : 0;
  const __mmask32 m = left >= 64 ? ~0u : (1u << (left / 2)) - 1,
                  m_last = last >= 64 ? ~0u : (1u << (last / 2)) - 1;
  MATMUL_UNROLL
  for (size_t r = 0; r < 16; r++) {
    const __m512i a = _mm512_maskz_loadu_epi16(m, p + r * row_bytes);
    const __m512i b = _mm512_maskz_loadu_epi16(m_last, p + r * row_bytes + rest);
    v[r] = matmul_avx512_q5_codes(a, b);
    head[r] = matmul_avx512_q5_heads(a, b);
  }
  matmul_avx512_transpose(v);
  matmul_avx512_transpose(head);
}

static void pack_q5_0(const pn_weight *w, const uint8_t *p, const avx512_tile *t, avx512_ahead *ahead) {
  const __m512i spread = _mm512_setr_epi32(0, 0x10, 0x1000, 0x1010, 0x100000, 0x100010, 0x101000, 0x101010,
                                           0x10000000, 0x10000010, 0x10001000, 0x10001010, 0x10100000,
                                           0x10100010, 0x10101000, 0x10101010); // four bits, a byte each
  const __m512i four = _mm512_set1_epi8(15);
  const size_t step = 4 * PN_Q5_0_BYTES;
  uint8_t *to = t->codes;
  float *scale = t->scale;
  for (size_t at = 0; at < w->m.row_bytes; at += step) {
    matmul_avx512_fetch(ahead);
    __m512i v[16], head[16];
    const size_t left = w->m.row_bytes - at < step ? w->m.row_bytes - at : step;
    columns_q5_0(p + at, w->m.row_bytes, left, v, head);
    MATMUL_UNROLL
    for (unsigned b = 0; b < 4; b++) {
      if (b >= left / PN_Q5_0_BYTES) break;
      _mm512_store_ps(scale, _mm512_cvtph_ps(_mm512_cvtepi32_epi16(head[4 * b + 1])));
      MATMUL_UNROLL
      for (unsigned c = 0; c < 4; c++) {
        const __m512i low = _mm512_permutexvar_epi32(_mm512_srli_epi32(head[4 * b], 4 * c), spread);
        const __m512i high = _mm512_permutexvar_epi32(_mm512_srli_epi32(head[4 * b], 16 + 4 * c), spread);
        const __m512i q = v[4 * b + c];
        _mm512_store_si512(to + 64 * c, join(four, q, low));
        _mm512_store_si512(to + 64 * c + 256, join(four, _mm512_srli_epi16(q, 4), high));
      }
      to += 512;
      scale += 16;
    }
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

void matmul_avx512_pack(const pn_weight *w, const uint8_t *stored, const avx512_scratch *s,
                        const avx512_tile *to, avx512_ahead *ahead) {
  switch (w->m.kind) {
  case PN_Q5_0: pack_q5_0(w, stored, to, ahead); return;
  case PN_Q4_K: pack_q4_k(w, stored, to, ahead); return;
  case PN_Q5_K: pack_q5_k(w, stored, to, ahead); return;
  case PN_Q6_K: pack_q6_k(w, stored, to, ahead); return;
  default: break;
  }
  transpose_scales(s->scale, w->n_blocks, to->scale);
  if (w->biased) transpose_scales(s->bias, w->n_blocks, to->bias);
  if (w->m.kind == PN_Q4_0 || w->m.kind == PN_Q4_1)
    pack_q4(w, stored, to->codes, ahead);
  else if (w->m.kind == PN_Q8_0)
    pack_q8(w, stored, to->codes, ahead);
  else
    pack_lines(stored, w->m.kind == PN_AFFINE && w->m.bits == 4 ? w->m.row_bytes : (size_t)w->m.cols,
               to->codes, ahead);
}
