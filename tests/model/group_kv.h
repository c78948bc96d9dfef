// What the groups of a model's layers keep, for steps whose pages a test chooses itself: all groups of pages
// have the same numbers, and sequence s has slot s.
#ifndef PN_TESTS_GROUP_KV_H
#define PN_TESTS_GROUP_KV_H

#include "model/model.h"

typedef struct group_kv {
  pn_backend *b;
  int n;
  pn_kv_rows rows[PN_MODEL_MAX_GROUPS];
} group_kv;

static inline bool group_kv_open(group_kv *g, const pn_model *m, pn_backend *b, pn_kv_type type, int page,
                                 int n_pages, pn_error *e) {
  const pn_model_config *c = pn_model_config_of(m);
  *g = (group_kv){.b = b, .n = c->n_groups};
  for (int i = 0; i < g->n; i++) {
    const pn_model_group *l = &c->groups[i];
    const pn_kv_shape pages = {l->n_layers, l->n_kv_heads, l->head_dim, page, n_pages, type, 0},
                      slots = {.n_layers = l->n_layers, .n_pages = n_pages, .state_floats = l->state_floats};
    g->rows[i].kv = b->ops->kv_open(b, l->state_floats ? &slots : &pages, e);
    if (!g->rows[i].kv) return false;
  }
  return true;
}

static inline void group_kv_close(group_kv *g) {
  for (int i = 0; i < g->n; i++) g->b->ops->kv_close(g->b, g->rows[i].kv);
}

// The batch with these places.
static inline pn_batch group_kv_batch(group_kv *g, pn_batch batch, const int32_t *slot,
                                      const int32_t *const *pages) {
  static const int32_t own[] = {0, 1, 2, 3, 4, 5, 6, 7};
  for (int i = 0; i < g->n; i++) g->rows[i] = (pn_kv_rows){g->rows[i].kv, slot, pages, own};
  batch.n_kv = g->n;
  batch.kv = g->rows;
  return batch;
}

#endif
