#include "kv/kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PAGE PN_KV_PAGE_TOKENS
enum { MAX = 8 * PAGE };

static void fill(int32_t *tokens, int n, int32_t first) {
  for (int i = 0; i < n; i++) tokens[i] = first + i;
}

static void check(const pn_kv_pool *p, const pn_kv_table *a, const pn_kv_table *b) {
  const pn_kv_table *tables[2] = {a, b};
  pn_error e = {0};
  if (!pn_kv_pool_check(p, tables, !a ? 0 : !b ? 1 : 2, &e)) fail_msg("%s", e.msg);
}

static void counts(const pn_kv_pool *p, int n_free, int n_used, int n_cached) {
  pn_kv_stats s = pn_kv_pool_stats(p);
  assert_int_equal(s.n_free, n_free);
  assert_int_equal(s.n_used, n_used);
  assert_int_equal(s.n_cached, n_cached);
}

static pn_kv_pool *pool(int n_pages) {
  pn_error e = {0};
  pn_kv_pool *p = pn_kv_pool_new(&(pn_kv_setup){.n_pages = n_pages}, &e);
  assert_non_null(p);
  return p;
}

static pn_kv_table table(void) {
  pn_error e = {0};
  pn_kv_table t;
  assert_true(pn_kv_table_init(&t, 0, MAX, &e));
  return t;
}

// A sequence that computed tokens[0, n) and ended.
static void remember(pn_kv_pool *p, const int32_t *tokens, int n) {
  pn_error e = {0};
  pn_kv_table t = table();
  assert_true(pn_kv_reserve(p, &t, n, &e));
  pn_kv_release(p, &t, 0, tokens, n);
  assert_int_equal(t.n_pages, 0);
  pn_kv_table_fini(&t);
  check(p, NULL, NULL);
}

static void a_table_maps_positions(void **state) {
  (void)state;
  pn_error e = {0};
  assert_null(pn_kv_pool_new(&(pn_kv_setup){.n_pages = 0}, &e));
  assert_int_equal(e.code, PN_ERR_INTERNAL);
  pn_kv_pool *p = pool(4);
  pn_kv_table t = table(), other = table();
  assert_true(pn_kv_reserve(p, &t, 1, &e));
  assert_true(pn_kv_reserve(p, &other, PAGE, &e));
  assert_true(pn_kv_reserve(p, &t, PAGE + 1, &e));
  assert_int_equal(t.n_pages, 2);
  assert_int_equal(pn_kv_slot(&t, 5), t.pages[0] * PAGE + 5);
  assert_int_equal(pn_kv_slot(&t, PAGE), t.pages[1] * PAGE);
  assert_false(pn_kv_reserve(p, &t, 4 * PAGE, &e)); // all or nothing
  assert_int_equal(e.code, PN_ERR_LIMIT);
  assert_int_equal(t.n_pages, 2);
  counts(p, 1, 3, 0);
  assert_true(pn_kv_reserve(p, &t, 3, &e)); // never shrinks
  assert_int_equal(t.n_pages, 2);
  assert_false(pn_kv_reserve(p, &t, MAX + 1, &e)); // beyond its capacity
  assert_int_equal(e.code, PN_ERR_INTERNAL);
  check(p, &t, &other);
  pn_kv_release(p, &t, 0, NULL, 0);
  pn_kv_release(p, &other, 0, NULL, 0);
  counts(p, 4, 0, 0);
  pn_kv_table_fini(&t), pn_kv_table_fini(&other);
  pn_kv_pool_free(p);
}

static void whole_pages_are_shared(void **state) {
  (void)state;
  int32_t tokens[MAX];
  fill(tokens, MAX, 0);
  pn_kv_pool *p = pool(8);
  remember(p, tokens, 2 * PAGE);
  counts(p, 6, 0, 2);
  pn_kv_table a = table(), b = table();
  pn_kv_prefix found;
  pn_kv_attach(p, &a, 0, tokens, 0, MAX, &found);
  assert_int_equal(found.n_tokens, 2 * PAGE);
  assert_int_equal(found.copy_from, -1);
  assert_int_equal(a.n_known, 2);
  pn_kv_attach(p, &b, 0, tokens, 0, PAGE, &found);
  assert_int_equal(found.n_tokens, PAGE);
  assert_int_equal(b.pages[0], a.pages[0]);
  counts(p, 6, 2, 0);
  check(p, &a, &b);
  pn_kv_release(p, &a, 0, tokens, 0); // what was published stays
  counts(p, 6, 1, 1);
  check(p, &b, NULL);
  pn_kv_release(p, &b, 0, tokens, PAGE);
  counts(p, 6, 0, 2);
  pn_kv_table_fini(&a), pn_kv_table_fini(&b);
  pn_kv_pool_free(p);
}

