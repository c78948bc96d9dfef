// The contract of every operation that a model needs, and the table by which a backend offers them.
//
// Thread: one thread (the engine's) calls a backend; the backend may use threads of its own inside a call. Ops may run
// behind the call (a GPU): only `download` and `sync` wait.
//
// Memory: `float *` arguments are memory of the backend's `alloc` unless they say host. Activations are f32, row-major
// [n_rows][stride], stride >= width, counted in elements. Rows are independent.
//
// One answer: an op's result for a row depends only on that row (and on what it attends to): never on the number of
// rows, their order, the split into calls or the number of threads. So the accumulation order is fixed:
//  - ref: plain loops, ascending index, f32 (double inside norms and softmax sums where it says so);
//  - cpu: the orders written at each op in backend/cpu.
// A backend that can't hold this says so in its header.
#ifndef PN_BACKEND_H
#define PN_BACKEND_H

#include "base/dtype.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define PN_BACKEND_VERSION 2

typedef struct pn_backend pn_backend; // an instance: device, threads, scratch
typedef struct pn_weight pn_weight;   // a matrix as the backend holds it
typedef struct pn_kv pn_kv;           // the memory of the KV pages of all layers

// How a stored matrix encodes its values.
typedef enum pn_matrix_kind {
  PN_MATRIX_F32,
  PN_MATRIX_F16,
  PN_MATRIX_BF16,
  PN_MATRIX_AFFINE, // MLX: packed unsigned q of `bits` bits; value = q * scale + bias, one pair a group of columns
  PN_MATRIX_Q4_0, // GGUF: block of 32: f16 d; 16 bytes; value = (q - 8) * d; low nibbles 0..15, high 16..31
  PN_MATRIX_Q4_1, // GGUF: block of 32: f16 d, f16 m; 16 bytes; value = q * d + m
  PN_MATRIX_Q8_0, // GGUF: block of 32: f16 d; 32 int8; value = q * d
} pn_matrix_kind;

// A matrix [rows, cols] in host memory that outlives the weight made of it (a mapped file). Data, scales and biases may
// lie at any address: safetensors files are not padded. y = W x has `rows` values.
// For AFFINE: `data` is a little-endian bit stream a row (32-bit words; element 0 in the lowest bits of the first),
// row_bytes = cols * bits / 8; scales and biases are [rows][cols / group] of scale_dtype (F16, BF16 or F32). Scales may
// be negative. bits 2, 3, 4, 5, 6, 8; group 32, 64, 128; cols a multiple of group. For Q*: cols a multiple of 32.
typedef struct pn_matrix {
  pn_matrix_kind kind;
  int64_t rows, cols;
  const void *data;
  size_t row_bytes;
  const void *scales, *biases;
  pn_dtype scale_dtype;
  int bits, group;
} pn_matrix;

// One product of a matmul call: out[r][0 .. w->rows) = W x[r]. Parts of a call share their input.
typedef struct pn_matmul_part {
  const pn_weight *w;
  float *out;
  int64_t out_stride;
} pn_matmul_part;

// The rows of one step. Arrays have n_rows entries, host memory, valid until the next `begin`.
// Row r is token token[r] of the sequence seq[r] at logical position pos[r]; its K and V go to the physical place
// slot[r] = page * page_tokens + offset. pages[s] is the page table of sequence s: position p lies in page
// pages[s][p / page_tokens] at offset p % page_tokens. A row attends to positions 0..pos[r] of its own sequence, all of
// which are written by then, by earlier steps or by rows of this one.
typedef struct pn_batch {
  int n_rows, n_seqs;
  const int32_t *token, *seq, *pos, *slot;
  const int32_t *const *pages;
} pn_batch;

// How K and V are stored. INT8: each head's vector of each token as codes -127..127 with one f32 scale, max / 127;
// code = round to even(x / scale). INT4: each vector rotated by the orthonormal Walsh-Hadamard transform (blocks of the
// largest power of two that divides head_dim), K as codes 0..63, V as codes 0..15, each vector with an f16 scale
// (max - min) / 63 or / 15 and an f16 minimum; queries are rotated likewise, answers are rotated back. K has two bits
// more because its errors sit in an exponent. A vector with an infinity or a NaN in it gets a NaN as scale.
typedef enum pn_kv_type {
  PN_KV_F32,
  PN_KV_F16,
  PN_KV_BF16,
  PN_KV_INT8,
  PN_KV_INT4,
  PN_KV_N_TYPES
} pn_kv_type;
const char *pn_kv_type_name(pn_kv_type t); // "f16", "int8", ...
bool pn_kv_type_of(const char *name, pn_kv_type *out);

