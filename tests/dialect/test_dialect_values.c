// Values as calls hold them, byte for byte.
#include "../unit.h"
#include "dialect/dialect.h"

static void check(const pn_value_style *s, const char *json, const char *want) {
  pn_json *v = pn_json_parse(pn_str_of(json), NULL);
  pn_buf out = {0};
  assert_non_null(v);
  pn_style_write(&out, s, v);
  assert_string_equal(pn_buf_cstr(&out), want);
  pn_buf_fini(&out);
  pn_json_free(v);
}

static const char all_kinds[] =
    "{\"a\":[1,-2,0.5,2.0,1e22],\"b c\":{\"t\":true,\"f\":false},\"n\":null,\"s\":\"x\",\"e\":[],\"o\":{}}";

static void json_is_pythons(void **state) {
  (void)state;
  check(&pn_style_json, all_kinds,
        "{\"a\": [1, -2, 0.5, 2.0, 1e+22], \"b c\": {\"t\": true, \"f\": false}, \"n\": null, \"s\": \"x\", "
        "\"e\": [], \"o\": {}}");
  check(&pn_style_json, "\"\\u0000\\b\\f\\n\\r\\t\\u001b\\\"\\\\/\\u007f\\u00e9\\ud83d\\ude00\"",
        "\"\\u0000\\b\\f\\n\\r\\t\\u001b\\\"\\\\/\x7F\xC3\xA9\xF0\x9F\x98\x80\"");
}

static void python_is_python(void **state) {
  (void)state;
  check(&pn_style_python, all_kinds,
        "{\"a\": [1, -2, 0.5, 2.0, 1e+22], \"b c\": {\"t\": True, \"f\": False}, \"n\": None, \"s\": \"x\", "
        "\"e\": [], \"o\": {}}");
}

static void gemma_quotes_with_marks(void **state) {
  (void)state;
  check(pn_dialect_find("functiongemma")->values, all_kinds,
        "{a:[1,-2,0.5,2.0,1e+22],b c:{t:true,f:false},n:null,s:<escape>x<escape>,e:[],o:{}}");
  check(pn_dialect_find("gemma4")->values, "[\"a\\n\\\"b\\\\\"]", "[<|\"|>a\n\"b\\<|\"|>]");
}

static void bytes_are_repaired(void **state) {
  (void)state;
  pn_buf out = {0};
  pn_style_write_str(&out, &pn_style_json,
                     PN_STR("a\xFF"
                            "b"));
  assert_string_equal(pn_buf_cstr(&out), "\"a\xEF\xBF\xBD"
                                         "b\"");
  pn_buf_fini(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(json_is_pythons),
      cmocka_unit_test(python_is_python),
      cmocka_unit_test(gemma_quotes_with_marks),
      cmocka_unit_test(bytes_are_repaired),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
