// NEON with dot products of bytes: choice of kernel, activations. What decides the speed: decode reads the
// weights as they lie, one pass; prefill is bound by sdot, or by smmla where the processor has it.
#include "backend/cpu/cpu_matmul_neon.h"

#include "backend/cpu/cpu_isa.h"

#include <math.h>

static matmul_layout layout(const pn_weight *w) {
  if (w->bits == 8) return MATMUL_WIDE;
  return w->m.kind == PN_AFFINE && w->m.bits == 4 ? MATMUL_EVEN_ODD : MATMUL_PLAIN;
}

static matmul_packing packing(int n_rows) { return n_rows <= NEON_ROW_MAX ? MATMUL_LINE : MATMUL_PANELS; }

// The block's columns as bytes, rounded as cpu_matmul.h says, a plane behind the other; *dx is its scale.
// Returns the sum of its codes.
static int round_block(const matmul_x *x, const float *f, int8_t *q, float *dx) {
  const uint32x4_t magnitude = vdupq_n_u32(0x7FFFFFFFu);
  uint32x4_t top = vdupq_n_u32(0);
  for (int i = 0; i < x->block; i += 4)
    top = vmaxq_u32(top, vandq_u32(vreinterpretq_u32_f32(vld1q_f32(f + i)), magnitude));
  const uint32_t bits = vmaxvq_u32(top);
  float amax;
  memcpy(&amax, &bits, 4);
  *dx = bits >= 0x7F800000u ? NAN : 0;
  if (bits >= 0x7F800000u || amax < 0x1p-100f) {
    memset(q, 0, (size_t)(x->block * x->planes));
    return 0;
  }
  const float32x4_t inverse = vdupq_n_f32(matmul_top(x) / amax);
  int8_t *low = q + (x->planes == 2 ? x->block : 0);
  int32x4_t sums = vdupq_n_s32(0);
  *dx = amax / matmul_top(x);
  for (int i = 0; i < x->block; i += 8) {
    const int32x4_t a = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(f + i), inverse));
    const int32x4_t b = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(f + i + 4), inverse));
    const int16x8_t v = vcombine_s16(vmovn_s32(a), vmovn_s32(b));
    sums = vaddq_s32(sums, vaddq_s32(a, b));
    vst1_s8(low + i, vmovn_s16(v));
    if (x->planes == 2) vst1_s8(q + i, vmovn_s16(vshrq_n_s16(vaddq_s16(v, vdupq_n_s16(128)), 8)));
  }
  return vaddvq_s32(sums);
}

// The even columns of a block (of 32 or 64), then the odd ones.
static void by_parity(int8_t *q, int block) {
  const int8x16_t a = vld1q_s8(q), b = vld1q_s8(q + 16);
  if (block == 64) {
    const int8x16_t c = vld1q_s8(q + 32), d = vld1q_s8(q + 48);
    vst1q_s8(q + 16, vuzp1q_s8(c, d));
    vst1q_s8(q + 48, vuzp2q_s8(c, d));
  }
  vst1q_s8(q, vuzp1q_s8(a, b));
  vst1q_s8(q + block / 2, vuzp2q_s8(a, b));
}

// A row of a panel: NEON_GROUP columns of each of the panel's rows in turn.
static void put_in_panel(int8_t *block, int width, int row, const int8_t *q, int n) {
  int8_t *to = block + NEON_GROUP * row;
  for (int i = 0; i < n; i += NEON_GROUP, to += NEON_GROUP * width) memcpy(to, q + i, NEON_GROUP);
}

static void quantise(const matmul_x *x, int r) {
  const bool panels = x->packing == MATMUL_PANELS;
  const size_t bytes = (size_t)(x->block * x->planes);
  int first = r, width = 1; // of the row's panel
  if (panels) {
    for (first = 0; first + (width = matmul_neon_panel(x->n_rows - first)) <= r;) first += width;
  }
  int8_t *base = x->q + (size_t)first * x->q_stride;
  for (int b = 0; b < x->n_blocks; b++) {
    const size_t at = (size_t)r * x->s_stride + (size_t)b;
    int8_t q[2 * 64];
    const int sum = round_block(x, x->f + (int64_t)r * x->f_stride + (int64_t)b * x->block, q, x->dx + at);
    for (int k = 0; k < x->planes && x->layout == MATMUL_EVEN_ODD; k++) by_parity(q + k * x->block, x->block);
    x->sum[at] = x->dx[at] * (float)sum;
    if (x->layout == MATMUL_WIDE)
      x->shift[at] = (128 - x->offset) * sum;
    else
      x->shift[at] = panels ? 0 : -x->offset * sum; // tiles hold codes less their offset
    if (panels)
      put_in_panel(base + (size_t)b * bytes * (size_t)width, width, r - first, q, (int)bytes);
    else
      memcpy(base + (size_t)b * bytes, q, bytes);
  }
}

static size_t scratch_bytes(int64_t cols) {
  const size_t rows = matmul_neon_rows_bytes(cols), tile = NEON_OF_TIER(tile_bytes)();
  return rows > tile ? rows : tile;
}

static void unit(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out, int64_t out_stride,
                 void *scratch) {
  if (!w->block)
    matmul_neon_float(w, r0, n, x, out, out_stride);
  else if (x->packing == MATMUL_LINE)
    matmul_neon_rows(w, r0, n, x, out, out_stride, scratch);
  else
    NEON_OF_TIER(tile)(w, r0, n, x, out, out_stride, scratch);
}

#ifdef __ARM_FEATURE_MATMUL_INT8
#define TABLE matmul_neon_i8mm
#define NAME "neon-i8mm"
static bool usable(void) { return cpu_isa_has(CPU_NEON_I8MM); }
#else
#define TABLE matmul_neon
#define NAME "neon"
static bool usable(void) { return cpu_isa_has(CPU_NEON); }
#endif

const matmul_kernels TABLE = {.name = NAME,
                              .together = true,
                              .usable = usable,
                              .layout = layout,
                              .packing = packing,
                              .quantise = quantise,
                              .scratch_bytes = scratch_bytes,
                              .unit = unit};
