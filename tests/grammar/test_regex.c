// Patterns of ECMA-262 as automata: what they match, and what is refused by name.
#include "../unit.h"
#include "grammar/regex.h"

#include <stdio.h>
#include <string.h>

typedef struct example {
  const char *pattern, *yes[8], *no[8];
} example;

static const example examples[] = {
    {"", {"", "a", "é\n"}, {NULL}},
    {"b+", {"b", "abc", "abb"}, {"", "ac"}},
    {"^$", {""}, {"a", "\n"}},
    {"^a", {"a", "ab"}, {"", "ba"}},
    {"a$", {"a", "ba"}, {"ab"}},
    {"^a|b$", {"ac", "cb", "ab"}, {"ca", "bc"}},
    {"(^|,)x", {"x", "a,x", "xy"}, {"ax", ",a"}},
    {"^(^a)$", {"a"}, {"", "aa"}},
    {"^wf_[a-z0-9-]{6,}$", {"wf_abc-12", "wf_0123456789"}, {"wf_abc", "wf_ABCDEF", "xwf_abcdef"}},
    {"^[^\\n\\r]*$", {"", "any text", "é"}, {"a\nb", "\r"}},
    {"^[\\s\\S]{0,3}$", {"", "a", "é\n😀"}, {"abcd"}},
    {"^.$", {"a", "😀"}, {"", "\n", "\xE2\x80\xA8"}},
    {"^\\d{3}-\\w+$", {"123-a_B9"}, {"12-a", "123-é", "123-"}},
    {"^\\S+\\s\\D\\W$", {"a b!", "x\xC2\xA0y-"}, {"a 1!", "ab!"}},
    {"^(?:ab|cd){2}$", {"abcd", "cdcd"}, {"ab", "abcdab"}},
    {"^(?<name>a)+?$", {"a", "aaa"}, {""}},
    {"^a{2}b{1,2}c{0,}$", {"aab", "aabbcc"}, {"ab", "aabbb"}},
    {"^x{,3}$", {"x{,3}"}, {"xxx"}},
    {"^[a-c\\d_-]$", {"b", "7", "_", "-"}, {"d", "\\"}},
    {"^[\\u4e00-\\u9fff]$", {"中"}, {"a", "あ"}},
    {"^\\u{1F600}\\uD83D\\uDE00\\x41\\t\\cA\\/$", {"😀😀A\t\x01/"}, {"😀A\t\x01/"}},
    {"^[\\b]\\0?$", {"\b"}, {"b"}},
    {"^(a*)*$", {"", "aaa"}, {"b"}},
    {"^(|a)b$", {"b", "ab"}, {"a"}},
    {"^[^a]$", {"b", "é"}, {"a", ""}},
    {"^[^]$", {"a", "\n"}, {""}},
};

static void test_patterns(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
    const example *x = &examples[i];
    pn_error e = {0};
    dfa *d = regex_compile(pn_str_of(x->pattern), &e);
    if (!d) fail_msg("%s: %s", x->pattern, e.msg);
    for (int k = 0; k < 8 && x->yes[k]; k++)
      if (!dfa_accepts(d, pn_str_of(x->yes[k])))
        fail_msg("/%s/ does not match \"%s\"", x->pattern, x->yes[k]);
    for (int k = 0; k < 8 && x->no[k]; k++)
      if (dfa_accepts(d, pn_str_of(x->no[k]))) fail_msg("/%s/ matches \"%s\"", x->pattern, x->no[k]);
    dfa_free(d);
  }
}

