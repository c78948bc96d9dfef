#include "base/rng.h"
#include "kv/kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void pages_are_counted(void **state) {
  (void)state;
  pn_error e = {0};
  assert_null(pn_kv_pool_new(0, &e));
  assert_int_equal(e.code, PN_ERR_INTERNAL);
  pn_kv_pool *p = pn_kv_pool_new(3, &e);
  assert_non_null(p);
  int32_t a = pn_kv_page_take(p), b = pn_kv_page_take(p), c = pn_kv_page_take(p);
  assert_true(a != b && b != c && a != c);
  assert_int_equal(pn_kv_page_take(p), -1);
  pn_kv_page_ref(p, b);
  pn_kv_page_unref(p, b);
  assert_int_equal(pn_kv_pool_free_pages(p), 0);
  assert_int_equal(pn_kv_page_refs(p, b), 1);
  pn_kv_page_unref(p, b);
  assert_int_equal(pn_kv_pool_free_pages(p), 1);
  assert_int_equal(pn_kv_page_take(p), b);
  pn_kv_page_unref(p, a), pn_kv_page_unref(p, b), pn_kv_page_unref(p, c);
  pn_kv_pool_free(p);
}

static void a_table_maps_positions(void **state) {
  (void)state;
  pn_error e = {0};
  pn_kv_pool *p = pn_kv_pool_new(4, &e);
  pn_kv_table t = {0}, other = {0};
  assert_true(pn_kv_table_reserve(p, &t, 1, &e));
  assert_true(pn_kv_table_reserve(p, &other, PN_KV_PAGE_TOKENS, &e));
  assert_true(pn_kv_table_reserve(p, &t, PN_KV_PAGE_TOKENS + 1, &e));
  assert_int_equal(t.n_pages, 2);
  assert_int_equal(t.n_tokens, PN_KV_PAGE_TOKENS + 1);
  assert_int_equal(pn_kv_slot(&t, 5), t.pages[0] * PN_KV_PAGE_TOKENS + 5);
  assert_int_equal(pn_kv_slot(&t, PN_KV_PAGE_TOKENS), t.pages[1] * PN_KV_PAGE_TOKENS);
  assert_false(pn_kv_table_reserve(p, &t, 4 * PN_KV_PAGE_TOKENS, &e));
  assert_int_equal(e.code, PN_ERR_LIMIT);
  assert_int_equal(t.n_pages, 2);
  assert_true(pn_kv_table_reserve(p, &t, 3, &e)); // never shrinks
  assert_int_equal(t.n_tokens, PN_KV_PAGE_TOKENS + 1);
  pn_kv_table_fini(p, &t);
  pn_kv_table_fini(p, &other);
  assert_int_equal(pn_kv_pool_free_pages(p), 4);
  pn_kv_pool_free(p);
}

// Random growing and ending of tables: no page is ever in two of them, and none is lost.
static void no_page_twice(void **state) {
  (void)state;
  enum { N_PAGES = 40, N_TABLES = 6 };
  pn_error e = {0};
  pn_rng rng;
  pn_rng_seed(&rng, 4);
  pn_kv_pool *p = pn_kv_pool_new(N_PAGES, &e);
  pn_kv_table t[N_TABLES] = {0};
  for (int step = 0; step < 20000; step++) {
    pn_kv_table *at = &t[pn_rng_below(&rng, N_TABLES)];
    if (pn_rng_below(&rng, 5) == 0)
      pn_kv_table_fini(p, at);
    else
      pn_kv_table_reserve(p, at, at->n_tokens + (int)pn_rng_below(&rng, 70), &e);
    int owners[N_PAGES] = {0}, used = 0;
    for (int i = 0; i < N_TABLES; i++)
      for (int k = 0; k < t[i].n_pages; k++, used++) assert_int_equal(owners[t[i].pages[k]]++, 0);
    assert_int_equal(used + pn_kv_pool_free_pages(p), N_PAGES);
  }
  for (int i = 0; i < N_TABLES; i++) pn_kv_table_fini(p, &t[i]);
  assert_int_equal(pn_kv_pool_free_pages(p), N_PAGES);
  pn_kv_pool_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(pages_are_counted),
                                     cmocka_unit_test(a_table_maps_positions),
                                     cmocka_unit_test(no_page_twice)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
