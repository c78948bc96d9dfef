// Matrix products.
//
// Quantised weights meet activations that are rounded to int16 in blocks of 16, 32 or 64 columns with a
// scale each, as the cpu backend rounds them (backend/cpu/cpu_matmul.h), and in the same order: for blocks
// b ascending p = fma(bias, xsum, scale * (dx * (float)dot)), acc = acc + p, dot exact. So a row has the
// same bits as there, whatever kernel computes it:
//  - up to 8 rows of x (`dot_rows`): as many blocks of threads as run at a time go over the weight, ROWS
//    rows each step, a thread 32 columns of them: 16 (or 32) bytes of codes of each in one load, those of
//    the next step on their way; products by dp4a against both planes of x. p goes to shared memory, and
//    every `units` steps one thread a result adds them up. Bound: reading the codes.
//  - more (`tile_rows`): tiles of 128 rows of the weight by 64 of x, codes and planes through shared memory
//    in four stages, the numbers of blocks two stages ahead, products by mma m16n8k32 (k16 for blocks of
//    16). Bound: the chain of f32 behind every block.
//
// Float weights: a warp a row, lane l has the chain of fma over columns l, l + 32, ... ascending, then a
// tree.
#include "backend/cuda/cuda_codes.cuh"
#include "backend/cuda/cuda_quantise.cuh"

#include <stdlib.h>

enum {
  ROWS = 4,     // of a weight, that a thread has at a time
  MOST_DOT = 8, // rows of x that meet a weight by dp4a
  TILE_W = 128, // rows of a weight in a tile
  TILE_X = 64,  // rows of x
  TILE_K = 64,  // columns of a stage
  STAGES = 4,
  NIBBLE_PITCH = 48, // bytes from row to row of a stage, so that no two lanes meet in a bank
  BYTE_PITCH = 96,
  TILE_THREADS = 256
};

// ---- activations ----

// Grid: rows by parts of a row; a thread has 4 columns.
__global__ void quantise(cuda_rows x, cuda_planes to) {
  cuda_wait();
  const int64_t row = blockIdx.x;
  const int from = 4 * (blockIdx.y * blockDim.x + threadIdx.x);
  float v[4] = {0, 0, 0, 0};
  if (from < to.cols)
    for (int i = 0; i < 4; i++) v[i] = x.p[row * x.stride + from + i];
  cuda_quantise4(v, row, from, to);
}

// ---- what both kernels share ----

// p of a block. `dot` is that of the stored codes.
static __device__ __forceinline__ float product(int dot, int shift, int codes, float dx, float sum,
                                                float2 scale, bool biased) {
  const float p = __fmul_rn(scale.x, __fmul_rn(dx, (float)(dot + shift * codes)));
  return biased ? __fmaf_rn(scale.y, sum, p) : p;
}

// ---- up to 8 rows ----

// 32 columns of codes as int8 in eight words.
template <bool NIBBLES> struct codes32 {
  uint4 w[NIBBLES ? 1 : 2];
  __device__ __forceinline__ void load(const cuda_weight_view &v, int64_t row, int chunk) {
    const uint4 *p = (const uint4 *)(v.data + (row * v.cols + (int64_t)chunk * 32) / (NIBBLES ? 2 : 1));
    for (int i = 0; i < (NIBBLES ? 1 : 2); i++) w[i] = __ldcs(p + i);
  }
  __device__ __forceinline__ int word(int i) const {
    const unsigned *p = (const unsigned *)w;
    if (!NIBBLES) return (int)p[i];
    return (int)((i % 2 ? p[i / 2] >> 4 : p[i / 2]) & 0x0F0F0F0Fu);
  }
};