static void of_a_page_that_differs_a_copy_is_wanted(void **state) {
  (void)state;
  int32_t tokens[MAX];
  fill(tokens, MAX, 0);
  pn_kv_pool *p = pool(3);
  remember(p, tokens, 2 * PAGE);
  tokens[PAGE + 5] = 1000;
  int32_t differs;
  assert_int_equal(pn_kv_lookup(p, 0, tokens, 2 * PAGE, &differs), PAGE + 5);
  assert_int_equal(differs, PAGE + 5);
  pn_kv_table t = table();
  pn_kv_prefix found;
  pn_kv_attach(p, &t, 0, tokens, 0, 2 * PAGE, &found);
  assert_int_equal(found.n_tokens, PAGE + 5);
  assert_int_equal(found.copy_to, t.pages[1]);
  assert_true(found.copy_from != found.copy_to && found.copy_from >= 0);
  counts(p, 0, 3, 0); // what is copied is held
  check(p, &t, NULL);
  pn_kv_attached(p, &found);
  counts(p, 0, 2, 1);
  check(p, &t, NULL);
  pn_kv_release(p, &t, 0, tokens, 2 * PAGE);
  counts(p, 0, 0, 3);
  check(p, NULL, NULL);
  assert_int_equal(pn_kv_lookup(p, 0, tokens, 2 * PAGE, &differs), 2 * PAGE);
  assert_int_equal(differs, -1);
  pn_kv_table_fini(&t);
  pn_kv_pool_free(p);
}

static void no_page_for_the_copy(void **state) {
  (void)state;
  int32_t tokens[MAX];
  fill(tokens, MAX, 0);
  pn_kv_pool *p = pool(2);
  remember(p, tokens, 2 * PAGE);
  tokens[PAGE + 5] = 1000;
  pn_kv_table t = table();
  pn_kv_prefix found;
  pn_kv_attach(p, &t, 0, tokens, 0, 2 * PAGE, &found); // the only page that could give way is the one to copy
  assert_int_equal(found.n_tokens, PAGE);
  assert_int_equal(found.copy_from, -1);
  counts(p, 0, 1, 1);
  check(p, &t, NULL);
  pn_kv_attached(p, &found); // harmless
  pn_kv_release(p, &t, 0, tokens, PAGE);
  check(p, NULL, NULL);
  pn_kv_table_fini(&t);
  pn_kv_pool_free(p);
}

// The sequence ends before the copy was made; what the copy reads must stay, and so must all before it.
static void a_copy_outlives_its_table(void **state) {
  (void)state;
  int32_t tokens[MAX], others[MAX];
  pn_error e = {0};
  fill(tokens, MAX, 0), fill(others, MAX, 5000);
  pn_kv_pool *p = pool(4);
  remember(p, tokens, 3 * PAGE);
  tokens[2 * PAGE + 1] = 1000;
  pn_kv_table t = table();
  pn_kv_prefix found;
  pn_kv_attach(p, &t, 0, tokens, 0, 3 * PAGE, &found);
  assert_int_equal(found.n_tokens, 2 * PAGE + 1);
  pn_kv_release(p, &t, 0, tokens, 0);
  counts(p, 1, 3, 0);
  check(p, NULL, NULL);
  assert_true(pn_kv_reserve(p, &t, PAGE, &e));
  assert_false(pn_kv_reserve(p, &t, 2 * PAGE, &e));
  pn_kv_release(p, &t, 0, others, PAGE);
  pn_kv_attached(p, &found);
  counts(p, 0, 0, 4);
  check(p, NULL, NULL);
  pn_kv_table_fini(&t);
  pn_kv_pool_free(p);
}

