// One step of a plan run through a backend's door, with values from and to arrays of the test's.
#ifndef PN_TESTS_ONE_OP_H
#define PN_TESTS_ONE_OP_H

#include "backend/backend.h"

#include <stdio.h>
#include <stdlib.h>

// Rows of `width` numbers, `stride` apart. NULL rows: no value.
typedef struct op_rows {
  float *rows;
  int n;
  int width;
  int64_t stride;
} op_rows;

// Run `step`, whose views are set here: in[0], in[1] and out are a, b and out; out is a or b where it is the
// same array. Whole rows are written before and read back after, so what a step does between the rows shows
// too. The batch needs only what the op looks at; its counts are set from the rows when it has none.
static inline void run_one_op(pn_backend *b, pn_step step, const pn_rope *rope, const pn_batch *batch,
                              op_rows a0, op_rows a1, op_rows out) {
  const op_rows all[] = {a0, a1, out};
  pn_view *views[] = {&step.in[0], &step.in[1], &step.out};
  pn_buffer buffers[3];
  pn_batch full = batch ? *batch : (pn_batch){0};
  int n_buffers = 0, of[3] = {-1, -1, -1};
  for (int i = 0; i < 3; i++) {
    if (!all[i].rows) continue;
    for (int k = 0; k < i; k++)
      if (all[k].rows == all[i].rows) of[i] = of[k];
    if (of[i] < 0) {
      buffers[of[i] = n_buffers++] = (pn_buffer){(int32_t)all[i].stride, step.op == PN_OP_GATHER && i == 2};
    }
    *views[i] = (pn_view){of[i], 0, all[i].width};
  }
  if (full.n_rows == 0) full.n_rows = a0.rows ? a0.n : out.n;
  if (step.op == PN_OP_GATHER) full.n_logits = out.n;
  const pn_plan plan = {&step, 1, buffers, n_buffers, rope, rope ? 1 : 0};
  pn_error e = {0};
  pn_workspace *ws = b->ops->workspace_open(b, &plan, full.n_rows, full.n_logits, &e);
  if (!ws || !b->ops->begin(b, ws, &full, &e)) {
    printf("one op: %s\n", e.msg);
    exit(1);
  }
  for (int i = 0; i < 3; i++)
    if (all[i].rows)
      b->ops->write(b, ws, (pn_view){of[i], 0, (int32_t)all[i].stride}, 0, all[i].n, all[i].rows);
  b->ops->run(b, ws, &step);
  for (int i = 0; i < 3; i++)
    if (all[i].rows)
      b->ops->read(b, ws, (pn_view){of[i], 0, (int32_t)all[i].stride}, 0, all[i].n, all[i].rows, &e);
  b->ops->workspace_close(b, ws);
}

// Whether the backend would compute a plan that has such a step.
static inline bool has_op(pn_backend *b, pn_step step) {
  const pn_buffer buffers[] = {{64, false}, {64, false}, {64, false}};
  step.in[0] = (pn_view){0, 0, 64};
  step.in[1] = (pn_view){1, 0, 64};
  step.out = (pn_view){2, 0, 64};
  step.name = "step";
  const pn_plan plan = {&step, 1, buffers, 3, NULL, 0};
  pn_error e = {0};
  pn_workspace *ws = b->ops->compile ? b->ops->workspace_open(b, &plan, 1, 0, &e) : NULL;
  const bool has = !b->ops->compile || (ws && b->ops->compile(b, ws, &e));
  b->ops->workspace_close(b, ws);
  return has;
}

// A workspace that holds n rows of logits.
static inline pn_workspace *logits_workspace(pn_backend *b, const pn_plan *plan, int n, const float *logits,
                                             int64_t stride) {
  pn_error e = {0};
  const pn_view row = {0, 0, plan->buffers[0].width};
  pn_workspace *ws = b->ops->workspace_open(b, plan, 0, n, &e);
  if (!ws || !b->ops->begin(b, ws, &(pn_batch){.n_logits = n}, &e)) {
    printf("logits: %s\n", e.msg);
    exit(1);
  }
  for (int r = 0; r < n; r++) b->ops->write(b, ws, row, r, 1, logits + r * stride);
  return ws;
}

// pn_backend_ops.sample on logits of the test's.
static inline void run_sample(pn_backend *b, const float *logits, int64_t stride, int n_vocab,
                              const pn_sample *how, int n, pn_choice *out) {
  const pn_buffer buffer = {n_vocab, true};
  const pn_plan plan = {NULL, 0, &buffer, 1, NULL, 0};
  pn_workspace *ws = logits_workspace(b, &plan, n, logits, stride);
  pn_error e = {0};
  if (!b->ops->sample(b, ws, (pn_view){0, 0, n_vocab}, how, n, out, &e)) {
    printf("sample: %s\n", e.msg);
    exit(1);
  }
  b->ops->workspace_close(b, ws);
}

// K and V, rows of heads * dim numbers, into layer `layer`.
static inline void run_kv_write(pn_backend *b, const pn_batch *batch, int layer, float *k, float *v,
                                int width) {
  pn_step s = {.op = PN_OP_KV_WRITE, .kv = {0, layer}};
  run_one_op(b, s, NULL, batch, (op_rows){k, batch->n_rows, width, width},
             (op_rows){v, batch->n_rows, width, width}, (op_rows){0});
}

static inline void run_attention_op(pn_backend *b, const pn_batch *batch, pn_attention a, float *q,
                                    float *out) {
  int width = a.n_heads * a.head_dim;
  pn_step s = {.op = PN_OP_ATTENTION, .attention = a};
  run_one_op(b, s, NULL, batch, (op_rows){q, batch->n_rows, width, width}, (op_rows){0},
             (op_rows){out, batch->n_rows, width, width});
}

#endif
