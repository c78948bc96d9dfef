// Routed experts: y = sum of p_e W_down,e (silu(W_gate,e h) * (W_up,e h)) over the experts e that a row goes
// to.
#include "model/plan.h"

void block_moe(plan *p, const pn_model *m, const model_layer *l) {
  const model_recipe *r = &l->recipe;
  const pn_view h = p->stream[PLAN_H], logits = plan_buffer(p, "router", r->n_experts, false),
                chosen = plan_buffer(p, "chosen", 2 * (int64_t)r->n_experts_used, false);
  plan_matmul(p, "router", h, logits, l->w[ROLE_ROUTER], NULL, NULL);
  pn_step *s = plan_emit(p, PN_OP_ROUTE, "route", logits, chosen);
  s->route = m->spec.route;
  s = plan_emit(p, PN_OP_EXPERTS, "experts", h, p->stream[PLAN_Y]);
  s->in[1] = chosen;
  s->experts.n_experts = r->n_experts;
  s->experts.width = r->d_expert;
  if (l->w[ROLE_EXPERT_GATE_UP]) {
    s->w[s->n_weights++] = l->w[ROLE_EXPERT_GATE_UP];
  } else {
    s->w[s->n_weights++] = l->w[ROLE_EXPERT_GATE];
    s->w[s->n_weights++] = l->w[ROLE_EXPERT_UP];
  }
  s->w[s->n_weights++] = l->w[ROLE_EXPERT_DOWN];
}
