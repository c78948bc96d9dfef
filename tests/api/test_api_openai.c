// OpenAI's endpoints: the same prompts and generations as Anthropic's, in other words.
#include "base/json.h"
#include "play.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHAT(more) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]" more "}"
#define RAW(more) "{\"model\":\"m\",\"prompt\":\"Hi\"" more "}"

static uint64_t noon(void) { return 1700000000123; }

static void init(play *p) {
  play_init(p);
  p->api->wall_ms = noon;
}

static pn_json *body_of(pn_reply *r) {
  char *text = play_body(r);
  pn_json *v = pn_json_parse(pn_str_of(text), NULL);
  assert_non_null(v);
  free(text);
  return v;
}

static void conversations_are_rendered_alike(void **state) {
  (void)state;
  static const struct {
    const char *messages, *want;
  } cases[] = {
      {"{\"role\":\"developer\",\"content\":\"S\"},{\"role\":\"user\",\"content\":\"U\"}",
       "[system]{S}[/]\n[user]{U}[/]\n"},
      {"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}"
       "]}",
       "[user]{a\nb}[/]\n"},
      {"{\"role\":\"user\",\"content\":\"U\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{"
       "\"id\":\"c\","
       "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\": "
       "1}\"}}]},{\"role\":\"tool\","
       "\"tool_call_id\":\"c\",\"content\":\"7\"}",
       "[user]{U}[/]\n[assistant]{<tool_call>\n{\"name\": \"f\", \"arguments\": "
       "{\"x\": 1}}\n</tool_call>}[/]\n"
       "[user]{<tool_response>\n7\n</tool_response>}[/]\n"},
      // arguments that were cut off are shown as they are
      {"{\"role\":\"user\",\"content\":\"U\"},{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\","
       "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\": "
       "\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c\","
       "\"content\":\"7\"}",
       "[user]{U}[/]\n[assistant]{<tool_call>\n{\"name\": \"f\", \"arguments\": "
       "{\"arguments\": \"{\\\"x\\\": \"}}\n</tool_call>}[/]\n"
       "[user]{<tool_response>\n7\n</tool_response>}[/]\n"},
      // what the model can't read, a text stands for
      {"{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":"
       "\"\"}}]},"
       "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":[{\"type\":\"text\",\"text\":\"see\"},{"
       "\"type\":\"image_url\","
       "\"image_url\":{\"url\":\"data:image/"
       "png;base64,AAAA\"}},{\"type\":\"image_url\",\"image_url\":\"http://x/y\"},"
       "{\"type\":\"image_url\",\"image_url\":{}},{\"type\":\"input_audio\",\"input_audio\":{}},{\"type\":"
       "\"file\","
       "\"file\":{\"filename\":\"a.pdf\",\"file_data\":\"AAAA\"}},{\"type\":\"file\",\"file\":{\"file_id\":"
       "\"f1\"}}]}",
       "[assistant]{<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>}[/]\n"
       "[user]{<tool_response>\nsee\n[an image (image/png) that this model can't see]\n"
       "[an image (http://x/y) that this model can't see]\n[an image that this model can't see]\n"
       "[audio that this model can't hear]\n[a document \"a.pdf\" that this model can't read]\n"
       "[a document (f1) that this model can't read]\n</tool_response>}[/]\n"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    play p;
    init(&p);
    pn_buf body = {0}, want = {0};
    pn_buf_printf(&body, "{\"model\":\"m\",\"messages\":[%s]}", cases[i].messages);
    pn_buf_printf(&want, "%s[assistant]", cases[i].want);
    pn_reply *r = play_call(&p, "POST", "/v1/chat/completions", pn_buf_cstr(&body));
    assert_int_equal(p.engine.n_submitted, 1);
    assert_string_equal(pn_buf_cstr(&p.seen), pn_buf_cstr(&want));
    assert_int_equal(p.engine.max_tokens, 1000 - p.engine.n_tokens); // what fits
    pn_reply_free(r, true);
    pn_buf_fini(&body);
    pn_buf_fini(&want);
    play_fini(&p);
  }
}

static void settings_reach_the_engine(void **state) {
  (void)state;
  play p;
  init(&p);
  pn_reply *r =
      play_call(&p, "POST", "/v1/chat/completions",
                CHAT(",\"temperature\":1.5,\"top_p\":0.5,\"top_k\":7,\"min_p\":0.25,\"seed\":-3,"
                     "\"stop\":\"END\",\"max_completion_tokens\":9,\"max_tokens\":5,\"n\":1,"
                     "\"presence_penalty\":0,\"logit_bias\":{},\"logprobs\":true,\"top_logprobs\":4"));
  assert_int_equal(p.engine.n_submitted, 1);
  assert_true(p.engine.sampling.temperature == 1.5f && p.engine.sampling.top_p == 0.5f);
  assert_true(p.engine.sampling.top_k == 7 && p.engine.sampling.min_p == 0.25f);
  assert_true(p.engine.sampling.seed == (uint64_t)-3);
  assert_int_equal(p.engine.max_tokens, 9);
  assert_string_equal(pn_buf_cstr(&p.engine.stops), "END|");
  assert_true(p.engine.logprobs && p.engine.n_top_logprobs == 4);
  pn_reply_free(r, true);
  r = play_call(&p, "POST", "/v1/completions", RAW(",\"stop\":[\"a\",\"\",\"b\"],\"logprobs\":0"));
  assert_string_equal(pn_buf_cstr(&p.seen), "Hi");
  assert_int_equal(p.engine.max_tokens, 16);
  assert_string_equal(pn_buf_cstr(&p.engine.stops), "a|b|");
  assert_true(p.engine.logprobs && p.engine.n_top_logprobs == 0);
  pn_reply_free(r, true);
  r = play_call(&p, "POST", "/v1/completions", "{\"model\":\"m\",\"prompt\":[1,2,3]}");
  assert_int_equal(p.engine.n_tokens, 3);
  pn_reply_free(r, true);
  play_fini(&p);
}

static void a_whole_answer(void **state) {
  (void)state;
  play p;
  init(&p);
  pn_reply *r = play_call(&p, "POST", "/v1/chat/completions", CHAT(""));
  fake_emit_news(&p.engine, PN_EVENT_QUEUED, 5);
  fake_emit_text(&p.engine, "Hello");
  fake_emit_done(&p.engine, PN_STOP_STRING, 0, 3);
  pn_json *v = body_of(r);
  const pn_json *choice = pn_json_at(pn_json_get(v, "choices"), 0), *usage = pn_json_get(v, "usage");
  assert_string_equal(pn_json_cstr(pn_json_get(v, "object")), "chat.completion");
  assert_int_equal(pn_json_int(pn_json_get(v, "created")), 1700000000);
  assert_string_equal(pn_json_cstr(pn_json_get(pn_json_get(choice, "message"), "content")), "Hello");
  assert_string_equal(pn_json_cstr(pn_json_get(choice, "finish_reason")), "stop");
  assert_int_equal(pn_json_int(pn_json_get(usage, "prompt_tokens")), p.engine.n_tokens);
  assert_int_equal(pn_json_int(pn_json_get(usage, "completion_tokens")), 3);
  assert_int_equal(pn_json_int(pn_json_get(pn_json_get(usage, "prompt_tokens_details"), "cached_tokens")), 5);
  pn_json_free(v);
  pn_reply_free(r, false);
  play_fini(&p);
}

// The chunks of a stream, without their ids.
static void stream(play *p, const char *path, const char *body, pn_buf *out) {
  pn_reply *r = play_call(p, "POST", path, body);
  assert_true(pn_reply_streaming(r));
  fake_emit_news(&p->engine, PN_EVENT_QUEUED, 0);
  play_pull(r, out);
  fake_emit_text(&p->engine, "Hel");
  play_pull(r, out);
  play_clock_us += 8000000;
  play_pull(r, out);
  fake_emit_text(&p->engine, "lo");
  fake_emit_done(&p->engine, PN_STOP_MAX_TOKENS, 0, 2);
  assert_true(play_pull(r, out));
  pn_reply_free(r, false);
}

#define CHUNK "\"created\":1700000000,\"model\":\"m\",\"system_fingerprint\":\"pensieve\",\"choices\":["

static void streams(void **state) {
  (void)state;
  static const char *const chat[] = {
      "data: {\"id\":\"chatcmpl-",
      CHUNK "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_"
            "reason\":null}],"
            "\"usage\":null}\n\n",
      "{\"content\":\"Hel\"}",
      ": ping\n\n",
      "{\"content\":\"lo\"}",
      "\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}],\"usage\":null}\n\n",
      CHUNK "],\"usage\":{\"prompt_tokens\":",
      "data: [DONE]\n\n",
  };
  static const char *const raw[] = {
      "data: {\"id\":\"cmpl-",
      "\"object\":\"text_completion\"",
      "{\"index\":0,\"text\":\"Hel\"",
      "\"text\":\"lo\"",
      "{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n",
  };
  play p;
  init(&p);
  pn_buf b = {0};
  stream(&p, "/v1/chat/completions", CHAT(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"),
         &b);
  const char *at = pn_buf_cstr(&b);
  for (size_t i = 0; i < sizeof chat / sizeof *chat; i++) {
    at = strstr(at, chat[i]);
    if (!at) fail_msg("%s\nlacks %s", b.p, chat[i]);
  }
  pn_buf_clear(&b);
  stream(&p, "/v1/completions", RAW(",\"stream\":true"), &b);
  at = pn_buf_cstr(&b);
  for (size_t i = 0; i < sizeof raw / sizeof *raw; i++) {
    at = strstr(at, raw[i]);
    if (!at) fail_msg("%s\nlacks %s", b.p, raw[i]);
  }
  assert_null(strstr(b.p, "usage"));
  pn_buf_fini(&b);
  play_fini(&p);
}

static void emit_token(play *p, int32_t id, float logprob) {
  pn_event ev = {.kind = PN_EVENT_TOKEN, .n_output = 1};
  ev.token =
      (pn_token_event){.id = id, .logprob = logprob, .n_top = 2, .top = {{id, logprob}, {'z', -INFINITY}}};
  fake_emit(&p->engine, &ev);
}

static void log_probabilities(void **state) {
  (void)state;
  play p;
  init(&p);
  pn_reply *r = play_call(&p, "POST", "/v1/chat/completions", CHAT(",\"logprobs\":true,\"top_logprobs\":2"));
  emit_token(&p, 'o', -0.5f);
  fake_emit_text(&p.engine, "o");
  emit_token(&p, 'k', -1);
  fake_emit_text(&p.engine, "k");
  emit_token(&p, 300, -2); // ends the turn
  fake_emit_done(&p.engine, PN_STOP_END_TURN, 0, 3);
  pn_json *v = body_of(r);
  const pn_json *list =
      pn_json_get(pn_json_get(pn_json_at(pn_json_get(v, "choices"), 0), "logprobs"), "content");
  assert_int_equal(pn_json_len(list), 2);
  const pn_json *second = pn_json_at(list, 1), *top = pn_json_get(second, "top_logprobs");
  assert_string_equal(pn_json_cstr(pn_json_get(second, "token")), "k");
  assert_true(pn_json_num(pn_json_get(second, "logprob")) == -1);
  assert_int_equal(pn_json_int(pn_json_at(pn_json_get(second, "bytes"), 0)), 'k');
  assert_int_equal(pn_json_len(top), 2);
  assert_true(pn_json_num(pn_json_get(pn_json_at(top, 1), "logprob")) == -9999);
  pn_json_free(v);
  pn_reply_free(r, false);

  r = play_call(&p, "POST", "/v1/completions", RAW(",\"logprobs\":2"));
  emit_token(&p, 'o', -0.5f);
  fake_emit_text(&p.engine, "o");
  emit_token(&p, 'k', -1);
  fake_emit_text(&p.engine, "k");
  fake_emit_done(&p.engine, PN_STOP_MAX_TOKENS, 0, 2);
  v = body_of(r);
  list = pn_json_get(pn_json_at(pn_json_get(v, "choices"), 0), "logprobs");
  assert_int_equal(pn_json_len(pn_json_get(list, "tokens")), 2);
  assert_true(pn_json_num(pn_json_at(pn_json_get(list, "token_logprobs"), 0)) == -0.5);
  assert_int_equal(pn_json_int(pn_json_at(pn_json_get(list, "text_offset"), 1)), 1);
  assert_true(pn_json_num(pn_json_get(pn_json_at(pn_json_get(list, "top_logprobs"), 1), "k")) == -1);
  pn_json_free(v);
  pn_reply_free(r, false);
  play_fini(&p);
}

static void refusals(void **state) {
  (void)state;
  static const struct {
    const char *path, *body;
    int status;
    const char *param, *code, *message; // the message begins so
  } cases[] = {
      {"/v1/chat/completions", "{", 400, NULL, NULL, "request body: "},
      {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", 400, "model", NULL,
       "model: Field required"},
      {"/v1/chat/completions", "{\"model\":\"m\",\"messages\":[{\"role\":\"robot\"}]}", 400,
       "messages.0.role", NULL, "messages.0.role: Input should be 'system', 'developer'"},
      {"/v1/chat/completions", "{\"model\":\"m\",\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}", 400,
       "messages.0.tool_call_id", NULL, "messages.0.tool_call_id: Field required"},
      {"/v1/chat/completions",
       "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":"
       "{}}]}]}",
       400, "messages.0.content.0", NULL, "messages.0.content.0: this model reads text only"},
      {"/v1/chat/completions", CHAT(",\"n\":2"), 400, "n", NULL, "n: "},
      {"/v1/chat/completions", CHAT(",\"presence_penalty\":0.5"), 400, "presence_penalty", NULL,
       "presence_penalty: "},
      {"/v1/chat/completions", CHAT(",\"logit_bias\":{\"1\":2}"), 400, "logit_bias", NULL, "logit_bias: "},
      {"/v1/chat/completions", CHAT(",\"functions\":[]"), 400, "functions", NULL, "functions: "},
      {"/v1/chat/completions", CHAT(",\"top_logprobs\":2"), 400, "top_logprobs", NULL,
       "top_logprobs: may only"},
      {"/v1/chat/completions", CHAT(",\"tool_choice\":\"maybe\""), 400, "tool_choice", NULL, "tool_choice: "},
      {"/v1/chat/completions", CHAT(",\"max_tokens\":1000"), 400, NULL, "context_length_exceeded",
       "input length and"},
      {"/v1/completions", RAW(",\"echo\":true"), 400, "echo", NULL, "echo: "},
      {"/v1/completions", RAW(",\"suffix\":\"x\""), 400, "suffix", NULL, "suffix: "},
      {"/v1/completions", "{\"model\":\"m\",\"prompt\":[\"a\",\"b\"]}", 400, "prompt", NULL,
       "prompt: this server takes"},
      {"/v1/completions", "{\"model\":\"m\",\"prompt\":[1,5000]}", 400, "prompt.1", NULL,
       "prompt.1: expected a token"},
      {"/v1/completions", "{\"model\":\"m\",\"prompt\":[]}", 400, "prompt", NULL, "prompt: "},
      {"/v1/embeddings", "{\"model\":\"m\",\"input\":\"x\"}", 400, "model", NULL,
       "model: org/tiny generates text"},
      {"/tokenize", "{}", 400, "content", NULL, "content: Field required"},
      {"/detokenize", "{\"tokens\":[-1]}", 400, "tokens.0", NULL, "tokens.0: "},
  };
  play p;
  init(&p);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_reply *r = play_call(&p, "POST", cases[i].path, cases[i].body);
    pn_json *v = body_of(r);
    const pn_json *e = pn_json_get(v, "error");
    const char *message = pn_json_cstr(pn_json_get(e, "message"));
    if (pn_reply_status(r) != cases[i].status ||
        strncmp(message, cases[i].message, strlen(cases[i].message)) != 0)
      fail_msg("case %zu: %d %s", i, pn_reply_status(r), message);
    assert_string_equal(pn_json_cstr(pn_json_get(e, "type")), "invalid_request_error");
    assert_string_equal(pn_json_cstr(pn_json_get(e, "param")), cases[i].param ? cases[i].param : "");
    assert_string_equal(pn_json_cstr(pn_json_get(e, "code")), cases[i].code ? cases[i].code : "");
    pn_json_free(v);
    pn_reply_free(r, false);
  }
  assert_int_equal(p.engine.n_submitted, 0);
  // By the server itself, and those of the HTTP layer.
  p.engine.refuse = (pn_error){PN_ERR_BUSY, "full"};
  p.engine.retry_after_s = 7;
  pn_reply *r = play_call(&p, "POST", "/v1/chat/completions", CHAT(""));
  pn_json *v = body_of(r);
  assert_int_equal(pn_reply_status(r), 529);
  assert_int_equal(pn_reply_retry_after_s(r), 7);
  assert_string_equal(pn_json_cstr(pn_json_get(pn_json_get(v, "error"), "type")), "server_error");
  pn_json_free(v);
  pn_reply_free(r, false);
  r = pn_api_error_reply(p.api, "/v1/chat/completions", 401, "no key", "req_1");
  v = body_of(r);
  assert_string_equal(pn_json_cstr(pn_json_get(pn_json_get(v, "error"), "code")), "invalid_api_key");
  pn_json_free(v);
  pn_reply_free(r, false);
  pn_api_set_draining(p.api);
  r = play_call(&p, "POST", "/v1/completions", RAW(""));
  assert_int_equal(pn_reply_status(r), 503);
  pn_reply_free(r, false);
  play_fini(&p);
}

static void tokens(void **state) {
  (void)state;
  play p;
  init(&p);
  pn_reply *r = play_call(&p, "POST", "/tokenize", "{\"content\":\"ab\",\"add_special\":true}");
  char *text = play_body(r);
  assert_string_equal(text, "{\"count\":3,\"max_model_len\":1000,\"tokens\":[256,97,98]}");
  free(text);
  pn_reply_free(r, false);
  r = play_call(&p, "POST", "/tokenize", "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}");
  text = play_body(r);
  assert_string_equal(pn_buf_cstr(&p.seen), "[user]{Hi}[/]\n[assistant]");
  free(text);
  pn_reply_free(r, false);
  r = play_call(&p, "POST", "/detokenize", "{\"tokens\":[97,34,300]}");
  text = play_body(r);
  assert_string_equal(text, "{\"content\":\"a\\\"<300>\",\"prompt\":\"a\\\"<300>\"}");
  free(text);
  pn_reply_free(r, false);
  play_fini(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(conversations_are_rendered_alike),
      cmocka_unit_test(settings_reach_the_engine),
      cmocka_unit_test(a_whole_answer),
      cmocka_unit_test(streams),
      cmocka_unit_test(log_probabilities),
      cmocka_unit_test(refusals),
      cmocka_unit_test(tokens),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
