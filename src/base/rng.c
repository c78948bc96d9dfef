#include "base/rng.h"

#include "base/clock.h"

#include <sys/random.h>
#include <unistd.h>

void pn_rng_seed(pn_rng *r, uint64_t seed) {
  for (int i = 0; i < 4; i++) {
    uint64_t z = (seed += 0x9E3779B97F4A7C15u);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    r->s[i] = z ^ z >> 31;
  }
}

static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

uint64_t pn_rng_u64(pn_rng *r) {
  uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotl(s[3], 45);
  return result;
}

uint64_t pn_rng_below(pn_rng *r, uint64_t n) {
  uint64_t floor = (0 - n) % n, x; // reject the first 2^64 mod n values
  do x = pn_rng_u64(r);
  while (x < floor);
  return x % n;
}

double pn_rng_unit(pn_rng *r) { return (double)(pn_rng_u64(r) >> 11) * 0x1p-53; }

uint64_t pn_rng_entropy(void) {
  uint64_t x;
  if (getentropy(&x, sizeof x) == 0) return x;
  return pn_now_ns() ^ (uint64_t)getpid() << 32;
}
