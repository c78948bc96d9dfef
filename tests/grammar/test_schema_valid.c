// The validator: each keyword, what messages say, what can't be checked, what is bounded.
#include "../unit.h"
#include "grammar/schema_valid.h"

#include <string.h>

static pn_json *parse(const char *text) {
  pn_error e = {0};
  pn_json *v = pn_json_parse(pn_str_of(text), &e);
  if (!v) fail_msg("%s: %s", text, e.msg);
  return v;
}

static bool valid(const char *schema, const char *value, pn_error *e) {
  pn_json *s = parse(schema), *v = parse(value);
  bool r = schema_valid(s, s, v, e);
  pn_json_free(s);
  pn_json_free(v);
  return r;
}

typedef struct judged {
  const char *schema, *valid, *invalid; // arrays of values
} judged;

static void judge(const judged *cases, size_t n) {
  for (size_t i = 0; i < n; i++) {
    pn_json *schema = parse(cases[i].schema), *good = parse(cases[i].valid), *bad = parse(cases[i].invalid);
    pn_error e = {0};
    for (size_t k = 0; k < pn_json_len(good); k++) {
      if (!schema_valid(schema, schema, pn_json_at(good, k), &e))
        fail_msg("%s: value %zu of %s: %s", cases[i].schema, k, cases[i].valid, e.msg);
      assert_int_equal(e.code, PN_OK);
    }
    for (size_t k = 0; k < pn_json_len(bad); k++) {
      if (schema_valid(schema, schema, pn_json_at(bad, k), &e) || e.code != PN_ERR_USAGE)
        fail_msg("%s: value %zu of %s is held valid %s", cases[i].schema, k, cases[i].invalid, e.msg);
      if (strncmp(e.msg, "input", 5) != 0 || !strstr(e.msg, ": ")) fail_msg("no place: %s", e.msg);
      e = (pn_error){0};
    }
    pn_json_free(schema);
    pn_json_free(good);
    pn_json_free(bad);
  }
}
#define JUDGE(cases) judge(cases, sizeof(cases) / sizeof *(cases))

static void values_of_any_type(void **state) {
  (void)state;
  static const judged cases[] = {
      {"true", "[1,null,{}]", "[]"},
      {"false", "[]", "[1,null,{}]"},
      {"{}", "[1,null,{},[]]", "[]"},
      {"{\"type\":\"null\"}", "[null]", "[0,false,\"\",[],{}]"},
      {"{\"type\":\"boolean\"}", "[true,false]", "[0,1,null,\"true\"]"},
      {"{\"type\":\"integer\"}", "[0,-3,1.0,1e300,-0.0]", "[1.5,\"1\",true,1e-9]"},
      {"{\"type\":\"number\"}", "[0,1.5,-1e9]", "[true,\"1\",null]"},
      {"{\"type\":\"string\"}", "[\"\",\"a\"]", "[1,null,[\"a\"]]"},
      {"{\"type\":\"array\"}", "[[],[1]]", "[{},\"[]\",null]"},
      {"{\"type\":\"object\"}", "[{},{\"a\":1}]", "[[],null,\"{}\"]"},
      {"{\"type\":[\"string\",\"null\"]}", "[\"a\",null]", "[1,[],false]"},
      {"{\"type\":[\"integer\",\"array\"]}", "[1,2.0,[]]", "[1.5,{}]"},
      {"{\"type\":[]}", "[]", "[1,null]"},
      {"{\"enum\":[1,\"a\",null,[1],{\"a\":1.0}]}", "[1,1.0,\"a\",null,[1.0],{\"a\":1}]",
       "[true,2,\"A\",[],[true],[1,1],{},{\"a\":1,\"b\":1},false]"},
      {"{\"enum\":[]}", "[]", "[1,null,[]]"},
      {"{\"const\":1}", "[1,1.0]", "[true,\"1\",2]"},
      {"{\"const\":false}", "[false]", "[0,0.0,null]"},
      {"{\"const\":null}", "[null]", "[0,false]"},
      {"{\"const\":{\"a\":[1,{\"b\":2}],\"c\":3}}", "[{\"c\":3.0,\"a\":[1,{\"b\":2.0}]}]",
       "[{\"a\":[1,{\"b\":2}]},{\"a\":[{\"b\":2},1],\"c\":3}]"},
      {"{\"const\":9007199254740993}", "[9007199254740993]", "[9007199254740992,9007199254740992.0]"},
      {"{\"const\":\"a\\u0000b\"}", "[\"a\\u0000b\"]", "[\"a\",\"a\\u0000c\"]"},
      {"{\"title\":\"x\",\"description\":3,\"default\":1,\"x-other\":[],\"unknown\":{}}", "[1,\"a\"]", "[]"},
  };
  JUDGE(cases);
}

