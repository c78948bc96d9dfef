// What is found out about a chat template when a model is loaded, and what requests may tell it.
#include "api/speech.h"
#include "base/json.h"
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EACH(call)                                                                                           \
  "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}"        \
  "{% for c in m.tool_calls or [] %}{% set c = c.function %}" call                                           \
  "{% endfor %}</>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
#define PARAMETERS(one) "{% for k, v in c.arguments | items %}" one "{% endfor %}"
// Values that are no strings as JSON, or as Python prints them.
#define AS_JSON "{{ v if v is string else v | tojson }}"
#define AS_TEXT "{{ v | tojson if v is mapping or (v is sequence and v is not string) else v | string }}"

static const char qwen[] = EACH("{{ '<tool_call>\\n<function=' + c.name + '>\\n' }}" PARAMETERS(
    "{{ '<parameter=' + k + '>\\n' }}" AS_TEXT
    "{{ '\\n</parameter>\\n' }}") "{{ '</function>\\n</tool_call>' }}");
static const char glm[] = EACH("<tool_call>{{ c.name }}" PARAMETERS(
    "<arg_key>{{ k }}</arg_key><arg_value>" AS_JSON "</arg_value>") "</tool_call>");
static const char glm_lines[] = EACH("{{ '<tool_call>' + c.name + '\\n' }}" PARAMETERS(
    "{{ '<arg_key>' + k + '</arg_key>\\n' }}<arg_value>" AS_JSON "{{ '</arg_value>\\n' }}") "</tool_call>");
static const char minimax[] =
    EACH("{{ '<minimax:tool_call>\\n<invoke name=\"' + c.name + '\">\\n' }}" PARAMETERS(
        "<parameter name=\"{{ k }}\">" AS_JSON
        "{{ '</parameter>\\n' }}") "{{ '</invoke>\\n</minimax:tool_call>' }}");
static const char lfm2[] =
    EACH("<|tool_call_start|>[{{ c.name }}({% for k, v in c.arguments | items %}{{ ', ' if not loop.first "
         "}}{{ k }}="
         "{% if v is string %}'{{ v }}'{% else %}{{ v }}{% endif %}{% endfor %})]<|tool_call_end|>");
static const char hermes[] = EACH("{{ '<tool_call>\\n{\"name\": \"' + c.name + '\", \"arguments\": ' }}"
                                  "{{ c.arguments | tojson }}{{ '}\\n</tool_call>' }}");
// The marks of a known dialect around what is none of it, and marks that nobody knows.
static const char printed[] = EACH("{{ '<tool_call>\\n{\"name\": \"' + c.name + '\", \"arguments\": ' }}"
                                   "{{ c.arguments }}{{ '}\\n</tool_call>' }}");
static const char strange[] = EACH("[[{{ c.name }} {{ c.arguments | tojson }}]]");
static const char plain[] = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}";

static const struct {
  const char *source, *dialect;
  pn_api_tool_form form;
} forms[] = {
    {qwen, "qwen_xml", PN_API_TOOLS_READ},       {glm, "glm", PN_API_TOOLS_READ},
    {glm_lines, "glm_lines", PN_API_TOOLS_READ}, {minimax, "minimax", PN_API_TOOLS_READ},
    {lfm2, "lfm2", PN_API_TOOLS_READ},           {hermes, "hermes", PN_API_TOOLS_READ},
    {printed, "hermes", PN_API_TOOLS_FOREIGN},   {strange, "hermes", PN_API_TOOLS_FOREIGN},
    {plain, "hermes", PN_API_TOOLS_UNKNOWN},
};

static void forms_are_found(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    pn_error e = {0};
    pn_template *t = pn_template_open(pn_str_of(forms[i].source), &e);
    if (!t) fail_msg("%zu: %s", i, e.msg);
    play p;
    play_init_with(&p, t);
    pn_api_card card = speech_card(&p.api->speech);
    assert_string_equal(card.dialect, forms[i].dialect);
    assert_int_equal(card.tool_form, forms[i].form);
    pn_reply *r = play_call(&p, "GET", "/v1/models/org%2Ftiny", NULL);
    char want[100], *body = play_body(r);
    snprintf(want, sizeof want, "\"tools\":{\"dialect\":\"%s\",\"template\":\"%s\"}", card.dialect,
             pn_api_tool_form_name(card.tool_form));
    assert_non_null(strstr(body, want));
    free(body);
    pn_reply_free(r, false);
    play_fini(&p);
    pn_template_close(t);
  }
}

