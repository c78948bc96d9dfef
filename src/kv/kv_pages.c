#include "kv/kv_int.h"

#include <stdlib.h>

pn_kv_pool *pn_kv_pool_new(int n_pages, pn_error *e) {
  if (n_pages < 1 || n_pages > INT32_MAX / PN_KV_PAGE_TOKENS)
    return pn_fail(e, PN_ERR_INTERNAL, "a KV pool of %d pages", n_pages), NULL;
  size_t n = (size_t)n_pages;
  pn_kv_pool *p = calloc(1, sizeof *p);
  if (p) {
    p->pages = calloc(n + 1, sizeof *p->pages);
    p->free_pages = malloc(n * sizeof *p->free_pages);
    p->idle = calloc(n / 64 + 1, sizeof *p->idle);
  }
  if (!p || !p->pages || !p->free_pages || !p->idle) {
    pn_fail(e, PN_ERR_NOMEM, "out of memory for the numbers of %d KV pages", n_pages);
    pn_kv_pool_free(p);
    return NULL;
  }
  p->n_pages = p->n_free = p->idle_from = n_pages;
  p->newest = p->oldest = KV_NONE;
  p->root = n_pages;
  p->pages[p->root].kids = KV_NONE;
  for (int i = 0; i < n_pages; i++) p->free_pages[i] = n_pages - 1 - i; // lowest first
  return p;
}

void pn_kv_pool_free(pn_kv_pool *p) {
  if (!p) return;
  free(p->idle);
  free(p->free_pages);
  free(p->pages);
  free(p);
}

pn_kv_stats pn_kv_pool_stats(const pn_kv_pool *p) {
  return (pn_kv_stats){p->n_pages, p->n_free, p->n_used, p->n_cached, p->n_evicted};
}

static void unlink_cached(pn_kv_pool *p, int32_t page) {
  kv_page *a = &p->pages[page];
  *(a->newer == KV_NONE ? &p->newest : &p->pages[a->newer].older) = a->older;
  *(a->older == KV_NONE ? &p->oldest : &p->pages[a->older].newer) = a->newer;
  p->n_cached--;
}

static void link_cached(pn_kv_pool *p, int32_t page) {
  kv_page *a = &p->pages[page];
  a->newer = KV_NONE;
  a->older = p->newest;
  *(p->newest == KV_NONE ? &p->oldest : &p->pages[p->newest].newer) = page;
  p->newest = page;
  p->n_cached++;
}

static void put_free(pn_kv_pool *p, int32_t page) {
  p->free_pages[p->n_free++] = page;
  p->idle[page / 64] |= UINT64_C(1) << page % 64;
  if (page < p->idle_from) p->idle_from = page;
}

void kv_pages_forget(pn_kv_pool *p, int32_t page) {
  unlink_cached(p, page);
  kv_tree_remove(p, page);
  put_free(p, page);
}

void pn_kv_forget(pn_kv_pool *p) {
  for (; p->oldest != KV_NONE; p->n_evicted++) kv_pages_forget(p, p->oldest);
}

int32_t kv_pages_take(pn_kv_pool *p) {
  if (p->n_free == 0) {
    if (p->oldest == KV_NONE) return KV_NONE;
    kv_pages_forget(p, p->oldest);
    p->n_evicted++;
  }
  int32_t page = p->free_pages[--p->n_free];
  p->idle[page / 64] &= ~(UINT64_C(1) << page % 64);
  p->pages[page].refs = 1;
  p->n_used++;
  return page;
}

void kv_pages_ref(pn_kv_pool *p, int32_t page) {
  if (p->pages[page].refs++ > 0) return;
  unlink_cached(p, page);
  p->n_used++;
}

void kv_pages_unref(pn_kv_pool *p, int32_t page) {
  kv_page *a = &p->pages[page];
  if (--a->refs > 0) return;
  p->n_used--;
  if (a->n_tokens == 0) {
    put_free(p, page);
    return;
  }
  link_cached(p, page);
  // A longer page may have come while a copy held this one.
  bool partial = a->n_tokens < PN_KV_PAGE_TOKENS;
  if (partial && kv_tree_with(p, a->parent, a->tokens, a->n_tokens, true) != KV_NONE)
    kv_pages_forget(p, page);
  else
    kv_tree_touch(p, page);
}

void kv_pages_refresh(pn_kv_pool *p, int32_t page) {
  if (p->pages[page].refs == 0) {
    unlink_cached(p, page);
    link_cached(p, page);
  }
  kv_tree_touch(p, page);
}

static bool is_idle(const pn_kv_pool *p, int page) { return p->idle[page / 64] >> page % 64 & 1; }

bool pn_kv_take_idle_run(pn_kv_pool *p, int32_t *first, int *n) {
  int at = p->idle_from;
  while (at < p->n_pages && !is_idle(p, at)) at += p->idle[at / 64] >> at % 64 ? 1 : 64 - at % 64;
  if (at > p->n_pages) at = p->n_pages;
  *first = at;
  for (; at < p->n_pages && is_idle(p, at); at++) p->idle[at / 64] &= ~(UINT64_C(1) << at % 64);
  *n = at - *first;
  p->idle_from = at;
  return *n > 0;
}
