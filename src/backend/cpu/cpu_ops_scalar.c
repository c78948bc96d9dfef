// Plain C: what runs where no better instruction set is known, and what the others are compared with.
#include "backend/cpu/cpu_ops.h"

#include <math.h>
#include <string.h>

#define OPS_TABLE cpu_ops_scalar
#define OPS_NAME "scalar"
#define TILE_QUERIES 4
#define PANEL_VECTORS 1
#define KEY_VECTORS(nq) 1
#define VALUE_VECTORS(nq) 1
#define DELTA_BLOCKS 1
#define INLINE static inline // the compiler's choice: every kernel of every type unrolled takes it minutes
#define EACH for (int l = 0; l < CPU_LANES; l++)

typedef struct v16 {
  float f[CPU_LANES];
} v16;

static inline v16 v_load(const float *p) {
  v16 v;
  memcpy(v.f, p, sizeof v.f);
  return v;
}
static inline v16 v_load_n(const float *p, int n) {
  v16 v = {0};
  memcpy(v.f, p, (size_t)n * sizeof *p);
  return v;
}
static inline void v_store(float *p, v16 v) { memcpy(p, v.f, sizeof v.f); }
static inline void v_store_n(float *p, v16 v, int n) { memcpy(p, v.f, (size_t)n * sizeof *p); }
static inline v16 v_set1(float x) {
  v16 v;
  EACH v.f[l] = x;
  return v;
}
static inline v16 v_add(v16 a, v16 b) {
  EACH a.f[l] += b.f[l];
  return a;
}
static inline v16 v_sub(v16 a, v16 b) {
  EACH a.f[l] -= b.f[l];
  return a;
}
static inline v16 v_mul(v16 a, v16 b) {
  EACH a.f[l] *= b.f[l];
  return a;
}
static inline v16 v_div(v16 a, v16 b) {
  EACH a.f[l] /= b.f[l];
  return a;
}
static inline v16 v_fma(v16 a, v16 b, v16 c) {
  EACH c.f[l] = fmaf(a.f[l], b.f[l], c.f[l]);
  return c;
}
static inline v16 v_max(v16 a, v16 b) {
  EACH a.f[l] = a.f[l] > b.f[l] ? a.f[l] : b.f[l];
  return a;
}
static inline v16 v_min(v16 a, v16 b) {
  EACH a.f[l] = a.f[l] < b.f[l] ? a.f[l] : b.f[l];
  return a;
}
// To nearest even for |x| < 2^22: above 2^23 a float has no fraction.
static inline v16 v_round(v16 a) {
  EACH {
    float shifted = a.f[l] + 0x1.8p23f;
    a.f[l] = shifted - 0x1.8p23f;
  }
  return a;
}
static inline v16 v_pow2(v16 n) {
  EACH {
    uint32_t u = (uint32_t)((int32_t)n.f[l] + 127) << 23;
    memcpy(&n.f[l], &u, 4);
  }
  return n;
}
// x * 2^n where that is a normal number, for whole n.
static inline v16 v_scale2(v16 x, v16 n) {
  EACH {
    uint32_t u;
    memcpy(&u, &x.f[l], 4);
    u += (uint32_t)(int32_t)n.f[l] << 23;
    memcpy(&x.f[l], &u, 4);
  }
  return x;
}
static inline v16 v_swap_pairs(v16 a) {
  v16 v;
  EACH v.f[l] = a.f[l ^ 1];
  return v;
}
static inline float v_sum(v16 v) {
  for (int step = CPU_LANES / 2; step; step /= 2)
    for (int l = 0; l < step; l++) v.f[l] += v.f[l + step];
  return v.f[0];
}
static inline float v_top(v16 v) {
  for (int step = CPU_LANES / 2; step; step /= 2)
    for (int l = 0; l < step; l++) v.f[l] = v.f[l] > v.f[l + step] ? v.f[l] : v.f[l + step];
  return v.f[0];
}
static inline v16 v_from_f16(const void *p) {
  v16 v;
  pn_floats_to_f32(PN_F16, p, v.f, CPU_LANES);
  return v;
}
static inline v16 v_from_bf16(const void *p) {
  v16 v;
  pn_floats_to_f32(PN_BF16, p, v.f, CPU_LANES);
  return v;
}
static inline void v_to_f16(uint16_t *p, v16 v) { EACH p[l] = pn_f32_to_f16(v.f[l]); }
static inline void v_to_bf16(uint16_t *p, v16 v) { EACH p[l] = pn_f32_to_bf16(v.f[l]); }
static inline v16 v_from_i8(const void *p) {
  int8_t c[CPU_LANES];
  v16 v;
  memcpy(c, p, sizeof c);
  EACH v.f[l] = (float)c[l];
  return v;
}
static inline void v_to_i8(int8_t *p, v16 v) { EACH p[l] = (int8_t)v.f[l]; }
// 32 codes of 4 bits from 16 bytes: first the lower halves, then the upper ones.
static inline void v_from_u4(const void *p, v16 out[2]) {
  uint8_t c[CPU_LANES];
  memcpy(c, p, sizeof c);
  EACH out[0].f[l] = (float)(c[l] & 15);
  EACH out[1].f[l] = (float)(c[l] >> 4);
}
typedef struct v_bytes {
  uint8_t c[CPU_LANES];
} v_bytes;
static inline v_bytes v_load_bytes(const char *p) {
  v_bytes b;
  memcpy(b.c, p, sizeof b.c);
  return b;
}
// Codes of 6 bits of dimension d of 4: the half of `low` that d % 2 names, and bits 2 d of `high`.
static inline v16 v_from_u6(v_bytes low, v_bytes high, int d) {
  v16 v;
  EACH v.f[l] = (float)((low.c[l] >> d % 2 * 4 & 15) | (high.c[l] >> 2 * d & 3) << 4);
  return v;
}
// Which lanes are >= those of b, the first in the lowest bit.
static inline unsigned v_bits_ge(v16 a, v16 b) {
  unsigned bits = 0;
  EACH bits |= (a.f[l] >= b.f[l] ? 1u : 0u) << l;
  return bits;
}
// w where x >= least, else 0.
static inline v16 v_zero_below(v16 w, v16 x, v16 least) {
  EACH w.f[l] = x.f[l] >= least.f[l] ? w.f[l] : 0;
  return w;
}
static inline v16 v_by_bits(unsigned bits, v16 set, v16 clear) {
  EACH set.f[l] = bits >> l & 1 ? set.f[l] : clear.f[l];
  return set;
}
typedef struct v_units {
  uint64_t q[CPU_LANES];
} v_units;
// Adding CPU_UNIT_SHIFT rounds to whole units, which are the lowest bits of the sum then.
static inline v_units v_to_units(v16 w) {
  const double shift = CPU_UNIT_SHIFT;
  uint64_t zero;
  v_units x;
  memcpy(&zero, &shift, sizeof zero);
  EACH {
    double d = (double)w.f[l] + shift;
    memcpy(&x.q[l], &d, sizeof d);
    x.q[l] -= zero;
  }
  return x;
}
static inline v_units v_no_units(void) { return (v_units){{0}}; }
static inline v_units v_add_units(v_units x, v_units y) {
  EACH x.q[l] += y.q[l];
  return x;
}
static inline void v_store_units(uint64_t *p, v_units x) { memcpy(p, x.q, sizeof x.q); }

#include "backend/cpu/cpu_ops_body.h"
