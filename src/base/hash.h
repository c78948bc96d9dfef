// Hashing for tables and keys (FNV-1a with a final mix). Not for security.
#ifndef PN_BASE_HASH_H
#define PN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t pn_hash(const void *p, size_t n, uint64_t seed);

// Mix one 64-bit word (the finaliser of splitmix64).
static inline uint64_t pn_hash_u64(uint64_t z) {
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

#endif
