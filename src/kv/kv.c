// The life of a sequence: its table attaches to a known prefix, grows, makes its pages known, goes back,
// ends.
#include "kv/kv_int.h"

#include <stdlib.h>

#define PAGE PN_KV_PAGE_TOKENS

bool pn_kv_table_init(pn_kv_table *t, int n_windows, int max_tokens, pn_error *e) {
  int cap = pn_kv_pages_of(max_tokens);
  *t = (pn_kv_table){.n_windows = n_windows, .state = KV_NONE};
  if (n_windows < 0 || n_windows > PN_KV_MAX_WINDOWS)
    return pn_fail(e, PN_ERR_INTERNAL, "a KV table for %d window groups, at most %d", n_windows,
                   PN_KV_MAX_WINDOWS);
  if (cap == 0) return true;
  size_t n = (size_t)cap * ((size_t)n_windows + 1);
  t->pages = malloc(n * sizeof *t->pages);
  if (!t->pages) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a table of %d KV pages", cap);
  for (size_t i = 0; i < n; i++) t->pages[i] = KV_NONE;
  for (int k = 0; k < n_windows; k++) t->window_pages[k] = t->pages + (size_t)(k + 1) * (size_t)cap;
  t->cap_pages = cap;
  return true;
}

void pn_kv_table_fini(pn_kv_table *t) {
  free(t->pages);
  *t = (pn_kv_table){.state = KV_NONE};
}

// ---- what is known ----

// Where the pages of the table that the tree knows end.
static kv_place kv_place_of(const pn_kv_table *t, int32_t root) {
  return (kv_place){t->n_known ? t->pages[t->n_known - 1] : root, KV_NONE, t->n_known, 0};
}

int pn_kv_lookup(const pn_kv_pool *p, uint64_t salt, const int32_t *tokens, int n, int32_t *differs) {
  kv_place at = {kv_roots_find(p, salt), KV_NONE, 0, 0};
  kv_point point = {0};
  *differs = -1;
  if (at.node == KV_NONE) return 0;
  while (kv_place_walk(p, &at, tokens, n)) {}
  kv_point_find(p, NULL, at, tokens, 0, &point);
  if (point.n_tokens < at.n_whole * PAGE + at.n_part) return point.n_tokens;
  int32_t on = kv_tree_with(p, at.node, tokens + at.n_whole * PAGE, at.n_part, true);
  if (on != KV_NONE) *differs = p->pages[on].tokens[at.n_part];
  return point.n_tokens;
}

int pn_kv_known(const pn_kv_pool *p, uint64_t salt, const int32_t *tokens, int n) {
  kv_place at = {kv_roots_find(p, salt), KV_NONE, 0, 0};
  if (at.node == KV_NONE) return 0;
  while (kv_place_walk(p, &at, tokens, n)) {}
  return at.n_whole * PAGE + at.n_part;
}

// ---- attach ----

static void kv_table_cut(pn_kv_pool *p, pn_kv_table *t, int n_pages) {
  while (t->n_pages > n_pages) {
    kv_window_cut(p, t, t->n_pages - 1);
    kv_pages_unref(p, t->pages[--t->n_pages]);
  }
  t->n_known = kv_least(t->n_known, n_pages);
}

// The table's next page is the tree's from now on; its own for the same tokens, if it has one, is not needed
// any more. The table has computed n_computed tokens; a row at pos is the next one.
static void adopt(pn_kv_pool *p, pn_kv_table *t, int32_t page, int n_computed, int pos) {
  int i = t->n_known++;
  kv_window_adopt(p, t, i, page, pos, (i + 1) * PAGE <= n_computed);
  kv_pages_ref(p, page);
  kv_tree_touch(p, page);
  if (i < t->n_pages)
    kv_pages_unref(p, t->pages[i]);
  else
    t->n_pages++;
  t->pages[i] = page;
}

// What copies read is held.
static void hold_copies(pn_kv_pool *p, pn_kv_prefix *out, int32_t part, int32_t slot) {
  out->copy_from = part;
  if (part != KV_NONE) kv_pages_hold(p, part);
  for (int k = 0; part != KV_NONE && k < p->n_windows; k++) {
    int32_t page = out->window[k].from = p->windows[k].of_node[part];
    kv_ids_ref(&p->windows[k].ids, page);
    p->windows[k].ids.id[page].holds++;
  }
  out->state.from = slot;
  if (slot == KV_NONE) return;
  kv_ids_ref(&p->states.ids, slot);
  p->states.ids.id[slot].holds++;
}