static void leaves_give_way_first(void **state) {
  (void)state;
  int32_t a[MAX], b[MAX], differs;
  pn_error e = {0};
  fill(a, MAX, 0), fill(b, MAX, 5000);
  pn_kv_pool *p = pool(6);
  remember(p, a, 3 * PAGE);
  remember(p, b, 3 * PAGE);
  pn_kv_table t = table();
  assert_true(pn_kv_reserve(p, &t, PAGE, &e));
  assert_int_equal(pn_kv_lookup(p, 0, a, MAX, &differs), 2 * PAGE);
  assert_int_equal(pn_kv_lookup(p, 0, b, MAX, &differs), 3 * PAGE);
  assert_true(pn_kv_reserve(p, &t, 4 * PAGE, &e));
  assert_int_equal(pn_kv_lookup(p, 0, a, MAX, &differs), 0);
  assert_int_equal(pn_kv_lookup(p, 0, b, MAX, &differs), 2 * PAGE);
  assert_int_equal(pn_kv_pool_stats(p).n_evicted, 4);
  assert_false(pn_kv_reserve(p, &t, 7 * PAGE, &e)); // and then nothing gives way
  assert_int_equal(pn_kv_pool_stats(p).n_cached, 2);
  check(p, &t, NULL);
  pn_kv_release(p, &t, 0, a, 0);
  pn_kv_table_fini(&t);
  pn_kv_pool_free(p);
}

static void equal_pages_become_one(void **state) {
  (void)state;
  int32_t tokens[MAX];
  pn_error e = {0};
  fill(tokens, MAX, 0);
  pn_kv_pool *p = pool(8);
  pn_kv_table a = table(), b = table();
  assert_true(pn_kv_reserve(p, &a, 2 * PAGE + 3, &e) && pn_kv_reserve(p, &b, 2 * PAGE + 9, &e));
  pn_kv_publish(p, &a, 0, tokens, 2 * PAGE + 3);
  assert_int_equal(a.n_known, 2);
  check(p, &a, &b);
  pn_kv_publish(p, &b, 0, tokens, PAGE + 9);
  assert_int_equal(b.n_known, 1);
  assert_int_equal(b.pages[0], a.pages[0]);
  pn_kv_publish(p, &b, 0, tokens, 2 * PAGE + 9);
  assert_int_equal(b.pages[1], a.pages[1]);
  counts(p, 4, 4, 0);
  check(p, &a, &b);
  pn_kv_release(p, &b, 0, tokens, 2 * PAGE + 9);
  counts(p, 4, 3, 1);
  pn_kv_release(p, &a, 0, tokens, 2 * PAGE + 3); // its partial page is the beginning of the other one
  counts(p, 5, 0, 3);
  check(p, NULL, NULL);
  remember(p, tokens, 2 * PAGE + 12); // and this one says more than that
  counts(p, 5, 0, 3);
  int32_t differs;
  assert_int_equal(pn_kv_lookup(p, 0, tokens, MAX, &differs), 2 * PAGE + 12);
  assert_int_equal(differs, -1);
  assert_int_equal(pn_kv_lookup(p, 0, tokens, 2 * PAGE + 4, &differs), 2 * PAGE + 4);
  assert_int_equal(differs, 2 * PAGE + 4);
  pn_kv_table_fini(&a), pn_kv_table_fini(&b);
  pn_kv_pool_free(p);
}

// A partial page that a copy reads stays when a longer one comes, and goes after the copy.
static void a_partial_page_in_use_stays(void **state) {
  (void)state;
  int32_t tokens[MAX];
  fill(tokens, MAX, 0);
  pn_kv_pool *p = pool(8);
  remember(p, tokens, 7);
  pn_kv_table t = table();
  pn_kv_prefix found;
  pn_kv_attach(p, &t, 0, tokens, 0, 20, &found);
  assert_int_equal(found.n_tokens, 7);
  pn_kv_table other = table();
  pn_error e = {0};
  assert_true(pn_kv_reserve(p, &other, PAGE, &e));
  pn_kv_release(p, &other, 0, tokens, PAGE);
  pn_kv_table_fini(&other);
  counts(p, 5, 2, 1);
  check(p, &t, NULL);
  pn_kv_attached(p, &found);
  counts(p, 6, 1, 1);
  check(p, &t, NULL);
  pn_kv_release(p, &t, 0, tokens, 20);
  counts(p, 7, 0, 1);
  pn_kv_table_fini(&t);
  pn_kv_pool_free(p);
}

