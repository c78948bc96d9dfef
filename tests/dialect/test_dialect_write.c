// Calls as they are written for models whose templates know no tools; what is written is read again.
#include "../unit.h"
#include "play_dialect.h"

#include <stdio.h>

static const struct {
  const char *dialect, *one, *two; // the second call behind the first
} cases[] = {
    {"hermes",
     "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"x\", \"m\": 3, \"b\": [true, "
     "null]}}\n</tool_call>",
     "\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>"},
    {"hermes_inline",
     "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x\", \"m\": 3, \"b\": [true, null]}}</tool_call>",
     "\n<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>"},
    {"llama3", "{\"name\": \"f\", \"parameters\": {\"a\": \"x\", \"m\": 3, \"b\": [true, null]}}",
     "; {\"name\": \"g\", \"parameters\": {}}"},
    {"mistral",
     "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": \"x\", \"m\": 3, \"b\": [true, null]}}",
     ", {\"name\": \"g\", \"arguments\": {}}"},
    {"mistral_spaced",
     "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": \"x\", \"m\": 3, \"b\": [true, null]}}",
     ", {\"name\": \"g\", \"arguments\": {}}"},
    {"mistral_args", "[TOOL_CALLS]f[ARGS]{\"a\": \"x\", \"m\": 3, \"b\": [true, null]}",
     "[TOOL_CALLS]g[ARGS]{}"},
    {"phi4", "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": \"x\", \"m\": 3, \"b\": [true, null]}}",
     ", {\"name\": \"g\", \"arguments\": {}}"},
    {"functools", "functools[{\"name\": \"f\", \"arguments\": {\"a\": \"x\", \"m\": 3, \"b\": [true, null]}}",
     ", {\"name\": \"g\", \"arguments\": {}}"},
    {"granite",
     "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": \"x\", \"m\": 3, \"b\": [true, null]}}",
     ", {\"name\": \"g\", \"arguments\": {}}"},
    {"granite_text",
     "<tool_call>[{\"name\": \"f\", \"arguments\": {\"a\": \"x\", \"m\": 3, \"b\": [true, null]}}",
     ", {\"name\": \"g\", \"arguments\": {}}"},
    {"smollm3_python", "<code>\nf(a=\"x\", m=3, b=[True, None])", "\ng()"},
    {"gemma3", "```tool_code\nf(a=\"x\", m=3, b=[True, None])", "\ng()"},
    {"lfm2", "<|tool_call_start|>[f(a=\"x\", m=3, b=[True, None])", ", g()"},
    {"functiongemma", "<start_function_call>call:f{a:<escape>x<escape>,m:3,b:[true,null]}<end_function_call>",
     "<start_function_call>call:g{}<end_function_call>"},
    {"gemma4", "<|tool_call>call:f{a:<|\"|>x<|\"|>,m:3,b:[true,null]}<tool_call|>",
     "<|tool_call>call:g{}<tool_call|>"},
    {"qwen_xml",
     "<tool_call>\n<function=f>\n<parameter=a>\nx\n</parameter>\n<parameter=m>\n3\n</parameter>\n"
     "<parameter=b>\n[true, null]\n</parameter>\n</function>\n</tool_call>",
     "\n<tool_call>\n<function=g>\n</function>\n</tool_call>"},
    {"glm",
     "<tool_call>f<arg_key>a</arg_key><arg_value>x</arg_value><arg_key>m</arg_key><arg_value>3</arg_value>"
     "<arg_key>b</arg_key><arg_value>[true, null]</arg_value></tool_call>",
     "<tool_call>g</tool_call>"},
    {"glm_lines",
     "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>\n<arg_key>m</arg_key>\n<arg_value>3"
     "</arg_value>\n<arg_key>b</arg_key>\n<arg_value>[true, null]</arg_value>\n</tool_call>",
     "\n<tool_call>g\n</tool_call>"},
    {"minimax",
     "<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"a\">x</parameter>\n"
     "<parameter name=\"m\">3</parameter>\n<parameter name=\"b\">[true, null]</parameter>\n</invoke>",
     "\n<invoke name=\"g\">\n</invoke>"},
};

static void check_read(const pn_dialect *d, const pn_tokenizer *k, pn_str text, const char *want) {
  pn_tongue t;
  pn_buf raw = {0};
  played p = {0};
  assert_true(pn_tongue_init(&t, d, NULL, k));
  raw_of(k, text, &raw);
  assert_true(play_raw(&t, false, pn_buf_view(&raw), 0, 0, &p));
  assert_string_equal(pn_buf_cstr(&p.events), want);
  played_fini(&p);
  pn_buf_fini(&raw);
  pn_tongue_fini(&t);
}

