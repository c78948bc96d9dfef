// Rotary positions, in place, and storing K and V of the step's rows in their pages.
#include "backend/cuda/cuda_kv_read.cuh"

enum { WARPS = 4 };

typedef struct rotation {
  const float *inv_freq;
  int n_rot, head_dim;
  bool half;
  float scale;
} rotation;

// One head, by a warp.
static __device__ __forceinline__ void rotate_head(float *p, int32_t pos, const rotation &r) {
  const int pairs = r.n_rot / 2;
  for (int i = threadIdx.x % 32; i < pairs; i += 32) {
    const float angle = __fmul_rn((float)pos, r.inv_freq[i]);
    float sine, cosine;
    sincosf(angle, &sine, &cosine);
    sine *= r.scale;
    cosine *= r.scale;
    float *a = p + (r.half ? i : 2 * i), *b = p + (r.half ? i + pairs : 2 * i + 1);
    const float u = *a, v = *b;
    *a = fmaf(u, cosine, -__fmul_rn(v, sine));
    *b = fmaf(v, cosine, __fmul_rn(u, sine));
  }
}

static __device__ void put(float *p, float v) { *p = v; }
static __device__ void put(__half *p, float v) { *p = __float2half_rn(v); }
static __device__ void put(__nv_bfloat16 *p, float v) { *p = __float2bfloat16_rn(v); }

// Where K (or V) number i of the token at `offset` of a page lies, in elements.
static __device__ __forceinline__ int place(const cuda_kv_layout &l, bool value, int offset, int i) {
  return value ? offset * l.dim_pad + i : (i / 8 * l.page_tokens + offset) * 8 + i % 8;
}

// K or V of a head, by a warp.
template <int TYPE>
static __device__ void write_one(const cuda_kv_layout &l, char *head, bool value, int offset,
                                 const float *x) {
  typedef typename kv_element<TYPE>::type element;
  element *to = (element *)(head + (value ? l.v_offset : 0));
  const int lane = threadIdx.x % 32;
  if constexpr (TYPE == PN_KV_INT8) {
    float top = 0;
    bool good = true;
    for (int i = lane; i < l.head_dim; i += 32) {
      top = fmaxf(top, fabsf(x[i]));
      good = good && isfinite(x[i]);
    }
    for (int step = 16; step; step /= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, step));
    good = __all_sync(~0u, good);
    const float scale = good ? __fdiv_rn(top, 127.0f) : __int_as_float(0x7FC00000);
    for (int i = lane; i < l.dim_pad; i += 32) {
      float code = good && scale > 0 && i < l.head_dim ? rintf(__fdiv_rn(x[i], scale)) : 0.0f;
      to[place(l, value, offset, i)] = (signed char)fminf(fmaxf(code, -127.0f), 127.0f);
    }
    if (lane == 0) ((float *)(head + l.scales_offset))[(value ? l.page_tokens : 0) + offset] = scale;
  } else {
    for (int i = lane; i < l.dim_pad; i += 32)
      put(&to[place(l, value, offset, i)], i < l.head_dim ? x[i] : 0.0f);
  }
}

typedef struct storing {
  cuda_kv_layout l;
  char *layer;
  const int32_t *slot, *pos;
  cuda_rows k, v;
} storing;

template <int TYPE> static __device__ void store_head(const storing &t, int row, int h) {
  const int page = t.slot[row] / t.l.page_tokens, offset = t.slot[row] % t.l.page_tokens;
  char *head = t.layer + page * t.l.page_bytes + h * t.l.head_bytes;
  write_one<TYPE>(t.l, head, false, offset, t.k.p + row * t.k.stride + (int64_t)h * t.l.head_dim);
  write_one<TYPE>(t.l, head, true, offset, t.v.p + row * t.v.stride + (int64_t)h * t.l.head_dim);
}

// Grid: rows by heads / WARPS, a warp a head.
__global__ void rotate(cuda_rows x, const int32_t *pos, rotation r, int n_heads) {
  cuda_wait();
  const int row = blockIdx.x, h = blockIdx.y * WARPS + threadIdx.x / 32;
  if (h < n_heads) rotate_head(x.p + row * x.stride + (int64_t)h * r.head_dim, pos[row], r);
}

