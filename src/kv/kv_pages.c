// Pages of the full groups as they become free, used and cached; what hangs on one goes with it.
#include "kv/kv_int.h"

void kv_pages_forget(pn_kv_pool *p, int32_t page) {
  kv_ids_uncache(&p->ids, page);
  kv_window_drop(p, page);
  kv_state_drop(p, page);
  kv_tree_remove(p, page);
  kv_ids_put(&p->ids, page);
}

int32_t kv_pages_take(pn_kv_pool *p) {
  if (p->ids.n_free == 0) {
    if (p->ids.oldest == KV_NONE) return KV_NONE;
    kv_pages_forget(p, p->ids.oldest);
    p->ids.n_evicted++;
  }
  return kv_ids_take(&p->ids);
}

// The root counts its first pages that are used.
static void count_used(pn_kv_pool *p, int32_t page, int by) {
  const kv_page *a = &p->pages[page];
  if (a->n_tokens && kv_is_root(p, a->parent)) p->roots[a->parent - p->ids.n].n_used += by;
}

void kv_pages_ref(pn_kv_pool *p, int32_t page) {
  if (p->ids.id[page].refs == 0) count_used(p, page, 1);
  kv_ids_ref(&p->ids, page);
}

void kv_pages_unref(pn_kv_pool *p, int32_t page) {
  const kv_page *a = &p->pages[page];
  if (!kv_ids_unref(&p->ids, page)) return;
  if (a->n_tokens == 0) {
    kv_ids_put(&p->ids, page);
    return;
  }
  count_used(p, page, -1);
  kv_ids_cache(&p->ids, page);
  // A longer page may have come while a copy held this one.
  bool partial = a->n_tokens < PN_KV_PAGE_TOKENS;
  int32_t longer = partial ? kv_tree_with(p, a->parent, a->tokens, a->n_tokens, true) : KV_NONE;
  if (longer != KV_NONE) {
    kv_state_move(p, page, longer);
    kv_pages_forget(p, page);
  } else {
    kv_tree_touch(p, page);
  }
}

void kv_pages_refresh(pn_kv_pool *p, int32_t page) {
  if (p->ids.id[page].refs == 0) {
    kv_ids_uncache(&p->ids, page);
    kv_ids_cache(&p->ids, page);
  }
  kv_tree_touch(p, page);
}

void kv_pages_hold(pn_kv_pool *p, int32_t page) {
  p->ids.id[page].holds++;
  for (; !kv_is_root(p, page); page = p->pages[page].parent) kv_pages_ref(p, page);
}

void kv_pages_let_go(pn_kv_pool *p, int32_t page) {
  p->ids.id[page].holds--;
  for (int32_t above; !kv_is_root(p, page); page = above) {
    above = p->pages[page].parent;
    kv_pages_unref(p, page);
  }
}
