// The contract of a backend: what computes the steps of a model's plan, where weights, KV and intermediate
// values live.
//
// A model is computed by a plan: a list of steps {op, inputs, output, weights, parameters} whose values are
// views of numbered buffers. A backend keeps the buffers where and how it likes, in a workspace; nobody else
// has pointers into it. `run` computes any one step; a backend that would rather take a whole plan at once
// (to fuse steps, to record a graph, to evaluate lazily) offers `compile` and `submit`. Whatever is asked of
// a backend takes effect in the order of the calls; only `read`, `sync`, `sample` and `collect` wait for
// results.
//
// Thread: one thread (the engine's) calls a backend; the backend may use threads of its own inside a call.
//
// One answer: what a step gives for a row depends only on that row (and on what it attends to): never on the
// number of rows, their order, the split into calls or the number of threads. So the accumulation order is
// fixed:
//  - ref: plain loops, ascending index, f32 (double inside norms and softmax sums where it says so);
//  - cpu: the orders written at each op in backend/cpu.
// A backend that can't hold this says so in its header.
#ifndef PN_BACKEND_H
#define PN_BACKEND_H

#include "base/dtype.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define PN_BACKEND_VERSION 6

typedef struct pn_backend pn_backend;     // an instance: device, threads, scratch
typedef struct pn_weight pn_weight;       // a matrix or a vector as the backend holds it
typedef struct pn_kv pn_kv;               // what a group of layers keeps of sequences
typedef struct pn_workspace pn_workspace; // the memory of a plan's buffers, for one step at a time

// A matrix [rows, cols] in host memory that outlives the weight made of it (a mapped file). Data, scales and
// biases may lie at any address: safetensors files are not padded. y = W x has `rows` values.
// Kinds: those of the table of kinds (base/kind.h) that have values, whose cols are a multiple of the kind's
// block; where its scales lie apart `scales` are those of all blocks, row after row. And AFFINE, MLX's:
// packed unsigned q of `bits` bits; value = q * scale + bias, one pair a group of columns. For AFFINE: `data`
// is a little-endian bit stream a row (32-bit words; element 0 in the lowest bits of the first), row_bytes =
// cols * bits / 8; scales and biases are [rows][cols / group] of scale_dtype (F16, BF16 or F32). Scales may
// be negative. bits 2, 3, 4, 5, 6, 8; group 32, 64, 128; cols a multiple of group.
// Kinds with codes may have `factors`, f32 at any address, one for each factor_rows rows: they multiply each
// value, rounded to f32, and in products the finished sum.
typedef struct pn_matrix {
  pn_dtype kind;
  int64_t rows, cols;
  const void *data;
  size_t row_bytes;
  const void *scales, *biases;
  pn_dtype scale_dtype;
  int bits, group;
  const void *factors; // NULL: none
  int64_t factor_rows;
} pn_matrix;

// Where the rows of a step find what a group of layers keeps. Of K and V in pages: those of row r go to the
// physical place slot[r] = page * page_tokens + offset, and pages[s] is the page table of sequence s:
// position p lies in page pages[s][p / page_tokens] at offset p % page_tokens; no page is read in which no
// row sees a position. Of recurrent states: that of sequence s is in slot state[s]; a row at position 0 finds
// it empty whatever is there, and after the step it is that after the last row of the sequence.
typedef struct pn_kv_rows {
  pn_kv *kv;
  const int32_t *slot;
  const int32_t *const *pages;
  const int32_t *state;
} pn_kv_rows;

// The rows of one step. Arrays have n_rows entries, host memory, valid until the workspace's next `begin`.
// Row r is token token[r] of the sequence seq[r] at logical position pos[r]. A row attends to positions
// 0..pos[r] of its own sequence, all of which are written by then, by earlier steps or by rows of this one.
// Where groups keep states the rows of a sequence stand together, at ascending positions without a gap.
// Logits are wanted after the rows logit_rows[k]. kv[n_kv] are the groups of layers.
typedef struct pn_batch {
  int n_rows, n_seqs;
  const int32_t *token, *seq, *pos;
  int n_kv;
  const pn_kv_rows *kv;
  int n_logits;
  const int32_t *logit_rows;
} pn_batch;

