// Answers taken apart: the same whatever way they are cut, and whether marks are control tokens or text.
#include "../unit.h"
#include "play_dialect.h"

#include <stdio.h>
#include <string.h>

typedef struct transcript {
  const char *dialect;
  int marks; // of thinking, + THINKS when it begins within; -1: none
  const char *answer, *want;
} transcript;

enum { NONE = -1, THINK, BRACKETS, CHANNEL, THINKS = 10 };

#define CALL(name, arguments)                                                                                \
  "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " arguments "}\n</tool_call>"
#define ITEM(name, arguments) "{\"name\": \"" name "\", \"arguments\": " arguments "}"
#define LLAMA(name, arguments) "{\"name\": \"" name "\", \"parameters\": " arguments "}"

#define XML(name, parameters) "<tool_call>\n<function=" name ">\n" parameters "</function>\n</tool_call>"

static const transcript transcripts[] = {
    {"hermes", NONE, "", ""},
    {"hermes", NONE, "Just text.\n", "'Just text.\n'"},
    {"hermes", NONE, " \n ", "' \n '"},
    {"hermes", NONE, CALL("f", "{\"a\": 1}"), "f{\"a\":1}!"},
    {"hermes", NONE, "\n\n" CALL("f", "{\"a\": 1}"), "f{\"a\":1}!"},
    {"hermes", NONE, "I look. \n" CALL("f", "{}") "\n" CALL("g", "{\"x\": \"y\"}") "\n",
     "'I look.'f{}!g{\"x\":\"y\"}!"},
    {"hermes", NONE, CALL("f", "{}") "\n\nDone.\n", "f{}!'\n\nDone.\n'"},
    {"hermes", NONE, CALL("f", "{}") " " CALL("g", "{}") "x " CALL("g", "{}"), "f{}!g{}!'x'g{}!"},
    // What is no call is text.
    {"hermes", NONE, "a < b << c\n <tool_ <tool_x>", "'a < b << c\n <tool_ <tool_x>'"},
    {"hermes", NONE, CALL("f", "{}") "\n<b>", "f{}!'\n<b>'"},
    // The end of the answer comes too early.
    {"hermes", NONE, "<tool_call>\n{\"name\": \"f\", \"arguments\": ", "f{}?"},
    {"hermes", NONE, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": tr", "f{\"a\":null}?"},
    {"hermes", NONE, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"x\\", "f{\"a\":\"x\"}?"},
    {"hermes", NONE, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [1, 2", "f{\"a\":[1]}?"},
    {"hermes", NONE, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1, \"b", "f{\"a\":1}?"},
    {"hermes", NONE, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}", "f{\"a\":1}!"},
    {"hermes", NONE, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}", "f{}!"},
    {"hermes", NONE, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n", "f{}!"},
    // Arguments that are none.
    {"hermes", NONE, CALL("f", "[1]") "x", "f{}?'[1]}\n</tool_call>x'"},
    {"hermes", NONE, CALL("f", "{\"a\": 1 2}") "x", "f{\"a\":1}?'2}}\n</tool_call>x'"},
    {"hermes", NONE, "<tool_call>\n" ITEM("f", "{}") ", x", "f{}!', x'"},
    {"hermes", NONE, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}, \"id\": 1}", "f{}!', \"id\": 1}'"},
    // Thinking.
    {"hermes", THINK, "<think>\nHm. \n</think>\n\nYes.", "(Hm.)'Yes.'"},
    {"hermes", THINK, " \n<think>\nHm.\n\n</think>\n\n" CALL("f", "{}"), "(Hm.)f{}!"},
    {"hermes", THINK, "<think>\n\n</think>\n\nYes.", "'Yes.'"},
    {"hermes", THINK, "<think>\n\n</think>", ""},
    {"hermes", THINK, "<think>a < b </thin c </think>d", "(a < b </thin c)'d'"},
    {"hermes", THINK, "<think>Hm \n", "(Hm \n)"},
    {"hermes", THINK, "<think>" CALL("f", "{}") "</think>", "(" CALL("f", "{}") ")"},
    {"hermes", THINK + THINKS, "\nHm.\n</think>\n\nYes.\n", "(Hm.)'Yes.\n'"},
    {"hermes", THINK + THINKS, "Hm.", "(Hm.)"},
    {"hermes", NONE + THINKS, "Hm.", "'Hm.'"},
    {"hermes", BRACKETS, "[THINK]a[b[/THINK]c", "(a[b)'c'"},
    {"gemma4", CHANNEL, "<|channel>thought\nHm.<channel|>Yes.", "(Hm.)'Yes.'"},
    {"gemma4", CHANNEL, "<|channel>thought\n<channel|><|tool_call>call:f{}<tool_call|>", "f{}!"},
    // Other families.
    {"hermes_inline", NONE,
     "a<tool_call>" ITEM("f", "{}") "</tool_call>\n<tool_call>" ITEM("g", "{}") "</tool_call>",
     "'a'f{}!g{}!"},
    {"llama3", NONE, LLAMA("f", "{\"a\": {\"b\": []}}"), "f{\"a\":{\"b\":[]}}!"},
    {"llama3", NONE, "\n" LLAMA("f", "{}") "; " LLAMA("g", "{}") "\n", "f{}!g{}!"},
    {"llama3", NONE, "<|python_tag|>" LLAMA("f", "{}"), "f{}!"},
    {"llama3", NONE, "a " LLAMA("f", "{}"), "'a " LLAMA("f", "{}") "'"},
    {"llama3", NONE, LLAMA("h", "{}"), "'" LLAMA("h", "{}") "'"},
    {"llama3", NONE, "{\"name\": \"x\"}", "'{\"name\": \"x\"}'"},
    {"llama3", NONE, LLAMA("f", "{}") "; " LLAMA("h", "{}"), "f{}!'; " LLAMA("h", "{}") "'"},
    {"llama3", NONE, LLAMA("f", "{}") "; {\"na", "f{}!"}, // a header that is cut off
    {"hermes", NONE, "a <tool_ca", "'a <tool_ca'"},
    {"hermes", NONE, "a\n<tool_call>\n{\"name\": \"", "'a'"},
    {"hermes", NONE, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool", "f{}!"},
    {"mistral", NONE, "[TOOL_CALLS][" ITEM("f", "{}") ", " ITEM("g", "{}") "]", "f{}!g{}!"},
    {"mistral", NONE,
     "[TOOL_CALLS][" ITEM("f", "{}") ", "
                                     "{\"name\": \"g\", \"arguments\": {\"a\": \"",
     "f{}!g{\"a\":\"\"}?"},
    {"mistral_spaced", NONE, "[TOOL_CALLS] [" ITEM("f", "{}") "]", "f{}!"},
    {"mistral_spaced", NONE,
     "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}, \"id\": \"Ab3_-6789\"}, {\"name\": \"g\", "
     "\"arguments\": {}, \"id\": \"x\"}]",
     "f{}!g{}!"},
    {"mistral", NONE, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}, \"id\": \"a b\"}]",
     "f{}!', \"id\": \"a b\"}]'"},
    {"mistral", NONE, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}, \"id\": \"a", "f{}!"},
    {"mistral", NONE, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}, \"id\": \"a\"", "f{}!"},
    {"mistral_args", NONE, "Hi[TOOL_CALLS]f[ARGS]{\"a\": 1}[TOOL_CALLS]g[ARGS]{}", "'Hi'f{\"a\":1}!g{}!"},
    {"mistral_args", BRACKETS, "[THINK]Hm[/THINK][TOOL_CALLS]f[ARGS]{}", "(Hm)f{}!"},
    {"phi4", NONE, "<|tool_call|>[" ITEM("f", "{}") ", " ITEM("g", "{}") "]<|/tool_call|>", "f{}!g{}!"},
    {"functools", NONE, "functions: functools[" ITEM("f", "{}") "]", "'functions:'f{}!"},
    {"granite", NONE, "<|tool_call|>[" ITEM("f", "{}") ", " ITEM("g", "{}") "]", "f{}!g{}!"},
    {"granite_text", NONE, "<tool_call>[" ITEM("f", "{}") "]", "f{}!"},
    {"smollm3_python", THINK, "<think>\nHm\n</think>\n<code>\nf(a=\"x\", b=True)\ng()\n</code>",
     "(Hm)f{\"a\":\"x\",\"b\":true}!g{}!"},
    {"smollm3_python", NONE, "<code>\nprint(1)\n</code>", NULL},
    {"gemma3", NONE, "Let me.\n```tool_code\nf(a={\"k\": [None, 'it\\'s']}, b = 2)\n```",
     "'Let me.'f{\"a\":{\"k\":[null,\"it's\"]},\"b\":2}!"},
    {"gemma3", NONE, "```tool_code\nf(a=1", "f{\"a\":null}?"},
    {"gemma3", NONE, "```tool_code\nf(a=1,)\n```", "f{\"a\":1}?')\n```'"},
    {"gemma3", NONE, "```python\nf(a=1)\n```", "'```python\nf(a=1)\n```'"},
    {"lfm2", NONE, "I look.<|tool_call_start|>[f(a='x', b=True), g()]<|tool_call_end|>",
     "'I look.'f{\"a\":\"x\",\"b\":true}!g{}!"},
    {"functiongemma", NONE,
     "<start_function_call>call:f{a:<escape>x \"y\"\\<escape>,b:[<escape><escape>,-1.5]}<end_function_call>",
     "f{\"a\":\"x \\\"y\\\"\\\\\",\"b\":[\"\",-1.5]}!"},
    {"functiongemma", NONE,
     "<start_function_call>call:f{}<end_function_call><start_function_call>call:g{n:3}<end_function_call>",
     "f{}!g{\"n\":3}!"},
    {"gemma4", NONE, "a <|tool_call>call:f{a:<|\"|>x<b><|\"|>,c:{d:true}}<tool_call|>",
     "'a'f{\"a\":\"x<b>\",\"c\":{\"d\":true}}!"},
    // Parameters.
    {"qwen_xml", THINK + THINKS,
     "Hm.\n</think>\n\nI look.\n\n" XML("f", "<parameter=s>\nx <tool_call> y\n</parameter>\n") "\n" XML("g",
                                                                                                        ""),
     "(Hm.)'I look.'f{\"s\":\"x <tool_call> y\"}!g{}!"},
    {"qwen_xml", NONE, "a <function=f>\n</function>", "'a <function=f>\n</function>'"},
    {"qwen_xml", NONE, XML("h", ""), "'" XML("h", "") "'"},
    {"qwen_xml", NONE, XML("f", "") " so", "f{}!' so'"},
    {"qwen_xml", NONE, "<tool_call>\n<function=f>\n<parameter=s>\nx", "f{\"s\":\"x\"}?"},
    {"qwen_xml", NONE, "<tool_call>\n<function=f>\n<parameter=s>\nx\n</param", "f{\"s\":\"x\"}?"},
    {"qwen_xml", NONE, "<tool_call>\n<function=f>\n<parameter=s", "f{}?"},
    {"qwen_xml", NONE, "<tool_call>\n<function=f>\n<parameter=s>\n", "f{\"s\":null}?"},
    {"qwen_xml", NONE, "<tool_call>\n<function=f>\n<parameter=j>\n[1, 2", "f{\"j\":[1]}?"},
    {"qwen_xml", NONE, "<tool_call>\n<function=f>\n", "f{}?"},
    {"qwen_xml", NONE, "<tool_call>\n<function=f>\n</function>", "f{}!"},
    {"glm", NONE,
     "a<tool_call>f</tool_call><tool_call>g<arg_key>s</arg_key><arg_value>x</arg_value></tool_call>",
     "'a'f{}!g{\"s\":\"x\"}!"},
    {"glm", NONE, "<tool_call>h</tool_call>", NULL},
    {"glm", NONE, "<tool_call>f</tool_call>x", "f{}!'x'"},
    {"glm_lines", NONE,
     "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>x</arg_value>\n</tool_call>\n<tool_call>g\n</tool_call>",
     "f{\"s\":\"x\"}!g{}!"},
    {"minimax", NONE,
     "<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"s\">x</parameter>\n</invoke>\n<invoke "
     "name=\"g\">\n</invoke>\n</minimax:tool_call>",
     "f{\"s\":\"x\"}!g{}!"},
};