static void numbers(void **state) {
  (void)state;
  static const judged cases[] = {
      {"{\"minimum\":3}", "[3,3.0,4,\"a\",null,true]", "[2,2.999,-1]"},
      {"{\"maximum\":3.5}", "[3.5,3,-9,[]]", "[3.6,4]"},
      {"{\"exclusiveMinimum\":3}", "[3.0001,4,\"a\"]", "[3,3.0,2]"},
      {"{\"exclusiveMaximum\":3}", "[2,2.999]", "[3,3.0,4]"},
      {"{\"minimum\":3,\"exclusiveMinimum\":true,\"maximum\":5,\"exclusiveMaximum\":true}", "[3,4,5]",
       "[2,6]"},
      {"{\"minimum\":9007199254740993}", "[9007199254740993,1e16]", "[9007199254740992,9007199254740992.0]"},
      {"{\"const\":-9223372036854775808}", "[-9223372036854775808,-9223372036854775808.0]",
       "[-9223372036854775807]"},
      {"{\"maximum\":9223372036854775807}", "[9223372036854775807,1]", "[9223372036854775808.0]"},
      {"{\"minimum\":-1.5}", "[-1,-1.5,0]", "[-2,-1.6]"},
      {"{\"minimum\":\"3\"}", "[1]", "[]"},
      {"{\"multipleOf\":3}", "[0,3,-3,9.0,\"a\"]", "[1,4,3.5]"},
      {"{\"multipleOf\":0.01}", "[0.01,0.07,1.13,4.35,19.99,1,-2.5,1e20,0]", "[0.001,0.015,1.005]"},
      {"{\"multipleOf\":0.1}", "[0.3,0.7,1.1,5]", "[0.35,0.01]"},
      {"{\"multipleOf\":1e-8}", "[12391239123,1e-8,0.5]", "[1e-9,1.5e-8]"},
      {"{\"multipleOf\":0.5}", "[1e308,1.5,-0.5]", "[0.25,0.75]"},
      {"{\"multipleOf\":7}", "[7e300,14]", "[1e300,15]"},
      {"{\"multipleOf\":9223372036854775807}", "[9223372036854775807,0]", "[1,9223372036854775806,1e19]"},
      {"{\"multipleOf\":-2}", "[4,-4]", "[3]"},
      {"{\"multipleOf\":0}", "[4,0]", "[]"},
      {"{\"multipleOf\":1}", "[-9223372036854775808]", "[0.5]"},
  };
  JUDGE(cases);
}

