// What the integer types of the KV make of a vector, for the oracle.
#ifndef PN_BACKEND_CPU_REF_CODES_H
#define PN_BACKEND_CPU_REF_CODES_H

#include "backend/backend.h"

// out = what K or V x[0 .. n) reads as after being stored as t, PN_KV_INT8 or PN_KV_INT4.
void cpu_ref_codes(pn_kv_type t, const float *x, int n, float *out);

#endif
