// Arguments of calls become one JSON object, however they are written and wherever they end.
#include "../unit.h"
#include "play_dialect.h"

#include <stdio.h>
#include <string.h>

#define P(name, open, text) "<parameter=" name ">" open text "</parameter>\n"

static const struct {
  const char *dialect, *arguments, *want;
} cases[] = {
    {"mistral_args", "{ \"a\" :\n1 ,\"b\":[ ] }", "{\"a\":1,\"b\":[]}!"},
    {"mistral_args", "{\"\":{},\"a\":[[],[{}],null,true,false]}",
     "{\"\":{},\"a\":[[],[{}],null,true,false]}!"},
    {"mistral_args", "{\"n\":[0,-0,12,-1.50,1e5,1E-5,1.5e+10]}", "{\"n\":[0,-0,12,-1.50,1e5,1E-5,1.5e+10]}!"},
    {"mistral_args", "{\"n\":[9223372036854775807,-9223372036854775808,9223372036854775808]}",
     "{\"n\":[9223372036854775807,-9223372036854775808,9223372036854775808.0]}!"},
    {"mistral_args", "{\"n\":1e999}", "{\"n\":null}?'1e999}'"},
    {"mistral_args", "{\"n\":01}", "{\"n\":null}?'01}'"},
    {"mistral_args", "{\"n\":[1,-]}", "{\"n\":[1]}?'-]}'"},
    {"mistral_args", "{\"n\":1.}", "{\"n\":null}?'1.}'"},
    {"mistral_args", "{\"n\":.5}", "{\"n\":null}?'.5}'"},
    {"mistral_args", "{\"n\":1e}", "{\"n\":null}?'1e}'"},
    {"mistral_args", "{\"n\":00000000000000000000000000000000000000000000000000000000000000000}",
     "{\"n\":null}?'00000000000000000000000000000000000000000000000000000000000000000}'"},
    // Strings: what escapes mean, written as JSON needs it.
    {"mistral_args", "{\"s\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u0000\"}",
     "{\"s\":\"\\\"\\\\/\\u0008\\u000c\\n\\r\\tA\xC3\xA9\\u0000\"}!"},
    {"mistral_args", "{\"s\":\"\\ud83d\\ude00\xF0\x9F\x98\x80\"}",
     "{\"s\":\"\xF0\x9F\x98\x80\xF0\x9F\x98\x80\"}!"},
    {"mistral_args", "{\"s\":\"\\ud83d\"}", "{\"s\":\"\xEF\xBF\xBD\"}!"},
    {"mistral_args", "{\"s\":\"\\ud83dx\\ude00\\ud83d\\u0041\\ud83d\\n\"}",
     "{\"s\":\"\xEF\xBF\xBDx\xEF\xBF\xBD\xEF\xBF\xBD"
     "A\xEF\xBF\xBD\\n\"}!"},
    {"mistral_args", "{\"s\":\"a\nb\tc\x01\x7F\"}", "{\"s\":\"a\\nb\\tc\\u0001\x7F\"}!"},
    {"mistral_args", "{\"s\":\"\\d+\\x \\u12 \\uzz\"}", "{\"s\":\"\\\\d+\\\\x \\\\u12 \\\\uzz\"}!"},
    {"mistral_args", "{\"s\":\"a\x80z\xC3\"}", "{\"s\":\"a\xEF\xBF\xBDz\xEF\xBF\xBD\"}!"},
    // Keys.
    {"mistral_args", "{\"a\\n\\u0062\\u0000\":1}", "{\"a\\nb\xEF\xBF\xBD\":1}!"},
    {"mistral_args", "{\"a\":{\"a\":1},\"b\":{\"a\":2},\"\\u0061\":3}",
     "{\"a\":{\"a\":1},\"b\":{\"a\":2}}?':3}'"},
    {"mistral_args", "{a:1}", "{}?'a:1}'"},
    {"mistral_args", "{'a':1}", "{}?''a':1}'"},
    {"mistral_args", "{\"a\" 1}", "{}?'1}'"},
    // What doesn't fit.
    {"mistral_args", "{,}", "{}?',}'"},
    {"mistral_args", "{\"a\":1,}", "{\"a\":1}?'}'"},
    {"mistral_args", "{\"a\":[1,]}", "{\"a\":[1]}?']}'"},
    {"mistral_args", "{\"a\":}", "{\"a\":null}?'}'"},
    {"mistral_args", "{\"a\":[}", "{\"a\":[]}?'}'"},
    {"mistral_args", "{\"a\":trub}", "{\"a\":null}?'trub}'"},
    {"mistral_args", "\"{}\"", "{}?'\"{}\"'"},
    // Python's way.
    {"gemma3", "", "{}!"},
    {"gemma3", "a=1, b='x\"y', c={'k': (1)}", "{\"a\":1,\"b\":\"x\\\"y\",\"c\":{\"k\":null}}?'(1)})'"},
    {"gemma3", "a = None,b=[True,False, true], c_d=\"\\u0041)\"",
     "{\"a\":null,\"b\":[true,false,true],\"c_d\":\"A)\"}!"},
    {"gemma3", "a=1 a=2", "{\"a\":1}?'a=2)'"},
    {"gemma3", "a=1,a=2", "{\"a\":1}?'=2)'"},
    {"gemma3", "=1", "{}?'=1)'"},
    {"gemma3", "1", "{}?')'"},
    {"gemma3", "a={b=1}", "{\"a\":{}}?'b=1})'"},
    {"gemma3", "a=1}", "{\"a\":1}?'})'"},
    // Gemma's.
    {"functiongemma", "{a:<escape>x<escapy><<escape>,b_c:{d:[<escape>y<escape>]},e:null,f:None}",
     "{\"a\":\"x<escapy><\",\"b_c\":{\"d\":[\"y\"]},\"e\":null,\"f\":null}!"},
    {"functiongemma", "{<escape>a b<escape>:1, \"c\" : \"d\"}", "{\"a b\":1,\"c\":\"d\"}!"},
    {"functiongemma", "{\xC3\xA9:\"\xC3\xA9\"}", "{\"\xC3\xA9\":\"\xC3\xA9\"}!"},
    {"functiongemma", "{a b :1, c : 2}", "{\"a b\":1,\"c\":2}!"},
    {"functiongemma", "{a:x}", "{\"a\":null}?'x}<end_function_call>'"},
    {"functiongemma", "{[:x}", "{}?'[:x}<end_function_call>'"},
    // Parameters: strings as they are, but for one line break on either side.
    {"qwen_xml", "", "{}!"},
    {"qwen_xml", P("s", "\n", "\n"), "{\"s\":\"\"}!"},
    {"qwen_xml", P("s", "", "\n"), "{\"s\":\"\"}!"},
    {"qwen_xml", P("s", "\n", "a\"b\\\n\n"), "{\"s\":\"a\\\"b\\\\\\n\"}!"},
    {"qwen_xml", P("s", "\n", "a < b </param </parameter\n</parameter\n \n"),
     "{\"s\":\"a < b </param </parameter\\n</parameter\\n \"}!"},
    {"qwen_xml", P("s", "\n", "x"), "{\"s\":\"x\"}!"},
    {"qwen_xml", P("s", "\n", "5\n") P("s1", "\n", "null\n") P("s2", "\n", "{\"a\": 1}\n"),
     "{\"s\":\"5\",\"s1\":\"null\",\"s2\":\"{\\\"a\\\": 1}\"}!"},
    {"qwen_xml", P("s", "\n", "\xC3\xA9\xF0\x9F\x98\x80\x01\n"),
     "{\"s\":\"\xC3\xA9\xF0\x9F\x98\x80\\u0001\"}!"},
    // Values that are no strings.
    {"qwen_xml", P("j", "\n", "[1, {\"a\": \"</parameter>\"}]\n") P("j1", "\n", " True"),
     "{\"j\":[1,{\"a\":\"</parameter>\"}],\"j1\":true}!"},
    {"qwen_xml", P("j", "\n", "-1.5e3\n\n") P("j2", "\n", "None\n"), "{\"j\":-1.5e3,\"j2\":null}!"},
    {"qwen_xml", P("j", "\n", "word\n"), "{\"j\":\"word\"}!"},
    {"qwen_xml", P("j", "\n", "[1, x]\n"), "{\"j\":[1]}?'x]\n</parameter>\n</function>'"},
    {"qwen_xml", P("j", "\n", "1 2\n"), "{\"j\":1}?'2\n</parameter>\n</function>'"},
    // Values that can be both.
    {"qwen_xml",
     P("n", "\n", "null\n") P("n1", "\n", "null \n") P("n2", "\n", "nullx\n") P("n3", "\n", "5\n"),
     "{\"n\":null,\"n1\":\"null \",\"n2\":\"nullx\",\"n3\":\"5\"}!"},
    {"qwen_xml", P("a", "\n", "5\n") P("b", "\n", "5 \n") P("c", "\n", "-\n") P("d", "\n", "0x1F\n"),
     "{\"a\":5,\"b\":\"5 \",\"c\":\"-\",\"d\":\"0x1F\"}!"},
    {"qwen_xml", P("a", "\n", "{\"k\": [true]}\n") P("b", "\n", "false\n") P("c", "\n", "False alarm\n"),
     "{\"a\":{\"k\":[true]},\"b\":false,\"c\":\"False alarm\"}!"},
    {"qwen_xml", P("a", "\n", "2024-01-01\n") P("b", "\n", "\"q\"\n"),
     "{\"a\":\"2024-01-01\",\"b\":\"\\\"q\\\"\"}!"},
    // Names.
    {"qwen_xml", P("s", "\n", "a\n") P("s", "\n", "b\n") P("t", "\n", "c\n"), "{\"s\":\"a\",\"t\":\"c\"}!"},
    {"qwen_xml", P("j", "\n", "1\n") P("j", "\n", "[{\"a\": 2}]\n"), "{\"j\":1}!"},
    {"qwen_xml", P("a b\"", "\n", "x\n"), "{\"a b\\\"\":\"x\"}!"},
    {"qwen_xml", "<parameter=s\n>", "{}?'\n></function>'"},
    {"glm", "<arg_key>s</arg_key><arg_value>x\n</arg_value><arg_key>j</arg_key><arg_value>1</arg_value>",
     "{\"s\":\"x\\n\",\"j\":1}!"},
    {"glm_lines", "<arg_key>s</arg_key>\n<arg_value></arg_value>\n", "{\"s\":\"\"}!"},
    {"minimax", "<parameter name=\"s\">x</parameter>\n", "{\"s\":\"x\"}!"},
};

