// Arena: many small allocations with one lifetime. Not thread-safe; one owner.
#ifndef PN_BASE_ARENA_H
#define PN_BASE_ARENA_H

#include "base/str.h"

// Zero-initialise; pn_arena_fini frees everything that was handed out.
typedef struct pn_arena {
  struct pn_arena_chunk *head;
  size_t used_bytes;  // handed out, alignment included
  size_t limit_bytes; // 0: none. An allocation that would pass it returns NULL
} pn_arena;

void pn_arena_fini(pn_arena *a);
// n zeroed bytes aligned for any type; NULL when memory ran out or the limit is reached.
void *pn_arena_alloc(pn_arena *a, size_t n);
// count x size with the multiplication checked.
void *pn_arena_array(pn_arena *a, size_t count, size_t size);
// Copy with a NUL behind it.
char *pn_arena_dup(pn_arena *a, pn_str s);

#endif
