#include "model/model_internal.h"

#include <math.h>
#include <stdlib.h>

pn_model *pn_model_open(pn_files *files, pn_backend *b, pn_error *e) {
  pn_model *m = calloc(1, sizeof *m);
  if (!m) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a model"), NULL;
  m->b = b;
  if (!config_read(files, &m->spec, e) || !weights_open(m, files, e)) {
    pn_model_close(m);
    return NULL;
  }
  const pn_model_config *c = &m->spec.c;
  m->rope = (pn_rope){c->rope_order, c->n_rot, m->spec.inv_freq, c->rope_scale};
  m->attention_scale = (float)(1 / sqrt((double)c->head_dim));
  return m;
}

void pn_model_close(pn_model *m) {
  if (!m) return;
  weights_close(m);
  scratch_fini(&m->s, m);
  free(m);
}

const pn_model_config *pn_model_config_of(const pn_model *m) { return &m->spec.c; }
uint64_t pn_model_weight_bytes(const pn_model *m) { return m->weight_bytes; }

pn_kv_shape pn_model_kv_shape(const pn_model *m, pn_kv_type type, int page_tokens, int n_pages) {
  const pn_model_config *c = &m->spec.c;
  return (pn_kv_shape){c->n_layers, c->n_kv_heads, c->head_dim, page_tokens, n_pages, type};
}

// Hand out n floats at a multiple of 64 bytes; with memory NULL only count.
static float *cut(char *memory, size_t *at, size_t n) {
  float *p = memory ? (float *)(void *)(memory + *at) : NULL;
  *at += (n * sizeof(float) + 63) / 64 * 64;
  return p;
}

// Lay out the scratch over `memory`; the number of bytes.
static size_t lay_out(model_scratch *s, const pn_model_config *c, char *memory) {
  size_t at = 0, rows = (size_t)s->max_rows, logits = (size_t)s->max_logits;
  size_t d = (size_t)c->d_model, f = (size_t)c->d_ffn, hd = (size_t)c->head_dim;
  size_t q = (size_t)c->n_heads * hd, kv = (size_t)c->n_kv_heads * hd;
  s->x = cut(memory, &at, rows * d);
  s->h = cut(memory, &at, rows * d);
  s->y = cut(memory, &at, rows * d);
  s->last = cut(memory, &at, logits * d);
  s->logits = cut(memory, &at, logits * (size_t)c->n_vocab);
  size_t shared = at, end;
  s->qkv = cut(memory, &at, rows * (q + 2 * kv));
  s->mix = cut(memory, &at, rows * q);
  end = at;
  at = shared;
  s->gate_up = cut(memory, &at, rows * 2 * f);
  s->act = cut(memory, &at, rows * f);
  return at > end ? at : end;
}

bool scratch_reserve(model_scratch *s, const pn_model *m, int max_rows, int max_logits, pn_error *e) {
  if (max_rows <= s->max_rows && max_logits <= s->max_logits) return true;
  model_scratch n = {.max_rows = max_rows > s->max_rows ? max_rows : s->max_rows,
                     .max_logits = max_logits > s->max_logits ? max_logits : s->max_logits};
  n.bytes = lay_out(&n, &m->spec.c, NULL);
  n.memory = m->b->ops->alloc(m->b, n.bytes);
  if (!n.memory)
    return pn_fail(e, PN_ERR_NOMEM, "out of memory: %zu bytes of scratch for steps of %d rows", n.bytes,
                   n.max_rows);
  lay_out(&n, &m->spec.c, n.memory);
  scratch_fini(s, m);
  *s = n;
  return true;
}

void scratch_fini(model_scratch *s, const pn_model *m) {
  if (s->memory) m->b->ops->release(m->b, s->memory);
  *s = (model_scratch){0};
}

bool pn_model_reserve(pn_model *m, int max_rows, int max_logits, pn_error *e) {
  return scratch_reserve(&m->s, m, max_rows, max_logits, e);
}
