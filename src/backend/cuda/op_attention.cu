// Attention over paged K and V.
//
// For each page of 32 tokens, ascending, a query has the score s = scale * dot of every token; dot is the
// sum (d0 + d1) + (d2 + d3), where d_w takes the groups of 8 dimensions w, w + 4, ... in eight chains of fma
// that are added in pairs. Then m' = max(m, max s), a = exp(m - m'), e = exp(s - m'); sum = fma(sum, a,
// tree sum of e); and for each dimension acc = acc * a, acc = fma(e_p, V_p, acc) for p ascending. int8: s =
// scale * (dot * kscale), e_p * vscale_p in place of e_p.
// Pages are taken in spans whose length follows from the row's position alone; each span begins with an
// empty state, and spans are merged in ascending order. Both kernels give the same bits:
//  - steps of few rows (`attend_spans`, `merge_spans`): a block of four warps has a span. Warp w has d_w, all
//    have the softmax, a thread one dimension of V. Bound at short context: the latency of one page, so there
//    is little code, which runs out of a cold cache; at long context reading K and V.
//  - others (`attend_rows`): a warp has up to four rows and walks all their spans. Far from any bound: 2.8
//    TFLOP/s.
#include "backend/cuda/cuda_kv_read.cuh"

enum { PAGE = 32, MOST_QUERIES = 4, MAX_DIM = 512, WARPS = 4, FEWEST_PAGES = 1 };

typedef struct attend {
  cuda_kv_layout l;
  const char *layer;
  const int32_t *pos, *seq, *page_start, *pages;
  cuda_rows q, out;
  int n_heads, group; // query heads a kv head
  float scale;
  int window;
  float *partials; // [row][head][split][dim_pad + 2]
} attend;

// Which positions a row sees, and how they are cut.
typedef struct reach {
  int begin, end;   // positions
  int first, pages; // [first, first + pages)
  int span;         // pages of a span
} reach;

static __device__ __forceinline__ reach reach_of(const attend &a, int row) {
  reach r;
  r.end = a.pos[row] + 1;
  r.begin = a.window > 0 && r.end > a.window ? r.end - a.window : 0;
  r.first = r.begin / PAGE;
  r.pages = (r.end - 1) / PAGE + 1 - r.first;
  r.span = (r.pages + CUDA_SPLITS - 1) / CUDA_SPLITS;
  if (r.span < FEWEST_PAGES) r.span = FEWEST_PAGES;
  return r;
}

template <int DIMS> struct query_state { // DIMS: dimensions of V a lane, those lane, lane + 32, ...
  float acc[DIMS], max, sum;
};

template <int DIMS> static __device__ __forceinline__ void clear(query_state<DIMS> &s) {
  for (int i = 0; i < DIMS; i++) s.acc[i] = 0;
  s.max = -INFINITY;
  s.sum = 0;
}

static __device__ __forceinline__ float warp_max(float v) {
  for (int step = 16; step; step /= 2) v = fmaxf(v, __shfl_xor_sync(~0u, v, step));
  return v;
}

static __device__ __forceinline__ float warp_sum(float v) {
  for (int step = 16; step; step /= 2) v += __shfl_xor_sync(~0u, v, step);
  return v;
}

static __device__ __forceinline__ float exp_of(float x) { return exp2f(__fmul_rn(x, 1.4426950408889634f)); }

