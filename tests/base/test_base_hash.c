// Hashing and time.
#include "../unit.h"
#include "base/clock.h"
#include "base/hash.h"

#include <time.h>

static void equal_bytes_give_equal_hashes(void **state) {
  (void)state;
  assert_true(pn_hash("token", 5, 1) == pn_hash("token", 5, 1));
  assert_true(pn_hash("token", 5, 1) != pn_hash("token", 5, 2));
  assert_true(pn_hash("token", 5, 1) != pn_hash("tokem", 5, 1));
  assert_true(pn_hash("a\0", 2, 1) != pn_hash("a", 1, 1));
  assert_true(pn_hash(NULL, 0, 7) == pn_hash("", 0, 7));
}

// 4,096 keys over 1,024 places: were they spread by chance, no place would hold more than about 18.
static void low_bits_spread(void **state) {
  (void)state;
  int counts[1024] = {0}, words[1024] = {0};
  for (uint32_t i = 0; i < 4096; i++) {
    counts[pn_hash(&i, sizeof i, 0) & 1023]++;
    words[pn_hash_u64(i) & 1023]++;
  }
  for (int i = 0; i < 1024; i++) assert_true(counts[i] < 24 && words[i] < 24);
}

static void clocks_go_forward(void **state) {
  (void)state;
  uint64_t a = pn_now_ns(), us = pn_now_us();
  nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
  assert_true(pn_now_ns() - a >= 2000000);
  assert_true(pn_now_us() - us >= 2000);
  uint64_t ms = pn_wall_ms(), s = (uint64_t)time(NULL);
  assert_true(ms / 1000 + 1 >= s && ms / 1000 <= s + 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equal_bytes_give_equal_hashes),
      cmocka_unit_test(low_bits_spread),
      cmocka_unit_test(clocks_go_forward),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