// How K and V are stored. INT8: each head's vector of each token as codes -127..127 with one f32 scale, max /
// 127; code = round to even(x / scale). INT4: each vector rotated by the orthonormal Walsh-Hadamard transform
// (blocks of the largest power of two that divides head_dim), K as codes 0..63, V as codes 0..15, each vector
// with an f16 scale (max - min) / 63 or / 15 and an f16 minimum; queries are rotated likewise, answers are
// rotated back. K has two bits more because its errors sit in an exponent. A vector with an infinity or a NaN
// in it gets a NaN as scale.
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

// What the layers of a group keep: pages of K and V, or slots of recurrent states.
typedef struct pn_kv_shape {
  int n_layers, n_kv_heads, head_dim;
  int page_tokens; // 32
  int n_pages;     // or slots
  pn_kv_type type;
  int64_t state_floats; // > 0: slots, each of so many f32 numbers a layer; then heads, dimensions, tokens and
                        // type say nothing
} pn_kv_shape;

typedef enum pn_rope_order {
  PN_ROPE_HALF,       // NeoX: pairs (i, i + n_rot / 2)
  PN_ROPE_INTERLEAVED // GPT-J, llama-type GGUF: pairs (2i, 2i + 1)
} pn_rope_order;

// angle(pos, i) = pos * inv_freq[i], i < n_rot / 2, f32 product of f32 factors; cos and sin in f32, each
// times `scale` (LongRoPE's attention factor, else 1). Dimensions from n_rot on pass unchanged and unscaled.
typedef struct pn_rope {
  pn_rope_order order;
  int n_rot;
  const float *inv_freq; // host
  float scale;
} pn_rope;

typedef struct pn_attention {
  int group, layer; // of the batch's groups; of that group's layers
  int n_heads, n_kv_heads, head_dim;
  float scale; // scores are scale * (q . k)
  int window;  // a row at pos sees positions > pos - window; 0: all
} pn_attention;

// A buffer of a plan: f32 numbers, to whoever writes or reads them, in rows of `width`.
typedef struct pn_buffer {
  int32_t width;
  bool by_logits; // one row for each row of logits; else one for each row of the batch
} pn_buffer;

#define PN_MAX_EXPERTS 1024

typedef enum pn_gate { PN_GATE_SOFTMAX, PN_GATE_SIGMOID } pn_gate;

typedef struct pn_route {
  pn_gate gate;
  bool normalise;
  float scale;
} pn_route;

// Columns [offset, offset + width) of every row of a buffer. Width 0: no value.
typedef struct pn_view {
  int32_t buffer, offset, width;
} pn_view;