static void play(const pn_tongue *t, pn_str text, size_t a, size_t b, const char *want) {
  played p = {0};
  bool ok = play_raw(t, false, text, a, b, &p);
  if (ok && want && pn_str_is(pn_buf_view(&p.events), want)) want = NULL;
  if (!ok || want)
    fail_msg("%s: cut at %zu and %zu of %.*s: got %s, want %s", t->dialect->name, a, b, (int)text.n, text.p,
             pn_buf_cstr(&p.events), want ? want : "an object");
  played_fini(&p);
}

static void check(const char *dialect, const char *arguments, const char *want) {
  const pn_dialect *d = pn_dialect_find(dialect);
  pn_buf text = {0}, events = {0};
  pn_tongue t;
  assert_true(pn_tongue_init(&t, d, NULL, NULL));
  pn_buf_printf(&text, "%s%s%sf%s%s%s%s", d->open, d->begin, d->head, d->middle, arguments, d->tail, d->end);
  pn_buf_printf(&events, "f%s", want);
  // What is text behind a call is cut off before the dialect's end.
  if (strchr(want, '?') && !strstr(want, d->end)) text.n -= strlen(d->end);
  pn_str s = pn_buf_view(&text);
  for (size_t a = 0; a <= s.n; a++)
    for (size_t b = a; b <= s.n; b++) play(&t, s, a, b, pn_buf_cstr(&events));
  for (size_t n = 0; n <= s.n; n++) play(&t, (pn_str){s.p, n}, n, n, NULL);
  pn_buf_fini(&text);
  pn_buf_fini(&events);
  pn_tongue_fini(&t);
}

