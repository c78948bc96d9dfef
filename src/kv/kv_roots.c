// The roots of the trees: one a salt that has pages, found by hashing, made with the first page and gone with
// the last.
#include "base/hash.h"
#include "kv/kv_int.h"

#include <stdlib.h>

bool kv_roots_init(pn_kv_pool *p, int n_salts) {
  size_t n = (size_t)n_salts;
  p->roots = calloc(n, sizeof *p->roots);
  p->buckets = malloc(n * sizeof *p->buckets);
  if (!p->roots || !p->buckets) return false;
  for (int i = 0; i < n_salts; i++) {
    p->buckets[i] = KV_NONE;
    p->roots[i].next = i + 1 < n_salts ? i + 1 : KV_NONE;
    p->pages[p->ids.n + i].kids = KV_NONE;
  }
  p->free_root = 0;
  return true;
}

static int32_t *bucket(const pn_kv_pool *p, uint64_t salt) {
  return &p->buckets[pn_hash_u64(salt + 1) % (uint64_t)p->setup.n_salts];
}

int32_t kv_roots_find(const pn_kv_pool *p, uint64_t salt) {
  int32_t i = *bucket(p, salt);
  while (i != KV_NONE && p->roots[i].salt != salt) i = p->roots[i].next;
  return i == KV_NONE ? KV_NONE : p->ids.n + i;
}

// All pages under a root of which none is used are forgotten, and the root with them.
static void forget_root(pn_kv_pool *p, int32_t root) {
  for (int32_t at = p->pages[root].kids, above; !kv_is_root(p, at); at = above) {
    while (p->pages[at].kids != KV_NONE) at = p->pages[at].kids;
    above = p->pages[at].parent;
    kv_pages_forget(p, at);
    p->ids.n_evicted++;
    if (above == root) above = p->pages[root].kids != KV_NONE ? p->pages[root].kids : root;
  }
}

static uint64_t used_at(const pn_kv_pool *p, int32_t root) {
  return p->pages[p->pages[p->pages[root].kids].recent].used_at;
}

// The salt that was used longest ago, of those that nothing uses now, gives way. Called when there is no free
// root.
static bool make_room(pn_kv_pool *p) {
  int32_t oldest = KV_NONE;
  for (int i = 0; i < p->setup.n_salts; i++) {
    int32_t root = p->ids.n + i;
    if (p->roots[i].n_used == 0 && (oldest == KV_NONE || used_at(p, root) < used_at(p, oldest)))
      oldest = root;
  }
  if (oldest == KV_NONE) return false;
  forget_root(p, oldest);
  return true;
}

int32_t kv_roots_get(pn_kv_pool *p, uint64_t salt) {
  int32_t root = kv_roots_find(p, salt);
  if (root != KV_NONE || (p->free_root == KV_NONE && !make_room(p))) return root;
  int32_t i = p->free_root, *first = bucket(p, salt);
  p->free_root = p->roots[i].next;
  p->roots[i] = (kv_root){salt, *first, 0};
  *first = i;
  p->n_roots++;
  return p->ids.n + i;
}

void kv_roots_drop(pn_kv_pool *p, int32_t root) {
  int32_t i = root - p->ids.n, *link = bucket(p, p->roots[i].salt);
  while (*link != i) link = &p->roots[*link].next;
  *link = p->roots[i].next;
  p->roots[i].next = p->free_root;
  p->free_root = i;
  p->n_roots--;
}
