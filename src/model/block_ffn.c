// Gated feed-forward: y = W_down (silu(W_gate h) * (W_up h)).
#include "model/model_internal.h"

bool block_ffn(model_step *st, int layer) {
  pn_model *m = st->m;
  const pn_model_config *c = &m->spec.c;
  const pn_backend_ops *ops = m->b->ops;
  pn_weight *const *w = m->layers[layer].w;
  const model_scratch *s = st->s;
  int n = st->n_rows, f = c->d_ffn;
  int64_t stride = 2 * (int64_t)f;
  float *gate = s->gate_up, *up = gate + f;

  if (w[ROLE_GATE_UP]) {
    ops->matmul(m->b, s->h, c->d_model, n, &(pn_matmul_part){w[ROLE_GATE_UP], gate, stride}, 1);
  } else {
    const pn_matmul_part parts[] = {{w[ROLE_GATE], gate, stride}, {w[ROLE_UP], up, stride}};
    ops->matmul(m->b, s->h, c->d_model, n, parts, 2);
  }
  if (!step_after(st, "gate_up", layer, gate, stride, n, 2 * f)) return false;
  ops->silu_mul(m->b, gate, up, stride, n, f, s->act, f);
  if (!step_after(st, "silu_mul", layer, s->act, f, n, f)) return false;
  ops->matmul(m->b, s->act, f, n, &(pn_matmul_part){w[ROLE_DOWN], s->y, c->d_model}, 1);
  return step_after(st, "ffn_out", layer, s->y, c->d_model, n, c->d_model);
}
