// Pages of window groups: each group has a numbering of its own. A page is a table's own, or hangs on the
// tree's page of the same tokens, where it may be evicted alone.
#include "kv/kv_int.h"

#define PAGE PN_KV_PAGE_TOKENS

int kv_window_first(const kv_window *w, int pos) {
  return pos < w->length ? 0 : (pos - w->length + 1) / PAGE;
}

static void unhang(pn_kv_pool *p, kv_window *w, int32_t page) {
  int32_t node = w->node[page];
  w->of_node[node] = w->node[page] = KV_NONE;
  kv_tree_changed(p, node);
}

static void evict(pn_kv_pool *p, kv_window *w) {
  int32_t page = w->ids.oldest;
  kv_ids_uncache(&w->ids, page);
  unhang(p, w, page);
  kv_ids_put(&w->ids, page);
  w->ids.n_evicted++;
}

int32_t kv_window_take(pn_kv_pool *p, kv_window *w) {
  if (w->ids.n_free == 0) {
    if (w->ids.oldest == KV_NONE) return KV_NONE;
    evict(p, w);
  }
  return kv_ids_take(&w->ids);
}

void kv_window_unref(kv_window *w, int32_t page) {
  if (!kv_ids_unref(&w->ids, page)) return;
  if (w->node[page] == KV_NONE)
    kv_ids_put(&w->ids, page);
  else
    kv_ids_cache(&w->ids, page);
}

void kv_window_hang(pn_kv_pool *p, kv_window *w, int32_t page, int32_t node) {
  w->node[page] = node;
  w->of_node[node] = page;
  kv_tree_changed(p, node);
}

void kv_window_drop(pn_kv_pool *p, int32_t node) {
  for (kv_window *w = p->windows; w < p->windows + p->n_windows; w++) {
    int32_t page = w->of_node[node];
    if (page == KV_NONE) continue;
    unhang(p, w, page);
    if (w->ids.id[page].refs) continue;
    kv_ids_uncache(&w->ids, page);
    kv_ids_put(&w->ids, page);
  }
}

void kv_window_forget(pn_kv_pool *p, kv_window *w) {
  while (w->ids.oldest != KV_NONE) evict(p, w);
}

void kv_window_adopt(pn_kv_pool *p, pn_kv_table *t, int i, int32_t node, int pos, bool whole) {
  for (int k = 0; k < p->n_windows; k++) {
    kv_window *w = &p->windows[k];
    int32_t *at = &t->window_pages[k][i], hung = w->of_node[node];
    int32_t own = i < t->n_pages && i >= t->first_window[k] ? *at : KV_NONE;
    if (own != KV_NONE && hung == KV_NONE && whole) {
      kv_window_hang(p, w, own, node);
      continue;
    }
    bool seen = own != KV_NONE || (i >= t->first_window[k] && i >= kv_window_first(w, pos));
    *at = seen ? hung : KV_NONE;
    if (*at != KV_NONE) kv_ids_ref(&w->ids, hung);
    if (own != KV_NONE) kv_window_unref(w, own);
  }
}

void kv_window_give(pn_kv_pool *p, pn_kv_table *t, int i, int32_t node) {
  for (int k = 0; k < p->n_windows; k++)
    if (i >= t->first_window[k]) kv_window_hang(p, &p->windows[k], t->window_pages[k][i], node);
}

static void give_back(kv_window *w, int32_t *page) {
  if (*page != KV_NONE) kv_window_unref(w, *page);
  *page = KV_NONE;
}

void kv_window_pass(pn_kv_pool *p, pn_kv_table *t, int pos) {
  for (int k = 0; k < p->n_windows; k++) {
    int to = kv_least(kv_window_first(&p->windows[k], pos), t->n_pages);
    for (; t->first_window[k] < to; t->first_window[k]++)
      give_back(&p->windows[k], &t->window_pages[k][t->first_window[k]]);
  }
}

void kv_window_cut(pn_kv_pool *p, pn_kv_table *t, int i) {
  for (int k = 0; k < p->n_windows; k++) {
    if (i >= t->first_window[k]) give_back(&p->windows[k], &t->window_pages[k][i]);
    t->first_window[k] = kv_least(t->first_window[k], i);
  }
}
