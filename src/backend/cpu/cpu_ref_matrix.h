// Matrices of the oracle: any stored kind, one row at a time, as f32.
#ifndef PN_BACKEND_CPU_REF_MATRIX_H
#define PN_BACKEND_CPU_REF_MATRIX_H

#include "backend/backend.h"

// Kind, bits, group, dtypes and shape are ones that we know, and the pointers are there. PN_ERR_UNSUPPORTED names what
// is not; PN_ERR_CORRUPT when row_bytes is less than the columns need.
bool cpu_ref_matrix_check(const pn_matrix *m, pn_error *e);

// out[0 .. cols) = the values of row `row`: exactly rounded products and sums in f32 (value = q * scale + bias, the
// product rounded first).
void cpu_ref_matrix_row(const pn_matrix *m, int64_t row, float *out);

#endif