static void a_sequence_attaches_again_as_it_goes(void **state) {
  (void)state;
  int32_t tokens[MAX];
  pn_error e = {0};
  fill(tokens, MAX, 0);
  pn_kv_pool *p = pool(16);
  pn_kv_table a = table(), b = table();
  pn_kv_prefix found;
  assert_true(pn_kv_reserve(p, &a, 5 * PAGE, &e) && pn_kv_reserve(p, &b, 3 * PAGE, &e));
  pn_kv_publish(p, &a, 0, tokens, 3 * PAGE);
  pn_kv_attach(p, &b, 0, tokens, PAGE + 4, 5 * PAGE, &found); // b's page that ends inside is exchanged
  assert_int_equal(found.n_tokens, 3 * PAGE);
  assert_int_equal(b.n_pages, 3);
  assert_int_equal(b.n_known, 3);
  counts(p, 11, 5, 0);
  check(p, &a, &b);
  assert_true(pn_kv_reserve(p, &b, 4 * PAGE, &e));
  int32_t own = b.pages[3];
  pn_kv_attach(p, &b, 0, tokens, 3 * PAGE + 2, 5 * PAGE, &found); // nothing more is known
  assert_int_equal(found.n_tokens, 3 * PAGE + 2);
  assert_int_equal(b.pages[3], own);
  pn_kv_publish(p, &a, 0, tokens, 4 * PAGE);
  pn_kv_attach(p, &b, 0, tokens, 3 * PAGE + 2, 3 * PAGE + 20, &found); // copied into its own page
  assert_int_equal(found.n_tokens, 3 * PAGE + 20);
  assert_int_equal(found.copy_to, own);
  assert_int_equal(found.copy_from, a.pages[3]);
  pn_kv_attached(p, &found);
  check(p, &a, &b);
  pn_kv_release(p, &a, 0, tokens, 5 * PAGE);
  pn_kv_release(p, &b, 0, tokens, 3 * PAGE + 20);
  counts(p, 11, 0, 5);
  check(p, NULL, NULL);
  pn_kv_table_fini(&a), pn_kv_table_fini(&b);
  pn_kv_pool_free(p);
}

static void the_latest_of_equals(void **state) {
  (void)state;
  int32_t a[MAX], b[MAX], c[MAX], differs;
  fill(a, MAX, 0), fill(b, MAX, 0), fill(c, MAX, 0);
  a[4] = 1000, b[4] = 1001;
  pn_kv_pool *p = pool(8);
  remember(p, a, PAGE);
  remember(p, b, 10);
  assert_int_equal(pn_kv_lookup(p, 0, c, PAGE, &differs), 4);
  assert_int_equal(differs, 1001);
  assert_int_equal(pn_kv_lookup(p, 0, c, 0, &differs), 0);
  pn_kv_table t = table();
  pn_kv_prefix found;
  pn_kv_attach(p, &t, 0, a, 0, PAGE, &found);
  assert_int_equal(pn_kv_lookup(p, 0, c, PAGE, &differs), 4);
  assert_int_equal(differs, 1000);
  int32_t page = t.pages[0];
  pn_kv_release(p, &t, 0, a, PAGE);
  pn_kv_attach(p, &t, 0, c, 0, PAGE, &found);
  assert_int_equal(found.copy_from, page);
  pn_kv_attached(p, &found);
  pn_kv_release(p, &t, 0, c, 5);
  assert_int_equal(pn_kv_lookup(p, 0, &a[7], MAX - 7, &differs), 0); // nothing begins so
  assert_int_equal(differs, 0);
  check(p, NULL, NULL);
  pn_kv_table_fini(&t);
  pn_kv_pool_free(p);
}

