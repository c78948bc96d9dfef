// JSON: what is refused, reading with wrong types, building, writing.
#include "../unit.h"
#include "base/json.h"

#include <math.h>
#include <string.h>

static pn_json *parse(const char *text) {
  pn_error e = {0};
  pn_json *v = pn_json_parse(pn_str_of(text), &e);
  if (!v) fail_msg("%s: %s", text, e.msg);
  return v;
}

static void wrong_texts_are_refused(void **state) {
  (void)state;
  static const char *const texts[] = {"",           "{",
                                      "[1,]",       "{\"a\":1,\"a\":2}",
                                      "nul",        "\"\xFF\"",
                                      "[1] 2",      "{\"a\" 1}",
                                      "'a'",        "01",
                                      "\"\n\"",     "\"\\ud800\"",
                                      "[1",         "NaN",
                                      "1e999",      "/*c*/1",
                                      "{\"a\":1}x", "\"\xED\xA0\x80\""};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    pn_error e = {0};
    pn_json *v = pn_json_parse(pn_str_of(texts[i]), &e);
    if (v) fail_msg("accepted: %s", texts[i]);
    assert_int_equal(e.code, PN_ERR_CORRUPT);
    assert_non_null(strstr(e.msg, "line "));
    assert_non_null(strstr(e.msg, "column "));
  }
  pn_error e = {0};
  assert_null(pn_json_parse(PN_STR("{\"a\": 1,\n \"b\": ?}"), &e));
  assert_non_null(strstr(e.msg, "line 2"));
  assert_null(pn_json_parse((pn_str){0}, &e));
}

static void nesting_is_bounded(void **state) {
  (void)state;
  pn_buf b = {0};
  for (int i = 0; i < 100000; i++) pn_buf_char(&b, '[');
  pn_error e = {0};
  assert_null(pn_json_parse(pn_buf_view(&b), &e));
  pn_buf_clear(&b);
  for (int i = 0; i < 2000; i++) pn_buf_char(&b, '[');
  for (int i = 0; i < 2000; i++) pn_buf_char(&b, ']');
  pn_json *v = pn_json_parse(pn_buf_view(&b), &e);
  assert_non_null(v);
  pn_json_free(v);
  pn_buf_fini(&b);
}

static void values_are_read(void **state) {
  (void)state;
  pn_json *v =
      parse("{\"s\":\"a\\u0000b\",\"i\":-9223372036854775808,\"r\":2.5,\"t\":true,\"n\":null,\"a\":[1,2,3],"
            "\"big\":1e300}");
  assert_true(pn_str_eq(pn_json_str(pn_json_get(v, "s")), (pn_str){"a\0b", 3}));
  assert_true(pn_json_int(pn_json_get(v, "i")) == INT64_MIN);
  assert_true(pn_json_num(pn_json_get(v, "r")) == 2.5);
  assert_int_equal(pn_json_int(pn_json_get(v, "r")), 2);
  assert_true(pn_json_int(pn_json_get(v, "big")) == INT64_MAX);
  assert_true(pn_json_true(pn_json_get(v, "t")));
  assert_true(pn_json_is(pn_json_get(v, "n"), PN_JSON_NULL));
  assert_int_equal(pn_json_len(pn_json_get(v, "a")), 3);
  assert_int_equal(pn_json_int(pn_json_at(pn_json_get(v, "a"), 2)), 3);
  assert_int_equal(pn_json_len(v), 7);
  pn_json_free(v);
}

static void wrong_types_read_as_empty(void **state) {
  (void)state;
  pn_json *v = parse("[\"x\"]");
  const pn_json *s = pn_json_at(v, 0);
  assert_null(pn_json_at(v, 1));
  assert_null(pn_json_at(s, 0));
  assert_null(pn_json_get(v, "x"));
  assert_null(pn_json_get(NULL, "x"));
  assert_int_equal(pn_json_len(NULL), 0);
  assert_int_equal(pn_json_len(s), 0);
  assert_int_equal(pn_json_int(s), 0);
  assert_true(pn_json_num(s) == 0);
  assert_false(pn_json_true(s));
  assert_string_equal(pn_json_cstr(v), "");
  assert_int_equal(pn_json_str(v).n, 0);
  assert_null(pn_json_first(v));
  assert_true(pn_json_type_of(NULL) == PN_JSON_MISSING);
  assert_false(pn_json_is_number(s));
  for (int t = PN_JSON_MISSING; t <= PN_JSON_OBJECT; t++)
    assert_true(strlen(pn_json_type_name((pn_json_type)t)) > 3);
  pn_json_free(v);
  pn_json_free(NULL);
}

