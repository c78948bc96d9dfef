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

// At an address where a large page can begin, if there is one.
static void *map_aligned(int fd, size_t n) {
  if (n >= LARGE_PAGE) {
    char *all = mmap(NULL, n + LARGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all != MAP_FAILED) {
      size_t before = (LARGE_PAGE - (uintptr_t)all % LARGE_PAGE) % LARGE_PAGE,
             page = (size_t)sysconf(_SC_PAGESIZE);
      size_t used = (n + page - 1) / page * page, behind = n + LARGE_PAGE - before - used;
      if (before) munmap(all, before);
      if (behind / page) munmap(all + before + used, behind / page * page);
      void *p = mmap(all + before, n, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
      if (p == MAP_FAILED) munmap(all + before, used);
      return p;
    }
  }
  return mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
}

bool pn_map_open(pn_map *m, const char *path, pn_error *e) {
  struct stat st;
  int fd = open_regular(path, &st, e);
  if (fd < 0) return false;
  *m = (pn_map){0};
  bool ok = true;
  if (st.st_size > 0) {
    void *p = map_aligned(fd, (size_t)st.st_size);
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
