// Seeded random numbers (xoshiro256**, Blackman and Vigna 2018; seeded by splitmix64). One owner a state.
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
// A seed from the operating system, for requests that name none.
uint64_t pn_rng_entropy(void);

#endif
