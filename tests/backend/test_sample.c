// What sampling means, on both backends: greedy choice, the filters, masks, frequencies and log
// probabilities, against a model of them in double precision that sorts the whole vocabulary.
#include "../backend_options.h"
#include "base/rng.h"
#include "one_op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 2000 };
static pn_backend *backend; // the one under test
static float logits[N];
static const pn_sample plain = {.temperature = 1, .top_p = 1};

static int open_named(void **state) {
  pn_error e;
  backend = open_test_backend(*state, 2, NULL, NULL, &e);
  assert_non_null(backend);
  assert_true(backend->ops->sample_reserve(backend, 5000, 1, &e));
  return 0;
}

static int close_it(void **state) {
  (void)state;
  pn_backend_close(backend);
  return 0;
}

static pn_choice choice_of(const float *v, int n, const pn_sample *how) {
  pn_choice c;
  run_sample(backend, v, n, n, how, 1, &c);
  return c;
}

// The choice at a position, by the seed of `how`.
static int32_t pick(const pn_sample *how, uint64_t position) {
  pn_sample s = *how;
  s.position = position;
  return choice_of(logits, N, &s).id;
}

static void fill(uint64_t seed) {
  pn_rng rng;
  pn_rng_seed(&rng, seed);
  for (int i = 0; i < N; i++) logits[i] = (float)(pn_rng_unit(&rng) * 8 - 4);
}

static void greedy_takes_the_lowest_of_the_best(void **state) {
  (void)state;
  fill(1);
  logits[70] = logits[71] = 9;
  assert_int_equal(pick(&(pn_sample){.temperature = 0, .top_p = 1}, 0), 70);
  assert_int_equal(pick(&(pn_sample){.temperature = 1, .top_p = 1, .top_k = 1}, 0), 70);
  assert_int_equal(pick(&(pn_sample){.temperature = 1, .top_p = 1e-9f}, 0), 70);
}

static void not_finite_is_refused(void **state) {
  (void)state;
  for (int i = 0; i < N; i++) logits[i] = NAN;
  assert_int_equal(pick(&plain, 0), -1);
  logits[3] = INFINITY;
  assert_int_equal(pick(&plain, 0), -1);
  const int32_t others[] = {1, 2, 9};
  logits[9] = 0; // an infinite logit that is not allowed is in nobody's way
  assert_int_equal(pick(&(pn_sample){.temperature = 1, .top_p = 1, .ids = others, .n_ids = 3}, 0), 9);
  assert_int_equal(pick(&(pn_sample){.temperature = 1, .top_p = 1, .ids = others, .n_ids = 2}, 0), -1);
  assert_int_equal(pick(&(pn_sample){.temperature = 1, .top_p = 1, .ids = others, .n_ids = 0}, 0), -1);
  for (int i = 0; i < N; i++) logits[i] = -INFINITY;
  assert_int_equal(pick(&plain, 0), -1);
}

static int by_logit(const void *a, const void *b) {
  int x = *(const int *)a, y = *(const int *)b;
  return logits[x] != logits[y] ? (logits[x] > logits[y] ? -1 : 1) : (x > y) - (x < y);
}

static void rank(int order[N]) {
  for (int i = 0; i < N; i++) order[i] = i;
  qsort(order, N, sizeof *order, by_logit);
}

// Draw often: nothing outside the set that plain sorting gives, and everything likely inside it.
static void check_set(const pn_sample *how, int expected_size) {
  int order[N], allowed[N] = {0}, seen[N] = {0};
  rank(order);
  for (int i = 0; i < expected_size; i++) allowed[order[i]] = 1;
  for (uint64_t i = 0; i < 2000; i++) {
    int32_t id = pick(how, i);
    assert_in_range(id, 0, N - 1);
    assert_true(allowed[id]);
    seen[id] = 1;
  }
  for (int i = 0; i < expected_size && i < 10; i++) assert_true(seen[order[i]] || expected_size > 100);
}

static int nucleus_size(double top_p, double temperature) {
  double w[N], sum = 0, have = 0;
  int order[N];
  rank(order);
  for (int i = 0; i < N; i++) sum += w[i] = exp((double)logits[order[i]] / temperature);
  for (int i = 0; i < N; i++)
    if ((have += w[i]) >= top_p * sum) return i + 1;
  return N;
}

