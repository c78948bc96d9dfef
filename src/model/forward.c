// One forward pass over a batch of rows, driven by the configuration: the same for every family.
#include "model/model_internal.h"

#include <stdlib.h>

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
  const model_scratch *s = st->s;
  int d = m->spec.c.d_model;
  pn_backend_add_rmsnorm(m->b, s->x, d, s->y, d, norm, m->spec.c.norm_eps, st->n_rows, d, s->h, d);
  return step_after(st, op, layer, s->h, d, st->n_rows, d);
}

static bool embed(model_step *st) {
  pn_model *m = st->m;
  int d = m->spec.c.d_model;
  m->b->ops->embed(m->b, m->embed, 1.0f, st->s->x, d);
  return step_after(st, "embed", -1, st->s->x, d, st->n_rows, d);
}

static bool compute_layer(model_step *st, int i) {
  pn_model *m = st->m;
  const model_scratch *s = st->s;
  const model_layer *layer = &m->layers[i];
  int d = m->spec.c.d_model, n = st->n_rows;
  if (i == 0) {
    m->b->ops->rmsnorm(m->b, s->x, d, layer->attn_norm, m->spec.c.norm_eps, n, d, s->h, d);
    if (!step_after(st, "attn_norm", i, s->h, d, n, d)) return false;
  } else if (!join(st, "attn_norm", i, layer->attn_norm)) {
    return false;
  }
  return mix(st, i) && join(st, "ffn_norm", i, layer->ffn_norm) && feed(st, i);
}

// The logits after the chosen rows, to host memory; the last sublayer's output is still to be added.
static bool heads(model_step *st, const int32_t *rows, int n, float *logits) {
  pn_model *m = st->m;
  const pn_model_config *c = &m->spec.c;
  const pn_backend_ops *ops = m->b->ops;
  const model_scratch *s = st->s;
  int d = c->d_model;
  ops->add(m->b, s->x, d, s->y, d, st->n_rows, d);
  if (!step_after(st, "residual", -1, s->x, d, st->n_rows, d)) return false;
  ops->gather(m->b, s->x, d, rows, n, d, s->last, d);
  ops->rmsnorm(m->b, s->last, d, m->final_norm, c->norm_eps, n, d, s->last, d);
  if (!step_after(st, "final_norm", -1, s->last, d, n, d)) return false;
  ops->matmul(m->b, s->last, d, n, &(pn_matmul_part){m->head, s->logits, c->n_vocab}, 1);
  if (!step_after(st, "logits", -1, s->logits, c->n_vocab, n, c->n_vocab)) return false;
  ops->download(m->b, logits, s->logits, (size_t)n * (size_t)c->n_vocab * sizeof(float));
  return true;
}

static bool check_batch(const pn_model *m, const model_scratch *s, const pn_batch *batch,
                        const int32_t *logit_rows, int n_logits, pn_error *e) {
  if (batch->n_rows < 1 || batch->n_rows > s->max_rows || n_logits < 0 || n_logits > s->max_logits)
    return pn_fail(e, PN_ERR_INTERNAL, "a step of %d rows and %d logits; reserved are %d and %d",
                   batch->n_rows, n_logits, s->max_rows, s->max_logits);
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
  if (!check_batch(m, &m->s, batch, logit_rows, n_logits, e)) return false;
  m->begun = NULL;
  if (!m->b->ops->begin(m->b, batch, e)) return false;
  model_step st = {.m = m, .s = &m->s, .kv = kv, .n_rows = batch->n_rows, .trace = trace};
  if (!embed(&st)) return true;
  for (int i = 0; i < m->spec.c.n_layers; i++)
    if (!compute_layer(&st, i)) return true;
  if (n_logits > 0) heads(&st, logit_rows, n_logits, logits);
  return true;
}

struct pn_pass {
  model_scratch s;
  model_step st;
  pn_batch batch;
  const int32_t *logit_rows;
  int n_logits, layer; // the next one
};

pn_pass *pn_pass_open(pn_model *m, int max_rows, int max_logits, pn_error *e) {
  pn_pass *p = calloc(1, sizeof *p);
  if (!p) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a pass"), NULL;
  p->st = (model_step){.m = m, .s = &p->s};
  if (scratch_reserve(&p->s, m, max_rows, max_logits, e)) return p;
  free(p);
  return NULL;
}

void pn_pass_close(pn_pass *p) {
  if (!p) return;
  if (p->st.m->begun == p) p->st.m->begun = NULL;
  scratch_fini(&p->s, p->st.m);
  free(p);
}

bool pn_pass_begin(pn_pass *p, pn_kv *kv, const pn_batch *batch, const int32_t *logit_rows, int n_logits,
                   pn_error *e) {
  if (!check_batch(p->st.m, &p->s, batch, logit_rows, n_logits, e)) return false;
  p->st.kv = kv;
  p->st.n_rows = batch->n_rows;
  p->batch = *batch;
  p->logit_rows = logit_rows;
  p->n_logits = n_logits;
  p->layer = 0;
  p->st.m->begun = NULL;
  return true;
}

bool pn_pass_layer(pn_pass *p, float *logits, bool *done, pn_error *e) {
  pn_model *m = p->st.m;
  *done = false;
  if (m->begun != p && !m->b->ops->begin(m->b, &p->batch, e)) return false;
  m->begun = p;
  if (p->layer == 0) embed(&p->st);
  compute_layer(&p->st, p->layer++);
  if (p->layer < m->spec.c.n_layers) return true;
  if (p->n_logits > 0) heads(&p->st, p->logit_rows, p->n_logits, logits);
  return *done = true;
}
