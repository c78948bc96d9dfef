// What moving known pages out of and into the pool needs: their numbers and names in order, and a way for one
// more page to become known. The bytes are the backend's.
#include "base/hash.h"
#include "kv/kv_int.h"

#define PAGE PN_KV_PAGE_TOKENS

static pn_kv_span span_of(const pn_kv_pool *p, int32_t node, int from, int n) {
  pn_kv_span out = {.from = from, .n_tokens = n, .page = node, .state = KV_NONE, .held = KV_NONE};
  for (int k = 0; k < PN_KV_MAX_WINDOWS; k++)
    out.window[k] = k < p->n_windows ? p->windows[k].of_node[node] : KV_NONE;
  for (int o = n; p->states.ids.n && o > 0 && out.state == KV_NONE; o--) {
    out.state = kv_state_at(p, node, o);
    out.state_pos = out.state == KV_NONE ? 0 : from + o;
  }
  return out;
}

int pn_kv_export(const pn_kv_pool *p, uint64_t salt, const int32_t *tokens, int n, pn_kv_span *out, int cap) {
  uint64_t hash = pn_hash_u64(salt + 1);
  kv_place at = {kv_roots_find(p, salt), KV_NONE, 0, 0};
  int n_out = 0;
  for (bool whole = at.node != KV_NONE; whole && n_out < cap;) {
    int from = at.n_whole * PAGE;
    whole = kv_place_walk(p, &at, tokens, n);
    int32_t node = whole ? at.node : at.part;
    if (node == KV_NONE) break;
    pn_kv_span s = span_of(p, node, from, whole ? PAGE : at.n_part);
    for (int i = from; i < from + s.n_tokens; i++) hash = pn_hash_u64(hash + (uint32_t)tokens[i] + 1);
    s.hash = hash;
    out[n_out++] = s;
  }
  return n_out;
}

// ---- import ----

// The page before, or the root; KV_NONE: not known. A root that is to be is 'none before' as well.
static int32_t page_before(const pn_kv_pool *p, int32_t root, const int32_t *tokens, int from) {
  kv_place at = {root, KV_NONE, 0, 0};
  if (root == KV_NONE) return KV_NONE;
  while (at.n_whole * PAGE < from)
    if (!kv_place_walk(p, &at, tokens, from)) return KV_NONE;
  return at.node;
}

static void unimport(pn_kv_pool *p, const pn_kv_span *in) {
  for (int k = 0; k < p->n_windows; k++) {
    if (in->window[k] < 0) continue;
    p->windows[k].ids.id[in->window[k]].holds--;
    kv_window_unref(&p->windows[k], in->window[k]);
  }
  if (in->state >= 0) {
    p->states.ids.id[in->state].holds--;
    kv_state_unref(p, in->state);
  }
  if (in->page >= 0) {
    p->ids.id[in->page].holds--;
    kv_pages_unref(p, in->page);
  }
  if (in->held >= 0) kv_pages_let_go(p, in->held);
}

// What `want` has and the tree's page `node` (KV_NONE: no such page) has not: 0, else KV_NONE.
static pn_kv_span missing(const pn_kv_pool *p, const pn_kv_span *want, int32_t node, const pn_kv_span *in) {
  pn_kv_span out = *in;
  bool new = node == KV_NONE, same = new || p->pages[node].n_tokens == in->n_tokens;
  int offset = want->state_pos - in->from;
  if (new) out.page = 0;
  for (int k = 0; same && k < p->n_windows; k++)
    if (want->window[k] >= 0 && (new || p->windows[k].of_node[node] == KV_NONE)) out.window[k] = 0;
  if (p->states.ids.n && want->state >= 0 && offset >= 1 && offset <= in->n_tokens &&
      (new || kv_state_at(p, node, offset) == KV_NONE))
    out.state = 0;
  return out;
}

static bool none_left(const kv_ids *ids) { return ids->n_free + ids->n_cached == 0; }

// Numbers for what is missing; false: not one of them.
static bool take_missing(pn_kv_pool *p, pn_kv_span *in) {
  if ((in->page == 0 && none_left(&p->ids)) || (in->state == 0 && none_left(&p->states.ids))) return false;
  for (int k = 0; k < p->n_windows; k++)
    if (in->window[k] == 0 && none_left(&p->windows[k].ids)) return false;
  if (in->page == 0) p->ids.id[in->page = kv_pages_take(p)].holds++;
  for (int k = 0; k < p->n_windows; k++)
    if (in->window[k] == 0) p->windows[k].ids.id[in->window[k] = kv_window_take(p, &p->windows[k])].holds++;
  if (in->state == 0) p->states.ids.id[in->state = kv_state_take(p)].holds++;
  return true;
}

bool pn_kv_import(pn_kv_pool *p, uint64_t salt, const int32_t *tokens, int n, pn_kv_span *in, pn_error *e) {
  const pn_kv_span want = *in;
  if (n < 1) return pn_fail(e, PN_ERR_INTERNAL, "a KV page with %d tokens is imported", n);
  int from = (n - 1) / PAGE * PAGE;
  *in = (pn_kv_span){.from = from, .n_tokens = n - from, .state_pos = want.state_pos};
  in->page = in->state = in->held = KV_NONE;
  for (int k = 0; k < PN_KV_MAX_WINDOWS; k++) in->window[k] = KV_NONE;
  int32_t above = page_before(p, kv_roots_find(p, salt), tokens, from);
  if (above == KV_NONE && from > 0)
    return pn_fail(e, PN_ERR_NOT_FOUND, "the %d tokens before an imported KV page are not known", from);
  int32_t node = above == KV_NONE ? KV_NONE : kv_tree_with(p, above, tokens + from, n - from, false);
  int32_t held = node != KV_NONE ? node : above;
  if (held != KV_NONE && !kv_is_root(p, held)) kv_pages_hold(p, in->held = held);
  *in = missing(p, &want, node, in);
  if (take_missing(p, in)) return true;
  if (in->held >= 0) kv_pages_let_go(p, in->held);
  return pn_fail(e, PN_ERR_LIMIT, "the KV cache is full: nothing is free for an imported page");
}

// The tree's page for the imported tokens: one that came meanwhile, or the imported one.
static int32_t settle(pn_kv_pool *p, uint64_t salt, const int32_t *tokens, const pn_kv_span *in) {
  int32_t root = in->from || in->page < 0 ? kv_roots_find(p, salt) : kv_roots_get(p, salt);
  int32_t above = page_before(p, root, tokens, in->from);
  if (above == KV_NONE) return KV_NONE;
  int32_t node = kv_tree_with(p, above, tokens + in->from, in->n_tokens, false);
  if (node != KV_NONE || in->page < 0) return node;
  kv_remember(p, in->page, above, tokens + in->from, in->n_tokens);
  return in->page;
}

void pn_kv_imported(pn_kv_pool *p, uint64_t salt, const int32_t *tokens, const pn_kv_span *in, bool kept) {
  int32_t node = kept ? settle(p, salt, tokens, in) : KV_NONE;
  if (node != KV_NONE && p->pages[node].n_tokens == in->n_tokens)
    for (int k = 0; k < p->n_windows; k++)
      if (in->window[k] >= 0 && p->windows[k].of_node[node] == KV_NONE)
        kv_window_hang(p, &p->windows[k], in->window[k], node);
  if (node != KV_NONE && in->state >= 0) {
    kv_ids_ref(&p->states.ids, in->state); // hanging takes this one
    kv_state_hang(p, in->state, node, in->state_pos - in->from);
  }
  unimport(p, in);
}
