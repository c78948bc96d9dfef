#include "../unit.h"
#include "base/clock.h"
#include "cli/reading_rate.h"

#include <string.h>

static void measures_this_machine(void **state) {
  (void)state;
  for (int threads = 1; threads <= 3; threads += 2) {
    const uint64_t start = pn_now_us();
    const reading_rate r = reading_rate_measure(threads);
    print_message("%.1f GB/s by %d threads, %llu us\n", r.gb_s, r.threads,
                  (unsigned long long)(pn_now_us() - start));
    assert_int_equal(r.threads, threads);
    assert_true(r.gb_s > 0.1 && r.gb_s < 10000);
    assert_true(r.bytes >= (uint64_t)32 << 20 && r.bytes <= (uint64_t)1 << 30);
    char line[96];
    assert_non_null(
        strstr(reading_rate_line(&r, line), threads == 1 ? " by 1 thread over" : " by 3 threads over"));
  }
}

static void expects_a_share_of_it(void **state) {
  (void)state;
  const reading_rate r = {.gb_s = 40, .threads = 2, .bytes = 1};
  const reading_expectation x = reading_rate_expect(&r, 1e8);
  assert_true(x.most == 400 && 0 < x.low && x.low < x.high && x.high < x.most);
  assert_true(reading_rate_expect(&r, 0).most == 0);
}

static void says_when_it_was_not_measured(void **state) {
  (void)state;
  const reading_rate none = {0};
  char line[96];
  assert_string_equal(reading_rate_line(&none, line), "not measured");
  pn_json *v = reading_rate_json(&none);
  assert_true(pn_json_is(v, PN_JSON_NULL));
  pn_json_free(v);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(measures_this_machine),
      cmocka_unit_test(expects_a_share_of_it),
      cmocka_unit_test(says_when_it_was_not_measured),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