static void strings(void **state) {
  (void)state;
  static const judged cases[] = {
      {"{\"minLength\":2}", "[\"ab\",\"äö\",\"abc\",1,[]]", "[\"\",\"a\",\"ä\",\"\U0001F600\"]"},
      {"{\"maxLength\":2.0}", "[\"\",\"äö\",\"\U0001F600\U0001F600\",12345]", "[\"abc\",\"äöü\"]"},
      {"{\"pattern\":\"b+\"}", "[\"abc\",\"b\",3]", "[\"\",\"ac\"]"},
      {"{\"pattern\":\"^[a-z]\\\\d$\"}", "[\"a1\"]", "[\"a\",\"xa1\",\"a1x\"]"},
      {"{\"pattern\":3}", "[\"a\"]", "[]"},
      {"{\"format\":\"date\"}", "[\"2024-02-29\",3]", "[\"2024-13-01\",\"x\",\"2024-1-1\",\"\"]"},
      {"{\"format\":\"date-time\"}", "[\"2024-02-29T23:59:59Z\",\"2024-02-29T00:00:00.5+02:00\"]",
       "[\"2024-02-29\",\"2024-02-29T24:00:00Z\",\"2024-02-29T00:00:00\"]"},
      {"{\"format\":\"uuid\"}", "[\"123e4567-e89b-12d3-a456-426614174000\"]",
       "[\"123e4567e89b12d3a456426614174000\",\"123e4567-e89b-12d3-a456-42661417400g\"]"},
      {"{\"format\":\"email\"}", "[\"a@b.de\"]", "[\"a\",\"@\"]"},
      {"{\"format\":\"ipv4\"}", "[\"127.0.0.1\",\"255.255.255.255\"]",
       "[\"256.0.0.1\",\"1.2.3\",\"1.2.3.4.5\"]"},
      {"{\"format\":\"uri\"}", "[\"https://a.b/c?d#e\"]", "[\"a b\",\"//x\"]"},
      {"{\"format\":\"no-such-format\"}", "[\"anything\",3]", "[]"},
      {"{\"type\":\"array\",\"items\":{\"format\":\"no-such-format\",\"pattern\":\"a\"}}",
       "[[\"a\",\"ba\",\"ab\"]]", "[[\"a\",\"b\"]]"},
  };
  JUDGE(cases);
}

static void arrays(void **state) {
  (void)state;
  static const judged cases[] = {
      {"{\"items\":{\"type\":\"integer\"}}", "[[],[1,2],\"a\",{\"a\":\"b\"}]", "[[\"a\"],[1,2,1.5]]"},
      {"{\"items\":false}", "[[]]", "[[1]]"},
      {"{\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}", "[[],[1],[1,\"a\",null]]",
       "[[\"a\"],[1,2]]"},
      {"{\"prefixItems\":[true,{\"type\":\"string\"}],\"items\":{\"type\":\"null\"}}",
       "[[1],[1,\"a\",null,null]]", "[[1,\"a\",2],[1,null]]"},
      {"{\"prefixItems\":[true],\"items\":false}", "[[],[1]]", "[[1,2]]"},
      {"{\"items\":[{\"type\":\"integer\"}],\"additionalItems\":{\"type\":\"string\"}}", "[[],[1],[1,\"a\"]]",
       "[[\"a\"],[1,2]]"},
      {"{\"items\":[{\"type\":\"integer\"}]}", "[[1,null]]", "[[null]]"},
      {"{\"items\":{},\"additionalItems\":false}", "[[1,2]]", "[]"},
      {"{\"additionalItems\":false}", "[[1,2]]", "[]"},
      {"{\"minItems\":1,\"maxItems\":2}", "[[1],[1,2],\"\",{}]", "[[],[1,2,3]]"},
      {"{\"uniqueItems\":true}",
       "[[],[1],[1,true,\"1\",null,false,0],[[1],[true]],[{\"a\":1},{\"a\":true}],\"aa\",[1,2,3,1.5],[[],{}],"
       "[\"\",[]]]",
       "[[1,1.0],[null,null],[[1],[true],[1.0]],[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1.0}],[0,-0.0],[\"a\",2,"
       "\"a\"]]"},
      {"{\"uniqueItems\":false}", "[[1,1]]", "[]"},
      {"{\"contains\":{\"type\":\"integer\"}}", "[[1],[\"a\",1],\"a\"]", "[[],[\"a\"]]"},
      {"{\"contains\":true,\"minContains\":2,\"maxContains\":3}", "[[1,2],[1,2,3]]", "[[],[1],[1,2,3,4]]"},
      {"{\"contains\":{\"const\":1},\"minContains\":0}", "[[],[2]]", "[]"},
      {"{\"contains\":{\"const\":1},\"minContains\":0,\"maxContains\":1}", "[[],[2],[1]]", "[[1,1]]"},
      {"{\"contains\":false}", "[3]", "[[],[1]]"},
      {"{\"minContains\":3,\"maxContains\":0}", "[[],[1]]", "[]"},
  };
  JUDGE(cases);
}

