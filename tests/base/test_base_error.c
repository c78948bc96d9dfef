// Errors: one line, cut at a character border, context in front.
#include "../unit.h"
#include "base/error.h"
#include "base/utf8.h"

#include <string.h>

static void says_code_and_words(void **state) {
  (void)state;
  pn_error e = {0};
  assert_false(pn_fail(&e, PN_ERR_CORRUPT, "tensor %s: expected %d, found %d", "q", 3, 4));
  assert_int_equal(e.code, PN_ERR_CORRUPT);
  assert_string_equal(e.msg, "tensor q: expected 3, found 4");
  assert_false(pn_fail_in(&e, "file %s", "a.gguf"));
  assert_int_equal(e.code, PN_ERR_CORRUPT);
  assert_string_equal(e.msg, "file a.gguf: tensor q: expected 3, found 4");
  assert_false(pn_fail(NULL, PN_ERR_IO, "nobody listens"));
  assert_false(pn_fail_in(NULL, "nobody"));
}

static void a_message_is_one_line(void **state) {
  (void)state;
  pn_error e = {0};
  pn_fail(&e, PN_ERR_USAGE, "%s", "a\nb\tc\x1B[31m\x7F");
  assert_string_equal(e.msg, "a b c [31m ");
}

// Whatever the alignment of the cut, the message stays valid UTF-8.
static void a_long_message_is_cut_at_a_character(void **state) {
  (void)state;
  for (int lead = 0; lead < 5; lead++) {
    char text[700];
    size_t n = (size_t)lead;
    memset(text, 'x', n);
    while (n + 4 < sizeof text) {
      memcpy(text + n, "\xF0\x9F\x90\x98", 4);
      n += 4;
    }
    text[n] = '\0';
    pn_error e = {0};
    pn_fail(&e, PN_ERR_USAGE, "%s", text);
    pn_str s = pn_str_of(e.msg);
    assert_true(s.n >= sizeof e.msg - 5 && s.n < sizeof e.msg);
    assert_int_equal(pn_utf8_check(s), s.n);
    pn_fail_in(&e, "%s", "context that pushes the end out again");
    s = pn_str_of(e.msg);
    assert_int_equal(pn_utf8_check(s), s.n);
  }
}

static void every_code_has_its_own_name(void **state) {
  (void)state;
  for (int a = PN_OK; a <= PN_ERR_INTERNAL; a++) {
    assert_string_not_equal(pn_code_name((pn_code)a), "unknown");
    for (int b = PN_OK; b < a; b++)
      assert_string_not_equal(pn_code_name((pn_code)a), pn_code_name((pn_code)b));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(says_code_and_words),
      cmocka_unit_test(a_message_is_one_line),
      cmocka_unit_test(a_long_message_is_cut_at_a_character),
      cmocka_unit_test(every_code_has_its_own_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
