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

// The entries that 32 nibbles in halves name.
static inline void look_up(const u8x16 *table, const unsigned char *q, uint8_t *codes) {
  const u8x16 t = *table, v = U8X16(q), low = v & 15, high = v >> 4;
  *(u8x16 *)codes = KIND_LOOKUP(t, low);
  *(u8x16 *)(codes + 16) = KIND_LOOKUP(t, high);
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

// The magnitude of an E4M3 number, whose exponent has the bias 7; codes that mean NaN read as 480. Exponent 0
// has no leading one: it is read with that of exponent 1, which is then taken off.
static inline float e4m3_magnitude(uint8_t b) {
  const uint32_t small = (b & 0x78) == 0, one = small * 0x3C800000u; // 2^-6 or 0
  return float_of_bits(((uint32_t)(b & 127) << 20) + ((120 + small) << 23)) - float_of_bits(one);
}

// An E4M3 number with its sign; 127 and 255 are NaN.
static inline float e4m3(uint8_t b) {
  const float m = (b & 127) == 127 ? NAN : e4m3_magnitude(b);
  return m * (float)(1 - (b >> 6 & 2));
}

// IQ4_NL, 18 bytes for 32: 0: f16 d; 2: 16 bytes of nibbles. Value = T[q] * d.
static void decode_iq4_nl(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += 18, out += 32) {
    const float d = half_at(p);
    for (int i = 0; i < 32; i++) out[i] = (float)(iq4_table[nibble_at(p + 2, i)] - IQ4_OFFSET) * d;
  }
}
static void codes_iq4_nl(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += 18, codes += 32) look_up(&iq4_table, p + 2, codes);
}
static void scales_iq4_nl(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  head_scales(p, 18, n, scale);
}

// IQ4_XS, 136 bytes for 256: 0: f16 d; 2: u16, two upper bits of each of eight S; 4: 4 bytes, their low four
// bits, the low nibble first; 8: 128 bytes, nibbles in halves for each 32. Value = T[q] * (d * (S - 32)).
static void decode_iq4_xs(const unsigned char *p, int64_t n, float *out) {
  for (; n--; p += 136, out += 256) {
    for (int i = 0; i < 256; i++) {
      const int g = i / 32, q = nibble_at(p + 8 + 16 * g, i % 32);
      const int low = p[4 + g / 2] >> g % 2 * 4 & 15, high = p[2 + g / 4] >> g % 4 * 2 & 3;
      out[i] = (float)(iq4_table[q] - IQ4_OFFSET) * (half_at(p) * (float)((low | high << 4) - 32));
    }
  }
}
static void codes_iq4_xs(const unsigned char *p, int64_t n, uint8_t *codes) {
  for (; n--; p += 136, codes += 256) {
    for (int g = 0; g < 8; g++) look_up(&iq4_table, p + 8 + 16 * g, codes + 32 * g);
  }
}
static void scales_iq4_xs(const unsigned char *p, int64_t n, float *scale, float *bias) {
  (void)bias;
  for (; n--; p += 136, scale += 8) {
    uint32_t low;
    uint16_t high;
    memcpy(&low, p + 4, 4);
    memcpy(&high, p + 2, 2);
    uint64_t s = low, t = high; // spread to a byte each by halving
    s = (s | s << 16) & 0x0000FFFF0000FFFFu;
    s = (s | s << 8) & 0x00FF00FF00FF00FFu;
    s = (s | s << 4) & 0x0F0F0F0F0F0F0F0Fu;
    t = (t | t << 24) & 0x000000FF000000FFu;
    t = (t | t << 12) & 0x000F000F000F000Fu;
    t = (t | t << 6) & 0x0303030303030303u;
    bytes_times(less_32((uint32_t)s, (uint32_t)t), less_32((uint32_t)(s >> 32), (uint32_t)(t >> 32)),
                half_at(p), scale);
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
  for (; n--; p += 17, codes += 32) look_up(&fp4_table, p + 1, codes);
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
  const u8x16 t = fp4_table;
  for (; n--; p += 36, codes += 64) {
    for (int k = 0; k < 2; k++) { // two 16s
      const u8x16 v = U8X16(p + 4 + 16 * k), low = v & 15, high = v >> 4;
      const u64x2 a = (u64x2)KIND_LOOKUP(t, low), b = (u64x2)KIND_LOOKUP(t, high);
      *(u64x2 *)(codes + 32 * k) = (u64x2){a[0], b[0]};
      *(u64x2 *)(codes + 32 * k + 16) = (u64x2){a[1], b[1]};
    }
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
  const u8x16 t = fp4_table;
  for (; n > 0; n -= 8, p += 8, codes += 16) {
    const u16x8 wide = __builtin_convertvector(*(const u8x8 *)p, u16x8);
    const u8x16 v = (u8x16)((wide | wide << 4) & 0x0F0F);
    *(u8x16 *)codes = KIND_LOOKUP(t, v);
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

// Four E4M3 numbers times d, as e4m3 reads them.
static inline void e4m3_times(const unsigned char *p, float d, float *out) {
  const u32x4 b = {p[0], p[1], p[2], p[3]}, low = b & 127;
  const u32x4 small = (u32x4)(low < 8), nan = (u32x4)(low == 127);
  const f32x4 m = (f32x4)((low << 20) + (120u << 23) + (small & 1u << 23)) - (f32x4)(small & 0x3C800000u);
  *(f32x4 *)out = (f32x4)((u32x4)m | (nan & 0x7FC00000u) | (b & 128) << 24) * d;
}

// mxfp8: 32 bytes for 32, E4M3 q, and an E8M0 e. Value = q * 2^(e - 127). These are floats: as integers they
// would have 18 bits.
static void decode_mlx_mxfp8(const unsigned char *p, const unsigned char *s, int64_t n, float *out) {
  for (; n--; p += 32, s++, out += 32) {
    const float d = 2 * half_e8m0_mlx(*s);
    for (int i = 0; i < 32; i += 4) e4m3_times(p + i, d, out + i);
  }
}

#endif
