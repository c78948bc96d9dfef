// Reading stored blocks with AVX2: where they lie, their scales, and affine codes of widths that kernels
// can't take as stored.
#include "backend/cpu/cpu_matmul_avx2.h"

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

// 8 codes in the lowest `bits` bytes of every 64-bit lane: spread to a byte each by halving, 4 codes to each
// half, 2 to each quarter, 1 to each byte.
MATMUL_INLINE __m256i spread(__m256i v, int bits) {
  const __m256i four = _mm256_set1_epi64x((1ll << 4 * bits) - 1);
  const __m256i two = _mm256_set1_epi32((1 << 2 * bits) - 1),
                one = _mm256_set1_epi16((short)((1 << bits) - 1));
  const __m256i high = _mm256_and_si256(_mm256_srli_epi64(v, 4 * bits), four);
  v = _mm256_or_si256(_mm256_and_si256(v, four), _mm256_slli_epi64(high, 32));
  v = _mm256_or_si256(_mm256_and_si256(v, two),
                      _mm256_slli_epi32(_mm256_and_si256(_mm256_srli_epi32(v, 2 * bits), two), 16));
  return _mm256_or_si256(_mm256_and_si256(v, one), _mm256_slli_epi16(_mm256_srli_epi16(v, bits), 8));
}

// Eight codes fill `bits` bytes: the period of every width. A lane is loaded whole, so the last 32 codes are
// taken from a copy with room behind.
MATMUL_INLINE void unpack_bits(const uint8_t *p, int bits, int n, uint8_t *codes) {
  uint8_t last[4 * 8 + 8];
  for (int i = 0; i < n; i += 32, p += 4 * bits) {
    if (i + 32 == n) p = memcpy(last, p, (size_t)bits * 4);
    long long lane[4];
    MATMUL_UNROLL
    for (int k = 0; k < 4; k++) memcpy(&lane[k], p + k * bits, 8);
    const __m256i v = _mm256_setr_epi64x(lane[0], lane[1], lane[2], lane[3]);
    _mm256_storeu_si256((__m256i *)(codes + i), spread(v, bits));
  }
}

bool matmul_avx2_unpack(const pn_weight *w, const uint8_t *blocks, int n, uint8_t *codes) {
  switch (w->m.bits) { // a constant width for each inlined copy
  case 2: unpack_bits(blocks, 2, n, codes); return true;
  case 3: unpack_bits(blocks, 3, n, codes); return true;
  case 4: unpack_bits(blocks, 4, n, codes); return true;
  case 5: unpack_bits(blocks, 5, n, codes); return true;
  case 6: unpack_bits(blocks, 6, n, codes); return true;
  default: return false;
  }
}
