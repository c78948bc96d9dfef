// Where prompts are marked: at the ends of turns, not too often, and as the shorter conversation was.
#include "api/prompt_marks.h"
#include "play.h"

#include <string.h>

enum { TEXT = 'a', END = 257, OTHER_END = 300 };

// A prompt of turns of so many tokens, each ended by a control token, and `open` tokens that invite an
// answer.
static pn_ids prompt_of(const int *turns, int n, int open) {
  pn_ids ids = {0};
  for (int i = 0; i < n; i++) {
    for (int k = 1; k < turns[i]; k++) pn_ids_add(&ids, TEXT);
    pn_ids_add(&ids, i % 2 ? OTHER_END : END);
  }
  for (int k = 0; k < open; k++) pn_ids_add(&ids, TEXT);
  return ids;
}

static void expect(const int *turns, int n, const int32_t *want, size_t n_want) {
  pn_ids ids = prompt_of(turns, n, 5), marks = {0};
  prompt_marks(NULL, &ids, &marks);
  assert_int_equal(marks.n, n_want);
  if (n_want) assert_memory_equal(marks.p, want, n_want * sizeof *want);
  pn_ids_fini(&marks);
  pn_ids_fini(&ids);
}

static void system_prompt_and_last_turn(void **state) {
  (void)state;
  expect((int[]){1000, 100}, 2, (int32_t[]){1000, 1100}, 2);
  expect((int[]){1000, 10}, 2, (int32_t[]){1000}, 1); // not worth a pass of its own
  expect((int[]){63, 10}, 2, (int32_t[]){73}, 1);
  expect((int[]){64, 64}, 2, (int32_t[]){64, 128}, 2);
}

static void short_turns_share_a_mark(void **state) {
  (void)state;
  expect((int[]){100, 100, 100, 100, 100, 300, 20}, 7, (int32_t[]){100, 400, 800}, 3);
}

static void nothing_ends(void **state) {
  (void)state;
  expect(NULL, 0, NULL, 0);
  expect((int[]){50}, 1, NULL, 0);
}

// A longer prompt of the same conversation has the marks of the shorter, but for that of its last turn.
static void grows_behind(void **state) {
  (void)state;
  int turns[40];
  for (int i = 0; i < 40; i++) turns[i] = 1 + i * 7919 % 301;
  for (int n = 1; n < 40; n++) {
    pn_ids a = prompt_of(turns, n, 3), b = prompt_of(turns, n + 1, 3), before = {0}, after = {0};
    prompt_marks(NULL, &a, &before);
    prompt_marks(NULL, &b, &after);
    assert_true(before.n == 0 || after.n + 1 >= before.n);
    for (size_t i = 0; i + 1 < before.n; i++) assert_int_equal(before.p[i], after.p[i]);
    for (size_t i = 0; i < after.n; i++) {
      assert_true(after.p[i] <= (int32_t)b.n && (i == 0 || after.p[i] > after.p[i - 1]));
      assert_int_not_equal(b.p[after.p[i] - 1], TEXT);
    }
    pn_ids_fini(&before);
    pn_ids_fini(&after);
    pn_ids_fini(&a);
    pn_ids_fini(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(system_prompt_and_last_turn),
      cmocka_unit_test(short_turns_share_a_mark),
      cmocka_unit_test(nothing_ends),
      cmocka_unit_test(grows_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
