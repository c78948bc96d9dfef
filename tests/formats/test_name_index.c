#include "base/hash.h"
#include "formats/name_index.h"

#include <stdio.h>
#include <stdlib.h>

// clang-format off
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
// clang-format on

#define N 1200
#define SLOTS 4096 // the table that N names get

static void test_find(void **state) {
  (void)state;
  pn_arena a = {0};
  pn_tensors t = {.items = pn_arena_array(&a, N, sizeof(pn_tensor)), .n = N};
  for (int i = 0; i < N; i++) {
    char *name = pn_arena_alloc(&a, 16);
    t.items[i].name = (pn_str){name, (size_t)snprintf(name, 16, "%d", i)};
  }
  assert_true(
      name_index_require(&a, t.items, N, sizeof *t.items, &t.index, &t.index_size, "f", "tensor", NULL));
  assert_int_equal(t.index_size, SLOTS);
  for (size_t i = 0; i < N; i++) assert_ptr_equal(pn_tensors_find(&t, t.items[i].name), &t.items[i]);
  assert_null(pn_tensors_find(&t, PN_STR("1200")));
  assert_null(pn_tensors_find(&t, (pn_str){0}));
  t.items[7].name = PN_STR("1100");
  size_t twice[2];
  assert_int_equal(name_index_build(&a, t.items, N, sizeof *t.items, &t.index, &t.index_size, twice),
                   NAME_INDEX_TWICE);
  assert_int_equal(twice[0], 7);
  assert_int_equal(twice[1], 1100);
  pn_arena_fini(&a);
}

static void test_no_names(void **state) {
  (void)state;
  pn_arena a = {0};
  pn_tensors t = {0};
  assert_true(name_index_require(&a, NULL, 0, sizeof *t.items, &t.index, &t.index_size, "f", "tensor", NULL));
  assert_null(pn_tensors_find(&t, PN_STR("a")));
  pn_arena_fini(&a);
}

// Names picked so that all want one slot would make every look-up slow: refused.
static void test_crowded(void **state) {
  (void)state;
  pn_arena a = {0};
  pn_tensor *items = pn_arena_array(&a, N, sizeof *items);
  for (size_t n = 0, i = 0; n < N; i++) {
    char name[24];
    size_t len = (size_t)snprintf(name, sizeof name, "%zx", i);
    if (pn_hash(name, len, 0) % SLOTS == 0)
      items[n++].name = (pn_str){pn_arena_dup(&a, (pn_str){name, len}), len};
  }
  uint32_t *index;
  size_t index_size;
  pn_error e = {0};
  assert_false(name_index_require(&a, items, N, sizeof *items, &index, &index_size, "f", "tensor", &e));
  assert_int_equal(e.code, PN_ERR_CORRUPT);
  assert_non_null(strstr(e.msg, "collide"));
  pn_arena_fini(&a);
}

static void test_shown(void **state) {
  (void)state;
  char name[200];
  memset(name, 'a', sizeof name);
  assert_int_equal(name_shown_bytes((pn_str){name, 100}), 100);
  assert_int_equal(name_shown_bytes((pn_str){name, 200}), 100);
  memcpy(name + 98, "\xE2\x82\xAC", 3); // a character across the cut stays out
  assert_int_equal(name_shown_bytes((pn_str){name, 200}), 98);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_find),
      cmocka_unit_test(test_no_names),
      cmocka_unit_test(test_crowded),
      cmocka_unit_test(test_shown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
