// What the files of the KV room share.
//
// Every page is a node of the radix tree while the tree knows its tokens. A node under another holds the tokens that
// follow it. Only whole pages have nodes under them. The nodes under one parent are a treap, sorted by their tokens.
//
// Invariants:
// - A table that holds a page of the tree holds all pages above it too (a copy under way holds them likewise), so what
//   lies under a cached page is cached.
// - The last reference of the pages of a path goes from the last page to the first: a page comes into the list of cached
//   pages after those under it, its oldest page is a leaf, and all cached pages can be evicted one after the other.
// - No cached partial page is the beginning of another page with the same parent.
#ifndef PN_KV_INT_H
#define PN_KV_INT_H

#include "kv/kv.h"

#define KV_NONE (-1)

typedef struct kv_page {
  int32_t refs;                    // tables and copies that hold it or a page under it
  int32_t holds;                   // copies under way that read this page; counted in refs too
  int32_t older, newer;            // among the cached pages
  int32_t n_tokens;                // 0: not in the tree
  int32_t parent;                  // the page before, or the root
  int32_t kids;                    // the top of the treap of the pages that follow
  int32_t up, left, right, recent; // in the treap of its siblings; recent: the latest used from here down
  uint64_t used_at;                // on the pool's clock
  int32_t tokens[PN_KV_PAGE_TOKENS];
} kv_page;

struct pn_kv_pool {
  int n_pages, n_free, n_used, n_cached;
  uint64_t n_evicted, clock;
  int32_t root;           // == n_pages: a page that is not one, above all first pages
  int32_t newest, oldest; // cached pages
  kv_page *pages;         // [n_pages + 1]
  int32_t *free_pages;    // a stack: what was used last is taken first, since its memory is there
  uint64_t *idle;         // a bit a page: free and not yet reported
  int idle_from;          // no idle page lies before
};

// kv_pages.c: free, used, cached.
int32_t kv_pages_take(pn_kv_pool *p); // free or evicted, with one reference; KV_NONE when all are used
void kv_pages_ref(pn_kv_pool *p, int32_t page);
void kv_pages_unref(pn_kv_pool *p, int32_t page);  // the last: cached when it is in the tree, else free
void kv_pages_forget(pn_kv_pool *p, int32_t page); // a cached leaf becomes free
void kv_pages_refresh(pn_kv_pool *p,
                      int32_t page); // used just now, though nobody holds it; what is above is held

// kv_tree.c: which tokens follow which page. `tokens` are n <= PN_KV_PAGE_TOKENS of them.
// The page under parent that agrees longest with tokens, the latest used of those; *n_same gets how far. KV_NONE: 0.
int32_t kv_tree_find(const pn_kv_pool *p, int32_t parent, const int32_t *tokens, int n, int *n_same);
// The latest used page under parent that begins with tokens[0, n) and, when `longer`, does not end there.
int32_t kv_tree_with(const pn_kv_pool *p, int32_t parent, const int32_t *tokens, int n, bool longer);
// A cached page under parent that holds fewer than n tokens, the same ones.
int32_t kv_tree_outdone(const pn_kv_pool *p, int32_t parent, const int32_t *tokens, int n);
void kv_tree_insert(pn_kv_pool *p, int32_t page, int32_t parent, const int32_t *tokens, int n);
void kv_tree_remove(pn_kv_pool *p, int32_t page); // a leaf
void kv_tree_touch(pn_kv_pool *p, int32_t page);  // used now
bool kv_tree_sound(const pn_kv_pool *p, int32_t page);

#endif