static void objects(void **state) {
  (void)state;
  static const judged cases[] = {
      {"{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":false}}", "[{},{\"a\":1},{\"c\":\"x\"},[1],3]",
       "[{\"a\":\"x\"},{\"b\":null}]"},
      {"{\"additionalProperties\":false}", "[{},[]]", "[{\"a\":1}]"},
      {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "[{},{\"a\":1}]",
       "[{\"b\":1},{\"a\":1,\"b\":1}]"},
      {"{\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":\"string\"}}",
       "[{\"a\":1,\"b\":\"x\"}]", "[{\"b\":1}]"},
      {"{\"patternProperties\":{\"^x\":{\"type\":\"integer\"},\"y$\":{\"minimum\":3}}}",
       "[{\"x\":1},{\"xy\":3},{\"y\":3},{\"z\":null}]", "[{\"x1\":\"a\"},{\"xy\":2},{\"xy\":3.5}]"},
      {"{\"properties\":{\"ax\":{\"type\":\"integer\"}},\"patternProperties\":{\"x\":{\"minimum\":3}},"
       "\"additionalProperties\":false}",
       "[{\"ax\":3},{\"bx\":\"a\"}]", "[{\"ax\":2},{\"ax\":3.5},{\"c\":1}]"},
      {"{\"required\":[\"a\",\"b\"]}", "[{\"a\":null,\"b\":1},[],\"a\"]", "[{},{\"a\":1},{\"b\":1}]"},
      {"{\"required\":[\"a\\u0000\"]}", "[1]", "[{\"a\":1}]"},
      {"{\"required\":true}", "[{}]", "[]"},
      {"{\"propertyNames\":{\"maxLength\":2}}", "[{},{\"ab\":1},[\"abc\"]]",
       "[{\"abc\":1},{\"a\":1,\"abc\":1}]"},
      {"{\"propertyNames\":false}", "[{}]", "[{\"\":1}]"},
      {"{\"minProperties\":1,\"maxProperties\":2}", "[{\"a\":1},{\"a\":1,\"b\":2},[]]",
       "[{},{\"a\":1,\"b\":2,\"c\":3}]"},
      {"{\"dependentRequired\":{\"a\":[\"b\",\"c\"]}}", "[{},{\"b\":1},{\"a\":1,\"b\":1,\"c\":1},[]]",
       "[{\"a\":1},{\"a\":1,\"b\":1}]"},
      {"{\"dependentSchemas\":{\"a\":{\"minProperties\":2},\"b\":false}}", "[{},{\"a\":1,\"c\":2},3]",
       "[{\"a\":1},{\"b\":1}]"},
      {"{\"dependencies\":{\"a\":[\"b\"],\"c\":{\"required\":[\"d\"]},\"e\":false}}",
       "[{},{\"a\":1,\"b\":1},{\"c\":1,\"d\":1}]", "[{\"a\":1},{\"c\":1},{\"e\":1}]"},
      {"{\"properties\":{\"$ref\":{\"type\":\"string\"}}}", "[{\"$ref\":\"a\"}]", "[{\"$ref\":1}]"},
  };
  JUDGE(cases);
}

