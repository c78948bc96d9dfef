#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

bool pn_map_open(pn_map *m, const char *path, pn_error *e) {
  struct stat st;
  int fd = open_regular(path, &st, e);
  if (fd < 0) return false;
  *m = (pn_map){0};
  bool ok = true;
  if (st.st_size > 0) {
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
      ok = pn_fail(e, PN_ERR_IO, "cannot map %s (%lld bytes): %s", path, (long long)st.st_size,
                   strerror(errno));
    else
      *m = (pn_map){p, (size_t)st.st_size};
  }
  close(fd);
  return ok;
}

void pn_map_close(pn_map *m) {
  if (m->p) munmap((void *)(uintptr_t)m->p, m->n);
  *m = (pn_map){0};
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
