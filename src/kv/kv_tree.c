// The radix trees: which tokens follow which page. Siblings are a treap sorted by their tokens; each knows
// the latest used one of the treap below it, and in pools with window or state groups at which offsets
// something there serves.
#include "base/hash.h"
#include "kv/kv_int.h"

#include <string.h>

static uint64_t priority(int32_t page) { return pn_hash_u64((uint64_t)page + 1); }

// How many of the first n tokens the page shares.
static int same(const kv_page *a, const int32_t *tokens, int n) {
  int most = a->n_tokens < n ? a->n_tokens : n, k = 0;
  while (k < most && a->tokens[k] == tokens[k]) k++;
  return k;
}

// The order of siblings: by tokens, what ends first before what goes on. k: how many are the same.
static int order(const kv_page *a, const int32_t *tokens, int n, int k) {
  if (k < a->n_tokens && k < n) return a->tokens[k] < tokens[k] ? -1 : 1;
  return a->n_tokens - n;
}

static int32_t later(const pn_kv_pool *p, int32_t a, int32_t b) {
  if (a == KV_NONE || b == KV_NONE) return a == KV_NONE ? b : a;
  return p->pages[a].used_at >= p->pages[b].used_at ? a : b;
}

static int32_t recent(const pn_kv_pool *p, int32_t at) { return at == KV_NONE ? at : p->pages[at].recent; }

static int32_t recent_of(const pn_kv_pool *p, int32_t at) {
  const kv_page *a = &p->pages[at];
  return later(p, at, later(p, recent(p, a->left), recent(p, a->right)));
}

static uint32_t offers(const pn_kv_pool *p, int32_t at) { return at == KV_NONE ? 0 : p->serves[at]; }

static uint32_t serves_of(const pn_kv_pool *p, int32_t at) {
  const kv_page *a = &p->pages[at];
  return kv_serves(p, at) | offers(p, a->left) | offers(p, a->right);
}

static void refresh(pn_kv_pool *p, int32_t at) {
  p->pages[at].recent = recent_of(p, at);
  if (p->serves) p->serves[at] = serves_of(p, at);
}

// Whether a page lies before (-1), among (0) or after (1) those that begin with tokens[0, n).
static int side(const kv_page *a, const int32_t *tokens, int n, bool longer) {
  int k = same(a, tokens, n);
  if (k == n) return longer && a->n_tokens == n ? -1 : 0;
  return order(a, tokens, n, k) < 0 ? -1 : 1;
}

int32_t kv_tree_with(const pn_kv_pool *p, int32_t parent, const int32_t *tokens, int n, bool longer) {
  int32_t at = p->pages[parent].kids;
  for (int s; at != KV_NONE && (s = side(&p->pages[at], tokens, n, longer)) != 0;)
    at = s < 0 ? p->pages[at].right : p->pages[at].left;
  if (at == KV_NONE) return at;
  int32_t best = at;
  for (int32_t x = p->pages[at].left; x != KV_NONE;) {
    const kv_page *a = &p->pages[x];
    bool in = side(a, tokens, n, longer) == 0;
    if (in) best = later(p, best, later(p, x, recent(p, a->right)));
    x = in ? a->left : a->right;
  }
  for (int32_t x = p->pages[at].right; x != KV_NONE;) {
    const kv_page *a = &p->pages[x];
    bool in = side(a, tokens, n, longer) == 0;
    if (in) best = later(p, best, later(p, x, recent(p, a->left)));
    x = in ? a->right : a->left;
  }
  return best;
}

// A page of the treap from `at` down that itself serves at the offset of the bit.
static int32_t offering(const pn_kv_pool *p, int32_t at, uint32_t bit) {
  while (offers(p, at) & bit && !(kv_serves(p, at) & bit))
    at = offers(p, p->pages[at].left) & bit ? p->pages[at].left : p->pages[at].right;
  return offers(p, at) & bit ? at : KV_NONE;
}

int32_t kv_tree_serving(const pn_kv_pool *p, int32_t parent, const int32_t *tokens, int n) {
  uint32_t bit = UINT32_C(1) << (n - 1);
  int32_t at = p->pages[parent].kids, found;
  for (int s; at != KV_NONE && (s = side(&p->pages[at], tokens, n, false)) != 0;)
    at = s < 0 ? p->pages[at].right : p->pages[at].left;
  if (at == KV_NONE || kv_serves(p, at) & bit) return at;
  for (int32_t x = p->pages[at].left; x != KV_NONE;) {
    const kv_page *a = &p->pages[x];
    bool in = side(a, tokens, n, false) == 0;
    if (in && kv_serves(p, x) & bit) return x;
    if (in && (found = offering(p, a->right, bit)) != KV_NONE) return found;
    x = in ? a->left : a->right;
  }
  for (int32_t x = p->pages[at].right; x != KV_NONE;) {
    const kv_page *a = &p->pages[x];
    bool in = side(a, tokens, n, false) == 0;
    if (in && kv_serves(p, x) & bit) return x;
    if (in && (found = offering(p, a->left, bit)) != KV_NONE) return found;
    x = in ? a->right : a->left;
  }
  return KV_NONE;
}