static void arguments_become_json(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    check(cases[i].dialect, cases[i].arguments, cases[i].want);
}

// Depth, long keys, many keys: what is too much ends the call.
static void there_are_limits(void **state) {
  (void)state;
  pn_tongue t;
  assert_true(pn_tongue_init(&t, pn_dialect_find("mistral_args"), NULL, NULL));
  for (int kind = 0; kind < 4; kind++) {
    pn_buf text = {0};
    pn_buf_z(&text, "[TOOL_CALLS]f[ARGS]{\"a\":");
    for (int i = 0; kind == 0 && i < 100000; i++) pn_buf_char(&text, '[');
    if (kind == 1) pn_buf_z(&text, "{\"");
    for (int i = 0; kind == 1 && i < 100000; i++) pn_buf_char(&text, 'k');
    for (int i = 0; kind == 2 && i < 100000; i++) pn_buf_printf(&text, "%s\"%d\":1", i ? "," : "{", i);
    for (int i = 0; kind == 3 && i < 100000; i++) pn_buf_char(&text, ' ');
    play(&t, pn_buf_view(&text), 0, text.n / 2, NULL);
    pn_buf_fini(&text);
  }
  pn_tongue_fini(&t);
}

// A long answer in single bytes, of marks that come to nothing and of a long string.
static void time_is_linear(void **state) {
  (void)state;
  pn_tongue t;
  played p = {0};
  pn_dialect_sink sink = play_sink(&p);
  assert_true(pn_tongue_init(&t, &pn_dialects[0], NULL, NULL));
  pn_dialect_reader *r =
      pn_dialect_reader_new(&(pn_dialect_reading){.tongue = &t, .is_tool = is_known}, &sink);
  static const char almost[] = "<tool_call>\n{\"name\": \"<tool_call>\n";
  for (size_t i = 0; i < 1000000; i++)
    assert_true(pn_dialect_read(r, (pn_str){almost + i % (sizeof almost - 1), 1}));
  assert_true(pn_dialect_read(r, PN_STR("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"")));
  for (size_t i = 0; i < 1000000; i++) assert_true(pn_dialect_read(r, PN_STR("x")));
  assert_true(pn_dialect_read_end(r));
  assert_false(p.bad);
  assert_in_range(p.events.n, 2000000, 2000100);
  pn_dialect_reader_free(r);
  played_fini(&p);
  pn_tongue_fini(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(arguments_become_json),
      cmocka_unit_test(there_are_limits),
      cmocka_unit_test(time_is_linear),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
