// Guides: what an answer may be, token by token.
#include "../unit.h"
#include "grammar/grammar.h"
#include "toy_tokenizer.h"

#include <stdio.h>
#include <string.h>

static const char *const words[] = {
    "<tool",   "_call>", "{\"",    "name",  "\": \"",  "\", \"",   "arguments",
    "\": {\"", "hello",  " world", "true",  "false",   "\"}",      "}}",
    "\n",      "get",    "set",    "x\": ", "<think>", "</think>", NULL};
static const char *const controls[] = {"<|end|>", "[TOOL_CALLS]", "[ARGS]", NULL};
static const pn_tokenizer toy = {words, controls};

static const pn_dialect hermes = {.name = "hermes", .values = &pn_style_json, .again = "\n"},
                        llama = {.name = "llama", .values = &pn_style_json, .between = "; ", .bare = true},
                        mistral = {.name = "mistral", .values = &pn_style_json, .again = ""};
static const pn_thinking_marks think = {"<think>", "</think>"};
#define S(z) PN_STR(z)
#define T(z)                                                                                                 \
  { (z), sizeof(z) - 1 }
static const pn_tongue hermes_tongue = {.dialect = &hermes,
                                        .thinking = &think,
                                        .open = T("<tool_call>"),
                                        .begin = T("\n"),
                                        .head = T("{\"name\": \""),
                                        .middle = T("\", \"arguments\": "),
                                        .tail = T("}"),
                                        .end = T("\n</tool_call>"),
                                        .again = T("\n"),
                                        .think_open = T("<think>"),
                                        .think_close = T("</think>")},
                       llama_tongue = {.dialect = &llama,
                                       .open = T("<|python_tag|>"),
                                       .head = T("{\"name\": \""),
                                       .middle = T("\", \"parameters\": "),
                                       .tail = T("}"),
                                       .between = T("; ")},
                       mistral_tongue = {.dialect = &mistral,
                                         .open = T("\xFF[TOOL_CALLS]\xFE"),
                                         .middle = T("\xFF[ARGS]\xFE")};

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"x\":"
    "{\"type\":\"boolean\"}},\"required\":[\"x\"],\"additionalProperties\":false}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"set\",\"parameters\":{\"type\":\"object\"}}}]";

static pn_vocab *vocab;
static pn_json *tools;

static int set_up(void **state) {
  (void)state;
  vocab = pn_vocab_new(&toy, NULL);
  tools = pn_json_parse(S(tools_text), NULL);
  return vocab && tools ? 0 : 1;
}

static int tear_down(void **state) {
  (void)state;
  pn_vocab_free(vocab);
  pn_json_free(tools);
  return 0;
}

static pn_guide *guide_of(pn_guide_ask ask) {
  pn_error e = {0};
  ask.vocab = vocab;
  pn_guide *g = pn_guide_new(&ask, &e);
  if (!g) fail_msg("%s", e.msg);
  return g;
}

static bool in_mask(const pn_mask *m, int32_t id) {
  for (int32_t i = 0; m->ids && i < m->n_ids; i++)
    if (m->ids[i] == id) return true;
  return m->bits && (m->bits[id / 64] >> id % 64 & 1);
}

// How many tokens of the text are not allowed any more; what the mask has is taken. *end: the answer may end
// there.
static size_t follow(pn_guide *g, const char *text, bool *end) {
  int32_t ids[1000];
  size_t n = toy_tokens(&toy, text, ids), taken = 0;
  pn_matcher *m = pn_matcher_new(g, NULL);
  pn_mask mask;
  for (; taken < n; taken++) {
    assert_true(pn_matcher_mask(m, &mask));
    if (!in_mask(&mask, ids[taken])) break;
    assert_true(pn_matcher_take(m, ids[taken]));
  }
  assert_true(pn_matcher_mask(m, &mask));
  *end = taken == n && in_mask(&mask, toy_id(&toy, "<|end|>"));
  if (*end) assert_true(pn_matcher_take(m, toy_id(&toy, "<|end|>")));
  pn_matcher_free(m);
  return n - taken;
}

static void check(pn_guide *g, const char *text, bool fits, const char *name) {
  bool end;
  size_t left = follow(g, text, &end);
  if (fits != (left == 0 && end)) fail_msg("%s: \"%s\": %zu tokens left, may end: %d", name, text, left, end);
}

