// Reading single numbers of a weight on the device.
#ifndef PN_BACKEND_CUDA_CODES_CUH
#define PN_BACKEND_CUDA_CODES_CUH

#include "backend/cuda/cuda_int.h"

#include <cuda_bf16.h>

// What kernels need of a weight, by value.
typedef struct cuda_weight_view {
  int rows, cols, codes, block, n_blocks, shift;
  bool biased, half;
  const unsigned char *data;
  const void *scale;
} cuda_weight_view;

static inline cuda_weight_view cuda_view_of(const pn_weight *w) {
  return cuda_weight_view{(int)w->rows, (int)w->cols, (int)w->codes,
                          w->block,     w->n_blocks,  w->shift,
                          w->biased,    w->half,      (const unsigned char *)w->data,
                          w->scale};
}

// Scale and bias of block b of a row.
static __device__ __forceinline__ float2 cuda_scale_at(const cuda_weight_view &w, int64_t row, int b) {
  const int64_t at = row * w.n_blocks + b;
  if (w.half) {
    const __half *p = (const __half *)w.scale;
    if (!w.biased) return make_float2(__half2float(p[at]), 0.0f);
    return __half22float2(((const __half2 *)p)[at]);
  }
  const float *p = (const float *)w.scale;
  if (!w.biased) return make_float2(p[at], 0.0f);
  return ((const float2 *)p)[at];
}

// One value: scale * code + bias, each product and sum rounded to f32.
static __device__ __forceinline__ float cuda_value_at(const cuda_weight_view &w, int64_t row, int i) {
  const int64_t at = row * w.cols + i;
  switch (w.codes) {
  case CUDA_HALF: return __half2float(((const __half *)w.data)[at]);
  case CUDA_BF16: return __bfloat162float(((const __nv_bfloat16 *)w.data)[at]);
  case CUDA_FLOAT: return ((const float *)w.data)[at];
  default: break;
  }
  int code;
  if (w.codes == CUDA_NIBBLES) {
    const unsigned char byte = w.data[row * (w.cols / 2) + i / 8 * 4 + i % 4];
    code = i % 8 < 4 ? byte & 15 : byte >> 4;
  } else {
    code = ((const signed char *)w.data)[at];
  }
  const float2 s = cuda_scale_at(w, row, i / w.block);
  const float v = __fmul_rn((float)(code + w.shift), s.x);
  return w.biased ? __fadd_rn(v, s.y) : v;
}

#endif
