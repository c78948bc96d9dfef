#include "engine/suffix_index.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

enum { CANDIDATES = 16 }; // runs that are looked at, the most recent first

bool suffix_index_init(suffix_index *x, int cap) {
  *x = (suffix_index){.cap = cap, .n_slots = 1024};
  while (x->n_slots < (uint32_t)cap && x->n_slots < 1u << 17) x->n_slots *= 2;
  x->tokens = calloc((size_t)cap, sizeof *x->tokens);
  x->before = calloc((size_t)cap, sizeof *x->before);
  x->last = calloc(x->n_slots, sizeof *x->last);
  if (x->tokens && x->before && x->last) return true;
  suffix_index_fini(x);
  return false;
}

void suffix_index_fini(suffix_index *x) {
  free(x->tokens);
  free(x->before);
  free(x->last);
  *x = (suffix_index){0};
}

void suffix_index_clear(suffix_index *x) {
  if (x->n) memset(x->last, 0, x->n_slots * sizeof *x->last);
  x->n = 0;
}

// Of the run that ends before `end`.
static uint32_t slot_of(const suffix_index *x, const int32_t *tokens, int end) {
  uint64_t h = 0;
  for (int i = end - SUFFIX_LEAST; i < end; i++) h = pn_hash_u64(h + (uint32_t)tokens[i] + 1);
  return (uint32_t)h & (x->n_slots - 1);
}

void suffix_index_extend(suffix_index *x, const int32_t *tokens, int n) {
  if (n > x->cap) n = x->cap;
  for (; x->n < n; x->n++) {
    x->tokens[x->n] = tokens[x->n];
    int end = x->n + 1;
    if (end < SUFFIX_LEAST) continue;
    uint32_t slot = slot_of(x, x->tokens, end);
    x->before[end - 1] = x->last[slot];
    x->last[slot] = end;
  }
}

static int agreeing(const suffix_index *x, int end, const int32_t *tokens, int n) {
  int most = end < n ? end : n, k = 0;
  if (most > SUFFIX_MOST) most = SUFFIX_MOST;
  while (k < most && x->tokens[end - 1 - k] == tokens[n - 1 - k]) k++;
  return k;
}

int suffix_index_find(const suffix_index *x, const int32_t *tokens, int n, int until, int *length) {
  int best = -1, at = n < SUFFIX_LEAST || x->n == 0 ? 0 : x->last[slot_of(x, tokens, n)];
  *length = SUFFIX_LEAST - 1;
  for (int seen = 0; at > 0 && seen < CANDIDATES && *length < SUFFIX_MOST; at = x->before[at - 1]) {
    if (at >= until) continue;
    int k = agreeing(x, at, tokens, n);
    seen++;
    if (k <= *length) continue;
    best = at;
    *length = k;
  }
  if (best < 0) *length = 0;
  return best;
}
