// Portable reading of every stored kind: codes as bytes, scales as f32.
#include "backend/cpu/cpu_matmul_kernels.h"

static float half_at(const unsigned char *p) {
  uint16_t h;
  memcpy(&h, p, 2);
  return pn_f16_to_f32(h);
}

static size_t block_bytes(const pn_weight *w) {
  return w->m.kind == PN_MATRIX_Q8_0 ? 34 : w->m.kind == PN_MATRIX_Q4_1 ? 20 : 18;
}

bool matmul_has_bias(const pn_weight *w) {
  return w->m.kind == PN_MATRIX_AFFINE || w->m.kind == PN_MATRIX_Q4_1;
}

// Eight codes fill `bits` bytes: the period of every width.
static void unpack_bits(const unsigned char *p, int bits, int64_t cols, uint8_t *codes) {
  const unsigned mask = (1u << bits) - 1;
  for (int64_t i = 0; i < cols; i += 8, p += bits, codes += 8) {
    uint64_t v = 0;
    for (int k = 0; k < bits; k++) v |= (uint64_t)p[k] << (8 * k);
    for (int k = 0; k < 8; k++) codes[k] = (uint8_t)(v >> (bits * k) & mask);
  }
}

void matmul_unpack_codes(const pn_weight *w, int64_t row, uint8_t *codes) {
  const unsigned char *p = (const unsigned char *)w->m.data + (size_t)row * w->m.row_bytes;
  if (w->m.kind == PN_MATRIX_AFFINE) {
    if (w->m.bits == 8)
      memcpy(codes, p, (size_t)w->m.cols);
    else
      unpack_bits(p, w->m.bits, w->m.cols, codes);
    return;
  }
  const size_t step = block_bytes(w), head = w->m.kind == PN_MATRIX_Q4_1 ? 4 : 2;
  for (int b = 0; b < w->n_blocks; b++, codes += 32) {
    const unsigned char *q = p + (size_t)b * step + head;
    if (w->m.kind == PN_MATRIX_Q8_0) {
      for (int i = 0; i < 32; i++) codes[i] = q[i] ^ 0x80u;
    } else {
      for (int i = 0; i < 16; i++) {
        codes[i] = q[i] & 15u;
        codes[i + 16] = (uint8_t)(q[i] >> 4);
      }
    }
  }
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
  if (w->m.kind == PN_MATRIX_AFFINE) {
    affine_floats(w, w->m.scales, row, scale);
    affine_floats(w, w->m.biases, row, bias);
    return;
  }
  const unsigned char *p = (const unsigned char *)w->m.data + (size_t)row * w->m.row_bytes;
  const size_t step = block_bytes(w);
  for (int b = 0; b < w->n_blocks; b++, p += step) {
    scale[b] = half_at(p);
    if (w->m.kind == PN_MATRIX_Q4_1) bias[b] = half_at(p + 2);
  }
}