static void idle_runs(void **state) {
  (void)state;
  int32_t first;
  int n;
  pn_error e = {0};
  pn_kv_pool *p = pool(200);
  assert_false(pn_kv_take_idle_run(p, 0, &first, &n)); // never used
  pn_kv_table a = table(), b = table(), c = table();
  assert_true(pn_kv_reserve(p, &a, 3 * PAGE, &e) && pn_kv_reserve(p, &b, 2 * PAGE, &e) &&
              pn_kv_reserve(p, &c, 4 * PAGE, &e));
  assert_false(pn_kv_take_idle_run(p, 0, &first, &n)); // in use
  pn_kv_release(p, &c, 0, NULL, 0);
  pn_kv_release(p, &a, 0, NULL, 0);
  assert_true(pn_kv_take_idle_run(p, 0, &first, &n));
  assert_int_equal(first, 0);
  assert_int_equal(n, 3);
  assert_true(pn_kv_take_idle_run(p, 0, &first, &n));
  assert_int_equal(first, 5);
  assert_int_equal(n, 4);
  assert_false(pn_kv_take_idle_run(p, 0, &first, &n));
  pn_kv_release(p, &b, 0, NULL, 0);
  assert_true(pn_kv_reserve(p, &a, 1, &e)); // what was used last
  assert_true(a.pages[0] == 3 || a.pages[0] == 4);
  check(p, &a, NULL);
  assert_true(pn_kv_take_idle_run(p, 0, &first, &n));
  assert_int_equal(first, 7 - a.pages[0]);
  assert_int_equal(n, 1);
  assert_false(pn_kv_take_idle_run(p, 0, &first, &n));
  pn_kv_release(p, &a, 0, NULL, 0);
  pn_kv_table_fini(&a), pn_kv_table_fini(&b), pn_kv_table_fini(&c);
  pn_kv_pool_free(p);
}

// What nobody holds is forgotten, what somebody holds stays known.
static void everything_cached_is_forgotten(void **state) {
  (void)state;
  int32_t tokens[4 * PAGE], other[2 * PAGE], differs;
  fill(tokens, 4 * PAGE, 1), fill(other, 2 * PAGE, 1000);
  pn_kv_pool *p = pool(20);
  remember(p, tokens, 4 * PAGE);
  remember(p, other, 2 * PAGE - 5);
  pn_kv_table a = table();
  pn_kv_prefix found;
  pn_kv_attach(p, &a, 0, tokens, 0, 2 * PAGE, &found);
  pn_kv_attached(p, &found);
  counts(p, 14, 2, 4);
  pn_kv_forget(p);
  counts(p, 18, 2, 0);
  check(p, &a, NULL);
  assert_int_equal(pn_kv_lookup(p, 0, tokens, 4 * PAGE, &differs), 2 * PAGE);
  assert_int_equal(pn_kv_lookup(p, 0, other, 2 * PAGE, &differs), 0);
  pn_kv_release(p, &a, 0, NULL, 0);
  pn_kv_forget(p);
  counts(p, 20, 0, 0);
  pn_kv_table_fini(&a);
  pn_kv_pool_free(p);
}

// Many different first pages: all begin alike for `same` tokens. Looking at each of them for each would take
// minutes.
static void many_beginnings(int same) {
  enum { N = 60000 };
  pn_kv_pool *p = pool(N);
  pn_kv_table t = table();
  pn_kv_prefix found;
  pn_error e = {0};
  int32_t tokens[PAGE];
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < N; i++) {
      fill(tokens, PAGE, 0);
      tokens[same] = 100 + (int32_t)((int64_t)i * 7919 % N);
      pn_kv_attach(p, &t, 0, tokens, 0, PAGE, &found);
      assert_int_equal(found.n_tokens, round ? PAGE : i && i < N - 1 ? same : found.n_tokens);
      assert_true(pn_kv_reserve(p, &t, PAGE, &e));
      pn_kv_attached(p, &found);
      pn_kv_release(p, &t, 0, tokens, PAGE);
    }
  check(p, NULL, NULL);
  pn_kv_table_fini(&t);
  pn_kv_pool_free(p);
}

static void many_beginnings_are_found_fast(void **state) {
  (void)state;
  many_beginnings(0);
  many_beginnings(1);
  many_beginnings(PAGE - 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_table_maps_positions),
      cmocka_unit_test(whole_pages_are_shared),
      cmocka_unit_test(of_a_page_that_differs_a_copy_is_wanted),
      cmocka_unit_test(no_page_for_the_copy),
      cmocka_unit_test(a_copy_outlives_its_table),
      cmocka_unit_test(leaves_give_way_first),
      cmocka_unit_test(equal_pages_become_one),
      cmocka_unit_test(a_partial_page_in_use_stays),
      cmocka_unit_test(a_sequence_attaches_again_as_it_goes),
      cmocka_unit_test(the_latest_of_equals),
      cmocka_unit_test(idle_runs),
      cmocka_unit_test(everything_cached_is_forgotten),
      cmocka_unit_test(many_beginnings_are_found_fast),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
