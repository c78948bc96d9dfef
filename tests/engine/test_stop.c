#include "base/rng.h"
#include "engine/stop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

// Feed `text` in pieces whose sizes come from rng (NULL: byte by byte); the index that matched or -1; *out
// what came.
static int run(const pn_str *stops, size_t n, pn_str text, pn_rng *rng, pn_buf *out) {
  stop_matcher m = {.stops = stops, .n_stops = n};
  int hit = -1;
  for (size_t at = 0; at < text.n && hit < 0;) {
    size_t len = rng ? 1 + (size_t)pn_rng_below(rng, 7) : 1;
    if (len > text.n - at) len = text.n - at;
    hit = stop_feed(&m, (pn_str){text.p + at, len}, out);
    at += len;
  }
  if (hit < 0) stop_flush(&m, out);
  stop_fini(&m);
  return hit;
}

static void expect(const char *text, int hit, const char *before, const char *a, const char *b) {
  const pn_str stops[] = {pn_str_of(a), pn_str_of(b)};
  pn_rng rng;
  pn_rng_seed(&rng, 1);
  for (int round = 0; round < 50; round++) {
    pn_buf out = {0};
    assert_int_equal(run(stops, b ? 2 : 1, pn_str_of(text), round ? &rng : NULL, &out), hit);
    assert_string_equal(pn_buf_cstr(&out), before);
    pn_buf_fini(&out);
  }
}

static void known_cases(void **state) {
  (void)state;
  expect("hello world", -1, "hello world", "xyz", NULL);
  expect("hello world", 0, "hello", " wor", NULL);
  expect("aaab", 0, "aa", "ab", NULL);
  expect("stop", 0, "", "stop", NULL);
  expect("sto", -1, "sto", "stop", NULL);
  expect("abcabd", 0, "abc", "abd", NULL);
  expect("one two", 1, "one", "two", " t"); // " t" is complete before "two"
  expect("xab", 0, "x", "ab", "b");         // equal ends: the one that begins first
  expect("\xC3\xA9\xC3\xA8!", 0, "\xC3\xA9", "\xC3\xA8", NULL);
}

static void nothing_is_held_that_is_decided(void **state) {
  (void)state;
  const pn_str stops[] = {PN_STR("END")};
  stop_matcher m = {.stops = stops, .n_stops = 1};
  pn_buf out = {0};
  assert_int_equal(stop_feed(&m, PN_STR("abcE"), &out), -1);
  assert_string_equal(pn_buf_cstr(&out), "abc");
  assert_int_equal(stop_feed(&m, PN_STR("x"), &out), -1);
  assert_string_equal(pn_buf_cstr(&out), "abcEx");
  assert_int_equal(stop_feed(&m, PN_STR("EN"), &out), -1);
  assert_string_equal(pn_buf_cstr(&out), "abcEx");
  assert_int_equal(stop_feed(&m, PN_STR("D and more"), &out), 0);
  assert_string_equal(pn_buf_cstr(&out), "abcEx");
  stop_fini(&m);
  pn_buf_fini(&out);
}

// Any split of any text gives the same answer as byte by byte.
static void splits_do_not_matter(void **state) {
  (void)state;
  pn_rng rng;
  pn_rng_seed(&rng, 9);
  for (int round = 0; round < 3000; round++) {
    char text[40], a[4], b[4];
    size_t n = 1 + (size_t)pn_rng_below(&rng, sizeof text - 1), na = 1 + (size_t)pn_rng_below(&rng, 4),
           nb = 1 + (size_t)pn_rng_below(&rng, 4);
    for (size_t i = 0; i < n; i++) text[i] = (char)('a' + pn_rng_below(&rng, 2));
    for (size_t i = 0; i < na; i++) a[i] = (char)('a' + pn_rng_below(&rng, 2));
    for (size_t i = 0; i < nb; i++) b[i] = (char)('a' + pn_rng_below(&rng, 2));
    const pn_str stops[] = {{a, na}, {b, nb}};
    pn_buf one = {0}, two = {0};
    int hit1 = run(stops, 2, (pn_str){text, n}, NULL, &one),
        hit2 = run(stops, 2, (pn_str){text, n}, &rng, &two);
    assert_int_equal(hit1, hit2);
    assert_true(pn_str_eq(pn_buf_view(&one), pn_buf_view(&two)));
    pn_buf_fini(&one);
    pn_buf_fini(&two);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(known_cases),
                                     cmocka_unit_test(nothing_is_held_that_is_decided),
                                     cmocka_unit_test(splits_do_not_matter)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
