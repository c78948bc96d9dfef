// For tests: whether every count of the pool agrees with what can be reached from its lists, trees and
// tables.
#include "kv/kv_int.h"

#include <stdlib.h>

#define PAGE PN_KV_PAGE_TOKENS

// What the check counts of one numbering.
typedef struct count {
  const char *what;
  const kv_ids *ids;
  int32_t *refs, *rank; // rank: place in the list of cached ones, the newest 1; 0: not in it; KV_NONE: free
} count;

typedef struct counts {
  count pages, windows[PN_KV_MAX_WINDOWS], states;
} counts;

static bool wrong(pn_error *e, const count *c, const char *what, int32_t id) {
  return pn_fail(e, PN_ERR_INTERNAL, "KV %s %d: %s", c->what, (int)id, what);
}

// ---- lists ----

static bool check_lists(const count *c, pn_error *e) {
  const kv_ids *s = c->ids;
  int n = 0;
  if (s->n_free + s->n_used + s->n_cached != s->n)
    return pn_fail(e, PN_ERR_INTERNAL, "KV %ss: %d free + %d used + %d cached of %d", c->what, s->n_free,
                   s->n_used, s->n_cached, s->n);
  for (int32_t at = s->newest, newer = KV_NONE; s->n && at != KV_NONE; newer = at, at = s->id[at].older) {
    if (n == s->n_cached || c->rank[at]) return wrong(e, c, "in the list of cached ones twice", at);
    c->rank[at] = ++n;
    if (s->id[at].newer != newer) return wrong(e, c, "its list of cached ones is broken", at);
    if (s->id[at].older == KV_NONE && s->oldest != at) return wrong(e, c, "not the oldest", at);
  }
  if (n != s->n_cached || (s->n && n == 0 && s->oldest != KV_NONE))
    return pn_fail(e, PN_ERR_INTERNAL, "%d KV %ss in the list of %d cached", n, c->what, s->n_cached);
  for (int i = 0; i < s->n_free; i++) {
    int32_t id = s->free[i];
    if (c->rank[id]) return wrong(e, c, "free, but cached or free twice", id);
    if (s->id[id].refs) return wrong(e, c, "free, but used", id);
    c->rank[id] = KV_NONE;
  }
  return true;
}

static bool check_ids(const count *c, pn_error *e) {
  int n_pinned = 0;
  for (int32_t id = 0; id < c->ids->n; id++) {
    const kv_id *a = &c->ids->id[id];
    bool idle = c->ids->idle[id / 64] >> id % 64 & 1;
    if (a->refs != c->refs[id] + a->pins) return wrong(e, c, "its references are not those that hold it", id);
    if ((a->refs == 0) != (c->rank[id] != 0))
      return wrong(e, c, "neither used, cached nor free, or two of them", id);
    if (idle && (c->rank[id] != KV_NONE || id < c->ids->idle_from))
      return wrong(e, c, "idle, but not free", id);
    n_pinned += a->pins > 0;
  }
  return n_pinned == c->ids->n_pinned ||
         pn_fail(e, PN_ERR_INTERNAL, "%d KV %ss are pinned, counted %d", n_pinned, c->what, c->ids->n_pinned);
}

// ---- tables ----

static bool check_own_page(const pn_kv_pool *p, const pn_kv_table *t, int i, counts *c, pn_error *e) {
  int32_t page = t->pages[i];
  if (page < 0 || page >= p->ids.n) return wrong(e, &c->pages, "a table holds it; there is none", page);
  const kv_page *a = &p->pages[page];
  c->pages.refs[page]++;
  if (i >= t->n_known && p->ids.id[page].refs != 1)
    return wrong(e, &c->pages, "a table's own, but shared", page);
  if (i >= t->n_known && a->n_tokens) return wrong(e, &c->pages, "a table's own, but in the tree", page);
  if (i < t->n_known &&
      (a->n_tokens != PAGE || (i ? a->parent != t->pages[i - 1] : !kv_is_root(p, a->parent))))
    return wrong(e, &c->pages, "a table takes it for one of the tree, which it is not", page);
  return true;
}

static bool check_own_windows(const pn_kv_pool *p, const pn_kv_table *t, int i, counts *c, pn_error *e) {
  for (int k = 0; k < p->n_windows; k++) {
    const kv_window *w = &p->windows[k];
    int32_t page = t->window_pages[k][i];
    if (i < t->first_window[k]) {
      if (page != KV_NONE) return wrong(e, &c->windows[k], "behind the window of a table that has it", page);
      continue;
    }
    if (page < 0 || page >= w->ids.n)
      return wrong(e, &c->windows[k], "a table holds it; there is none", page);
    c->windows[k].refs[page]++;
    if (i < t->n_known && w->node[page] != t->pages[i])
      return wrong(e, &c->windows[k], "of a table's known page, but not its tree page's", page);
    if (i >= t->n_known && (w->node[page] != KV_NONE || w->ids.id[page].refs != 1))
      return wrong(e, &c->windows[k], "a table's own, but shared", page);
  }
  return true;
}

