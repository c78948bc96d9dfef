// Conversations through real templates of several manners; the tokenizer stands in and shows user text in
// {braces}.
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Turns between marks, any roles.
static const char marks[] = "{%- for m in messages %}\n"
                            "{{ '<' + m.role + '>' + m.content + '</>' }}\n"
                            "{%- endfor %}\n"
                            "{%- if add_generation_prompt %}{{ '<assistant>' }}{% endif %}";
// White space around content is dropped; the system text goes into the first user turn; turns must alternate.
static const char strict[] =
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set s = messages[0]['content'] | trim + "
    "'\\n\\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set s = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m['role'] == 'user' %}{{ '[I] ' + (s if loop.first else '') + m['content'].strip() + ' [/I]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] | trim + eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}";
// No system messages at all.
static const char modest[] =
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{{ '<' + ('model' if m.role == 'assistant' else m.role) + '>' + m.content | trim + '</>' }}{% endfor %}"
    "{% if add_generation_prompt %}<model>{% endif %}";
// System messages are left out without a word: all, or all but the first.
static const char silent[] = "{% for m in messages %}{% if m.role in ('user', 'assistant') %}<{{ m.role "
                             "}}>{{ m.content }}</>{% endif %}"
                             "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
static const char first_only[] =
    "{% if messages[0].role == 'system' %}<system>{{ messages[0].content }}</>{% endif %}"
    "{% for m in messages %}{% if m.role in ('user', 'assistant') %}<{{ m.role }}>{{ m.content }}</>{% endif "
    "%}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
// The assistant's text is followed by more of the user's.
static const char tail[] = "{% for m in messages %}{{ m.content }};{% endfor %}{{ messages[0].content }}";

// A call as the dialect hermes has it, in a template and in what it renders.
#define CALLED                                                                                               \
  "<tool_call>\n{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments | tojson "      \
  "}}}\n</tool_call>"
#define WROTE(name, arguments)                                                                               \
  "<tool_call>\n{\"name\": \"{" name "}\", \"arguments\": {" arguments "}}\n</tool_call>"

#define WROTE_NONE(name) "<tool_call>\n{\"name\": \"{" name "}\", \"arguments\": {}}\n</tool_call>"

// Knows tools: lists them, and writes calls and results; one call a turn.
static const char tools[] =
    "{% if tools %}<tools>{% for t in tools %}{{ t.function.name }}:{{ t.function.parameters | tojson }};{% "
    "endfor %}"
    "</tools>{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.tool_calls %}"
    "{% if m.tool_calls | length > 1 %}{{ raise_exception('one call at a time') }}{% endif %}"
    "{% for c in m.tool_calls %}" CALLED "{% endfor %}{% "
    "endif %}"
    "{% if m.role == 'tool' %}({{ m.name }}){% endif %}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}{% if enable_thinking %}<think>{% endif %}";

// Knows tools, several calls at once.
#define MANY                                                                                                 \
  "{% for m in messages %}<{{ m.role }}{% if m.role == 'tool' %} {{ m.name }}{% endif %}>{{ m.content }}"    \
  "{% if m.tool_calls %}{% for c in m.tool_calls %}" CALLED                                                  \
  "{% endfor %}{% endif %}</>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"               \
  "{% if tools %}{% for t in tools %}{{ t.function.name }}{% endfor %}{% endif %}"