void pn_kv_attached(pn_kv_pool *p, const pn_kv_prefix *prefix) {
  for (int k = 0; k < p->n_windows; k++) {
    int32_t page = prefix->window[k].from;
    if (page < 0) continue;
    p->windows[k].ids.id[page].holds--;
    kv_window_unref(&p->windows[k], page);
  }
  if (prefix->state.from >= 0) {
    p->states.ids.id[prefix->state.from].holds--;
    kv_state_unref(p, prefix->state.from);
  }
  if (prefix->copy_from >= 0) kv_pages_let_go(p, prefix->copy_from);
}

// Pages of the table's own for the tokens after its tree pages, and the numbers of those; there are free or
// cached ones.
static void own_pages(pn_kv_pool *p, pn_kv_table *t, pn_kv_prefix *out) {
  int i = t->n_known;
  if (i == t->n_pages) {
    t->pages[t->n_pages++] = kv_pages_take(p);
    for (int k = 0; k < p->n_windows; k++) t->window_pages[k][i] = kv_window_take(p, &p->windows[k]);
  }
  out->copy_to = t->pages[i];
  for (int k = 0; k < p->n_windows; k++) out->window[k].to = t->window_pages[k][i];
}

pn_kv_prefix pn_kv_no_copies(int n_tokens) {
  pn_kv_prefix out = {.n_tokens = n_tokens, .copy_from = -1, .copy_to = -1, .state = {-1, -1}};
  for (int k = 0; k < PN_KV_MAX_WINDOWS; k++) out.window[k] = (pn_kv_copy){-1, -1};
  return out;
}

void pn_kv_attach(pn_kv_pool *p, pn_kv_table *t, uint64_t salt, const int32_t *tokens, int n_computed, int n,
                  pn_kv_prefix *out) {
  n = kv_least(n, t->cap_pages * PAGE);
  *out = pn_kv_no_copies(n_computed);
  kv_table_cut(p, t, pn_kv_pages_of(n_computed));
  kv_place at = kv_place_of(t, kv_roots_find(p, salt));
  kv_point point;
  if (at.node == KV_NONE) return;
  while (kv_place_walk(p, &at, tokens, n)) {}
  if (!kv_point_find(p, t, at, tokens, n_computed, &point)) return;
  int n_whole = point.n_tokens / PAGE;
  bool part = point.n_tokens % PAGE > 0;
  hold_copies(p, out, part ? point.node : KV_NONE, point.slot); // before a page is taken, which may evict
  kv_place again = kv_place_of(t, kv_roots_find(p, salt));
  while (again.n_whole < n_whole && kv_place_walk(p, &again, tokens, n))
    adopt(p, t, again.node, n_computed, point.n_tokens);
  kv_window_pass(p, t, point.n_tokens);
  kv_state_settle(p, t, KV_NONE);
  if (part) own_pages(p, t, out);
  if (point.slot != KV_NONE && t->state == KV_NONE) t->state = kv_state_take(p);
  out->state.to = t->state;
  out->n_tokens = point.n_tokens;
}

// ---- grow ----

static bool full(pn_error *e, const char *what, int more, const kv_ids *ids) {
  return pn_fail(e, PN_ERR_LIMIT, "the KV cache is full: %d more %s wanted, %d of %d free", more, what,
                 ids->n_free + ids->n_cached, ids->n);
}

static bool check_room(const pn_kv_pool *p, const pn_kv_table *t, int more, pn_error *e) {
  const kv_ids *states = &p->states.ids;
  if (more > p->ids.n_free + p->ids.n_cached) return full(e, "pages", more, &p->ids);
  for (const kv_window *w = p->windows; w < p->windows + p->n_windows; w++)
    if (more > w->ids.n_free + w->ids.n_cached) return full(e, "window pages", more, &w->ids);
  if (states->n && t->state == KV_NONE && states->n_free + states->n_cached == 0)
    return full(e, "states", 1, states);
  return true;
}