static void schemas_of_schemas(void **state) {
  (void)state;
  static const judged cases[] = {
      {"{\"allOf\":[{\"minimum\":1},{\"maximum\":3}]}", "[1,3,\"a\"]", "[0,4]"},
      {"{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":3}]}", "[\"a\",3,null]", "[1,2]"},
      {"{\"anyOf\":[]}", "[]", "[1]"},
      {"{\"anyOf\":[false,false]}", "[]", "[1]"},
      {"{\"oneOf\":[{\"multipleOf\":2},{\"multipleOf\":3}]}", "[2,3,4,9]", "[1,6,12,\"a\"]"},
      {"{\"oneOf\":[true]}", "[1]", "[]"},
      {"{\"oneOf\":[true,true,false]}", "[]", "[1]"},
      {"{\"not\":{\"type\":\"string\"}}", "[1,null]", "[\"a\"]"},
      {"{\"not\":{\"not\":{\"type\":\"string\"}}}", "[\"a\"]", "[1]"},
      {"{\"not\":{}}", "[]", "[1,null]"},
      {"{\"if\":{\"type\":\"integer\"},\"then\":{\"minimum\":3},\"else\":{\"type\":\"string\"}}", "[3,\"a\"]",
       "[2,null]"},
      {"{\"if\":{\"type\":\"integer\"},\"then\":{\"minimum\":3}}", "[3,null]", "[2]"},
      {"{\"if\":false,\"else\":{\"minimum\":3}}", "[3,null]", "[2]"},
      {"{\"if\":true}", "[1]", "[]"},
      {"{\"then\":false,\"else\":false}", "[1]", "[]"},
      {"{\"anyOf\":[{\"properties\":{\"k\":{\"const\":\"a\"}},\"required\":[\"x\"]},"
       "{\"properties\":{\"k\":{\"const\":\"b\"}}}]}",
       "[{\"k\":\"a\",\"x\":1},{\"k\":\"b\"},{}]", "[{\"k\":\"a\"},{\"k\":\"c\"}]"},
  };
  JUDGE(cases);
}

static void references(void **state) {
  (void)state;
  static const judged cases[] = {
      {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"integer\"}}}", "[1]", "[\"a\"]"},
      {"{\"$ref\":\"#/definitions/a\",\"definitions\":{\"a\":{\"type\":\"integer\"}}}", "[1]", "[\"a\"]"},
      {"{\"$ref\":\"#/$defs/a\",\"minimum\":3,\"$defs\":{\"a\":{\"type\":\"integer\"}}}", "[3]", "[2,3.5]"},
      {"{\"properties\":{\"next\":{\"$ref\":\"#\"}},\"required\":[\"v\"]}",
       "[{\"v\":1},{\"v\":1,\"next\":{\"v\":2}}]",
       "[{},{\"v\":1,\"next\":{}},{\"v\":1,\"next\":{\"v\":1,\"next\":{}}}]"},
      {"{\"$ref\":\"#/$defs/a~1b~0c%25d%20e\",\"$defs\":{\"a/b~c%d e\":{\"type\":\"null\"}}}", "[null]",
       "[1]"},
      {"{\"$ref\":\"#/$defs/%c3%A4\",\"$defs\":{\"ä\":{\"type\":\"null\"}}}", "[null]", "[1]"},
      {"{\"$ref\":\"#/$defs/%41%2f%6A\",\"$defs\":{\"A\":{\"j\":{\"type\":\"null\"}}}}", "[null]", "[1]"},
      {"{\"$ref\":\"#/$defs//x\",\"$defs\":{\"\":{\"x\":{\"type\":\"null\"}}}}", "[null]", "[1]"},
      {"{\"$ref\":\"#/$defs/\",\"$defs\":{\"\":{\"type\":\"null\"}}}", "[null]", "[1]"},
      {"{\"$ref\":\"#/anyOf/1/not\",\"anyOf\":[true,{\"not\":{\"type\":\"null\"}}]}", "[null]", "[1]"},
      {"{\"$ref\":\"#/properties/a/items\",\"properties\":{\"a\":{\"items\":{\"minimum\":3}}}}", "[3]",
       "[2]"},
      {"{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"$ref\":\"#/$defs/c\"},"
       "\"c\":{\"const\":1}}}",
       "[1]", "[2]"},
      {"{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}]}",
       "[null,[],[null,[[null]]]]", "[1,[1],[[[1]]]]"},
  };
  JUDGE(cases);
}

