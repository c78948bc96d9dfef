// Thoughts in answers, and what becomes of them when they come back.
#include "api/answer_shapes.h"
#include "api/thinking.h"
#include "base/json.h"
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK(thinking, more)                                                                                  \
  "{\"model\":\"m\",\"max_tokens\":3000," thinking                                                           \
  "\"messages\":[{\"role\":\"user\",\"content\":\"U\"}]" more "}"
#define ENABLED "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024},"
#define OMITTED "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024,\"display\":\"omitted\"},"
#define SAID "<think>\nHm, so.\n</think>\n\nHello."

// A model whose template knows thinking by its marks; `switched`: it has a switch for it.
static void play_thinker(play *p, bool switched) {
  const pn_api_options o = {.engine = &p->engine,
                            .tokenizer = &p->tokenizer,
                            .chat_template = &p->tmpl,
                            .template_text =
                                switched ? PN_STR("{% if enable_thinking %}</think>") : PN_STR("</think>"),
                            .model_name = "thinker"};
  play_init_options(p, &o);
  p->engine.n_ctx = 10000;
}

static pn_json *answer_to(play *p, const char *path, const char *body, const char *said) {
  pn_reply *r = play_call(p, "POST", path, body);
  fake_emit_text(&p->engine, said);
  fake_emit_done(&p->engine, PN_STOP_END_TURN, -1, 9);
  char *text = play_body(r);
  pn_json *v = pn_json_parse(pn_str_of(text), NULL);
  if (!v || pn_reply_status(r) != 200) fail_msg("%s", text);
  free(text);
  pn_reply_free(r, false);
  return v;
}

static pn_str member(const pn_json *v, const char *key) { return pn_json_str(pn_json_get(v, key)); }

static void a_thought_is_a_block(void **state) {
  (void)state;
  play p;
  play_thinker(&p, true);
  pn_json *m = answer_to(&p, "/v1/messages", ASK(ENABLED, ""), SAID);
  assert_true(shape_check(&answer_message, m, NULL, NULL));
  const pn_json *thought = pn_json_at(pn_json_get(m, "content"), 0),
                *text = pn_json_at(pn_json_get(m, "content"), 1);
  assert_true(pn_str_is(member(thought, "thinking"), "Hm, so."));
  assert_true(thinking_signed(p.api, member(thought, "thinking"), member(thought, "signature")));
  assert_false(thinking_signed(p.api, PN_STR("Hm, no."), member(thought, "signature")));
  assert_true(pn_str_is(member(text, "text"), "Hello."));
  pn_json_free(m);
  m = answer_to(&p, "/v1/messages", ASK(OMITTED, ""), SAID);
  thought = pn_json_at(pn_json_get(m, "content"), 0);
  assert_int_equal(member(thought, "thinking").n, 0);
  assert_true(thinking_signed(p.api, PN_STR("Hm, so."), member(thought, "signature")));
  pn_json_free(m);
  m = answer_to(&p, "/v1/chat/completions",
                "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"U\"}]}", "Hello.");
  assert_true(shape_check(&answer_chat, m, NULL, NULL));
  pn_json_free(m);
  play_fini(&p);
}

static void a_stream_of_thoughts(void **state) {
  (void)state;
  play p;
  play_thinker(&p, true);
  pn_reply *r = play_call(&p, "POST", "/v1/messages", ASK(ENABLED, ",\"stream\":true"));
  pn_buf got = {0};
  for (const char *at = SAID; *at; at++) {
    char one[2] = {*at, 0};
    fake_emit_text(&p.engine, one);
    play_pull(r, &got);
  }
  fake_emit_done(&p.engine, PN_STOP_END_TURN, -1, 9);
  assert_true(play_pull(r, &got));
  const char *s = pn_buf_cstr(&got), *thinking = strstr(s, "thinking_delta"),
             *signature = strstr(s, "signature_delta"), *text = strstr(s, "text_delta");
  assert_true(thinking && signature && text && thinking < signature && signature < text);
  assert_non_null(strstr(s, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"));
  pn_buf_fini(&got);
  pn_reply_free(r, false);
  play_fini(&p);
}

// Who must not think and has no switch finds an empty thought in front of the answer.
static void an_empty_thought_switches_it_off(void **state) {
  (void)state;
  play p;
  for (int switched = 0; switched < 2; switched++) {
    play_thinker(&p, switched);
    pn_json_free(answer_to(&p, "/v1/messages", ASK("", ""), "Hello."));
    assert_true(pn_str_ends(pn_buf_view(&p.seen),
                            switched ? PN_STR("[assistant]") : PN_STR("<think>\n\n</think>\n\n")));
    pn_buf_clear(&p.seen);
    pn_json_free(answer_to(&p, "/v1/messages", ASK(ENABLED, ""), SAID));
    assert_true(pn_str_ends(pn_buf_view(&p.seen), PN_STR("[assistant]")));
    play_fini(&p);
  }
}

static void forced_tools_and_thinking_exclude_each_other(void **state) {
  (void)state;
  play p;
  play_thinker(&p, true);
  pn_reply *r = play_call(&p, "POST", "/v1/messages",
                          ASK(ENABLED, ",\"tools\":[{\"name\":\"t\",\"input_schema\":{\"type\":\"object\"}}],"
                                       "\"tool_choice\":{\"type\":\"any\"}"));
  assert_int_equal(pn_reply_status(r), 400);
  pn_reply_free(r, false);
  play_fini(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_thought_is_a_block),
                                     cmocka_unit_test(a_stream_of_thoughts),
                                     cmocka_unit_test(an_empty_thought_switches_it_off),
                                     cmocka_unit_test(forced_tools_and_thinking_exclude_each_other)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
