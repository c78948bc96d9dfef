#include "cli/stepper.h"

#include <stdlib.h>

bool stepper_open(stepper *s, open_model *m, int n_tokens, int chunk, pn_error *e) {
  s->m = m;
  s->chunk = chunk < n_tokens ? chunk : n_tokens;
  int n_pages = pn_kv_pages_of(n_tokens);
  const pn_kv_shape shape = pn_model_kv_shape(m->model, m->kv_type, PN_KV_PAGE_TOKENS, n_pages);
  s->memory = calloc((size_t)s->chunk, 4 * sizeof *s->memory);
  if (!s->memory) return pn_fail(e, PN_ERR_NOMEM, "out of memory for steps of %d tokens", s->chunk);
  s->pool = pn_kv_pool_new(&(pn_kv_setup){.n_pages = n_pages}, e);
  if (!s->pool || !pn_kv_table_init(&s->table, 0, n_tokens, e) ||
      !pn_kv_reserve(s->pool, &s->table, n_tokens, e))
    return false;
  s->kv = m->backend->ops->kv_open(m->backend, &shape, e);
  return s->kv && pn_model_reserve(m->model, s->chunk, s->chunk, e);
}

void stepper_close(stepper *s) {
  if (s->kv) s->m->backend->ops->kv_close(s->m->backend, s->kv);
  if (s->pool) pn_kv_release(s->pool, &s->table, 0, NULL, 0);
  pn_kv_table_fini(&s->table);
  pn_kv_pool_free(s->pool);
  free(s->memory);
  *s = (stepper){0};
}

bool stepper_run(stepper *s, const int32_t *ids, int n, int pos, float *logits, pn_error *e) {
  int32_t *seq = s->memory, *at = seq + s->chunk, *slot = at + s->chunk, *rows = slot + s->chunk;
  for (int i = 0; i < n; i++) {
    seq[i] = 0;
    at[i] = pos + i;
    slot[i] = pn_kv_slot(&s->table, pos + i);
    rows[i] = i;
  }
  const int32_t *pages = s->table.pages;
  const pn_batch batch = {n, 1, ids, seq, at, slot, &pages, n, rows};
  return pn_model_forward(s->m->model, s->kv, &batch, logits, NULL, e);
}

bool stepper_check_ids(const open_model *m, const int32_t *ids, size_t n, pn_error *e) {
  int n_vocab = pn_model_config_of(m->model)->n_vocab;
  for (size_t i = 0; i < n; i++)
    if (ids[i] < 0 || ids[i] >= n_vocab)
      return pn_fail(e, PN_ERR_USAGE, "token %zu is %d; the model knows 0 to %d", i, (int)ids[i],
                     n_vocab - 1);
  return true;
}
