#include "kv/kv_int.h"

#include <stdlib.h>

#define PAGE PN_KV_PAGE_TOKENS

static int least(int a, int b) { return a < b ? a : b; }

bool pn_kv_table_init(pn_kv_table *t, int max_tokens, pn_error *e) {
  int cap = pn_kv_pages_of(max_tokens);
  *t = (pn_kv_table){0};
  if (cap == 0) return true;
  t->pages = malloc((size_t)cap * sizeof *t->pages);
  if (!t->pages) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a table of %d KV pages", cap);
  t->cap_pages = cap;
  return true;
}

void pn_kv_table_fini(pn_kv_table *t) {
  free(t->pages);
  *t = (pn_kv_table){0};
}

// Where tokens[0, n) end in the tree: after n_whole pages (`node` is the last of them, or the root) and n_part tokens of
// the page `part` (KV_NONE: 0).
typedef struct place {
  int32_t node, part;
  int n_whole, n_part;
} place;

// The step from `at` with the tokens of the next page; false when they do not go through a whole page.
static bool walk(const pn_kv_pool *p, place *at, const int32_t *tokens, int n) {
  int from = at->n_whole * PAGE;
  at->part = kv_tree_find(p, at->node, tokens + from, least(n - from, PAGE), &at->n_part);
  if (at->n_part < PAGE) return false;
  *at = (place){at->part, KV_NONE, at->n_whole + 1, 0};
  return true;
}

int pn_kv_lookup(const pn_kv_pool *p, const int32_t *tokens, int n, int32_t *differs) {
  place at = {p->root, KV_NONE, 0, 0};
  while (walk(p, &at, tokens, n)) {}
  int32_t on = kv_tree_with(p, at.node, tokens + at.n_whole * PAGE, at.n_part, true);
  *differs = on == KV_NONE ? -1 : p->pages[on].tokens[at.n_part];
  return at.n_whole * PAGE + at.n_part;
}

// The page of the table that its tree pages end with.
static place standing(const pn_kv_pool *p, const pn_kv_table *t) {
  return (place){t->n_known ? t->pages[t->n_known - 1] : p->root, KV_NONE, t->n_known, 0};
}

static void cut(pn_kv_pool *p, pn_kv_table *t, int n_pages) {
  while (t->n_pages > n_pages) kv_pages_unref(p, t->pages[--t->n_pages]);
  t->n_known = least(t->n_known, n_pages);
}

static void hold(pn_kv_pool *p, int32_t page) {
  p->pages[page].holds++;
  for (; page != p->root; page = p->pages[page].parent) kv_pages_ref(p, page);
}

static void let_go(pn_kv_pool *p, int32_t page) {
  p->pages[page].holds--;
  for (int32_t above; page != p->root; page = above) {
    above = p->pages[page].parent;
    kv_pages_unref(p, page);
  }
}

// The table's next page is the tree's from now on; its own for the same tokens, if it has one, is not needed any more.
static void adopt(pn_kv_pool *p, pn_kv_table *t, int32_t page) {
  int i = t->n_known++;
  kv_pages_ref(p, page);
  kv_tree_touch(p, page);
  if (i < t->n_pages)
    kv_pages_unref(p, t->pages[i]);
  else
    t->n_pages++;
  t->pages[i] = page;
}

// A page of the table's own for the tokens after its tree pages.
static int32_t own_page(pn_kv_pool *p, pn_kv_table *t) {
  int i = t->n_known;
  if (i < t->n_pages) return t->pages[i];
  int32_t page = kv_pages_take(p);
  if (page != KV_NONE) t->pages[t->n_pages++] = page;
  return page;
}

void pn_kv_attach(pn_kv_pool *p, pn_kv_table *t, const int32_t *tokens, int n_computed, int n,
                  pn_kv_prefix *out) {
  n = least(n, t->cap_pages * PAGE);
  *out = (pn_kv_prefix){n_computed, -1, -1};
  cut(p, t, pn_kv_pages_of(n_computed));
  place at = standing(p, t);
  while (walk(p, &at, tokens, n)) {}
  if (at.n_whole * PAGE + at.n_part <= n_computed) return;
  place again = standing(p, t);
  while (again.n_whole < at.n_whole && walk(p, &again, tokens, n)) adopt(p, t, again.node);
  out->n_tokens = at.n_whole * PAGE;
  if (at.n_part == 0) return;
  hold(p, at.part); // before a page is taken, which may evict
  int32_t page = own_page(p, t);
  if (page == KV_NONE) {
    let_go(p, at.part);
    return;
  }
  *out = (pn_kv_prefix){at.n_whole * PAGE + at.n_part, at.part, page};
}

void pn_kv_attached(pn_kv_pool *p, const pn_kv_prefix *prefix) {
  if (prefix->copy_from >= 0) let_go(p, prefix->copy_from);
}

bool pn_kv_reserve(pn_kv_pool *p, pn_kv_table *t, int n, pn_error *e) {
  int want = pn_kv_pages_of(n), more = want - t->n_pages;
  if (want > t->cap_pages)
    return pn_fail(e, PN_ERR_INTERNAL, "a table for %d KV pages is asked to hold %d", t->cap_pages, want);
  if (more > p->n_free + p->n_cached)
    return pn_fail(e, PN_ERR_LIMIT, "the KV cache is full: %d more pages wanted, %d of %d free", more,
                   p->n_free + p->n_cached, p->n_pages);
  while (t->n_pages < want) t->pages[t->n_pages++] = kv_pages_take(p);
  return true;
}

static void remember(pn_kv_pool *p, int32_t page, int32_t parent, const int32_t *tokens, int n) {
  int32_t old = kv_tree_outdone(p, parent, tokens, n);
  if (old != KV_NONE) kv_pages_forget(p, old);
  kv_tree_insert(p, page, parent, tokens, n);
}

void pn_kv_publish(pn_kv_pool *p, pn_kv_table *t, const int32_t *tokens, int n_computed) {
  int n_whole = least(n_computed / PAGE, t->n_pages);
  for (place at = standing(p, t); at.n_whole < n_whole;) {
    if (walk(p, &at, tokens, (at.n_whole + 1) * PAGE)) {
      adopt(p, t, at.node);
    } else {
      int32_t page = t->pages[at.n_whole];
      remember(p, page, at.node, tokens + at.n_whole * PAGE, PAGE);
      t->n_known++;
      at = standing(p, t);
    }
  }
}

// The last, partial page of a sequence that ends.
static void remember_part(pn_kv_pool *p, pn_kv_table *t, const int32_t *tokens, int n) {
  int32_t above = standing(p, t).node;
  int32_t better = kv_tree_with(p, above, tokens, n, false);
  if (better != KV_NONE)
    kv_pages_refresh(p, better);
  else
    remember(p, t->pages[t->n_known], above, tokens, n);
}

void pn_kv_release(pn_kv_pool *p, pn_kv_table *t, const int32_t *tokens, int n_computed) {
  pn_kv_publish(p, t, tokens, n_computed);
  int n_whole = n_computed / PAGE, n_part = n_computed % PAGE;
  if (n_part && t->n_known == n_whole && t->n_pages > n_whole)
    remember_part(p, t, tokens + n_whole * PAGE, n_part);
  cut(p, t, 0);
}
