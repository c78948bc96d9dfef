// Random numbers: a seeded sequence (xoshiro256**, Blackman and Vigna 2018; seeded by splitmix64; one owner a
// state), and a counter-based function without state (Philox4x32-10, Salmon et al. 2011), which every thread
// and machine may call.
#ifndef PN_BASE_RNG_H
#define PN_BASE_RNG_H

#include <stdint.h>

typedef struct pn_rng {
  uint64_t s[4];
} pn_rng;

void pn_rng_seed(pn_rng *r, uint64_t seed); // the same seed gives the same numbers on every machine
uint64_t pn_rng_u64(pn_rng *r);
uint64_t pn_rng_below(pn_rng *r, uint64_t n); // uniform in [0, n), n > 0, without bias
double pn_rng_unit(pn_rng *r);                // uniform in [0, 1), 53 bits

// Philox4x32-10: four random words for a key and a counter. Pure.
void pn_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);
// 64 random bits for a place in the stream of a seed. Pure: the key is the seed and the counter the position,
// each in words from the low end; the result is the first two words.
uint64_t pn_rng_at(uint64_t seed, uint64_t position);
// A seed from the operating system, for requests that name none.
uint64_t pn_rng_entropy(void);

#endif
