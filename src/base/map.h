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

// What became of moving a map's bytes.
typedef enum pn_map_moved {
  PN_MAP_MOVED,       // all of them, or as many pieces as `on` allowed
  PN_MAP_SMALL_PAGES, // not further: the system gives no large pages
  PN_MAP_NO_MEMORY,   // not further: it has no memory, or doesn't move what is mapped
} pn_map_moved;

// Move the bytes into memory of the program's own, in pages as large as the system gives, piece by piece at
// the same addresses: whoever reads meanwhile does not notice. Memory in large pages is read faster than a
// mapped file on many machines, but the system can't drop it. With `only_large` a piece that would be mostly
// in small pages, by the faults that touching it takes, stays where it is, and that ends it. `on` (NULL:
// always) is asked before every piece: false ends it. What was moved stays so. Any one thread.
pn_map_moved pn_map_own(pn_map *m, bool only_large, bool (*on)(void *ctx), void *ctx);
// Every page is read in now. Then, or without that: keep them in memory. PN_ERR_LIMIT: the system doesn't
// allow so much; *e says what it allows.
void pn_map_prefault(const pn_map *m);
bool pn_map_lock(pn_map *m, pn_error *e);

// Read a whole regular file of at most max_bytes into out (appended).
bool pn_file_read(const char *path, size_t max_bytes, pn_buf *out, pn_error *e);

#endif