static void make(pn_tongue *t, const transcript *x, const pn_tokenizer *k, pn_buf *raw) {
  int marks = x->marks >= THINKS - 1 ? x->marks - THINKS : x->marks;
  assert_true(pn_tongue_init(t, pn_dialect_find(x->dialect), marks < 0 ? NULL : &pn_thinking[marks], k));
  raw_of(k, pn_str_of(x->answer), raw);
}

static bool is_as(const pn_tongue *t, bool thinks, pn_str raw, size_t a, size_t b, const char *want) {
  played p = {0};
  bool ok = play_raw(t, thinks, raw, a, b, &p) && (!want || pn_str_is(pn_buf_view(&p.events), want));
  if (!ok)
    fprintf(stderr, "%s: cut at %zu and %zu of %.*s\n  got  %s\n  want %s\n", t->dialect->name, a, b,
            (int)raw.n, raw.p, pn_buf_cstr(&p.events), want ? want : "");
  played_fini(&p);
  return ok;
}

static void check(const transcript *x, const pn_tokenizer *k) {
  pn_tongue t;
  pn_buf raw = {0};
  bool thinks = x->marks >= THINKS - 1;
  make(&t, x, k, &raw);
  pn_str s = pn_buf_view(&raw);
  played whole = {0};
  assert_true(play_raw(&t, thinks, s, s.n, s.n, &whole));
  // Marks that end up in text are text only where they are no control tokens.
  const char *want = k == &no_controls && x->want ? x->want : pn_buf_cstr(&whole.events);
  for (size_t a = 0; a <= s.n; a++)
    for (size_t b = a; b <= s.n; b++) assert_true(is_as(&t, thinks, s, a, b, want));
  // Cut off anywhere, arguments are an object.
  for (size_t n = 0; n < s.n; n++) assert_true(is_as(&t, thinks, (pn_str){s.p, n}, n / 2, n, NULL));
  played_fini(&whole);
  pn_buf_fini(&raw);
  pn_tongue_fini(&t);
}

