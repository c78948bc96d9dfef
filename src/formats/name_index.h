// Hash index over the names of items, for finding them and for refusing duplicates. Inside formats/ only.
#ifndef PN_FORMATS_NAME_INDEX_H
#define PN_FORMATS_NAME_INDEX_H

#include "formats/formats.h"

typedef enum name_index_result {
  NAME_INDEX_OK,
  NAME_INDEX_TWICE,   // two items bear one name
  NAME_INDEX_CROWDED, // names chosen so that their hashes collide
  NAME_INDEX_NOMEM,
} name_index_result;

// Most items of one kind in a file. Real models have some hundred thousand tensors at most.
#define NAME_INDEX_MAX ((size_t)1 << 20)

// items: n structs of `stride` bytes, each beginning with its pn_str name. On NAME_INDEX_TWICE the numbers of
// the two items are in twice[]. The index lives in the arena.
name_index_result name_index_build(pn_arena *a, const void *items, size_t n, size_t stride, uint32_t **index,
                                   size_t *index_size, size_t twice[2]);
// name_index_build for a room's file, with the failure put into words. `what` is "tensor" or "metadata".
bool name_index_require(pn_arena *a, const void *items, size_t n, size_t stride, uint32_t **index,
                        size_t *index_size, const char *where, const char *what, pn_error *e);

// For "%.*s" in messages: at most 100 bytes of a UTF-8 name, cut at a character border.
int name_shown_bytes(pn_str name);
#define NAME_SHOWN(s) name_shown_bytes(s), ((s).p ? (s).p : "")

#endif
