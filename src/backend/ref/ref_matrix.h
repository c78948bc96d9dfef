// Matrices by the definition of their kinds, for the oracle and wherever single rows are wanted.
#ifndef PN_BACKEND_REF_MATRIX_H
#define PN_BACKEND_REF_MATRIX_H

#include "backend/backend.h"

// Whether kind, bits, group, types and shape are known and agree, and the pointers are there.
// PN_ERR_UNSUPPORTED names what is not known; PN_ERR_CORRUPT what contradicts.
bool ref_matrix_check(const pn_matrix *m, pn_error *e);

// What multiplies row `row`; 1 where the matrix has no factors. Any thread.
float ref_matrix_factor(const pn_matrix *m, int64_t row);

// out[0 .. cols) = the values of row `row`: products and sums rounded to f32 (value = q * scale + bias, the
// product first). Any thread.
void ref_matrix_row(const pn_matrix *m, int64_t row, float *out);

#endif
