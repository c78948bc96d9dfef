// Kinds whose codes name the entries of a table of values, and the two formats of scales in a byte.
//
// A part of base/kind_rows.h, which includes it. The functions hand out table entries with an offset, so that
// products of these kinds are sums of integers as those of all others: IQ4's table holds integers, that of
// FP4 halves, which are kept doubled beside a halved scale.
#ifndef PN_BASE_KIND_TABLES_H
#define PN_BASE_KIND_TABLES_H

enum { IQ4_OFFSET = 127, FP4_OFFSET = 12 };

// The values of IQ4 (-127 .. 113), and twice those of FP4 (E2M1: 0 0.5 1 1.5 2 3 4 6, then their negatives),
// with their offsets.
static const u8x16 iq4_table = {0, 23, 44, 62, 78, 92, 105, 117, 128, 140, 152, 165, 180, 196, 216, 240};
static const u8x16 fp4_table = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

// n codes (a multiple of 16), each replaced by its entry.
static inline void look_up(const u8x16 *table, int n, uint8_t *codes) {
  const u8x16 t = *table;
  for (int i = 0; i < n; i += 16) {
    const u8x16 v = U8X16(codes + i);
    *(u8x16 *)(codes + i) = KIND_LOOKUP(t, v);
  }
}

static inline float float_of_bits(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}

// Half of an E8M0 number: 2^(e - 127) / 2. The two smallest are denormal. 255, which the OCP's MX formats
// call NaN, reads as a number here, as GGUF's reference does.
static inline float half_e8m0(uint8_t e) {
  return float_of_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

// The same with what MLX reads of 255: infinity.
static inline float half_e8m0_mlx(uint8_t e) { return e == 255 ? INFINITY : half_e8m0(e); }

// The magnitude of an E4M3 number, whose exponent has the bias 7: as the bits of a small f32, times what the
// biases are apart. Codes that mean NaN read as 480.
static inline float e4m3_magnitude(uint8_t b) { return float_of_bits((uint32_t)(b & 127) << 20) * 0x1p120f; }

// An E4M3 number with its sign; 127 and 255 are NaN.
static inline float e4m3(uint8_t b) {
  const float m = e4m3_magnitude(b);
  return (b & 127) == 127 ? NAN : b & 128 ? -m : m;
}

// IQ4_NL, 18 bytes for 32: 0: f16 d; 2: 16 bytes of nibbles. Value = T[q] * d.
static void decode_iq4_nl(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += 18, out += 32) {
    const float d = half_at(p);
    for (int i = 0; i < 32; i++) out[i] = (float)(iq4_table[nibble_at(p + 2, i)] - IQ4_OFFSET) * d;
  }
}
static void codes_iq4_nl(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += 18, codes += 32) {
    nibbles(p + 2, codes);
    look_up(&iq4_table, 32, codes);
  }
}
static void scales_iq4_nl(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  head_scales(p, 18, n, scale);
}

// IQ4_XS, 136 bytes for 256: 0: f16 d; 2: u16, two upper bits of each of eight S; 4: 4 bytes, their low four
// bits, the low nibble first; 8: 128 bytes, nibbles in halves for each 32. Value = T[q] * (d * (S - 32)).
static inline float iq4_xs_scale(const unsigned char *p, int g) {
  const int low = p[4 + g / 2] >> g % 2 * 4 & 15, high = p[2 + g / 4] >> g % 4 * 2 & 3;
  return half_at(p) * (float)((low | high << 4) - 32);
}
static void decode_iq4_xs(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += 136, out += 256) {
    for (int i = 0; i < 256; i++) {
      const int q = nibble_at(p + 8 + 16 * (i / 32), i % 32);
      out[i] = (float)(iq4_table[q] - IQ4_OFFSET) * iq4_xs_scale(p, i / 32);
    }
  }
}
static void codes_iq4_xs(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += 136, codes += 256) {
    for (int g = 0; g < 8; g++) nibbles(p + 8 + 16 * g, codes + 32 * g);
    look_up(&iq4_table, 256, codes);
  }
}
static void scales_iq4_xs(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  for (; n--; p += 136, scale += 8) {
    for (int g = 0; g < 8; g++) scale[g] = iq4_xs_scale(p, g);
  }
}

// MXFP4, 17 bytes for 32: 0: E8M0 e; 1: 16 bytes of nibbles. Value = FP4[q] * 2^(e - 127).
static void decode_mxfp4(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += 17, out += 32) {
    for (int i = 0; i < 32; i++)
      out[i] = (float)(fp4_table[nibble_at(p + 1, i)] - FP4_OFFSET) * half_e8m0(p[0]);
  }
}
static void codes_mxfp4(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += 17, codes += 32) {
    nibbles(p + 1, codes);
    look_up(&fp4_table, 32, codes);
  }
}
static void scales_mxfp4(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  for (int64_t b = 0; b < n; b++) scale[b] = half_e8m0(p[17 * b]);
}

