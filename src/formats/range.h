// Byte ranges of tensors inside a file's data, and the small readers both formats share. Inside formats/
// only.
#ifndef PN_FORMATS_RANGE_H
#define PN_FORMATS_RANGE_H

#include "base/str.h"

#include <stddef.h>

// Bytes [begin, end) of the data section belong to item `item`.
typedef struct range {
  uint64_t begin, end;
  size_t item;
} range;

void range_sort(range *r, size_t n); // by begin, then by end

// Elements of a shape. False when the product of the dimensions that aren't 0 overflows: whatever partial
// product a reader of the tensor forms, in whatever order, fits too.
bool range_elements(const uint64_t *shape, int n_dims, uint64_t *n_elements);

static inline uint32_t range_u32(const unsigned char *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t range_u64(const unsigned char *p) {
  return range_u32(p) | (uint64_t)range_u32(p + 4) << 32;
}

// Words to add to a message when the bytes are what a failed download leaves behind (a Git LFS pointer, a web
// page); "" for anything else.
const char *range_hint(pn_str file);

#endif
