#include "kv/kv_memory.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((int)PN_MODEL_MAX_GROUPS == (int)PN_KV_MAX_GROUPS, "a group of layers is a group of the pool");

static pn_kv_kind kind_of(const pn_model_group *g) {
  return g->state_floats ? PN_KV_STATE : g->window ? PN_KV_WINDOW : PN_KV_FULL;
}

static pn_kv_shape shape_of(const pn_model_group *g, pn_kv_type type, int n) {
  if (g->state_floats)
    return (pn_kv_shape){.n_layers = g->n_layers, .n_pages = n, .state_floats = g->state_floats};
  return (pn_kv_shape){g->n_layers, g->n_kv_heads, g->head_dim, PN_KV_PAGE_TOKENS, n, type, 0};
}

static uint64_t group_bytes(pn_backend *b, const pn_model_group *g, pn_kv_type type, int n) {
  const pn_kv_shape s = shape_of(g, type, n);
  return n > 0 ? b->ops->kv_bytes(b, &s) : 0;
}

static uint64_t sum(uint64_t a, uint64_t b) {
  uint64_t all;
  return __builtin_add_overflow(a, b, &all) ? UINT64_MAX : all;
}

static int window_pages(const pn_kv_wish *w, int window) {
  int64_t table = pn_kv_pages_of((int64_t)window + w->step_tokens) + 1, all = 2 * table * w->max_running;
  return w->whole_tables || all > w->n_pages ? w->n_pages : (int)all;
}

static int state_slots(const pn_kv_wish *w, uint64_t page_bytes, uint64_t slot_bytes) {
  uint64_t least = 2 * (uint64_t)w->max_running, n = slot_bytes ? page_bytes / 4 / slot_bytes : 0;
  uint64_t most = (uint64_t)w->n_pages; // more could not hang anywhere
  if (n > most) n = most;
  if (n < least) n = least;
  return w->max_running + (n < 1 << 20 ? (int)n : 1 << 20);
}

uint64_t pn_kv_state_bytes(const pn_model_config *c, pn_backend *b) {
  uint64_t all = 0;
  for (int i = 0; i < c->n_groups; i++)
    if (c->groups[i].state_floats) all = sum(all, group_bytes(b, &c->groups[i], PN_KV_F32, 1));
  return all;
}

pn_kv_setup pn_kv_setup_of(const pn_model_config *c, pn_backend *b, const pn_kv_wish *w) {
  pn_kv_setup s = {.n_pages = w->n_pages, .n_groups = c->n_groups};
  uint64_t paged = 0;
  for (int i = 0; i < c->n_groups; i++) {
    const pn_model_group *g = &c->groups[i];
    s.groups[i] = (pn_kv_group){.kind = kind_of(g), .window = g->window};
    if (g->window) s.groups[i].n_pages = window_pages(w, g->window);
    if (!g->state_floats)
      paged = sum(paged, group_bytes(b, g, w->type, g->window ? s.groups[i].n_pages : w->n_pages));
  }
  const uint64_t slot = pn_kv_state_bytes(c, b);
  if (slot) s.n_slots = state_slots(w, paged, slot);
  return s;
}

static int numbers_of(const pn_kv_setup *s, int group) {
  switch (s->groups[group].kind) {
  case PN_KV_WINDOW: return s->groups[group].n_pages;
  case PN_KV_STATE: return s->n_slots;
  default: return s->n_pages;
  }
}

uint64_t pn_kv_setup_bytes(const pn_model_config *c, pn_backend *b, pn_kv_type type, const pn_kv_setup *s) {
  uint64_t all = 0;
  for (int i = 0; i < c->n_groups; i++) all = sum(all, group_bytes(b, &c->groups[i], type, numbers_of(s, i)));
  return all;
}

uint64_t pn_kv_read_bytes(const pn_model_config *c, pn_backend *b, pn_kv_type type, int pos) {
  uint64_t all = 0;
  for (int i = 0; i < c->n_groups; i++) {
    const pn_model_group *g = &c->groups[i];
    uint64_t one = group_bytes(b, g, type, 1),
             n = (uint64_t)(g->window && g->window <= pos ? g->window : pos + 1);
    all += g->state_floats ? one : one * n / PN_KV_PAGE_TOKENS;
  }
  return all;
}

static uint64_t identity_of(const pn_model_config *c, const pn_backend *b, pn_kv_type type) {
  uint64_t h = pn_hash(b->ops->name, strlen(b->ops->name), (uint64_t)type);
  for (int i = 0; i < c->n_groups; i++) {
    const pn_model_group *g = &c->groups[i];
    const int64_t says[] = {g->n_layers, g->n_kv_heads, g->head_dim, g->window, g->state_floats};
    h = pn_hash(says, sizeof says, h);
  }
  return h;
}

