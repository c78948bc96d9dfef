// A whole file mapped read-only.
#ifndef PN_BASE_MAP_H
#define PN_BASE_MAP_H

#include "base/error.h"
#include "base/str.h"

// Zero-initialise; owned by one, readable by all threads while open. Bytes [0, n) of the file; an empty file
// has n == 0 and p == NULL.
typedef struct pn_map {
  const unsigned char *p;
  size_t n;
} pn_map;

// Errors: PN_ERR_NOT_FOUND, PN_ERR_IO (a folder, no permission, no address space), each with the path.
bool pn_map_open(pn_map *m, const char *path, pn_error *e);
void pn_map_close(pn_map *m);

// Read a whole regular file of at most max_bytes into out (appended).
bool pn_file_read(const char *path, size_t max_bytes, pn_buf *out, pn_error *e);

#endif