// The ops. x, y: inputs in[0], in[1]; W, w: weights; r: a row.
typedef enum pn_op {
  // out[r] = row token[r] of W, times embed.scale.
  PN_OP_EMBED,
  // For each of norm.heads equal pieces of a row: out[i] = x[i] / sqrt(mean_j x[j]^2 + norm.eps) * w[i]; the
  // mean in double on ref. w is a vector of a piece's width. The pieces of x begin norm.stride numbers apart
  // (0: they are adjacent); those of `out` are adjacent. `out` may be x, then without a stride.
  PN_OP_RMSNORM,
  // x += y, then out = rmsnorm(x) as above, in one piece.
  PN_OP_ADD_RMSNORM,
  // out[r] = W_0 x[r] | W_1 x[r] | ..., n_weights of them, all of x's width. On cpu, quantised weights meet x
  // quantised to int16 (or int8) in blocks of min(group, 64) columns with one f32 scale each, where group is
  // AFFINE's own or the kind's (base/kind.h: 16 or 32); order: p_g = fma(bias_g, xsum_g,
  // scale_g * (dx_g * (float)dot_g)), acc += p_g for g ascending, dot_g exact. Float weights meet f32 x. A
  // matrix's factor multiplies the result. Kinds of the table without codes are float weights as well.
  PN_OP_MATMUL,
  // out[r][i] += w[i].
  PN_OP_ADD_BIAS,
  // Rotate in place the rope.n_heads heads of `out` by the row's pos, with the plan's rotation number
  // rope.table.
  PN_OP_ROPE,
  // Store x (K) and y (V), [n_kv_heads][head_dim], at the row's slot of layer kv.layer of group kv.group,
  // rounded to the KV's type.
  PN_OP_KV_WRITE,
  // out[r][h] = sum_p softmax_p(scale * x[r][h] . K_p) V_p, query head h reading kv head h / (n_heads /
  // n_kv_heads). On cpu: spans of 256 positions from position 0 (as many whole pages as fit) have a softmax
  // each, and are merged in ascending order.
  PN_OP_ATTENTION,
  // out[r][i] = silu(x[r][i]) * y[r][i], silu(x) = x / (1 + exp(-x)).
  PN_OP_SILU_MUL,
  // out[r][i] = gelu(x[r][i]) * y[r][i], gelu(x) = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))). On
  // cpu as x * sigmoid(2 sqrt(2 / pi) * ...), which is the same.
  PN_OP_GELU_MUL,
  // out[r][i] *= sigmoid(x[r][i]), sigmoid(x) = 1 / (1 + exp(-x)), in gate.heads equal pieces. The pieces of
  // x begin gate.stride numbers apart (0: they are adjacent).
  PN_OP_SIGMOID_GATE,
  // out[r][i] += x[r][i].
  PN_OP_ADD,
  // out[r][i] *= scale.by.
  PN_OP_SCALE,
  // out[r][i] = cap.limit * tanh(out[r][i] / cap.limit). On cpu tanh(x) is 2 / (1 + exp(-2x)) - 1.
  PN_OP_SOFT_CAP,
  // out[k] = x[logit_rows[k]], out by logits, x by rows.
  PN_OP_GATHER,
  // A causal convolution of each column over the conv.taps last positions of the row's sequence: out[p][i] =
  // sum_j w[j][i] * x[p - taps + 1 + j][i], j ascending, 0 before position 0; w is a vector [taps][width].
  // The inputs of the taps - 1 positions before the step's first are numbers [conv.offset, + (taps - 1) *
  // width) of the state of layer conv.layer of group conv.group, the oldest first, and those of the last
  // replace them. On cpu each sum is a chain of fma from 0. With conv.silu, `out` is silu of that. `out` is
  // not x.
  PN_OP_SHORT_CONV,
  // Choose k = out.width / 2 experts for each row by its logits x, one for each expert. The score of expert i
  // is s_i = exp(x_i - max_j x_j) (PN_GATE_SOFTMAX) or 1 / (1 + exp(-x_i)) (PN_GATE_SIGMOID). The chosen ones
  // have the largest x_i, or, where there is a vector w, the largest s_i + w[i] (f32); of equal ones the
  // lower index, and a NaN ranks below all numbers. out[r] = the k numbers of the chosen, ascending, then
  // their weights in the same order: s_i / d * route.scale, where d is the sum of s_j over the chosen
  // (route.normalise; with softmax the same as a softmax over the chosen alone), else over all (softmax) or 1
  // (sigmoid). Sums run in f32, ascending; on ref in double.
  PN_OP_ROUTE,
  // out[r] = sum_j p_j * W_down,e(j) a_j, a_j = silu(W_gate,e(j) x[r]) * (W_up,e(j) x[r]), j ascending; y[r]
  // holds the numbers e(j), ascending, then the weights p_j, as PN_OP_ROUTE gives them. Weights: gate, up,
  // down, or gate_up, down; each a matrix of experts.n_experts experts, one after the other, of experts.width
  // rows (gate_up: the rows of gate, then those of up; down: as many as out is wide). Only what the batch's
  // rows have chosen is read, once for all rows that share an expert up to 256 of them. Products and
  // activation as in PN_OP_MATMUL and PN_OP_SILU_MUL; on cpu the sum is a chain of fma from 0. `out` is
  // neither x nor y.
  PN_OP_EXPERTS,
  // The gated delta rule (Gated DeltaNet, arXiv 2412.06464). A row of x is q | k, [n_key_heads][key_dim]
  // each, and v [n_heads][head_dim]; one of y is b | a, [n_heads] each; w is a vector rate | bias, likewise.
  // Head h has a matrix S [head_dim][key_dim], empty at position 0, and reads key head h / (n_heads /
  // n_key_heads), or h % n_key_heads where delta.tiled. The rows of a sequence in order:
  //   q' = q / sqrt(|q|^2 + delta.eps) / sqrt(key_dim), k' = k / sqrt(|k|^2 + delta.eps)
  //   decay = exp(rate * softplus(a + bias)), softplus(x) = log(1 + exp(x)); beta = sigmoid(b)
  //   S = decay * S;  S = S + beta * (v - S k') k'^T;  out[h] = S q'
  // The matrices are numbers [delta.offset, + n_heads * head_dim * key_dim) of the state of layer delta.layer
  // of group delta.group, in an order of the backend's own. Order on cpu: cpu_delta in cpu_ops.h.
  PN_OP_GATED_DELTA,
  // out = rmsnorm(x) as above, times silu(y). `out` may be x.
  PN_OP_GATED_RMSNORM,
  PN_N_OPS
  // To come, with the families that need them: attention sinks.
} pn_op;
const char *pn_op_name(pn_op op); // "matmul", ...

