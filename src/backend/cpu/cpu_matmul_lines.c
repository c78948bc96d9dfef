// The unit of NEON: 16 weight rows are unpacked once to bytes and f32 scales, then meet every row of x.
#include "backend/cpu/cpu_matmul_kernels.h"

static void sum_lines(const float *p, int stride, int n_blocks, float acc[MATMUL_UNIT]) {
  for (int r = 0; r < MATMUL_UNIT; r++) acc[r] = 0;
  for (int b = 0; b < n_blocks; b++) {
    for (int r = 0; r < MATMUL_UNIT; r++) acc[r] += p[r * stride + b];
  }
}

static void unit_floats(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                        int64_t out_stride, matmul_line_floats *floats) {
  for (int i = 0; i < n; i++) {
    for (int k = 0, t; k < x->n_rows; k += t) {
      float y[4];
      t = x->n_rows - k >= 4 ? 4 : 1;
      floats(w, r0 + i, x, k, t, y);
      for (int j = 0; j < t; j++) out[(k + j) * out_stride + r0 + i] = y[j];
    }
  }
}

void matmul_unit_lines(const pn_weight *w, int64_t r0, int n, const matmul_x *x, float *out,
                       int64_t out_stride, void *scratch, matmul_line_products *products,
                       matmul_line_floats *floats) {
  if (!w->block) {
    unit_floats(w, r0, n, x, out, out_stride, floats);
    return;
  }
  const int padded = (w->n_blocks + 7) / 8 * 8;
  const matmul_line line = {.w = w, .x = x, .n_padded = padded, .wide = w->bits == 8, .bias = w->biased};
  const size_t bytes = (size_t)padded * (size_t)w->block, cols = (size_t)w->m.cols;
  float *scale = scratch, *bias = scale + MATMUL_UNIT * padded, *p = bias + MATMUL_UNIT * padded;
  uint8_t *codes = (uint8_t *)(p + MATMUL_UNIT * padded);
  for (int i = 0; i < n; i++) {
    matmul_unpack_codes(w, r0 + i, codes + (size_t)i * bytes);
    memset(codes + (size_t)i * bytes + cols, 0, bytes - cols);
    matmul_unpack_scales(w, r0 + i, scale + i * padded, bias + i * padded);
  }
  for (int k = 0; k < x->n_rows; k++) {
    float acc[MATMUL_UNIT];
    for (int i = 0; i < n; i++)
      products(&line, codes + (size_t)i * bytes, scale + i * padded, bias + i * padded, k, p + i * padded);
    sum_lines(p, padded, w->n_blocks, acc);
    memcpy(out + k * out_stride + r0, acc, (size_t)n * sizeof *acc);
  }
}
