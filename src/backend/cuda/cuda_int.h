// What the files of the CUDA backend share: the instance, weights, KV, workspaces, and the launch of each op.
//
// Values are f32 in device memory. Every launch goes to one stream, so steps take effect in the order of the
// calls. What a step gives for a row depends on that row alone; the orders of accumulation are fixed and
// stated at each kernel, so results do not depend on the number of rows, on cuts or on other rows.
#ifndef PN_BACKEND_CUDA_INT_H
#define PN_BACKEND_CUDA_INT_H

extern "C" {
#include "backend/backend.h"
#include "base/kind.h"
}

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <utility>

// How the codes of a weight lie on the device, a row after the other.
typedef enum cuda_codes {
  CUDA_NIBBLES, // 4 bytes for 8 columns: byte i has column i in its low and column i + 4 in its high half
  CUDA_BYTES,   // int8 a column
  CUDA_HALF,    // no codes but values: f16,
  CUDA_BF16,    // bf16
  CUDA_FLOAT,   // or f32
} cuda_codes;

// A matrix [rows][cols] with its codes, and a scale (and a bias) for each block of a row, or a vector.
// value = scale * (code + shift) + bias. Blocks are those of the activations (see op_matmul.cu): 16, 32 or 64
// columns; those of a group of 128 share numbers that are stored twice.
struct pn_weight {
  int64_t rows, cols;
  cuda_codes codes;
  int block, n_blocks, shift;
  bool biased, half; // half: scales and biases are f16, else f32
  void *data;        // codes; of a vector its f32
  void *scale;       // [rows][n_blocks], a pair (scale, bias) each where biased
};

// K and V of a page and head as the ops know them; states as slots.
//   K [head_dim / 8][page_tokens][8], padded to whole groups of 8 dimensions; V [page_tokens][head_dim padded
//   to 8]; int8: then K scales and V scales, [page_tokens] f32 each.
// Pages lie [layer][page][kv head].
typedef struct cuda_kv_layout {
  int page_tokens, n_kv_heads, head_dim, dim_pad, type;
  int64_t head_bytes, page_bytes, layer_bytes;
  int32_t v_offset, scales_offset;
} cuda_kv_layout;

struct pn_kv {
  pn_kv_shape shape;
  cuda_kv_layout at;
  char *data;
};

// The batch on the device. Arrays are parts of one block that `begin` copies there.
typedef struct cuda_group_rows {
  const int32_t *slot, *state;
  const int32_t *page_start, *pages; // page_start[s]: where the table of sequence s begins in `pages`
} cuda_group_rows;

typedef struct cuda_batch {
  int n_rows, n_logits;
  const int32_t *token, *seq, *pos, *logit_rows;
} cuda_batch;

enum { CUDA_MAX_GROUPS = 8, CUDA_SPLIT_ROWS = 64, CUDA_SPLITS = 32 };

typedef struct cuda_graph {
  int from, to, n_rows, n_logits;
  cudaGraphExec_t exec;
} cuda_graph;

enum { CUDA_MAX_GRAPHS = 64 };

struct pn_workspace {
  const pn_plan *plan;
  int max_rows, max_logits;
  char *memory;
  uint64_t *offsets;
  cuda_batch batch;
  cuda_group_rows groups[CUDA_MAX_GROUPS];
  pn_kv *kv[CUDA_MAX_GROUPS];
  int n_groups;
  char *staging, *arrays; // the batch's arrays: pinned on the host, and on the device
  size_t arrays_cap;
  float **ropes; // inv_freq of each rotation, on the device
  // Activations of a product as cuda_quantise.cuh makes them; of which view and for which blocks they are (0:
  // of none), and the blocks that the next step wants of what this one gives (0: none).
  int8_t *planes;
  float *x_scale, *x_sum;
  int32_t *x_codes;
  pn_view quantised;
  int quantised_block, wanted_block;
  float *partials;          // of attention
  cudaEvent_t done, copied; // what was submitted; the batch's arrays
  cuda_graph graphs[CUDA_MAX_GRAPHS];
  int n_graphs;
  // Choices that were asked for.
  pn_view logits;
  const pn_sample *how;
  int n_choices;
  bool greedy;
  float *host_logits; // pinned, [max_logits][logits.width]
  int32_t *best, *host_best;
};