#define PN_STEP_WEIGHTS 4
#define PN_DELTA_MAX_KEY 256 // largest key_dim of the gated delta rule

// One step of a plan. Inputs and output are by rows of the batch unless their buffer is by logits.
typedef struct pn_step {
  pn_op op;
  int layer;        // of the model; -1 outside layers
  const char *name; // of the result: "attn_norm", "qkv", ...; static
  pn_view in[2], out;
  const pn_weight *w[PN_STEP_WEIGHTS];
  int n_weights;
  union {
    struct {
      float scale;
    } embed;
    struct {
      float eps;
      int heads, stride;
    } norm;
    struct {
      int heads, stride;
    } gate;
    struct {
      float by;
    } scale;
    struct {
      float limit;
    } cap;
    struct {
      int table, n_heads, head_dim;
    } rope;
    struct {
      int group, layer;
    } kv;
    pn_attention attention;
    struct {
      int group, layer, taps;
      int32_t offset;
      bool silu;
    } conv;
    pn_route route;
    struct {
      int n_experts, width;
    } experts;
    struct {
      int group, layer;
      int32_t offset;
      int n_heads, head_dim, n_key_heads, key_dim;
      bool tiled;
      float eps;
    } delta;
  };
} pn_step;

// Everything a step may refer to. Constant while any workspace of it is open.
typedef struct pn_plan {
  const pn_step *steps;
  int n_steps;
  const pn_buffer *buffers;
  int n_buffers;
  const pn_rope *ropes;
  int n_ropes;
} pn_plan;

// How the token of a row is chosen, and what is told of it. Host memory.
typedef struct pn_sample {
  const int32_t *ids;   // only these may be chosen, ascending, n_ids of them; NULL: those of `bits`
  const uint64_t *bits; // bit i allows id i, [(n_vocab + 63) / 64]; NULL: any may be chosen
  int32_t n_ids;
  int top_k;               // 0: off
  float temperature;       // 0: the largest logit, the lowest id among equals
  float top_p;             // (0, 1]; 1: off
  float min_p;             // [0, 1); 0: off
  uint64_t seed, position; // which random number: pn_rng_at
  bool logprobs;           // tell the log probability of the choice, and of the n_top likeliest tokens
  int n_top;               // 0 to PN_TOP_LOGPROBS
} pn_sample;