// What a thread has of ROWS rows of the weight.
template <bool NIBBLES, int BLOCK> struct piece {
  static constexpr int NUMBERS = BLOCK == 16 ? 2 : 1;
  codes32<NIBBLES> codes[ROWS];
  float2 scale[ROWS][NUMBERS];
  __device__ __forceinline__ void load(const cuda_weight_view &w, int row, int chunk) {
#pragma unroll
    for (int r = 0; r < ROWS; r++) codes[r].load(w, min(row + r, w.rows - 1), chunk);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
      for (int k = 0; k < NUMBERS; k++)
        scale[r][k] = cuda_scale_at(w, min(row + r, w.rows - 1),
                                    BLOCK == 64   ? chunk / 2
                                    : BLOCK == 16 ? 2 * chunk + k
                                                  : chunk);
  }
};

// 32 columns of a row of x.
template <int BLOCK> struct x32 {
  static constexpr int NUMBERS = BLOCK == 16 ? 2 : 1;
  uint4 high[2], low[2];
  float dx[NUMBERS], sum[NUMBERS];
  int all[NUMBERS];
  __device__ __forceinline__ void load(const cuda_planes &x, int n_blocks, int row, int chunk) {
    const uint4 *q = (const uint4 *)(x.planes + (int64_t)row * x.cols + (int64_t)chunk * 32);
    const uint4 *q2 = (const uint4 *)((const int8_t *)q + x.plane);
    high[0] = q[0], high[1] = q[1], low[0] = q2[0], low[1] = q2[1];
#pragma unroll
    for (int k = 0; k < NUMBERS; k++) {
      const int64_t b = (int64_t)row * n_blocks + (BLOCK == 64   ? chunk / 2
                                                   : BLOCK == 16 ? 2 * chunk + k
                                                                 : chunk);
      dx[k] = x.dx[b];
      sum[k] = x.sum[b];
      all[k] = x.codes[b];
    }
  }
};

// p of a thread's columns of ROWS rows against one row of x, to to[r * pitch + block]. All threads of a
// warp call.
template <bool NIBBLES, int BLOCK>
static __device__ __forceinline__ void multiply_piece(const cuda_weight_view &w,
                                                      const piece<NIBBLES, BLOCK> &c, const x32<BLOCK> &x,
                                                      int chunk, bool in, float *to, int pitch) {
  const int *h = (const int *)x.high, *l = (const int *)x.low;
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    int dh[2] = {0, 0}, dl[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 8; i++) {
      const int half = BLOCK == 16 ? i / 4 : 0, code = c.codes[r].word(i);
      dh[half] = __dp4a(code, h[i], dh[half]);
      dl[half] = __dp4a(code, l[i], dl[half]);
    }
#pragma unroll
    for (int k = 0; k < x32<BLOCK>::NUMBERS; k++) {
      int dot = dh[k] * 256 + dl[k];
      if (BLOCK == 64) dot += __shfl_xor_sync(~0u, dot, 1);
      const int b = BLOCK == 64 ? chunk / 2 : BLOCK == 16 ? 2 * chunk + k : chunk;
      if (in && !(BLOCK == 64 && chunk % 2))
        to[r * pitch + b] = product(dot, w.shift, x.all[k], x.dx[k], x.sum[k], c.scale[r][k], w.biased);
    }
  }
}

// The results of n units, whose p lie in shared memory; unit k has the rows from row0 + k * apart on.
template <int M>
static __device__ __forceinline__ void add_up(const cuda_weight_view &w, const cuda_planes &x, const float *p,
                                              int n, int row0, int apart, int first, float *out,
                                              int64_t out_stride) {
  const int pitch = w.n_blocks + 1;
  for (int i = threadIdx.x; i < n * M * ROWS; i += blockDim.x) {
    const int m = i / ROWS % M, row = row0 + i / (M * ROWS) * apart + i % ROWS;
    const float *from = p + (size_t)i * pitch;
    float acc = 0;
#pragma unroll 4
    for (int b = 0; b < w.n_blocks; b++) acc = __fadd_rn(acc, from[b]);
    if (row < w.rows && first + m < x.n) out[(first + m) * out_stride + row] = acc;
  }
}

