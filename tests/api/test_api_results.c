// Calls and their results: what belongs together and what is refused, in each API's words.
#include "base/json.h"
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USE(id) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"n\",\"input\":{}}"
#define RESULT(id) "{\"type\":\"tool_result\",\"tool_use_id\":\"" id "\",\"content\":\"r\"}"
#define TEXT "{\"type\":\"text\",\"text\":\"x\"}"
#define USER(blocks) "{\"role\":\"user\",\"content\":[" blocks "]}"
#define ASSISTANT(blocks) "{\"role\":\"assistant\",\"content\":[" blocks "]}"
#define SYSTEM(blocks) "{\"role\":\"system\",\"content\":[" blocks "]}"
#define U "{\"role\":\"user\",\"content\":\"U\"},"
#define A "{\"role\":\"assistant\",\"content\":\"A\"}"

#define UNEXPECTED(place, id)                                                                                \
  place ": unexpected `tool_use_id` found in `tool_result` blocks: " id ". Each `tool_result` block must "   \
        "have a corresponding `tool_use` block in the previous message."
#define MISSING(place, ids)                                                                                  \
  place ": `tool_use` ids were found without `tool_result` blocks immediately after: " ids                   \
        ". Each `tool_use` block must have a corresponding `tool_result` block in the next message."
#define TWICE(place, id)                                                                                     \
  place ": each tool_use must have a single result. Found multiple `tool_result` blocks with id: " id

static const struct {
  const char *messages, *message; // NULL: accepted
} cases[] = {
    {U ASSISTANT(USE("a")) "," USER(RESULT("a")), NULL},
    {ASSISTANT(USE("a")) "," USER(RESULT("a")), NULL}, // a conversation that was cut
    {U ASSISTANT(TEXT "," USE("a") "," USE("b")) "," USER(RESULT("b") "," RESULT("a") "," TEXT), NULL},
    {U ASSISTANT(USE("a")) "," USER(TEXT "," RESULT("a")), NULL},
    {U ASSISTANT(USE("a")) "," USER(RESULT("a")) "," ASSISTANT(USE("b")) "," USER(RESULT("b")), NULL},
    // neighbours of one role are one turn, and system messages stand anywhere
    {U ASSISTANT(USE("a")) "," ASSISTANT(USE("b")) "," USER(RESULT("b")) "," USER(RESULT("a")), NULL},
    {U ASSISTANT(USE("a")) "," SYSTEM("") "," USER(RESULT("a")), NULL},
    {U ASSISTANT(USE("a")) "," SYSTEM(TEXT) "," ASSISTANT(TEXT) "," SYSTEM(TEXT) "," USER(RESULT("a")), NULL},
    // results without a call
    {USER(RESULT("a")), UNEXPECTED("messages.0.content.0", "a")},
    {U A "," USER(TEXT "," RESULT("a")), UNEXPECTED("messages.2.content.1", "a")},
    {U ASSISTANT(USE("a")) "," USER(RESULT("a") "," RESULT("b")), UNEXPECTED("messages.2.content.1", "b")},
    {U ASSISTANT(USE("a")) "," USER(RESULT("a")) "," A "," USER(RESULT("a")),
     UNEXPECTED("messages.4.content.0", "a")},
    {U A "," SYSTEM(TEXT) "," USER(RESULT("a")), UNEXPECTED("messages.3.content.0", "a")},
    // calls without a result
    {U ASSISTANT(USE("a")), MISSING("messages.1", "a")},
    {U ASSISTANT(USE("a")) "," SYSTEM(TEXT), MISSING("messages.1", "a")},
    {U ASSISTANT(USE("a")) "," USER(TEXT), MISSING("messages.1", "a")},
    {U ASSISTANT(USE("a") "," USE("b") "," USE("c")) "," USER(RESULT("b")), MISSING("messages.1", "a, c")},
    {U ASSISTANT(USE("a")) "," ASSISTANT(USE("b")) "," USER(TEXT), MISSING("messages.1", "a")},
    {U ASSISTANT(USE("a")) "," USER(TEXT) "," A "," USER(RESULT("a")), MISSING("messages.1", "a")},
    {U ASSISTANT(USE("a")) "," USER(RESULT("a")) "," ASSISTANT(USE("b")), MISSING("messages.3", "b")},
    // twice
    {U ASSISTANT(USE("a") "," USE("a")) "," USER(RESULT("a")),
     "messages.1.content.1: `tool_use` ids must be unique"},
    {U ASSISTANT(USE("a")) "," USER(RESULT("a")) "," ASSISTANT(USE("a")) "," USER(RESULT("a")),
     "messages.3.content.0: `tool_use` ids must be unique"},
    {U ASSISTANT(USE("a")) "," USER(RESULT("a") "," RESULT("a")), TWICE("messages.2.content.1", "a")},
    {U ASSISTANT(USE("a")) "," USER(RESULT("a")) "," USER(RESULT("a")), TWICE("messages.3.content.0", "a")},
    // by the wrong one
    {U USER(USE("a")), "messages.1.content.0: `tool_use` blocks can only be in `assistant` messages"},
    {U ASSISTANT(RESULT("a")), "messages.1.content.0: `tool_result` blocks can only be in `user` messages"},
    {U SYSTEM(RESULT("a")), "messages.1.content.0: `tool_result` blocks can only be in `user` messages"},
};

