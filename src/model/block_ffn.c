// Gated feed-forward: y = W_down (act(W_gate h) * (W_up h)), act being silu or gelu.
#include "model/plan.h"

void block_ffn(plan *p, const pn_model *m, const model_layer *l) {
  (void)m;
  const int64_t f = l->recipe.d_ffn;
  const pn_view h = p->stream[PLAN_H], both = plan_buffer(p, "gate_up", 2 * f, false),
                act = plan_buffer(p, "act", f, false);
  if (l->w[ROLE_GATE_UP])
    plan_matmul(p, "gate_up", h, both, l->w[ROLE_GATE_UP], NULL, NULL);
  else
    plan_matmul(p, "gate_up", h, both, l->w[ROLE_GATE], l->w[ROLE_UP], NULL);
  pn_step *s = plan_emit(p, PN_OP_SILU_MUL, "silu_mul", plan_part(both, 0, f), act);
  if (l->recipe.gelu) s->op = PN_OP_GELU_MUL, s->name = "gelu_mul";
  s->in[1] = plan_part(both, f, f);
  plan_matmul(p, "ffn_out", act, p->stream[PLAN_Y], l->w[ROLE_DOWN], NULL, NULL);
}