bool pn_kv_reserve(pn_kv_pool *p, pn_kv_table *t, int n, pn_error *e) {
  int want = pn_kv_pages_of(n);
  if (want > t->cap_pages)
    return pn_fail(e, PN_ERR_INTERNAL, "a table for %d KV pages is asked to hold %d", t->cap_pages, want);
  if (want == 0) return true;
  if (!check_room(p, t, want - t->n_pages, e)) return false;
  if (p->states.ids.n && t->state == KV_NONE) t->state = kv_state_take(p);
  for (; t->n_pages < want; t->n_pages++) {
    t->pages[t->n_pages] = kv_pages_take(p);
    for (int k = 0; k < p->n_windows; k++) t->window_pages[k][t->n_pages] = kv_window_take(p, &p->windows[k]);
  }
  return true;
}

// ---- become known ----

void kv_remember(pn_kv_pool *p, int32_t page, int32_t parent, const int32_t *tokens, int n) {
  int32_t old = kv_tree_outdone(p, parent, tokens, n);
  kv_tree_insert(p, page, parent, tokens, n);
  if (old == KV_NONE) return;
  kv_state_move(p, old, page);
  kv_pages_forget(p, old);
}

// The whole pages of the first n_computed tokens; false when there is no room for the salt.
static bool publish_pages(pn_kv_pool *p, pn_kv_table *t, uint64_t salt, const int32_t *tokens,
                          int n_computed) {
  int n_whole = kv_least(n_computed / PAGE, t->n_pages);
  if (t->n_known >= n_whole) return true;
  kv_place at = kv_place_of(t, t->n_known ? KV_NONE : kv_roots_get(p, salt));
  if (at.node == KV_NONE) return false;
  while (at.n_whole < n_whole) {
    if (kv_place_walk(p, &at, tokens, (at.n_whole + 1) * PAGE)) {
      adopt(p, t, at.node, n_computed, 0);
    } else {
      int i = t->n_known++;
      kv_remember(p, t->pages[i], at.node, tokens + i * PAGE, PAGE);
      kv_window_give(p, t, i, t->pages[i]);
      at = kv_place_of(t, KV_NONE);
    }
  }
  return true;
}

void pn_kv_publish(pn_kv_pool *p, pn_kv_table *t, uint64_t salt, const int32_t *tokens, int n_computed) {
  publish_pages(p, t, salt, tokens, n_computed);
  kv_state_settle(p, t, KV_NONE);
  kv_window_pass(p, t, n_computed);
}

// The last, partial page of a sequence that ends: the page of the tree that has these tokens now, KV_NONE: no
// room for the salt.
static int32_t remember_part(pn_kv_pool *p, pn_kv_table *t, uint64_t salt, const int32_t *tokens, int n) {
  int32_t above = kv_place_of(t, t->n_known ? KV_NONE : kv_roots_get(p, salt)).node;
  if (above == KV_NONE) return KV_NONE;
  int i = t->n_known;
  int32_t better = kv_tree_with(p, above, tokens, n, false);
  if (better == KV_NONE) {
    kv_remember(p, t->pages[i], above, tokens, n);
    kv_window_give(p, t, i, t->pages[i]);
    return t->pages[i];
  }
  for (int k = 0; p->pages[better].n_tokens == n && k < p->n_windows; k++)
    if (i >= t->first_window[k] && p->windows[k].of_node[better] == KV_NONE)
      kv_window_hang(p, &p->windows[k], t->window_pages[k][i], better);
  kv_pages_refresh(p, better);
  return better;
}

void pn_kv_release(pn_kv_pool *p, pn_kv_table *t, uint64_t salt, const int32_t *tokens, int n_computed) {
  publish_pages(p, t, salt, tokens, n_computed);
  int n_whole = n_computed / PAGE, n_part = n_computed % PAGE;
  int32_t part = KV_NONE;
  if (n_part && t->n_known == n_whole && t->n_pages > n_whole)
    part = remember_part(p, t, salt, tokens + n_whole * PAGE, n_part);
  kv_state_cut(p, t, n_computed);
  kv_state_settle(p, t, part);
  kv_state_cut(p, t, 0);
  if (t->state != KV_NONE) {
    int i = (n_computed - 1) / PAGE;
    int32_t node = n_computed == 0 ? KV_NONE : i < t->n_known ? t->pages[i] : part;
    if (node != KV_NONE)
      kv_state_hang(p, t->state, node, n_computed - i * PAGE);
    else
      kv_state_unref(p, t->state);
    t->state = KV_NONE;
  }
  kv_table_cut(p, t, 0);
}