// NVFP4, 36 bytes for 64: 0: E4M3 d of each 16, without sign (its NaN counts as 0); 4: 8 bytes of nibbles for
// each 16, the low ones first. Value = FP4[q] * d.
static inline float nvfp4_scale(uint8_t d) { return d == 0x7F ? 0 : e4m3_magnitude(d) * 0.5f; }
static void decode_nvfp4(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += 36, out += 64) {
    for (int i = 0; i < 64; i++) {
      const int byte = p[4 + 8 * (i / 16) + i % 8], q = i % 16 < 8 ? byte & 15 : byte >> 4;
      out[i] = (float)(fp4_table[q] - FP4_OFFSET) * nvfp4_scale(p[i / 16]);
    }
  }
}
static void codes_nvfp4(const unsigned char *p, int64_t n, uint8_t *codes) {
  const uint64_t low = 0x0F0F0F0F0F0F0F0Fu;
  for (; n--; p += 36, codes += 64) {
    for (int s = 0; s < 4; s++) {
      uint64_t q, half[2];
      memcpy(&q, p + 4 + 8 * s, 8);
      half[0] = q & low;
      half[1] = q >> 4 & low;
      memcpy(codes + 16 * s, half, 16);
    }
    look_up(&fp4_table, 64, codes);
  }
}
static void scales_nvfp4(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  for (; n--; p += 36, scale += 4) {
    for (int s = 0; s < 4; s++) scale[s] = nvfp4_scale(p[s]);
  }
}

// MLX's: element 2 i of a block of FP4 is the low nibble of byte i, element 2 i + 1 the high one. -0 keeps
// its sign in values.
static inline float fp4_twice_at(const unsigned char *p, int i) {
  const int q = p[i / 2] >> i % 2 * 4 & 15;
  const float m = (float)(fp4_table[q & 7] - FP4_OFFSET);
  return q & 8 ? -m : m;
}

// n bytes of them.
static inline void fp4_codes(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n > 0; n -= 8, p += 8, codes += 16) {
    u8x8 v;
    memcpy(&v, p, 8);
    const u16x8 wide = __builtin_convertvector(v, u16x8), pairs = (wide | wide << 4) & 0x0F0F;
    memcpy(codes, &pairs, 16);
    look_up(&fp4_table, 16, codes);
  }
}

// mxfp4: 16 bytes for 32, and an E8M0 e. Value = FP4[q] * 2^(e - 127).
static void decode_mlx_mxfp4(const unsigned char *p, const unsigned char *s, int64_t n, float *out) {
  for (; n--; p += 16, s++, out += 32) {
    for (int i = 0; i < 32; i++) out[i] = fp4_twice_at(p, i) * half_e8m0_mlx(*s);
  }
}
static void codes_mlx_mxfp4(const unsigned char *p, int64_t n, uint8_t *codes) {
  fp4_codes(p, n * 16, codes);
}
static void scales_mlx_mxfp4(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  for (int64_t b = 0; b < n; b++) scale[b] = half_e8m0_mlx(p[b]);
}

// nvfp4: 16 bytes for 32, and an E4M3 d of each 16. Value = FP4[q] * d.
static void decode_mlx_nvfp4(const unsigned char *p, const unsigned char *s, int64_t n, float *out) {
  for (; n--; p += 16, s += 2, out += 32) {
    for (int i = 0; i < 32; i++) out[i] = fp4_twice_at(p, i) * (e4m3(s[i / 16]) * 0.5f);
  }
}
static void codes_mlx_nvfp4(const unsigned char *p, int64_t n, uint8_t *codes) {
  fp4_codes(p, n * 16, codes);
}
static void scales_mlx_nvfp4(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  for (int64_t b = 0; b < 2 * n; b++) scale[b] = e4m3(p[b]) * 0.5f;
}

// mxfp8: 32 bytes for 32, E4M3 q, and an E8M0 e. Value = q * 2^(e - 127). These are floats: as integers they
// would have 18 bits.
static void decode_mlx_mxfp8(const unsigned char *p, const unsigned char *s, int64_t n, float *out) {
  for (; n--; p += 32, s++, out += 32) {
    const float d = 2 * half_e8m0_mlx(*s);
    for (int i = 0; i < 32; i++) out[i] = e4m3(p[i]) * d;
  }
}

#endif