// --- thinking ----------------------------------------------------------------------------------------------

// Shows its variables, and takes few efforts.
static const char thinker[] =
    "{% if reasoning_effort is defined and reasoning_effort not in ('low', 'medium', 'xhigh') %}"
    "{{ raise_exception('effort ' ~ reasoning_effort) }}{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}"
    "|{{ enable_thinking }}|{{ reasoning_effort }}|{{ reasoning_strength }}|{{ preserve_thinking }}|"
    "{{ clear_thinking }}|{{ style }}|{% if add_generation_prompt %}<think>{% endif %}";
#define VARIABLES "</think>enable_thinking reasoning_effort"

static const struct {
  const char *path, *more, *want; // NULL: 400
} asked[] = {
    {"/v1/messages", "", "|False||||||<think>\n</think>\n\n"},
    {"/v1/messages", ",\"thinking\":{\"type\":\"adaptive\"}", "|True||||||<think>"},
    {"/v1/messages", ",\"output_config\":{\"effort\":\"high\"}", "|False|{xhigh}|{xhigh}||||"},
    {"/v1/messages", ",\"output_config\":{\"effort\":\"max\"}", "|False|{xhigh}|{xhigh}||||"},
    {"/v1/messages", ",\"output_config\":{\"effort\":\"low\"}", "|False|{low}|{low}||||"},
    {"/v1/messages",
     ",\"context_management\":{\"edits\":[{\"type\":\"clear_thinking_20251015\",\"keep\":\"all\"}]}",
     "|False|||True|False||"},
    {"/v1/messages",
     ",\"context_management\":{\"edits\":[{\"type\":\"clear_thinking_20251015\",\"keep\":{\"type\":"
     "\"thinking_turns\",\"value\":1}}]}",
     "|False|||False|True||"},
    {"/v1/chat/completions", "", "|False||||||<think>\n</think>\n\n"},
    {"/v1/chat/completions", ",\"reasoning_effort\":\"minimal\"", "|True|{low}|{low}||||<think>"},
    {"/v1/chat/completions", ",\"reasoning_effort\":\"none\"", "|False||||||<think>\n</think>"},
    {"/v1/chat/completions", ",\"reasoning_effort\":\"odd\"", NULL},
    {"/v1/chat/completions", ",\"chat_template_kwargs\":{\"enable_thinking\":true,\"style\":\"s\"}",
     "|True|||||{s}|<think>"},
    {"/v1/chat/completions",
     ",\"reasoning_effort\":\"low\",\"chat_template_kwargs\":{\"enable_thinking\":false,\"clear_thinking\":"
     "false}",
     "|False|{low}|{low}||False||<think>\n</think>"},
    {"/v1/chat/completions", ",\"chat_template_kwargs\":{\"reasoning_effort\":\"medium\"}",
     "|True|{medium}|{medium}||||<think>"},
    {"/v1/chat/completions", ",\"chat_template_kwargs\":{\"messages\":[],\"bos_token\":\"x\"}",
     "<user>{U}</>|False|"},
    {"/v1/chat/completions", ",\"chat_template_kwargs\":{\"raise_exception\":1,\"reasoning_effort\":\"odd\"}",
     NULL},
};

static void requests_tell_the_template(void **state) {
  (void)state;
  pn_template *t = pn_template_open(pn_str_of(thinker), NULL);
  assert_non_null(t);
  for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
    play p;
    char body[600];
    play_init_options(&p, &(pn_api_options){.engine = &p.engine,
                                            .tokenizer = &p.tokenizer,
                                            .chat_template = t,
                                            .template_text = PN_STR(VARIABLES),
                                            .model_name = "thinker"});
    snprintf(body, sizeof body,
             "{\"model\":\"m\",\"max_tokens\":50,\"messages\":[{\"role\":\"user\",\"content\":\"U\"}]%s}",
             asked[i].more);
    pn_reply *r = play_call(&p, "POST", asked[i].path, body);
    if (!asked[i].want)
      assert_int_equal(pn_reply_status(r), 400);
    else if (!strstr(pn_buf_cstr(&p.seen), asked[i].want))
      fail_msg("%s: %s", asked[i].more, pn_buf_cstr(&p.seen));
    pn_reply_free(r, true);
    play_fini(&p);
  }
  pn_template_close(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(forms_are_found),
                                     cmocka_unit_test(requests_tell_the_template)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
