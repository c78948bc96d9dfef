#include "../unit.h"
#include "base/clock.h"
#include "base/process.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void start_is_before_now_and_stays(void **state) {
  (void)state;
  pn_process a, b;
  pn_process_look(&a);
  double now = (double)pn_wall_ms() / 1000;
  assert_true(a.start_s <= now + 0.1 && a.start_s > now - 300);
  usleep(50000);
  pn_process_look(&b);
  assert_true(b.start_s > a.start_s - 0.02 && b.start_s < a.start_s + 0.02);
}

static void counts_descriptors(void **state) {
  (void)state;
  pn_process a, b;
  pn_process_look(&a);
  assert_true(a.n_open_fds >= 0);
  int one = open("/dev/null", O_RDONLY), two = open("/dev/null", O_RDONLY);
  pn_process_look(&b);
  assert_int_equal(b.n_open_fds, a.n_open_fds + 2);
  close(one);
  close(two);
  pn_process_look(&b);
  assert_int_equal(b.n_open_fds, a.n_open_fds);
}

static void memory_and_time_grow(void **state) {
  (void)state;
  pn_process a, b;
  pn_process_look(&a);
  size_t n = (size_t)32 << 20;
  volatile char *p = malloc(n);
  assert_non_null(p);
  uint64_t until = pn_now_us() + 50000;
  for (size_t i = 0; i < n; i += 512) p[i] = 1;
  while (pn_now_us() < until) {}
  pn_process_look(&b);
  assert_true(b.resident_bytes >= a.resident_bytes + n / 2);
  assert_true(b.cpu_s > a.cpu_s && b.cpu_s < 60);
  free((void *)p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(start_is_before_now_and_stays),
                                     cmocka_unit_test(counts_descriptors),
                                     cmocka_unit_test(memory_and_time_grow)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
