// A set of numbers (pages, window pages or slots), each free, used or cached: counts, the stack of free ones,
// the list of cached ones by last use, and which free ones have not been reported as idle yet.
#include "kv/kv_int.h"

#include <stdlib.h>

bool kv_ids_init(kv_ids *s, int n) {
  size_t count = (size_t)n;
  s->id = calloc(count, sizeof *s->id);
  s->free = malloc(count * sizeof *s->free);
  s->idle = calloc(count / 64 + 1, sizeof *s->idle);
  if (!s->id || !s->free || !s->idle) return false;
  s->n = s->n_free = s->idle_from = n;
  s->newest = s->oldest = KV_NONE;
  for (int i = 0; i < n; i++) s->free[i] = n - 1 - i; // lowest first
  return true;
}

void kv_ids_fini(kv_ids *s) {
  free(s->idle);
  free(s->free);
  free(s->id);
}

void kv_ids_uncache(kv_ids *s, int32_t id) {
  kv_id *a = &s->id[id];
  *(a->newer == KV_NONE ? &s->newest : &s->id[a->newer].older) = a->older;
  *(a->older == KV_NONE ? &s->oldest : &s->id[a->older].newer) = a->newer;
  s->n_cached--;
}

void kv_ids_cache(kv_ids *s, int32_t id) {
  kv_id *a = &s->id[id];
  a->newer = KV_NONE;
  a->older = s->newest;
  *(s->newest == KV_NONE ? &s->oldest : &s->id[s->newest].newer) = id;
  s->newest = id;
  s->n_cached++;
}

void kv_ids_put(kv_ids *s, int32_t id) {
  s->free[s->n_free++] = id;
  s->idle[id / 64] |= UINT64_C(1) << id % 64;
  if (id < s->idle_from) s->idle_from = id;
}

int32_t kv_ids_take(kv_ids *s) {
  int32_t id = s->free[--s->n_free];
  s->idle[id / 64] &= ~(UINT64_C(1) << id % 64);
  s->id[id].refs = 1;
  s->n_used++;
  return id;
}

void kv_ids_ref(kv_ids *s, int32_t id) {
  if (s->id[id].refs++ > 0) return;
  kv_ids_uncache(s, id);
  s->n_used++;
}

bool kv_ids_unref(kv_ids *s, int32_t id) {
  if (--s->id[id].refs > 0) return false;
  s->n_used--;
  return true;
}

void kv_ids_pin(kv_ids *s, int32_t id, int by) {
  bool before = s->id[id].pins > 0;
  s->id[id].pins += by;
  s->n_pinned += (s->id[id].pins > 0) - before;
}

static bool is_idle(const kv_ids *s, int id) { return s->idle[id / 64] >> id % 64 & 1; }

bool kv_ids_idle_run(kv_ids *s, int32_t *first, int *n) {
  int at = s->idle_from;
  while (at < s->n && !is_idle(s, at)) at += s->idle[at / 64] >> at % 64 ? 1 : 64 - at % 64;
  if (at > s->n) at = s->n;
  *first = at;
  for (; at < s->n && is_idle(s, at); at++) s->idle[at / 64] &= ~(UINT64_C(1) << at % 64);
  *n = at - *first;
  s->idle_from = at;
  return *n > 0;
}

pn_kv_stats kv_ids_stats(const kv_ids *s) {
  return (pn_kv_stats){s->n, s->n_free, s->n_used, s->n_cached, s->n_pinned, s->n_evicted};
}