// Block b has the units b, b + gridDim, ... of ROWS rows. The first codes are asked for before the kernels
// before this one are over.
template <bool NIBBLES, int BLOCK, int M>
__global__ void dot_rows(cuda_weight_view w, cuda_planes x, int first, int units, float *out,
                         int64_t out_stride) {
  extern __shared__ float p[]; // [units][M][ROWS][pitch]
  const int pitch = w.n_blocks + 1, n_chunks = w.cols / 32, apart = ROWS * (int)gridDim.x;
  const int rounds = (n_chunks + (int)blockDim.x - 1) / (int)blockDim.x;
  piece<NIBBLES, BLOCK> now, next;
  x32<BLOCK> kept;
  int row = blockIdx.x * ROWS, begun = row, n = 0; // the units from row `begun` on, n of them, are in p
  next.load(w, row, min((int)threadIdx.x, n_chunks - 1));
  cuda_wait();
  for (int round = 0; row < w.rows;) {
    const int chunk = (int)threadIdx.x + round * (int)blockDim.x, at = min(chunk, n_chunks - 1);
    const bool last = round + 1 == rounds;
    const int next_row = last ? row + apart : row, next_round = last ? 0 : round + 1;
    now = next;
    if (next_row < w.rows)
      next.load(w, next_row, min((int)threadIdx.x + next_round * (int)blockDim.x, n_chunks - 1));
#pragma unroll
    for (int m = 0; m < M; m++) {
      if (M > 1 || rounds > 1 || row == (int)blockIdx.x * ROWS)
        kept.load(x, w.n_blocks, min(first + m, x.n - 1), at);
      multiply_piece<NIBBLES, BLOCK>(w, now, kept, chunk, chunk < n_chunks,
                                     p + (size_t)(n * M + m) * ROWS * pitch, pitch);
    }
    n += last;
    row = next_row;
    round = next_round;
    if (n < units && row < w.rows) continue;
    __syncthreads();
    add_up<M>(w, x, p, n, begun, apart, first, out, out_stride);
    __syncthreads();
    begun = row;
    n = 0;
  }
}

template <bool NIBBLES, int BLOCK, int M>
static void launch_dot(cuda_backend *s, const cuda_weight_view &w, const cuda_planes &x, int first,
                       float *out, int64_t stride) {
  const auto kernel = dot_rows<NIBBLES, BLOCK, M>;
  const size_t each = (size_t)M * ROWS * (size_t)(w.n_blocks + 1) * sizeof(float);
  const int warps = (w.cols + 1023) / 1024, threads = 32 * (warps > 8 ? 8 : warps),
            all = (w.rows + ROWS - 1) / ROWS;
  int units = 8, together = 1;
  while (units > 1 && units * each > 24 << 10) units /= 2;
  if (units * each > 48 << 10)
    cuda_ok(s, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(units * each)),
            "shared memory");
  cuda_ok(s, cudaOccupancyMaxActiveBlocksPerMultiprocessor(&together, kernel, threads, units * each),
          "a kernel's size");
  const int most = s->n_sm * (together < 1 ? 1 : together);
  cuda_launch(s, kernel, dim3((unsigned)(all < most ? all : most)), threads, units * each, w, x, first, units,
              out, stride);
}

// Rows of x in pieces of 8, 4, 2 or 1: as many as there are, or as shared memory has room for.
template <bool NIBBLES, int BLOCK>
static void run_dot(cuda_backend *s, const cuda_weight_view &w, const cuda_planes &x, float *out,
                    int64_t stride) {
  int most = MOST_DOT;
  while (most > 1 && (size_t)most * ROWS * (size_t)(w.n_blocks + 1) * sizeof(float) > 64 << 10) most /= 2;
  for (int first = 0, n; first < x.n; first += n) {
    const int left = x.n - first;
    n = most;
    while (n > 1 && n / 2 >= left) n /= 2;
    if (n == 8)
      launch_dot<NIBBLES, BLOCK, 8>(s, w, x, first, out, stride);
    else if (n == 4)
      launch_dot<NIBBLES, BLOCK, 4>(s, w, x, first, out, stride);
    else if (n == 2)
      launch_dot<NIBBLES, BLOCK, 2>(s, w, x, first, out, stride);
    else
      launch_dot<NIBBLES, BLOCK, 1>(s, w, x, first, out, stride);
  }
}