static void calls_are_written_and_read(void **state) {
  (void)state;
  pn_json *arguments = pn_json_parse(PN_STR("{\"a\":\"x\",\"m\":3,\"b\":[true,null]}"), NULL);
  size_t n = 0;
  while (pn_dialects[n].name) n++;
  assert_int_equal(n, sizeof cases / sizeof *cases);
  for (size_t i = 0; i < n; i++) {
    const pn_dialect *d = pn_dialect_find(cases[i].dialect);
    assert_ptr_equal(d, &pn_dialects[i]);
    pn_buf out = {0}, want = {0};
    pn_dialect_write_call(&out, d, PN_STR("f"), arguments, false);
    pn_buf_z(&want, cases[i].one);
    if (d->between) pn_buf_z(&want, d->end);
    assert_string_equal(pn_buf_cstr(&out), pn_buf_cstr(&want));
    pn_dialect_write_call(&out, d, PN_STR("g"), NULL, true);
    if (d->between) want.n -= pn_str_of(d->end).n;
    pn_buf_z(&want, cases[i].two);
    if (d->between) pn_buf_z(&want, d->end);
    assert_string_equal(pn_buf_cstr(&out), pn_buf_cstr(&want));
    check_read(d, &no_controls, pn_buf_view(&out), "f{\"a\":\"x\",\"m\":3,\"b\":[true,null]}!g{}!");
    check_read(d, &all_controls, pn_buf_view(&out), "f{\"a\":\"x\",\"m\":3,\"b\":[true,null]}!g{}!");
    pn_buf_fini(&out);
    pn_buf_fini(&want);
  }
  pn_json_free(arguments);
}

// Whatever keys and strings hold, it is read as it was written. Quotes that are text can't stand in their
// strings.
static void odd_arguments_come_back(void **state) {
  (void)state;
  static const char odd[] = "{\"a b\":{\"\":1},\"a:b\":{\"it's\":[]},\" k\":\"\\\"\\\\\\n\\u0001\",\"a=b\":"
                            "\"</tool_call>\",\"{\":\"\xF0\x9F\x98\x80\",\"m\":[1e+22,0.5,-3]}";
  pn_json *arguments = pn_json_parse(pn_str_of(odd), NULL);
  assert_non_null(arguments);
  for (const pn_dialect *d = pn_dialects; d->name; d++) {
    pn_buf out = {0}, want = {0};
    pn_dialect_write_call(&out, d, PN_STR("f"), arguments, false);
    pn_buf_printf(&want, "f%s!", odd);
    check_read(d, &no_controls, pn_buf_view(&out), pn_buf_cstr(&want));
    pn_buf_fini(&out);
    pn_buf_fini(&want);
  }
  pn_json_free(arguments);
}

static void tools_are_shown(void **state) {
  (void)state;
  static const char head[] =
      "You can use the tools that are listed here, one JSON object a line, with the JSON Schema of "
      "their arguments:\n<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"f\"}}\n"
      "</tools>\nTo use one, write its name and arguments like this:\n";
  static const char *const forms[][2] = {
      {"hermes", "<tool_call>\n{\"name\": \"...\", \"arguments\": {...}}\n</tool_call>"},
      {"gemma3", "```tool_code\n...(...)\n```"},
      {"llama3", "{\"name\": \"...\", \"parameters\": {...}}"},
      {"qwen_xml",
       "<tool_call>\n<function=...>\n<parameter=...>\n...\n</parameter>\n</function>\n</tool_call>"},
  };
  pn_json *list = pn_json_parse(PN_STR("[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"), NULL);
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    pn_buf out = {0}, want = {0};
    pn_dialect_write_tools(&out, pn_dialect_find(forms[i][0]), list);
    pn_buf_printf(&want, "%s%s\nIts result follows in <tool_response> marks.", head, forms[i][1]);
    assert_string_equal(pn_buf_cstr(&out), pn_buf_cstr(&want));
    pn_buf_fini(&out);
    pn_buf_fini(&want);
  }
  pn_json_free(list);
}

static void results_are_marked(void **state) {
  (void)state;
  pn_buf out = {0};
  pn_dialect_write_result(&out, PN_STR("x"), false);
  pn_dialect_write_result(&out, PN_STR("y"), true);
  assert_string_equal(pn_buf_cstr(&out),
                      "<tool_response>\nx\n</tool_response><tool_response>\nError: y\n</tool_response>");
  pn_buf_fini(&out);
  assert_null(pn_dialect_find("no such"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(calls_are_written_and_read),
      cmocka_unit_test(odd_arguments_come_back),
      cmocka_unit_test(tools_are_shown),
      cmocka_unit_test(results_are_marked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
