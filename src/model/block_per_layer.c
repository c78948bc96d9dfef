// Vectors that each layer has of each token: a second embedding, of which a layer reads its own part.
// Source: Gemma 3n and Gemma 4 as mlx-lm evaluates them.
#include "model/plan.h"

#include <math.h>

static pn_view vectors(plan *p, const pn_model *m) {
  return plan_buffer(p, "per_layer", (int64_t)m->spec.per_layer * m->spec.c.n_layers, false);
}

// (table[token] * sqrt(width) + rmsnorm(W embedding / sqrt(d))) / sqrt(2). The norm makes the division by
// sqrt(d) one of its epsilon; the weights of the norm are divided already.
void per_layer_begin(plan *p, const pn_model *m) {
  const pn_view all = vectors(p, m), of_x = plan_buffer(p, "per_layer_in", all.width, false);
  pn_step *s = plan_emit(p, PN_OP_EMBED, "per_layer", (pn_view){0}, all);
  s->w[s->n_weights++] = m->per_layer_embed;
  s->embed.scale = sqrtf((float)m->spec.per_layer / 2);
  plan_matmul(p, "per_layer_in", p->stream[PLAN_X], of_x, m->per_layer_in, NULL, NULL);
  plan_norm(p, "per_layer_norm", of_x, of_x, m->per_layer_norm, m->spec.c.norm_eps * (float)m->spec.c.d_model,
            m->spec.c.n_layers);
  plan_emit(p, PN_OP_ADD, "per_layer_sum", of_x, all);
}

void per_layer_extra(plan *p, const pn_model *m, const model_layer *l) {
  const int64_t n = l->recipe.per_layer;
  const pn_view gate = plan_buffer(p, "per_layer_gate", n, false),
                act = plan_buffer(p, "per_layer_act", n, false), y = p->stream[PLAN_Y];
  plan_matmul(p, "extra_gate", p->stream[PLAN_X], gate, l->w[ROLE_PER_LAYER_GATE], NULL, NULL);
  pn_step *s = plan_emit(p, PN_OP_GELU_MUL, "extra_mul", gate, act);
  s->in[1] = plan_part(vectors(p, m), n * p->layer, n);
  plan_matmul(p, "extra_out", act, y, l->w[ROLE_PER_LAYER_OUT], NULL, NULL);
  plan_norm(p, "extra_norm", y, y, l->w[ROLE_PER_LAYER_NORM], m->spec.c.norm_eps, 1);
}
