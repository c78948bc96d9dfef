// Moving a mapped file's bytes into memory of the program's own, under the eyes of its readers.
#include "base/clock.h"
#include "base/map.h"

#include <string.h>
#include <sys/mman.h>

#ifdef __linux__

enum { LARGE_PAGE = 2 << 20, PIECE = 4 * LARGE_PAGE, SAMPLE = 64 << 20 };

// Nanoseconds to read n bytes once, the best of three times.
static uint64_t read_ns(const void *p, size_t n) {
  uint64_t best = UINT64_MAX;
  for (int round = 0; round < 3; round++) {
    typedef uint64_t words __attribute__((vector_size(64), aligned(8), may_alias));
    const words *w = p;
    uint64_t start = pn_now_ns();
    words sum[4] = {0};
    for (size_t i = 0; i + 4 <= n / sizeof *w; i += 4)
      for (int k = 0; k < 4; k++) sum[k] ^= w[i + (size_t)k];
    sum[0] ^= sum[1] ^ sum[2] ^ sum[3];
    __asm__ volatile("" ::"m"(sum[0]));
    uint64_t took = pn_now_ns() - start;
    if (took < best) best = took;
  }
  return best ? best : 1;
}

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

bool pn_map_own(pn_map *m, const pn_map_move *how, double *gain) {
  char *base = (char *)(uintptr_t)m->p;
  size_t sample = m->n < SAMPLE ? m->n : SAMPLE, at = 0;
  *gain = 0;
  uint64_t before = how->least_gain > 0 && sample > 0 ? read_ns(base, sample) : 0;
  while (at < m->n && (!how->on || how->on(how->ctx))) {
    size_t n = m->n - at < PIECE ? m->n - at : PIECE;
    if (!move_piece(m, base + at, n)) return false;
    at += n;
    if (!before || *gain > 0 || at < sample) continue;
    *gain = (double)before / (double)read_ns(base, sample);
    if (*gain < how->least_gain) break;
  }
  return true;
}

#else

bool pn_map_own(pn_map *m, const pn_map_move *how, double *gain) {
  (void)m, (void)how;
  *gain = 0;
  return false;
}

#endif