static void filters_keep_the_right_set(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed < 6; seed++) {
    fill(seed);
    check_set(&(pn_sample){.temperature = 1, .top_p = 1, .top_k = 1}, 1);
    check_set(&(pn_sample){.temperature = 2, .top_p = 1, .top_k = 17}, 17);
    int n = nucleus_size(0.3, 0.7);
    check_set(&(pn_sample){.temperature = 0.7f, .top_p = 0.3f}, n + 1);
    check_set(&(pn_sample){.temperature = 0.7f, .top_p = 1e-6f}, 1);
    int m = 0;
    float top = -100;
    for (int i = 0; i < N; i++) top = logits[i] > top ? logits[i] : top;
    for (int i = 0; i < N; i++) m += expf(logits[i] - top) >= 0.5f;
    check_set(&(pn_sample){.temperature = 1, .top_p = 1, .min_p = 0.5f}, m);
  }
}

static void of_equal_ones_the_lower_ids_are_kept(void **state) {
  (void)state;
  for (int i = 0; i < N; i++) logits[i] = i % 2 ? 1.0f : 0;
  int seen[N] = {0};
  for (uint64_t i = 0; i < 2000; i++)
    seen[pick(&(pn_sample){.temperature = 1, .top_p = 1, .top_k = 9}, i)] = 1;
  for (int i = 0; i < N; i++) assert_int_equal(seen[i], i % 2 && i < 18);
}

static void frequencies_follow_the_softmax(void **state) {
  (void)state;
  for (int i = 0; i < N; i++) logits[i] = -100;
  logits[5] = logf(1), logits[6] = logf(2), logits[1999] = logf(5);
  int count[N] = {0};
  const pn_sample how = {.temperature = 1, .top_p = 1, .seed = 3};
  for (uint64_t i = 0; i < 8000; i++) count[pick(&how, i)]++;
  assert_in_range(count[5], 900, 1100);
  assert_in_range(count[6], 1870, 2130);
  assert_in_range(count[1999], 4830, 5170);
  assert_int_equal(count[5] + count[6] + count[1999], 8000);
}

// Sum of squared differences over the expected counts: 39 degrees of freedom stay below 88 in all but 1 of
// 100,000.
static void frequencies_pass_a_chi_square_test(void **state) {
  (void)state;
  enum { TOKENS = 40, DRAWS = 40000 };
  static const pn_sample settings[] = {{.temperature = 1, .top_p = 1, .seed = 1},
                                       {.temperature = 0.5f, .top_p = 1, .seed = 2},
                                       {.temperature = 1, .top_p = 1, .top_k = TOKENS, .seed = 3},
                                       {.temperature = 2, .top_p = 0.999999f, .top_k = TOKENS, .seed = 4}};
  int apart = strcmp(backend->ops->name, "ref") == 0 ? 2 : N / TOKENS; // the oracle is slow
  for (int k = 0; k < 4; k++) {
    double w[TOKENS], sum = 0, square = 0;
    int count[N] = {0};
    for (int i = 0; i < N; i++) logits[i] = -200;
    for (int i = 0; i < TOKENS; i++) {
      logits[i * apart] = (float)(i % 7) * 0.4f - 1;
      sum += w[i] = exp((double)logits[i * apart] / (double)settings[k].temperature);
    }
    for (uint64_t i = 0; i < DRAWS; i++) {
      pn_sample how = settings[k];
      how.position = i;
      count[choice_of(logits, TOKENS * apart, &how).id]++;
    }
    for (int i = 0; i < TOKENS; i++) {
      double want = DRAWS * w[i] / sum, off = count[i * apart] - want;
      square += off * off / want;
    }
    assert_true(square < 88);
  }
}

static void seed_and_position_decide(void **state) {
  (void)state;
  fill(4);
  int n_same = 0;
  for (uint64_t i = 0; i < 100; i++) {
    const pn_sample a = {.temperature = 1, .top_p = 1, .seed = 11},
                    b = {.temperature = 1, .top_p = 1, .seed = 12};
    assert_int_equal(pick(&a, i), pick(&a, i));
    n_same += pick(&a, i) == pick(&b, i);
    n_same += pick(&a, i) == pick(&a, i + 1);
  }
  assert_true(n_same < 10);
}

