// Ops that look at one number at a time: embedding rows, biases, gated activations, sums, gathering.
#include "backend/cuda/cuda_codes.cuh"
#include "backend/cuda/cuda_int.h"
#include "backend/cuda/cuda_quantise.cuh"

enum { THREADS = 256 };

// The threads of a grid walk the numbers of all rows.
#define EACH_NUMBER(n, width)                                                                                \
  for (int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, all = (int64_t)(n) * (width); at < all;  \
       at += (int64_t)gridDim.x * blockDim.x)

static dim3 blocks_of(const cuda_backend *s, int64_t numbers) {
  const int64_t want = (numbers + THREADS - 1) / THREADS, most = (int64_t)s->n_sm * 8;
  return dim3((unsigned)(want < 1 ? 1 : want < most ? want : most));
}

__global__ void embed_rows(cuda_weight_view w, const int32_t *token, int n, float scale, cuda_rows out) {
  cuda_wait();
  EACH_NUMBER(n, w.cols) {
    const int r = (int)(at / w.cols), i = (int)(at % w.cols);
    out.p[r * out.stride + i] = cuda_value_at(w, token[r], i) * scale;
  }
}

__global__ void add_bias(const float *w, int width, cuda_rows out) {
  cuda_wait();
  EACH_NUMBER(out.n, width) out.p[at / width * out.stride + at % width] += w[at % width];
}

static __device__ __forceinline__ float silu(float g) { return g / (1.0f + expf(-g)); }

__global__ void silu_mul(cuda_rows x, cuda_rows y, int width, cuda_rows out) {
  cuda_wait();
  EACH_NUMBER(out.n, width) {
    const int64_t r = at / width, i = at % width;
    out.p[r * out.stride + i] = silu(x.p[r * x.stride + i]) * y.p[r * y.stride + i];
  }
}

// The same by fours, and rounded for a product. Grid: rows by parts of a row.
__global__ void silu_mul_rounded(cuda_rows x, cuda_rows y, int width, cuda_rows out, cuda_planes to) {
  cuda_wait();
  const int64_t r = blockIdx.x;
  const int i = 4 * (blockIdx.y * THREADS + threadIdx.x);
  float v[4] = {0, 0, 0, 0};
  if (i < width) {
    const float4 g = *(const float4 *)(x.p + r * x.stride + i), u = *(const float4 *)(y.p + r * y.stride + i);
    v[0] = silu(g.x) * u.x, v[1] = silu(g.y) * u.y, v[2] = silu(g.z) * u.z, v[3] = silu(g.w) * u.w;
    *(float4 *)(out.p + r * out.stride + i) = make_float4(v[0], v[1], v[2], v[3]);
  }
  cuda_quantise4(v, r, i, to);
}

__global__ void add(cuda_rows x, int width, cuda_rows out) {
  cuda_wait();
  EACH_NUMBER(out.n, width)
  out.p[at / width * out.stride + at % width] += x.p[at / width * x.stride + at % width];
}

__global__ void gather(cuda_rows x, const int32_t *pick, int width, cuda_rows out) {
  cuda_wait();
  EACH_NUMBER(out.n, width)
  out.p[at / width * out.stride + at % width] = x.p[(int64_t)pick[at / width] * x.stride + at % width];
}

void cuda_embed(cuda_backend *s, pn_workspace *ws, const pn_step *step) {
  const cuda_rows out = cuda_rows_of(ws, step->out);
  const pn_weight *w = step->w[0];
  if (out.n == 0) return;
  cuda_launch(s, embed_rows, blocks_of(s, out.n * w->cols), THREADS, 0, cuda_view_of(w), ws->batch.token,
              out.n, step->embed.scale, out);
}

static void gated(cuda_backend *s, pn_workspace *ws, const pn_step *step, cuda_rows x, cuda_rows y,
                  cuda_rows out) {
  const int width = step->out.width;
  if (!ws->wanted_block || !cuda_in_fours(x, width) || !cuda_in_fours(y, width) ||
      !cuda_in_fours(out, width)) {
    cuda_launch(s, silu_mul, blocks_of(s, (int64_t)out.n * width), THREADS, 0, x, y, width, out);
    return;
  }
  const dim3 grid((unsigned)out.n, (unsigned)(width + 4 * THREADS - 1) / (4 * THREADS));
  cuda_launch(s, silu_mul_rounded, grid, THREADS, 0, x, y, width, out,
              cuda_planes_of(ws, out.n, width, ws->wanted_block));
  ws->quantised = step->out;
  ws->quantised_block = ws->wanted_block;
}

void cuda_elementwise(cuda_backend *s, pn_workspace *ws, const pn_step *step) {
  const int width = step->out.width;
  const cuda_rows out = cuda_rows_of(ws, step->out);
  const dim3 blocks = blocks_of(s, (int64_t)out.n * width);
  cuda_rows x = {}, y = {};
  if (step->in[0].width > 0) x = cuda_rows_of(ws, step->in[0]);
  if (step->in[1].width > 0) y = cuda_rows_of(ws, step->in[1]);
  if (out.n == 0) return;
  switch (step->op) {
  case PN_OP_ADD_BIAS:
    cuda_launch(s, add_bias, blocks, THREADS, 0, (const float *)step->w[0]->data, width, out);
    break;
  case PN_OP_SILU_MUL: gated(s, ws, step, x, y, out); break;
  case PN_OP_ADD: cuda_launch(s, add, blocks, THREADS, 0, x, width, out); break;
  default: cuda_launch(s, gather, blocks, THREADS, 0, x, ws->batch.logit_rows, width, out); break;
  }
}
