// Gated delta net: a linear attention whose state of a sequence is a matrix a head.
//   q | k | v = silu(conv(W_in h))
//   y = W_out (rmsnorm(delta(q, k, v, W_beta h, W_decay h)) * silu(W_gate h))
// Source: Gated Delta Networks (arXiv 2412.06464) as Qwen 3.5 has them.
#include "model/plan.h"

// One product for all that reads h: q | k | v | gate | beta | decay.
static pn_view project(plan *p, const model_layer *l) {
  static const model_role roles[] = {ROLE_MIX_IN, ROLE_MIX_GATE, ROLE_MIX_BETA, ROLE_MIX_DECAY};
  const model_recipe *r = &l->recipe;
  const pn_view in = plan_buffer(p, "mix_in", (int64_t)r->mix_in + r->mix_out + 2 * r->mix_heads, false);
  pn_step *s = plan_emit(p, PN_OP_MATMUL, "mix_in", p->stream[PLAN_H], in);
  for (int i = 0; i < 4; i++) s->w[s->n_weights++] = l->w[roles[i]];
  return in;
}

void block_delta(plan *p, const pn_model *m, const model_layer *l) {
  const model_recipe *r = &l->recipe;
  const model_spec *spec = &m->spec;
  const pn_view in = project(p, l), qkv = plan_buffer(p, "conv", r->mix_in, false),
                mixed = plan_buffer(p, "mixed", r->mix_out, false);
  const int64_t matrices = (int64_t)r->mix_out * spec->delta.key_dim;
  pn_step *s = plan_emit(p, PN_OP_SHORT_CONV, "conv", plan_part(in, 0, r->mix_in), qkv);
  s->w[s->n_weights++] = l->conv;
  s->conv.group = l->group;
  s->conv.layer = l->group_layer;
  s->conv.taps = r->conv_taps;
  s->conv.offset = (int32_t)matrices;
  s->conv.silu = true;
  s = plan_emit(p, PN_OP_GATED_DELTA, "delta", qkv, mixed);
  s->in[1] = plan_part(in, (int64_t)r->mix_in + r->mix_out, 2 * r->mix_heads);
  s->w[s->n_weights++] = l->decay;
  s->delta.group = l->group;
  s->delta.layer = l->group_layer;
  s->delta.n_heads = spec->delta.n_heads;
  s->delta.head_dim = spec->delta.head_dim;
  s->delta.n_key_heads = spec->delta.n_key_heads;
  s->delta.key_dim = spec->delta.key_dim;
  s->delta.tiled = spec->delta.tiled;
  s->delta.eps = 1e-6f;
  plan_norm(p, "mix_norm", mixed, mixed, l->w[ROLE_MIX_NORM], spec->c.norm_eps, r->mix_heads);
  s = &p->steps[p->p.n_steps - 1];
  s->op = PN_OP_GATED_RMSNORM;
  s->in[1] = plan_part(in, r->mix_in, r->mix_out);
  plan_matmul(p, "mix_out", mixed, p->stream[PLAN_Y], l->w[ROLE_MIX_OUT], NULL, NULL);
}