#define PN_TOP_LOGPROBS 20
// Natural logarithms of probabilities, as the model gives them: before masks, temperature and all other
// sampling.
typedef struct pn_logprob {
  int32_t id;
  float logprob;
} pn_logprob;
typedef struct pn_choice {
  int32_t id; // -1: no allowed logit is finite, or one is infinite; the rest is 0 then
  float logprob;
  int n_top;                       // fewer than were asked for where the vocabulary has no more finite logits
  pn_logprob top[PN_TOP_LOGPROBS]; // the likeliest first; of equal ones the lowest id
} pn_choice;

#define PN_SAMPLE_MAX_VOCAB (1 << 19)
#define PN_SAMPLE_LEAST (-30.0f) // tokens e^30 times less likely than the best are never drawn
#define PN_SAMPLE_UNIT_BITS 44   // a weight of 1 in units

// Every entry is required unless marked optional. What can fail takes *e.
typedef struct pn_backend_ops {
  uint32_t version, size; // PN_BACKEND_VERSION, sizeof(pn_backend_ops)
  const char *name;
  // Steps run behind the call that asked for them, so that the host has time for other work until it
  // collects. Then `submit`, `sample_submit` and `collect` are required.
  bool asynchronous;
  void (*close)(pn_backend *b);
  // What the instance is, for people: "cpu avx512-vnni, 2 threads, int16 activations". Valid while open.
  const char *(*describe)(pn_backend *b);

  // Take a matrix into use. The CPU keeps the pointers: no copy. PN_ERR_UNSUPPORTED names kind, bits and
  // group.
  pn_weight *(*weight_open)(pn_backend *b, const pn_matrix *m, pn_error *e);
  // A vector (the weights of a norm, biases), copied from the host.
  pn_weight *(*vector_open)(pn_backend *b, const float *host, int64_t n, pn_error *e);
  void (*weight_close)(pn_backend *b, pn_weight *w); // of either; NULL: nothing

  // Optional: NULL where weights and KV live in the host's memory. Bytes that the device has, and that are
  // free on it.
  void (*device_memory)(pn_backend *b, uint64_t *total, uint64_t *available);
  // Bytes that a KV of this shape takes, all pages of it, with whatever the backend lays between them. 0 for
  // a shape that can't be, UINT64_MAX for one that no memory holds.
  uint64_t (*kv_bytes)(pn_backend *b, const pn_kv_shape *shape);
  // K and V of a (layer, page, kv head, offset): head_dim values stored as the shape's type. Address space
  // for all pages (or slots) is reserved; memory is committed as they are written.
  pn_kv *(*kv_open)(pn_backend *b, const pn_kv_shape *shape, pn_error *e);
  void (*kv_close)(pn_backend *b, pn_kv *kv);
  // Page or slot `to` becomes a copy of `from` in all layers.
  bool (*kv_copy)(pn_backend *b, pn_kv *kv, int32_t from, int32_t to, pn_error *e);
  // Optional. What pages or slots [first, first + n) hold is not wanted any more: their memory may go back to
  // the system. What they hold until they are written again is unspecified, and no result depends on it.
  void (*kv_discard)(pn_backend *b, pn_kv *kv, int32_t first, int n);
  // What a page or slot holds in all layers, to and from the host: as many bytes as kv_bytes says of the
  // shape with one page. They mean the same to every instance of this backend (by its name) with such a KV.
  // kv_export waits for what was run.
  bool (*kv_export)(pn_backend *b, pn_kv *kv, int32_t page, void *bytes, pn_error *e);
  bool (*kv_import)(pn_backend *b, pn_kv *kv, int32_t page, const void *bytes, pn_error *e);

  // Memory for the plan's buffers, for steps of up to max_rows rows of which max_logits want logits, and for
  // all that the backend needs beside them in such a step: bytes, and the memory itself. Buffers whose values
  // are never needed at the same time may share it (pn_plan_layout).
  uint64_t (*workspace_bytes)(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits);
  pn_workspace *(*workspace_open)(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits,
                                  pn_error *e);
  void (*workspace_close)(pn_backend *b, pn_workspace *s); // NULL: nothing

  // The batch that the workspace's steps refer to until its next begin. Steps of several workspaces may be
  // run in turn. Nothing allocates in a step once its workspace was made.
  bool (*begin)(pn_backend *b, pn_workspace *s, const pn_batch *batch, pn_error *e);
  // Compute one step of the workspace's plan, or any other over its buffers. May return before it is done.
  void (*run)(pn_backend *b, pn_workspace *s, const pn_step *step);
  // Optional. Prepare a workspace whose plan will be submitted as a whole or in pieces: fuse, record,
  // compile. Called once, after workspace_open. PN_ERR_UNSUPPORTED names the op and the layer that can't be
  // computed.
  bool (*compile)(pn_backend *b, pn_workspace *s, pn_error *e);
  // Optional; without it the host runs the steps one by one. Compute the plan's steps [from, to) for the
  // batch that was begun; allocates nothing. May return before they are done; what fails later is told by
  // what waits for them.
  bool (*submit)(pn_backend *b, pn_workspace *s, int from, int to, pn_error *e);
  // Make room for `sample` of up to max_rows rows over n_vocab <= PN_SAMPLE_MAX_VOCAB entries: it allocates
  // nothing.
  bool (*sample_reserve)(pn_backend *b, int n_vocab, int max_rows, pn_error *e);
  // Choose a token from each of the first n rows of logits, a view as wide as the vocabulary, as how[r] says.
  // Waits for the result. Of the allowed ids whose logits are numbers, `top` is the largest logit. At
  // temperature 0 the choice is the lowest id with that logit. Otherwise x_i = (l_i - top) * min(1 /
  // temperature, FLT_MAX) in f32, and the weight of i is the whole number of units q_i = round(exp(x_i) *
  // 2^PN_SAMPLE_UNIT_BITS), exp as backend/cpu/cpu_ops.h states it, and 0 where x_i < PN_SAMPLE_LEAST. Tokens
  // are ranked by logit, of equal ones the lower id first. Then, in this order, each over what the one before
  // left:
  //  - top_k keeps the first top_k of the ranking;
  //  - top_p keeps the fewest of the first whose weights reach ceil(top_p * sum) units, the product in
  //    double;
  //  - min_p keeps those with x_i >= log(min_p), rounded to f32;
  //  - the choice is the first id, ascending, at which the running sum of weights exceeds
  //    floor(pn_rng_at(seed, position) * sum / 2^64).
  // Weights are integers and their sums are exact, so no order of summation can change a choice: it is the
  // same on every backend, for any number of rows and threads.
  // Log probabilities: l_i - (max + log(sum / 2^PN_SAMPLE_UNIT_BITS)) in double, over the whole vocabulary at
  // temperature 1; NaN where max is infinite.
  bool (*sample)(pn_backend *b, pn_workspace *s, pn_view logits, const pn_sample *how, int n, pn_choice *out,
                 pn_error *e);
  // `sample` in two halves, NULL unless asynchronous. sample_submit asks for choices as `sample` does, 1 to
  // max_rows of all workspaces together; `how` and what it points to stay as they are until the workspace is
  // collected.
  bool (*sample_submit)(pn_backend *b, pn_workspace *s, pn_view logits, const pn_sample *how, int n,
                        pn_error *e);
  // Wait for what was submitted for this workspace, and for nothing behind it; out[n] are the choices of its
  // sample_submit (n = 0: there was none). False: any of it failed.
  bool (*collect)(pn_backend *b, pn_workspace *s, pn_choice *out, int n, pn_error *e);

  // Rows [first, first + n) of a view from or to the host, dense. `read` waits for what was run.
  void (*write)(pn_backend *b, pn_workspace *s, pn_view v, int first, int n, const float *host);
  bool (*read)(pn_backend *b, pn_workspace *s, pn_view v, int first, int n, float *host, pn_error *e);
  bool (*sync)(pn_backend *b, pn_error *e); // waits for everything
} pn_backend_ops;

