// Paths, methods, and what the server says about itself.
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char hello[] =
    "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";

static void expect(play *p, const char *method, const char *path, const char *body, int status,
                   const char *want) {
  pn_reply *r = play_call(p, method, path, body);
  assert_int_equal(pn_reply_status(r), status);
  assert_string_equal(pn_reply_content_type(r), "application/json");
  assert_false(pn_reply_streaming(r));
  assert_true(pn_reply_deadline_us(r) == UINT64_MAX);
  char *got = play_body(r);
  if (want) assert_string_equal(got, want);
  free(got);
  pn_reply_free(r, false);
}

static void says_hello(void **state) {
  (void)state;
  play p;
  play_init(&p);
  expect(&p, "HEAD", "/", "", 200, NULL);
  expect(&p, "HEAD", "/api/hello", "", 200, NULL);
  expect(&p, "GET", "/api/hello", "", 200, "{\"service\":\"pensieve\"}");
  play_fini(&p);
}

static void health(void **state) {
  (void)state;
  play p;
  play_init(&p);
  p.engine.n_running = 2;
  p.engine.n_waiting = 1;
  expect(&p, "GET", "/health", "", 200,
         "{\"status\":\"ok\",\"model\":\"org/tiny\",\"backend\":\"fake\",\"context\":1000,\"running\":2,"
         "\"waiting\":1}");
  p.engine.failed = true;
  expect(&p, "GET", "/health", "", 503,
         "{\"status\":\"failed\",\"model\":\"org/tiny\",\"backend\":\"fake\",\"context\":1000,\"running\":2,"
         "\"waiting\":1}");
  p.engine.failed = false;
  pn_api_set_draining(p.api);
  expect(&p, "GET", "/health/", "", 503,
         "{\"status\":\"draining\",\"model\":\"org/tiny\",\"backend\":\"fake\",\"context\":1000,"
         "\"running\":2,\"waiting\":1}");
  p.api->o.engine = NULL;
  expect(&p, "GET", "/health", "", 503,
         "{\"status\":\"starting\",\"model\":\"org/tiny\",\"backend\":\"fake\",\"context\":0,\"running\":0,"
         "\"waiting\":0}");
  play_fini(&p);
}

static void refuses_work_while_draining_or_starting(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_api_set_draining(p.api);
  expect(&p, "POST", "/v1/messages", hello, 503,
         "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"the server is shutting "
         "down and takes no new requests\"},\"request_id\":\"req_1\"}");
  expect(&p, "POST", "/v1/messages/count_tokens", hello, 200, NULL);
  p.api->o.engine = NULL;
  expect(&p, "POST", "/v1/messages", hello, 503, NULL);
  assert_int_equal(p.engine.n_submitted, 0);
  play_fini(&p);
}

#define MODEL                                                                                                \
  "{\"type\":\"model\",\"id\":\"org/tiny\",\"display_name\":\"org/tiny\",\"created_at\":"                    \
  "\"1970-01-01T00:00:00Z\",\"lifecycle\":\"active\",\"max_input_tokens\":1000,\"max_tokens\":1000,"         \
  "\"object\":\"model\",\"created\":0,\"owned_by\":\"local\",\"tools\":{\"dialect\":\"hermes\","             \
  "\"template\":\"none\"},\"thinking\":null}"

static void models(void **state) {
  (void)state;
  play p;
  play_init(&p);
  expect(&p, "GET", "/v1/models", "", 200,
         "{\"object\":\"list\",\"data\":[" MODEL
         "],\"has_more\":false,\"first_id\":\"org/tiny\",\"last_id\":\"org/tiny\"}");
  expect(&p, "GET", "/v1/models/org%2Ftiny", "", 200, MODEL);
  expect(&p, "GET", "/v1/models/org%2ftiny/", "", 200, MODEL);
  expect(&p, "GET", "/v1/models/org/tiny", "", 200, MODEL);
  expect(&p, "GET", "/v1/v1/models/%6Frg/tiny", "", 200, MODEL);
  expect(&p, "GET", "/v1/models/%zz%2", "", 404,
         "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"model: %zz%2\"},"
         "\"request_id\":\"req_1\"}");
  play_fini(&p);
}

static void unknown_paths(void **state) {
  (void)state;
  static const char *const paths[] = {
      "/v1", "/v1/messages/x", "/v1/message", "/v2/messages", "", "/v1/messages2", "*", "//", "/v1/v1"};
  play p;
  play_init(&p);
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    if (strcmp(paths[i], "//") == 0) {
      expect(&p, "GET", paths[i], "", 200, NULL);
      continue;
    }
    expect(&p, "POST", paths[i], "", 404,
           "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"Not found: this server "
           "has no such path\"},\"request_id\":\"req_1\"}");
  }
  play_fini(&p);
}

static void wrong_methods(void **state) {
  (void)state;
  static const struct {
    const char *method, *path, *allow;
  } cases[] = {{"GET", "/v1/messages", "POST"},
               {"DELETE", "/v1/v1/messages/", "POST"},
               {"post", "/v1/messages", "POST"},
               {"POST", "/health", "GET, HEAD"},
               {"PUT", "/v1/models/x", "GET, HEAD"},
               {"GET", "/v1/messages/count_tokens", "POST"},
               {"POST", "/", "GET, HEAD"}};
  play p;
  play_init(&p);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_reply *r = play_call(&p, cases[i].method, cases[i].path, "");
    assert_int_equal(pn_reply_status(r), 405);
    assert_string_equal(pn_reply_allow(r), cases[i].allow);
    char *body = play_body(r);
    assert_non_null(strstr(body, "\"type\":\"invalid_request_error\""));
    free(body);
    pn_reply_free(r, false);
  }
  pn_reply *r = play_call(&p, "GET", "/health", "");
  assert_null(pn_reply_allow(r));
  pn_reply_free(r, true);
  play_fini(&p);
}

