// The budget for prompts against simulated machines.
#include "base/rng.h"
#include "engine/step_cost.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

// A step costs base + streams * stream + rows * row microseconds, times 1 + noise, and now and then far more.
typedef struct machine {
  double base, stream, row, noise, hiccups;
  pn_rng rng;
} machine;

static uint64_t cost(machine *m, int n_decode, int n_prompt) {
  double us = m->base + m->stream * n_decode + m->row * n_prompt;
  us *= 1 + m->noise * (2 * pn_rng_unit(&m->rng) - 1);
  if (pn_rng_unit(&m->rng) < m->hiccups) us *= 5;
  return (uint64_t)us;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

// Run n steps beside streams. Times relative to the streams alone: *median, *p99 over those after the first skip;
// returns prompt rows a step.
static double run(step_cost *c, machine *m, int n_decode, int n, int skip, double *median, double *p99) {
  static double ratio[5000];
  double alone = m->base + m->stream * n_decode, rows = 0;
  int k = 0;
  for (int i = 0; i < n; i++) {
    int prompt = step_cost_budget(c, n_decode);
    assert_in_range(prompt, 0, c->max_rows);
    uint64_t us = cost(m, n_decode, prompt);
    step_cost_took(c, n_decode, prompt, us);
    if (i >= skip) ratio[k++] = (double)us / alone, rows += prompt;
  }
  qsort(ratio, (size_t)k, sizeof *ratio, by_size);
  *median = ratio[k / 2];
  *p99 = ratio[k * 99 / 100];
  return rows / k;
}

static void streams_hardly_notice_and_prompts_get_their_share(void **state) {
  (void)state;
  const double noises[] = {0, 0.05, 0.2};
  const double row_costs[] = {20, 150, 900};
  double median, p99;
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 3; k++)
      for (int streams = 1; streams <= 16; streams *= 4) {
        machine m = {
            .base = 5000, .stream = 800, .row = row_costs[k], .noise = noises[i], .hiccups = i ? 0.01 : 0};
        pn_rng_seed(&m.rng, (uint64_t)(i * 3 + k + 1));
        step_cost c;
        step_cost_init(&c, 0.3, 512);
        double rows = run(&c, &m, streams, 3000, 200, &median, &p99);
        assert_true(median <= 1.5);
        if (i == 0) assert_true(p99 <= 1.5);
        // Without noise nearly all of the share is used: 3/7 of the streams' time, in whole rows.
        double fit = (5000 + 800 * streams) * 3 / 7 / row_costs[k];
        if (fit > 512) fit = 512;
        assert_true(rows > (i == 0 ? 0.85 : 0.4) * (fit < 1 ? 1 : (int)fit) * 31 / 32);
      }
}

static void the_first_steps_are_bearable(void **state) {
  (void)state;
  double median, p99;
  machine m = {.base = 4000, .stream = 500, .row = 700};
  pn_rng_seed(&m.rng, 1);
  step_cost c;
  step_cost_init(&c, 0.3, 512);
  run(&c, &m, 2, 40, 0, &median, &p99);
  assert_true(median <= 1.5);
  assert_true(p99 <= 2.5);
}

static void it_follows_a_machine_that_changes(void **state) {
  (void)state;
  double median, p99;
  machine m = {.base = 5000, .stream = 500, .row = 100, .noise = 0.05};
  pn_rng_seed(&m.rng, 3);
  step_cost c;
  step_cost_init(&c, 0.3, 512);
  double before = run(&c, &m, 2, 1000, 300, &median, &p99);
  m.row = 400;
  double dear = run(&c, &m, 2, 1000, 30, &median, &p99);
  assert_true(median <= 1.5 && p99 <= 2);
  assert_true(dear < before / 2);
  m.row = 100;
  double after = run(&c, &m, 2, 1000, 300, &median, &p99);
  assert_true(after > before * 0.8 && after < before * 1.25);
  m.base = 15000, m.stream = 1500, m.row = 300; // everything slower by 3, as beside another program
  double slow = run(&c, &m, 2, 1000, 300, &median, &p99);
  assert_true(median <= 1.5 && p99 <= 2);
  assert_true(slow > before * 0.7);
}

static void unknown_or_old_costs_are_measured(void **state) {
  (void)state;
  step_cost c;
  step_cost_init(&c, 0.3, 512);
  assert_int_equal(step_cost_budget(&c, 3), 0);
  step_cost_took(&c, 3, 0, 1000);
  assert_int_not_equal(step_cost_budget(&c, 4), 0); // 3 and 4 are much the same
  assert_int_equal(step_cost_budget(&c, 5), 0);
  assert_int_equal(step_cost_budget(&c, 1000000), 0);
  int n = 0;
  for (; step_cost_budget(&c, 3) > 0 && n < 100; n++) step_cost_took(&c, 3, 1, 1000);
  assert_int_equal(n, 32);
  for (int i = 0; i < 100; i++) step_cost_took(&c, 3, 512, 1 << 30);
  step_cost_took(&c, 3, 0, 1000);
  assert_int_equal(step_cost_budget(&c, 3), 1); // never nothing
}

static void prompts_alone_take_a_quarter_of_a_second(void **state) {
  (void)state;
  for (int chunk = 1; chunk <= 512; chunk = chunk * 8) {
    step_cost c;
    step_cost_init(&c, 0.3, chunk);
    for (int i = 0; i < 50; i++) {
      int rows = step_cost_budget(&c, 0);
      assert_in_range(rows, 1, chunk);
      step_cost_took(&c, 0, rows, (uint64_t)(1000 * rows + 3000)); // 1000 rows a second
      step_cost_took(&c, 0, 1, 4000);                              // the end of a prompt
    }
    assert_in_range(step_cost_budget(&c, 0), chunk < 240 ? chunk : 240, 250);
    for (int i = 0; i < 20; i++) step_cost_took(&c, 0, step_cost_budget(&c, 0), 1 << 30);
    assert_int_equal(step_cost_budget(&c, 0), chunk < 16 ? chunk : 16);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(streams_hardly_notice_and_prompts_get_their_share),
                                     cmocka_unit_test(the_first_steps_are_bearable),
                                     cmocka_unit_test(it_follows_a_machine_that_changes),
                                     cmocka_unit_test(unknown_or_old_costs_are_measured),
                                     cmocka_unit_test(prompts_alone_take_a_quarter_of_a_second)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