static void test_refused(void **state) {
  static const char *const cases[][2] = {
      {"^(?=a)", "look-ahead"},     {"^(?!a)", "look-ahead"},
      {"(?<=a)b", "look-behind"},   {"(a)\\1", "back reference"},
      {"\\bword", "word boundary"}, {"\\p{L}", "property"},
      {"(a", "without its end"},    {"a)", "unexpected"},
      {"[a", "without its end"},    {"*a", "nothing"},
      {"[b-a]", "out of order"},    {"a{3,2}", "out of order"},
      {"\\", "backslash"},          {"\\u12", "malformed"},
      {"(?#x)", "kind of group"},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_error e = {0};
    assert_null(regex_compile(pn_str_of(cases[i][0]), &e));
    assert_int_equal(e.code, PN_ERR_UNSUPPORTED);
    if (!strstr(e.msg, cases[i][1])) fail_msg("/%s/: %s", cases[i][0], e.msg);
  }
}

// Small patterns that need large automata must be given up soon.
static void test_bombs(void **state) {
  static const char *const bombs[] = {"((a{1000}){1000}){1000}", "^(a|b)*a(a|b){30}$",
                                      "(((((a*)*)*)*)*)*{900}", "a{100000000}", "(a|aa|aaa|aaaa){2000}"};
  (void)state;
  for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
    pn_error e = {0};
    dfa *d = regex_compile(pn_str_of(bombs[i]), &e);
    assert_true(d || e.code == PN_ERR_LIMIT || e.code == PN_ERR_UNSUPPORTED);
    dfa_free(d);
  }
}

static void test_formats(void **state) {
  static const example formats[] = {
      {"date",
       {"2024-02-29", "2000-02-29", "1999-12-31"},
       {"2023-02-29", "1900-02-29", "2024-13-01", "2024-04-31", "0000-01-01"}},
      {"date-time",
       {"2024-01-01T00:00:00Z", "2024-01-01t23:59:59.123+02:00"},
       {"2024-01-01", "2024-01-01T24:00:00Z"}},
      {"time", {"12:00:00Z"}, {"12:00"}},
      {"uuid", {"123e4567-e89b-12d3-a456-426614174000"}, {"123e4567e89b12d3a456426614174000"}},
      {"email", {"a.b+c@d-e.org"}, {"a", "a@", "@b", "a..b@c", "a b@c"}},
      {"ipv4", {"0.0.0.0", "255.255.255.255"}, {"256.1.1.1", "1.2.3", "01.2.3.4"}},
      {"uri", {"http://x.y/z?q#f", "mailto:a@b", "file:///x"}, {"x", "//x", "http://a b"}},
  };
  (void)state;
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    pn_error e = {0};
    dfa *d = format_compile(pn_str_of(formats[i].pattern), &e);
    assert_non_null(d);
    assert_true(format_known(pn_str_of(formats[i].pattern)));
    for (int k = 0; k < 8 && formats[i].yes[k]; k++)
      assert_true(dfa_accepts(d, pn_str_of(formats[i].yes[k])));
    for (int k = 0; k < 8 && formats[i].no[k]; k++) assert_false(dfa_accepts(d, pn_str_of(formats[i].no[k])));
    dfa_free(d);
  }
  pn_error e = {.code = PN_ERR_USAGE};
  assert_null(format_compile(PN_STR("color"), &e));
  assert_int_equal(e.code, PN_OK);
}

static void test_lengths(void **state) {
  int64_t min = 0, max = 0;
  (void)state;
  assert_true(regex_is_length(PN_STR("^[\\s\\S]{0,300}$"), &min, &max));
  assert_int_equal(min, 0);
  assert_int_equal(max, 300);
  assert_true(regex_is_length(PN_STR("^[^]+$"), &min, &max));
  assert_int_equal(min, 1);
  assert_int_equal(max, -1);
  assert_false(regex_is_length(PN_STR("^[a-z]{2,3}$"), &min, &max));
  assert_false(regex_is_length(PN_STR("[\\s\\S]{2}"), &min, &max));
  assert_false(regex_is_length(PN_STR("^[\\s\\S]{3,2}$"), &min, &max));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_patterns), cmocka_unit_test(test_refused),
                                     cmocka_unit_test(test_bombs), cmocka_unit_test(test_formats),
                                     cmocka_unit_test(test_lengths)};
  return cmocka_run_group_tests_name("regex", tests, NULL, NULL);
}