bool pn_kv_memory_open(pn_kv_memory *m, const pn_model_config *c, pn_backend *b, pn_kv_type type,
                       const pn_kv_setup *setup, pn_error *e) {
  m->b = b;
  m->identity = identity_of(c, b, type);
  for (; m->n_groups < c->n_groups; m->n_groups++) {
    int i = m->n_groups;
    const pn_kv_shape shape = shape_of(&c->groups[i], type, numbers_of(setup, i));
    m->groups[i] = setup->groups[i];
    m->page_bytes[i] = group_bytes(b, &c->groups[i], type, 1);
    m->kv[i] = b->ops->kv_open(b, &shape, e);
    if (!m->kv[i]) return false;
  }
  return true;
}

void pn_kv_memory_close(pn_kv_memory *m) {
  for (int i = 0; i < m->n_groups; i++) m->b->ops->kv_close(m->b, m->kv[i]);
  *m = (pn_kv_memory){0};
}

static bool copy(const pn_kv_memory *m, int group, int32_t from, int32_t to, pn_error *e) {
  return from < 0 || m->b->ops->kv_copy(m->b, m->kv[group], from, to, e);
}

bool pn_kv_memory_copy(const pn_kv_memory *m, const pn_kv_prefix *p, pn_error *e) {
  for (int i = 0, w = 0; i < m->n_groups; i++) {
    const pn_kv_copy page = {p->copy_from, p->copy_to};
    const pn_kv_kind kind = m->groups[i].kind;
    const pn_kv_copy c = kind == PN_KV_STATE ? p->state : kind == PN_KV_WINDOW ? p->window[w++] : page;
    if (!copy(m, i, c.from, c.to, e)) return false;
  }
  return true;
}

// Window groups have numbers of their own; the others' are those of their kind.
static bool same_numbers(const pn_kv_memory *m, int a, int b) {
  if (a == b) return true;
  const pn_kv_kind ka = m->groups[a].kind, kb = m->groups[b].kind;
  return ka != PN_KV_WINDOW && kb != PN_KV_WINDOW && (ka == PN_KV_STATE) == (kb == PN_KV_STATE);
}

void pn_kv_memory_trim(const pn_kv_memory *m, pn_kv_pool *pool) {
  int32_t first;
  int n;
  for (int i = 0; m->b->ops->kv_discard && i < m->n_groups; i++)
    while (pn_kv_take_idle_run(pool, i, &first, &n))
      for (int k = 0; k < m->n_groups; k++)
        if (same_numbers(m, i, k)) m->b->ops->kv_discard(m->b, m->kv[k], first, n);
}

void pn_kv_memory_used(const pn_kv_memory *m, const pn_kv_pool *pool, uint64_t *used, uint64_t *cached) {
  *used = *cached = 0;
  for (int i = 0; i < m->n_groups; i++) {
    const pn_kv_stats s = pn_kv_group_stats(pool, i);
    *used += (uint64_t)s.n_used * m->page_bytes[i];
    *cached += (uint64_t)s.n_cached * m->page_bytes[i];
  }
}

// --- places ------------------------------------------------------------------------------------------------

bool pn_kv_places_init(pn_kv_places *p, const pn_kv_memory *m, int max_rows, int max_seqs, pn_error *e) {
  p->n_groups = m->n_groups;
  for (int i = 0; i < m->n_groups; i++) p->n_windows += m->groups[i].kind == PN_KV_WINDOW;
  bool ok = (p->state = calloc((size_t)max_seqs, sizeof *p->state)) != NULL;
  for (int k = 0; k <= p->n_windows && ok; k++) {
    p->slot[k] = calloc((size_t)max_rows, sizeof *p->slot[k]);
    p->pages[k] = calloc((size_t)max_seqs, sizeof *p->pages[k]);
    ok = p->slot[k] && p->pages[k];
  }
  if (!ok) return pn_fail(e, PN_ERR_NOMEM, "out of memory for steps of %d rows", max_rows);
  for (int i = 0, w = 0; i < m->n_groups; i++) {
    int k = m->groups[i].kind == PN_KV_WINDOW ? ++w : 0;
    p->rows[i] = (pn_kv_rows){m->kv[i], p->slot[k], p->pages[k], p->state};
  }
  return true;
}

void pn_kv_places_fini(pn_kv_places *p) {
  free(p->state);
  for (int k = 0; k <= p->n_windows; k++) {
    free(p->slot[k]);
    free(p->pages[k]);
  }
  *p = (pn_kv_places){0};
}

void pn_kv_places_set_seq(pn_kv_places *p, int seq, const pn_kv_table *t) {
  p->state[seq] = t->state;
  p->pages[0][seq] = t->pages;
  for (int w = 0; w < p->n_windows; w++) p->pages[1 + w][seq] = t->window_pages[w];
}

void pn_kv_places_set_row(pn_kv_places *p, int row, const pn_kv_table *t, int pos) {
  p->slot[0][row] = pn_kv_slot(t, pos);
  for (int w = 0; w < p->n_windows; w++) p->slot[1 + w][row] = pn_kv_window_slot(t, w, pos);
}
