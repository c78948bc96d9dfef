// Calls whose arguments stand one by one: what a model may write in them, byte by byte, and what is read of
// it.
#include "../unit.h"
#include "grammar/grammar.h"
#include "hear_call.h"
#include "toy_tokenizer.h"

#include <string.h>

static const char *const words[] = {"<tool", "_call>", "<parameter=", "</parameter>", "\n</", "{\"", NULL};
static const char *const controls[] = {"<|end|>",     "<arg_key>",    "</arg_key>",
                                       "<arg_value>", "</arg_value>", NULL};
static const pn_tokenizer toy = {words, controls};
static pn_vocab *vocab;

static int set_up(void **state) {
  (void)state;
  return (vocab = pn_vocab_new(&toy, NULL)) ? 0 : 1;
}

static int tear_down(void **state) {
  (void)state;
  pn_vocab_free(vocab);
  return 0;
}

static pn_json *tool_of(const char *schema, bool strict) {
  pn_buf text = {0};
  pn_buf_printf(&text,
                "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":%s,\"parameters\":%s}}]",
                strict ? "true" : "false", schema);
  pn_json *tools = pn_json_parse(pn_buf_view(&text), NULL);
  assert_non_null(tools);
  pn_buf_fini(&text);
  return tools;
}

static const pn_json *schema_of(const pn_json *tools) {
  return pn_json_get(pn_json_get(pn_json_at(tools, 0), "function"), "parameters");
}

// Tokens as raw text.
static void write_raw(const int32_t *ids, size_t n, pn_buf *raw) {
  for (size_t i = 0; i < n; i++) {
    bool control = pn_tokenizer_is_control(&toy, ids[i]);
    if (control) pn_buf_char(raw, PN_RAW_BEGIN);
    pn_tokenizer_decode(&toy, &ids[i], 1, true, raw);
    if (control) pn_buf_char(raw, PN_RAW_END);
  }
}

static bool in_mask(const pn_mask *m, int32_t id) {
  for (int32_t i = 0; m->ids && i < m->n_ids; i++)
    if (m->ids[i] == id) return true;
  return m->bits && (m->bits[id / 64] >> id % 64 & 1);
}

// Whether all tokens are allowed in turn, and then the end.
static bool may_write(pn_guide *g, const int32_t *ids, size_t n) {
  pn_matcher *m = pn_matcher_new(g, NULL);
  pn_mask mask;
  bool ok = true;
  for (size_t i = 0; ok && i < n; i++) {
    assert_true(pn_matcher_mask(m, &mask));
    ok = in_mask(&mask, ids[i]);
    if (ok) assert_true(pn_matcher_take(m, ids[i]));
  }
  assert_true(pn_matcher_mask(m, &mask));
  ok = ok && in_mask(&mask, toy_id(&toy, "<|end|>"));
  pn_matcher_free(m);
  return ok;
}

static pn_guide *guide_of(const pn_tongue *t, const pn_json *tools) {
  pn_error e = {0};
  pn_guide *g = pn_guide_new(
      &(pn_guide_ask){.vocab = vocab, .tongue = t, .tools = tools, .calls = PN_CALLS_MUST, .one_call = true},
      &e);
  if (!g) fail_msg("%s", e.msg);
  return g;
}

// `want`: the arguments that are read of it; NULL: it can't be written.
static void check(const char *dialect, const char *schema, const char *parameters, const char *want) {
  const pn_dialect *d = pn_dialect_find(dialect);
  pn_tongue t;
  pn_buf text = {0};
  int32_t ids[2000];
  pn_json *tools = tool_of(schema, true);
  assert_true(pn_tongue_init(&t, d, NULL, &toy));
  pn_guide *g = guide_of(&t, tools);
  pn_buf_printf(&text, "%s%s%sf%s%s%s%s", d->open, d->begin, d->head, d->middle, parameters, d->tail, d->end);
  size_t n = toy_tokens(&toy, pn_buf_cstr(&text), ids);
  if (may_write(g, ids, n) != (want != NULL))
    fail_msg("%s: %s: \"%s\" is %s", dialect, schema, parameters, want ? "refused" : "allowed");
  if (want) {
    pn_buf raw = {0}, heard = {0};
    write_raw(ids, n, &raw);
    assert_true(hear_call(&t, schema_of(tools), pn_buf_view(&raw), &heard));
    assert_string_equal(pn_buf_cstr(&heard), want);
    pn_json *v = pn_json_parse(pn_buf_view(&heard), NULL);
    assert_true(pn_schema_valid(schema_of(tools), v, NULL));
    pn_json_free(v);
    pn_buf_fini(&raw);
    pn_buf_fini(&heard);
  }
  pn_json_free(tools);
  pn_buf_fini(&text);
  pn_guide_unref(g);
  pn_tongue_fini(&t);
}