typedef struct pn_kv_shape {
  int n_layers, n_kv_heads, head_dim;
  int page_tokens; // 32
  int n_pages;
  pn_kv_type type;
} pn_kv_shape;

typedef enum pn_rope_order {
  PN_ROPE_HALF,       // NeoX: pairs (i, i + n_rot / 2)
  PN_ROPE_INTERLEAVED // GPT-J, llama-type GGUF: pairs (2i, 2i + 1)
} pn_rope_order;

// angle(pos, i) = pos * inv_freq[i], i < n_rot / 2, f32 product of f32 factors; cos and sin in f32, each times `scale`
// (LongRoPE's attention factor, else 1). Dimensions from n_rot on pass unchanged and unscaled.
typedef struct pn_rope {
  pn_rope_order order;
  int n_rot;
  const float *inv_freq; // host
  float scale;
} pn_rope;

typedef struct pn_attention {
  int layer, n_heads, n_kv_heads, head_dim;
  float scale; // scores are scale * (q . k)
  int window;  // a row at pos sees positions > pos - window; 0: all
} pn_attention;

// Every entry is required unless marked optional. Ops that can fail take *e; those that can't are void.
typedef struct pn_backend_ops {
  uint32_t version;
  const char *name;
  void (*close)(pn_backend *b);
  // What the instance is, for people: "cpu avx512-vnni, 2 threads, int16 activations".
  // Valid while open.
  const char *(*describe)(pn_backend *b);

  // Zeroed memory aligned to 64 bytes; NULL when there is none. Reserved and committed as touched.
  void *(*alloc)(pn_backend *b, size_t bytes);
  void (*release)(pn_backend *b, void *p);
  void (*upload)(pn_backend *b, void *dst, const void *host, size_t bytes);
  void (*download)(pn_backend *b, void *host, const void *src, size_t bytes); // waits
  void (*sync)(pn_backend *b);

  // Take a matrix into use. The CPU keeps the pointers: no copy. PN_ERR_UNSUPPORTED names kind, bits and group.
  pn_weight *(*weight_open)(pn_backend *b, const pn_matrix *m, pn_error *e);
  void (*weight_close)(pn_backend *b, pn_weight *w);

  // K and V of a (layer, page, kv head, offset): head_dim values stored as the shape's type. Address space for all pages
  // is reserved; memory is committed as pages are written.
  pn_kv *(*kv_open)(pn_backend *b, const pn_kv_shape *shape, pn_error *e);
  void (*kv_close)(pn_backend *b, pn_kv *kv);
  // Page `to` becomes a copy of page `from` in all layers.
  bool (*kv_copy)(pn_backend *b, pn_kv *kv, int32_t from, int32_t to, pn_error *e);

  // The batch that embed, rope, kv_write and attention refer to until the next begin. Room for max rows is made here:
  // nothing allocates inside a step once the largest batch was seen.
  bool (*begin)(pn_backend *b, const pn_batch *batch, pn_error *e);

  // out[r] = row token[r] of w, as f32, times scale.
  void (*embed)(pn_backend *b, const pn_weight *w, float scale, float *out, int64_t out_stride);
  // out[r][i] = x[r][i] / sqrt(mean_j x[r][j]^2 + eps) * weight[i]; the mean in double on ref. `out` may be `x`.
  void (*rmsnorm)(pn_backend *b, const float *x, int64_t x_stride, const float *weight, float eps, int n_rows,
                  int width, float *out, int64_t out_stride);
  // For each part: out[r] = W x[r]. The input width is the weights' cols. On cpu, quantised weights meet x quantised
  // to int16 (or int8: pn_backend_options.activations) in blocks of min(group, 64) columns with one f32 scale each;
  // order: p_g = fma(bias_g, xsum_g, scale_g * (dx_g * (float)dot_g)), acc += p_g for g ascending, dot_g exact. Float
  // weights meet f32 x.
  void (*matmul)(pn_backend *b, const float *x, int64_t x_stride, int n_rows, const pn_matmul_part *parts,
                 int n_parts);
  // Rotate in place the heads x[r][h * head_dim ..], h < n_heads, by the row's pos.
  void (*rope)(pn_backend *b, const pn_rope *rope, float *x, int64_t x_stride, int n_heads, int head_dim);
  // Store k[r], v[r] ([n_kv_heads][head_dim]) at the row's slot of `layer`, rounded to the KV's type.
  void (*kv_write)(pn_backend *b, pn_kv *kv, int layer, const float *k, int64_t k_stride, const float *v,
                   int64_t v_stride);
  // out[r][h] = sum_p softmax_p(scale * q[r][h] . K_p) V_p, query head h reading kv head h / (n_heads / n_kv_heads).
  // On cpu: blocks of page_tokens positions from position 0, merged in ascending order (online softmax) within spans of
  // 8 blocks, and the spans merged likewise.
  void (*attention)(pn_backend *b, pn_kv *kv, const pn_attention *a, const float *q, int64_t q_stride,
                    float *out, int64_t out_stride);
  // out[r][i] = silu(gate[r][i]) * up[r][i], silu(x) = x / (1 + exp(-x)).
  void (*silu_mul)(pn_backend *b, const float *gate, const float *up, int64_t in_stride, int n_rows,
                   int width, float *out, int64_t out_stride);
  // x[r][i] += y[r][i].
  void (*add)(pn_backend *b, float *x, int64_t x_stride, const float *y, int64_t y_stride, int n_rows,
              int width);
  // out[k] = x[rows[k]], rows in host memory.
  void (*gather)(pn_backend *b, const float *x, int64_t x_stride, const int32_t *rows, int n_rows, int width,
                 float *out, int64_t out_stride);

  // Optional, NULL when missing.
  // What pages [first, first + n) hold is not wanted any more: their memory may go back to the system. What they hold
  // until they are written again is unspecified, and no result depends on it.
  void (*kv_discard)(pn_backend *b, pn_kv *kv, int32_t first, int n);

  // Optional, NULL when missing; pn_backend_* below composes it from the ops above.
  // x += y, then out = rmsnorm(x).
  void (*add_rmsnorm)(pn_backend *b, float *x, int64_t x_stride, const float *y, int64_t y_stride,
                      const float *weight, float eps, int n_rows, int width, float *out, int64_t out_stride);
} pn_backend_ops;

