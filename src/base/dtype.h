// Element types of tensors in files and in memory, and exact conversions of the 16-bit floats.
#ifndef PN_BASE_DTYPE_H
#define PN_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum pn_dtype {
  PN_F32,
  PN_F16,
  PN_BF16,
  PN_F64,
  PN_I8,
  PN_U8,
  PN_I16,
  PN_U16,
  PN_I32,
  PN_U32,
  PN_I64,
  PN_U64,
  PN_BOOL,
  PN_Q4_0, // GGUF block types: 32 (or 256) elements a block
  PN_Q4_1,
  PN_Q5_0,
  PN_Q5_1,
  PN_Q8_0,
  PN_Q2_K,
  PN_Q3_K,
  PN_Q4_K,
  PN_Q5_K,
  PN_Q6_K,
  PN_IQ4_NL, // codes that name entries of a table
  PN_IQ4_XS,
  PN_MXFP4,
  PN_NVFP4,
  PN_AFFINE,    // a matrix of MLX: packed codes with scales and biases of their own; no file's type
  PN_MLX_MXFP4, // the same with a byte of scale a block: MLX's modes of these names; no files' types
  PN_MLX_MXFP8,
  PN_MLX_NVFP4,
  PN_OTHER, // recognised by its file format, not by us; the file's own name is kept beside it
} pn_dtype;

// Facts of the table of kinds (base/kind.h).
const char *pn_dtype_name(pn_dtype t);
size_t pn_dtype_block(pn_dtype t);       // elements a block; 1 for plain types, 0 for PN_AFFINE and PN_OTHER
size_t pn_dtype_block_bytes(pn_dtype t); // bytes a block
// Bytes of n elements; false when n is not a whole number of blocks or the product overflows.
bool pn_dtype_bytes(pn_dtype t, uint64_t n, uint64_t *bytes);

// bf16 is the upper half of an f32. To bf16: round to nearest even; a NaN stays a NaN.
static inline float pn_bf16_to_f32(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
uint16_t pn_f32_to_bf16(float f);

// IEEE 754 binary16, exact in both directions (round to nearest even, denormals kept).
float pn_f16_to_f32(uint16_t h);
uint16_t pn_f32_to_f16(float f);

// n elements of a plain float type (F32, F16, BF16) as f32.
void pn_floats_to_f32(pn_dtype t, const void *src, float *dst, size_t n);

#endif
