// Where a sequence can go on: the last point of a known prefix at which every group has what the next row
// needs. A full group can at every token, a window group where the pages that the row sees are there, a state
// group at a snapshot.
#include "kv/kv_int.h"

#define PAGE PN_KV_PAGE_TOKENS

bool kv_place_walk(const pn_kv_pool *p, kv_place *at, const int32_t *tokens, int n) {
  int from = at->n_whole * PAGE;
  at->part = kv_tree_find(p, at->node, tokens + from, kv_least(n - from, PAGE), &at->n_part);
  if (at->n_part < PAGE) return false;
  *at = (kv_place){at->part, KV_NONE, at->n_whole + 1, 0};
  return true;
}

uint32_t kv_serves(const pn_kv_pool *p, int32_t node) {
  for (int k = 0; k < p->n_windows; k++)
    if (p->windows[k].of_node[node] == KV_NONE) return 0;
  return p->states.ids.n ? p->states.offsets[node] : kv_bits(p->pages[node].n_tokens);
}

// The search goes from the end of the known prefix towards its beginning; j whole pages stand before the
// point, `node` is the last of them. Pages [from, where it began) of a window group are known to be there;
// before: the page before those.
typedef struct cursor {
  int from;
  int32_t before;
} cursor;

typedef struct search {
  const pn_kv_pool *p;
  const pn_kv_table *t;
  const int32_t *tokens;
  int n_computed, j;
  int32_t node;
  cursor windows[PN_KV_MAX_WINDOWS];
} search;

static bool has_window(const search *s, int k, int i, int32_t node) {
  if (s->p->windows[k].of_node[node] != KV_NONE) return true;
  return s->t && i >= s->t->first_window[k] && (i + 1) * PAGE <= s->n_computed;
}

// Whether the whole pages before pos have the window pages that a row there sees. Else the search goes on at
// the page that has not.
static bool windows_reach(search *s, int pos) {
  for (int k = 0; k < s->p->n_windows; k++) {
    cursor *c = &s->windows[k];
    int first = kv_window_first(&s->p->windows[k], pos);
    if (c->from > s->j) *c = (cursor){s->j, s->node};
    for (; c->from > first; c->from--, c->before = s->p->pages[c->before].parent)
      if (!has_window(s, k, c->from - 1, c->before)) {
        s->j = c->from - 1;
        s->node = s->p->pages[c->before].parent;
        return false;
      }
  }
  return true;
}

static int n_spare(const kv_ids *ids) { return ids->n_free + ids->n_cached; }

// Whether there is a page to copy `part` to, when all that is shared is in use.
static bool room_for_page(const search *s, int32_t part) {
  if (!s->t || s->j < s->t->n_pages || s->t->n_pages > s->t->n_known) return true;
  int shared = 0;
  for (int32_t at = part; !kv_is_root(s->p, at) && s->p->ids.id[at].refs == 0; at = s->p->pages[at].parent)
    shared++;
  return n_spare(&s->p->ids) > shared;
}

static bool room_for_windows(const search *s, int32_t part, int pos) {
  for (int k = 0; s->t && s->j >= s->t->n_pages && k < s->p->n_windows; k++) {
    const kv_window *w = &s->p->windows[k];
    int shared = 0, first = kv_window_first(w, pos);
    int32_t at = part;
    for (int i = s->j; i >= first; i--, at = s->p->pages[at].parent)
      shared += w->of_node[at] != KV_NONE && w->ids.id[w->of_node[at]].refs == 0;
    if (n_spare(&w->ids) <= shared) return false;
  }
  return true;
}

static bool found(const search *s, int32_t node, int offset, int pos, kv_point *out) {
  *out = (kv_point){pos, node, s->p->states.ids.n ? kv_state_at(s->p, node, offset) : KV_NONE};
  return true;
}

// A point in the page after the whole ones, at most at offset `most`; `best` is a page that agrees so far, if
// known.
static bool find_in_page(search *s, int most, int32_t best, kv_point *out) {
  const pn_kv_pool *p = s->p;
  int32_t top = p->pages[s->node].kids;
  int j = s->j, least = s->n_computed - j * PAGE;
  if (most == 0 || top == KV_NONE) return false;
  uint32_t bits = (p->serves ? p->serves[top] : UINT32_MAX) & kv_bits(most);
  for (int o = most; o > 0 && o > least && bits; bits &= kv_bits(--o)) {
    if (!(bits >> (o - 1) & 1)) continue;
    int32_t at = best;
    if (at == KV_NONE || !(kv_serves(p, at) >> (o - 1) & 1))
      at = kv_tree_serving(p, s->node, s->tokens + j * PAGE, o);
    if (at == KV_NONE) continue;
    int pos = j * PAGE + o;
    if (!windows_reach(s, pos)) return false;
    return room_for_page(s, at) && room_for_windows(s, at, pos) && found(s, at, o, pos, out);
  }
  return false;
}

static bool find_point(search *s, int most, int32_t best, kv_point *out) {
  for (;; most = PAGE - 1, best = KV_NONE) {
    int j = s->j;
    if (j * PAGE + most <= s->n_computed) return false;
    if (find_in_page(s, most, best, out)) return true;
    if (s->j < j) continue;
    if (j * PAGE <= s->n_computed) return false;
    if (!s->p->states.ids.n || kv_state_at(s->p, s->node, PAGE) != KV_NONE) {
      if (windows_reach(s, j * PAGE)) return found(s, s->node, PAGE, j * PAGE, out);
      continue;
    }
    s->j--;
    s->node = s->p->pages[s->node].parent;
  }
}

bool kv_point_find(const pn_kv_pool *p, const pn_kv_table *t, kv_place at, const int32_t *tokens,
                   int n_computed, kv_point *out) {
  search s = {p, t, tokens, n_computed, at.n_whole, at.node, {{0, 0}}};
  for (int k = 0; k < p->n_windows; k++) s.windows[k] = (cursor){at.n_whole, at.node};
  if (!find_point(&s, at.n_part, at.part, out)) return false;
  const kv_states *states = &p->states; // a slot to copy the snapshot to, while that is in use
  if (!states->ids.n || !t || t->state != KV_NONE) return true;
  return n_spare(&states->ids) > (states->ids.id[out->slot].refs == 0);
}
