// Slices and growable buffers.
#include "../unit.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static void slices_compare(void **state) {
  (void)state;
  pn_str empty = {0}, abc = PN_STR("abc");
  assert_true(pn_str_eq(empty, PN_STR("")));
  assert_true(pn_str_eq(pn_str_of(NULL), empty));
  assert_true(pn_str_is(abc, "abc"));
  assert_false(pn_str_is(abc, "abd"));
  assert_false(pn_str_is(abc, "ab"));
  assert_true(pn_str_starts(abc, PN_STR("ab")) && pn_str_starts(abc, empty) && pn_str_starts(empty, empty));
  assert_false(pn_str_starts(abc, PN_STR("abcd")));
  assert_true(pn_str_ends(abc, PN_STR("bc")) && pn_str_ends(abc, empty) && pn_str_ends(empty, empty));
  assert_false(pn_str_ends(abc, PN_STR("ab")));
  assert_false(pn_str_ends(abc, PN_STR("xabc")));
}

static void finding(void **state) {
  (void)state;
  pn_str hay = {"aab\0aab", 7};
  assert_int_equal(pn_str_find(hay, PN_STR("ab"), 0), 1);
  assert_int_equal(pn_str_find(hay, PN_STR("ab"), 2), 5);
  assert_true(pn_str_find(hay, PN_STR("ab"), 6) == SIZE_MAX);
  assert_int_equal(pn_str_find(hay, (pn_str){"\0a", 2}, 0), 3);
  assert_int_equal(pn_str_find(hay, PN_STR(""), 7), 7);
  assert_true(pn_str_find(hay, PN_STR(""), 8) == SIZE_MAX);
  assert_true(pn_str_find((pn_str){0}, PN_STR("a"), 0) == SIZE_MAX);
}

static void dup_ends_with_nul(void **state) {
  (void)state;
  char *z = pn_str_dup((pn_str){"x\0y", 3});
  assert_memory_equal(z, "x\0y", 4);
  free(z);
  z = pn_str_dup((pn_str){0});
  assert_string_equal(z, "");
  free(z);
}

static void buffers_grow(void **state) {
  (void)state;
  pn_buf b = {0};
  assert_string_equal(pn_buf_cstr(&b), "");
  for (int i = 0; i < 1000; i++) pn_buf_printf(&b, "%d,", i);
  assert_false(b.oom);
  assert_memory_equal(b.p, "0,1,2,", 6);
  assert_memory_equal(b.p + b.n - 4, "999,", 4);
  assert_int_equal(strlen(pn_buf_cstr(&b)), b.n);
  pn_buf_clear(&b);
  pn_buf_z(&b, "hello ");
  pn_buf_str(&b, PN_STR("wor"));
  pn_buf_char(&b, 'l');
  pn_buf_add(&b, "d", 1);
  pn_buf_add(&b, NULL, 0);
  assert_string_equal(pn_buf_cstr(&b), "hello world");
  pn_buf_drop(&b, 6);
  assert_string_equal(pn_buf_cstr(&b), "world");
  pn_buf_drop(&b, 99);
  assert_int_equal(pn_buf_view(&b).n, 0);
  pn_buf_fini(&b);
  assert_null(b.p);
}

static void running_out_of_memory_stays(void **state) {
  (void)state;
  pn_buf b = {0};
  pn_buf_z(&b, "kept");
  assert_false(pn_buf_reserve(&b, SIZE_MAX / 2));
  assert_true(b.oom);
  pn_buf_z(&b, "lost");
  pn_buf_printf(&b, "%d", 1);
  assert_int_equal(b.n, 4);
  assert_string_equal(pn_buf_cstr(&b), "");
  pn_buf_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(slices_compare),
      cmocka_unit_test(finding),
      cmocka_unit_test(dup_ends_with_nul),
      cmocka_unit_test(buffers_grow),
      cmocka_unit_test(running_out_of_memory_stays),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
