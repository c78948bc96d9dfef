#include "base/hash.h"
#include "grammar/dfa_table.h"

#include <stdlib.h>
#include <string.h>

void set_table_fini(set_table *t) {
  free(t->bytes);
  free(t->end);
  free(t->slots);
  *t = (set_table){0};
}

pn_str set_table_get(const set_table *t, size_t i) {
  size_t begin = i ? t->end[i - 1] : 0;
  return (pn_str){t->bytes + begin, t->end[i] - begin};
}

// Eight bytes at a time: what is kept here are numbers.
static uint64_t hash_of(const char *p, size_t n) {
  uint64_t h = n, word;
  for (; n >= sizeof word; p += sizeof word, n -= sizeof word) {
    memcpy(&word, p, sizeof word);
    h = (h ^ word) * 0x9E3779B97F4A7C15u;
    h ^= h >> 32;
  }
  word = 0;
  if (n) memcpy(&word, p, n);
  return pn_hash_u64(h ^ word);
}

static bool rehash(set_table *t) {
  size_t n = t->n_slots ? t->n_slots * 2 : 64;
  uint32_t *slots = calloc(n, sizeof *slots);
  if (!slots) return false;
  for (size_t i = 0; i < t->n; i++) {
    pn_str s = set_table_get(t, i);
    size_t at = hash_of(s.p, s.n) & (n - 1);
    while (slots[at]) at = (at + 1) & (n - 1);
    slots[at] = (uint32_t)i + 1;
  }
  free(t->slots);
  t->slots = slots;
  t->n_slots = n;
  return true;
}

static bool append(set_table *t, const void *p, size_t n) {
  if (t->n == t->cap) {
    size_t cap = t->cap ? t->cap * 2 : 64;
    size_t *end = realloc(t->end, cap * sizeof *end);
    if (!end) return false;
    t->end = end;
    t->cap = cap;
  }
  if (t->n_bytes + n > t->cap_bytes) {
    size_t cap = (t->n_bytes + n) * 2 + 256;
    char *bytes = realloc(t->bytes, cap);
    if (!bytes) return false;
    t->bytes = bytes;
    t->cap_bytes = cap;
  }
  if (n) memcpy(t->bytes + t->n_bytes, p, n);
  t->n_bytes += n;
  t->end[t->n++] = t->n_bytes;
  return true;
}

size_t set_table_find(set_table *t, const void *p, size_t n) {
  if (t->n * 2 >= t->n_slots && !rehash(t)) return t->oom = true, 0;
  size_t at = hash_of(p, n) & (t->n_slots - 1);
  for (; t->slots[at]; at = (at + 1) & (t->n_slots - 1)) {
    pn_str s = set_table_get(t, t->slots[at] - 1);
    if (s.n == n && (n == 0 || memcmp(s.p, p, n) == 0)) return t->slots[at] - 1;
  }
  if (!append(t, p, n)) return t->oom = true, 0;
  t->slots[at] = (uint32_t)t->n;
  return t->n - 1;
}
