#include "tokenizer/vocab.h"

#include "base/log.h"

#include <stdio.h>

bool vocab_init(vocab *v, pn_arena *a, uint32_t n, pn_error *e) {
  if (n == 0) return pn_fail(e, PN_ERR_CORRUPT, "the tokenizer's vocabulary is empty");
  if (n > VOCAB_MAX_IDS)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "the tokenizer's vocabulary has %u ids, more than %d", n,
                   VOCAB_MAX_IDS);
  v->t = pn_arena_array(a, n, sizeof *v->t);
  v->whole = pn_arena_array(a, n, sizeof *v->whole);
  if (!v->t || !v->whole) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a vocabulary of %u ids", n);
  v->n = n;
  return true;
}

bool vocab_set(vocab *v, pn_arena *a, const char *where, int64_t id, pn_str spelling, pn_error *e) {
  if (id < 0 || id >= (int64_t)v->n)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: id %lld of \"%.*s\" is outside 0..%u", where, (long long)id,
                   spelling.n < 60 ? (int)spelling.n : 60, spelling.p, v->n - 1);
  vocab_token *t = &v->t[id];
  if (t->flags & VOCAB_USED)
    return pn_fail(e, PN_ERR_CORRUPT, "%s: id %lld belongs to both \"%.*s\" and \"%.*s\"", where,
                   (long long)id, t->spelling.n < 60 ? (int)t->spelling.n : 60, t->spelling.p,
                   spelling.n < 60 ? (int)spelling.n : 60, spelling.p);
  const char *copy = pn_arena_dup(a, spelling);
  if (!copy) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the vocabulary");
  *t = (vocab_token){.spelling = {copy, spelling.n}, .flags = VOCAB_USED};
  t->bytes = t->spelling;
  return true;
}

static bool table_init(vocab_table *t, pn_arena *a, size_t n, pn_error *e) {
  size_t size = 16;
  while (size < 2 * n) size *= 2;
  t->slots = pn_arena_array(a, size, sizeof *t->slots);
  if (!t->slots) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the tables of the vocabulary");
  memset(t->slots, 0xFF, size * sizeof *t->slots);
  t->mask = size - 1;
  return true;
}

#define AHEAD 12 // slots that are fetched before they are looked at

static uint32_t spelling_hash(const vocab *v, uint32_t id) {
  return vocab_hash(v->t[id].spelling.p, v->t[id].spelling.n);
}

// The slot of this spelling, or the free one where it belongs.
static struct vocab_slot *slot_of(const vocab *v, pn_str s, uint32_t hash) {
  const vocab_table *t = &v->by_spelling;
  for (size_t i = hash & t->mask;; i = (i + 1) & t->mask) {
    struct vocab_slot *slot = &t->slots[i];
    if (slot->id == VOCAB_NONE || (slot->hash == hash && pn_str_eq(v->t[slot->id].spelling, s))) return slot;
  }
}

static void tell_twins(const vocab *v, size_t n, uint32_t first, uint32_t second) {
  char spelling[64];
  pn_str s = v->t[first].spelling;
  snprintf(spelling, sizeof spelling, "%.*s", s.n < 60 ? (int)s.n : 60, s.p);
  pn_log(
      PN_LOG_WARN, NULL, "tokens that are spelled like an earlier one are never made from text",
      PN_FIELDS(PN_I("tokens", n), PN_S("spelling", spelling), PN_I("first", first), PN_I("second", second)));
}

bool vocab_index(vocab *v, pn_arena *a, bool twins, pn_error *e) {
  size_t n_twins = 0;
  uint32_t twin[2] = {0};
  if (!table_init(&v->by_spelling, a, v->n, e)) return false;
  vocab_table *t = &v->by_spelling;
  uint32_t hashes[AHEAD];
  for (uint32_t id = 0; id < v->n + AHEAD; id++) {
    uint32_t hash = hashes[id % AHEAD], old = id - AHEAD;
    if (id < v->n) {
      hashes[id % AHEAD] = spelling_hash(v, id);
      __builtin_prefetch(&t->slots[hashes[id % AHEAD] & t->mask]);
    }
    if (id < AHEAD || !(v->t[old].flags & VOCAB_USED)) continue;
    pn_str s = v->t[old].spelling;
    struct vocab_slot *slot = slot_of(v, s, hash);
    if (slot->id == VOCAB_NONE) {
      *slot = (struct vocab_slot){hash, old};
    } else if (twins) {
      if (n_twins++ == 0) twin[0] = slot->id, twin[1] = old;
    } else {
      return pn_fail(e, PN_ERR_CORRUPT, "the vocabulary gives \"%.*s\" two ids, %u and %u",
                     s.n < 60 ? (int)s.n : 60, s.p, slot->id, old);
    }
  }
  if (n_twins) tell_twins(v, n_twins, twin[0], twin[1]);
  return true;
}

void vocab_find_many(const vocab *v, const pn_str *spellings, size_t n, uint32_t *ids) {
  const vocab_table *t = &v->by_spelling;
  uint32_t hashes[VOCAB_MANY];
  for (size_t k = 0; k < n; k++) {
    hashes[k] = vocab_hash(spellings[k].p, spellings[k].n);
    __builtin_prefetch(&t->slots[hashes[k] & t->mask]);
  }
  for (size_t k = 0; k < n; k++) { // the first of the same hash is nearly always the one
    size_t i = hashes[k] & t->mask;
    while (t->slots[i].id != VOCAB_NONE && t->slots[i].hash != hashes[k]) i = (i + 1) & t->mask;
    ids[k] = t->slots[i].id;
    if (ids[k] != VOCAB_NONE) __builtin_prefetch(&v->t[ids[k]]);
  }
  for (size_t k = 0; k < n; k++)
    if (ids[k] != VOCAB_NONE) __builtin_prefetch(v->t[ids[k]].spelling.p);
  for (size_t k = 0; k < n; k++)
    if (ids[k] != VOCAB_NONE && !pn_str_eq(v->t[ids[k]].spelling, spellings[k]))
      ids[k] = vocab_find(v, spellings[k]);
}

uint32_t vocab_find(const vocab *v, pn_str spelling) {
  uint32_t hash = vocab_hash(spelling.p, spelling.n);
  for (size_t i = hash & v->by_spelling.mask;; i = (i + 1) & v->by_spelling.mask) {
    struct vocab_slot s = v->by_spelling.slots[i];
    if (s.id == VOCAB_NONE) return VOCAB_NONE;
    if (s.hash == hash && pn_str_eq(v->t[s.id].spelling, spelling)) return s.id;
  }
}

bool vocab_index_text(vocab *v, pn_arena *a, pn_error *e) {
  if (!table_init(&v->by_text, a, v->n, e)) return false;
  for (uint32_t id = 0; id < v->n; id++) {
    const vocab_token *t = &v->t[id];
    if (!(t->flags & VOCAB_USED) || t->flags & (VOCAB_CONTROL | VOCAB_UNUSED | VOCAB_BYTE)) continue;
    pn_str s = v->byte_level ? t->bytes : t->spelling;
    uint32_t hash = vocab_hash(s.p, s.n);
    if (s.n == 0 || vocab_find_text(v, s, hash) != VOCAB_NONE) continue;
    size_t i = hash & v->by_text.mask;
    while (v->by_text.slots[i].id != VOCAB_NONE) i = (i + 1) & v->by_text.mask;
    v->by_text.slots[i] = (struct vocab_slot){hash, id};
  }
  return true;
}
