// Moving a mapped file's bytes into memory of the program's own, under the eyes of its readers.
#include "base/map.h"

#include <string.h>
#include <sys/mman.h>

#ifdef __linux__

enum { LARGE_PAGE = 2 << 20, PIECE = 4 * LARGE_PAGE };

// Room for a piece that begins at a large page; NULL: there is none.
static char *new_piece(size_t n) {
  char *all = mmap(NULL, n + LARGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return NULL;
  size_t before = (LARGE_PAGE - (uintptr_t)all % LARGE_PAGE) % LARGE_PAGE;
  if (before) munmap(all, before);
  if (LARGE_PAGE - before) munmap(all + before + n, LARGE_PAGE - before);
  madvise(all + before, n, MADV_HUGEPAGE); // else small pages
  return all + before;
}

// The kernel holds its lock on the address space from the old piece's end to the new one's beginning, so a
// reader that comes between waits.
static bool move_piece(const pn_map *m, char *at, size_t n) {
  size_t whole = (n + 4095) / 4096 * 4096;
  char *piece = new_piece(whole);
  if (!piece) return false;
  memcpy(piece, at, n);
  if (mprotect(piece, whole, PROT_READ) != 0 ||
      mremap(piece, whole, whole, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at) {
    munmap(piece, whole);
    return false;
  }
  if (m->locked) mlock(at, n);
  return true;
}

bool pn_map_own(pn_map *m, bool (*on)(void *ctx), void *ctx) {
  char *base = (char *)(uintptr_t)m->p;
  for (size_t at = 0; at < m->n && (!on || on(ctx)); at += PIECE)
    if (!move_piece(m, base + at, m->n - at < PIECE ? m->n - at : PIECE)) return false;
  return true;
}

#else

bool pn_map_own(pn_map *m, bool (*on)(void *ctx), void *ctx) {
  (void)m, (void)on, (void)ctx;
  return false;
}

#endif
