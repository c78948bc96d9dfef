// Grouped-query attention with rotary positions: y = W_o attention(rope(W_q h), rope(W_k h), W_v h).
#include "model/model_internal.h"

bool block_attention(model_step *st, int layer) {
  pn_model *m = st->m;
  const pn_model_config *c = &m->spec.c;
  const pn_backend_ops *ops = m->b->ops;
  pn_weight *const *w = m->layers[layer].w;
  const model_scratch *s = st->s;
  int n = st->n_rows, nq = c->n_heads * c->head_dim, nkv = c->n_kv_heads * c->head_dim;
  int64_t stride = nq + 2 * (int64_t)nkv;
  float *q = s->qkv, *k = q + nq, *v = k + nkv;

  if (w[ROLE_QKV]) {
    ops->matmul(m->b, s->h, c->d_model, n, &(pn_matmul_part){w[ROLE_QKV], q, stride}, 1);
  } else {
    const pn_matmul_part parts[] = {{w[ROLE_Q], q, stride}, {w[ROLE_K], k, stride}, {w[ROLE_V], v, stride}};
    ops->matmul(m->b, s->h, c->d_model, n, parts, 3);
  }
  if (!step_after(st, "qkv", layer, q, stride, n, (int)stride)) return false;
  ops->rope(m->b, &m->rope, q, stride, c->n_heads, c->head_dim);
  ops->rope(m->b, &m->rope, k, stride, c->n_kv_heads, c->head_dim);
  if (!step_after(st, "rope", layer, q, stride, n, nq + nkv)) return false;
  ops->kv_write(m->b, st->kv, layer, k, stride, v, stride);

  const pn_attention a = {.layer = layer,
                          .n_heads = c->n_heads,
                          .n_kv_heads = c->n_kv_heads,
                          .head_dim = c->head_dim,
                          .scale = m->attention_scale,
                          .window = c->window};
  ops->attention(m->b, st->kv, &a, q, stride, s->mix, nq);
  if (!step_after(st, "attention", layer, s->mix, nq, n, nq)) return false;
  ops->matmul(m->b, s->mix, nq, n, &(pn_matmul_part){w[ROLE_O], s->y, c->d_model}, 1);
  return step_after(st, "attn_out", layer, s->y, c->d_model, n, c->d_model);
}
