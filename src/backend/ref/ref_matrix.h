// Matrices by the definition of their kinds, for the oracle and wherever single rows are wanted.
#ifndef PN_BACKEND_REF_MATRIX_H
#define PN_BACKEND_REF_MATRIX_H

#include "backend/backend.h"

// Whether kind, bits, group, types and shape are known and agree, and the pointers are there.
// PN_ERR_UNSUPPORTED names what is not known; PN_ERR_CORRUPT what contradicts.
bool ref_matrix_check(const pn_matrix *m, pn_error *e);

// Rows [first, first + n) of a matrix, as a matrix over the same memory: an expert of a weight that holds
// several, one after the other. Where there are factors `first` is a multiple of factor_rows. Any thread.
pn_matrix ref_matrix_rows(const pn_matrix *m, int64_t first, int64_t n);

// What multiplies row `row`; 1 where the matrix has no factors. Any thread.
float ref_matrix_factor(const pn_matrix *m, int64_t row);

// out[0 .. cols) = the values of row `row`: products and sums rounded to f32 (value = q * scale + bias, the
// product first). Any thread.
void ref_matrix_row(const pn_matrix *m, int64_t row, float *out);

#endif
