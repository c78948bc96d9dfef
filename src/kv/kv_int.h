// What the files of the KV room share.
//
// Every page of the full groups is a node of a radix tree while the tree knows its tokens. A node under
// another holds the tokens that follow it. Only whole pages have nodes under them. The nodes under one parent
// are a treap, sorted by their tokens. A salt has a root, a node number behind those of the pages. Window
// pages and snapshots hang on nodes.
//
//   root of a salt -- page 4 (32 tokens) -- page 9 (32 tokens) -- page 2 (7 tokens)
//                     window page -          window page 3        window page 0       (one a window group)
//                     snapshots -            at 11: slot 5        at 7: slot 1        (at most one an offset)
//
// Invariants:
// - A table that holds a page of the tree holds all pages above it too (copies and pins hold them likewise),
//   so what lies under a cached page is cached.
// - The last reference of the pages of a path goes from the last page to the first: a page comes into the
//   list of cached pages after those under it, its oldest page is a leaf, and all cached pages can be evicted
//   one after the other.
// - No cached partial page is the beginning of another page with the same parent.
// - A window page that hangs on a node holds all tokens of the node. The window pages of a table's known
//   pages hang on those pages.
// - A root has pages under it, or is free.
#ifndef PN_KV_INT_H
#define PN_KV_INT_H

#include "kv/kv.h"

#define KV_NONE (-1)

// A set of numbers, each free, used or cached. Cached ones are a list by their last use.
typedef struct kv_id {
  int32_t refs;  // what holds it
  int32_t holds; // copies among those (of pages: that read this one; the ones above are only referenced)
  int32_t pins;  // pins among those (of pages: of this one or one under it)
  int32_t older, newer; // among the cached ones
} kv_id;

typedef struct kv_ids {
  int n, n_free, n_used, n_cached, n_pinned;
  uint64_t n_evicted;
  int32_t newest, oldest; // cached
  kv_id *id;
  int32_t *free;  // a stack: what was used last is taken first, since its memory is there
  uint64_t *idle; // a bit each: free and not yet reported
  int idle_from;  // no idle one lies before
} kv_ids;

typedef struct kv_page {
  int32_t n_tokens;                // 0: not in the tree
  int32_t parent;                  // the page before, or the root
  int32_t kids;                    // the top of the treap of the pages that follow
  int32_t up, left, right, recent; // in the treap of its siblings; recent: the latest used from here down
  uint64_t used_at;                // on the pool's clock
  int32_t tokens[PN_KV_PAGE_TOKENS];
} kv_page;

typedef struct kv_window {
  int length;
  kv_ids ids;
  int32_t *node;    // of a window page: what it hangs on, or KV_NONE
  int32_t *of_node; // the other way round
} kv_window;

typedef struct kv_snapshot { // a slot
  int32_t node, next;        // what it hangs on, or KV_NONE; the next on the same node
  int offset;                // the state after so many tokens of the node
} kv_snapshot;

typedef struct kv_states {
  kv_ids ids;
  kv_snapshot *slot;
  int32_t *of_node;  // the first snapshot of a node
  uint32_t *offsets; // of a node: bit o - 1: there is one at offset o
} kv_states;

typedef struct kv_root {
  uint64_t salt;
  int32_t next;   // in its bucket, or among the free ones
  int32_t n_used; // first pages that are used
} kv_root;

struct pn_kv_pool {
  pn_kv_setup setup;
  kv_ids ids; // of pages
  uint64_t clock;
  kv_page *pages;   // [n pages + n_salts]
  uint32_t *serves; // with windows or states: what the treap from a node down offers, see kv_serves
  int n_windows;
  kv_window windows[PN_KV_MAX_WINDOWS];
  kv_states states; // ids.n 0: no state group
  int n_roots;
  int32_t free_root, *buckets; // as many as salts
  kv_root *roots;
};

static inline bool kv_is_root(const pn_kv_pool *p, int32_t node) { return node >= p->ids.n; }
static inline int kv_least(int a, int b) { return a < b ? a : b; }
static inline uint32_t kv_bits(int n) { return n >= 32 ? UINT32_MAX : (UINT32_C(1) << n) - 1; }

// kv_ids.c
bool kv_ids_init(kv_ids *s, int n);
void kv_ids_fini(kv_ids *s);
int32_t kv_ids_take(kv_ids *s);           // a free one, of which there is one; with one reference
void kv_ids_ref(kv_ids *s, int32_t id);   // one that is used or cached
bool kv_ids_unref(kv_ids *s, int32_t id); // whether it was the last: then cache or put it
void kv_ids_cache(kv_ids *s, int32_t id);
void kv_ids_uncache(kv_ids *s, int32_t id);
void kv_ids_put(kv_ids *s, int32_t id); // free
void kv_ids_pin(kv_ids *s, int32_t id, int by);
bool kv_ids_idle_run(kv_ids *s, int32_t *first, int *n);
pn_kv_stats kv_ids_stats(const kv_ids *s);

// kv_pages.c: pages: free, used, cached.
int32_t kv_pages_take(pn_kv_pool *p); // free or evicted, with one reference; KV_NONE when all are used
void kv_pages_ref(pn_kv_pool *p, int32_t page);
void kv_pages_unref(pn_kv_pool *p, int32_t page);  // the last: cached when it is in the tree, else free
void kv_pages_forget(pn_kv_pool *p, int32_t page); // a cached leaf becomes free, with what hangs on it
void kv_pages_refresh(pn_kv_pool *p,
                      int32_t page); // used just now, though nobody holds it; what is above is held
void kv_pages_hold(pn_kv_pool *p, int32_t page); // and all above
void kv_pages_let_go(pn_kv_pool *p, int32_t page);

