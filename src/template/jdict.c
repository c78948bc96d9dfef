#include "base/hash.h"
#include "template/jeval.h"

#include <string.h>

#define INDEX_FROM 9

jdict *jdict_new(jctx *c, size_t cap) {
  jdict *d = jalloc(c, 1, sizeof *d);
  if (!d || cap == 0) return d;
  d->keys = jalloc(c, cap, sizeof *d->keys);
  d->values = jalloc(c, cap, sizeof *d->values);
  d->cap = cap;
  return d->keys && d->values ? d : NULL;
}

// Equal keys have equal hashes: 1, 1.0 and True are the same key.
static bool hash_key(jctx *c, jvalue k, uint64_t *h) {
  switch (k.kind) {
  case J_STR: *h = pn_hash(k.u.s->p, k.u.s->n, 1); return jstep(c, k.u.s->n / 1024);
  case J_NONE: *h = 7; return true;
  case J_UNDEFINED: *h = 8; return true;
  case J_BOOL:
  case J_INT:
  case J_FLOAT: {
    double f = k.kind == J_FLOAT ? k.u.f : k.kind == J_INT ? (double)k.u.i : k.u.b ? 1 : 0;
    if (f == 0) f = 0; // one zero
    *h = pn_hash(&f, sizeof f, 2);
    return true;
  }
  case J_TUPLE: {
    uint64_t sum = 3, one = 0;
    if (!jdeeper(c)) return false;
    for (size_t i = 0; i < k.u.seq->n; i++) {
      if (!hash_key(c, k.u.seq->items[i], &one)) return false;
      sum = pn_hash_u64(sum + one);
    }
    c->depth--;
    *h = sum;
    return true;
  }
  case J_LIST:
  case J_DICT: return jfail_type(c, "unhashable type: '%s'", jvalue_type(k));
  default: *h = 9; return true;
  }
}

// Place of the key in the index, or of the free slot where it would go.
static bool probe(jctx *c, const jdict *d, jvalue key, uint64_t h, size_t *slot) {
  for (size_t i = h & (d->index_size - 1);; i = (i + 1) & (d->index_size - 1)) {
    bool eq = false;
    if (d->index[i] == 0) return *slot = i, true;
    if (!jvalue_eq(c, d->keys[d->index[i] - 1], key, &eq)) return false;
    if (eq) return *slot = i, true;
  }
}

static bool build_index(jctx *c, jdict *d) {
  size_t size = 32;
  while (size < d->cap * 2) size *= 2;
  if (!(d->index = jalloc(c, size, sizeof *d->index))) return false;
  d->index_size = size;
  for (size_t i = 0; i < d->n; i++) {
    uint64_t h = 0;
    size_t slot;
    if (!hash_key(c, d->keys[i], &h) || !probe(c, d, d->keys[i], h, &slot)) return false;
    d->index[slot] = (uint32_t)(i + 1);
  }
  return true;
}

static bool grow(jctx *c, jdict *d) {
  size_t cap = d->cap ? d->cap * 2 : 4;
  if (cap > UINT32_MAX / 4) return jfail(c, PN_ERR_LIMIT, "a dictionary that is too large");
  jvalue *keys = jalloc(c, cap, sizeof *keys), *values = keys ? jalloc(c, cap, sizeof *values) : NULL;
  if (!values) return false;
  if (d->n) {
    memcpy(keys, d->keys, d->n * sizeof *keys);
    memcpy(values, d->values, d->n * sizeof *values);
  }
  d->keys = keys;
  d->values = values;
  d->cap = cap;
  return d->index ? build_index(c, d) : true;
}

static bool find(jctx *c, const jdict *d, jvalue key, uint64_t h, size_t *at) {
  *at = SIZE_MAX;
  if (d->index) {
    size_t slot;
    if (!probe(c, d, key, h, &slot)) return false;
    if (d->index[slot]) *at = d->index[slot] - 1;
    return true;
  }
  for (size_t i = 0; i < d->n && *at == SIZE_MAX; i++) {
    bool eq = false;
    if (!jvalue_eq(c, d->keys[i], key, &eq)) return false;
    if (eq) *at = i;
  }
  return true;
}

bool jdict_set(jctx *c, jdict *d, jvalue key, jvalue value) {
  uint64_t h = 0;
  size_t at, slot;
  if (!hash_key(c, key, &h) || !find(c, d, key, h, &at)) return false;
  if (at != SIZE_MAX) return d->values[at] = value, true;
  if (d->n == d->cap && !grow(c, d)) return false;
  d->keys[d->n] = key;
  d->values[d->n++] = value;
  if (!d->index) return d->n < INDEX_FROM ? true : build_index(c, d);
  if (!probe(c, d, key, h, &slot)) return false;
  d->index[slot] = (uint32_t)d->n;
  return true;
}

bool jdict_get(jctx *c, const jdict *d, jvalue key, jvalue **out) {
  uint64_t h = 0;
  size_t at;
  if (!hash_key(c, key, &h) || !find(c, d, key, h, &at)) return false;
  *out = at == SIZE_MAX ? NULL : &d->values[at];
  return true;
}

jvalue *jdict_find(jctx *c, const jdict *d, pn_str key) {
  jvalue *out = NULL;
  jtext t = {.p = key.p, .n = key.n, .n_chars = SIZE_MAX};
  return jdict_get(c, d, jstr(&t), &out) ? out : NULL;
}