// The head of every instance; the rest belongs to the backend.
struct pn_backend {
  const pn_backend_ops *ops;
};

// A setting of a backend: a name that it declares, and text: {"threads", "2"}.
typedef struct pn_setting {
  const char *name, *value;
  bool if_known; // left out where the backend declares no such name; else that is an error
} pn_setting;

typedef struct pn_setting_kind {
  const char *name, *about;
  // The values that are usable here, the best first, NULL-terminated. NULL: any text that `open` takes.
  const char *const *(*values)(void);
} pn_setting_kind;

// A kind of backend: built in, or offered by a module.
typedef struct pn_backend_kind {
  uint32_t version, size; // PN_BACKEND_VERSION, sizeof(pn_backend_kind)
  const char *name;
  const char *(*about)(void);      // what it finds on this machine: "avx2 avx512-vnni"
  const pn_setting_kind *settings; // ends with one without a name
  // Settings are of names that it declares. PN_ERR_DEVICE when there is no such device, PN_ERR_USAGE for a
  // bad value.
  pn_backend *(*open)(const pn_setting *settings, int n, pn_error *e);
} pn_backend_kind;

#define PN_BACKEND_SETTINGS 8
typedef struct pn_backend_options {
  const char *name;                         // of a kind; NULL or "auto": the best that opens
  pn_setting settings[PN_BACKEND_SETTINGS]; // up to the first without a name
  const char *folders;                      // where modules are, separated by ':'; NULL: there are none
} pn_backend_options;