// ---- more rows ----

static __device__ __forceinline__ void copy16(void *to, const void *from, bool in) {
  const unsigned at = (unsigned)__cvta_generic_to_shared(to);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(in ? 16 : 0));
}

static __device__ __forceinline__ void mma32(int c[4], const int a[4], const int b[2]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

static __device__ __forceinline__ void mma16(int c[4], const int a[2], int b) {
  asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(b));
}

template <bool NIBBLES> struct stage {
  unsigned char w[TILE_W * (NIBBLES ? NIBBLE_PITCH : BYTE_PITCH)];
  unsigned char x[2][TILE_X * BYTE_PITCH];
};

// Ask for columns [k, k + TILE_K) of the tile's rows.
template <bool NIBBLES>
static __device__ __forceinline__ void fetch(stage<NIBBLES> *to, const cuda_weight_view &w,
                                             const cuda_planes &x, int w0, int x0, int k) {
  constexpr int PER_COPY = NIBBLES ? 32 : 16, COPIES = TILE_K / PER_COPY,
                PITCH = NIBBLES ? NIBBLE_PITCH : BYTE_PITCH;
  for (int i = threadIdx.x; i < TILE_W * COPIES; i += TILE_THREADS) {
    const int r = i / COPIES, c = i % COPIES, col = k + c * PER_COPY;
    const bool in = col < w.cols;
    const int64_t at = ((int64_t)min(w0 + r, w.rows - 1) * w.cols + (in ? col : 0)) / (NIBBLES ? 2 : 1);
    copy16(to->w + r * PITCH + c * 16, w.data + at, in);
  }
  for (int i = threadIdx.x; i < 2 * TILE_X * (TILE_K / 16); i += TILE_THREADS) {
    const int plane = i / (TILE_X * (TILE_K / 16)), r = i / (TILE_K / 16) % TILE_X, c = i % (TILE_K / 16);
    const int col = k + c * 16;
    const bool in = col < w.cols;
    copy16(to->x[plane] + r * BYTE_PITCH + c * 16,
           x.planes + plane * x.plane + (int64_t)min(x0 + r, x.n - 1) * x.cols + (in ? col : 0), in);
  }
  asm volatile("cp.async.commit_group;");
}

// Dots of 32 columns from column k of the stage: columns 8 t .. 8 t + 7 are lane t's of four, on both sides.
template <bool NIBBLES>
static __device__ __forceinline__ void dots32(const stage<NIBBLES> *s, int plane, int wr, int xr, int k,
                                              int dot[2][4][4]) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  int a[2][4];
#pragma unroll
  for (int i = 0; i < 2; i++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int r = wr + i * 16 + half * 8 + g;
      if (NIBBLES) {
        const unsigned v = *(const unsigned *)(s->w + r * NIBBLE_PITCH + k / 2 + 4 * t);
        a[i][half] = (int)(v & 0x0F0F0F0Fu);
        a[i][half + 2] = (int)(v >> 4 & 0x0F0F0F0Fu);
      } else {
        const uint2 v = *(const uint2 *)(s->w + r * BYTE_PITCH + k + 8 * t);
        a[i][half] = (int)v.x;
        a[i][half + 2] = (int)v.y;
      }
    }
  }
