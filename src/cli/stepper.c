#include "cli/stepper.h"

#include <stdlib.h>

bool stepper_open(stepper *s, open_model *m, int n_tokens, int chunk, pn_error *e) {
  s->m = m;
  s->chunk = chunk < n_tokens ? chunk : n_tokens;
  const pn_model_config *c = pn_model_config_of(m->model);
  const pn_kv_wish wish = {.type = m->kv_type,
                           .n_pages = pn_kv_pages_of(n_tokens),
                           .max_running = 1,
                           .step_tokens = s->chunk,
                           .whole_tables = true};
  const pn_kv_setup setup = pn_kv_setup_of(c, m->backend, &wish);
  s->bytes = pn_kv_setup_bytes(c, m->backend, m->kv_type, &setup) +
             pn_model_step_bytes(m->model, s->chunk, s->chunk);
  s->memory = calloc((size_t)s->chunk, 3 * sizeof *s->memory);
  if (!s->memory) return pn_fail(e, PN_ERR_NOMEM, "out of memory for steps of %d tokens", s->chunk);
  s->pool = pn_kv_pool_new(&setup, e);
  if (!s->pool || !pn_kv_memory_open(&s->kv, c, m->backend, m->kv_type, &setup, e) ||
      !pn_kv_places_init(&s->places, &s->kv, s->chunk, 1, e) ||
      !pn_kv_table_init(&s->table, s->places.n_windows, n_tokens, e) ||
      !pn_kv_reserve(s->pool, &s->table, n_tokens, e))
    return false;
  pn_kv_places_set_seq(&s->places, 0, &s->table);
  return pn_model_reserve(m->model, s->chunk, s->chunk, e);
}

void stepper_close(stepper *s) {
  pn_kv_places_fini(&s->places);
  pn_kv_memory_close(&s->kv);
  if (s->pool) pn_kv_release(s->pool, &s->table, 0, NULL, 0);
  pn_kv_table_fini(&s->table);
  pn_kv_pool_free(s->pool);
  free(s->memory);
  *s = (stepper){0};
}

static bool step(stepper *s, const int32_t *ids, int n, int pos, const int32_t *logit_rows, int n_logits,
                 float *logits, const pn_forward_trace *trace, pn_error *e) {
  int32_t *seq = s->memory, *at = seq + s->chunk;
  for (int i = 0; i < n; i++) {
    seq[i] = 0;
    at[i] = pos + i;
    pn_kv_places_set_row(&s->places, i, &s->table, pos + i);
  }
  const pn_batch batch = {n, 1, ids, seq, at, s->places.n_groups, s->places.rows, n_logits, logit_rows};
  return pn_model_forward(s->m->model, &batch, logits, trace, e);
}

bool stepper_follow(stepper *s, const int32_t *ids, int n, int pos, const pn_forward_trace *trace,
                    pn_error *e) {
  int32_t last = n - 1;
  return step(s, ids, n, pos, &last, 1, NULL, trace, e) && s->m->backend->ops->sync(s->m->backend, e);
}

bool stepper_run(stepper *s, const int32_t *ids, int n, int pos, float *logits, pn_error *e) {
  int32_t *rows = s->memory + 2 * s->chunk;
  for (int i = 0; i < n; i++) rows[i] = i;
  return step(s, ids, n, pos, rows, n, logits, NULL, e);
}

bool stepper_check_ids(const open_model *m, const int32_t *ids, size_t n, pn_error *e) {
  int n_vocab = pn_model_config_of(m->model)->n_vocab;
  for (size_t i = 0; i < n; i++)
    if (ids[i] < 0 || ids[i] >= n_vocab)
      return pn_fail(e, PN_ERR_USAGE, "token %zu is %d; the model knows 0 to %d", i, (int)ids[i],
                     n_vocab - 1);
  return true;
}