static void expect(const char *path, const char *request, int status, const char *want) {
  play p;
  play_init(&p);
  pn_reply *r = play_call(&p, "POST", path, request);
  if (pn_reply_status(r) != status) print_error("%s\n", request);
  assert_int_equal(pn_reply_status(r), status);
  if (want) {
    char *text = play_body(r);
    pn_json *body = pn_json_parse(pn_str_of(text), NULL);
    const pn_json *error = pn_json_get(body, "error");
    free(text);
    assert_string_equal(pn_json_cstr(pn_json_get(error, "message")), want);
    assert_string_equal(pn_json_cstr(pn_json_get(error, "type")), "invalid_request_error");
    assert_int_equal(p.engine.n_submitted, 0);
    pn_json_free(body);
  }
  pn_reply_free(r, true);
  play_fini(&p);
}

static void every_call_has_its_result(void **state) {
  (void)state;
  static const char *const paths[] = {"/v1/messages", "/v1/messages/count_tokens", "/tokenize"};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t k = 0; k < sizeof paths / sizeof *paths; k++) {
      char body[2000];
      snprintf(body, sizeof body, "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[%s]}", cases[i].messages);
      expect(paths[k], body, cases[i].message ? 400 : 200, cases[i].message);
    }
}

// However long and whatever it is made of, an id leaves room for the sentence and stays whole characters.
static void long_ids_are_cut(void **state) {
  (void)state;
  pn_buf id = {0}, body = {0}, want = {0};
  pn_buf_char(&id, 'x');
  for (int i = 0; i < 500; i++) pn_buf_z(&id, "ä");
  pn_buf_printf(&body,
                "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[%s{\"role\":\"assistant\",\"content\":[", U);
  for (int i = 0; i < 5; i++)
    pn_buf_printf(&body, "%s{\"type\":\"tool_use\",\"id\":\"%s%d\",\"name\":\"n\",\"input\":{}}",
                  i ? "," : "", pn_buf_cstr(&id), i);
  pn_buf_z(&body, "]}]}");
  pn_buf_z(&want, "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: ");
  pn_buf_str(&want, (pn_str){id.p, 99});
  pn_buf_z(&want,
           ". Each `tool_use` block must have a corresponding `tool_result` block in the next message.");
  expect("/v1/messages", pn_buf_cstr(&body), 400, pn_buf_cstr(&want));
  pn_buf_fini(&id);
  pn_buf_fini(&body);
  pn_buf_fini(&want);
}

#define CALL(id)                                                                                             \
  "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"n\",\"arguments\":\"{}\"}}"
#define CALLS(calls) "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" calls "]}"
#define TOOL(id) "{\"role\":\"tool\",\"tool_call_id\":\"" id "\",\"content\":\"r\"}"
#define UNANSWERED(place, ids)                                                                               \
  place ".tool_calls: An assistant message with 'tool_calls' must be followed by tool messages responding "  \
        "to each 'tool_call_id'. The following tool_call_ids did not have response messages: " ids

static void openai_has_its_own_words(void **state) {
  (void)state;
  static const struct {
    const char *messages, *message;
  } chats[] = {
      {U CALLS(CALL("a") "," CALL("b")) "," TOOL("b") "," TOOL("a"), NULL},
      // ids that come again in another turn, as many servers give them
      {U CALLS(CALL("a")) "," TOOL("a") "," CALLS(CALL("a")) "," TOOL("a"), NULL},
      {U TOOL("a"), "messages.1.role: messages with role 'tool' must be a response to a preceeding message "
                    "with 'tool_calls'."},
      {U CALLS(CALL("a")) "," TOOL("a") "," A "," TOOL("a"),
       "messages.4.role: messages with role 'tool' must be a response to a preceeding message with "
       "'tool_calls'."},
      {U CALLS(CALL("a")) "," TOOL("b"),
       "messages.2.tool_call_id: 'tool_call_id' of 'b' not found in 'tool_calls' of previous message."},
      {U CALLS(CALL("a")) "," TOOL("a") "," TOOL("a"),
       "messages.3.tool_call_id: Duplicate value for 'tool_call_id' of 'a'"},
      {U CALLS(CALL("a") "," CALL("a")), "messages.1.tool_calls.1.id: the ids of calls must be unique"},
      {U CALLS(CALL("a") "," CALL("b")), UNANSWERED("messages.1", "a, b")},
      {U CALLS(CALL("a") "," CALL("b")) "," TOOL("a") "," A, UNANSWERED("messages.1", "b")},
  };
  for (size_t i = 0; i < sizeof chats / sizeof *chats; i++) {
    char body[2000];
    snprintf(body, sizeof body, "{\"model\":\"m\",\"messages\":[%s]}", chats[i].messages);
    expect("/v1/chat/completions", body, chats[i].message ? 400 : 200, chats[i].message);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_call_has_its_result),
      cmocka_unit_test(long_ids_are_cut),
      cmocka_unit_test(openai_has_its_own_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
