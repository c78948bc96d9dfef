// What the integer types of the KV make of a vector, for the oracle.
#ifndef PN_BACKEND_REF_CODES_H
#define PN_BACKEND_REF_CODES_H

#include "backend/backend.h"

#include <stdbool.h>

// out = what a vector x[0 .. n) of K (or of V: value) reads as after being stored as t: INT8, or INT4 with n
// at most CPU_HADAMARD_MAX.
void ref_codes(pn_kv_type t, bool value, const float *x, int n, float *out);

#endif