static void answers_are_taken_apart(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof transcripts / sizeof *transcripts; i++) {
    check(&transcripts[i], &no_controls);
    check(&transcripts[i], &all_controls);
  }
}

// Raw text, of which marks are control tokens.
static const transcript controls[] = {
    {"hermes", THINK,
     "\xFF<think>\xFE\nHm\n\xFF</think>\xFE\n\n\xFF<tool_call>\xFE\n" ITEM("f",
                                                                           "{}") "\n\xFF</tool_call>\xFE",
     "(Hm)f{}!"},
    // A spelled mark is none, and a control token is never text.
    {"hermes", THINK, "<think>a<tool_call>\n" ITEM("f", "{}"), "'<think>a<tool_call>\n" ITEM("f", "{}") "'"},
    {"hermes", NONE,
     "a\xFF<|im_end|>\xFE"
     "b\xFF</tool_call>\xFE"
     "c \xFF[INST]\xFE\xFF<tool_call>\xFE\n" ITEM("f", "{}"),
     "'abc'f{}!"},
    {"hermes", NONE, "\xFF<tool_call>\xFE\n" ITEM("h", "{}"), "'\n" ITEM("h", "{}") "'"},
    {"hermes", NONE, "\xFF<tool_call>\xFE\xFF<tool_call>\xFE\n" ITEM("f", "{}"), "f{}!"},
    {"hermes", NONE,
     "a\xFE"
     "b\xFF<never closed",
     "'ab'"},
    {"hermes", NONE,
     "\xFF<tool_call>\xFE\n{\"name\": \"f\", \"arguments\": {\"a\": \"x\xFF<|im_end|>\xFEy\"\xFF[INST]\xFE}}",
     "f{\"a\":\"xy\"}!"},
    {"hermes", NONE,
     "\xFF<tool_call>\xFE\n{\"name\": \"f\", \"arguments\": {\"a\": \"x\n\xFF</tool_call>\xFE"
     "b",
     "f{\"a\":\"x\\n\"}?'b'"},
    {"hermes", NONE, "\xFF<tool_call>\xFE\n{\"na\xFF<tool_call>\xFEme\": \"f\"", "'\n{\"name\": \"f\"'"},
    {"gemma4", NONE,
     "\xFF<|tool_call>\xFE"
     "call:f{a:\xFF<|\"|>\xFEx<|\"|>\xFF<|\"|>\xFE}\xFF<tool_call|>\xFE",
     "f{\"a\":\"x<|\\\"|>\"}!"},
    {"gemma4", NONE,
     "\xFF<|tool_call>\xFE"
     "call:f{a:\xFF<|\"|>\xFEx\xFF<tool_call|>\xFE"
     "b",
     "f{\"a\":\"x\"}?'b'"},
};

