// Calls in answers: what the engine says in the dialect's way comes out as blocks, and is known when it comes
// back.
#include "api/answer_shapes.h"
#include "base/json.h"
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOOLS                                                                                                \
  "\"tools\":[{\"name\":\"get\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":"      \
  "\"integer\"}}}}]"
#define ASK(more)                                                                                            \
  "{\"model\":\"m\",\"max_tokens\":50," TOOLS ",\"messages\":[{\"role\":\"user\",\"content\":\"U\"}" more "]"
#define CALL_TEXT "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"x\": 1, \"y\": \"z\"}}\n</tool_call>"

static pn_json *whole_answer(play *p, const char *path, const char *body, const char *said,
                             pn_stop_reason stop) {
  pn_reply *r = play_call(p, "POST", path, body);
  fake_emit_text(&p->engine, said);
  fake_emit_done(&p->engine, stop, -1, 9);
  assert_true(pn_reply_ready(r));
  char *text = play_body(r);
  pn_error e = {0};
  pn_json *v = pn_json_parse(pn_str_of(text), &e);
  if (!v || pn_reply_status(r) != 200) fail_msg("%d %s: %s", pn_reply_status(r), text, e.msg);
  free(text);
  pn_reply_free(r, false);
  return v;
}

static pn_str member(const pn_json *v, const char *key) { return pn_json_str(pn_json_get(v, key)); }

static void a_call_is_a_block(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_json *m = whole_answer(&p, "/v1/messages", ASK("") "}", "I look.\n" CALL_TEXT, PN_STOP_END_TURN);
  assert_true(shape_check(&answer_message, m, NULL, NULL));
  const pn_json *content = pn_json_get(m, "content"), *text = pn_json_at(content, 0),
                *call = pn_json_at(content, 1);
  assert_int_equal(pn_json_len(content), 2);
  assert_true(pn_str_is(member(text, "text"), "I look."));
  assert_true(pn_str_is(member(call, "type"), "tool_use"));
  assert_true(pn_str_is(member(call, "name"), "get"));
  assert_true(pn_str_starts(member(call, "id"), PN_STR("toolu_01")));
  assert_int_equal(pn_json_int(pn_json_get(pn_json_get(call, "input"), "x")), 1);
  assert_true(pn_str_is(member(m, "stop_reason"), "tool_use"));
  pn_json_free(m);
  play_fini(&p);
}

// Cut off within the arguments: valid, and not to be run.
static void a_cut_call_is_closed(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_json *m = whole_answer(&p, "/v1/messages", ASK("") "}",
                            "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"x\": 1, \"y\": \"z\\",
                            PN_STOP_MAX_TOKENS);
  const pn_json *input = pn_json_get(pn_json_at(pn_json_get(m, "content"), 0), "input");
  assert_int_equal(pn_json_int(pn_json_get(input, "x")), 1);
  assert_true(pn_str_is(member(input, "y"), "z"));
  assert_true(pn_str_is(member(m, "stop_reason"), "max_tokens"));
  pn_json_free(m);
  m = whole_answer(&p, "/v1/messages", ASK("") "}", "A\n<tool_call>\n{\"na", PN_STOP_MAX_TOKENS);
  assert_int_equal(pn_json_len(pn_json_get(m, "content")), 1);
  assert_true(pn_str_is(member(pn_json_at(pn_json_get(m, "content"), 0), "text"), "A"));
  pn_json_free(m);
  play_fini(&p);
}

static void without_tools_nothing_is_a_call(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_json *m =
      whole_answer(&p, "/v1/messages",
                   "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"U\"}]}",
                   CALL_TEXT, PN_STOP_END_TURN);
  assert_true(pn_str_is(member(pn_json_at(pn_json_get(m, "content"), 0), "text"), CALL_TEXT));
  assert_true(pn_str_is(member(m, "stop_reason"), "end_turn"));
  pn_json_free(m);
  play_fini(&p);
}

static size_t count(const char *text, const char *what) {
  size_t n = 0;
  for (; (text = strstr(text, what)); text += strlen(what)) n++;
  return n;
}

