// Runs of steps: what belongs together goes into one kernel. Nothing of it changes a result.
//  - the rotations of q and k, and storing k and v;
//  - a norm or a gated activation, and rounding what it gives for the product behind it.
#include "backend/cuda/cuda_int.h"

static bool same(pn_view a, pn_view b) {
  return a.buffer == b.buffer && a.offset == b.offset && a.width == b.width;
}

// Blocks of columns that a product of this view wants; 0: it is none, or wants several kinds.
static int block_for(const pn_step *step, pn_view x) {
  if (step->op != PN_OP_MATMUL || !same(step->in[0], x)) return 0;
  for (int i = 1; i < step->n_weights; i++)
    if (step->w[i]->block != step->w[0]->block) return 0;
  return step->w[0]->block;
}

static bool rotates_and_stores(const pn_step *s) {
  return s[0].op == PN_OP_ROPE && s[1].op == PN_OP_ROPE && s[2].op == PN_OP_KV_WRITE &&
         s[0].rope.table == s[1].rope.table && s[0].rope.head_dim == s[1].rope.head_dim &&
         same(s[1].out, s[2].in[0]);
}

void cuda_run_steps(cuda_backend *s, pn_workspace *ws, int from, int to) {
  const pn_step *steps = ws->plan->steps;
  ws->quantised_block = 0;
  for (int i = from; i < to; i++) {
    if (i + 2 < to && rotates_and_stores(&steps[i])) {
      cuda_rope_kv(s, ws, &steps[i], &steps[i + 1], &steps[i + 2]);
      i += 2;
      continue;
    }
    ws->wanted_block = i + 1 < to ? block_for(&steps[i + 1], steps[i].out) : 0;
    cuda_run_step(s, ws, &steps[i]);
  }
  ws->wanted_block = 0;
}
