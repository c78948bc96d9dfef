// The pure parts of framing.c: keys, Host values, request targets.
#include "http/http_int.h"

#include <string.h>
// cmocka.h needs these before it.
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

// The API's door, which this test doesn't go through.
bool pn_api_is_open(const char *path) { return path == NULL; }

static bool host(const char *z) { return framing_is_local_host(pn_str_of(z)); }
static bool key(const char *expected, const char *given) {
  return framing_key_equal(expected, pn_str_of(given));
}
static bool path(const char *target, const char *expected) {
  return pn_str_is(framing_path(pn_str_of(target)), expected);
}

static void test_keys(void **state) {
  (void)state;
  assert_true(key("a", "a"));
  assert_true(key("sk-ant-0123456789", "sk-ant-0123456789"));
  assert_false(key("a", ""));
  assert_false(key("a", "b"));
  assert_false(key("a", "aa")); // a repetition is not the key
  assert_false(key("aa", "a"));
  assert_false(key("sk-ant-0123456789", "sk-ant-0123456788"));
  assert_false(key("sk-ant-0123456789", "tk-ant-0123456789"));
  assert_false(framing_key_equal("ab", (pn_str){"a\0", 2}));
}

static void test_hosts(void **state) {
  (void)state;
  assert_true(host("localhost"));
  assert_true(host("LocalHost:8000"));
  assert_true(host("localhost."));
  assert_true(host("localhost:"));
  assert_true(host("x.localhost:1"));
  assert_true(host("127.0.0.1:65535"));
  assert_true(host("10.0.0.7"));
  assert_true(host("[::1]"));
  assert_true(host("[fe80::1]:80"));
  assert_false(host(""));
  assert_false(host(":80"));
  assert_false(host(".localhost"));
  assert_false(host("localhost:80x"));
  assert_false(host("localhost:80:80"));
  assert_false(host("127.1.evil"));
  assert_false(host("2130706433"));
  assert_false(host("0x7f.0.0.1"));
  assert_false(host("::1"));
  assert_false(host("["));
  assert_false(host("[]"));
  assert_false(host("[::1"));
  assert_false(host("[::1]80"));
  assert_false(host("[127.0.0.1]"));
  char longest[400];
  memset(longest, 'a', sizeof longest);
  memcpy(longest + 300, ".localhost", 11);
  assert_false(host(longest));
  assert_false(framing_is_local_host((pn_str){"localhost\0.evil", 15}));
}

static void test_paths(void **state) {
  (void)state;
  assert_true(path("/v1/models/a%2Fb", "/v1/models/a%2Fb"));
  assert_true(path("http://localhost:8000/v1", "/v1"));
  assert_true(path("HTTPS://localhost", "/"));
  assert_true(path("http://", "http://"));
  assert_true(path("*", "*"));
  assert_true(path("//double", "//double"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_keys),
      cmocka_unit_test(test_hosts),
      cmocka_unit_test(test_paths),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
