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

void pn_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]) {
  uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t p = (uint64_t)c[0] * 0xD2511F53u, q = (uint64_t)c[2] * 0xCD9E8D57u;
    c[0] = (uint32_t)(q >> 32) ^ c[1] ^ k0;
    c[1] = (uint32_t)q;
    c[2] = (uint32_t)(p >> 32) ^ c[3] ^ k1;
    c[3] = (uint32_t)p;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int i = 0; i < 4; i++) out[i] = c[i];
}

uint64_t pn_rng_at(uint64_t seed, uint64_t position) {
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  const uint32_t counter[4] = {(uint32_t)position, (uint32_t)(position >> 32), 0, 0};
  uint32_t out[4];
  pn_philox(key, counter, out);
  return (uint64_t)out[1] << 32 | out[0];
}

uint64_t pn_rng_entropy(void) {
  uint64_t x;
  if (getentropy(&x, sizeof x) == 0) return x;
  return pn_now_ns() ^ (uint64_t)getpid() << 32;
}