typedef struct example {
  const char *text;
  bool fits;
} example;

#define CALL_GET "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"x\": true}}\n</tool_call>"
#define CALL_SET "<tool_call>\n{\"name\": \"set\", \"arguments\": {\"a\": [1, {}]}}\n</tool_call>"

static void test_auto(void **state) {
  static const example examples[] = {
      {"", true},
      {"hello world", true},
      {CALL_GET, true},
      {"hello\n" CALL_GET, true},
      {CALL_GET "\n" CALL_SET, true},
      {"<tool", true},
      {"a <tool_cal", true},
      {"<tool_<tool_call", true},
      {"<tool_call>", false},
      {"<tool_call>\n{\"name\": \"put\", ", false},
      {"<tool_call>\n{\"name\": \"get\", \"arguments\": {\"x\": 1}}\n</tool_call>", false},
      {"<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n</tool_call>", false},
      {"<tool_<tool_call>x", false},
      {CALL_GET " and more", false},
      {CALL_GET "\n", false},
  };
  (void)state;
  pn_guide *g = guide_of((pn_guide_ask){.tongue = &hermes_tongue, .tools = tools, .calls = PN_CALLS_AUTO});
  for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
    check(g, examples[i].text, examples[i].fits, "auto");
  pn_guide_unref(g);
}

static void test_choices(void **state) {
  (void)state;
  pn_guide *must = guide_of((pn_guide_ask){.tongue = &hermes_tongue, .tools = tools, .calls = PN_CALLS_MUST});
  check(must, "", false, "must");
  check(must, "hello", false, "must");
  check(must, CALL_GET, true, "must");
  check(must, CALL_GET "\n" CALL_GET, true, "must");
  pn_guide_unref(must);
  pn_guide *one = guide_of((pn_guide_ask){
      .tongue = &hermes_tongue, .tools = tools, .calls = PN_CALLS_MUST, .only = S("set"), .one_call = true});
  check(one, CALL_GET, false, "one");
  check(one, CALL_SET, true, "one");
  check(one, CALL_SET "\n" CALL_SET, false, "one");
  pn_guide_unref(one);
  pn_guide *none = guide_of((pn_guide_ask){.tongue = &hermes_tongue, .tools = tools, .calls = PN_CALLS_NONE});
  check(none, "hello <tool_call", true, "none");
  check(none, "hello <tool_call>", false, "none");
  pn_guide_unref(none);
}

static void test_control_tokens(void **state) {
  (void)state;
  pn_guide *g = guide_of((pn_guide_ask){.tongue = &mistral_tongue, .tools = tools, .calls = PN_CALLS_AUTO});
  check(g, "hello[TOOL_CALLS]get[ARGS]{\"x\": false}", true, "mistral");
  check(g, "[TOOL_CALLS]get[ARGS]{\"x\": true}[TOOL_CALLS]set[ARGS]{}", true, "mistral");
  check(g, "[TOOL_CALLS]get{\"x\": true}", false, "mistral");
  check(g, "[ARGS]", false, "mistral");
  // The same letters as text are text.
  pn_matcher *m = pn_matcher_new(g, NULL);
  for (const char *p = "[TOOL_CALLS]put"; *p; p++) assert_true(pn_matcher_take(m, (uint8_t)*p));
  assert_true(pn_matcher_in_text(m));
  pn_matcher_free(m);
  pn_guide_unref(g);
}

static void test_bare(void **state) {
  (void)state;
  pn_guide *g = guide_of((pn_guide_ask){.tongue = &llama_tongue, .tools = tools, .calls = PN_CALLS_AUTO});
  check(g, "{\"name\": \"get\", \"parameters\": {\"x\": true}}", true, "bare");
  check(g, "{\"name\": \"get\", \"parameters\": {\"x\": true}}; {\"name\": \"set\", \"parameters\": {}}",
        true, "bare");
  check(g, "{\"name\": \"put\"", false, "bare");
  check(g, "{\"name\": 3}", true, "bare");
  check(g, "so: {\"name\": \"put\"}", true, "bare");
  check(g, "<|python_tag|>{\"name\": \"get\", \"parameters\": {\"x\": true}}", true, "bare");
  pn_guide_unref(g);
}