static void members_keep_the_order_of_the_text(void **state) {
  (void)state;
  pn_json *v = parse("{\"z\":1,\"a\":2,\"m\":3,\"\":4}");
  const char *const want[] = {"z", "a", "m", ""};
  int i = 0;
  for (const pn_json_member *it = pn_json_first(v); it; it = pn_json_next(v, it), i++) {
    assert_true(pn_str_is(pn_json_key(it), want[i]));
    assert_int_equal(pn_json_int(pn_json_value(it)), i + 1);
  }
  assert_int_equal(i, 4);
  pn_json_free(v);
}

static void written_as_built(void **state) {
  (void)state;
  pn_json *o = pn_json_new_object(), *a = pn_json_new_array();
  assert_true(pn_json_push(a, pn_json_new_int(1)) && pn_json_push(a, pn_json_new_null()));
  assert_true(pn_json_push(a, pn_json_new_bool(true)) && pn_json_push(a, pn_json_new_num(0.5)));
  assert_true(pn_json_set(o, "list", a));
  assert_true(pn_json_set(o, "text", pn_json_new_str(PN_STR("\u00E4\"\n"))));
  assert_false(pn_json_set(o, "bad", pn_json_new_str(PN_STR("\xFF"))));
  assert_false(pn_json_set(NULL, "lost", pn_json_new_int(1))); // still freed
  assert_false(pn_json_push(NULL, pn_json_new_int(1)));
  assert_null(pn_json_new_num(NAN));
  assert_null(pn_json_new_num(INFINITY));
  pn_json *shared = pn_json_share(pn_json_get(o, "list"));
  pn_buf b = {0};
  pn_json_write(&b, o);
  assert_string_equal(pn_buf_cstr(&b), "{\"list\":[1,null,true,0.5],\"text\":\"\u00E4\\\"\\n\"}");
  pn_json_free(o);
  pn_buf_clear(&b);
  pn_json_write(&b, shared); // outlives its first owner
  assert_string_equal(pn_buf_cstr(&b), "[1,null,true,0.5]");
  pn_json_free(shared);
  pn_buf_fini(&b);
}

// What is written reads back, for every character below U+0300 and bytes that are not UTF-8.
static void strings_are_escaped(void **state) {
  (void)state;
  pn_buf b = {0};
  pn_json_write_str(&b, (pn_str){"a\"\\\n\r\t\0\x1F\x7F\u00E4", 11});
  assert_string_equal(pn_buf_cstr(&b), "\"a\\\"\\\\\\n\\r\\t\\u0000\\u001f\\u007f\u00E4\"");
  pn_buf_clear(&b);
  pn_json_write_str(&b, PN_STR("x\xFFy\xE2\x82"));
  assert_string_equal(pn_buf_cstr(&b), "\"x\uFFFDy\uFFFD\"");
  pn_buf_clear(&b);
  pn_json_write_str(&b, (pn_str){0});
  assert_string_equal(pn_buf_cstr(&b), "\"\"");
  for (int c = 0; c < 128; c++) {
    char byte = (char)c;
    pn_buf_clear(&b);
    pn_json_write_str(&b, (pn_str){&byte, 1});
    pn_json *v = parse(pn_buf_cstr(&b));
    assert_true(pn_str_eq(pn_json_str(v), (pn_str){&byte, 1}));
    pn_json_free(v);
  }
  pn_buf_fini(&b);
}

// Whole numbers beyond 64 bits are reals; digits in strings and in reals stay as they are.
static void large_integers_are_reals(void **state) {
  (void)state;
  pn_json *v =
      parse("{\"a\\\"1000000000000000000000\":[1000000000000000019884624838656,-18446744073709551616,"
            "0.1234567890123456789012,1e5,12,9223372036854775807]}");
  const pn_json *list = pn_json_get(v, "a\"1000000000000000000000");
  assert_int_equal(pn_json_len(list), 6);
  assert_true(pn_json_is(pn_json_at(list, 0), PN_JSON_REAL));
  assert_true(pn_json_num(pn_json_at(list, 0)) == 1e30);
  assert_true(pn_json_num(pn_json_at(list, 1)) == -18446744073709551616.0);
  assert_true(pn_json_num(pn_json_at(list, 2)) == 0.1234567890123456789012);
  assert_true(pn_json_is(pn_json_at(list, 4), PN_JSON_INT));
  pn_json_free(v);
  pn_error e = {0};
  assert_null(pn_json_parse(PN_STR("[18446744073709551616,]"), &e));
  assert_int_equal(e.code, PN_ERR_CORRUPT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(wrong_texts_are_refused),   cmocka_unit_test(large_integers_are_reals),
      cmocka_unit_test(nesting_is_bounded),        cmocka_unit_test(values_are_read),
      cmocka_unit_test(wrong_types_read_as_empty), cmocka_unit_test(members_keep_the_order_of_the_text),
      cmocka_unit_test(written_as_built),          cmocka_unit_test(strings_are_escaped),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
