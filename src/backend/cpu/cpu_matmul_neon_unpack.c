// Unpacking affine matrices with NEON: codes of widths that are no nibbles or bytes, scales and biases.
#include "backend/cpu/cpu_matmul_neon.h"

// 16 codes lie in the first 2 * bits bytes of a vector. Of code c: the bytes that it lies in, and by how much
// they are shifted to bring it to the low byte of their word (of the odd codes: to the high byte).
#define AT(b, c) (b) * (c) / 8, (b) * (c) / 8 + 1
#define LOW(b, c) -((b) * (c) % 8)
#define HIGH(b, c) 8 - (b) * (c) % 8
#define EVERY_OTHER(f, b, c)                                                                                 \
  { f(b, c), f(b, c + 2), f(b, c + 4), f(b, c + 6), f(b, c + 8), f(b, c + 10), f(b, c + 12), f(b, c + 14) }
#define BITS(b)                                                                                              \
  {                                                                                                          \
    {EVERY_OTHER(AT, b, 0), EVERY_OTHER(AT, b, 1)}, { EVERY_OTHER(LOW, b, 0), EVERY_OTHER(HIGH, b, 1) }      \
  }
static const struct {
  uint8_t at[2][16];
  int16_t shift[2][8];
} bits_of[7] = {[2] = BITS(2), [3] = BITS(3), [5] = BITS(5), [6] = BITS(6)};

MATMUL_INLINE uint16x8_t every_other(uint8x16_t v, int bits, int odd) {
  const uint16x8_t words = vreinterpretq_u16_u8(vqtbl1q_u8(v, vld1q_u8(bits_of[bits].at[odd])));
  const uint16x8_t mask = vdupq_n_u16((uint16_t)(((1 << bits) - 1) << 8 * odd));
  return vandq_u16(vshlq_u16(words, vld1q_s16(bits_of[bits].shift[odd])), mask);
}

void matmul_neon_unpack(int bits, const uint8_t *p, int n, uint8_t *codes) {
  const uint8_t *end = p + (size_t)n / 8 * (size_t)bits;
  for (int i = 0; i < n; i += 16, p += 2 * bits) {
    uint8_t last[16] = {0};
    const uint8x16_t v = vld1q_u8(end - p >= 16 ? p : memcpy(last, p, (size_t)(end - p)));
    vst1q_u8(codes + i, vreinterpretq_u8_u16(vorrq_u16(every_other(v, bits, 0), every_other(v, bits, 1))));
  }
}

void matmul_neon_affine_numbers(const pn_weight *w, const void *from, int64_t row, int b, int n, float *out) {
  const size_t size = pn_dtype_block_bytes(w->m.scale_dtype);
  const bool shared = w->per_group == 2;
  const uint8_t *p = (const uint8_t *)from + (size_t)((row * w->n_blocks + b) / w->per_group) * size;
  const size_t step = (size_t)(4 / w->per_group) * size;
  uint8_t last[16] = {0};
  for (int i = 0; i < n; i += 4, p += step) {
    float v[4];
    if (n - i < 4) p = memcpy(last, p, (size_t)((n - i) / w->per_group) * size);
    vst1q_f32(v, matmul_neon_floats(w->m.scale_dtype, shared, p));
    memcpy(out + i, v, (size_t)(n - i < 4 ? n - i : 4) * sizeof *v);
  }
}
