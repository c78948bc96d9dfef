// The readers of stored kinds compiled for AArch64, where the processor converts f16.
#include "backend/cpu/cpu_matmul_neon.h"

static inline float half_to_float(uint16_t h) {
  __fp16 f;
  memcpy(&f, &h, 2);
  return (float)f;
}

#define KIND_HALF(h) half_to_float(h)
#include "base/kind_rows.h"

const pn_kind *matmul_neon_kind_of(pn_dtype t) { return &rows[t]; }
