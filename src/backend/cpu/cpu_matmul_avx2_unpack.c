// Reading stored blocks with AVX2: their forms, where they lie, and affine codes of widths that are no
// nibbles or bytes.
#include "backend/cpu/cpu_matmul_avx2.h"

static avx2_form affine_form(const pn_weight *w, bool pairs) {
  const bool wide = w->block == 64;
  if (w->m.bits == 8) return wide ? AVX2_BYTES_64 : AVX2_BYTES_32;
  if (w->m.bits == 4 && wide) return AVX2_NIBBLES_64;
  if (w->m.bits == 4 && pairs) return AVX2_NIBBLES_32;
  return wide ? AVX2_BITS_64 : AVX2_BITS_32;
}

avx2_form matmul_avx2_form(const pn_weight *w) {
  const bool pairs = w->n_blocks % 2 == 0;
  switch (w->m.kind) {
  case PN_Q8_0: return AVX2_Q8_0;
  case PN_Q4_0: return pairs ? AVX2_Q4_0 : AVX2_UNPACKED_32;
  case PN_Q4_1: return pairs ? AVX2_Q4_1 : AVX2_UNPACKED_32;
  case PN_Q5_0: return AVX2_Q5_0;
  case PN_Q5_1: return AVX2_Q5_1;
  case PN_Q4_K: return AVX2_Q4_K;
  case PN_Q5_K: return AVX2_Q5_K;
  case PN_Q6_K: return AVX2_Q6_K;
  case PN_AFFINE: return affine_form(w, pairs);
  default: return w->block == 16 ? AVX2_UNPACKED_16 : AVX2_UNPACKED_32;
  }
}

avx2_blocks matmul_avx2_blocks_at(const pn_weight *w, int64_t first) {
  avx2_blocks b = {.codes = (const uint8_t *)w->m.data + (size_t)first * matmul_avx2_block_bytes(w)};
  if (w->m.kind == PN_AFFINE) {
    const size_t at = (size_t)(first / w->per_group) * pn_dtype_block_bytes(w->m.scale_dtype);
    b.scale = (const uint8_t *)w->m.scales + at;
    b.bias = (const uint8_t *)w->m.biases + at;
  }
  return b;
}

avx2_blocks matmul_avx2_copy_blocks(const pn_weight *w, avx2_blocks b, int64_t n, avx2_rest *rest) {
  const size_t size = pn_dtype_block_bytes(w->m.scale_dtype);
  memset(rest, 0, sizeof *rest);
  memcpy(rest->codes, b.codes, (size_t)n * matmul_avx2_block_bytes(w));
  if (w->m.kind == PN_AFFINE) {
    const size_t groups = ((size_t)n + (size_t)w->per_group - 1) / (size_t)w->per_group;
    memcpy(rest->scale, b.scale, groups * size);
    memcpy(rest->bias, b.bias, groups * size);
  }
  return (avx2_blocks){rest->codes, rest->scale, rest->bias};
}

// Of code c of a lane: the bytes that it lies in, and the power of two that moves it to the top of them.
#define AT(b, c) (b) * (c) / 8, (b) * (c) / 8 + 1
#define TIMES(b, c) 1 << (16 - (b) - (b) * (c) % 8)
#define EVERY_OTHER(f, b, c)                                                                                 \
  { f(b, c), f(b, c + 2), f(b, c + 4), f(b, c + 6), f(b, c + 8), f(b, c + 10), f(b, c + 12), f(b, c + 14) }
#define EVEN_AND_ODD(f, b)                                                                                   \
  { EVERY_OTHER(f, b, 0), EVERY_OTHER(f, b, 1) }

avx2_bits matmul_avx2_bits(int bits) {
  static const uint8_t at[5][2][16] = {EVEN_AND_ODD(AT, 2), EVEN_AND_ODD(AT, 3), EVEN_AND_ODD(AT, 4),
                                       EVEN_AND_ODD(AT, 5), EVEN_AND_ODD(AT, 6)};
  static const uint16_t times[5][2][8] = {EVEN_AND_ODD(TIMES, 2), EVEN_AND_ODD(TIMES, 3),
                                          EVEN_AND_ODD(TIMES, 4), EVEN_AND_ODD(TIMES, 5),
                                          EVEN_AND_ODD(TIMES, 6)};
  avx2_bits b = {.down = _mm256_set1_epi16((short)(1 << bits)), .half = 2 * (size_t)bits};
  for (int odd = 0; odd < 2; odd++) {
    const uint8_t *t = (const uint8_t *)times[bits - 2][odd];
    b.at[odd] = matmul_avx2_two(at[bits - 2][odd], at[bits - 2][odd]);
    b.times[odd] = matmul_avx2_two(t, t);
  }
  return b;
}

void matmul_avx2_unpack(int bits, const uint8_t *p, int n, uint8_t *codes) {
  const avx2_bits b = matmul_avx2_bits(bits);
  uint8_t last[4 * 6 + 16] = {0};
  for (int i = 0; i < n; i += 32, p += 2 * b.half) {
    const uint8_t *from = n - i <= 64 ? memcpy(last, p, 2 * b.half) : p; // nothing behind is read
    const __m256i odd = _mm256_slli_epi16(matmul_avx2_words(&b, from, 1), 8);
    _mm256_storeu_si256((__m256i *)(codes + i), _mm256_or_si256(matmul_avx2_words(&b, from, 0), odd));
  }
}