static void a_schema_that_cannot_be_checked(void **state) {
  (void)state;
  static const char *const schemas[] = {
      "{\"$ref\":\"#/$defs/a\"}",
      "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"b\":true}}",
      "{\"$ref\":\"#a\"}",
      "{\"$ref\":\"\"}",
      "{\"$ref\":\"https://json-schema.org/draft/2020-12/schema\"}",
      "{\"$ref\":\"other.json#/a\"}",
      "{\"$ref\":\"#/allOf/2\",\"allOf\":[true]}",
      "{\"$ref\":\"#/allOf/00\",\"allOf\":[true]}",
      "{\"$ref\":\"#/allOf/-\",\"allOf\":[true]}",
      "{\"$ref\":\"#/allOf/99999999999999999999\",\"allOf\":[true]}",
      "{\"$ref\":\"#/$defs/a~2\",\"$defs\":{\"a~2\":true}}",
      "{\"$ref\":\"#/$defs/a~\",\"$defs\":{\"a~\":true}}",
      "{\"$ref\":\"#/$defs/a%2\",\"$defs\":{\"a%2\":true}}",
      "{\"$ref\":\"#/$defs/a%00b\",\"$defs\":{\"a\":true}}",
      "{\"$ref\":\"#/title\",\"title\":\"x\"}",
      "{\"pattern\":\"(\"}",
      "{\"not\":{\"pattern\":\"(\"}}",
      "{\"anyOf\":[{\"pattern\":\"(\"},true]}",
      "{\"contains\":{\"pattern\":\"(\"}, \"items\":{\"pattern\":\"(\"}, \"pattern\":\"(\"}",
      "{\"type\":\"strnig\"}",
      "{\"type\":[3]}",
      "{\"allOf\":[null]}",
      "3",
      "null",
      "[]",
  };
  for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
    pn_error e = {0};
    if (valid(schemas[i], "\"text\"", &e)) fail_msg("%s is checked", schemas[i]);
    if (e.code != PN_ERR_UNSUPPORTED) fail_msg("%s: %s: %s", schemas[i], pn_code_name(e.code), e.msg);
    assert_memory_equal(e.msg, "input: ", 7);
  }
  pn_error e = {0};
  assert_false(valid("{\"patternProperties\":{\"(\":true}}", "{\"a\":1}", &e));
  assert_int_equal(e.code, PN_ERR_UNSUPPORTED);
  assert_false(schema_valid(NULL, NULL, NULL, NULL));
}

static void endless_schemas_end(void **state) {
  (void)state;
  static const char *const schemas[] = {
      "{\"$ref\":\"#\"}",
      "{\"allOf\":[{\"$ref\":\"#\"}]}",
      "{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#\"}]}",
      "{\"anyOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#\"}]}",
      "{\"not\":{\"$ref\":\"#\"}}",
      "{\"if\":{\"$ref\":\"#\"}}",
      "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"oneOf\":[{\"$ref\":\"#/"
      "$defs/a\"}]}}}",
  };
  for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
    pn_error e = {0};
    if (valid(schemas[i], "3", &e)) fail_msg("%s is checked", schemas[i]);
    if (e.code != PN_ERR_LIMIT) fail_msg("%s: %s: %s", schemas[i], pn_code_name(e.code), e.msg);
  }
}

