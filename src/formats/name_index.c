#include "formats/name_index.h"

#include "base/hash.h"
#include "base/utf8.h"

// With a table at most half full, honest names never come near this.
#define MAX_PROBES 1024

_Static_assert(offsetof(pn_tensor, name) == 0, "items begin with their name");
_Static_assert(offsetof(pn_gguf_value, key) == 0, "items begin with their name");

static pn_str name_of(const void *items, size_t stride, size_t i) {
  pn_str s;
  memcpy(&s, (const char *)items + i * stride, sizeof s);
  return s;
}

static size_t slot_of(pn_str name, size_t size) { return (size_t)pn_hash(name.p, name.n, 0) & (size - 1); }

name_index_result name_index_build(pn_arena *a, const void *items, size_t n, size_t stride, uint32_t **index,
                                   size_t *index_size, size_t twice[2]) {
  *index = NULL;
  *index_size = 0;
  if (n == 0) return NAME_INDEX_OK;
  size_t size = 2;
  while (size < 2 * n) size *= 2;
  uint32_t *table = pn_arena_array(a, size, sizeof *table);
  if (!table) return NAME_INDEX_NOMEM;
  for (size_t i = 0; i < n; i++) {
    pn_str name = name_of(items, stride, i);
    size_t slot = slot_of(name, size);
    for (int probes = 0; table[slot]; slot = (slot + 1) & (size - 1)) {
      if (pn_str_eq(name, name_of(items, stride, table[slot] - 1))) {
        twice[0] = table[slot] - 1;
        twice[1] = i;
        return NAME_INDEX_TWICE;
      }
      if (++probes > MAX_PROBES) return NAME_INDEX_CROWDED;
    }
    table[slot] = (uint32_t)(i + 1);
  }
  *index = table;
  *index_size = size;
  return NAME_INDEX_OK;
}

bool name_index_require(pn_arena *a, const void *items, size_t n, size_t stride, uint32_t **index,
                        size_t *index_size, const char *where, const char *what, pn_error *e) {
  size_t twice[2] = {0, 0};
  switch (name_index_build(a, items, n, stride, index, index_size, twice)) {
  case NAME_INDEX_OK: return true;
  case NAME_INDEX_TWICE:
    return pn_fail(e, PN_ERR_CORRUPT, "%s: the %s name \"%.*s\" occurs twice (entries %zu and %zu)", where,
                   what, NAME_SHOWN(name_of(items, stride, twice[1])), twice[0], twice[1]);
  case NAME_INDEX_CROWDED:
    return pn_fail(e, PN_ERR_CORRUPT, "%s: the %s names collide on purpose (over %d in a row)", where, what,
                   MAX_PROBES);
  case NAME_INDEX_NOMEM: break;
  }
  return pn_fail(e, PN_ERR_NOMEM, "%s: out of memory for an index of %zu %s names", where, n, what);
}

const pn_tensor *pn_tensors_find(const pn_tensors *t, pn_str name) {
  if (t->index_size == 0) return NULL;
  for (size_t slot = slot_of(name, t->index_size); t->index[slot]; slot = (slot + 1) & (t->index_size - 1)) {
    const pn_tensor *item = &t->items[t->index[slot] - 1];
    if (pn_str_eq(item->name, name)) return item;
  }
  return NULL;
}

int name_shown_bytes(pn_str name) {
  if (name.n > 100) name.n = 100;
  return (int)pn_utf8_complete(name);
}