static bool check_own_slots(const pn_kv_pool *p, const pn_kv_table *t, counts *c, pn_error *e) {
  if (!p->states.ids.n)
    return (t->state == KV_NONE && t->n_marks == 0) || wrong(e, &c->states, "of none", t->state);
  if (t->state == KV_NONE && t->n_pages)
    return wrong(e, &c->states, "a table has pages and no state", t->state);
  if (t->state != KV_NONE) c->states.refs[t->state]++;
  for (int k = 0; k < t->n_marks; k++) {
    int32_t slot = t->marks[k].slot;
    c->states.refs[slot]++;
    if (p->states.slot[slot].node != KV_NONE) return wrong(e, &c->states, "a table's mark, but hangs", slot);
    if (k && t->marks[k - 1].pos >= t->marks[k].pos) return wrong(e, &c->states, "a mark out of order", slot);
    if (t->marks[k].pos <= t->n_known * PAGE || t->marks[k].pos > t->n_pages * PAGE)
      return wrong(e, &c->states, "a mark in a known page, or in none", slot);
  }
  return t->state == KV_NONE || p->states.slot[t->state].node == KV_NONE ||
         wrong(e, &c->states, "running, but hangs", t->state);
}

static bool check_table(const pn_kv_pool *p, const pn_kv_table *t, counts *c, pn_error *e) {
  if (t->n_known > t->n_pages || t->n_pages > t->cap_pages || t->n_windows != p->n_windows)
    return pn_fail(e, PN_ERR_INTERNAL, "KV table: %d known of %d of %d pages, %d windows", t->n_known,
                   t->n_pages, t->cap_pages, t->n_windows);
  for (int k = 0; k < p->n_windows; k++)
    if (t->first_window[k] < 0 || t->first_window[k] > t->n_pages)
      return pn_fail(e, PN_ERR_INTERNAL, "KV table: window from page %d of %d", t->first_window[k],
                     t->n_pages);
  for (int i = 0; i < t->n_pages; i++)
    if (!check_own_page(p, t, i, c, e) || !check_own_windows(p, t, i, c, e)) return false;
  return check_own_slots(p, t, c, e);
}

// Copies read pages and hold those above; pages that are imported are only held themselves.
static void count_holds(const pn_kv_pool *p, counts *c) {
  for (int32_t page = 0; page < p->ids.n; page++) {
    int32_t holds = p->ids.id[page].holds, at = page;
    if (!p->pages[page].n_tokens) c->pages.refs[page] += holds;
    for (; p->pages[page].n_tokens && holds && !kv_is_root(p, at); at = p->pages[at].parent)
      c->pages.refs[at] += holds;
  }
  for (int k = 0; k < p->n_windows; k++)
    for (int32_t id = 0; id < p->windows[k].ids.n; id++)
      c->windows[k].refs[id] += p->windows[k].ids.id[id].holds;
  for (int32_t id = 0; id < p->states.ids.n; id++) c->states.refs[id] += p->states.ids.id[id].holds;
}

// ---- trees ----

// What hangs on the page, and whether window pages and snapshots know where they hang.
static bool check_hanging(const pn_kv_pool *p, int32_t page, const counts *c, pn_error *e) {
  bool in_tree = p->pages[page].n_tokens > 0;
  for (int k = 0; k < p->n_windows; k++) {
    int32_t id = p->windows[k].of_node[page];
    if (id != KV_NONE && (!in_tree || p->windows[k].node[id] != page))
      return wrong(e, &c->windows[k], "hangs on a page that is not its", id);
  }
  uint32_t offsets = 0;
  for (int32_t id = p->states.ids.n ? p->states.of_node[page] : KV_NONE; id != KV_NONE;
       id = p->states.slot[id].next) {
    const kv_snapshot *s = &p->states.slot[id];
    if (!in_tree || s->node != page || s->offset < 1 || s->offset > p->pages[page].n_tokens)
      return wrong(e, &c->states, "hangs where it does not belong", id);
    if (offsets >> (s->offset - 1) & 1) return wrong(e, &c->states, "hangs where another does", id);
    offsets |= UINT32_C(1) << (s->offset - 1);
  }
  return !p->states.ids.n || offsets == p->states.offsets[page] ||
         wrong(e, &c->pages, "does not know its snapshots", page);
}

