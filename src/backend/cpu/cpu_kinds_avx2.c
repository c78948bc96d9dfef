// The readers of stored kinds compiled for AVX2 with F16C.
#include "backend/cpu/cpu_matmul_avx2.h"

#define KIND_HALF(h) _cvtsh_ss(h)
#define KIND_LOOKUP(table, v) (u8x16) _mm_shuffle_epi8((__m128i)(table), (__m128i)(v))
#include "base/kind_rows.h"

const pn_kind *matmul_avx2_kind_of(pn_dtype t) { return &rows[t]; }
