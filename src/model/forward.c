// One forward pass over a batch of rows, driven by the configuration: the same for every family.
#include "model/model_internal.h"

bool step_after(model_step *st, const char *op, int layer, const float *x, int64_t stride, int n_rows,
                int width) {
  if (!st->trace) return true;
  st->stopped = !st->trace->after(st->trace->ctx, op, layer, x, stride, n_rows, width);
  return !st->stopped;
}

static bool mix(model_step *st, int layer) {
  switch (st->m->spec.arch->recipe.mixer) {
  case MIXER_ATTENTION: return block_attention(st, layer);
  }
  return false;
}

static bool feed(model_step *st, int layer) {
  switch (st->m->spec.arch->recipe.ffn) {
  case FFN_GATED_SILU: return block_ffn(st, layer);
  }
  return false;
}

// x += y (the sublayer before), h = rmsnorm(x): the input of the sublayer that comes.
static bool join(model_step *st, const char *op, int layer, const float *norm) {
  pn_model *m = st->m;
  int d = m->spec.c.d_model;
  pn_backend_add_rmsnorm(m->b, m->s.x, d, m->s.y, d, norm, m->spec.c.norm_eps, st->n_rows, d, m->s.h, d);
  return step_after(st, op, layer, m->s.h, d, st->n_rows, d);
}

// The logits after the chosen rows; the last sublayer's output is still to be added.
static bool heads(model_step *st, const int32_t *rows, int n) {
  pn_model *m = st->m;
  const pn_model_config *c = &m->spec.c;
  const pn_backend_ops *ops = m->b->ops;
  model_scratch *s = &m->s;
  int d = c->d_model;
  ops->add(m->b, s->x, d, s->y, d, st->n_rows, d);
  if (!step_after(st, "residual", -1, s->x, d, st->n_rows, d)) return false;
  ops->gather(m->b, s->x, d, rows, n, d, s->last, d);
  ops->rmsnorm(m->b, s->last, d, m->final_norm, c->norm_eps, n, d, s->last, d);
  if (!step_after(st, "final_norm", -1, s->last, d, n, d)) return false;
  ops->matmul(m->b, s->last, d, n, &(pn_matmul_part){m->head, s->logits, c->n_vocab}, 1);
  return step_after(st, "logits", -1, s->logits, c->n_vocab, n, c->n_vocab);
}

static bool check_batch(const pn_model *m, const pn_batch *batch, const int32_t *logit_rows, int n_logits,
                        pn_error *e) {
  if (batch->n_rows < 1 || batch->n_rows > m->s.max_rows || n_logits < 0 || n_logits > m->s.max_logits)
    return pn_fail(e, PN_ERR_INTERNAL, "a step of %d rows and %d logits; reserved are %d and %d",
                   batch->n_rows, n_logits, m->s.max_rows, m->s.max_logits);
  for (int r = 0; r < batch->n_rows; r++)
    if (batch->token[r] < 0 || batch->token[r] >= m->spec.c.n_vocab)
      return pn_fail(e, PN_ERR_USAGE, "token id: expected 0 to %d, found %d", m->spec.c.n_vocab - 1,
                     batch->token[r]);
  for (int k = 0; k < n_logits; k++)
    if (logit_rows[k] < 0 || logit_rows[k] >= batch->n_rows)
      return pn_fail(e, PN_ERR_INTERNAL, "logits are asked for row %d of %d", logit_rows[k], batch->n_rows);
  return true;
}

bool pn_model_forward(pn_model *m, pn_kv *kv, const pn_batch *batch, const int32_t *logit_rows, int n_logits,
                      float *logits, const pn_forward_trace *trace, pn_error *e) {
  const pn_backend_ops *ops = m->b->ops;
  const pn_model_config *c = &m->spec.c;
  if (!check_batch(m, batch, logit_rows, n_logits, e) || !ops->begin(m->b, batch, e)) return false;
  model_step st = {.m = m, .kv = kv, .n_rows = batch->n_rows, .trace = trace};
  model_scratch *s = &m->s;
  int d = c->d_model, n = st.n_rows;

  ops->embed(m->b, m->embed, 1.0f, s->x, d);
  if (!step_after(&st, "embed", -1, s->x, d, n, d)) return true;
  for (int i = 0; i < c->n_layers; i++) {
    const model_layer *layer = &m->layers[i];
    if (i == 0) {
      ops->rmsnorm(m->b, s->x, d, layer->attn_norm, c->norm_eps, n, d, s->h, d);
      if (!step_after(&st, "attn_norm", i, s->h, d, n, d)) return true;
    } else if (!join(&st, "attn_norm", i, layer->attn_norm)) {
      return true;
    }
    if (!mix(&st, i) || !join(&st, "ffn_norm", i, layer->ffn_norm) || !feed(&st, i)) return true;
  }
  if (n_logits == 0) return true;
  if (!heads(&st, logit_rows, n_logits)) return true;
  ops->download(m->b, logits, s->logits, (size_t)n_logits * (size_t)c->n_vocab * sizeof(float));
  return true;
}