// Each level asks the next one twice: 2^40 checks by the last one if nothing stops them.
static void endless_work(const char *last, const char *value) {
  pn_buf schema = {0};
  pn_buf_z(&schema, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
  for (int i = 0; i < 40; i++)
    pn_buf_printf(&schema, "\"d%d\":{\"anyOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]},", i,
                  i + 1, i + 1);
  pn_buf_printf(&schema, "\"d40\":%s}}", last);
  pn_error e = {0};
  assert_false(valid(pn_buf_cstr(&schema), value, &e));
  assert_int_equal(e.code, PN_ERR_LIMIT);
  pn_buf_fini(&schema);
}

static void steps_are_limited(void **state) {
  (void)state;
  endless_work("false", "1");
  // Each of these is much work for one keyword.
  pn_buf text = {0}, schema = {0}, list = {0};
  pn_buf_char(&text, '"');
  for (int i = 0; i < 100000; i++) pn_buf_char(&text, 'a');
  pn_buf_char(&text, '"');
  pn_buf_printf(&list, "[%s,%s]", pn_buf_cstr(&text), pn_buf_cstr(&text));
  endless_work("{\"maxLength\":1}", pn_buf_cstr(&text));
  endless_work("{\"pattern\":\"b$\"}", pn_buf_cstr(&text));
  endless_work("{\"uniqueItems\":true}", pn_buf_cstr(&list));
  pn_buf_printf(&schema, "{\"const\":[%s,%s,1]}", pn_buf_cstr(&text), pn_buf_cstr(&text));
  list.n--;
  pn_buf_z(&list, ",2]");
  endless_work(pn_buf_cstr(&schema), pn_buf_cstr(&list));
  pn_buf_fini(&text);
  pn_buf_fini(&schema);
  pn_buf_fini(&list);
}

static void deep_values(void **state) {
  (void)state;
  pn_buf v = {0};
  for (int i = 0; i < 200; i++) pn_buf_z(&v, "{\"a\":[");
  for (int i = 0; i < 200; i++) pn_buf_z(&v, "]}");
  pn_error e = {0};
  const char *tree = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"anyOf\":[{"
                     "\"$ref\":\"#\"}]}}}}";
  assert_false(valid(tree, pn_buf_cstr(&v), &e));
  assert_int_equal(e.code, PN_ERR_LIMIT);
  // The path is told by its end.
  assert_memory_equal(e.msg, "input...", 8);
  e = (pn_error){0};
  assert_true(valid("{\"type\":\"object\"}", pn_buf_cstr(&v), &e));
  pn_buf_clear(&v);
  for (int i = 0; i < 100; i++) pn_buf_z(&v, "{\"a\":[");
  for (int i = 0; i < 100; i++) pn_buf_z(&v, "]}");
  assert_true(valid(tree, pn_buf_cstr(&v), &e));
  pn_buf_fini(&v);
}

// 20,000 different items, then the first one again.
static void many_items_are_compared_quickly(void **state) {
  (void)state;
  pn_buf v = {0};
  pn_buf_char(&v, '[');
  for (int i = 0; i < 20000; i++) pn_buf_printf(&v, "{\"id\":%d,\"t\":[\"x\",%d.5]},", i, i);
  size_t n = v.n;
  pn_buf_z(&v, "null]");
  pn_error e = {0};
  assert_true(valid("{\"uniqueItems\":true}", pn_buf_cstr(&v), &e));
  v.n = n;
  pn_buf_z(&v, "{\"t\":[\"x\",0.5],\"id\":0.0}]");
  assert_false(valid("{\"uniqueItems\":true}", pn_buf_cstr(&v), &e));
  assert_string_equal(e.msg, "input: expected no two equal items, found items 0 and 20000 equal");
  pn_buf_fini(&v);
}

static void messages_say_where_and_what(void **state) {
  (void)state;
  static const struct {
    const char *schema, *value, *message;
  } cases[] = {
      {"{\"properties\":{\"items\":{\"items\":{\"properties\":{\"name\":{\"type\":\"string\"}}}}}}",
       "{\"items\":[{},{},{\"name\":3}]}", "input.items[2].name: expected a string, found 3"},
      {"{\"type\":[\"string\",\"null\"]}", "[]", "input: expected a string or null, found an array"},
      {"{\"additionalProperties\":{\"type\":\"null\"}}", "{\"a b\":1.5}",
       "input[\"a b\"]: expected null, found 1.5"},
      {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"b\":1}",
       "input.b: the schema allows nothing here"},
      {"{\"required\":[\"a\",\"b\"]}", "{\"a\":1}", "input: the property \"b\" is missing"},
      {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}",
       "input: the property \"b\" is missing, which \"a\" needs"},
      {"{\"enum\":[\"a\",\"b\",3]}", "\"c\"", "input: expected \"a\", \"b\" or 3, found \"c\""},
      {"{\"const\":true}", "1", "input: expected true, found 1"},
      {"{\"minimum\":3}", "2.5", "input: expected at least 3, found 2.5"},
      {"{\"exclusiveMaximum\":3}", "3", "input: expected less than 3, found 3"},
      {"{\"multipleOf\":0.01}", "0.015", "input: expected a multiple of 0.01, found 0.015"},
      {"{\"minLength\":3}", "\"äö\"", "input: expected at least 3 characters, found 2"},
      {"{\"maxItems\":1}", "[1,2]", "input: expected at most 1 items, found 2"},
      {"{\"pattern\":\"^a\"}", "\"b\"", "input: expected text of the pattern \"^a\", found \"b\""},
      {"{\"format\":\"date\"}", "\"b\"", "input: expected text of the format \"date\", found \"b\""},
      {"{\"propertyNames\":{\"maxLength\":1}}", "{\"ab\":1}",
       "input (the name \"ab\"): expected at most 1 characters, found 2"},
      {"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "3",
       "input: expected one of the 2 alternatives of anyOf, found 3"},
      {"{\"anyOf\":[{\"type\":\"null\"},{\"properties\":{\"a\":{\"type\":\"null\"}}}]}", "{\"a\":3}",
       "input: fits none of the 2 alternatives of anyOf (input.a: expected null, found 3)"},
      {"{\"oneOf\":[true,true]}", "3", "input: fits more than one of the alternatives of oneOf"},
      {"{\"not\":{\"const\":3}}", "3", "input: 3 is what `not` excludes"},
      {"{\"type\":\"null\"}", "\"0123456789012345678901234567890123456789x\"",
       "input: expected null, found \"0123456789012345678901234567890123456789\"..."},
      // What an alternative said that was tried in vain is forgotten.
      {"{\"allOf\":[{\"anyOf\":[{\"properties\":{\"a\":{\"properties\":{\"b\":false}}}},true]},{"
       "\"maxProperties\":0}]}",
       "{\"a\":{\"b\":1}}", "input: expected at most 0 properties, found 1"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_error e = {0};
    assert_false(valid(cases[i].schema, cases[i].value, &e));
    assert_string_equal(e.msg, cases[i].message);
  }
}

static void the_root_may_be_larger_than_the_schema(void **state) {
  (void)state;
  pn_json *root = parse("{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"type\":\"null\"}}}"),
          *v = parse("1");
  pn_error e = {0};
  assert_true(schema_valid(root, root, v, &e));
  assert_false(schema_valid(root, pn_json_get(pn_json_get(root, "$defs"), "a"), v, &e));
  assert_int_equal(e.code, PN_ERR_USAGE);
  pn_json_free(root);
  pn_json_free(v);
}

static void many_patterns(void **state) {
  (void)state;
  pn_buf schema = {0}, v = {0};
  pn_buf_z(&schema, "{\"patternProperties\":{");
  for (int i = 0; i < 100; i++) pn_buf_printf(&schema, "%s\"^k%d$\":{\"const\":%d}", i ? "," : "", i, i);
  pn_buf_z(&schema, "},\"additionalProperties\":false}");
  pn_buf_z(&v, "{\"k7\":7,\"k99\":99,\"k0\":0}");
  pn_error e = {0};
  assert_true(valid(pn_buf_cstr(&schema), pn_buf_cstr(&v), &e));
  assert_false(valid(pn_buf_cstr(&schema), "{\"k7\":7,\"k98\":99}", &e));
  assert_string_equal(e.msg, "input.k98: expected 98, found 99");
  pn_buf_fini(&schema);
  pn_buf_fini(&v);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values_of_any_type),
      cmocka_unit_test(numbers),
      cmocka_unit_test(strings),
      cmocka_unit_test(arrays),
      cmocka_unit_test(objects),
      cmocka_unit_test(schemas_of_schemas),
      cmocka_unit_test(references),
      cmocka_unit_test(a_schema_that_cannot_be_checked),
      cmocka_unit_test(endless_schemas_end),
      cmocka_unit_test(steps_are_limited),
      cmocka_unit_test(deep_values),
      cmocka_unit_test(many_items_are_compared_quickly),
      cmocka_unit_test(messages_say_where_and_what),
      cmocka_unit_test(the_root_may_be_larger_than_the_schema),
      cmocka_unit_test(many_patterns),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
