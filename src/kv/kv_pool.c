// The pool as a whole: made from a setup that is checked, freed, counted.
#include "kv/kv_int.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_SALTS 64
#define MAX_IDS (INT32_MAX / PN_KV_PAGE_TOKENS)

static bool bad(pn_error *e, const char *what, int found) {
  return pn_fail(e, PN_ERR_INTERNAL, "a KV pool with %s: %d", what, found);
}

static bool check_groups(const pn_kv_setup *s, pn_error *e) {
  int n_windows = 0, n_states = 0;
  for (int i = 0; i < s->n_groups; i++) {
    const pn_kv_group *g = &s->groups[i];
    if ((int)g->kind < 0 || g->kind > PN_KV_STATE) return bad(e, "a group of an unknown kind", (int)g->kind);
    n_states += g->kind == PN_KV_STATE;
    if (g->kind != PN_KV_WINDOW) continue;
    if (++n_windows > PN_KV_MAX_WINDOWS) return bad(e, "too many window groups", n_windows);
    if (g->window < 1 || g->window > INT32_MAX / 2) return bad(e, "a window of a wrong length", g->window);
    if (g->n_pages < 1 || g->n_pages > MAX_IDS) return bad(e, "a wrong number of window pages", g->n_pages);
  }
  if (n_states ? s->n_slots < 1 || s->n_slots > MAX_IDS : s->n_slots != 0)
    return bad(e, "a wrong number of slots for states", s->n_slots);
  return true;
}

static bool check_setup(const pn_kv_setup *s, pn_error *e) {
  if (s->n_pages < 1 || s->n_pages > MAX_IDS) return bad(e, "a wrong number of pages", s->n_pages);
  if (s->n_salts < 0 || s->n_salts > MAX_IDS) return bad(e, "a wrong number of salts", s->n_salts);
  if (s->n_groups < 0 || s->n_groups > PN_KV_MAX_GROUPS) return bad(e, "too many groups", s->n_groups);
  return check_groups(s, e);
}

// Arrays of n numbers that say none; NULL: out of memory.
static int32_t *nones(size_t n) {
  int32_t *a = malloc(n * sizeof *a);
  for (size_t i = 0; a && i < n; i++) a[i] = KV_NONE;
  return a;
}

static bool init_window(kv_window *w, const pn_kv_group *g, int n_pages) {
  w->length = g->window;
  w->node = nones((size_t)g->n_pages);
  w->of_node = nones((size_t)n_pages);
  return w->node && w->of_node && kv_ids_init(&w->ids, g->n_pages);
}

static bool init_states(kv_states *s, int n_slots, int n_pages) {
  s->slot = calloc((size_t)n_slots, sizeof *s->slot);
  s->of_node = nones((size_t)n_pages);
  s->offsets = calloc((size_t)n_pages, sizeof *s->offsets);
  for (int i = 0; s->slot && i < n_slots; i++) s->slot[i].node = KV_NONE;
  return s->slot && s->of_node && s->offsets && kv_ids_init(&s->ids, n_slots);
}

static bool init_pool(pn_kv_pool *p) {
  const pn_kv_setup *s = &p->setup;
  p->pages = calloc((size_t)s->n_pages + (size_t)s->n_salts, sizeof *p->pages);
  if (!p->pages || !kv_ids_init(&p->ids, s->n_pages) || !kv_roots_init(p, s->n_salts)) return false;
  for (int i = 0; i < s->n_groups; i++)
    if (s->groups[i].kind == PN_KV_WINDOW &&
        !init_window(&p->windows[p->n_windows++], &s->groups[i], s->n_pages))
      return false;
  if (s->n_slots && !init_states(&p->states, s->n_slots, s->n_pages)) return false;
  if (!p->n_windows && !s->n_slots) return true;
  p->serves = calloc((size_t)s->n_pages, sizeof *p->serves);
  return p->serves != NULL;
}

pn_kv_pool *pn_kv_pool_new(const pn_kv_setup *setup, pn_error *e) {
  if (!check_setup(setup, e)) return NULL;
  pn_kv_pool *p = calloc(1, sizeof *p);
  if (p) {
    p->setup = *setup;
    if (!setup->n_salts) p->setup.n_salts = DEFAULT_SALTS;
  }
  if (!p || !init_pool(p)) {
    pn_fail(e, PN_ERR_NOMEM, "out of memory for the numbers of %d KV pages", setup->n_pages);
    pn_kv_pool_free(p);
    return NULL;
  }
  return p;
}

void pn_kv_pool_free(pn_kv_pool *p) {
  if (!p) return;
  for (int i = 0; i < p->n_windows; i++) {
    kv_ids_fini(&p->windows[i].ids);
    free(p->windows[i].node);
    free(p->windows[i].of_node);
  }
  kv_ids_fini(&p->states.ids);
  free(p->states.slot);
  free(p->states.of_node);
  free(p->states.offsets);
  free(p->serves);
  free(p->roots);
  free(p->buckets);
  kv_ids_fini(&p->ids);
  free(p->pages);
  free(p);
}

// The numbering of a group.
static const kv_ids *ids_of(const pn_kv_pool *p, int group) {
  if (group < 0 || group >= p->setup.n_groups) return &p->ids;
  int w = 0;
  for (int i = 0; i < group; i++) w += p->setup.groups[i].kind == PN_KV_WINDOW;
  switch (p->setup.groups[group].kind) {
  case PN_KV_WINDOW: return &p->windows[w].ids;
  case PN_KV_STATE: return &p->states.ids;
  default: return &p->ids;
  }
}

pn_kv_stats pn_kv_pool_stats(const pn_kv_pool *p) { return kv_ids_stats(&p->ids); }
pn_kv_stats pn_kv_group_stats(const pn_kv_pool *p, int group) { return kv_ids_stats(ids_of(p, group)); }
int pn_kv_pool_salts(const pn_kv_pool *p) { return p->n_roots; }

bool pn_kv_take_idle_run(pn_kv_pool *p, int group, int32_t *first, int *n) {
  return kv_ids_idle_run((kv_ids *)ids_of(p, group), first, n);
}

void pn_kv_forget(pn_kv_pool *p) {
  kv_state_forget(p);
  for (int i = 0; i < p->n_windows; i++) kv_window_forget(p, &p->windows[i]);
  for (; p->ids.oldest != KV_NONE; p->ids.n_evicted++) kv_pages_forget(p, p->ids.oldest);
}
