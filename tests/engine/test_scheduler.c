#include "engine/scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void first_come_first_served(void **state) {
  (void)state;
  pn_gen a = {.n_tokens = 25}, b = {.n_tokens = 3}, c = {.n_tokens = 1};
  scheduler s = {.chunk_tokens = 10};
  step_part p[4];
  assert_true(scheduler_idle(&s));
  assert_int_equal(scheduler_plan(&s, p, 4), 0);
  scheduler_add(&s, &a), scheduler_add(&s, &b), scheduler_add(&s, &c);
  assert_int_equal(s.n_waiting, 3);
  const int rows[] = {10, 10, 5};
  for (int i = 0; i < 3; i++) {
    assert_int_equal(scheduler_plan(&s, p, 4), 1);
    assert_ptr_equal(p[0].gen, &a);
    assert_int_equal(p[0].n_rows, rows[i]);
    a.n_computed += p[0].n_rows;
  }
  a.n_tokens++; // one more token was sampled
  assert_int_equal(scheduler_plan(&s, p, 4), 1);
  assert_int_equal(p[0].n_rows, 1);
  assert_int_equal(s.n_waiting, 2);
  scheduler_remove(&s, &a);
  assert_int_equal(scheduler_plan(&s, p, 4), 1);
  assert_ptr_equal(p[0].gen, &b);
  scheduler_remove(&s, &b);
  scheduler_remove(&s, &c); // the last one while it waits
  assert_true(scheduler_idle(&s));
  scheduler_add(&s, &a);
  assert_ptr_equal(scheduler_any(&s), &a);
  assert_ptr_equal(s.last, &a);
}

static void cancelled_are_found_anywhere(void **state) {
  (void)state;
  pn_gen a = {.n_tokens = 2}, b = {.n_tokens = 2}, c = {.n_tokens = 2};
  scheduler s = {.chunk_tokens = 10};
  step_part p[1];
  scheduler_add(&s, &a), scheduler_add(&s, &b), scheduler_add(&s, &c);
  scheduler_plan(&s, p, 1);
  assert_null(scheduler_cancelled(&s));
  pn_gen_cancel(&c);
  assert_ptr_equal(scheduler_cancelled(&s), &c);
  scheduler_remove(&s, &c);
  assert_ptr_equal(s.last, &b);
  pn_gen_cancel(&a);
  assert_ptr_equal(scheduler_cancelled(&s), &a);
  scheduler_remove(&s, &a);
  assert_null(scheduler_cancelled(&s));
  assert_int_equal(scheduler_plan(&s, p, 1), 1);
  assert_ptr_equal(p[0].gen, &b);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(first_come_first_served),
                                     cmocka_unit_test(cancelled_are_found_anywhere)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