// Cached ones hang, free ones do not.
static bool check_hangs(const pn_kv_pool *p, const counts *c, pn_error *e) {
  for (int k = 0; k < p->n_windows; k++)
    for (int32_t id = 0; id < p->windows[k].ids.n; id++) {
      int32_t node = p->windows[k].node[id], rank = c->windows[k].rank[id];
      if ((rank > 0 && node == KV_NONE) || (rank < 0 && node != KV_NONE) ||
          (node != KV_NONE && p->windows[k].of_node[node] != id))
        return wrong(e, &c->windows[k], "cached and hanging nowhere, or free and hanging", id);
    }
  for (int32_t id = 0; id < p->states.ids.n; id++) {
    int32_t node = p->states.slot[id].node, rank = c->states.rank[id];
    if ((rank > 0 && node == KV_NONE) || (rank < 0 && node != KV_NONE) ||
        (node != KV_NONE && kv_state_at(p, node, p->states.slot[id].offset) != id))
      return wrong(e, &c->states, "cached and hanging nowhere, or free and hanging", id);
  }
  return true;
}

static bool check_page(const pn_kv_pool *p, const count *c, int32_t page, pn_error *e) {
  const kv_page *a = &p->pages[page];
  bool cached = p->ids.id[page].refs == 0;
  if (a->n_tokens == 0) return c->rank[page] <= 0 || wrong(e, c, "cached, but not in the tree", page);
  if (c->rank[page] < 0) return wrong(e, c, "free, but in the tree", page);
  if (!kv_tree_sound(p, page)) return wrong(e, c, "not where the tree looks for it", page);
  if (a->n_tokens < PAGE && a->kids != KV_NONE) return wrong(e, c, "partial, with pages under it", page);
  if (cached && a->n_tokens < PAGE && kv_tree_with(p, a->parent, a->tokens, a->n_tokens, true) != KV_NONE)
    return wrong(e, c, "cached, though another page says more", page);
  if (kv_is_root(p, a->parent)) return true;
  bool cached_above = p->ids.id[a->parent].refs == 0;
  if (!cached && cached_above) return wrong(e, c, "used, but not the page before it", page);
  if (cached_above && c->rank[a->parent] > c->rank[page])
    return wrong(e, c, "newer than the page before it", page);
  return p->ids.id[page].pins <= p->ids.id[a->parent].pins ||
         wrong(e, c, "pinned more often than the page before it", page);
}

static bool check_roots(const pn_kv_pool *p, pn_error *e) {
  int n = 0, n_used = 0, counted = 0;
  for (int i = 0; i < p->setup.n_salts; i++) {
    int32_t root = p->ids.n + i;
    if (p->pages[root].kids == KV_NONE) continue;
    n++;
    counted += p->roots[i].n_used;
    if (kv_roots_find(p, p->roots[i].salt) != root)
      return pn_fail(e, PN_ERR_INTERNAL, "KV root %d: not found by its salt", i);
  }
  for (int32_t page = 0; page < p->ids.n; page++)
    n_used += p->pages[page].n_tokens && p->ids.id[page].refs && kv_is_root(p, p->pages[page].parent);
  for (int32_t i = p->free_root; i != KV_NONE; i = p->roots[i].next) n++;
  return (n == p->setup.n_salts && n_used == counted) ||
         pn_fail(e, PN_ERR_INTERNAL, "%d KV roots of %d, %d used first pages, counted %d", n,
                 p->setup.n_salts, n_used, counted);
}

static bool check_all(const pn_kv_pool *p, const pn_kv_table *const *tables, int n_tables, counts *c,
                      pn_error *e) {
  for (int i = 0; i < n_tables; i++)
    if (!check_table(p, tables[i], c, e)) return false;
  count_holds(p, c);
  const count *all[] = {&c->pages, &c->states, c->windows, c->windows + 1, c->windows + 2, c->windows + 3};
  for (int i = 0; i < 2 + p->n_windows; i++)
    if (!check_lists(all[i], e) || !check_ids(all[i], e)) return false;
  for (int32_t page = 0; page < p->ids.n; page++)
    if (!check_page(p, &c->pages, page, e) || !check_hanging(p, page, c, e)) return false;
  return check_hangs(p, c, e) && check_roots(p, e);
}

bool pn_kv_pool_check(const pn_kv_pool *p, const pn_kv_table *const *tables, int n_tables, pn_error *e) {
  size_t n = (size_t)p->ids.n + (size_t)p->states.ids.n;
  for (int k = 0; k < p->n_windows; k++) n += (size_t)p->windows[k].ids.n;
  int32_t *memory = calloc(n, 2 * sizeof *memory), *at = memory;
  if (!memory) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the check of %d KV pages", p->ids.n);
  counts c = {.pages = {"page", &p->ids, at, at + p->ids.n}};
  at += 2 * p->ids.n;
  c.states = (count){"state", &p->states.ids, at, at + p->states.ids.n};
  at += 2 * p->states.ids.n;
  for (int k = 0; k < p->n_windows; at += 2 * p->windows[k].ids.n, k++)
    c.windows[k] = (count){"window page", &p->windows[k].ids, at, at + p->windows[k].ids.n};
  bool ok = check_all(p, tables, n_tables, &c, e);
  free(memory);
  return ok;
}