static void the_largest_is_found_anywhere(void **state) {
  (void)state;
  const int sizes[] = {1, 2, 15, 16, 17, 1023, 1024, 1025, 1040, 2049, 5000};
  static float v[5000];
  pn_rng rng;
  pn_rng_seed(&rng, 5);
  for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
    for (int round = 0; round < 60; round++) {
      int n = sizes[k], want = -1;
      for (int i = 0; i < n; i++) {
        v[i] = (float)pn_rng_below(&rng, 50) - 25; // many equal ones
        if (pn_rng_below(&rng, 40) == 0) v[i] = round % 2 ? NAN : -INFINITY;
        if (round % 3 == 0) v[i] = v[i] > 0 ? 0 : -0.0f;
      }
      for (int i = 0; i < n; i++)
        if (!isnan(v[i]) && v[i] > -INFINITY && (want < 0 || v[i] > v[want])) want = i;
      assert_int_equal(choice_of(v, n, &(pn_sample){.temperature = 0, .top_p = 1}).id, want);
    }
}

static bool allows(const pn_sample *how, int id) {
  for (int i = 0; how->ids && i < how->n_ids; i++)
    if (how->ids[i] == id) return true;
  return !how->ids && (!how->bits || (how->bits[id / 64] >> id % 64 & 1));
}

// The filters over a sorted vocabulary in double; then the draw, by id.
static int32_t pick_by_sorting(const pn_sample *how) {
  int order[N], n = 0, m = 0;
  double weight[N] = {0}, sum = 0, have = 0;
  rank(order);
  for (int i = 0; i < N; i++)
    if (allows(how, order[i])) order[n++] = order[i];
  double top = (double)logits[order[0]];
  for (; m < n && ((double)logits[order[m]] - top) / (double)how->temperature >= -30; m++)
    weight[order[m]] = exp(((double)logits[order[m]] - top) / (double)how->temperature);
  if (how->top_k > 0 && how->top_k < m) m = how->top_k;
  for (int i = 0; i < m; i++) sum += weight[order[i]];
  for (int i = 0; i < m && how->top_p < 1; i++)
    if ((have += weight[order[i]]) >= (double)how->top_p * sum) m = i + 1;
  while (m > 0 && weight[order[m - 1]] < (double)how->min_p) m--;
  sum = 0;
  for (int i = m; i < n; i++) weight[order[i]] = 0;
  for (int i = 0; i < N; i++) sum += weight[i];
  double at = (double)pn_rng_at(how->seed, how->position) * 0x1p-64 * sum;
  for (int i = 0; i < N; i++)
    if ((at -= weight[i]) < 0) return i;
  return order[0];
}

static void picks_what_sorting_would_pick(void **state) {
  (void)state;
  static uint64_t bits[N / 64 + 1];
  static int32_t ids[N];
  pn_rng setting;
  pn_rng_seed(&setting, 9);
  int n_same = 0;
  for (int i = 0; i < 2000; i++) {
    if (i % 50 == 0) fill((uint64_t)i);
    if (i % 100 == 0)
      for (int k = 0; k < N; k++) logits[k] = roundf(logits[k] * 2); // many equal ones
    pn_sample how = {.temperature = 0.1f + (float)pn_rng_unit(&setting) * 2,
                     .top_k = i % 3 ? 1 + (int)pn_rng_below(&setting, 300) : 0,
                     .top_p = 0.05f + 0.9f * (float)pn_rng_unit(&setting),
                     .min_p = i % 2 ? 0 : 0.02f,
                     .seed = 8,
                     .position = (uint64_t)i};
    if (i % 5 == 1) how.top_p = 1;
    for (int k = 0; k < N / 64 + 1; k++) bits[k] = pn_rng_u64(&setting);
    if (i % 4 == 1) how.bits = bits;
    if (i % 4 == 2) {
      how.ids = ids;
      for (int k = 0; k < N; k += 1 + (int)pn_rng_below(&setting, 9)) ids[how.n_ids++] = k;
    }
    n_same += choice_of(logits, N, &how).id == pick_by_sorting(&how);
  }
  assert_true(n_same >= 1994); // a weight in f32 may differ in its last bit
}