// Arguments grow with the text, and the frames are those of the API.
static void a_stream_grows(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_reply *r = play_call(&p, "POST", "/v1/messages", ASK("") ",\"stream\":true}");
  pn_buf got = {0};
  fake_emit_news(&p.engine, PN_EVENT_QUEUED, 0);
  for (const char *at = "Hm.\n" CALL_TEXT "\n" CALL_TEXT; *at; at++) {
    char one[2] = {*at, 0};
    fake_emit_text(&p.engine, one);
    assert_false(play_pull(r, &got));
  }
  const char *so_far = pn_buf_cstr(&got);
  assert_int_equal(count(so_far, "\"type\":\"content_block_start\""), 3);
  assert_int_equal(count(so_far, "\"type\":\"content_block_stop\""), 3);
  assert_true(count(so_far, "input_json_delta") > 6);
  assert_int_equal(count(so_far, "\"input\":{}}"), 2);
  assert_int_equal(count(so_far, "\"index\":2"), count(so_far, "\"index\":1"));
  assert_null(strstr(so_far, "tool_call"));
  fake_emit_done(&p.engine, PN_STOP_END_TURN, -1, 9);
  assert_true(play_pull(r, &got));
  assert_non_null(strstr(pn_buf_cstr(&got), "\"stop_reason\":\"tool_use\""));
  pn_buf_fini(&got);
  pn_reply_free(r, false);
  play_fini(&p);
}

// A call that comes back with its members in another order and more of them is shown as it was written.
static void calls_come_back_as_they_were(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_json *m = whole_answer(&p, "/v1/messages", ASK("") "}", CALL_TEXT, PN_STOP_END_TURN);
  pn_str id = member(pn_json_at(pn_json_get(m, "content"), 0), "id");
  char body[900];
  snprintf(
      body, sizeof body,
      ASK(",{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"%.*s\",\"name\":\"get\","
          "\"input\":"
          "{\"y\":\"z\",\"x\":1,\"more\":true}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\","
          "\"tool_use_id\":\"%.*s\",\"content\":\"7\"}]}") "}",
      (int)id.n, id.p, (int)id.n, id.p);
  pn_buf_clear(&p.seen);
  pn_reply *r = play_call(&p, "POST", "/v1/messages", body);
  assert_non_null(
      strstr(pn_buf_cstr(&p.seen), "{\"name\": \"get\", \"arguments\": {\"x\": 1, \"y\": \"z\"}}"));
  pn_reply_free(r, true);
  pn_json_free(m);
  play_fini(&p);
}

static void openai_has_tool_calls(void **state) {
  static const char body[] =
      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"U\"}],\"tools\":[{\"type\":"
      "\"function\",\"function\":{\"name\":\"get\"}}]%s}";
  char text[300];
  (void)state;
  play p;
  play_init(&p);
  snprintf(text, sizeof text, body, "");
  pn_json *m = whole_answer(&p, "/v1/chat/completions", text, CALL_TEXT, PN_STOP_END_TURN);
  assert_true(shape_check(&answer_chat, m, NULL, NULL));
  const pn_json *choice = pn_json_at(pn_json_get(m, "choices"), 0), *message = pn_json_get(choice, "message"),
                *call = pn_json_at(pn_json_get(message, "tool_calls"), 0), *f = pn_json_get(call, "function");
  assert_true(pn_str_is(member(choice, "finish_reason"), "tool_calls"));
  assert_true(pn_json_is(pn_json_get(message, "content"), PN_JSON_NULL));
  assert_true(pn_str_is(member(f, "name"), "get"));
  pn_json *arguments = pn_json_parse(member(f, "arguments"), NULL);
  assert_int_equal(pn_json_len(arguments), 2);
  pn_json_free(arguments);
  pn_json_free(m);
  snprintf(text, sizeof text, body, ",\"stream\":true");
  pn_reply *r = play_call(&p, "POST", "/v1/chat/completions", text);
  pn_buf got = {0};
  fake_emit_text(&p.engine, "A\n" CALL_TEXT);
  fake_emit_done(&p.engine, PN_STOP_END_TURN, -1, 9);
  assert_true(play_pull(r, &got));
  const char *s = pn_buf_cstr(&got);
  assert_int_equal(count(s, "\"id\":\"call_"), 1);
  assert_int_equal(count(s, "\"tool_calls\":[{\"index\":0,"), count(s, "\"tool_calls\":["));
  assert_int_equal(count(s, "\"finish_reason\":\"tool_calls\""), 1);
  pn_buf_fini(&got);
  pn_reply_free(r, false);
  play_fini(&p);
}

