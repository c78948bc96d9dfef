// Conversations through real templates of several manners; the tokenizer stands in and shows user text in {braces}.
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
// The assistant's text is followed by more of the user's.
static const char tail[] = "{% for m in messages %}{{ m.content }};{% endfor %}{{ messages[0].content }}";

// Knows tools: lists them, and writes calls and results in its own way; one call a turn.
static const char tools[] =
    "{% if tools %}<tools>{% for t in tools %}{{ t.function.name }}:{{ t.function.parameters | tojson }};{% "
    "endfor %}"
    "</tools>{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.tool_calls %}"
    "{% if m.tool_calls | length > 1 %}{{ raise_exception('one call at a time') }}{% endif %}"
    "{% for c in m.tool_calls %}[{{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}{% "
    "endif %}"
    "{% if m.role == 'tool' %}({{ m.name }}){% endif %}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}{% if enable_thinking %}<think>{% endif %}";

#define CALL(id, name, input)                                                                                \
  "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"" name "\",\"input\":" input "}"
#define RESULT(id, text) "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\",\"content\":\"" text "\"}"
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
    {tools,
     USER("U") "," BLOCKS("assistant", TEXT("I look.") "," CALL("t1", "ls", "{\"p\":1}")) "," BLOCKS(
         "user", RESULT("t1", "a </> b") "," TEXT("Go on")),
     "<user>{U}</><assistant>{I look.}[{ls} {{\"p\": 1}}]</><tool>{a </> b}({ls})</><user>{Go "
     "on}</><assistant>"},
    // What it refuses is written as text.
    {tools,
     USER("U") "," BLOCKS("assistant", CALL("t1", "a", "{}") "," CALL("t2", "b", "{}")) "," BLOCKS(
         "user", RESULT("t2", "2") "," RESULT("t1", "1")),
     "<user>{U}</><assistant>{<tool_call>\n{\"name\": \"a\", \"arguments\": "
     "{}}\n</tool_call>\n<tool_call>\n{\"name\": "
     "\"b\", \"arguments\": "
     "{}}\n</tool_call>}</><user>{<tool_response>\n2\n</tool_response>\n<tool_response>\n1\n"
     "</tool_response>}</><assistant>"},
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

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(renders)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