// A list of ids and the bits of the same ids give the same choices, all of them allowed.
static void ids_and_bits_are_the_same_mask(void **state) {
  (void)state;
  uint64_t bits[N / 64 + 1] = {0};
  int32_t ids[N], n = 0;
  fill(6);
  for (int i = 3; i < N; i += 1 + i % 11) {
    ids[n++] = i;
    bits[i / 64] |= (uint64_t)1 << i % 64;
  }
  for (uint64_t i = 0; i < 400; i++) {
    pn_sample a = {.temperature = i % 4 ? 1.5f : 0, .top_p = i % 3 ? 1 : 0.8f, .top_k = i % 5 ? 0 : 30};
    a.position = i;
    a.logprobs = true;
    a.n_top = 5;
    pn_sample b = a;
    a.ids = ids, a.n_ids = n, b.bits = bits;
    pn_choice x = choice_of(logits, N, &a), y = choice_of(logits, N, &b);
    assert_memory_equal(&x, &y, sizeof x);
    assert_true(allows(&a, x.id));
  }
}

static void log_probabilities_by_the_book(void **state) {
  (void)state;
  enum { V = 1000 };
  float v[V];
  pn_rng rng;
  pn_rng_seed(&rng, 3);
  for (int round = 0; round < 50; round++) {
    long double sum = 0;
    for (int i = 0; i < V; i++) v[i] = (float)(pn_rng_unit(&rng) * 60 - 30);
    for (int i = 0; i < V; i += 7) v[i] = (float)(i % 5); // equals
    for (int i = 0; i < V; i++) sum += expl((long double)v[i]);
    int32_t id = (int32_t)pn_rng_below(&rng, V);
    int n_top = round % (PN_TOP_LOGPROBS + 1);
    // Of a mask that leaves one token, the model's own probability is told all the same.
    const pn_sample how = {.temperature = (float)(round % 3),
                           .top_p = 1,
                           .ids = &id,
                           .n_ids = 1,
                           .logprobs = true,
                           .n_top = n_top};
    pn_choice t = choice_of(v, V, &how);
    assert_int_equal(t.id, id);
    assert_int_equal(t.n_top, n_top);
    assert_true(fabsl((long double)t.logprob - ((long double)v[id] - logl(sum))) < 1e-4L);
    for (int k = 0; k < n_top; k++) {
      int32_t best = t.top[k].id;
      int n_before = 0;
      for (int i = 0; i < V; i++) n_before += v[i] > v[best] || (v[i] == v[best] && i < best);
      assert_int_equal(n_before, k);
      assert_true(fabsl((long double)t.top[k].logprob - ((long double)v[best] - logl(sum))) < 1e-4L);
    }
  }
}

// Numbers that are none count as impossible, and what is impossible is no alternative.
static void alternatives_are_finite(void **state) {
  (void)state;
  float v[] = {1, NAN, -INFINITY, 2, NAN};
  const pn_sample how = {.temperature = 0, .top_p = 1, .logprobs = true, .n_top = 5};
  pn_choice t = choice_of(v, 5, &how);
  assert_int_equal(t.id, 3);
  assert_int_equal(t.n_top, 2);
  assert_int_equal(t.top[0].id, 3);
  assert_int_equal(t.top[1].id, 0);
  assert_float_equal(expf(t.top[0].logprob) + expf(t.top[1].logprob), 1, 1e-6f);
}

#define TEST(f, name)                                                                                        \
  { #f " " name, f, open_named, close_it, (void *)(uintptr_t)(name) }
#define ALL(name)                                                                                            \
  TEST(greedy_takes_the_lowest_of_the_best, name), TEST(not_finite_is_refused, name),                        \
      TEST(filters_keep_the_right_set, name), TEST(of_equal_ones_the_lower_ids_are_kept, name),              \
      TEST(frequencies_follow_the_softmax, name), TEST(frequencies_pass_a_chi_square_test, name),            \
      TEST(seed_and_position_decide, name), TEST(the_largest_is_found_anywhere, name),                       \
      TEST(picks_what_sorting_would_pick, name), TEST(ids_and_bits_are_the_same_mask, name),                 \
      TEST(log_probabilities_by_the_book, name), TEST(alternatives_are_finite, name)

int main(void) {
  const struct CMUnitTest tests[] = {ALL("cpu"), ALL("ref")};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