static void models_in_pages(void **state) {
  (void)state;
  static const char *const aliases[] = {"b", "c", "d/e", NULL};
  static const struct {
    const char *query, *ids; // of data; NULL: refused
    bool more;
  } cases[] = {
      {"", "org/tiny b c d/e ", false},
      {"limit=1000", "org/tiny b c d/e ", false},
      {"limit=2", "org/tiny b ", true},
      {"limit=2&after_id=b", "c d/e ", false},
      {"limit=1&after_id=b", "c ", true},
      {"limit=2&before_id=d%2Fe", "b c ", true},
      {"before_id=c&beta=true", "org/tiny b ", false},
      {"after_id=d/e", "", false},
      {"after_id=x", NULL, false},
      {"limit=0", NULL, false},
      {"limit=1001", NULL, false},
      {"limit=x", NULL, false},
  };
  play p = {.engine = {.n_ctx = 1000}};
  play_init_options(&p, &(pn_api_options){.engine = &p.engine,
                                          .tokenizer = &p.tokenizer,
                                          .chat_template = &p.tmpl,
                                          .model_name = "org/tiny",
                                          .aliases = aliases,
                                          .strict_model = true});
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_reply *r = pn_api_call(p.api, &(pn_api_request){.method = "GET",
                                                       .path = "/v1/models",
                                                       .query = pn_str_of(cases[i].query),
                                                       .request_id = "req_1"});
    char *body = play_body(r);
    pn_json *v = pn_json_parse(pn_str_of(body), NULL);
    const pn_json *data = pn_json_get(v, "data");
    pn_buf ids = {0};
    for (size_t k = 0; k < pn_json_len(data); k++)
      pn_buf_printf(&ids, "%s ", pn_json_cstr(pn_json_get(pn_json_at(data, k), "id")));
    assert_int_equal(pn_reply_status(r), cases[i].ids ? 200 : 400);
    assert_string_equal(pn_buf_cstr(&ids), cases[i].ids ? cases[i].ids : "");
    assert_int_equal(pn_json_true(pn_json_get(v, "has_more")), cases[i].more);
    pn_buf_fini(&ids);
    pn_json_free(v);
    free(body);
    pn_reply_free(r, false);
  }
  // Each of these names is served, and no other.
  static const char *const names[] = {"org/tiny", "d/e", "claude"};
  for (int i = 0; i < 3; i++) {
    char ask[200];
    snprintf(ask, sizeof ask,
             "{\"model\":\"%s\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}",
             names[i]);
    pn_reply *r = play_call(&p, "POST", "/v1/messages", ask);
    assert_int_equal(pn_reply_status(r), i < 2 ? 200 : 404);
    pn_reply_free(r, true);
    r = play_call(&p, "POST", "/v1/chat/completions", ask);
    assert_int_equal(pn_reply_status(r), i < 2 ? 200 : 404);
    pn_reply_free(r, true);
  }
  play_fini(&p);
}

static void messages_has_aliases(void **state) {
  (void)state;
  static const char *const paths[] = {"/v1/messages", "/v1/messages/", "/v1/v1/messages",
                                      "/v1/v1/messages//"};
  play p;
  play_init(&p);
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    pn_reply *r = play_call(&p, "POST", paths[i], hello);
    assert_int_equal(pn_reply_status(r), 200);
    pn_reply_free(r, true);
  }
  assert_int_equal(p.engine.n_submitted, 4);
  assert_int_equal(p.engine.n_released, 4);
  play_fini(&p);
}

static void error_replies_of_the_http_layer(void **state) {
  (void)state;
  static const struct {
    int status;
    const char *type;
  } cases[] = {{400, "invalid_request_error"},
               {401, "authentication_error"},
               {403, "permission_error"},
               {404, "not_found_error"},
               {413, "request_too_large"},
               {429, "rate_limit_error"},
               {431, "invalid_request_error"},
               {500, "api_error"},
               {502, "api_error"},
               {503, "overloaded_error"},
               {504, "timeout_error"},
               {529, "overloaded_error"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_reply *r = pn_api_error_reply(NULL, "/", cases[i].status, "say \"why\"", i ? "req_2" : NULL);
    assert_int_equal(pn_reply_status(r), cases[i].status);
    assert_int_equal(pn_reply_retry_after_s(r), cases[i].status == 503 ? 5 : cases[i].status == 529);
    char *body = play_body(r), want[200];
    snprintf(want, sizeof want,
             "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"say \\\"why\\\"\"},"
             "\"request_id\":%s}",
             cases[i].type, i ? "\"req_2\"" : "null");
    assert_string_equal(body, want);
    free(body);
    pn_reply_free(r, false);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(says_hello),
      cmocka_unit_test(health),
      cmocka_unit_test(refuses_work_while_draining_or_starting),
      cmocka_unit_test(models),
      cmocka_unit_test(unknown_paths),
      cmocka_unit_test(wrong_methods),
      cmocka_unit_test(models_in_pages),
      cmocka_unit_test(messages_has_aliases),
      cmocka_unit_test(error_replies_of_the_http_layer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