static void test_schema(void **state) {
  (void)state;
  pn_json *schema =
      pn_json_parse(S("{\"type\":\"object\",\"properties\":{\"x\":{\"enum\":[\"hello\",1]}}}"), NULL);
  pn_guide *g = guide_of((pn_guide_ask){.schema = schema});
  check(g, "{\"x\": \"hello\"}", true, "schema");
  check(g, "{\"x\": 1, \"y\": null}", true, "schema");
  check(g, "{\"x\": 2}", false, "schema");
  check(g, "{\"x\":1}", false, "schema"); // one way of white space
  check(g, "hello", false, "schema");
  pn_guide_unref(g);
  pn_json_free(schema);
}

// A member's name comes once, also one that the schema does not list.
static void test_repeated_names(void **state) {
  (void)state;
  pn_json *schema = pn_json_parse(S("{\"type\":\"object\"}"), NULL);
  pn_guide *g = guide_of((pn_guide_ask){.schema = schema});
  check(g, "{\"a\": 1, \"b\": 2}", true, "names");
  check(g, "{\"a\": {\"a\": 1}, \"b\": [{\"a\": 1}, {\"a\": 2}]}", true, "names");
  bool end;
  assert_int_not_equal(follow(g, "{\"a\": 1, \"a\": 2}", &end), 0);
  assert_int_not_equal(follow(g, "{\"a\": {\"b\": 1}, \"a\": 2}", &end), 0);
  assert_int_not_equal(follow(g, "{\"a\\\"\": 1, \"a\\\"\": 2}", &end), 0);
  check(g, "{\"a\\\"\": 1, \"a\": 2}", true, "names");
  pn_guide_unref(g);
  pn_json_free(schema);
}

// A scout that looks ahead from any place allows what the matcher itself allows there, and leaves it where it
// is.
static void test_scouts(void **state) {
  (void)state;
  static const char text[] = "{\"a\": {\"bb\": [1, {\"a\": 2}]}, \"bb\": \"x\", \"c\": {}}";
  pn_json *schema = pn_json_parse(S("{\"type\":\"object\"}"), NULL);
  pn_guide *g = guide_of((pn_guide_ask){.schema = schema});
  pn_matcher *m = pn_matcher_new(g, NULL), *scout = pn_matcher_new(g, NULL);
  int32_t ids[100];
  size_t n = toy_tokens(&toy, text, ids);
  for (size_t at = 0; at <= n; at++) {
    pn_mask mask;
    for (size_t ahead = at; ahead <= n; ahead++) {
      int32_t other[100];
      assert_true(pn_matcher_follow(scout, m));
      for (size_t i = at; i < ahead; i++) assert_true(pn_matcher_take(scout, ids[i]));
      // At the beginning of a member: its name must not have been there.
      static const char *const names[] = {"\"a\"", "\"bb\"", "\"c\"", "\"d\""};
      for (int k = 0; k < 4; k++) {
        pn_matcher *plain = pn_matcher_new(g, NULL);
        for (size_t i = 0; i < ahead; i++) assert_true(pn_matcher_take(plain, ids[i]));
        assert_true(pn_matcher_follow(scout, plain));
        size_t n_other = toy_tokens(&toy, names[k], other);
        for (size_t i = 0; i < n_other; i++) {
          pn_mask want, got;
          assert_true(pn_matcher_mask(plain, &want));
          bool fits = in_mask(&want, other[i]);
          assert_true(pn_matcher_mask(scout, &got));
          assert_int_equal(in_mask(&got, other[i]), fits);
          if (!fits) break;
          assert_true(pn_matcher_take(plain, other[i]) && pn_matcher_take(scout, other[i]));
        }
        pn_matcher_free(plain);
      }
    }
    if (at == n) break;
    assert_true(pn_matcher_mask(m, &mask) && in_mask(&mask, ids[at]));
    assert_true(pn_matcher_take(m, ids[at]));
  }
  pn_matcher_free(m);
  pn_matcher_free(scout);
  pn_guide_unref(g);
  pn_json_free(schema);
}

