#include "kv/kv_int.h"

#include <stdlib.h>

// What the check counts; n_pages + 1 each.
typedef struct count {
  int32_t *refs, *rank; // rank: place in the list of cached pages, the newest 1; 0: not in it
} count;

static bool wrong(pn_error *e, const char *what, int32_t page) {
  return pn_fail(e, PN_ERR_INTERNAL, "KV page %d: %s", (int)page, what);
}

static bool check_tables(const pn_kv_pool *p, const pn_kv_table *const *tables, int n_tables, count *c,
                         pn_error *e) {
  for (int i = 0; i < n_tables; i++) {
    const pn_kv_table *t = tables[i];
    if (t->n_known > t->n_pages || t->n_pages > t->cap_pages)
      return pn_fail(e, PN_ERR_INTERNAL, "KV table %d: %d known of %d of %d pages", i, t->n_known, t->n_pages,
                     t->cap_pages);
    for (int k = 0; k < t->n_pages; k++) {
      int32_t page = t->pages[k];
      if (page < 0 || page >= p->n_pages) return wrong(e, "a table holds it; there is none", page);
      const kv_page *a = &p->pages[page];
      c->refs[page]++;
      if (k >= t->n_known && a->refs != 1) return wrong(e, "a table's own, but shared", page);
      if (k >= t->n_known && a->n_tokens) return wrong(e, "a table's own, but in the tree", page);
      if (k < t->n_known &&
          (a->n_tokens != PN_KV_PAGE_TOKENS || a->parent != (k ? t->pages[k - 1] : p->root)))
        return wrong(e, "a table takes it for one of the tree, which it is not", page);
    }
  }
  for (int32_t page = 0; page < p->n_pages; page++)
    if (p->pages[page].holds)
      for (int32_t at = page; at != p->root; at = p->pages[at].parent) c->refs[at] += p->pages[page].holds;
  return true;
}

static bool check_lists(const pn_kv_pool *p, count *c, pn_error *e) {
  int n = 0;
  for (int32_t at = p->newest, newer = KV_NONE; at != KV_NONE; newer = at, at = p->pages[at].older) {
    if (n == p->n_cached || c->rank[at]) return wrong(e, "in the list of cached pages twice", at);
    c->rank[at] = ++n;
    if (p->pages[at].newer != newer) return wrong(e, "its list of cached pages is broken", at);
    if (p->pages[at].older == KV_NONE && p->oldest != at) return wrong(e, "not the oldest", at);
  }
  if (n != p->n_cached || (n == 0 && p->oldest != KV_NONE))
    return pn_fail(e, PN_ERR_INTERNAL, "%d KV pages in the list of %d cached", n, p->n_cached);
  for (int i = 0; i < p->n_free; i++) {
    int32_t page = p->free_pages[i];
    if (c->rank[page]) return wrong(e, "free, but cached or free twice", page);
    if (p->pages[page].refs || p->pages[page].n_tokens)
      return wrong(e, "free, but used or in the tree", page);
    c->rank[page] = KV_NONE;
  }
  return true;
}

static bool check_page(const pn_kv_pool *p, const count *c, int32_t page, pn_error *e) {
  const kv_page *a = &p->pages[page];
  bool idle = p->idle[page / 64] >> page % 64 & 1;
  if (a->refs != c->refs[page]) return wrong(e, "its references are not those that hold it", page);
  if ((a->refs == 0) != (c->rank[page] != 0))
    return wrong(e, "neither used, cached nor free, or two of them", page);
  if (idle && (c->rank[page] != KV_NONE || page < p->idle_from)) return wrong(e, "idle, but not free", page);
  if (a->n_tokens == 0) return true;
  if (!kv_tree_sound(p, page)) return wrong(e, "not where the tree looks for it", page);
  if (a->n_tokens < PN_KV_PAGE_TOKENS && a->kids != KV_NONE)
    return wrong(e, "partial, with pages under it", page);
  if (a->refs == 0 && a->n_tokens < PN_KV_PAGE_TOKENS &&
      kv_tree_with(p, a->parent, a->tokens, a->n_tokens, true) != KV_NONE)
    return wrong(e, "cached, though another page says more", page);
  if (a->parent == p->root) return true;
  const kv_page *above = &p->pages[a->parent];
  if (a->refs && !above->refs) return wrong(e, "used, but not the page before it", page);
  if (!above->refs && c->rank[a->parent] > c->rank[page])
    return wrong(e, "newer than the page before it", page);
  return true;
}

bool pn_kv_pool_check(const pn_kv_pool *p, const pn_kv_table *const *tables, int n_tables, pn_error *e) {
  size_t n = (size_t)p->n_pages + 1;
  int32_t *memory = calloc(n, 2 * sizeof *memory);
  if (!memory) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the check of %d KV pages", p->n_pages);
  count c = {memory, memory + n};
  bool ok = p->n_free + p->n_used + p->n_cached == p->n_pages ||
            pn_fail(e, PN_ERR_INTERNAL, "KV pages: %d free + %d used + %d cached of %d", p->n_free, p->n_used,
                    p->n_cached, p->n_pages);
  ok = ok && check_tables(p, tables, n_tables, &c, e) && check_lists(p, &c, e);
  for (int32_t page = 0; ok && page < p->n_pages; page++) ok = check_page(p, &c, page, e);
  free(memory);
  return ok;
}
