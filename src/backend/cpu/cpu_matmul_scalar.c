// Plain C kernels: the oracle of the bit pattern for every other instruction set.
#include "backend/cpu/cpu_matmul_kernels.h"

#include <math.h>

static bool usable(void) { return true; }

static matmul_layout layout(const pn_weight *w) {
  (void)w;
  return MATMUL_PLAIN;
}

static matmul_packing packing(int n_rows) {
  (void)n_rows;
  return MATMUL_ROWS;
}

static void matmul_quantise_scalar(const matmul_x *x, int r) {
  for (int b = 0; b < x->n_blocks; b++) {
    const float *f = x->f + (int64_t)r * x->f_stride + (int64_t)b * x->block;
    const size_t at = (size_t)r * x->s_stride + (size_t)b;
    uint32_t top = 0; // the bits of |x| order like the numbers, NaN above all
    for (int i = 0; i < x->block; i++) {
      uint32_t u;
      memcpy(&u, f + i, 4);
      if ((u & 0x7FFFFFFFu) > top) top = u & 0x7FFFFFFFu;
    }
    float amax;
    memcpy(&amax, &top, 4);
    int8_t planes[2][64] = {0};
    int sum = 0;
    float dx = 0;
    if (top >= 0x7F800000u) {
      dx = NAN;
    } else if (amax >= 0x1p-100f) {
      const float inverse = matmul_top(x) / amax;
      dx = amax / matmul_top(x);
      for (int i = 0; i < x->block; i++) {
        const int q = (int)lrintf(f[i] * inverse), hi = (q + (127 * 256 + 128)) / 256 - 127;
        sum += q;
        planes[0][i] = (int8_t)(x->planes == 2 ? hi : q);
        planes[1][i] = (int8_t)(q - 256 * hi);
      }
    }
    int8_t *to = x->q + (size_t)r * x->q_stride + (size_t)b * (size_t)x->block;
    for (int k = 0; k < x->planes; k++) memcpy(to + (size_t)k * x->plane, planes[k], (size_t)x->block);
    x->dx[at] = dx;
    x->sum[at] = dx * (float)sum;
    x->shift[at] = -x->offset * sum;
  }
}

static float float_row(const float *w, const float *x, int64_t cols) {
  float lane[16] = {0};
  for (int64_t i = 0; i < cols; i++) lane[i & 15] = fmaf(w[i], x[i], lane[i & 15]);
  for (int step = 8; step; step /= 2) {
    for (int i = 0; i < step; i++) lane[i] += lane[i + step];
  }
  return lane[0];
}

static void unit_float(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                       int64_t out_stride, float *row) {
  for (int i = 0; i < n; i++) {
    const unsigned char *p = (const unsigned char *)w->m.data + (size_t)(r0 + i) * w->m.row_bytes;
    pn_floats_to_f32(w->m.kind, p, row, (size_t)w->m.cols);
    for (int k = 0; k < x->n_rows; k++)
      out[k * out_stride + r0 + i] = float_row(row, x->f + k * x->f_stride, w->m.cols);
  }
}

static float code_row(const pn_weight *w, const uint8_t *codes, const float *scale, const float *bias,
                      const matmul_x *x, int k) {
  const int8_t *q = x->q + (size_t)k * x->q_stride;
  const size_t at = (size_t)k * x->s_stride;
  float acc = 0;
  for (int b = 0; b < w->n_blocks; b++, q += w->block, codes += w->block) {
    int dot = 0;
    for (int i = 0; i < w->block; i++) dot += codes[i] * q[i];
    if (x->planes == 2) {
      dot *= 256;
      for (int i = 0; i < w->block; i++) dot += codes[i] * q[x->plane + (size_t)i];
    }
    dot += x->shift[at + (size_t)b];
    float p = scale[b] * (x->dx[at + (size_t)b] * (float)dot);
    if (bias) p = fmaf(bias[b], x->sum[at + (size_t)b], p);
    acc += p;
  }
  return acc;
}

static void unit(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out, int64_t out_stride,
                 void *scratch) {
  if (!w->block) {
    unit_float(w, r0, n, x, out, out_stride, scratch);
    return;
  }
  float *scale = scratch, *bias = scale + w->n_blocks;
  uint8_t *codes = (uint8_t *)(bias + w->n_blocks);
  for (int i = 0; i < n; i++) {
    matmul_unpack_codes(w, r0 + i, codes);
    matmul_unpack_scales(w, r0 + i, scale, bias);
    for (int k = 0; k < x->n_rows; k++)
      out[k * out_stride + r0 + i] = code_row(w, codes, scale, w->biased ? bias : NULL, x, k);
  }
}

const matmul_kernels matmul_scalar = {.name = "scalar",
                                      .usable = usable,
                                      .layout = layout,
                                      .packing = packing,
                                      .quantise = matmul_quantise_scalar,
                                      .scratch_bytes = matmul_scratch_unpacked,
                                      .unit = unit};
