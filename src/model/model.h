// A model: configuration, weights in use on a backend, and the forward pass. Architectures are data (one
// arch_*.c a family); forward.c is driven by the configuration. The engine's thread owns a model; the
// configuration may be read by all threads.
#ifndef PN_MODEL_H
#define PN_MODEL_H

#include "backend/backend.h"
#include "base/error.h"
#include "formats/formats.h"

// What a model is, from config.json or GGUF keys, each value checked.
// Positions go on beyond what a model was made for, at the price of worse answers: up to so many times.
#define PN_MODEL_STRETCH 8

// Layers that keep the same of a sequence.
#define PN_MODEL_MAX_GROUPS 8
typedef struct pn_model_group {
  int n_layers, n_kv_heads, head_dim;
  int window;           // K and V of the last so many positions; 0: of all
  int64_t state_floats; // > 0: in their place a recurrent state of so many numbers a layer
} pn_model_group;

typedef struct pn_model_config {
  char family[32];       // "llama", "phi3"
  char quantization[48]; // for people: "Q4_1", "4 bit, group 64", "F16"
  int n_layers, d_model, d_ffn, n_heads, n_kv_heads, head_dim, n_vocab;
  // the context that the model was made for; up to PN_MODEL_STRETCH times as much can be computed
  int max_positions;
  float norm_eps;
  int window;     // sliding window of attention in tokens, 0: none
  bool tied_head; // the output head is the embedding
  // Routed experts of a layer that has them, those that a token goes to, and their feed-forward size; 0:
  // none.
  int n_experts, n_experts_used, d_expert;
  int n_groups; // in the order of their first layers
  pn_model_group groups[PN_MODEL_MAX_GROUPS];
} pn_model_config;

typedef struct pn_model pn_model;

// Read and check the configuration only (for `inspect`): no weight is touched. Errors name file, key,
// expected, found.
bool pn_model_read_config(pn_files *files, pn_model_config *out, pn_error *e);

// What a file holds beside the text model, which is never read: parts that see or hear, what joins them to
// the text model, and what guesses further tokens.
#define PN_MODEL_EXTRAS 4
typedef struct pn_model_extra {
  const char *name; // "vision", "audio", "projector", "multi-token prediction"
  size_t n_tensors;
  uint64_t bytes;
} pn_model_extra;
// Which of them a tensor of this name belongs to, counted from 0; -1: none. Any thread.
int pn_model_extra_of(pn_str name);
// All of them, with what the files have of each.
void pn_model_extras(const pn_files *files, pn_model_extra out[PN_MODEL_EXTRAS]);

// Every tensor that the family needs must be there with the right shape and a type that the backend takes.
// The files must outlive the model, and the backend too.
pn_model *pn_model_open(pn_files *files, pn_backend *b, pn_error *e);
void pn_model_close(pn_model *m);
const pn_model_config *pn_model_config_of(const pn_model *m);
// Bytes of weights that a decode step of one row streams, embedding table excluded unless tied; of experts
// those that a row goes to.
uint64_t pn_model_weight_bytes(const pn_model *m);

// Numbers in the matrices: of all; of those that a token uses, of experts those that it goes to; and of the
// latter without embedding and head.
typedef struct pn_model_size {
  uint64_t parameters, active, active_in_layers;
} pn_model_size;
pn_model_size pn_model_size_of(const pn_model *m);

// The steps of a forward, from the embedding to the logits: the same list for every batch. Constant while
// open.
const pn_plan *pn_model_plan(const pn_model *m);
// Bytes of the matrices that a product of the plan reads for one row; 0 of all other steps.
uint64_t pn_model_product_bytes(const pn_model *m, const pn_step *s);
// The plan as text, a line a step, for people.
void pn_model_plan_write(const pn_model *m, pn_buf *out);

// What follows a forward step by step; either function may be NULL. `after` is called after each step that
// gives a value, with its rows on the host, dense; it returns false to stop the forward there. `done` is
// called before that, when a step has been computed (of every step, and first with NULL when the batch has
// begun): for clocks.
typedef struct pn_forward_trace {
  bool (*after)(void *ctx, const pn_step *step, const float *rows, int n_rows);
  void *ctx;
  void (*done)(void *ctx, const pn_step *step);
} pn_forward_trace;

// Bytes of values between the steps that a row of a step needs.
uint64_t pn_model_row_bytes(const pn_model *m);
// Bytes that steps of up to max_rows rows with up to max_logits rows of logits need, on the model's backend.
uint64_t pn_model_step_bytes(const pn_model *m, int max_rows, int max_logits);
// Make room for them; forward allocates nothing then.
bool pn_model_reserve(pn_model *m, int max_rows, int max_logits, pn_error *e);

// One step: all rows of the batch through all layers, what these keep written to the groups' KV. logits[k]
// (host, [n_logits][n_vocab]) are those after the batch's row logit_rows[k]; NULL: they stay with the
// backend, which may then compute them behind this call. `trace` may be NULL.
bool pn_model_forward(pn_model *m, const pn_batch *batch, float *logits, const pn_forward_trace *trace,
                      pn_error *e);

// Where the logits of the last step lie, for pn_backend_ops.sample; valid until the next one.
typedef struct pn_logits {
  pn_workspace *ws;
  pn_view view;
} pn_logits;
pn_logits pn_model_logits(const pn_model *m);

// A step that is computed layer by layer, while whole steps of other rows go between its layers. Same
// results.
typedef struct pn_pass pn_pass; // with a workspace of its own
pn_pass *pn_pass_open(pn_model *m, int max_rows, int max_logits, pn_error *e);
void pn_pass_close(pn_pass *p);
// Begin with a batch, which must stay as it is until the pass is done or another one begins.
bool pn_pass_begin(pn_pass *p, const pn_batch *batch, pn_error *e);
// Submit all of it at once: it may be computed behind this call. Allocates nothing.
bool pn_pass_submit(pn_pass *p, pn_error *e);
// Or compute the next layer; with the last one the logits too, and *done is set. Allocates nothing.
bool pn_pass_layer(pn_pass *p, float *logits, bool *done, pn_error *e);
pn_logits pn_pass_logits(const pn_pass *p); // of the last pass that was done

#endif
