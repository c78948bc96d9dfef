// Every field's wrong type and range is a 400 that begins with the field's place.
#include "base/json.h"
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"
#define WITH(member) "{\"model\":\"m\",\"max_tokens\":5," MESSAGES "," member "}"
#define TURN(role, content)                                                                                  \
  "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":" role ",\"content\":" content "}]}"
#define BLOCK(members) TURN("\"user\"", "[" members "]")
#define USE "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{}}"
#define RESULT_OF(members)                                                                                   \
  "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"assistant\",\"content\":[" USE                \
  "]},{\"role\":\"user\","                                                                                   \
  "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\"" members "}]}]}"
#define RESULT(content) RESULT_OF(",\"content\":" content)

static const struct {
  const char *body, *message; // the whole message, or its beginning when it ends in '*'
} refused[] = {
    // not JSON, not an object
    {"", "request body: not valid JSON at line 1 column 0*"},
    {"{\"model\":\n  nope}", "request body: not valid JSON at line 2 column 6*"},
    {"{\"model\":\"m\",\"model\":\"n\"}", "request body: not valid JSON at line 1*"},
    {"{\"model\":\"\xFF\"}", "request body: not valid JSON at line 1*"},
    {"[]", "request body: Input should be a valid dictionary"},
    {"null", "request body: Input should be a valid dictionary"},
    {"3", "request body: Input should be a valid dictionary"},
    // required
    {"{}", "model: Field required"},
    {"{\"model\":\"m\"}", "max_tokens: Field required"},
    {"{\"model\":\"m\",\"max_tokens\":5}", "messages: Field required"},
    {TURN("\"user\"", "\"Hi\"") "x", "request body: not valid JSON*"},
    // scalars
    {"{\"model\":5,\"max_tokens\":5," MESSAGES "}", "model: Input should be a valid string"},
    {"{\"model\":null,\"max_tokens\":5," MESSAGES "}", "model: Input should be a valid string"},
    {"{\"model\":\"\",\"max_tokens\":5," MESSAGES "}", "model: String should have at least 1 character"},
    {"{\"model\":\"m\",\"max_tokens\":\"5\"," MESSAGES "}", "max_tokens: Input should be a valid integer"},
    {"{\"model\":\"m\",\"max_tokens\":5.5," MESSAGES "}", "max_tokens: Input should be a valid integer"},
    {"{\"model\":\"m\",\"max_tokens\":null," MESSAGES "}", "max_tokens: Input should be a valid integer"},
    {"{\"model\":\"m\",\"max_tokens\":true," MESSAGES "}", "max_tokens: Input should be a valid integer"},
    {"{\"model\":\"m\",\"max_tokens\":0," MESSAGES "}",
     "max_tokens: Input should be greater than or equal to 1"},
    {"{\"model\":\"m\",\"max_tokens\":-7," MESSAGES "}",
     "max_tokens: Input should be greater than or equal to 1"},
    {WITH("\"stream\":\"yes\""), "stream: Input should be a valid boolean"},
    {WITH("\"stream\":1"), "stream: Input should be a valid boolean"},
    {WITH("\"temperature\":\"0\""), "temperature: Input should be a valid number"},
    {WITH("\"temperature\":-0.1"), "temperature: Input should be greater than or equal to 0"},
    {WITH("\"temperature\":1.01"), "temperature: Input should be less than or equal to 1"},
    {WITH("\"temperature\":2"), "temperature: Input should be less than or equal to 1"},
    {WITH("\"top_p\":[]"), "top_p: Input should be a valid number"},
    {WITH("\"top_p\":-1"), "top_p: Input should be greater than or equal to 0"},
    {WITH("\"top_p\":1.5"), "top_p: Input should be less than or equal to 1"},
    {WITH("\"top_k\":0.5"), "top_k: Input should be a valid integer"},
    {WITH("\"top_k\":\"3\""), "top_k: Input should be a valid integer"},
    {WITH("\"top_k\":-1"), "top_k: Input should be greater than or equal to 0"},
    {WITH("\"stop_sequences\":\"x\""), "stop_sequences: Input should be a valid list"},
    {WITH("\"stop_sequences\":[\"x\",5]"), "stop_sequences.1: Input should be a valid string"},
    {WITH("\"stop_sequences\":[\"x\",\"\"]"),
     "stop_sequences: each stop sequence must contain non-whitespace"},
    {WITH("\"stop_sequences\":[\" \\n\\t\"]"),
     "stop_sequences: each stop sequence must contain non-whitespace"},
    {WITH("\"metadata\":\"me\""), "metadata: Input should be a valid dictionary"},
    {WITH("\"metadata\":{\"user_id\":7}"), "metadata.user_id: Input should be a valid string"},
    {WITH("\"system\":5"), "system: Input should be a valid string or list"},
    {WITH("\"system\":[\"be kind\"]"), "system.0: Input should be a valid dictionary"},
    {WITH("\"system\":[{\"type\":\"image\"}]"),
     "system.0: Input tag 'image' found using 'type' does not match any of the expected tags: 'text'"},
    {WITH("\"system\":[{\"type\":\"text\"}]"), "system.0.text: Field required"},
    {WITH("\"system\":[{\"type\":\"text\",\"text\":\"\"}]"),
     "system.0.text: text content blocks must be non-empty"},
    {WITH("\"thread\":{\"type\":\"create\"}"), "thread: this server does not keep threads*"},
    // messages
    {"{\"model\":\"m\",\"max_tokens\":5,\"messages\":[]}", "messages: at least one message is required"},
    {"{\"model\":\"m\",\"max_tokens\":5,\"messages\":\"Hi\"}", "messages: Input should be a valid list"},
    {"{\"model\":\"m\",\"max_tokens\":5,\"messages\":{}}", "messages: Input should be a valid list"},
    {"{\"model\":\"m\",\"max_tokens\":5,\"messages\":[\"Hi\"]}",
     "messages.0: Input should be a valid dictionary"},
    {"{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"content\":\"Hi\"}]}",
     "messages.0.role: Field required"},
    {"{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\"}]}",
     "messages.0.content: Field required"},
    {TURN("\"tool\"", "\"Hi\""), "messages.0.role: Input should be 'user', 'assistant' or 'system'"},
    {TURN("1", "\"Hi\""), "messages.0.role: Input should be a valid string"},
    {TURN("\"user\"", "1"), "messages.0.content: Input should be a valid string or list"},
    {TURN("\"user\"", "null"), "messages.0.content: Input should be a valid string or list"},
    {TURN("\"user\"", "\"\""), "messages.0.content: all messages must have non-empty content*"},
    {TURN("\"user\"", "[]"), "messages.0.content: all messages must have non-empty content*"},
    {TURN("\"system\"", "[]"), "messages: at least one message must have content"},
    {TURN("\"assistant\"", "\"So \""),
     "messages: final assistant content cannot end with trailing whitespace"},
    // blocks
    {BLOCK("\"Hi\""), "messages.0.content.0: Input should be a valid dictionary"},
    {BLOCK("{\"text\":\"Hi\"}"), "messages.0.content.0.type: Field required"},
    {BLOCK("{\"type\":1}"), "messages.0.content.0.type: Input should be a valid string"},
    {BLOCK("{\"type\":\"video\"}"), "messages.0.content.0: Input tag 'video' found using 'type'*"},
    {BLOCK("{\"type\":\"text\"}"), "messages.0.content.0.text: Field required"},
    {BLOCK("{\"type\":\"text\",\"text\":5}"), "messages.0.content.0.text: Input should be a valid string"},
    {BLOCK("{\"type\":\"text\",\"text\":\"\"}"),
     "messages.0.content.0.text: text content blocks must be non-empty"},
    {BLOCK("{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image\",\"source\":{}}"),
     "messages.0.content.1: this model reads text only; images are not supported"},
    {BLOCK("{\"type\":\"document\"}"), "messages.0.content.0.source: Field required"},
    {BLOCK("{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"application/pdf\"}}"),
     "messages.0.content.0.source: this model reads text only; PDF*"},
    {BLOCK("{\"type\":\"document\",\"source\":{\"type\":\"url\"}}"),
     "messages.0.content.0.source: this model reads text only*"},
    {BLOCK("{\"type\":\"document\",\"source\":{\"type\":\"text\"}}"),
     "messages.0.content.0.source.data: Field required"},
    {BLOCK("{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":[{\"type\":\"image\"}]}}"),
     "messages.0.content.0.source.content.0: this model reads text only*"},
    {BLOCK("{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":\"x\"}"),
     "messages.0.content.0.input: Input should be a valid dictionary"},
    {BLOCK("{\"type\":\"tool_use\",\"id\":\"\",\"name\":\"n\",\"input\":{}}"),
     "messages.0.content.0.id: String should have at least 1 character"},
    {BLOCK("{\"type\":\"tool_use\",\"id\":\"t\",\"input\":{}}"), "messages.0.content.0.name: Field required"},
    {BLOCK("{\"type\":\"tool_result\",\"content\":\"x\"}"),
     "messages.0.content.0.tool_use_id: Field required"},
    {RESULT("5"), "messages.1.content.0.content: Input should be a valid string or list"},
    {RESULT("[{\"type\":\"text\",\"text\":[]}]"),
     "messages.1.content.0.content.0.text: Input should be a valid string"},
    {RESULT("[{\"type\":\"image\"}]"), "messages.1.content.0.content.0.source: Field required"},
    {RESULT("[{\"type\":\"document\",\"source\":{\"type\":\"video\"}}]"),
     "messages.1.content.0.content.0.source: Input tag 'video'*"},
    {RESULT_OF("},{\"type\":\"image\",\"source\":{}"), "messages.1.content.1: this model reads text only*"},
    {RESULT("\"x\",\"is_error\":\"no\""), "messages.1.content.0.is_error: Input should be a valid boolean"},
    {BLOCK("{\"type\":\"thinking\",\"signature\":\"\"}"), "messages.0.content.0.thinking: Field required"},
    {BLOCK("{\"type\":\"search_result\",\"source\":\"s\",\"title\":\"t\",\"content\":\"x\"}"),
     "messages.0.content.0.content: Input should be a valid list"},
};

static void expect_message(const char *path, const char *request, const char *want) {
  play p;
  play_init(&p);
  pn_reply *r = play_call(&p, "POST", path, request);
  char *text = play_body(r);
  if (pn_reply_status(r) != 400) print_error("request: %s\nreply: %s\n", request, text);
  assert_int_equal(pn_reply_status(r), 400);
  pn_error e = {0};
  pn_json *body = pn_json_parse(pn_str_of(text), &e);
  const pn_json *error = pn_json_get(body, "error");
  assert_string_equal(pn_json_cstr(pn_json_get(body, "type")), "error");
  assert_string_equal(pn_json_cstr(pn_json_get(error, "type")), "invalid_request_error");
  assert_string_equal(pn_json_cstr(pn_json_get(body, "request_id")), "req_1");
  const char *got = pn_json_cstr(pn_json_get(error, "message"));
  size_t n = strlen(want);
  bool same = want[n - 1] == '*' ? strncmp(got, want, n - 1) == 0 : strcmp(got, want) == 0;
  if (!same) print_error("request: %s\nmessage: %s\nwanted:  %s\n", request, got, want);
  assert_true(same);
  assert_int_equal(p.engine.n_submitted, 0);
  pn_json_free(body);
  free(text);
  pn_reply_free(r, false);
  play_fini(&p);
}

static void refuses(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
    expect_message("/v1/messages", refused[i].body, refused[i].message);
}

static void count_tokens_refuses_too(void **state) {
  (void)state;
  expect_message("/v1/messages/count_tokens", "{\"model\":\"m\"}", "messages: Field required");
  expect_message("/v1/messages/count_tokens", WITH("\"system\":5"),
                 "system: Input should be a valid string or list");
}

// A place deeper than the message has room for, and text of the client's in the message, stay whole
// characters.
static void messages_stay_valid(void **state) {
  (void)state;
  expect_message("/v1/messages", BLOCK("{\"type\":\"ääääääääääääääääääääääää\"}"),
                 "messages.0.content.0: Input tag 'ääääääääääääääääääää' found using 'type'*");
  expect_message("/v1/messages", BLOCK("{\"type\":\"xääääääääääääääääääääääää\"}"),
                 "messages.0.content.0: Input tag 'xäääääääääääääääääää' found using 'type'*");
}

static const char *const accepted[] = {
    WITH("\"temperature\":0"),
    WITH("\"temperature\":1.0,\"top_p\":0,\"top_k\":0"),
    WITH("\"temperature\":null,\"system\":null,\"stop_sequences\":null,\"metadata\":null,\"thread\":null"),
    WITH("\"stop_sequences\":[],\"metadata\":{\"user_id\":null},\"system\":[]"),
    WITH("\"top_k\":99999999999"),
    WITH("\"unknown\":{\"deep\":[1]},\"thinking\":{\"type\":\"adaptive\"},\"tools\":[]"),
    "{\"model\":\"m\",\"max_tokens\":5.0," MESSAGES "}",
    BLOCK("{\"type\":\"text\",\"text\":\"Hi\",\"cache_control\":{\"type\":\"ephemeral\"}}"),
    RESULT(
        "[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"\"}}]"),
    RESULT_OF(""),
};

static void accepts(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
    play p;
    play_init(&p);
    pn_reply *r = play_call(&p, "POST", "/v1/messages", accepted[i]);
    if (pn_reply_status(r) != 200) print_error("refused: %s\n", accepted[i]);
    assert_int_equal(pn_reply_status(r), 200);
    assert_int_equal(p.engine.n_submitted, 1);
    assert_true(p.engine.sampling.top_p > 0 && p.engine.sampling.top_p <= 1);
    assert_true(p.engine.sampling.top_k >= 0);
    pn_reply_free(r, true);
    play_fini(&p);
  }
}

static void stop_sequences_are_limited(void **state) {
  (void)state;
  pn_buf b = {0};
  pn_buf_z(&b, "{\"model\":\"m\",\"max_tokens\":5," MESSAGES ",\"stop_sequences\":[\"x\"");
  for (int i = 0; i < 100; i++) pn_buf_z(&b, ",\"x\"");
  pn_buf_z(&b, "]}");
  expect_message("/v1/messages", pn_buf_cstr(&b),
                 "stop_sequences: List should have at most 100 items, not 101");
  pn_buf_fini(&b);
}

static void threads_are_refused_in_a_way_that_clients_read(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_reply *r =
      play_call(&p, "POST", "/v1/messages", WITH("\"thread\":{\"type\":\"continue\",\"id\":\"x\"}"));
  char *text = play_body(r);
  assert_non_null(strstr(text, "\"details\":{\"error_code\":\"thread_unsupported_request\","
                               "\"unsupported\":[\"thread\"]}}"));
  free(text);
  pn_reply_free(r, false);
  play_fini(&p);
}

static void context_limits(void **state) {
  (void)state;
  // "[user]" + content + "[/]\n[assistant]" are 21 tokens more than the content
  play p;
  play_init(&p);
  char body[2000], x[990];
  memset(x, 'x', sizeof x);
  static const struct {
    int content, max_tokens, status;
    const char *message;
  } cases[] = {
      {79, 900, 200, NULL},
      {80, 900, 400,
       "\"input length and `max_tokens` exceed context limit: 101 + 900 > 1000, decrease input length or "
       "`max_tokens` and try again\""},
      {79, 32000, 400, "exceed context limit: 100 + 32000 > 1000, "},
      {979, 1, 400, "exceed context limit: 1000 + 1 > 1000, "},
      {980, 1, 400, "\"prompt is too long: 1001 tokens > 1000 maximum\""},
      {978, 1, 200, NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    snprintf(body, sizeof body,
             "{\"model\":\"m\",\"max_tokens\":%d,\"messages\":[{\"role\":\"user\",\"content\":\"%.*s\"}]}",
             cases[i].max_tokens, cases[i].content, x);
    pn_reply *r = play_call(&p, "POST", "/v1/messages", body);
    assert_int_equal(pn_reply_status(r), cases[i].status);
    if (cases[i].message) {
      char *text = play_body(r);
      assert_non_null(strstr(text, cases[i].message));
      free(text);
    }
    pn_reply_free(r, true);
  }
  assert_int_equal(p.engine.n_submitted, 2);
  play_fini(&p);
}

static void engine_refusals_are_mapped(void **state) {
  (void)state;
  static const struct {
    pn_code code;
    int status;
    const char *type;
  } cases[] = {{PN_ERR_BUSY, 529, "overloaded_error"},
               {PN_ERR_NOMEM, 529, "overloaded_error"},
               {PN_ERR_USAGE, 400, "invalid_request_error"},
               {PN_ERR_LIMIT, 400, "invalid_request_error"},
               {PN_ERR_DEVICE, 500, "api_error"},
               {PN_ERR_INTERNAL, 500, "api_error"},
               {PN_ERR_IO, 500, "api_error"}};
  play p;
  play_init(&p);
  p.engine.retry_after_s = 7;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_fail(&p.engine.refuse, cases[i].code, "not now");
    pn_reply *r = play_call(&p, "POST", "/v1/messages", WITH("\"stream\":true"));
    assert_int_equal(pn_reply_status(r), cases[i].status);
    assert_false(pn_reply_streaming(r));
    assert_int_equal(pn_reply_retry_after_s(r), cases[i].status == 529 ? 7 : 0);
    char *text = play_body(r);
    assert_non_null(strstr(text, cases[i].type));
    assert_non_null(strstr(text, "\"message\":\"not now\""));
    free(text);
    pn_reply_free(r, false);
  }
  play_fini(&p);
}

// The engine's guess, within what clients take.
static void a_full_queue_says_when_to_come_again(void **state) {
  (void)state;
  static const int cases[][2] = {{0, 1}, {-3, 1}, {1, 1}, {12, 12}, {60, 60}, {600, 60}};
  play p;
  play_init(&p);
  pn_fail(&p.engine.refuse, PN_ERR_BUSY, "64 requests are waiting already");
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    p.engine.retry_after_s = cases[i][0];
    pn_reply *r = play_call(&p, "POST", "/v1/messages", WITH("\"stream\":true"));
    assert_int_equal(pn_reply_retry_after_s(r), cases[i][1]);
    pn_reply_free(r, false);
  }
  play_fini(&p);
}