#pragma unroll
  for (int j = 0; j < 4; j++) {
    const uint2 v = *(const uint2 *)(s->x[plane] + (xr + j * 8 + g) * BYTE_PITCH + k + 8 * t);
    const int b[2] = {(int)v.x, (int)v.y};
    mma32(dot[0][j], a[0], b);
    mma32(dot[1][j], a[1], b);
  }
}

// Dots of 16 columns, of codes in bytes.
static __device__ __forceinline__ void dots16(const stage<false> *s, int plane, int wr, int xr, int k,
                                              int dot[2][4][4]) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  int a[2][2];
#pragma unroll
  for (int i = 0; i < 2; i++)
    for (int half = 0; half < 2; half++)
      a[i][half] = *(const int *)(s->w + (wr + i * 16 + half * 8 + g) * BYTE_PITCH + k + 4 * t);
#pragma unroll
  for (int j = 0; j < 4; j++) {
    const int b = *(const int *)(s->x[plane] + (xr + j * 8 + g) * BYTE_PITCH + k + 4 * t);
    mma16(dot[0][j], a[0], b);
    mma16(dot[1][j], a[1], b);
  }
}

template <bool NIBBLES, int BLOCK>
static __device__ __forceinline__ void block_dots(const stage<NIBBLES> *s, int wr, int xr, int k,
                                                  int dot[2][4][4]) {
#pragma unroll
  for (int plane = 0; plane < 2; plane++) {
#pragma unroll
    for (int i = 0; i < 32; i++) dot[i / 16][i / 4 % 4][i % 4] *= 256; // 0 before the first
    if constexpr (BLOCK == 16)
      dots16(s, plane, wr, xr, k, dot);
    else
      for (int at = k; at < k + BLOCK; at += 32) dots32<NIBBLES>(s, plane, wr, xr, at, dot);
  }
}

// The numbers of a stage's blocks.
template <int BLOCK> struct numbers {
  float2 scale[TILE_K / BLOCK][TILE_W];
  float dx[TILE_K / BLOCK][TILE_X], sum[TILE_K / BLOCK][TILE_X];
  int codes[TILE_K / BLOCK][TILE_X];
};

// On their way to there: a thread has those of a row of the weight, or of x, or none.
template <int BLOCK> struct carried {
  float2 scale[TILE_K / BLOCK];
  int codes[TILE_K / BLOCK];
  __device__ __forceinline__ void load(const cuda_weight_view &w, const cuda_planes &x, int w0, int x0,
                                       int stage) {
    const int i = threadIdx.x;
#pragma unroll
    for (int k = 0; k < TILE_K / BLOCK; k++) {
      const int b = min(stage * (TILE_K / BLOCK) + k, w.n_blocks - 1);
      if (i < TILE_W) {
        scale[k] = cuda_scale_at(w, min(w0 + i, w.rows - 1), b);
      } else if (i < TILE_W + TILE_X) {
        const int64_t at = (int64_t)min(x0 + i - TILE_W, x.n - 1) * w.n_blocks + b;
        scale[k] = make_float2(x.dx[at], x.sum[at]);
        codes[k] = x.codes[at];
      }
    }
  }
  __device__ __forceinline__ void store(numbers<BLOCK> *to) const {
    const int i = threadIdx.x;
#pragma unroll
    for (int k = 0; k < TILE_K / BLOCK; k++) {
      if (i < TILE_W) {
        to->scale[k][i] = scale[k];
      } else if (i < TILE_W + TILE_X) {
        to->dx[k][i - TILE_W] = scale[k].x;
        to->sum[k][i - TILE_W] = scale[k].y;
        to->codes[k][i - TILE_W] = codes[k];
      }
    }
  }
};

template <bool NIBBLES, int BLOCK> struct tile_memory {
  stage<NIBBLES> stages[STAGES];
  numbers<BLOCK> n[3];
};

