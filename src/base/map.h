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
  bool locked;
} pn_map;

// Errors: PN_ERR_NOT_FOUND, PN_ERR_IO (a folder, no permission, no address space), each with the path.
bool pn_map_open(pn_map *m, const char *path, pn_error *e);
void pn_map_close(pn_map *m);

// Move the bytes into memory of the program's own, in pages as large as the system gives, piece by piece at
// the same addresses: whoever reads meanwhile does not notice. Such memory is read faster than a mapped file
// on many machines, but the system can't drop it. `on` (NULL: always) is asked before every piece: false ends
// it, and what was moved stays so. False: the system doesn't do that, or has no memory. Any one thread.
bool pn_map_own(pn_map *m, bool (*on)(void *ctx), void *ctx);
// Every page is read in now. Then, or without that: keep them in memory. PN_ERR_LIMIT: the system doesn't
// allow so much; *e says what it allows.
void pn_map_prefault(const pn_map *m);
bool pn_map_lock(pn_map *m, pn_error *e);

// Read a whole regular file of at most max_bytes into out (appended).
bool pn_file_read(const char *path, size_t max_bytes, pn_buf *out, pn_error *e);

#endif
