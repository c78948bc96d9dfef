// A unit of any weight: what an instruction set computes, and what none of them needs to know of.
#include "backend/cpu/cpu_matmul_kernels.h"
#include "backend/ref/ref_matrix.h"

// Rows that kernels don't read as stored, one at a time as f32, behind what a unit of floats needs of the
// scratch.
static void decoded_unit(const matmul_kernels *k, const pn_weight *w, int64_t r0, int n, const matmul_x *x,
                         float *out, int64_t out_stride, void *scratch) {
  const size_t cols = (size_t)w->m.cols;
  float *line = (float *)scratch + (cols + 15) / 16 * 16;
  const pn_weight one = {
      .m = {.kind = PN_F32, .rows = 1, .cols = w->m.cols, .data = line, .row_bytes = cols * sizeof *line}};
  for (int i = 0; i < n; i++) {
    ref_matrix_row(&w->m, r0 + i, line);
    k->unit(&one, 0, 1, x, out + r0 + i, out_stride, scratch);
  }
}

void matmul_unit(const matmul_kernels *k, const pn_weight *w, int64_t r0, int n, const matmul_x *x,
                 float *out, int64_t out_stride, void *scratch) {
  if (w->decoded) {
    decoded_unit(k, w, r0, n, x, out, out_stride, scratch);
    return;
  }
  k->unit(w, r0, n, x, out, out_stride, scratch);
  for (int i = 0; w->m.factors && i < n; i++) {
    const float factor = ref_matrix_factor(&w->m, r0 + i);
    for (int r = 0; r < x->n_rows; r++) out[r * out_stride + r0 + i] *= factor;
  }
}