static void templates_may_refuse(void **state) {
  (void)state;
  static const struct {
    fake_kind kind;
    const char *body, *message;
  } cases[] = {
      {FAKE_SHOUT, TURN("\"assistant\"", "\"So\""), "cannot continue a final assistant message"},
      {FAKE_EMPTY, TURN("\"user\"", "\"Hi\""), "an empty prompt"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    play p;
    play_init(&p);
    p.tmpl.kind = cases[i].kind;
    pn_reply *r = play_call(&p, "POST", "/v1/messages", cases[i].body);
    assert_int_equal(pn_reply_status(r), 400);
    char *text = play_body(r);
    assert_non_null(strstr(text, cases[i].message));
    free(text);
    pn_reply_free(r, false);
    p.api->o.chat_template = NULL;
    r = play_call(&p, "POST", "/v1/messages", cases[i].body);
    assert_int_equal(pn_reply_status(r), 400);
    pn_reply_free(r, false);
    play_fini(&p);
  }
}

// A key may send so many a minute, at once when it was quiet; the other keys have their own.
static void requests_per_minute(void **state) {
  (void)state;
  play p;
  play_init_options(&p, &(pn_api_options){.engine = &p.engine,
                                          .tokenizer = &p.tokenizer,
                                          .chat_template = &p.tmpl,
                                          .requests_per_minute = 2});
  static const struct {
    const char *path, *key;
    uint64_t after_us;
    int status, retry_after_s;
  } asks[] = {
      {"/v1/messages", "a", 0, 200, 0},         {"/v1/chat/completions", "a", 0, 200, 0},
      {"/v1/messages", "a", 0, 429, 30},        {"/v1/messages/count_tokens", "a", 0, 200, 0},
      {"/v1/messages", "b", 0, 200, 0},         {"/v1/chat/completions", "a", 20000000, 429, 10},
      {"/v1/messages", "a", 10000000, 200, 0},  {"/v1/messages", "a", 0, 429, 30},
      {"/v1/messages", "a", 600000000, 200, 0}, {"/v1/messages", "a", 0, 200, 0},
      {"/v1/messages", "a", 0, 429, 30},        {"/v1/messages", NULL, 0, 200, 0},
  };
  for (size_t i = 0; i < sizeof asks / sizeof *asks; i++) {
    play_clock_us += asks[i].after_us;
    pn_reply *r = pn_api_call(
        p.api,
        &(pn_api_request){.method = "POST",
                          .path = asks[i].path,
                          .body = PN_STR("{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\","
                                         "\"content\":\"Hi\"}]}"),
                          .request_id = "req_1",
                          .key_name = asks[i].key});
    if (pn_reply_status(r) != asks[i].status || pn_reply_retry_after_s(r) != asks[i].retry_after_s)
      fail_msg("case %zu: %d, after %d s", i, pn_reply_status(r), pn_reply_retry_after_s(r));
    if (i == 2) {
      char *body = play_body(r);
      assert_non_null(strstr(body, "\"type\":\"rate_limit_error\""));
      free(body);
    }
    pn_reply_free(r, true);
  }
  play_fini(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(requests_per_minute),
      cmocka_unit_test(refuses),
      cmocka_unit_test(count_tokens_refuses_too),
      cmocka_unit_test(messages_stay_valid),
      cmocka_unit_test(accepts),
      cmocka_unit_test(threads_are_refused_in_a_way_that_clients_read),
      cmocka_unit_test(stop_sequences_are_limited),
      cmocka_unit_test(context_limits),
      cmocka_unit_test(engine_refusals_are_mapped),
      cmocka_unit_test(a_full_queue_says_when_to_come_again),
      cmocka_unit_test(templates_may_refuse),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
