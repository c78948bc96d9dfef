// Sizes of element types, and conversions between f32 and the 16-bit floats.
#include "base/dtype.h"

#include "base/kind.h"

const char *pn_dtype_name(pn_dtype t) { return pn_kind_of(t)->name; }
size_t pn_dtype_block(pn_dtype t) { return pn_kind_of(t)->block; }
size_t pn_dtype_block_bytes(pn_dtype t) { return pn_kind_of(t)->bytes; }

bool pn_dtype_bytes(pn_dtype t, uint64_t n, uint64_t *bytes) {
  const pn_kind *k = pn_kind_of(t);
  if (k->block == 0 || n % k->block) return false;
  return !__builtin_mul_overflow(n / k->block, (uint64_t)k->bytes, bytes);
}

static uint32_t bits_of(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

static float float_of(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}

uint16_t pn_f32_to_bf16(float f) {
  uint32_t u = bits_of(f);
  if ((u & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)(u >> 16 | 0x40u);
  return (uint16_t)((u + 0x7FFFu + (u >> 16 & 1u)) >> 16);
}

float pn_f16_to_f32(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exp = h >> 10 & 0x1Fu, man = h & 0x3FFu;
  if (exp == 31) return float_of(sign | 0x7F800000u | man << 13);
  if (exp) return float_of(sign | (exp + 112) << 23 | man << 13);
  float f = (float)man * 0x1p-24f; // denormal or zero: exact
  return sign ? -f : f;
}

uint16_t pn_f32_to_f16(float f) {
  uint32_t u = bits_of(f), sign = u >> 16 & 0x8000u;
  u &= 0x7FFFFFFFu;
  if (u > 0x7F800000u) return (uint16_t)(sign | 0x7E00u | (u >> 13 & 0x1FFu));
  if (u >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u); // 65520 and more rounds to infinity
  if (u < 0x38800000u) {                                   // below 2^-14: denormal; adding 0.5 rounds to even
    float r = float_of(u) + 0.5f;
    return (uint16_t)(sign | (bits_of(r) - 0x3F000000u));
  }
  u += 0xFFFu + (u >> 13 & 1u);
  return (uint16_t)(sign | (u - 0x38000000u) >> 13);
}

void pn_floats_to_f32(pn_dtype t, const void *src, float *dst, size_t n) {
  if (t == PN_F32) {
    memcpy(dst, src, n * 4);
    return;
  }
  const unsigned char *p = src;
  for (size_t i = 0; i < n; i++) {
    uint16_t h;
    memcpy(&h, p + 2 * i, 2);
    dst[i] = t == PN_F16 ? pn_f16_to_f32(h) : pn_bf16_to_f32(h);
  }
}
