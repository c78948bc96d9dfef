// A unit of any weight: what an instruction set computes, and what none of them needs to know of.
#include "backend/cpu/cpu_matmul_kernels.h"
#include "backend/ref/ref_matrix.h"

void matmul_unit(const matmul_kernels *k, const pn_weight *w, int64_t r0, int n, const matmul_x *x,
                 float *out, int64_t out_stride, void *scratch) {
  k->unit(w, r0, n, x, out, out_stride, scratch);
  for (int i = 0; w->m.factors && i < n; i++) {
    const float factor = ref_matrix_factor(&w->m, r0 + i);
    for (int r = 0; r < x->n_rows; r++) out[r * out_stride + r0 + i] *= factor;
  }
}
