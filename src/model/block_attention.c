// Grouped-query attention with rotary positions: y = W_o (attention(rope(norm(W_q h)), rope(norm(W_k h)), W_v
// h) * sigmoid(gate)), where W_q gives a gate beside each head's query, or there is none. A layer may read
// the K and V of an earlier one in place of its own.
#include "model/plan.h"

static void rotate(plan *p, const model_recipe *r, const char *name, pn_view heads) {
  pn_step *s = plan_emit(p, PN_OP_ROPE, name, (pn_view){0}, heads);
  s->rope.table = r->rope;
  s->rope.n_heads = heads.width / r->head_dim;
  s->rope.head_dim = r->head_dim;
}

static void project(plan *p, const model_layer *l, pn_view qkv) {
  const pn_view h = p->stream[PLAN_H];
  if (l->w[ROLE_QKV])
    plan_matmul(p, "qkv", h, qkv, l->w[ROLE_QKV], NULL, NULL);
  else
    plan_matmul(p, "qkv", h, qkv, l->w[ROLE_Q], l->w[ROLE_K], l->w[ROLE_V]);
  if (!l->qkv_bias) return;
  pn_step *s = plan_emit(p, PN_OP_ADD_BIAS, "qkv_bias", (pn_view){0}, qkv);
  s->w[s->n_weights++] = l->qkv_bias;
}

// From the queries in qkv, each with its gate behind it where there are gates, to q.
static void norm_queries(plan *p, const model_layer *l, float eps, pn_view qkv, pn_view q) {
  const model_recipe *r = &l->recipe;
  const int64_t spread = r->out_gate ? 2 * (int64_t)q.width - r->head_dim : q.width;
  plan_norm(p, "q_norm", plan_part(qkv, 0, spread), q, l->w[ROLE_Q_NORM], eps, r->n_heads);
  if (r->out_gate) p->steps[p->p.n_steps - 1].norm.stride = 2 * r->head_dim;
}

// K and V of the rows, which lie in kv, normed, rotated and kept.
static void keep(plan *p, const pn_model *m, const model_layer *l, pn_view kv) {
  const model_recipe *r = &l->recipe;
  const int64_t n = (int64_t)r->n_kv_heads * r->head_dim;
  const pn_view k = plan_part(kv, 0, n), v = r->v_is_k ? plan_buffer(p, "v", n, false) : plan_part(kv, n, n);
  if (r->v_norm) plan_norm(p, "v_norm", r->v_is_k ? k : v, v, l->ones, m->spec.c.norm_eps, r->n_kv_heads);
  if (r->qk_norm) plan_norm(p, "k_norm", k, k, l->w[ROLE_K_NORM], m->spec.c.norm_eps, r->n_kv_heads);
  if (r->rope >= 0) rotate(p, r, "k_rope", k);
  pn_step *s = plan_emit(p, PN_OP_KV_WRITE, "kv", k, (pn_view){0});
  s->in[1] = v;
  s->kv.group = l->group;
  s->kv.layer = l->group_layer;
}

void block_attention(plan *p, const pn_model *m, const model_layer *l) {
  const model_recipe *r = &l->recipe;
  const int64_t nq = (int64_t)r->n_heads * r->head_dim, nkv = (int64_t)r->n_kv_heads * r->head_dim,
                at_k = r->out_gate ? 2 * nq : nq,
                n_parts = r->kv_from >= 0 ? 0
                          : r->v_is_k     ? 1
                                          : 2;
  const pn_view qkv = plan_buffer(p, "qkv", at_k + n_parts * nkv, false),
                mix = plan_buffer(p, "mix", nq, false);
  const pn_view q = r->out_gate ? plan_buffer(p, "q", nq, false) : plan_part(qkv, 0, nq);
  project(p, l, qkv);
  if (r->qk_norm) norm_queries(p, l, m->spec.c.norm_eps, qkv, q);
  if (r->rope >= 0) rotate(p, r, "q_rope", q);
  if (n_parts) keep(p, m, l, plan_part(qkv, at_k, n_parts * nkv));
  pn_step *s = plan_emit(p, PN_OP_ATTENTION, "attention", q, mix);
  s->attention = (pn_attention){.group = l->group,
                                .layer = l->group_layer,
                                .n_heads = r->n_heads,
                                .n_kv_heads = r->n_kv_heads,
                                .head_dim = r->head_dim,
                                .scale = r->scale,
                                .window = r->window};
  if (r->out_gate) {
    s = plan_emit(p, PN_OP_SIGMOID_GATE, "attn_gate", plan_part(qkv, r->head_dim, at_k - r->head_dim), mix);
    s->gate.heads = r->n_heads;
    s->gate.stride = 2 * r->head_dim;
  }
  plan_matmul(p, "attn_out", mix, p->stream[PLAN_Y], l->w[ROLE_O], NULL, NULL);
}
