// Opening and closing a model, and what it says of itself.
#include "model/plan.h"

#include <stdlib.h>

pn_model *pn_model_open(pn_files *files, pn_backend *b, pn_error *e) {
  pn_model *m = calloc(1, sizeof *m);
  if (!m) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a model"), NULL;
  m->b = b;
  if (config_read(files, &m->spec, e) && weights_open(m, files, e)) m->plan = plan_new(m, e);
  if (m->plan) return m;
  pn_model_close(m);
  return NULL;
}

void pn_model_close(pn_model *m) {
  if (!m) return;
  m->b->ops->workspace_close(m->b, m->ws);
  plan_free(m->plan);
  weights_close(m);
  free(m);
}

const pn_model_config *pn_model_config_of(const pn_model *m) { return &m->spec.c; }
uint64_t pn_model_weight_bytes(const pn_model *m) { return m->weight_bytes; }
pn_model_size pn_model_size_of(const pn_model *m) { return m->size; }

uint64_t pn_model_product_bytes(const pn_model *m, const pn_step *s) {
  const bool product = s->op == PN_OP_MATMUL || s->op == PN_OP_EXPERTS;
  uint64_t n = 0;
  for (int k = 0; product && k < s->n_weights; k++)
    for (int i = 0; i < m->n_matrices; i++)
      if (m->matrices[i].w == s->w[k]) n += m->matrices[i].bytes;
  return n;
}