// Where names are short, one that has begun like another must be able to end otherwise.
static void test_dead_ends(void **state) {
  (void)state;
  pn_json *schema =
      pn_json_parse(S("{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^([ab]{2}|c+|[de]{9})$\"},"
                      "\"additionalProperties\":{\"type\":\"boolean\"}}"),
                    NULL);
  pn_guide *g = guide_of((pn_guide_ask){.schema = schema});
  bool end;
  check(g, "{\"ab\": true, \"aa\": true, \"c\": false, \"cc\": true}", true, "dead ends");
  assert_int_not_equal(follow(g, "{\"ab\": true, \"ab", &end), 0); // refused before its end
  assert_int_not_equal(follow(g, "{\"aa\": true, \"ab\": true, \"ba\": true, \"bb\": true, \"a", &end), 0);
  pn_guide_unref(g);
  pn_json_free(schema);
}

static void test_thinking(void **state) {
  (void)state;
  pn_guide_ask ask = {
      .tongue = &hermes_tongue, .tools = tools, .calls = PN_CALLS_MUST, .thinks = PN_THINKS_FIRST};
  pn_guide *first = guide_of(ask);
  check(first, "<think>hello <tool_call> </think>\n\n" CALL_GET, true, "first");
  check(first, CALL_GET, false, "first");
  check(first, "<think>hello", false, "first");
  pn_guide_unref(first);
  ask.thinks = PN_THINKS_MAYBE;
  pn_guide *maybe = guide_of(ask);
  check(maybe, CALL_GET, true, "maybe");
  check(maybe, "<think></think>" CALL_GET, true, "maybe");
  pn_guide_unref(maybe);
  ask.thinks = PN_THINKS_ALREADY;
  pn_guide *already = guide_of(ask);
  check(already, "hello</think>" CALL_GET, true, "already");
  pn_guide_unref(already);
}

static void test_budget(void **state) {
  (void)state;
  pn_guide *g =
      guide_of((pn_guide_ask){.tongue = &hermes_tongue, .thinks = PN_THINKS_ALREADY, .think_tokens = 3});
  pn_matcher *m = pn_matcher_new(g, NULL);
  int32_t ids[40];
  for (int i = 0; i < 3; i++) {
    assert_int_equal(pn_matcher_forced(m, ids, 40), 0);
    assert_true(pn_matcher_take(m, toy_id(&toy, "hello")));
  }
  // The thought is closed for it.
  int n = pn_matcher_forced(m, ids, 40);
  pn_buf text = {0};
  for (int i = 0; i < n; i++) {
    assert_true(pn_matcher_take(m, ids[i]));
    pn_tokenizer_decode(&toy, &ids[i], 1, false, &text);
  }
  assert_string_equal(pn_buf_cstr(&text), "\n</think>\n"); // the last token may become a longer one
  assert_true(pn_matcher_take(m, '\n'));
  assert_true(pn_matcher_in_text(m));
  pn_buf_fini(&text);
  pn_matcher_free(m);
  pn_guide_unref(g);
}

static void test_forced(void **state) {
  (void)state;
  pn_guide *g = guide_of((pn_guide_ask){
      .tongue = &hermes_tongue, .tools = tools, .calls = PN_CALLS_MUST, .only = S("get"), .one_call = true});
  pn_matcher *m = pn_matcher_new(g, NULL);
  int32_t ids[64];
  pn_buf text = {0};
  int n = pn_matcher_forced(m, ids, 64);
  for (int i = 0; i < n; i++) {
    assert_true(pn_matcher_take(m, ids[i]));
    pn_tokenizer_decode(&toy, &ids[i], 1, false, &text);
  }
  // All but the last token up to where there is a choice, which might become a longer one.
  pn_str all = S("<tool_call>\n{\"name\": \"get\", \"arguments\": {\"x\": ");
  assert_true(pn_str_starts(all, pn_buf_view(&text)));
  assert_true(text.n + 8 >= all.n);
  pn_buf_fini(&text);
  pn_matcher_free(m);
  pn_guide_unref(g);
}