static void refuses(play *p, const char *body, const char *what) {
  pn_reply *r = play_call(p, "POST", "/v1/messages", body);
  char *text = play_body(r);
  assert_int_equal(pn_reply_status(r), 400);
  if (!strstr(text, what)) fail_msg("%s", text);
  free(text);
  pn_reply_free(r, false);
}

static void what_can_not_be_held_is_refused(void **state) {
  (void)state;
  play p;
  play_init(&p);
  refuses(&p,
          "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"U\"}],\"tools\":["
          "{\"name\":\"get\","
          "\"strict\":true,\"input_schema\":{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\","
          "\"pattern\":"
          "\"(?=x)\"}}}}]}",
          "tools.get: properties.a.pattern: look-ahead");
  refuses(&p,
          "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"U\"}],\"output_"
          "config\":{\"format\":"
          "{\"type\":\"json_schema\",\"schema\":{\"contains\":{\"const\":1}}}}}",
          "schema: contains: this keyword can't be enforced");
  refuses(&p, ASK("") ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"put\"}}",
          "tool_choice.name: Tool 'put' not found");
  play_fini(&p);
}

// What a parameter's text is, its schema says; long strings come out as they grow.
static void parameters_follow_their_schemas(void **state) {
  (void)state;
  play p;
  play_init_options(&p, &(pn_api_options){.engine = &p.engine,
                                          .tokenizer = &p.tokenizer,
                                          .chat_template = &p.tmpl,
                                          .dialect = "qwen_xml",
                                          .model_name = "org/tiny"});
  pn_reply *r =
      play_call(&p, "POST", "/v1/messages",
                "{\"model\":\"m\",\"max_tokens\":50,\"stream\":true,\"tools\":[{\"name\":\"put\",\"input_"
                "schema\":{\"type\":"
                "\"object\",\"properties\":{\"s\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"}}}}],"
                "\"messages\":[{\"role\":\"user\",\"content\":\"U\"}]}");
  assert_non_null(strstr(pn_buf_cstr(&p.seen), "<function=...>"));
  pn_buf got = {0};
  fake_emit_text(&p.engine, "<tool_call>\n<function=put>\n<parameter=s>\n42 \"");
  assert_false(play_pull(r, &got));
  assert_non_null(strstr(pn_buf_cstr(&got), "\"partial_json\":\"{\\\"s\\\":\\\"42 \\\\\\\"\""));
  fake_emit_text(&p.engine, "\n</parameter>\n<parameter=n>\n42\n</parameter>\n</function>\n</tool_call>");
  fake_emit_done(&p.engine, PN_STOP_END_TURN, -1, 9);
  assert_true(play_pull(r, &got));
  assert_non_null(strstr(pn_buf_cstr(&got), "\\\"n\\\":42}"));
  assert_non_null(strstr(pn_buf_cstr(&got), "\"stop_reason\":\"tool_use\""));
  pn_buf_fini(&got);
  pn_reply_free(r, false);
  play_fini(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_call_is_a_block),
                                     cmocka_unit_test(a_cut_call_is_closed),
                                     cmocka_unit_test(without_tools_nothing_is_a_call),
                                     cmocka_unit_test(a_stream_grows),
                                     cmocka_unit_test(calls_come_back_as_they_were),
                                     cmocka_unit_test(openai_has_tool_calls),
                                     cmocka_unit_test(parameters_follow_their_schemas),
                                     cmocka_unit_test(what_can_not_be_held_is_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