// Eight dimensions of a query, in shared memory, times those of a key.
static __device__ __forceinline__ void add_chains(const float *q, const float key[8], float chains[8]) {
  const float4 low = *(const float4 *)q, high = *(const float4 *)(q + 4);
  const float x[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
  for (int i = 0; i < 8; i++) chains[i] = fmaf(x[i], key[i], chains[i]);
}

static __device__ __forceinline__ float in_pairs(const float c[8]) {
  return ((c[0] + c[1]) + (c[2] + c[3])) + ((c[4] + c[5]) + (c[6] + c[7]));
}

// Fold one page into the states of the queries [0, n) whose bit is set in `live`. q: [QUERIES][MAX_DIM] in
// shared memory, zero behind head_dim.
template <int TYPE, int DIMS, int QUERIES>
static __device__ __forceinline__ void fold(const attend &a, const char *head, int page, int n, unsigned live,
                                            const int *begin, const int *end, const float *q,
                                            query_state<DIMS> *states) {
  typedef typename kv_element<TYPE>::type element;
  const int lane = threadIdx.x % 32;
  float parts[QUERIES][4];
#pragma unroll
  for (int w = 0; w < 4; w++) {
    float chains[QUERIES][8] = {};
#pragma unroll 2
    for (int d = 8 * w; d < a.l.dim_pad; d += 32) {
      float key[8];
      kv_eight<TYPE>(head + ((size_t)(d / 8) * PAGE + lane) * 8 * sizeof(element), key);
#pragma unroll
      for (int k = 0; k < QUERIES; k++) {
        if (k >= n) break;
        add_chains(q + k * MAX_DIM + d, key, chains[k]);
      }
    }
#pragma unroll
    for (int k = 0; k < QUERIES; k++) parts[k][w] = in_pairs(chains[k]);
  }
  const float *scales = (const float *)(head + a.l.scales_offset);
  float weight[QUERIES];
#pragma unroll
  for (int k = 0; k < QUERIES; k++) {
    weight[k] = 0;
    if (k >= n || !(live >> k & 1)) continue;
    float dot = (parts[k][0] + parts[k][1]) + (parts[k][2] + parts[k][3]);
    if (TYPE == PN_KV_INT8) dot = __fmul_rn(dot, scales[lane]);
    const int p = page * PAGE + lane;
    const bool seen = p >= begin[k] && p < end[k];
    const float score = seen ? __fmul_rn(a.scale, dot) : -INFINITY;
    query_state<DIMS> &s = states[k];
    const float top = fmaxf(s.max, warp_max(score)), shrink = exp_of(s.max - top);
    const float e = seen ? exp_of(score - top) : 0.0f;
    s.sum = fmaf(s.sum, shrink, warp_sum(e));
    s.max = top;
    for (int i = 0; i < DIMS; i++) s.acc[i] = __fmul_rn(s.acc[i], shrink);
    weight[k] = TYPE == PN_KV_INT8 && seen ? __fmul_rn(e, scales[PAGE + lane]) : e;
  }
  const element *values = (const element *)(head + a.l.v_offset);
#pragma unroll 4
  for (int p = 0; p < PAGE; p++) {
    float v[DIMS];
#pragma unroll
    for (int i = 0; i < DIMS; i++) {
      const int d = lane + 32 * i;
      v[i] = d < a.l.dim_pad ? kv_float(values[p * a.l.dim_pad + d]) : 0.0f;
    }
    const int at = page * PAGE + p;
#pragma unroll
    for (int k = 0; k < QUERIES; k++) {
      if (k >= n || !(live >> k & 1)) continue;
      const float w = __shfl_sync(~0u, weight[k], p);
      const bool seen = at >= begin[k] && at < end[k]; // what lies elsewhere never enters, not even a NaN
      for (int i = 0; i < DIMS; i++)
        states[k].acc[i] = seen ? fmaf(w, v[i], states[k].acc[i]) : states[k].acc[i];
    }
  }
}

// Fold the state of later positions into another.
template <int DIMS>
static __device__ __forceinline__ void merge(query_state<DIMS> &into, const query_state<DIMS> &from) {
  const float top = fmaxf(into.max, from.max);
  if (top == -INFINITY) return;
  const float a = exp_of(into.max - top), b = exp_of(from.max - top);
  into.sum = fmaf(into.sum, a, __fmul_rn(from.sum, b));
  for (int i = 0; i < DIMS; i++) into.acc[i] = fmaf(into.acc[i], a, __fmul_rn(from.acc[i], b));
  into.max = top;
}

template <int DIMS>
static __device__ __forceinline__ void finish(const attend &a, int row, int head,
                                              const query_state<DIMS> &s) {
  const float by = 1.0f / s.sum;
  float *out = a.out.p + row * a.out.stride + (int64_t)head * a.l.head_dim;
  for (int i = 0; i < DIMS; i++) {
    const int d = threadIdx.x % 32 + 32 * i;
    if (d < a.l.head_dim) out[d] = s.acc[i] * by;
  }
}

// By `threads` threads, of which this is number `thread`.
static __device__ __forceinline__ void load_query(const attend &a, int row, int head, float *to, int thread,
                                                  int threads) {
  const float *q = a.q.p + row * a.q.stride + (int64_t)head * a.l.head_dim;
  for (int d = thread; d < a.l.dim_pad; d += threads) to[d] = d < a.l.head_dim ? q[d] : 0.0f;
}

// The table of the row's sequence in `pages`.
static __device__ __forceinline__ const int32_t *table_of(const attend &a, int row) {
  return a.pages + a.page_start[a.seq[row]];
}

// What a block of four warps needs of a page.
template <int QUERIES> struct page_memory {
  float q[QUERIES][MAX_DIM];
  float parts[QUERIES][4][PAGE]; // d_w of each token
  float weights[QUERIES][PAGE];
};

// Fold a page into the running softmax of the queries [0, n): a thread has their dimensions
// threadIdx.x + 128 * i.
template <int TYPE, int DIMS, int QUERIES>
static __device__ __forceinline__ void fold_page(const attend &a, const char *head, int page, int n,
                                                 const reach &r, page_memory<QUERIES> &m,
                                                 query_state<DIMS> *states) {
  typedef typename kv_element<TYPE>::type element;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  float chains[QUERIES][8] = {};
  for (int d = 8 * warp; d < a.l.dim_pad; d += 32) {
    float key[8];
    kv_eight<TYPE>(head + ((size_t)(d / 8) * PAGE + lane) * 8 * sizeof(element), key);
#pragma unroll
    for (int k = 0; k < QUERIES; k++)
      if (k < n) add_chains(&m.q[k][d], key, chains[k]);
  }
#pragma unroll
  for (int k = 0; k < QUERIES; k++) m.parts[k][warp][lane] = in_pairs(chains[k]);
  const float *scales = (const float *)(head + a.l.scales_offset);
  const float k_scale = TYPE == PN_KV_INT8 ? scales[lane] : 1.0f,
              v_scale = TYPE == PN_KV_INT8 ? scales[PAGE + lane] : 1.0f;
  const bool seen = page * PAGE + lane >= r.begin && page * PAGE + lane < r.end;
  __syncthreads();
#pragma unroll
  for (int k = 0; k < QUERIES; k++) {
    if (k >= n) break;
    float dot = (m.parts[k][0][lane] + m.parts[k][1][lane]) + (m.parts[k][2][lane] + m.parts[k][3][lane]);
    if (TYPE == PN_KV_INT8) dot = __fmul_rn(dot, k_scale);
    const float score = seen ? __fmul_rn(a.scale, dot) : -INFINITY;
    query_state<DIMS> &s = states[k];
    const float top = fmaxf(s.max, warp_max(score)), shrink = exp_of(s.max - top);
    const float e = seen ? exp_of(score - top) : 0.0f;
    s.sum = fmaf(s.sum, shrink, warp_sum(e));
    s.max = top;
#pragma unroll
    for (int i = 0; i < DIMS; i++) s.acc[i] = __fmul_rn(s.acc[i], shrink);
    if (warp == 0) m.weights[k][lane] = TYPE == PN_KV_INT8 && seen ? __fmul_rn(e, v_scale) : e;
  }
  __syncthreads();
  const element *values = (const element *)(head + a.l.v_offset);
  const int from = max(r.begin - page * PAGE, 0), to = min(r.end - page * PAGE, (int)PAGE);
#pragma unroll 8
  for (int p = from; p < to; p++) { // what lies elsewhere never enters, not even a NaN
#pragma unroll
    for (int i = 0; i < DIMS; i++) {
      const int d = threadIdx.x + 128 * i;
      const float v = d < a.l.dim_pad ? kv_float(values[p * a.l.dim_pad + d]) : 0.0f;
#pragma unroll
      for (int k = 0; k < QUERIES; k++)
        if (k < n) states[k].acc[i] = fmaf(m.weights[k][p], v, states[k].acc[i]);
    }
  }
}

// Grid: rows by kv heads and pieces of their query heads, by spans. DIMS: those of V a thread.
template <int TYPE, int DIMS, int QUERIES> __global__ void __launch_bounds__(128) attend_spans(attend a) {
  __shared__ page_memory<QUERIES> m;
  cuda_wait();
  const int row = blockIdx.x, split = blockIdx.z, pieces = (a.group + QUERIES - 1) / QUERIES;
  const int kv_head = blockIdx.y / pieces, piece = blockIdx.y % pieces * QUERIES,
            n = min(QUERIES, a.group - piece);
  const reach r = reach_of(a, row);
  const int from = r.first + split * r.span, to = min(from + r.span, r.first + r.pages);
  if (from >= to) return;
  const int32_t *table = table_of(a, row);
  query_state<DIMS> states[QUERIES];
#pragma unroll
  for (int k = 0; k < QUERIES; k++) {
    clear(states[k]);
    if (k < n) load_query(a, row, kv_head * a.group + piece + k, m.q[k], threadIdx.x, 128);
  }
  __syncthreads();
  for (int page = from; page < to; page++)
    fold_page<TYPE, DIMS, QUERIES>(a, a.layer + table[page] * a.l.page_bytes + kv_head * a.l.head_bytes, page,
                                   n, r, m, states);
#pragma unroll
  for (int k = 0; k < QUERIES; k++) {
    if (k >= n) break;
    const int64_t head = kv_head * a.group + piece + k;
    float *out = a.partials + (((int64_t)row * a.n_heads + head) * CUDA_SPLITS + split) * (a.l.dim_pad + 2);
#pragma unroll
    for (int i = 0; i < DIMS; i++) {
      const int d = threadIdx.x + 128 * i;
      if (d < a.l.dim_pad) out[d] = states[k].acc[i];
    }
    if (threadIdx.x == 0) {
      out[a.l.dim_pad] = states[k].max;
      out[a.l.dim_pad + 1] = states[k].sum;
    }
  }
}

// The spans of a row and head, ascending. Grid: rows by heads / WARPS.
template <int DIMS> __global__ void merge_spans(attend a) {
  cuda_wait();
  const int row = blockIdx.x, head = blockIdx.y * WARPS + threadIdx.x / 32;
  if (head >= a.n_heads) return;
  const reach r = reach_of(a, row);
  const int n = (r.pages + r.span - 1) / r.span;
  query_state<DIMS> all;
  clear(all);
  for (int k = 0; k < n; k++) {
    const float *in = a.partials + (((int64_t)row * a.n_heads + head) * CUDA_SPLITS + k) * (a.l.dim_pad + 2);
    query_state<DIMS> s;
    for (int i = 0; i < DIMS; i++) {
      const int d = threadIdx.x % 32 + 32 * i;
      s.acc[i] = d < a.l.dim_pad ? in[d] : 0.0f;
    }
    s.max = in[a.l.dim_pad];
    s.sum = in[a.l.dim_pad + 1];
    merge(all, s);
  }
  finish(a, row, head, all);
}

// A warp has QUERIES rows, or fewer where the sequence ends, of one head, and walks all their pages. Grid:
// rows / (QUERIES * WARPS) by heads.
template <int TYPE, int DIMS, int QUERIES> __global__ void attend_rows(attend a) {
  cuda_wait();
  __shared__ float q[WARPS][QUERIES * MAX_DIM];
  const int warp = threadIdx.x / 32, head = blockIdx.y, kv_head = head / a.group;
  int row = (blockIdx.x * WARPS + warp) * QUERIES;
  const int last = min(row + QUERIES, a.q.n);
  while (row < last) {
    int n = 1;
    while (row + n < last && a.seq[row + n] == a.seq[row]) n++;
    int begin[QUERIES], end[QUERIES], first = INT32_MAX, past = 0;
    reach reaches[QUERIES];
    query_state<DIMS> states[QUERIES], all[QUERIES];
    __syncwarp();
#pragma unroll
    for (int k = 0; k < QUERIES; k++) {
      if (k >= n) continue;
      reaches[k] = reach_of(a, row + k);
      begin[k] = reaches[k].begin;
      end[k] = reaches[k].end;
      first = min(first, reaches[k].first);
      past = max(past, reaches[k].first + reaches[k].pages);
      clear(states[k]);
      clear(all[k]);
      load_query(a, row + k, head, q[warp] + k * MAX_DIM, threadIdx.x % 32, 32);
    }
    __syncwarp();
    const int32_t *table = table_of(a, row);
    for (int page = first; page < past; page++) {
      unsigned live = 0;
#pragma unroll
      for (int k = 0; k < QUERIES; k++) {
        if (k >= n) continue;
        const int i = page - reaches[k].first;
        if (i < 0 || i >= reaches[k].pages) continue;
        live |= 1u << k;
        if (i % reaches[k].span == 0 && i > 0) {
          merge(all[k], states[k]);
          clear(states[k]);
        }
      }
      fold<TYPE, DIMS, QUERIES>(a, a.layer + table[page] * a.l.page_bytes + kv_head * a.l.head_bytes, page, n,
                                live, begin, end, q[warp], states);
    }
#pragma unroll
    for (int k = 0; k < QUERIES; k++) {
      if (k >= n) continue;
      merge(all[k], states[k]);
      finish(a, row + k, head, all[k]);
    }
    row += n;
  }
}

template <int TYPE, int DIMS> static void launch_spans(cuda_backend *s, const attend &a) {
  const unsigned pieces = (unsigned)(a.group + MOST_QUERIES - 1) / MOST_QUERIES;
  const dim3 grid((unsigned)a.q.n, (unsigned)a.l.n_kv_heads * pieces, CUDA_SPLITS);
  if (a.group == 1)
    cuda_launch(s, attend_spans<TYPE, DIMS, 1>, grid, 128, 0, a);
  else
    cuda_launch(s, attend_spans<TYPE, DIMS, MOST_QUERIES>, grid, 128, 0, a);
}

// DIMS: those of V a lane.
template <int TYPE, int DIMS> static void launch(cuda_backend *s, const attend &a) {
  const unsigned rows = (unsigned)a.q.n, heads = (unsigned)a.n_heads;
  if (a.q.n > CUDA_SPLIT_ROWS) {
    cuda_launch(s, attend_rows<TYPE, DIMS, MOST_QUERIES>,
                dim3((rows + MOST_QUERIES * WARPS - 1) / (MOST_QUERIES * WARPS), heads), WARPS * 32, 0, a);
    return;
  }
  launch_spans<TYPE, (DIMS + 3) / 4>(s, a);
  cuda_launch(s, merge_spans<DIMS>, dim3(rows, (heads + WARPS - 1) / WARPS), WARPS * 32, 0, a);
}

template <int TYPE> static void launch_dims(cuda_backend *s, const attend &a) {
  if (a.l.dim_pad <= 64)
    launch<TYPE, 2>(s, a);
  else if (a.l.dim_pad <= 96)
    launch<TYPE, 3>(s, a);
  else if (a.l.dim_pad <= 128)
    launch<TYPE, 4>(s, a);
  else if (a.l.dim_pad <= 256)
    launch<TYPE, 8>(s, a);
  else
    launch<TYPE, 16>(s, a);
}

void cuda_attention(cuda_backend *s, pn_workspace *ws, const pn_step *step) {
  const pn_attention *t = &step->attention;
  const pn_kv *kv = ws->kv[t->group];
  const cuda_group_rows *g = &ws->groups[t->group];
  attend a = {kv->at,
              kv->data + t->layer * kv->at.layer_bytes,
              ws->batch.pos,
              ws->batch.seq,
              g->page_start,
              g->pages,
              cuda_rows_of(ws, step->in[0]),
              cuda_rows_of(ws, step->out),
              t->n_heads,
              t->n_heads / t->n_kv_heads,
              t->scale,
              t->window,
              ws->partials};
  if (a.q.n == 0) return;
  switch (kv->shape.type) {
  case PN_KV_F32: launch_dims<PN_KV_F32>(s, a); break;
  case PN_KV_F16: launch_dims<PN_KV_F16>(s, a); break;
  case PN_KV_BF16: launch_dims<PN_KV_BF16>(s, a); break;
  default: launch_dims<PN_KV_INT8>(s, a); break;
  }
}
