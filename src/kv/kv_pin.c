// Pins: a known prefix that is never evicted, with the window pages and the snapshot that going on behind it
// needs.
#include "kv/kv_int.h"

#include <stddef.h>

#define PAGE PN_KV_PAGE_TOKENS

static bool too_many(const kv_ids *ids, int more, const char *what, pn_error *e) {
  if (ids->n_pinned + more <= ids->n / 2) return false;
  pn_fail(e, PN_ERR_LIMIT, "pins would hold %d of %d KV %s, at most half", ids->n_pinned + more, ids->n,
          what);
  return true;
}

// The pages of a pin from the last, which is page (n_tokens - 1) / PAGE, to the first that a window sees.
static int n_seen(const kv_window *w, int n_tokens) {
  return (n_tokens - 1) / PAGE + 1 - kv_window_first(w, n_tokens);
}

static bool within_bounds(const pn_kv_pool *p, const pn_kv_pin *pin, pn_error *e) {
  int more = 0;
  for (int32_t at = pin->page; !kv_is_root(p, at) && !p->ids.id[at].pins; at = p->pages[at].parent) more++;
  if (too_many(&p->ids, more, "pages", e)) return false;
  for (const kv_window *w = p->windows; w < p->windows + p->n_windows; w++) {
    int32_t at = pin->page;
    more = 0;
    for (int i = n_seen(w, pin->n_tokens); i > 0; i--, at = p->pages[at].parent)
      more += !w->ids.id[w->of_node[at]].pins;
    if (too_many(&w->ids, more, "window pages", e)) return false;
  }
  return pin->slot < 0 || p->states.ids.id[pin->slot].pins || !too_many(&p->states.ids, 1, "states", e);
}

static void pin_all(pn_kv_pool *p, const pn_kv_pin *pin) {
  for (kv_window *w = p->windows; w < p->windows + p->n_windows; w++) {
    int32_t at = pin->page;
    for (int i = n_seen(w, pin->n_tokens); i > 0; i--, at = p->pages[at].parent) {
      kv_ids_ref(&w->ids, w->of_node[at]);
      kv_ids_pin(&w->ids, w->of_node[at], 1);
    }
  }
  if (pin->slot >= 0) {
    kv_ids_ref(&p->states.ids, pin->slot);
    kv_ids_pin(&p->states.ids, pin->slot, 1);
  }
  for (int32_t at = pin->page; !kv_is_root(p, at); at = p->pages[at].parent) {
    kv_pages_ref(p, at);
    kv_ids_pin(&p->ids, at, 1);
  }
}

bool pn_kv_pin_prefix(pn_kv_pool *p, uint64_t salt, const int32_t *tokens, int n, pn_kv_pin *pin,
                      pn_error *e) {
  *pin = (pn_kv_pin){0, KV_NONE, KV_NONE};
  kv_place at = {kv_roots_find(p, salt), KV_NONE, 0, 0};
  kv_point point;
  if (at.node == KV_NONE) return true;
  while (kv_place_walk(p, &at, tokens, n)) {}
  if (!kv_point_find(p, NULL, at, tokens, 0, &point)) return true;
  const pn_kv_pin found = {point.n_tokens, point.node, point.slot};
  if (!within_bounds(p, &found, e)) return false;
  *pin = found;
  pin_all(p, pin);
  return true;
}

void pn_kv_unpin(pn_kv_pool *p, const pn_kv_pin *pin) {
  if (pin->n_tokens == 0) return;
  for (kv_window *w = p->windows; w < p->windows + p->n_windows; w++) {
    int32_t at = pin->page;
    for (int i = n_seen(w, pin->n_tokens); i > 0; i--, at = p->pages[at].parent) {
      int32_t page = w->of_node[at];
      kv_ids_pin(&w->ids, page, -1);
      kv_window_unref(w, page);
    }
  }
  if (pin->slot >= 0) {
    kv_ids_pin(&p->states.ids, pin->slot, -1);
    kv_state_unref(p, pin->slot);
  }
  for (int32_t at = pin->page, above; !kv_is_root(p, at); at = above) {
    above = p->pages[at].parent;
    kv_ids_pin(&p->ids, at, -1);
    kv_pages_unref(p, at);
  }
}
