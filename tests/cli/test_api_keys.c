// API keys from a file.
#include "cli/api_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void keys_have_names(void **state) {
  (void)state;
  api_keys k = {0};
  pn_error e = {0};
  assert_true(api_keys_parse(&k, PN_STR("# who may\n\nsk-one\r\n  laptop \tsk-two\n\nsk-three"), &e));
  assert_int_equal(k.n, 3);
  const char *const want[] = {"key1", "sk-one", "laptop", "sk-two", "key3", "sk-three"};
  for (int i = 0; i < 3; i++) {
    assert_string_equal(k.p[i].name, want[2 * i]);
    assert_string_equal(k.p[i].key, want[2 * i + 1]);
  }
  api_keys_fini(&k);
}

static void refused(void **state) {
  (void)state;
  static const struct {
    const char *text, *why;
  } cases[] = {
      {"", "there is no key"},
      {"\n# only words\n", "there is no key"},
      {"a b c", "line 1: expected a name and a key"},
      {"a k1\n\na k2", "line 3: there are two keys of the name a"},
      {"a k1\nb k1", "line 2: a and b are the same key"},
      {"k1\nk1", "line 2: key1 and key2 are the same key"},
      {"a k\xc3\xa9y", "line 1: the key a holds a character"},
      {"key2 x\ny", "line 2: there are two keys of the name key2"},
      {"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn k",
       "line 1: the name has more"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    api_keys k = {0};
    pn_error e = {0};
    assert_false(api_keys_parse(&k, pn_str_of(cases[i].text), &e));
    if (!strstr(e.msg, cases[i].why)) fail_msg("case %zu: %s", i, e.msg);
    assert_int_equal(e.code, PN_ERR_USAGE);
    api_keys_fini(&k);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(keys_have_names), cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
