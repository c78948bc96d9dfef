#include "kv/kv.h"

#include <stdlib.h>

struct pn_kv_pool {
  int n_pages, n_free;
  int32_t *free_pages; // a stack of the free page numbers
  int32_t *refs;       // by page; 0: free
};

pn_kv_pool *pn_kv_pool_new(int n_pages, pn_error *e) {
  if (n_pages < 1) return pn_fail(e, PN_ERR_INTERNAL, "a KV pool of %d pages", n_pages), NULL;
  pn_kv_pool *p = calloc(1, sizeof *p);
  if (p) {
    p->n_pages = p->n_free = n_pages;
    p->free_pages = malloc((size_t)n_pages * sizeof *p->free_pages);
    p->refs = calloc((size_t)n_pages, sizeof *p->refs);
  }
  if (!p || !p->free_pages || !p->refs) {
    pn_fail(e, PN_ERR_NOMEM, "out of memory for the numbers of %d KV pages", n_pages);
    pn_kv_pool_free(p);
    return NULL;
  }
  for (int i = 0; i < n_pages; i++) p->free_pages[i] = n_pages - 1 - i; // lowest first
  return p;
}

void pn_kv_pool_free(pn_kv_pool *p) {
  if (!p) return;
  free(p->free_pages);
  free(p->refs);
  free(p);
}

int pn_kv_pool_free_pages(const pn_kv_pool *p) { return p->n_free; }
int pn_kv_pool_pages(const pn_kv_pool *p) { return p->n_pages; }
int pn_kv_page_refs(const pn_kv_pool *p, int32_t page) { return p->refs[page]; }

int32_t pn_kv_page_take(pn_kv_pool *p) {
  if (p->n_free == 0) return -1;
  int32_t page = p->free_pages[--p->n_free];
  p->refs[page] = 1;
  return page;
}

void pn_kv_page_ref(pn_kv_pool *p, int32_t page) { p->refs[page]++; }

void pn_kv_page_unref(pn_kv_pool *p, int32_t page) {
  if (--p->refs[page] == 0) p->free_pages[p->n_free++] = page;
}

static bool grow(pn_kv_table *t, int n_pages, pn_error *e) {
  if (n_pages <= t->cap_pages) return true;
  int cap = t->cap_pages ? t->cap_pages : 16;
  while (cap < n_pages) cap *= 2;
  int32_t *pages = realloc(t->pages, (size_t)cap * sizeof *pages);
  if (!pages) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a table of %d KV pages", cap);
  t->pages = pages;
  t->cap_pages = cap;
  return true;
}

bool pn_kv_table_reserve(pn_kv_pool *p, pn_kv_table *t, int n, pn_error *e) {
  int want = (n + PN_KV_PAGE_TOKENS - 1) / PN_KV_PAGE_TOKENS, more = want - t->n_pages;
  if (more > p->n_free)
    return pn_fail(e, PN_ERR_LIMIT, "the KV cache is full: %d more pages wanted, %d of %d free", more,
                   p->n_free, p->n_pages);
  if (!grow(t, want, e)) return false;
  while (t->n_pages < want) t->pages[t->n_pages++] = pn_kv_page_take(p);
  if (n > t->n_tokens) t->n_tokens = n;
  return true;
}

void pn_kv_table_fini(pn_kv_pool *p, pn_kv_table *t) {
  for (int i = 0; i < t->n_pages; i++) pn_kv_page_unref(p, t->pages[i]);
  free(t->pages);
  *t = (pn_kv_table){0};
}
