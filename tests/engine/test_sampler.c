#include "engine/sampler.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { N = 2000 };
static float logits[N];
static const pn_sampling plain = {.temperature = 1, .top_p = 1};

static void fill(uint64_t seed) {
  pn_rng rng;
  pn_rng_seed(&rng, seed);
  for (int i = 0; i < N; i++) logits[i] = (float)(pn_rng_unit(&rng) * 8 - 4);
}

static sampler make(void) {
  sampler s;
  pn_error e;
  assert_true(sampler_init(&s, N, &e));
  return s;
}

static void greedy_takes_the_lowest_of_the_best(void **state) {
  (void)state;
  sampler s = make();
  fill(1);
  logits[70] = logits[71] = 9;
  pn_rng rng;
  pn_rng_seed(&rng, 1);
  assert_int_equal(sampler_pick(&s, logits, &(pn_sampling){.temperature = 0, .top_p = 1}, &rng), 70);
  sampler_fini(&s);
}

static void not_finite_is_refused(void **state) {
  (void)state;
  sampler s = make();
  pn_rng rng;
  pn_rng_seed(&rng, 1);
  for (int i = 0; i < N; i++) logits[i] = NAN;
  assert_int_equal(sampler_pick(&s, logits, &plain, &rng), -1);
  logits[3] = INFINITY;
  assert_int_equal(sampler_pick(&s, logits, &plain, &rng), -1);
  for (int i = 0; i < N; i++) logits[i] = -INFINITY;
  assert_int_equal(sampler_pick(&s, logits, &plain, &rng), -1);
  sampler_fini(&s);
}

static int by_logit(const void *a, const void *b) {
  float x = logits[*(const int *)a], y = logits[*(const int *)b];
  return x > y ? -1 : x < y;
}

// Draw often: nothing outside the set that plain sorting gives, and everything likely inside it.
static void check_set(const pn_sampling *how, int expected_size) {
  sampler s = make();
  int order[N], allowed[N] = {0}, seen[N] = {0};
  for (int i = 0; i < N; i++) order[i] = i;
  qsort(order, N, sizeof *order, by_logit);
  for (int i = 0; i < expected_size; i++) allowed[order[i]] = 1;
  pn_rng rng;
  pn_rng_seed(&rng, 2);
  for (int i = 0; i < 20000; i++) {
    int32_t id = sampler_pick(&s, logits, how, &rng);
    assert_in_range(id, 0, N - 1);
    assert_true(allowed[id]);
    seen[id] = 1;
  }
  for (int i = 0; i < expected_size && i < 10; i++) assert_true(seen[order[i]]);
  sampler_fini(&s);
}

static int nucleus_size(double top_p, double temperature) {
  double w[N], sum = 0, have = 0;
  int order[N];
  for (int i = 0; i < N; i++) order[i] = i;
  qsort(order, N, sizeof *order, by_logit);
  for (int i = 0; i < N; i++) sum += w[i] = exp((double)logits[order[i]] / temperature);
  for (int i = 0; i < N; i++)
    if ((have += w[i]) >= top_p * sum) return i + 1;
  return N;
}

static void filters_keep_the_right_set(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed < 6; seed++) {
    fill(seed);
    check_set(&(pn_sampling){.temperature = 1, .top_p = 1, .top_k = 1}, 1);
    check_set(&(pn_sampling){.temperature = 2, .top_p = 1, .top_k = 17}, 17);
    int n = nucleus_size(0.3, 0.7);
    check_set(&(pn_sampling){.temperature = 0.7f, .top_p = 0.3f}, n + 1);
    check_set(&(pn_sampling){.temperature = 0.7f, .top_p = 1e-6f}, 1);
    int m = 0;
    float top = -100;
    for (int i = 0; i < N; i++) top = logits[i] > top ? logits[i] : top;
    for (int i = 0; i < N; i++) m += expf(logits[i] - top) >= 0.5f;
    check_set(&(pn_sampling){.temperature = 1, .top_p = 1, .min_p = 0.5f}, m);
  }
}

static void frequencies_follow_the_softmax(void **state) {
  (void)state;
  sampler s = make();
  for (int i = 0; i < N; i++) logits[i] = -100;
  logits[5] = logf(1), logits[6] = logf(2), logits[1999] = logf(5);
  int count[N] = {0};
  pn_rng rng;
  pn_rng_seed(&rng, 3);
  for (int i = 0; i < 80000; i++) count[sampler_pick(&s, logits, &plain, &rng)]++;
  assert_in_range(count[5], 9600, 10400);
  assert_in_range(count[6], 19500, 20500);
  assert_in_range(count[1999], 49400, 50600);
  sampler_fini(&s);
}

static void the_seed_decides(void **state) {
  (void)state;
  sampler s = make();
  fill(4);
  pn_rng a, b;
  pn_rng_seed(&a, 11), pn_rng_seed(&b, 11);
  for (int i = 0; i < 100; i++)
    assert_int_equal(sampler_pick(&s, logits, &plain, &a), sampler_pick(&s, logits, &plain, &b));
  sampler_fini(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(greedy_takes_the_lowest_of_the_best), cmocka_unit_test(not_finite_is_refused),
      cmocka_unit_test(filters_keep_the_right_set), cmocka_unit_test(frequencies_follow_the_softmax),
      cmocka_unit_test(the_seed_decides)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
