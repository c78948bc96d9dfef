// UTF-8: every character, every class of wrong bytes.
#include "../unit.h"
#include "base/utf8.h"

#include <string.h>

// Bytes that are not UTF-8, where the first bad byte is, and the repaired text.
static const struct {
  const char *bytes;
  size_t bad_at;
  const char *repaired;
} wrong[] = {
    {"\x80", 0, "\uFFFD"}, // a continuation alone
    {"a\xBF"
     "b",
     1,
     "a\uFFFD"
     "b"},                                               //
    {"\xC0\x80", 0, "\uFFFD\uFFFD"},                     // overlong NUL
    {"\xC1\xBF", 0, "\uFFFD\uFFFD"},                     // overlong, two bytes
    {"\xE0\x80\x80", 0, "\uFFFD\uFFFD\uFFFD"},           // overlong, three bytes
    {"\xE0\x9F\xBF", 0, "\uFFFD\uFFFD\uFFFD"},           //
    {"\xF0\x80\x80\x80", 0, "\uFFFD\uFFFD\uFFFD\uFFFD"}, // overlong, four bytes
    {"\xF0\x8F\xBF\xBF", 0, "\uFFFD\uFFFD\uFFFD\uFFFD"}, //
    {"\xED\xA0\x80", 0, "\uFFFD\uFFFD\uFFFD"},           // first surrogate
    {"\xED\xBF\xBF", 0, "\uFFFD\uFFFD\uFFFD"},           // last surrogate
    {"\xF4\x90\x80\x80", 0, "\uFFFD\uFFFD\uFFFD\uFFFD"}, // beyond U+10FFFF
    {"\xF5\x80\x80\x80", 0, "\uFFFD\uFFFD\uFFFD\uFFFD"}, // never a lead
    {"\xFE\xFF", 0, "\uFFFD\uFFFD"},                     //
    {"ok\xE2\x82", 2, "ok\uFFFD"},                       // cut: one maximal part
    {"ok\xF0\x9F\x90", 2, "ok\uFFFD"},                   //
    {"\xE2\x82"
     "A",
     0,
     "\uFFFD"
     "A"}, // cut by an ASCII byte
    {"\xF0\x9F"
     "\xC3\xA4",
     0, "\uFFFD\u00E4"},                 // cut by a whole character
    {"\xC3\xC3\xA4", 0, "\uFFFD\u00E4"}, //
};

static void every_character_round_trips(void **state) {
  (void)state;
  for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
    if (cp >= 0xD800 && cp < 0xE000) continue;
    char out[4];
    size_t n = pn_utf8_encode(cp, out);
    if (n != (cp < 0x80 ? 1u : cp < 0x800 ? 2u : cp < 0x10000 ? 3u : 4u)) fail();
    uint32_t back = 0;
    if (pn_utf8_decode((pn_str){out, n}, 0, &back) != n || back != cp) fail();
    if (n > 1 && pn_utf8_decode((pn_str){out, n - 1}, 0, &back) != 0) fail();
    if (pn_utf8_check((pn_str){out, n}) != n) fail();
    if (pn_utf8_complete((pn_str){out, n}) != n) fail();
    for (size_t cut = 1; cut < n; cut++)
      if (pn_utf8_complete((pn_str){out, cut}) != 0) fail();
  }
}

static void what_is_no_character_becomes_fffd(void **state) {
  (void)state;
  const uint32_t bad[] = {0xD800, 0xDFFF, 0x110000, UINT32_MAX};
  for (size_t i = 0; i < 4; i++) {
    char out[4];
    assert_int_equal(pn_utf8_encode(bad[i], out), 3);
    assert_memory_equal(out, "\uFFFD", 3);
  }
}

static void wrong_bytes_are_found_and_repaired(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    pn_str s = pn_str_of(wrong[i].bytes);
    uint32_t cp;
    assert_int_equal(pn_utf8_check(s), wrong[i].bad_at);
    assert_int_equal(pn_utf8_decode(s, wrong[i].bad_at, &cp), 0);
    pn_buf out = {0};
    pn_utf8_repair(&out, s);
    assert_string_equal(pn_buf_cstr(&out), wrong[i].repaired);
    assert_int_equal(pn_utf8_check(pn_buf_view(&out)), out.n);
    pn_buf_fini(&out);
  }
}

// All strings of two and three bytes: the check agrees with a decoder written from the bit patterns.
static bool valid_by_value(const unsigned char *p, size_t n) {
  while (n) {
    size_t len = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    if (len == 0 || len > n) return false;
    uint32_t cp = len == 1 ? p[0] : p[0] & (0x7Fu >> len);
    for (size_t k = 1; k < len; k++) {
      if (p[k] >> 6 != 2) return false;
      cp = cp << 6 | (p[k] & 63u);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (cp < least[len] || cp > 0x10FFFF || cp >> 11 == 0x1B) return false;
    p += len;
    n -= len;
  }
  return true;
}

static void check_agrees_with_the_bit_patterns(void **state) {
  (void)state;
  for (uint32_t v = 0; v < 1u << 24; v++) {
    unsigned char p[3] = {(unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v};
    if (p[0] < 0x80 && v >> 16 != 0x41) continue; // one ASCII lead stands for all
    pn_str s = {(const char *)p, 3};
    if ((pn_utf8_check(s) == 3) != valid_by_value(p, 3)) fail_msg("%06x", v);
  }
}

static void complete_keeps_what_can_never_become_valid(void **state) {
  (void)state;
  assert_int_equal(pn_utf8_complete(PN_STR("")), 0);
  assert_int_equal(pn_utf8_complete(PN_STR("ab\xE2\x82")), 2);
  assert_int_equal(pn_utf8_complete(PN_STR("ab\xF0\x9F\x90")), 2);
  assert_int_equal(pn_utf8_complete(PN_STR("ab\xF0")), 2);
  assert_int_equal(pn_utf8_complete(PN_STR("ab\xC0")), 3);     // never a lead
  assert_int_equal(pn_utf8_complete(PN_STR("ab\xED\xA0")), 4); // a surrogate: hopeless
  assert_int_equal(pn_utf8_complete(PN_STR("ab\xE0\x80")), 4); // overlong: hopeless
  assert_int_equal(pn_utf8_complete(PN_STR("\x80\x80\x80\x80")), 4);
  assert_int_equal(pn_utf8_complete(PN_STR("\xE2\x82\xAC")), 3);
}

static void decode_stays_inside(void **state) {
  (void)state;
  uint32_t cp = 7;
  assert_int_equal(pn_utf8_decode(PN_STR("abc"), 3, &cp), 0);
  assert_int_equal(pn_utf8_decode((pn_str){0}, 0, &cp), 0);
  assert_int_equal(pn_utf8_decode(PN_STR("abc"), SIZE_MAX, &cp), 0);
  assert_int_equal(cp, 7);
  assert_int_equal(pn_utf8_decode((pn_str){"\0", 1}, 0, &cp), 1);
  assert_int_equal(cp, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_character_round_trips),
      cmocka_unit_test(what_is_no_character_becomes_fffd),
      cmocka_unit_test(wrong_bytes_are_found_and_repaired),
      cmocka_unit_test(check_agrees_with_the_bit_patterns),
      cmocka_unit_test(complete_keeps_what_can_never_become_valid),
      cmocka_unit_test(decode_stays_inside),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
