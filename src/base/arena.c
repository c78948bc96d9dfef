#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_BYTES ((size_t)4 << 20) // from here on small pages take longer to get than to use

struct pn_arena_chunk {
  struct pn_arena_chunk *next;
  size_t n, cap;
  alignas(max_align_t) char bytes[];
};

void pn_arena_fini(pn_arena *a) {
  for (struct pn_arena_chunk *c = a->head, *next; c; c = next) {
    next = c->next;
    free(c);
  }
  *a = (pn_arena){0};
}

// Zeros. Nothing of a chunk is given out twice, so what it gives out is zeros too.
static struct pn_arena_chunk *chunk_new(size_t cap, struct pn_arena_chunk *next) {
  struct pn_arena_chunk *c = cap < SIZE_MAX - sizeof *c ? calloc(1, sizeof *c + cap) : NULL;
  if (!c) return NULL;
  c->next = next;
  c->cap = cap;
#ifdef MADV_HUGEPAGE
  if (cap >= HUGE_BYTES) {
    uintptr_t begin = ((uintptr_t)c + 4095) & ~(uintptr_t)4095, end = (uintptr_t)c->bytes + cap;
    madvise((void *)begin, (end - begin) & ~(uintptr_t)4095, MADV_HUGEPAGE);
  }
#endif
  return c;
}

void *pn_arena_alloc(pn_arena *a, size_t n) {
  const size_t align = alignof(max_align_t);
  if (n > SIZE_MAX / 2) return NULL;
  n = (n + align - 1) / align * align;
  if (n == 0) n = align;
  if (a->limit_bytes && (n > a->limit_bytes || a->used_bytes > a->limit_bytes - n)) return NULL;
  struct pn_arena_chunk *c = a->head;
  if (!c || c->cap - c->n < n) {
    size_t cap = c ? c->cap * 2 : 4096;
    if (cap > 1 << 20) cap = 1 << 20;
    if (cap < n) cap = n;
    c = chunk_new(cap, a->head);
    if (!c) return NULL;
    a->head = c;
  }
  void *p = c->bytes + c->n;
  c->n += n;
  a->used_bytes += n;
  return p;
}

void *pn_arena_array(pn_arena *a, size_t count, size_t size) {
  size_t n;
  if (__builtin_mul_overflow(count, size, &n)) return NULL;
  return pn_arena_alloc(a, n);
}

char *pn_arena_dup(pn_arena *a, pn_str s) {
  char *z = pn_arena_alloc(a, s.n + 1);
  if (z && s.n) memcpy(z, s.p, s.n);
  return z;
}
