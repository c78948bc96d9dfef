// Random numbers: values from the published algorithms, ranges, bias.
#include "../unit.h"
#include "base/rng.h"

// Seed 0: splitmix64's first four outputs are the state (0xE220A8397B1DCDAF is the well-known first one), and
// xoshiro256** follows from it.
static void known_values(void **state) {
  (void)state;
  pn_rng r;
  pn_rng_seed(&r, 0);
  assert_true(r.s[0] == 0xE220A8397B1DCDAFu && r.s[1] == 0x6E789E6AA1B965F4u);
  assert_true(r.s[2] == 0x06C45D188009454Fu && r.s[3] == 0xF88BB8A8724C81ECu);
  r = (pn_rng){{1, 2, 3, 4}};
  const uint64_t want[] = {11520,
                           0,
                           1509978240,
                           1215971899390074240u,
                           1216172134540287360u,
                           607988272756665600u,
                           16172922978634559625u,
                           8476171486693032832u,
                           10595114339597558777u,
                           2904607092377533576u};
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) assert_true(pn_rng_u64(&r) == want[i]);
}

static void same_seed_same_numbers(void **state) {
  (void)state;
  pn_rng a, b, c;
  pn_rng_seed(&a, 42);
  pn_rng_seed(&b, 42);
  pn_rng_seed(&c, 43);
  int differ = 0;
  for (int i = 0; i < 100; i++) {
    uint64_t x = pn_rng_u64(&a);
    assert_true(x == pn_rng_u64(&b));
    differ += x != pn_rng_u64(&c);
  }
  assert_true(differ >= 99);
}

static void below_is_uniform(void **state) {
  (void)state;
  pn_rng r;
  pn_rng_seed(&r, 5);
  int counts[7] = {0};
  for (int i = 0; i < 70000; i++) {
    uint64_t x = pn_rng_below(&r, 7);
    assert_true(x < 7);
    counts[x]++;
  }
  for (int i = 0; i < 7; i++) assert_in_range(counts[i], 9500, 10500);
  for (int i = 0; i < 100; i++) assert_true(pn_rng_below(&r, 1) == 0);
  for (int i = 0; i < 100; i++) assert_true(pn_rng_below(&r, UINT64_MAX) < UINT64_MAX);
}

static void unit_stays_below_one(void **state) {
  (void)state;
  pn_rng r;
  pn_rng_seed(&r, 6);
  double sum = 0;
  for (int i = 0; i < 100000; i++) {
    double x = pn_rng_unit(&r);
    assert_true(x >= 0 && x < 1);
    sum += x;
  }
  assert_true(sum > 49500 && sum < 50500);
  r = (pn_rng){{0, UINT64_MAX, 0, 0}}; // whatever the state, 1 is not reached
  for (int i = 0; i < 1000; i++) assert_true(pn_rng_unit(&r) < 1);
}

// Known answers of the generator's authors (Random123, kat_vectors).
static void philox_known_values(void **state) {
  (void)state;
  static const uint32_t cases[3][10] = {
      {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
      {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
       0xa20bc7c6, 0x6d5451fd},
      {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
       0x5001e420, 0x24126ea1},
  };
  for (int i = 0; i < 3; i++) {
    uint32_t out[4];
    pn_philox(cases[i] + 4, cases[i], out);
    assert_memory_equal(out, cases[i] + 6, sizeof out);
  }
  assert_true(pn_rng_at(0, 0) == 0xe169c58d6627e8d5u);
}

// Each bit is set in half of the numbers, whichever of seed and position goes on.
static void places_are_independent(void **state) {
  (void)state;
  for (int which = 0; which < 2; which++) {
    int set[64] = {0}, same = 0;
    for (uint64_t i = 0; i < 10000; i++) {
      uint64_t x = which ? pn_rng_at(i << 32, 5) : pn_rng_at(7, i << 32 | i);
      for (int b = 0; b < 64; b++) set[b] += (int)(x >> b & 1);
      same += x == (which ? pn_rng_at((i + 1) << 32, 5) : pn_rng_at(7, (i + 1) << 32 | i));
    }
    for (int b = 0; b < 64; b++) assert_in_range(set[b], 4750, 5250); // five standard deviations
    assert_int_equal(same, 0);
  }
}

static void entropy_changes(void **state) {
  (void)state;
  assert_true(pn_rng_entropy() != pn_rng_entropy());
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(known_values),        cmocka_unit_test(same_seed_same_numbers),
      cmocka_unit_test(below_is_uniform),    cmocka_unit_test(unit_stays_below_one),
      cmocka_unit_test(philox_known_values), cmocka_unit_test(places_are_independent),
      cmocka_unit_test(entropy_changes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
