// Eight numbers of K or V at a time, as the KV's type stores them.
#ifndef PN_BACKEND_CUDA_KV_READ_CUH
#define PN_BACKEND_CUDA_KV_READ_CUH

#include "backend/cuda/cuda_int.h"

#include <cuda_bf16.h>

template <int TYPE> struct kv_element;
template <> struct kv_element<PN_KV_F32> { typedef float type; };
template <> struct kv_element<PN_KV_F16> { typedef __half type; };
template <> struct kv_element<PN_KV_BF16> { typedef __nv_bfloat16 type; };
template <> struct kv_element<PN_KV_INT8> { typedef signed char type; };

static __device__ __forceinline__ float kv_float(float v) { return v; }
static __device__ __forceinline__ float kv_float(__half v) { return __half2float(v); }
static __device__ __forceinline__ float kv_float(__nv_bfloat16 v) { return __bfloat162float(v); }
static __device__ __forceinline__ float kv_float(signed char v) { return (float)v; }

// p at a multiple of 8 elements' bytes.
template <int TYPE> static __device__ __forceinline__ void kv_eight(const char *p, float out[8]) {
  typedef typename kv_element<TYPE>::type element;
  union {
    uint4 words[2];
    element v[32 / sizeof(element)];
  } u;
  if (sizeof(element) == 4) {
    u.words[0] = ((const uint4 *)p)[0];
    u.words[1] = ((const uint4 *)p)[1];
  } else if (sizeof(element) == 2) {
    u.words[0] = *(const uint4 *)p;
  } else {
    *(uint2 *)&u.words[0] = *(const uint2 *)p;
  }
  for (int i = 0; i < 8; i++) out[i] = kv_float(u.v[i]);
}

#endif