#define Q(schema, parameters, want) check("qwen_xml", schema, parameters, want)
#define P(name, text) "<parameter=" name ">\n" text "</parameter>\n"
#define OF(properties, required)                                                                             \
  "{\"type\":\"object\",\"properties\":{" properties "},\"required\":[" required                             \
  "],\"additionalProperties\":false}"

static void strings_stand_as_they_are(void **state) {
  (void)state;
  static const char any[] = OF("\"s\":{\"type\":\"string\"}", "\"s\"");
  Q(any, P("s", "a \"b\" {\"c\": 1, \"c\": 2}\n"), "{\"s\":\"a \\\"b\\\" {\\\"c\\\": 1, \\\"c\\\": 2}\"}");
  Q(any, P("s", "null\n"), "{\"s\":\"null\"}");
  Q(any, P("s", "5"), "{\"s\":\"5\"}"); // the line break may be missing
  Q(any, P("s", "\n"), "{\"s\":\"\"}");
  Q(any, P("s", "a\n\n\n"), "{\"s\":\"a\\n\\n\"}");
  Q(any, P("s", "</param\n</parameter \n"), "{\"s\":\"</param\\n</parameter \"}");
  Q(any, P("s", "a</parameter>b\n"), NULL); // its own mark ends it
  Q(any, "", NULL);
  Q(any, P("s", "a\n") P("s", "b\n"), NULL);
  Q(any, P("t", "a\n"), NULL);
}

static void limits_hold(void **state) {
  (void)state;
  static const char pattern[] =
      OF("\"s\":{\"type\":\"string\",\"pattern\":\"^a+$\",\"maxLength\":3}", "\"s\"");
  Q(pattern, P("s", "aaa\n"), "{\"s\":\"aaa\"}");
  Q(pattern, P("s", "aaaa\n"), NULL);
  Q(pattern, P("s", "ab\n"), NULL);
  Q(pattern, P("s", "aa"), NULL);
  static const char listed[] = OF("\"s\":{\"enum\":[\"a b\",\"c\\nd\",\"</parameter>\"]}", "\"s\"");
  Q(listed, P("s", "a b\n"), "{\"s\":\"a b\"}");
  Q(listed, P("s", "c\nd\n"), "{\"s\":\"c\\nd\"}");
  Q(listed, P("s", "</parameter>\n"), NULL);
  Q(listed, P("s", "a\n"), NULL);
  Q(OF("\"s\":{\"type\":\"string\",\"minLength\":2}", "\"s\""), P("s", "a\n\n"), "{\"s\":\"a\\n\"}");
  Q(OF("\"s\":{\"type\":\"string\",\"minLength\":2}", "\"s\""), P("s", "a\n"), NULL);
}

static void other_values_are_json(void **state) {
  (void)state;
  static const char all[] = OF("\"i\":{\"type\":\"integer\",\"minimum\":3},\"b\":{\"type\":\"boolean\"},"
                               "\"l\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
                               "\"i\"");
  Q(all, P("i", "5\n"), "{\"i\":5}");
  Q(all, P("i", "2\n"), NULL);
  Q(all, P("i", "five\n"), NULL);
  Q(all, P("i", "5"), "{\"i\":5}");
  Q(all, P("i", "5\n") P("b", "true\n") P("l", "[\"</parameter>\", \"x\"]\n"),
    "{\"i\":5,\"b\":true,\"l\":[\"</parameter>\",\"x\"]}");
  Q(all, P("i", "5\n") P("b", "False\n"), "{\"i\":5,\"b\":false}");
  Q(all, P("i", "5\n") P("b", "None\n"), NULL);
  Q(all, P("i", "5\n") P("l", "[1]\n"), NULL);
  Q(all, P("b", "true\n") P("i", "5\n"), NULL); // one order
}