// kv_tree.c: which tokens follow which page. `tokens` are n <= PN_KV_PAGE_TOKENS of them. The page under
// parent that agrees longest with tokens, the latest used of those; *n_same gets how far. KV_NONE: 0.
int32_t kv_tree_find(const pn_kv_pool *p, int32_t parent, const int32_t *tokens, int n, int *n_same);
// The latest used page under parent that begins with tokens[0, n) and, when `longer`, does not end there.
int32_t kv_tree_with(const pn_kv_pool *p, int32_t parent, const int32_t *tokens, int n, bool longer);
// Some page under parent that begins with tokens[0, n) and serves there (kv_serves).
int32_t kv_tree_serving(const pn_kv_pool *p, int32_t parent, const int32_t *tokens, int n);
// A cached page under parent that holds fewer than n tokens, the same ones.
int32_t kv_tree_outdone(const pn_kv_pool *p, int32_t parent, const int32_t *tokens, int n);
void kv_tree_insert(pn_kv_pool *p, int32_t page, int32_t parent, const int32_t *tokens, int n);
void kv_tree_remove(pn_kv_pool *p, int32_t page);  // a leaf; nothing hangs on it
void kv_tree_touch(pn_kv_pool *p, int32_t page);   // used now
void kv_tree_changed(pn_kv_pool *p, int32_t page); // what it serves did
bool kv_tree_sound(const pn_kv_pool *p, int32_t page);

// kv_roots.c: a salt's node.
bool kv_roots_init(pn_kv_pool *p, int n_salts);
int32_t kv_roots_find(const pn_kv_pool *p, uint64_t salt); // KV_NONE: it has no pages
int32_t kv_roots_get(pn_kv_pool *p,
                     uint64_t salt); // made, if need be by forgetting another; KV_NONE: all are in use
void kv_roots_drop(pn_kv_pool *p, int32_t root); // nothing is under it

// kv_window.c
// The first page that a row at pos or behind sees.
int kv_window_first(const kv_window *w, int pos);
int32_t kv_window_take(pn_kv_pool *p,
                       kv_window *w); // free or evicted, with one reference; KV_NONE when all are used
void kv_window_unref(kv_window *w, int32_t page);
void kv_window_hang(pn_kv_pool *p, kv_window *w, int32_t page,
                    int32_t node);                // a used page; the node has none
void kv_window_drop(pn_kv_pool *p, int32_t node); // what hangs on the node; free when nothing holds it
void kv_window_forget(pn_kv_pool *p, kv_window *w);
// Page i of the table is the tree's page `node` from now on. Its own window pages are exchanged for the
// tree's, or, when they are whole, become the tree's. Of window pages that the table has not, those that a
// row at `pos` sees are taken.
void kv_window_adopt(pn_kv_pool *p, pn_kv_table *t, int i, int32_t node, int pos, bool whole);
void kv_window_give(pn_kv_pool *p, pn_kv_table *t, int i,
                    int32_t node);                           // page i is now that node: its window pages too
void kv_window_pass(pn_kv_pool *p, pn_kv_table *t, int pos); // gives back what a row at pos does not see
void kv_window_cut(pn_kv_pool *p, pn_kv_table *t, int i);    // gives back the last page, which is page i

// kv_state.c
int32_t kv_state_take(pn_kv_pool *p); // free or evicted, with one reference; KV_NONE when all are used
void kv_state_unref(pn_kv_pool *p, int32_t slot);
int32_t kv_state_at(const pn_kv_pool *p, int32_t node, int offset);        // KV_NONE: none
void kv_state_hang(pn_kv_pool *p, int32_t slot, int32_t node, int offset); // gives up the caller's reference
void kv_state_drop(pn_kv_pool *p, int32_t node); // what hangs on the node; free when nothing holds it
void kv_state_move(pn_kv_pool *p, int32_t from, int32_t to); // snapshots, to a node that begins like theirs
void kv_state_forget(pn_kv_pool *p);
// The table's marks in pages that are known now, or in its next page, which is the tree's `part` (KV_NONE:
// not yet), hang.
void kv_state_settle(pn_kv_pool *p, pn_kv_table *t, int32_t part);
void kv_state_cut(pn_kv_pool *p, pn_kv_table *t, int n); // gives up marks behind n

// kv_point.c: where a sequence can go on. Where tokens[0, n) end in the tree: after n_whole pages (`node` is
// the last of them, or the root) and n_part tokens of the page `part` (KV_NONE: 0).
typedef struct kv_place {
  int32_t node, part;
  int n_whole, n_part;
} kv_place;

typedef struct kv_point {
  int n_tokens;
  int32_t node; // the page that position n_tokens - 1 is in
  int32_t slot; // of the state; KV_NONE without states
} kv_point;

// The step from `at` with the tokens of the next page; false when they do not go through a whole page.
bool kv_place_walk(const pn_kv_pool *p, kv_place *at, const int32_t *tokens, int n);
// Which offsets of a node can be gone on at, as far as the node itself is asked: bit o - 1.
uint32_t kv_serves(const pn_kv_pool *p, int32_t node);
// The last point up to `at` and behind n_computed from which every group can go on. With a table (none: as an
// empty one) that holds n_computed tokens, its own whole window pages count, and there must be pages for the
// copies.
bool kv_point_find(const pn_kv_pool *p, const pn_kv_table *t, kv_place at, const int32_t *tokens,
                   int n_computed, kv_point *out);

// kv.c
// A page of tokens becomes the tree's; the shorter cached one of the same tokens goes, its snapshots stay.
void kv_remember(pn_kv_pool *p, int32_t page, int32_t parent, const int32_t *tokens, int n);

#endif
