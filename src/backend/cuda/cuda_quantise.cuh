// Activations of products: rounded to int16 in blocks of columns with a scale each, kept as two planes of
// int8, as the cpu backend rounds them (backend/cpu/cpu_matmul.h).
#ifndef PN_BACKEND_CUDA_QUANTISE_CUH
#define PN_BACKEND_CUDA_QUANTISE_CUH

#include "backend/cuda/cuda_int.h"

// [2][n][cols] planes, the high one first; [n][cols / block] numbers of blocks.
typedef struct cuda_planes {
  int8_t *planes;
  int64_t plane; // bytes from one plane to the other
  float *dx, *sum;
  int32_t *codes; // sums of a block's codes
  int cols, block, n;
} cuda_planes;

static inline cuda_planes cuda_planes_of(const pn_workspace *ws, int n, int cols, int block) {
  return cuda_planes{ws->planes, (int64_t)n * cols, ws->x_scale, ws->x_sum, ws->x_codes, cols, block, n};
}

// Whether a thread can take 4 columns of these rows in one load.
static inline bool cuda_in_fours(const cuda_rows &x, int width) {
  return width % 4 == 0 && x.stride % 4 == 0 && (uintptr_t)x.p % 16 == 0;
}

// Columns [from, from + 4) of a row; a multiple of 4. The threads of a block of columns stand side by side
// in a warp, and all threads of the warp call; those at and behind the end write nothing.
static __device__ __forceinline__ void cuda_quantise4(const float v[4], int64_t row, int from,
                                                      const cuda_planes &to) {
  const int lanes = to.block / 4;
  unsigned top = 0; // the bits of |x| order like the numbers, NaN above all
  for (int i = 0; i < 4; i++) top = max(top, __float_as_uint(v[i]) & 0x7FFFFFFFu);
  for (int step = 8; step; step /= 2)
    if (step < lanes) top = max(top, __shfl_xor_sync(~0u, top, step));
  const float amax = __uint_as_float(top);
  int q[4] = {0, 0, 0, 0}, all = 0;
  float scale = 0;
  if (top >= 0x7F800000u) {
    scale = __uint_as_float(0x7FC00000u);
  } else if (amax >= 0x1p-100f) {
    const float inverse = __fdiv_rn(32512.0f, amax);
    scale = __fdiv_rn(amax, 32512.0f);
    for (int i = 0; i < 4; i++) all += q[i] = __float2int_rn(__fmul_rn(v[i], inverse));
  }
  for (int step = 8; step; step /= 2)
    if (step < lanes) all += __shfl_xor_sync(~0u, all, step);
  if (from >= to.cols) return;
  unsigned high = 0, low = 0;
  for (int i = 0; i < 4; i++) {
    const int h = (q[i] + (127 * 256 + 128)) / 256 - 127;
    high |= (unsigned)(h & 255) << 8 * i;
    low |= (unsigned)((q[i] - 256 * h) & 255) << 8 * i;
  }
  *(unsigned *)(to.planes + row * to.cols + from) = high;
  *(unsigned *)(to.planes + to.plane + row * to.cols + from) = low;
  if (from % to.block) return;
  const int64_t at = row * (to.cols / to.block) + from / to.block;
  to.dx[at] = scale;
  to.sum[at] = __fmul_rn(scale, (float)all);
  to.codes[at] = all;
}

#endif