template <int TYPE> __global__ void store(storing t) {
  cuda_wait();
  const int row = blockIdx.x, h = blockIdx.y * WARPS + threadIdx.x / 32;
  if (h < t.l.n_kv_heads) store_head<TYPE>(t, row, h);
}

// The heads of q, then those of k, whose k and v are stored.
template <int TYPE> __global__ void rotate_and_store(cuda_rows q, rotation r, int n_heads, storing t) {
  cuda_wait();
  const int row = blockIdx.x, h = blockIdx.y * WARPS + threadIdx.x / 32, k = h - n_heads;
  if (k >= t.l.n_kv_heads) return;
  const cuda_rows x = k < 0 ? q : t.k;
  rotate_head(x.p + row * x.stride + (int64_t)(k < 0 ? h : k) * r.head_dim, t.pos[row], r);
  if (k < 0) return;
  __syncwarp();
  store_head<TYPE>(t, row, k);
}

static rotation rotation_of(const pn_workspace *ws, const pn_step *step) {
  const pn_rope *r = &ws->plan->ropes[step->rope.table];
  return rotation{ws->ropes[step->rope.table], r->n_rot, step->rope.head_dim, r->order == PN_ROPE_HALF,
                  r->scale};
}

static storing storing_of(const pn_workspace *ws, const pn_step *step) {
  const pn_kv *kv = ws->kv[step->kv.group];
  return storing{kv->at,
                 kv->data + step->kv.layer * kv->at.layer_bytes,
                 ws->groups[step->kv.group].slot,
                 ws->batch.pos,
                 cuda_rows_of(ws, step->in[0]),
                 cuda_rows_of(ws, step->in[1])};
}

static dim3 grid_of(int rows, int heads) {
  return dim3((unsigned)rows, (unsigned)(heads + WARPS - 1) / WARPS);
}

void cuda_rope(cuda_backend *s, pn_workspace *ws, const pn_step *step) {
  const cuda_rows x = cuda_rows_of(ws, step->out);
  if (x.n == 0) return;
  cuda_launch(s, rotate, grid_of(x.n, step->rope.n_heads), WARPS * 32, 0, x, ws->batch.pos,
              rotation_of(ws, step), step->rope.n_heads);
}

void cuda_kv_write(cuda_backend *s, pn_workspace *ws, const pn_step *step) {
  const storing t = storing_of(ws, step);
  const dim3 grid = grid_of(t.k.n, t.l.n_kv_heads);
  if (t.k.n == 0) return;
  switch (t.l.type) {
  case PN_KV_F32: cuda_launch(s, store<PN_KV_F32>, grid, WARPS * 32, 0, t); break;
  case PN_KV_F16: cuda_launch(s, store<PN_KV_F16>, grid, WARPS * 32, 0, t); break;
  case PN_KV_BF16: cuda_launch(s, store<PN_KV_BF16>, grid, WARPS * 32, 0, t); break;
  default: cuda_launch(s, store<PN_KV_INT8>, grid, WARPS * 32, 0, t); break;
  }
}

void cuda_rope_kv(cuda_backend *s, pn_workspace *ws, const pn_step *q, const pn_step *k,
                  const pn_step *write) {
  const storing t = storing_of(ws, write);
  const cuda_rows x = cuda_rows_of(ws, q->out);
  const rotation r = rotation_of(ws, k);
  const int n = q->rope.n_heads;
  const dim3 grid = grid_of(x.n, n + t.l.n_kv_heads);
  if (x.n == 0) return;
  switch (t.l.type) {
  case PN_KV_F32: cuda_launch(s, rotate_and_store<PN_KV_F32>, grid, WARPS * 32, 0, x, r, n, t); break;
  case PN_KV_F16: cuda_launch(s, rotate_and_store<PN_KV_F16>, grid, WARPS * 32, 0, x, r, n, t); break;
  case PN_KV_BF16: cuda_launch(s, rotate_and_store<PN_KV_BF16>, grid, WARPS * 32, 0, x, r, n, t); break;
  default: cuda_launch(s, rotate_and_store<PN_KV_INT8>, grid, WARPS * 32, 0, x, r, n, t); break;
  }
}