// A string can't be what would be read as another value that the schema takes.
static void mixed_kinds_are_told_apart(void **state) {
  (void)state;
  static const char maybe[] = OF("\"s\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "\"s\"");
  Q(maybe, P("s", "null\n"), "{\"s\":null}");
  Q(maybe, P("s", "nullx\n"), "{\"s\":\"nullx\"}");
  Q(maybe, P("s", "5\n"), "{\"s\":\"5\"}");
  Q(maybe, P("s", "{\"a\": 1}\n"), "{\"s\":\"{\\\"a\\\": 1}\"}");
  Q(maybe, P("s", "x"), NULL); // here the line break matters
  static const char odd[] =
      OF("\"s\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\",\"minimum\":10},"
         "{\"type\":\"object\",\"additionalProperties\":false}]}",
         "\"s\"");
  Q(odd, P("s", "12\n"), "{\"s\":12}");
  Q(odd, P("s", "2\n"), NULL); // it would be a number, and that is too small
  Q(odd, P("s", "2 \n"), "{\"s\":\"2 \"}");
  Q(odd, P("s", "-1.5e+3\n"), NULL);
  Q(odd, P("s", "{}\n"), "{\"s\":{}}");
  Q(odd, P("s", "{x\n"), NULL);
  Q(odd, P("s", "[x\n"), "{\"s\":\"[x\"}");
  Q(OF("\"s\":{\"enum\":[\"1\",\"a\",2]}", "\"s\""), P("s", "1\n"), NULL);
  Q(OF("\"s\":{\"enum\":[\"1\",\"a\",2]}", "\"s\""), P("s", "2\n"), "{\"s\":2}");
}

static void free_parameters(void **state) {
  (void)state;
  static const char open[] = "{\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\"}}}";
  Q(open, "", "{}");
  Q(open, P("s", "1\n") P("other", "1\n"), "{\"s\":\"1\",\"other\":1}");
  Q(open, P("other", "a [1]\n"), "{\"other\":\"a [1]\"}");
  Q(open, P("other", "{\"a\": \"</parameter>\"}\n"), "{\"other\":{\"a\":\"</parameter>\"}}");
  Q("{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}", P("x", "1\n"), "{\"x\":\"1\"}");
  Q("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"minProperties\":1,\"maxProperties\":"
    "1}",
    P("a", "x\n") P("b", "y\n"), NULL);
}

static void control_tokens_end_strings(void **state) {
  (void)state;
  static const char any[] = OF("\"s\":{\"type\":\"string\"},\"i\":{\"type\":\"integer\"}", "\"s\"");
  check("glm", any,
        "<arg_key>s</arg_key><arg_value>a\nb</arg_value><arg_key>i</arg_key><arg_value>5</arg_value>",
        "{\"s\":\"a\\nb\",\"i\":5}");
  check("glm", any, "<arg_key>s</arg_key><arg_value>{\"</arg_value>", "{\"s\":\"{\\\"\"}");
  check("glm_lines", any, "<arg_key>s</arg_key>\n<arg_value></arg_value>\n", "{\"s\":\"\"}");
  check("minimax", any, "<parameter name=\"s\">x</parameter>\n", "{\"s\":\"x\"}");
}

