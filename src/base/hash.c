#include "base/hash.h"

uint64_t pn_hash(const void *p, size_t n, uint64_t seed) {
  const unsigned char *c = p;
  uint64_t h = 0xCBF29CE484222325u ^ seed;
  for (size_t i = 0; i < n; i++) h = (h ^ c[i]) * 0x100000001B3u;
  return pn_hash_u64(h);
}
