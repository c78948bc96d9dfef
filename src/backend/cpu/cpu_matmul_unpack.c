// Portable reading of every stored kind: codes as bytes, scales as f32.
#include "backend/cpu/cpu_matmul_kernels.h"

// Spread 8 codes of `bits` bits to 8 bytes by halving: 4 codes to each half, 2 to each quarter, 1 to each
// byte.
static inline uint64_t spread(uint64_t v, unsigned bits) {
  const uint64_t four = (1ull << 4 * bits) - 1, two = ((1ull << 2 * bits) - 1) * 0x0000000100000001u;
  const uint64_t one = ((1ull << bits) - 1) * 0x0001000100010001u;
  v = (v & four) | (v >> 4 * bits & four) << 32;
  v = (v & two) | (v << (16 - 2 * bits) & two << 16);
  return (v & one) | (v << (8 - bits) & one << 8);
}

// Eight codes fill `bits` bytes: the period of every width.
static inline void unpack_bits(const unsigned char *p, unsigned bits, int64_t cols, uint8_t *codes) {
  const unsigned char *end = p + (size_t)cols * bits / 8;
  for (int64_t i = 0; i < cols; i += 8, p += bits) {
    uint64_t v = 0; // read as little-endian
    if (end - p >= 8) {
      for (unsigned k = 0; k < 8; k++) v |= (uint64_t)p[k] << (8 * k);
    } else {
      for (unsigned k = 0; k < bits; k++) v |= (uint64_t)p[k] << (8 * k);
    }
    v = spread(v, bits);
    for (unsigned k = 0; k < 8; k++) codes[i + k] = (uint8_t)(v >> (8 * k));
  }
}

static void unpack_affine(const unsigned char *p, int bits, int64_t cols, uint8_t *codes) {
  switch (bits) { // a constant width for each inlined copy
  case 2: unpack_bits(p, 2, cols, codes); break;
  case 3: unpack_bits(p, 3, cols, codes); break;
  case 4: unpack_bits(p, 4, cols, codes); break;
  case 5: unpack_bits(p, 5, cols, codes); break;
  case 6: unpack_bits(p, 6, cols, codes); break;
  default: memcpy(codes, p, (size_t)cols); break;
  }
}

void matmul_unpack_codes(const pn_weight *w, int64_t row, uint8_t *codes) {
  const unsigned char *p = (const unsigned char *)w->m.data + (size_t)row * w->m.row_bytes;
  if (w->m.kind == PN_AFFINE) {
    unpack_affine(p, w->m.bits, w->m.cols, codes);
    return;
  }
  const pn_kind *k = pn_kind_of(w->m.kind);
  k->codes(p, w->m.cols / k->block, codes);
}

static void affine_floats(const pn_weight *w, const void *src, int64_t row, float *out) {
  const int n = w->n_blocks / w->per_group;
  const size_t size = pn_dtype_block_bytes(w->m.scale_dtype);
  pn_floats_to_f32(w->m.scale_dtype, (const unsigned char *)src + (size_t)row * (size_t)n * size, out,
                   (size_t)n);
  if (w->per_group == 2) {
    for (int i = n; i-- > 0;) out[2 * i] = out[2 * i + 1] = out[i];
  }
}

void matmul_unpack_scales(const pn_weight *w, int64_t row, float *scale, float *bias) {
  if (w->m.kind == PN_AFFINE) {
    affine_floats(w, w->m.scales, row, scale);
    affine_floats(w, w->m.biases, row, bias);
    return;
  }
  const pn_kind *k = pn_kind_of(w->m.kind);
  const int64_t n = w->m.cols / k->block;
  k->scales(matmul_scales_at(w, k, row * n), n, scale, bias);
}
