// Arena: alignment, zeroing, the limit, overflowing sizes.
#include "../unit.h"
#include "base/arena.h"

#include <stdalign.h>
#include <string.h>

static void hands_out_zeroed_aligned_memory(void **state) {
  (void)state;
  pn_arena a = {0};
  for (size_t n = 0; n < 3000; n += 7) {
    unsigned char *p = pn_arena_alloc(&a, n);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
    for (size_t i = 0; i < n; i++) assert_int_equal(p[i], 0);
    memset(p, 0xAA, n); // a neighbour that overlaps would not be zero
  }
  pn_arena_fini(&a);
  assert_null(a.head);
  assert_int_equal(a.used_bytes, 0);
}

static void large_blocks_fit(void **state) {
  (void)state;
  pn_arena a = {0};
  char *small = pn_arena_alloc(&a, 10), *big = pn_arena_alloc(&a, 5u << 20), *after = pn_arena_alloc(&a, 10);
  assert_true(small && big && after);
  memset(big, 1, 5u << 20);
  assert_int_equal(after[0], 0);
  assert_int_equal(small[0], 0);
  pn_arena_fini(&a);
}

static void limit_is_exact(void **state) {
  (void)state;
  pn_arena a = {.limit_bytes = 1024};
  assert_null(pn_arena_alloc(&a, 1025));
  assert_non_null(pn_arena_alloc(&a, 512));
  assert_null(pn_arena_alloc(&a, 513));
  assert_non_null(pn_arena_alloc(&a, 512));
  assert_int_equal(a.used_bytes, 1024);
  assert_null(pn_arena_alloc(&a, 1));
  assert_null(pn_arena_alloc(&a, 0)); // even nothing needs a place of its own
  pn_arena_fini(&a);
}

static void overflowing_sizes_are_refused(void **state) {
  (void)state;
  pn_arena a = {0};
  assert_null(pn_arena_alloc(&a, SIZE_MAX));
  assert_null(pn_arena_alloc(&a, SIZE_MAX / 2 + 1));
  assert_null(pn_arena_array(&a, SIZE_MAX / 2, 3));
  assert_null(pn_arena_array(&a, 3, SIZE_MAX / 2));
  assert_non_null(pn_arena_array(&a, 0, 8));
  assert_int_equal(((uint32_t *)pn_arena_array(&a, 100, 4))[99], 0);
  pn_arena_fini(&a);
}

static void dup_copies_bytes_and_ends_them(void **state) {
  (void)state;
  pn_arena a = {0};
  char *z = pn_arena_dup(&a, (pn_str){"a\0b", 3});
  assert_memory_equal(z, "a\0b", 4);
  assert_string_equal(pn_arena_dup(&a, (pn_str){0}), "");
  pn_arena_fini(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hands_out_zeroed_aligned_memory),
      cmocka_unit_test(large_blocks_fit),
      cmocka_unit_test(limit_is_exact),
      cmocka_unit_test(overflowing_sizes_are_refused),
      cmocka_unit_test(dup_copies_bytes_and_ends_them),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
