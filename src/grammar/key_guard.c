#include "grammar/key_guard.h"

#include <stdlib.h>
#include <string.h>

#define MAX_KEY 1024

void guarded_mask_fini(guarded_mask *g) {
  free(g->ids);
  free(g->bits);
  *g = (guarded_mask){0};
}

// --- names that can only end as one that is there ----------------------------------------------------------

// Whether a name that is there begins with `key`.
static bool is_begun(const key_watch *w, pn_str key) {
  pn_str known;
  for (size_t at = 0; key_watch_next(w, &at, &known);)
    if (pn_str_starts(known, key)) return true;
  return false;
}

// Whether the name, of which key[0, n) is written and the set is reached, can become a new one.
static bool can_be_new(pushdown *m, int32_t set, const key_watch *w, char *key, size_t n) {
  if (n + 1 >= MAX_KEY) return true;
  for (int b = 0; b < 256; b++) {
    int32_t to = pushdown_step(m, set, (uint8_t)b);
    if (to < 0) continue;
    key[n] = (char)b;
    if (!is_begun(w, (pn_str){key, n + 1})) return true; // what begins so is new, and there is such a name
    if (b != '"' && can_be_new(m, to, w, key, n + 1)) return true;
  }
  return false;
}

// Take out tokens that go on as a known name does, when from there on only that name is possible.
static bool forbid_dead_ends(pushdown *m, int32_t set, const key_watch *w,
                             bool (*forbid)(void *ctx, int32_t id), void *ctx) {
  pn_str now = key_watch_key(w), known;
  char key[MAX_KEY];
  bool any = false;
  if (!now.p || now.n >= MAX_KEY / 2) return false;
  for (size_t at = 0; key_watch_next(w, &at, &known);) {
    if (!pn_str_starts(known, now) || known.n >= MAX_KEY / 2) continue;
    pn_str rest = {known.p + now.n, known.n - now.n - 1}; // without the closing quote
    for (int k = 0; k < 2; k++) {
      int32_t here = set;
      trie_cursor c = {.trie = k ? &m->vocab->plain : &m->vocab->other};
      for (size_t i = 0; i < rest.n && here >= 0 && trie_down(&c, (uint8_t)rest.p[i]); i++) {
        here = pushdown_step(m, here, (uint8_t)rest.p[i]);
        if (c.token < 0 || here < 0) continue;
        memcpy(key, known.p, now.n + i + 1);
        if (can_be_new(m, here, w, key, now.n + i + 1)) continue;
        for (int32_t id = c.token; id >= 0; id = m->vocab->same[id]) any |= forbid(ctx, id);
      }
    }
  }
  return any;
}

// --- masks -------------------------------------------------------------------------------------------------

typedef struct id_list {
  int32_t *p, n;
} id_list;

static bool forbid_id(void *ctx, int32_t id) {
  id_list *l = ctx;
  for (int32_t i = 0; i < l->n; i++)
    if (l->p[i] == id) {
      memmove(l->p + i, l->p + i + 1, (size_t)(l->n - i - 1) * sizeof *l->p);
      l->n--;
      return true;
    }
  return false;
}

static bool forbid_bit(void *ctx, int32_t id) {
  uint64_t *bits = ctx, bit = (uint64_t)1 << id % 64;
  bool was = bits[id / 64] & bit;
  bits[id / 64] &= ~bit;
  return was;
}

static bool guard_ids(guarded_mask *g, pushdown *m, int32_t set, const key_watch *w, pn_mask *mask) {
  int32_t *ids = realloc(g->ids, ((size_t)mask->n_ids + 1) * sizeof *ids);
  if (!ids) return false;
  g->ids = ids;
  id_list l = {ids, 0};
  for (int32_t i = 0; i < mask->n_ids; i++)
    if (!key_watch_repeats(w, vocab_text(m->vocab, mask->ids[i]))) ids[l.n++] = mask->ids[i];
  forbid_dead_ends(m, set, w, forbid_id, &l);
  if (l.n > 0 && l.n < mask->n_ids) *mask = (pn_mask){.ids = ids, .n_ids = l.n};
  return true;
}

static bool guard_bits(guarded_mask *g, pushdown *m, int32_t set, const key_watch *w, pn_mask *mask) {
  const struct pn_vocab *v = m->vocab;
  if (!g->bits && !(g->bits = malloc(v->n_words * sizeof *g->bits))) return false;
  memcpy(g->bits, mask->bits, v->n_words * sizeof *g->bits);
  bool any = false;
  for (int32_t i = 0; i < v->n_quotes; i++)
    if (key_watch_repeats(w, vocab_text(v, v->quotes[i]))) any |= forbid_bit(g->bits, v->quotes[i]);
  any |= forbid_dead_ends(m, set, w, forbid_bit, g->bits);
  if (any) mask->bits = g->bits; // of hundreds some are left
  return true;
}

bool key_guard(guarded_mask *g, pushdown *m, int32_t set, const key_watch *w, pn_mask *mask) {
  size_t at = 0;
  pn_str first;
  if ((!w->in_key && !w->wants_key) || !key_watch_next(w, &at, &first)) return true;
  // Steps on the way may make room for more sets: the mask is copied before.
  return mask->ids ? guard_ids(g, m, set, w, mask) : guard_bits(g, m, set, w, mask);
}