typedef struct cuda_backend {
  pn_backend head;
  int device;
  cudaStream_t stream;
  char description[320];
  pn_error failed;                // a launch that went wrong; told by whoever waits next
  pn_backend *host;               // chooses tokens where the device does not
  struct cuda_unpacker *unpacker; // of weights
  int n_sm;
  bool overlaps; // a kernel may start while the one before it ends (from compute capability 9.0 on)
} cuda_backend;

// Rows of a view on the device.
typedef struct cuda_rows {
  float *p;
  int64_t stride;
  int n;
} cuda_rows;
cuda_rows cuda_rows_of(const pn_workspace *ws, pn_view v);

// What a kernel does before it looks at anything that kernels before it wrote, or writes anything: those
// are over then. What it does before that (reading weights) goes on beside their ends.
static __device__ __forceinline__ void cuda_wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Notes the first error of a launch or a call; false when there is one.
bool cuda_ok(cuda_backend *s, cudaError_t r, const char *what);
// The same as an error of the contract.
bool cuda_check(cudaError_t r, pn_error *e, const char *what);

// Launch a kernel that calls cuda_wait.
template <typename... P, typename... A>
static void cuda_launch(cuda_backend *s, void (*kernel)(P...), dim3 grid, int threads, size_t shared,
                        A &&...args) {
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t c = {};
  c.gridDim = grid;
  c.blockDim = dim3((unsigned)threads);
  c.dynamicSmemBytes = shared;
  c.stream = s->stream;
  c.attrs = &overlap;
  c.numAttrs = s->overlaps ? 1 : 0;
  cuda_ok(s, cudaLaunchKernelEx(&c, kernel, P(std::forward<A>(args))...), "a launch");
}

// cuda_weight.cu
pn_weight *cuda_weight_open(pn_backend *b, const pn_matrix *m, pn_error *e);
pn_weight *cuda_vector_open(pn_backend *b, const float *host, int64_t n, pn_error *e);
void cuda_weight_close(pn_backend *b, pn_weight *w);

// cuda_kv.cu
uint64_t cuda_kv_bytes(pn_backend *b, const pn_kv_shape *s);
pn_kv *cuda_kv_open(pn_backend *b, const pn_kv_shape *s, pn_error *e);
void cuda_kv_close(pn_backend *b, pn_kv *kv);
bool cuda_kv_copy(pn_backend *b, pn_kv *kv, int32_t from, int32_t to, pn_error *e);
bool cuda_kv_export(pn_backend *b, pn_kv *kv, int32_t page, void *bytes, pn_error *e);
bool cuda_kv_import(pn_backend *b, pn_kv *kv, int32_t page, const void *bytes, pn_error *e);

// cuda_workspace.cu
uint64_t cuda_workspace_bytes(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits);
pn_workspace *cuda_workspace_open(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits,
                                  pn_error *e);
void cuda_workspace_close(pn_backend *b, pn_workspace *ws);
bool cuda_begin(pn_backend *b, pn_workspace *ws, const pn_batch *batch, pn_error *e);
void cuda_write(pn_backend *b, pn_workspace *ws, pn_view v, int first, int n, const float *host);
bool cuda_read(pn_backend *b, pn_workspace *ws, pn_view v, int first, int n, float *host, pn_error *e);

// cuda_sample.cu
bool cuda_sample_reserve(pn_backend *b, int n_vocab, int max_rows, pn_error *e);
bool cuda_sample(pn_backend *b, pn_workspace *ws, pn_view logits, const pn_sample *how, int n, pn_choice *out,
                 pn_error *e);
bool cuda_sample_submit(pn_backend *b, pn_workspace *ws, pn_view logits, const pn_sample *how, int n,
                        pn_error *e);
bool cuda_collect(pn_backend *b, pn_workspace *ws, pn_choice *out, int n, pn_error *e);

// Ops: each launches what computes one step.
typedef void cuda_op(cuda_backend *s, pn_workspace *ws, const pn_step *step);
cuda_op cuda_embed, cuda_norm, cuda_matmul, cuda_rope, cuda_kv_write, cuda_attention, cuda_short_conv,
    cuda_elementwise;
void cuda_run_step(cuda_backend *s, pn_workspace *ws, const pn_step *step);
// cuda_fuse.cu: steps [from, to) of the plan, several in one kernel where they fit together.
void cuda_run_steps(cuda_backend *s, pn_workspace *ws, int from, int to);
// op_rope_kv.cu: rotations of q and of k, and storing k and v.
void cuda_rope_kv(cuda_backend *s, pn_workspace *ws, const pn_step *q, const pn_step *k,
                  const pn_step *write);

#endif