int32_t kv_tree_find(const pn_kv_pool *p, int32_t parent, const int32_t *tokens, int n, int *n_same) {
  // Its neighbours in the order agree longest with tokens, and the way down passes both.
  int most = 0;
  for (int32_t at = p->pages[parent].kids; at != KV_NONE;) {
    const kv_page *a = &p->pages[at];
    int k = same(a, tokens, n);
    if (k > most) most = k;
    if (k == PN_KV_PAGE_TOKENS) return *n_same = k, at;
    at = order(a, tokens, n, k) < 0 ? a->right : a->left;
  }
  *n_same = most;
  return most ? kv_tree_with(p, parent, tokens, most, false) : KV_NONE;
}

int32_t kv_tree_outdone(const pn_kv_pool *p, int32_t parent, const int32_t *tokens, int n) {
  // No other sibling begins with it, so it is the neighbour, and the way down passes it.
  for (int32_t at = p->pages[parent].kids; at != KV_NONE;) {
    const kv_page *a = &p->pages[at];
    int k = same(a, tokens, n);
    if (k == a->n_tokens && k < n && p->ids.id[at].refs == 0) return at;
    at = order(a, tokens, n, k) < 0 ? a->right : a->left;
  }
  return KV_NONE;
}

// Put `to` where `from` hung (under `up`, or as the top of the parent's children).
static void hang(pn_kv_pool *p, int32_t parent, int32_t up, int32_t from, int32_t to) {
  if (up == KV_NONE)
    p->pages[parent].kids = to;
  else if (p->pages[up].left == from)
    p->pages[up].left = to;
  else
    p->pages[up].right = to;
  if (to != KV_NONE) p->pages[to].up = up;
}

// The page changes places with the one above it.
static void rotate_up(pn_kv_pool *p, int32_t page) {
  kv_page *a = &p->pages[page];
  int32_t top = a->up;
  kv_page *t = &p->pages[top];
  hang(p, a->parent, t->up, top, page);
  int32_t moved;
  if (t->left == page) {
    moved = t->left = a->right;
    a->right = top;
  } else {
    moved = t->right = a->left;
    a->left = top;
  }
  t->up = page;
  if (moved != KV_NONE) p->pages[moved].up = top;
  refresh(p, top);
  refresh(p, page);
}

static void refresh_upwards(pn_kv_pool *p, int32_t at) {
  for (; at != KV_NONE; at = p->pages[at].up) refresh(p, at);
}

void kv_tree_touch(pn_kv_pool *p, int32_t page) {
  p->pages[page].used_at = ++p->clock;
  refresh_upwards(p, page);
}

void kv_tree_changed(pn_kv_pool *p, int32_t page) {
  if (p->pages[page].n_tokens) refresh_upwards(p, page);
}

void kv_tree_insert(pn_kv_pool *p, int32_t page, int32_t parent, const int32_t *tokens, int n) {
  kv_page *a = &p->pages[page];
  memcpy(a->tokens, tokens, (size_t)n * sizeof *tokens);
  a->n_tokens = n;
  a->parent = parent;
  a->kids = a->left = a->right = a->up = KV_NONE;
  int32_t *link = &p->pages[parent].kids;
  while (*link != KV_NONE) {
    kv_page *b = &p->pages[a->up = *link];
    link = order(b, tokens, n, same(b, tokens, n)) < 0 ? &b->right : &b->left;
  }
  *link = page;
  if (kv_is_root(p, parent) && p->ids.id[page].refs) p->roots[parent - p->ids.n].n_used++;
  kv_tree_touch(p, page);
  while (a->up != KV_NONE && priority(page) > priority(a->up)) rotate_up(p, page);
}

void kv_tree_remove(pn_kv_pool *p, int32_t page) {
  kv_page *a = &p->pages[page];
  while (a->left != KV_NONE && a->right != KV_NONE)
    rotate_up(p, priority(a->left) > priority(a->right) ? a->left : a->right);
  hang(p, a->parent, a->up, page, a->left != KV_NONE ? a->left : a->right);
  refresh_upwards(p, a->up);
  a->n_tokens = 0;
  if (kv_is_root(p, a->parent) && p->pages[a->parent].kids == KV_NONE) kv_roots_drop(p, a->parent);
}

bool kv_tree_sound(const pn_kv_pool *p, int32_t page) {
  const kv_page *a = &p->pages[page], *above = &p->pages[a->parent];
  const int32_t below[] = {a->left, a->right};
  for (int i = 0; i < 2; i++)
    if (below[i] != KV_NONE && (p->pages[below[i]].up != page || p->pages[below[i]].parent != a->parent ||
                                priority(below[i]) > priority(page)))
      return false;
  if (a->recent != recent_of(p, page) || (p->serves && p->serves[page] != serves_of(p, page))) return false;
  if (!kv_is_root(p, a->parent) && above->n_tokens != PN_KV_PAGE_TOKENS) return false;
  int32_t at = above->kids;
  while (at != KV_NONE && at != page) {
    const kv_page *b = &p->pages[at];
    at = order(b, a->tokens, a->n_tokens, same(b, a->tokens, a->n_tokens)) < 0 ? b->right : b->left;
  }
  return at == page;
}
