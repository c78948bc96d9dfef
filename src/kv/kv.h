// Pages of the KV cache as integers: a pool of page numbers with reference counts, and the page table of a sequence.
// No tensors here: a backend owns the memory that the numbers stand for. Owned by the engine's thread.
#ifndef PN_KV_H
#define PN_KV_H

#include "base/error.h"

#include <stdint.h>

#define PN_KV_PAGE_TOKENS 32

typedef struct pn_kv_pool pn_kv_pool;

pn_kv_pool *pn_kv_pool_new(int n_pages, pn_error *e);
void pn_kv_pool_free(pn_kv_pool *p); // every page must be back
int pn_kv_pool_free_pages(const pn_kv_pool *p);
int pn_kv_pool_pages(const pn_kv_pool *p);
int32_t pn_kv_page_take(pn_kv_pool *p); // a page with one reference, or -1 when none is free
void pn_kv_page_ref(pn_kv_pool *p, int32_t page);
void pn_kv_page_unref(pn_kv_pool *p, int32_t page); // free at zero
int pn_kv_page_refs(const pn_kv_pool *p, int32_t page);

// The page table of one sequence. Zero-initialise; pn_kv_table_fini gives the pages back.
typedef struct pn_kv_table {
  int32_t *pages;
  int n_pages, cap_pages;
  int n_tokens;
} pn_kv_table;

// Make the table long enough for `n` tokens in all (table memory too). PN_ERR_LIMIT when the pool is empty; the table
// then keeps what it had.
bool pn_kv_table_reserve(pn_kv_pool *p, pn_kv_table *t, int n, pn_error *e);
// The physical slot of position pos, which must be reserved.
static inline int32_t pn_kv_slot(const pn_kv_table *t, int pos) {
  return t->pages[pos / PN_KV_PAGE_TOKENS] * PN_KV_PAGE_TOKENS + pos % PN_KV_PAGE_TOKENS;
}
void pn_kv_table_fini(pn_kv_pool *p, pn_kv_table *t);

#endif