// acc += p of block k of a stage, for the thread's 4 rows of the weight by 8 of x.
template <int BLOCK>
static __device__ __forceinline__ void add_products(const cuda_weight_view &w, const numbers<BLOCK> *n, int k,
                                                    int wr, int xr, const int dot[2][4][4],
                                                    float acc[2][4][4]) {
  const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  float2 scale[4];
#pragma unroll
  for (int i = 0; i < 4; i++) scale[i] = n->scale[k][wr + i * 8 + g];
#pragma unroll
  for (int j = 0; j < 4; j++) {
    const int at = xr + j * 8 + t * 2;
    const float2 dx = *(const float2 *)&n->dx[k][at], sum = *(const float2 *)&n->sum[k][at];
    const int2 codes = *(const int2 *)&n->codes[k][at];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      float *to = &acc[i / 2][j][i % 2 * 2];
      const int *d = &dot[i / 2][j][i % 2 * 2];
      to[0] = __fadd_rn(to[0], product(d[0], w.shift, codes.x, dx.x, sum.x, scale[i], w.biased));
      to[1] = __fadd_rn(to[1], product(d[1], w.shift, codes.y, dx.y, sum.y, scale[i], w.biased));
    }
  }
}

// Grid: tiles of x's rows by tiles of the weight's, so that neighbours read the same codes.
template <bool NIBBLES, int BLOCK>
__global__ void __launch_bounds__(TILE_THREADS, 2)
    tile_rows(cuda_weight_view w, cuda_planes x, float *out, int64_t out_stride) {
  extern __shared__ uint4 memory[];
  tile_memory<NIBBLES, BLOCK> *s = (tile_memory<NIBBLES, BLOCK> *)memory;
  const int w0 = blockIdx.y * TILE_W, x0 = blockIdx.x * TILE_X, warp = threadIdx.x / 32;
  const int wr = warp % 4 * 32, xr = warp / 4 * 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
  const int n_stages = (w.cols + TILE_K - 1) / TILE_K;
  float acc[2][4][4] = {};
  carried<BLOCK> next;
  cuda_wait();
  for (int i = 0; i < STAGES - 1; i++) fetch<NIBBLES>(&s->stages[i], w, x, w0, x0, i * TILE_K);
  next.load(w, x, w0, x0, 0);
  next.store(&s->n[0]);
  next.load(w, x, w0, x0, 1);
  for (int n = 0; n < n_stages; n++) {
    asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2));
    __syncthreads();
    fetch<NIBBLES>(&s->stages[(n + STAGES - 1) % STAGES], w, x, w0, x0, (n + STAGES - 1) * TILE_K);
    next.store(&s->n[(n + 1) % 3]);
    next.load(w, x, w0, x0, n + 2);
#pragma unroll
    for (int k = 0; k < TILE_K / BLOCK; k++) {
      if (n * TILE_K + k * BLOCK >= w.cols) break;
      int dot[2][4][4] = {};
      block_dots<NIBBLES, BLOCK>(&s->stages[n % STAGES], wr, xr, k * BLOCK, dot);
      add_products<BLOCK>(w, &s->n[n % 3], k, wr, xr, dot, acc);
    }
  }
  asm volatile("cp.async.wait_all;");
#pragma unroll
  for (int c = 0; c < 8; c++) {
    const int col = x0 + xr + c / 2 * 8 + t * 2 + c % 2;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int row = w0 + wr + i * 8 + g;
      if (row < w.rows && col < x.n) out[col * out_stride + row] = acc[i / 2][c / 2][i % 2 * 2 + c % 2];
    }
  }
}

template <bool NIBBLES, int BLOCK>
static void run_tile(cuda_backend *s, const cuda_weight_view &w, const cuda_planes &x, float *out,
                     int64_t stride) {
  const size_t bytes = sizeof(tile_memory<NIBBLES, BLOCK>);
  const auto kernel = tile_rows<NIBBLES, BLOCK>;
  cuda_ok(s, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
          "shared memory");
  cuda_launch(s, kernel,
              dim3((unsigned)(x.n + TILE_X - 1) / TILE_X, (unsigned)(w.rows + TILE_W - 1) / TILE_W),
              TILE_THREADS, bytes, w, x, out, stride);
}