static const char many[] = MANY;
static const char modest_tools[] =
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}{% "
    "endfor %}" MANY;

#define CALL(id, name, input)                                                                                \
  "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name "\",\"input\":" input "}"
#define RESULT(id, text) "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\",\"content\":\"" text "\"}"
#define FAILED(id, text)                                                                                     \
  "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\",\"is_error\":true,\"content\":\"" text "\"}"
#define BLOCKS(role, blocks) "{\"role\":\"" role "\",\"content\":[" blocks "]}"
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define USER(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define ASSISTANT(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define SYSTEM(text) "{\"role\":\"system\",\"content\":\"" text "\"}"

static const struct {
  const char *source, *messages;
  const char *want; // the prompt, or the beginning of the error's message
} cases[] = {
    {marks, USER("Hi"), "<user>{Hi}</><assistant>"},
    {marks, SYSTEM("S") "," USER("</><user>"), "<system>{S}</><user>{</><user>}</><assistant>"},
    {marks, USER("U") "," ASSISTANT(" A") "," SYSTEM("T") "," USER("V"),
     "<user>{U}</><assistant>{ A}</><system>{T}</><user>{V}</><assistant>"},
    {marks, USER("U") "," ASSISTANT(" It is"), "<user>{U}</><assistant>{ It is}"},
    {strict, USER("Hi"), "^[I] {Hi} [/I]"},
    {strict, SYSTEM("S") "," USER(" U ") "," ASSISTANT("A") "," USER("V"),
     "^[I] {S}\n\n{U} [/I] {A}$[I] {V} [/I]"},
    {strict, USER("U") "," ASSISTANT("\\nSo"), "^[I] {U} [/I] {So}"},
    {strict, USER("U") "," USER("V") "," SYSTEM("T"), "^[I] {U\nV\nT} [/I]"},
    {strict, SYSTEM("S") "," USER("U") "," SYSTEM("T") "," ASSISTANT("A") "," SYSTEM("W"),
     "^[I] {S}\n\n{U\nT} [/I] {A}$[I] {W} [/I]"},
    {strict, ASSISTANT("A") "," USER("U"), "messages: "},
    {modest, SYSTEM("S") "," USER("U"), "<user>{S\nU}</><model>"},
    {modest, USER("U") "," ASSISTANT("A") "," SYSTEM("T"), "<user>{U}</><model>{A}</><user>{T}</><model>"},
    {silent, SYSTEM("S") "," USER("U") "," ASSISTANT("A") "," SYSTEM("T") "," USER("V"),
     "<user>{S\nU}</><assistant>{A}</><user>{T\nV}</><assistant>"},
    {first_only, SYSTEM("S") "," USER("U") "," ASSISTANT("A") "," SYSTEM("T"),
     "<system>{S}</><user>{U}</><assistant>{A}</><user>{T}</><assistant>"},
    {tools,
     USER("U") "," BLOCKS("assistant", TEXT("I look.") "," CALL("t1", "ls", "{\"p\":1}")) "," BLOCKS(
         "user", RESULT("t1", "a </> b") "," TEXT("Go on")),
     "<user>{U}</><assistant>{I look.}" WROTE("ls", "{\"p\": 1}") "</><tool>{a </> b}({ls})</><user>{Go "
                                                                  "on}</><assistant>"},
    // What it refuses is written as text.
    {tools,
     USER("U") "," BLOCKS("assistant", CALL("t1", "a", "{}") "," CALL("t2", "b", "{}")) "," BLOCKS(
         "user", RESULT("t2", "2") "," RESULT("t1", "1")),
     "<user>{U}</><assistant>{<tool_call>\n{\"name\": \"a\", \"arguments\": "
     "{}}\n</tool_call>\n<tool_call>\n{\"name\": "
     "\"b\", \"arguments\": "
     "{}}\n</tool_call>}</><user>{<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n"
     "</tool_response>}</><assistant>"},
    // Results come in the order of the calls, before whatever else is said there, with their tools' names.
    {many,
     USER("U") "," BLOCKS(
         "assistant", CALL("t1", "a", "{}") "," CALL("t2", "b", "{}") "," CALL(
                          "t3", "c", "{}")) "," BLOCKS("user",
                                                       TEXT("So") "," RESULT("t3", "3") "," RESULT(
                                                           "t1", "1") "," TEXT("Go") "," RESULT("t2", "2")),
     "<user>{U}</><assistant>" WROTE_NONE("a") "" WROTE_NONE("b") "" WROTE_NONE(
         "c") "</><tool {a}>{1}</><tool {b}>{2}</><tool "
              "{c}>{3}</><user>{So\nGo}</><assistant>"},
    // In several messages, with system messages between.
    {many,
     USER("U") "," BLOCKS("assistant", CALL("t1", "a", "{}")) "," BLOCKS(
         "assistant",
         CALL("t2", "b",
              "{}")) "," SYSTEM("S") "," BLOCKS("user",
                                                RESULT("t2", "2")) "," SYSTEM("T") "," BLOCKS("user",
                                                                                              RESULT("t1",
                                                                                                     "1")),
     "<user>{U}</><assistant>" WROTE_NONE("a") "" WROTE_NONE(
         "b") "</><tool {a}>{1}</><tool {b}>{2}</><system>{S\nT}</><assistant>"},
    {many,
     USER("U") "," BLOCKS("assistant", CALL("t1", "a", "{}")) "," SYSTEM("S") "," BLOCKS(
         "assistant",
         CALL("t2", "b", "{}")) "," SYSTEM("T") "," BLOCKS("user", RESULT("t2", "2") "," RESULT("t1", "1")),
     "<user>{U}</><assistant>" WROTE_NONE("a") "</><system>{S}</><assistant>" WROTE_NONE(
         "b") "</><tool {a}>{1}</><tool "
              "{b}>{2}</><system>{T}</><assistant>"},
    {modest_tools,
     USER("U") "," BLOCKS("assistant", CALL("t1", "a", "{}")) "," SYSTEM("S") "," BLOCKS("user",
                                                                                         RESULT("t1", "1")),
     "<user>{U}</><assistant>" WROTE_NONE("a") "</><tool {a}>{1}</><user>{S}</><assistant>"},
    // Nothing is said to be nothing, and an error is an error.
    {many,
     USER("U") "," BLOCKS("assistant",
                          CALL("t1", "a", "{}") "," CALL("t2", "b", "{}") "," CALL("t3", "c", "{}") "," CALL(
                              "t4", "d", "{}")) "," BLOCKS("user",
                                                           RESULT("t1", "") "," FAILED("t2", "") "," FAILED(
                                                               "t3", "no") "," FAILED("t4", "Error: no")),
     "<user>{U}</><assistant>" WROTE_NONE("a") "" WROTE_NONE("b") "" WROTE_NONE("c") "" WROTE_NONE(
         "d") "</><tool {a}>{(no output)}</><tool {b}>{Error: the tool "
              "failed without "
              "a message}</>"
              "<tool {c}>{Error: no}</><tool {d}>{Error: no}</><assistant>"},
    {tail, USER("U") "," ASSISTANT("A"), "messages: this model's chat template cannot continue"},
};

static void renders(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    play p;
    pn_error e = {0};
    pn_template *t = pn_template_open(pn_str_of(cases[i].source), &e);
    assert_non_null(t);
    play_init_with(&p, t);
    p.api->o.template_consts = (pn_template_consts){.bos_token = PN_STR("^"), .eos_token = PN_STR("$")};
    char body[1000];
    snprintf(body, sizeof body, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[%s]}", cases[i].messages);
    pn_reply *r = play_call(&p, "POST", "/v1/messages", body);
    if (p.engine.n_submitted) {
      assert_string_equal(pn_buf_cstr(&p.seen), cases[i].want);
    } else {
      char *text = play_body(r), *message = strstr(text, "\"message\":\"");
      assert_int_equal(pn_reply_status(r), 400);
      assert_non_null(message);
      message[11 + strlen(cases[i].want)] = '\0';
      assert_string_equal(message + 11, cases[i].want);
      free(text);
    }
    pn_reply_free(r, true);
    pn_template_close(t);
    play_fini(&p);
  }
}

// What a turn of calls and results adds to a prompt comes behind all that was there, whatever came in which
// order.
static void prompts_grow(void **state) {
  (void)state;
  static const char *const turns[] = {
      USER("U"),
      "," BLOCKS("assistant", TEXT("I look.") "," CALL("t1", "a", "{}") "," CALL("t2", "b", "{}")) "," SYSTEM(
          "S") "," BLOCKS("user", TEXT("So") "," RESULT("t2", "2") "," FAILED("t1", "")),
      "," SYSTEM("T"),
      "," BLOCKS("assistant", CALL("t3", "a", "{}")) "," BLOCKS("user", RESULT("t3", " ")),
      "," BLOCKS("user", TEXT("And")),
      "," ASSISTANT("A") "," USER("V"),
  };
  static const char *const sources[] = {many, modest_tools, marks, tools};
  for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
    play p;
    pn_template *t = pn_template_open(pn_str_of(sources[i]), NULL);
    play_init_with(&p, t);
    pn_buf messages = {0}, last = {0};
    for (size_t k = 0; k < sizeof turns / sizeof *turns; k++) {
      pn_buf body = {0};
      pn_buf_z(&messages, turns[k]);
      pn_buf_printf(&body, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[%s]}", pn_buf_cstr(&messages));
      pn_reply_free(play_call(&p, "POST", "/v1/messages", pn_buf_cstr(&body)), true);
      assert_int_equal(p.engine.n_submitted, k + 1);
      // up to the end of the last turn's text, which a later part of the same turn may go on with
      pn_str seen = pn_buf_view(&p.seen);
      if (!pn_str_starts(seen, pn_buf_view(&last)))
        fail_msg("template %zu, turn %zu:\n%s\n%s", i, k, pn_buf_cstr(&last), pn_buf_cstr(&p.seen));
      const char *mark = strstr(pn_buf_cstr(&p.seen) + last.n, "}</><assistant>");
      pn_buf_clear(&last);
      const char *begin = pn_buf_cstr(&p.seen);
      for (const char *next = mark; next; next = strstr(next + 1, "}</><assistant>")) mark = next;
      assert_non_null(mark);
      pn_buf_str(&last, (pn_str){begin, (size_t)(mark - begin)});
      pn_buf_fini(&body);
    }
    pn_buf_fini(&messages);
    pn_buf_fini(&last);
    pn_template_close(t);
    play_fini(&p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(renders), cmocka_unit_test(prompts_grow)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
