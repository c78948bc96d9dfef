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
  assert_int_equal(sampler_pick(&s, logits, NULL, &(pn_sampling){.temperature = 0, .top_p = 1}, &rng), 70);
  sampler_fini(&s);
}

static void not_finite_is_refused(void **state) {
  (void)state;
  sampler s = make();
  pn_rng rng;
  pn_rng_seed(&rng, 1);
  for (int i = 0; i < N; i++) logits[i] = NAN;
  assert_int_equal(sampler_pick(&s, logits, NULL, &plain, &rng), -1);
  logits[3] = INFINITY;
  assert_int_equal(sampler_pick(&s, logits, NULL, &plain, &rng), -1);
  for (int i = 0; i < N; i++) logits[i] = -INFINITY;
  assert_int_equal(sampler_pick(&s, logits, NULL, &plain, &rng), -1);
  sampler_fini(&s);
}

static int by_logit(const void *a, const void *b) {
  float x = logits[*(const int *)a], y = logits[*(const int *)b];
  return x > y ? -1 : x < y;
}

static int by_logit_then_id(const void *a, const void *b) {
  int x = *(const int *)a, y = *(const int *)b;
  return logits[x] != logits[y] ? (logits[x] > logits[y] ? -1 : 1) : (x > y) - (x < y);
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
    int32_t id = sampler_pick(&s, logits, NULL, how, &rng);
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
  for (int i = 0; i < 80000; i++) count[sampler_pick(&s, logits, NULL, &plain, &rng)]++;
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
    assert_int_equal(sampler_pick(&s, logits, NULL, &plain, &a), sampler_pick(&s, logits, NULL, &plain, &b));
  sampler_fini(&s);
}

static void the_largest_is_found_anywhere(void **state) {
  (void)state;
  const int sizes[] = {1, 2, 15, 16, 17, 1023, 1024, 1025, 1040, 2049, 5000};
  static float v[5000];
  pn_rng rng;
  pn_rng_seed(&rng, 5);
  for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
    for (int round = 0; round < 200; round++) {
      int n = sizes[k], want = -1;
      for (int i = 0; i < n; i++) {
        v[i] = (float)pn_rng_below(&rng, 50) - 25; // many equal ones
        if (pn_rng_below(&rng, 40) == 0) v[i] = round % 2 ? NAN : -INFINITY;
        if (round % 3 == 0) v[i] = v[i] > 0 ? 0 : -0.0f;
      }
      for (int i = 0; i < n; i++)
        if (!isnan(v[i]) && v[i] > -INFINITY && (want < 0 || v[i] > v[want])) want = i;
      sampler s = {.n_vocab = n};
      assert_int_equal(sampler_pick(&s, v, NULL, &(pn_sampling){.temperature = 0, .top_p = 1}, &rng), want);
    }
}

// The filters over a fully sorted vocabulary.
static int32_t pick_by_sorting(const pn_sampling *how, pn_rng *rng) {
  static int order[N];
  static float weight[N];
  float top = -INFINITY;
  int n = 0;
  for (int i = 0; i < N; i++) top = logits[i] > top ? logits[i] : top;
  for (int i = 0; i < N; i++) order[i] = i;
  qsort(order, N, sizeof *order, by_logit_then_id);
  for (; n < N && top - logits[order[n]] <= 30 * how->temperature; n++)
    weight[n] = expf((logits[order[n]] - top) / how->temperature);
  if (how->top_k > 0 && how->top_k < n) n = how->top_k;
  double sum = 0, have = 0;
  for (int i = 0; i < n; i++) sum += (double)weight[i];
  for (int i = 0; i < n && how->top_p < 1; i++)
    if ((have += (double)weight[i]) >= (double)how->top_p * sum) n = i + 1;
  while (n > 0 && weight[n - 1] < how->min_p) n--;
  sum = 0;
  for (int i = 0; i < n; i++) sum += (double)weight[i];
  double at = pn_rng_unit(rng) * sum;
  for (int i = 0; i < n; i++)
    if ((at -= (double)weight[i]) < 0) return order[i];
  return order[n - 1];
}

static void picks_what_sorting_would_pick(void **state) {
  (void)state;
  sampler s = make();
  pn_rng a, b, setting;
  pn_rng_seed(&a, 8), pn_rng_seed(&b, 8), pn_rng_seed(&setting, 9);
  int n_same = 0;
  for (int i = 0; i < 2000; i++) {
    if (i % 50 == 0) fill((uint64_t)i);
    const pn_sampling how = {.temperature = 0.1f + (float)pn_rng_unit(&setting) * 2,
                             .top_k = i % 3 ? 1 + (int)pn_rng_below(&setting, 300) : 0,
                             .top_p = 0.05f + 0.9f * (float)pn_rng_unit(&setting),
                             .min_p = i % 2 ? 0 : 0.02f};
    n_same += sampler_pick(&s, logits, NULL, &how, &a) == pick_by_sorting(&how, &b);
  }
  assert_true(n_same >= 1998); // a sum in another order may differ in its last bit
  sampler_fini(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(greedy_takes_the_lowest_of_the_best),
                                     cmocka_unit_test(not_finite_is_refused),
                                     cmocka_unit_test(filters_keep_the_right_set),
                                     cmocka_unit_test(frequencies_follow_the_softmax),
                                     cmocka_unit_test(the_seed_decides),
                                     cmocka_unit_test(the_largest_is_found_anywhere),
                                     cmocka_unit_test(picks_what_sorting_would_pick)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