// NULL with PN_ERR_DEVICE or PN_ERR_USAGE when there is no such backend here, or it has no such setting. With
// "auto" a module that does not load or open is logged and passed over.
pn_backend *pn_backend_open(const pn_backend_options *o, pn_error *e);
void pn_backend_close(pn_backend *b);

// See every kind that there is: those built in, then a module for each file libpensieve_<name>.so (.dylib) of
// the folders, with the error why it can't be used (else NULL) and its path (built in: NULL).
typedef void pn_backend_see(void *ctx, const pn_backend_kind *kind, const char *path, const pn_error *error);
void pn_backend_each(const char *folders, pn_backend_see *see, void *ctx);
// Of a kind that is built in, by name; NULL when it is not.
const pn_backend_kind *pn_backend_builtin(const char *name);
// The setting that a kind declares by that name, or NULL; and the value that a list of settings gives to it,
// or NULL.
const pn_setting_kind *pn_backend_setting(const pn_backend_kind *kind, const char *name);
const char *pn_setting_value(const pn_setting *settings, int n, const char *name);
// A count such as "threads": *out keeps its value when it is not set. PN_ERR_USAGE unless lowest <= it <=
// highest.
bool pn_setting_count(const pn_setting *settings, int n, const char *name, int lowest, int highest, int *out,
                      pn_error *e);

// A module is a shared library that exports pn_backend_module. It is given the version that the host speaks
// and what the host does for it, and returns its kind, which must be of that version and size; NULL: it does
// not speak that version.
typedef struct pn_backend_host {
  uint32_t version, size;
  void (*fail)(pn_error *e, pn_code code, const char *text);
  void (*log)(const char *text); // a warning
} pn_backend_host;
typedef const pn_backend_kind *pn_backend_module_fn(uint32_t version, const pn_backend_host *host);
#define PN_BACKEND_MODULE "pn_backend_module"

// Where the buffers of a plan lie in one block of memory, so that those whose values are never needed at the
// same time share bytes: offsets[n_buffers] at multiples of 64 bytes, in bytes; rows are dense. Returns the
// bytes of the block, or UINT64_MAX when they can't be counted. For backends that hold f32 in plain memory.
uint64_t pn_plan_layout(const pn_plan *plan, int max_rows, int max_logits, uint64_t *offsets);

#endif