// The head of every instance; the rest belongs to the backend.
struct pn_backend {
  const pn_backend_ops *ops;
};

typedef struct pn_backend_options {
  const char *name; // "auto", "ref", "cpu" ("cuda" and "mlx" answer PN_ERR_DEVICE until they exist)
  const char *isa;  // NULL: the best the machine has; "scalar", "avx2", "avx512", "neon" to force one
  int n_threads;    // 0: the number of cores that this process may use
  // What x is rounded to before it meets quantised weights: NULL or "int16", whose results agree with float32 to a few
  // 1e-5, or "int8", faster and rougher (about 1e-2). `ref` computes in float32 whatever is asked.
  const char *activations;
} pn_backend_options;

// NULL with PN_ERR_DEVICE or PN_ERR_USAGE when there is no such backend here.
pn_backend *pn_backend_open(const pn_backend_options *o, pn_error *e);
void pn_backend_close(pn_backend *b);

// add_rmsnorm, fused where the backend has it.
void pn_backend_add_rmsnorm(pn_backend *b, float *x, int64_t x_stride, const float *y, int64_t y_stride,
                            const float *weight, float eps, int n_rows, int width, float *out,
                            int64_t out_stride);

// Bytes that a KV of this shape reserves, and what one token costs over all layers: K, V, scales, and the padding that
// `cpu` lays between them (head_dim of V and tokens of a page up to 16), rounded up. 0 for a shape that can't be.
uint64_t pn_kv_shape_bytes(const pn_kv_shape *s);
uint64_t pn_kv_token_bytes(const pn_kv_shape *s);

// CPU features that this machine has and that kernels were built for, such as "avx2 avx512-vnni"; for `version`.
const char *pn_backend_cpu_features(void);
// ISA names usable here for pn_backend_options.isa, best first, NULL-terminated.
const char *const *pn_backend_isas(void);

#endif
