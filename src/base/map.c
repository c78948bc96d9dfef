#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE_PAGE ((size_t)2 << 20)

// Open a regular file for reading; -1 with *e filled when it can't be.
static int open_regular(const char *path, struct stat *st, pn_error *e) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    pn_fail(e, errno == ENOENT || errno == ENOTDIR ? PN_ERR_NOT_FOUND : PN_ERR_IO, "cannot open %s: %s", path,
            strerror(errno));
    return -1;
  }
  if (fstat(fd, st) == 0 && S_ISREG(st->st_mode)) return fd;
  pn_fail(e, PN_ERR_IO, "cannot read %s: it is not a regular file", path);
  close(fd);
  return -1;
}

static size_t whole_pages(size_t n) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  return (n + page - 1) / page * page;
}

// Address space for n bytes from where a large page can begin; NULL: there is none.
static char *new_room(size_t n, int protection) {
  const size_t used = whole_pages(n), all = used + LARGE_PAGE;
  char *p = mmap(NULL, all, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  size_t before = (LARGE_PAGE - (uintptr_t)p % LARGE_PAGE) % LARGE_PAGE;
  if (before) munmap(p, before);
  munmap(p + before + used, LARGE_PAGE - before); // never nothing
  return p + before;
}

// A file large enough lies where large pages can take its place.
static void *map_file(int fd, size_t n) {
  char *room = n >= LARGE_PAGE ? new_room(n, PROT_NONE) : NULL;
  void *p = mmap(room, n, PROT_READ, MAP_PRIVATE | (room ? MAP_FIXED : 0), fd, 0);
  if (p == MAP_FAILED && room) munmap(room, whole_pages(n));
  return p;
}

bool pn_map_open(pn_map *m, const char *path, pn_error *e) {
  struct stat st;
  int fd = open_regular(path, &st, e);
  if (fd < 0) return false;
  *m = (pn_map){0};
  bool ok = true;
  if (st.st_size > 0) {
    void *p = map_file(fd, (size_t)st.st_size);
    if (p == MAP_FAILED)
      ok = pn_fail(e, PN_ERR_IO, "cannot map %s (%lld bytes): %s", path, (long long)st.st_size,
                   strerror(errno));
    else
      *m = (pn_map){p, (size_t)st.st_size, false};
  }
  close(fd);
  return ok;
}

void pn_map_close(pn_map *m) {
  if (m->p) munmap((void *)(uintptr_t)m->p, m->n);
  *m = (pn_map){0};
}

#ifdef __linux__

// Give every page of the piece memory. False: more than half of it is in small pages. A large page is one
// fault, a small one too.
static bool touch(char *piece, size_t whole) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  struct rusage before, after;
  const bool known = getrusage(RUSAGE_THREAD, &before) == 0;
  for (size_t at = 0; at < whole; at += page) *(volatile char *)(piece + at) = 0;
  if (!known || getrusage(RUSAGE_THREAD, &after) != 0) return true;
  return (size_t)(after.ru_minflt - before.ru_minflt) * page <= whole / 2;
}

// The kernel holds its lock on the address space from the old piece's end to the new one's beginning, so a
// reader that comes between waits.
static pn_map_moved move_piece(const pn_map *m, char *at, size_t n, bool only_large) {
  const size_t whole = whole_pages(n);
  char *piece = new_room(n, PROT_READ | PROT_WRITE);
  if (!piece) return PN_MAP_NO_MEMORY;
  madvise(piece, whole, MADV_HUGEPAGE);                        // else small pages
  if (!touch(piece, whole) && only_large && n >= LARGE_PAGE) { // the rest of a file is small
    munmap(piece, whole);
    return PN_MAP_SMALL_PAGES;
  }
  memcpy(piece, at, n);
  if (mprotect(piece, whole, PROT_READ) != 0 ||
      mremap(piece, whole, whole, MREMAP_MAYMOVE | MREMAP_FIXED, at) != at) {
    munmap(piece, whole);
    return PN_MAP_NO_MEMORY;
  }
  if (m->locked) mlock(at, n);
  return PN_MAP_MOVED;
}

#else

static pn_map_moved move_piece(const pn_map *m, char *at, size_t n, bool only_large) {
  return (void)m, (void)at, (void)n, (void)only_large, PN_MAP_NO_MEMORY;
}

#endif

pn_map_moved pn_map_own(pn_map *m, bool only_large, bool (*on)(void *ctx), void *ctx) {
  const size_t piece = 4 * LARGE_PAGE;
  char *base = (char *)(uintptr_t)m->p;
  pn_map_moved moved = PN_MAP_MOVED;
  for (size_t at = 0; at < m->n && moved == PN_MAP_MOVED && (!on || on(ctx)); at += piece)
    moved = move_piece(m, base + at, m->n - at < piece ? m->n - at : piece, only_large);
  return moved;
}

void pn_map_prefault(const pn_map *m) {
  volatile unsigned char sink;
#ifdef MADV_POPULATE_READ
  if (m->p && madvise((void *)(uintptr_t)m->p, m->n, MADV_POPULATE_READ) == 0) return;
#endif
  for (size_t i = 0; i < m->n; i += 4096) sink = m->p[i];
  (void)sink;
}

bool pn_map_lock(pn_map *m, pn_error *e) {
  if (!m->p || mlock(m->p, m->n) == 0) return m->locked = true;
  struct rlimit limit;
  char allowed[32] = "unlimited";
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    snprintf(allowed, sizeof allowed, "%llu bytes", (unsigned long long)limit.rlim_cur);
  return pn_fail(e, PN_ERR_LIMIT, "cannot keep %zu bytes in memory: %s; the limit (ulimit -l) is %s", m->n,
                 strerror(errno), allowed);
}

bool pn_file_read(const char *path, size_t max_bytes, pn_buf *out, pn_error *e) {
  struct stat st;
  int fd = open_regular(path, &st, e);
  if (fd < 0) return false;
  bool ok = true;
  char chunk[16384];
  size_t start = out->n;
  for (;;) {
    ssize_t n = read(fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) ok = pn_fail(e, PN_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    if (n <= 0) break;
    pn_buf_add(out, chunk, (size_t)n);
    if (out->n - start > max_bytes) {
      ok = pn_fail(e, PN_ERR_LIMIT, "%s is larger than %zu bytes", path, max_bytes);
      break;
    }
  }
  close(fd);
  if (ok && out->oom) ok = pn_fail(e, PN_ERR_NOMEM, "out of memory while reading %s", path);
  return ok;
}
