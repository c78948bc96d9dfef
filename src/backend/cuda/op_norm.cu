// Root-mean-square norms, and rounding what they give for a product. A row (or a head of one) is one block
// of threads.
//
// Rows whose numbers can be taken by fours: thread t has columns 4 t .. 4 t + 3, then 4096 further, and
// sums their squares ascending; the threads' sums are added in a tree within each warp, the warps'
// ascending. Other rows: thread t sums columns t, t + 1024, ... Bound: latency; a row is 12 KB.
#include "backend/cuda/cuda_quantise.cuh"

enum { THREADS = 1024, FOURS = 2 }; // most fours a thread

// The sum over all threads, the same for every thread.
static __device__ float block_sum(float v) {
  __shared__ float part[THREADS / 32];
  for (int step = 16; step; step /= 2) v += __shfl_xor_sync(~0u, v, step);
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
  __syncthreads();
  float all = 0;
  for (int i = 0; i < THREADS / 32; i++) all += part[i];
  return all;
}

// Grid: rows by heads. y.p: what is added to x first; NULL: nothing.
__global__ void rmsnorm(cuda_rows x, cuda_rows y, const float *w, float eps, int width, cuda_rows out) {
  cuda_wait();
  const int64_t row = blockIdx.x, from = (int64_t)blockIdx.y * width;
  float *in = x.p + row * x.stride + from;
  float sum = 0;
  for (int i = threadIdx.x; i < width; i += THREADS) {
    float v = in[i];
    if (y.p) in[i] = v += y.p[row * y.stride + from + i];
    sum = fmaf(v, v, sum);
  }
  const float factor = 1.0f / sqrtf(block_sum(sum) / (float)width + eps);
  for (int i = threadIdx.x; i < width; i += THREADS)
    out.p[row * out.stride + from + i] = in[i] * factor * w[i];
}

// Of whole rows of at most THREADS * FOURS fours. to.block 0: nothing is rounded.
__global__ void __launch_bounds__(THREADS) rmsnorm_fours(cuda_rows x, cuda_rows y, const float *w, float eps,
                                                         int width, cuda_rows out, cuda_planes to) {
  cuda_wait();
  const int64_t row = blockIdx.x;
  float v[FOURS][4];
  float sum = 0;
#pragma unroll
  for (int k = 0; k < FOURS; k++) {
    const int i = 4 * (threadIdx.x + k * THREADS);
    float4 four = make_float4(0, 0, 0, 0);
    if (i < width) {
      float4 *in = (float4 *)(x.p + row * x.stride + i);
      four = *in;
      if (y.p) {
        const float4 more = *(const float4 *)(y.p + row * y.stride + i);
        four = make_float4(four.x + more.x, four.y + more.y, four.z + more.z, four.w + more.w);
        *in = four;
      }
    }
    v[k][0] = four.x, v[k][1] = four.y, v[k][2] = four.z, v[k][3] = four.w;
    for (int c = 0; c < 4; c++) sum = fmaf(v[k][c], v[k][c], sum);
  }
  const float factor = 1.0f / sqrtf(block_sum(sum) / (float)width + eps);
#pragma unroll
  for (int k = 0; k < FOURS; k++) {
    const int i = 4 * (threadIdx.x + k * THREADS);
    if (4 * k * THREADS >= width) break;
    if (i < width) {
      const float4 g = *(const float4 *)(w + i);
      v[k][0] = v[k][0] * factor * g.x, v[k][1] = v[k][1] * factor * g.y;
      v[k][2] = v[k][2] * factor * g.z, v[k][3] = v[k][3] * factor * g.w;
      *(float4 *)(out.p + row * out.stride + i) = make_float4(v[k][0], v[k][1], v[k][2], v[k][3]);
    }
    if (to.block) cuda_quantise4(v[k], row, i, to);
  }
}

void cuda_norm(cuda_backend *s, pn_workspace *ws, const pn_step *step) {
  const bool adds = step->op == PN_OP_ADD_RMSNORM;
  const int heads = adds ? 1 : step->norm.heads, width = step->out.width;
  cuda_rows y = {};
  if (adds) y = cuda_rows_of(ws, step->in[1]);
  const cuda_rows x = cuda_rows_of(ws, step->in[0]), out = cuda_rows_of(ws, step->out);
  const float *w = (const float *)step->w[0]->data;
  if (out.n == 0) return;
  if (heads > 1 || width > 4 * THREADS * FOURS || !cuda_in_fours(x, width) || !cuda_in_fours(out, width) ||
      (adds && !cuda_in_fours(y, width))) {
    cuda_launch(s, rmsnorm, dim3((unsigned)out.n, (unsigned)heads), THREADS, 0, x, y, w, step->norm.eps,
                width / heads, out);
    return;
  }
  const cuda_planes to = cuda_planes_of(ws, out.n, width, ws->wanted_block);
  cuda_launch(s, rmsnorm_fours, dim3((unsigned)out.n), THREADS, 0, x, y, w, step->norm.eps, width, out, to);
  ws->quantised = step->out;
  ws->quantised_block = ws->wanted_block;
}