// What can't be held is left out, but for what the reader goes by.
static void rungs(void **state) {
  (void)state;
  pn_tongue t;
  pn_json *tools =
      tool_of("{\"type\":\"object\",\"properties\":{\"s\":{\"type\":\"string\",\"pattern\":\"(?=a)b\"},"
              "\"i\":{\"type\":\"integer\"}},\"contains\":{},\"additionalProperties\":false}",
              false);
  size_t n;
  int32_t ids[200];
  assert_true(pn_tongue_init(&t, pn_dialect_find("qwen_xml"), NULL, &toy));
  pn_guide *g = guide_of(&t, tools);
  assert_int_not_equal((pn_guide_gaps(g, &n), n), 0);
#define CALL(parameters) "<tool_call>\n<function=f>\n" parameters "</function>\n</tool_call>"
  assert_true(may_write(g, ids, toy_tokens(&toy, CALL(P("s", "x\n") P("i", "5\n")), ids)));
  assert_false(may_write(g, ids, toy_tokens(&toy, CALL(P("i", "x\n")), ids)));
  assert_false(may_write(g, ids, toy_tokens(&toy, CALL(P("s", "a</parameter>b\n")), ids)));
  pn_guide_unref(g);
  pn_json_free(tools);
  // Any object of the same kinds, where the schema is too much.
  pn_buf schema = {0};
  pn_buf_z(&schema,
           "{\"type\":\"object\",\"properties\":{\"i\":{\"type\":\"integer\"},\"s\":{\"type\":\"string\"}},"
           "\"allOf\":[");
  for (int i = 0; i < 9; i++)
    pn_buf_printf(&schema,
                  "%s{\"anyOf\":[{\"minProperties\":%d},{\"required\":[\"a%d\"]},{\"required\":[\"b%d\"]}]}",
                  i ? "," : "", i, i, i);
  pn_buf_z(&schema, "]}");
  tools = tool_of(pn_buf_cstr(&schema), false);
  g = guide_of(&t, tools);
  assert_int_equal(pn_guide_gaps(g, &n)->rung, PN_RUNG_ANY);
  assert_true(may_write(g, ids, toy_tokens(&toy, CALL(P("i", "5\n") P("s", "5\n")), ids)));
  assert_false(may_write(g, ids, toy_tokens(&toy, CALL(P("i", "x\n")), ids)));
  pn_buf_fini(&schema);
  pn_guide_unref(g);
  pn_json_free(tools);
  pn_tongue_fini(&t);
}

static void kinds_of_schemas(void **state) {
  (void)state;
  static const struct {
    const char *schema;
    unsigned kinds;
  } cases[] = {
      {"{}", PN_KIND_ANY},
      {"true", PN_KIND_ANY},
      {"false", 0},
      {"{\"type\":\"string\"}", PN_KIND_STRING},
      {"{\"type\":[\"integer\",\"null\"]}", PN_KIND_NUMBER | PN_KIND_NULL},
      {"{\"enum\":[\"a\",1,null,[],{}]}", PN_KIND_ANY & ~(unsigned)PN_KIND_BOOL},
      {"{\"const\":true}", PN_KIND_BOOL},
      {"{\"type\":\"string\",\"enum\":[\"a\",1]}", PN_KIND_STRING},
      {"{\"oneOf\":[{\"type\":\"string\"},{\"$ref\":\"#/$defs/n\"}]}", PN_KIND_STRING | PN_KIND_NUMBER},
      {"{\"$ref\":\"#/$defs/n\",\"type\":[\"number\",\"string\"]}", PN_KIND_NUMBER},
      {"{\"allOf\":[{\"type\":[\"number\",\"string\"]},{\"type\":[\"string\",\"null\"]}]}", PN_KIND_STRING},
      {"{\"$ref\":\"#/properties/x\"}", PN_KIND_ANY},
      {"{\"not\":{\"type\":\"string\"}}", PN_KIND_ANY},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_buf text = {0};
    pn_buf_printf(
        &text,
        "{\"properties\":{\"x\":%s},\"additionalProperties\":%s,\"$defs\":{\"n\":{\"type\":\"number\"}}}",
        cases[i].schema, cases[i].schema);
    pn_json *schema = pn_json_parse(pn_buf_view(&text), NULL);
    assert_int_equal(pn_schema_kinds(schema, PN_STR("x")), cases[i].kinds);
    assert_int_equal(pn_schema_kinds(schema, PN_STR("y")), cases[i].kinds);
    pn_json_free(schema);
    pn_buf_fini(&text);
  }
  assert_int_equal(pn_schema_kinds(NULL, PN_STR("x")), PN_KIND_ANY);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(strings_stand_as_they_are),
      cmocka_unit_test(limits_hold),
      cmocka_unit_test(other_values_are_json),
      cmocka_unit_test(mixed_kinds_are_told_apart),
      cmocka_unit_test(free_parameters),
      cmocka_unit_test(control_tokens_end_strings),
      cmocka_unit_test(rungs),
      cmocka_unit_test(kinds_of_schemas),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