static void test_rungs(void **state) {
  static const char text[] =
      "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"strict\":%s,\"parameters\":{\"type\":"
      "\"object\","
      "\"properties\":{\"x\":{\"type\":\"string\",\"pattern\":\"^(?=a)b\"},\"y\":{\"type\":\"boolean\"}},"
      "\"required\":[\"x\"],\"additionalProperties\":false}}}]";
  char buf[600];
  (void)state;
  snprintf(buf, sizeof buf, text, "false");
  pn_json *t = pn_json_parse(pn_str_of(buf), NULL);
  pn_guide *g = guide_of((pn_guide_ask){.tongue = &hermes_tongue, .tools = t, .calls = PN_CALLS_MUST});
  size_t n;
  const pn_guide_gap *gaps = pn_guide_gaps(g, &n);
  assert_int_equal(n, 1);
  assert_string_equal(gaps->where, "tools.get");
  assert_int_equal(gaps->rung, PN_RUNG_RELAXED);
  assert_non_null(strstr(gaps->what, "properties.x.pattern: look-ahead"));
  check(g, "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"x\": \"hello\", \"y\": true}}\n</tool_call>",
        true, "relaxed");
  check(g, "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"x\": \"hello\", \"y\": 1}}\n</tool_call>",
        false, "relaxed");
  pn_guide_unref(g);
  pn_json_free(t);
  snprintf(buf, sizeof buf, text, "true");
  t = pn_json_parse(pn_str_of(buf), NULL);
  pn_error e = {0};
  assert_null(pn_guide_new(
      &(pn_guide_ask){.vocab = vocab, .tongue = &hermes_tongue, .tools = t, .calls = PN_CALLS_AUTO}, &e));
  assert_int_equal(e.code, PN_ERR_UNSUPPORTED);
  assert_non_null(strstr(e.msg, "tools.get: properties.x.pattern: look-ahead"));
  pn_json_free(t);
}

static void test_impossible(void **state) {
  (void)state;
  pn_json *schema = pn_json_parse(
      S("{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}"), NULL);
  pn_error e = {0};
  assert_null(pn_guide_new(&(pn_guide_ask){.vocab = vocab, .schema = schema, .strict = true}, &e));
  assert_int_equal(e.code, PN_ERR_UNSUPPORTED);
  pn_json_free(schema);
}

// Many matchers, far into deep values, so that what is known is given up and found again.
static void test_much(void **state) {
  (void)state;
  pn_json *schema = pn_json_parse(S("{}"), NULL);
  pn_guide *g = guide_of((pn_guide_ask){.schema = schema});
  pn_matcher *m[4];
  for (int i = 0; i < 4; i++) m[i] = pn_matcher_new(g, NULL);
  int depth = 0;
  while (pn_matcher_take(m[0], '[')) depth++;
  assert_in_range(depth, 90, 110); // no deeper
  pn_matcher_free(m[0]);
  m[0] = pn_matcher_new(g, NULL);
  depth -= 5;
  for (int k = 0; k < depth; k++)
    for (int i = 0; i < 4; i++) assert_true(pn_matcher_take(m[i], '['));
  for (int k = 0; k < 3000; k++) // texts of ever new lengths are ever new names
    for (int i = 0; i < 4; i++) {
      char text[24];
      snprintf(text, sizeof text, "{\"k%d\": 1}, ", k);
      for (const char *p = text; *p; p++) assert_true(pn_matcher_take(m[i], (uint8_t)*p));
    }
  for (int i = 0; i < 4; i++) assert_true(pn_matcher_take(m[i], '1'));
  for (int k = 0; k < depth; k++)
    for (int i = 0; i < 4; i++) assert_true(pn_matcher_take(m[i], ']'));
  for (int i = 0; i < 4; i++) {
    assert_true(pn_matcher_over(m[i]));
    pn_matcher_free(m[i]);
  }
  pn_guide_unref(g);
  pn_json_free(schema);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_auto),           cmocka_unit_test(test_choices),
      cmocka_unit_test(test_control_tokens), cmocka_unit_test(test_bare),
      cmocka_unit_test(test_schema),         cmocka_unit_test(test_repeated_names),
      cmocka_unit_test(test_scouts),         cmocka_unit_test(test_dead_ends),
      cmocka_unit_test(test_thinking),       cmocka_unit_test(test_budget),
      cmocka_unit_test(test_forced),         cmocka_unit_test(test_rungs),
      cmocka_unit_test(test_impossible),     cmocka_unit_test(test_much)};
  return cmocka_run_group_tests_name("guide", tests, set_up, tear_down);
}
