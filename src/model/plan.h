// How a model becomes a plan: sublayers emit steps over buffers that the plan numbers.
#ifndef PN_MODEL_PLAN_H
#define PN_MODEL_PLAN_H

#include "model/model_internal.h"

#define PLAN_MAX_BUFFERS 32

// The values that go from sublayer to sublayer, each a row of d_model numbers for each row of the batch.
typedef enum plan_stream {
  PLAN_X, // the residual stream
  PLAN_H, // the input of a sublayer: normed x
  PLAN_Y, // the output of the last sublayer, not yet added to x
  PLAN_N_STREAMS
} plan_stream;

typedef struct plan {
  pn_plan p; // arrays are this plan's own
  pn_step *steps;
  int cap_steps;
  pn_buffer buffers[PLAN_MAX_BUFFERS];
  const char *tags[PLAN_MAX_BUFFERS]; // of buffers
  pn_rope ropes[MODEL_MAX_ROPES];
  pn_view stream[PLAN_N_STREAMS];
  bool settled;    // PLAN_Y is a part of PLAN_X already
  int layer;       // the one that is being built, -1 outside
  int *layer_step; // [n_layers + 1]
  bool failed;     // out of memory, or of buffers
} plan;

// The whole plan of an opened model; NULL with PN_ERR_NOMEM. Refers to the model's weights and spec.
plan *plan_new(const pn_model *m, pn_error *e);
void plan_free(plan *p);

// For sublayers. A buffer of that width: the one that an earlier sublayer asked for by the same tag, if as
// wide.
pn_view plan_buffer(plan *p, const char *tag, int64_t width, bool by_logits);
static inline pn_view plan_part(pn_view v, int64_t offset, int64_t width) {
  return (pn_view){v.buffer, v.offset + (int32_t)offset, (int32_t)width};
}
// Append a step; the caller fills in its parameters before the next one. Never NULL.
pn_step *plan_emit(plan *p, pn_op op, const char *name, pn_view in, pn_view out);
// out = W_0 in | W_1 in | ...; those that are NULL are left out.
void plan_matmul(plan *p, const char *name, pn_view in, pn_view out, const pn_weight *w0, const pn_weight *w1,
                 const pn_weight *w2);
void plan_norm(plan *p, const char *name, pn_view in, pn_view out, const pn_weight *w, float eps, int heads);

// The vectors of all layers for each row's token, behind the embedding (Gemma 3n and 4):
//   table[token] + rmsnorm(W_in embedding), a part for each layer.
void per_layer_begin(plan *p, const pn_model *m);
// What a layer makes of its part: y = rmsnorm(W_out (gelu(W_gate x) * part)), from PLAN_X to PLAN_Y.
model_sublayer per_layer_extra;

// Sublayers that several families share: from PLAN_H to PLAN_Y.
model_sublayer block_attention, block_delta, block_ffn, block_moe;

#endif
