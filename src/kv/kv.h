// Pages of the KV cache as integers: a pool of pages with reference counts, the page tables of sequences, and a radix
// tree that remembers which tokens the pages hold, so that a later sequence with the same beginning uses them again.
// No tensors here: a backend owns the memory that the numbers stand for.
//
// A page is free, used (some table or copy holds it) or cached (only the tree holds it): free + used + cached = all.
// Pages in use may be in the tree too. When no page is free, the cached page that was used longest ago gives way, leaves first.
//
// Thread: the engine's. After pn_kv_pool_new and pn_kv_table_init nothing allocates.
#ifndef PN_KV_H
#define PN_KV_H

#include "base/error.h"

#include <stdint.h>

#define PN_KV_PAGE_TOKENS 32

typedef struct pn_kv_pool pn_kv_pool;

pn_kv_pool *pn_kv_pool_new(int n_pages, pn_error *e);
void pn_kv_pool_free(pn_kv_pool *p); // every table must have given its pages back

typedef struct pn_kv_stats {
  int n_pages, n_free, n_used, n_cached;
  uint64_t n_evicted; // pages that the tree gave up so far
} pn_kv_stats;
pn_kv_stats pn_kv_pool_stats(const pn_kv_pool *p);

// The page table of one sequence: position p lies in pages[p / PN_KV_PAGE_TOKENS].
typedef struct pn_kv_table {
  int32_t *pages;
  int n_pages, cap_pages;
  int n_known; // leading pages that stand in the tree
} pn_kv_table;

// An empty table with room for the pages of max_tokens. The only allocation of a sequence; any thread.
bool pn_kv_table_init(pn_kv_table *t, int max_tokens, pn_error *e);
void pn_kv_table_fini(pn_kv_table *t); // its pages must have been given back

// How much of tokens[0, n) the tree knows. `differs` gets the token with which the most recent of the known
// continuations goes on where they part, -1 when nothing known goes on there. Changes nothing.
int pn_kv_lookup(const pn_kv_pool *p, const int32_t *tokens, int n, int32_t *differs);

// What pn_kv_attach found.
typedef struct pn_kv_prefix {
  int n_tokens;      // positions [0, n_tokens) are in the table's pages once the copy below is made
  int32_t copy_from; // page to copy to copy_to before anything else is written; -1: nothing to copy
  int32_t copy_to;   // a page of the table
} pn_kv_prefix;

// The longest prefix of tokens[0, n) that is cached, into the table, which holds the first n_computed of them already (0:
// an empty table): whole pages are shared; of a page that agrees only in part a copy is wanted. When the tree knows no
// more than n_computed tokens nothing changes. Pages that were reserved behind n_computed are given back first.
// n_computed is 0 or counts at least the pages that are the tree's. At most what the table has room for is taken.
// copy_from is held until pn_kv_attached is called, after the copy. No page for the copy: only whole pages are taken.
void pn_kv_attach(pn_kv_pool *p, pn_kv_table *t, const int32_t *tokens, int n_computed, int n,
                  pn_kv_prefix *out);
void pn_kv_attached(pn_kv_pool *p, const pn_kv_prefix *prefix);

// Make the table long enough for n tokens in all (within its capacity; PN_ERR_INTERNAL beyond). PN_ERR_LIMIT when too
// few pages are free or cached; the table then keeps what it had.
bool pn_kv_reserve(pn_kv_pool *p, pn_kv_table *t, int n, pn_error *e);

// Let others share the whole pages of the first n_computed tokens, while the sequence goes on. A page whose tokens the
// tree knows already is exchanged for the tree's.
void pn_kv_publish(pn_kv_pool *p, pn_kv_table *t, const int32_t *tokens, int n_computed);

// The sequence ends or pauses: what it computed stays in the tree, a last partial page too; the table is empty then.
// n_computed 0: nothing is kept that was not published.
void pn_kv_release(pn_kv_pool *p, pn_kv_table *t, const int32_t *tokens, int n_computed);

// Everything that only the tree remembers is forgotten: cached pages become free.
void pn_kv_forget(pn_kv_pool *p);

// The next run of pages that are free and were used since they were last reported: their memory may go back. False:
// no more.
bool pn_kv_take_idle_run(pn_kv_pool *p, int32_t *first, int *n);

// Pages that hold n_tokens, which stay below 2^31 pages.
static inline int pn_kv_pages_of(int64_t n_tokens) {
  return n_tokens > 0 ? (int)((n_tokens - 1) / PN_KV_PAGE_TOKENS + 1) : 0;
}

// The physical slot of position pos, which must be reserved.
static inline int32_t pn_kv_slot(const pn_kv_table *t, int pos) {
  return t->pages[pos / PN_KV_PAGE_TOKENS] * PN_KV_PAGE_TOKENS + pos % PN_KV_PAGE_TOKENS;
}

// For tests: every count agrees with what is reachable.
bool pn_kv_pool_check(const pn_kv_pool *p, const pn_kv_table *const *tables, int n_tables, pn_error *e);

#endif