template <bool NIBBLES, int BLOCK>
static void run_codes(cuda_backend *s, const cuda_weight_view &w, const cuda_planes &x, float *out,
                      int64_t stride) {
  if (x.n <= MOST_DOT)
    run_dot<NIBBLES, BLOCK>(s, w, x, out, stride);
  else
    run_tile<NIBBLES, BLOCK>(s, w, x, out, stride);
}

// ---- float weights ----

// Grid: rows of the weight / warps by rows of x / MOST_DOT.
__global__ void float_rows(cuda_weight_view w, cuda_rows x, float *out, int64_t out_stride) {
  cuda_wait();
  const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32,
            first = blockIdx.y * MOST_DOT;
  if (row >= w.rows) return;
  float acc[MOST_DOT] = {};
  for (int i = lane; i < w.cols; i += 32) {
    const float v = cuda_value_at(w, row, i);
#pragma unroll
    for (int m = 0; m < MOST_DOT; m++)
      if (first + m < x.n) acc[m] = fmaf(v, x.p[(first + m) * x.stride + i], acc[m]);
  }
#pragma unroll
  for (int m = 0; m < MOST_DOT; m++) {
    for (int step = 16; step; step /= 2) acc[m] += __shfl_xor_sync(~0u, acc[m], step);
    if (lane == 0 && first + m < x.n) out[(first + m) * out_stride + row] = acc[m];
  }
}

// ---- the op ----

static void multiply(cuda_backend *s, const pn_weight *weight, const cuda_rows &x, const cuda_planes &q,
                     float *out, int64_t stride) {
  const cuda_weight_view w = cuda_view_of(weight);
  if (w.codes == CUDA_NIBBLES && w.block == 64)
    run_codes<true, 64>(s, w, q, out, stride);
  else if (w.codes == CUDA_NIBBLES && w.block == 32)
    run_codes<true, 32>(s, w, q, out, stride);
  else if (w.codes == CUDA_BYTES && w.block == 64)
    run_codes<false, 64>(s, w, q, out, stride);
  else if (w.codes == CUDA_BYTES && w.block == 32)
    run_codes<false, 32>(s, w, q, out, stride);
  else if (w.codes == CUDA_BYTES && w.block == 16)
    run_codes<false, 16>(s, w, q, out, stride);
  else
    cuda_launch(s, float_rows, dim3((unsigned)(w.rows + 7) / 8, (unsigned)(x.n + MOST_DOT - 1) / MOST_DOT),
                256, 0, w, x, out, stride);
}

// x rounded for blocks of so many columns, unless the step before has done that.
static cuda_planes rounded(cuda_backend *s, pn_workspace *ws, pn_view v, const cuda_rows &x, int block) {
  const cuda_planes q = cuda_planes_of(ws, x.n, v.width, block);
  const pn_view *have = &ws->quantised;
  if (ws->quantised_block == block && have->buffer == v.buffer && have->offset == v.offset &&
      have->width == v.width)
    return q;
  cuda_launch(s, quantise, dim3((unsigned)x.n, (unsigned)(v.width + 511) / 512), 128, 0, x, q);
  ws->quantised = v;
  ws->quantised_block = block;
  return q;
}

void cuda_matmul(cuda_backend *s, pn_workspace *ws, const pn_step *step) {
  const cuda_rows x = cuda_rows_of(ws, step->in[0]), out = cuda_rows_of(ws, step->out);
  float *at = out.p;
  if (out.n == 0) return;
  for (int i = 0; i < step->n_weights; at += step->w[i++]->rows) {
    const pn_weight *w = step->w[i];
    cuda_planes q = {};
    if (w->block) q = rounded(s, ws, step->in[0], x, w->block);
    multiply(s, w, x, q, at, out.stride);
  }
}