// ---- go back ----

// The last mark or snapshot of the table's pages up to n; 0: none. Marks lie behind the known pages.
static int state_before(const pn_kv_pool *p, const pn_kv_table *t, int n, int32_t *slot) {
  for (int k = t->n_marks - 1; k >= 0; k--)
    if (t->marks[k].pos <= n) return *slot = t->marks[k].slot, t->marks[k].pos;
  for (int i = kv_least(pn_kv_pages_of(n), t->n_known) - 1; i >= 0; i--) {
    int o = kv_least(n - i * PAGE, PAGE);
    uint32_t bits = p->states.offsets[t->pages[i]] & kv_bits(o);
    if (!bits) continue;
    while (!(bits >> (o - 1) & 1)) o--;
    *slot = kv_state_at(p, t->pages[i], o);
    return i * PAGE + o;
  }
  return 0;
}

// The last page before pos whose window page a row there sees and that is gone; -1: none.
static int window_missing(const pn_kv_pool *p, const pn_kv_table *t, int pos) {
  int missing = -1;
  for (int k = 0; k < p->n_windows; k++) {
    const kv_window *w = &p->windows[k];
    for (int i = kv_least((pos - 1) / PAGE, t->first_window[k] - 1); pos > 0 && i >= kv_window_first(w, pos);
         i--)
      if (i > missing && (i >= t->n_known || w->of_node[t->pages[i]] == KV_NONE)) missing = i;
  }
  return missing;
}

// Where every group can go on, up to n.
static int point_before(const pn_kv_pool *p, const pn_kv_table *t, int n, int32_t *slot) {
  for (;;) {
    *slot = KV_NONE;
    if (p->states.ids.n) n = state_before(p, t, n, slot);
    int missing = window_missing(p, t, n);
    if (missing < 0) return n;
    n = missing * PAGE;
  }
}

// Window pages that a row at pos sees and that the table gave back are taken again from its known pages.
static void take_windows_again(pn_kv_pool *p, pn_kv_table *t, int pos) {
  for (int k = 0; k < p->n_windows; k++) {
    kv_window *w = &p->windows[k];
    int first = kv_window_first(w, pos);
    for (; t->first_window[k] > first; t->first_window[k]--) {
      int i = t->first_window[k] - 1;
      t->window_pages[k][i] = w->of_node[t->pages[i]];
      kv_ids_ref(&w->ids, t->window_pages[k][i]);
    }
  }
}

// The table's last page, which is the tree's, is exchanged for pages of its own. False: there is none.
static bool copy_last(pn_kv_pool *p, pn_kv_table *t, pn_kv_prefix *out, int32_t slot) {
  if (p->ids.n_free + p->ids.n_cached == 0) return false;
  for (int k = 0; k < p->n_windows; k++)
    if (p->windows[k].ids.n_free + p->windows[k].ids.n_cached == 0) return false;
  hold_copies(p, out, t->pages[t->n_pages - 1], slot);
  kv_table_cut(p, t, t->n_pages - 1);
  own_pages(p, t, out);
  return true;
}

void pn_kv_truncate(pn_kv_pool *p, pn_kv_table *t, int n, pn_kv_prefix *out) {
  int32_t slot;
  n = n < 0 ? 0 : kv_least(n, t->n_pages * PAGE);
  for (;;) {
    n = point_before(p, t, n, &slot);
    *out = pn_kv_no_copies(n);
    kv_table_cut(p, t, pn_kv_pages_of(n));
    take_windows_again(p, t, n);
    if (n % PAGE == 0 || n / PAGE >= t->n_known) {
      hold_copies(p, out, KV_NONE, slot);
      break;
    }
    if (copy_last(p, t, out, slot)) break;
    n -= n % PAGE;
  }
  kv_state_cut(p, t, n);
  if (slot != KV_NONE) out->state.to = t->state;
}
