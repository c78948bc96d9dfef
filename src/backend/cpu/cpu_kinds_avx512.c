// The readers of stored kinds compiled for AVX-512.
#include "backend/cpu/cpu_matmul_avx512.h"

#define KIND_HALF(h) _cvtsh_ss(h)
#define KIND_LOOKUP(table, v) (u8x16) _mm_shuffle_epi8((__m128i)(table), (__m128i)(v))
#include "base/kind_rows.h"

const pn_kind *matmul_avx512_kind_of(pn_dtype t) { return &rows[t]; }