static void control_tokens_are_no_text(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof controls / sizeof *controls; i++) {
    pn_tongue t;
    pn_buf raw = {0};
    make(&t, &controls[i], &all_controls, &raw);
    pn_str s = pn_str_of(controls[i].answer);
    for (size_t a = 0; a <= s.n; a++)
      for (size_t b = a; b <= s.n; b++) assert_true(is_as(&t, false, s, a, b, controls[i].want));
    pn_buf_fini(&raw);
    pn_tongue_fini(&t);
  }
}

// How much text the sink has been told of after each piece.
static void text_comes_early(void **state) {
  (void)state;
  static const struct {
    const char *piece;
    size_t n;
  } pieces[] = {{"Hello", 5}, {" ", 5},  {"you", 9}, {"<tool_call>\n{\"na", 9},
                {"mes", 28},  {"<", 28}, {"b", 30}};
  pn_tongue t;
  played p = {0};
  pn_dialect_sink sink = play_sink(&p);
  assert_true(pn_tongue_init(&t, &pn_dialects[0], NULL, NULL));
  pn_dialect_reader *r =
      pn_dialect_reader_new(&(pn_dialect_reading){.tongue = &t, .is_tool = is_known}, &sink);
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    assert_true(pn_dialect_read(r, pn_str_of(pieces[i].piece)));
    assert_int_equal(p.events.n, pieces[i].n + 2);
  }
  pn_dialect_reader_free(r);
  played_fini(&p);
  // Without tools nothing is held, and no answer is a call.
  r = pn_dialect_reader_new(&(pn_dialect_reading){.tongue = &t}, &sink);
  assert_true(pn_dialect_read(r, PN_STR("a\n<tool_call>\n" ITEM("f", "{"))));
  assert_int_equal(p.events.n, 2 + strlen("a\n<tool_call>\n" ITEM("f", "{")));
  pn_dialect_reader_free(r);
  played_fini(&p);
  pn_tongue_fini(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(answers_are_taken_apart),
      cmocka_unit_test(control_tokens_are_no_text),
      cmocka_unit_test(text_comes_early),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
