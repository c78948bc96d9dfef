// GET /metrics, and what the API counts.
#include "../metrics_text.h"
#include "play.h"

static const char hello[] =
    "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";
static const char stream[] = "{\"model\":\"m\",\"max_tokens\":5,\"stream\":true,\"messages\":[{\"role\":"
                             "\"user\",\"content\":\"Hi\"}]}";

typedef struct counted {
  play p;
  pn_metrics *registry;
  char *before;
} counted;

static void replace_api(counted *c, pn_metrics *registry) {
  pn_error e = {0};
  pn_api_free(c->p.api);
  c->p.api = pn_api_new(&(pn_api_options){.engine = &c->p.engine,
                                          .tokenizer = &c->p.tokenizer,
                                          .chat_template = &c->p.tmpl,
                                          .backend_name = "a \"b\" \\ c\nd",
                                          .version = "1.2.3",
                                          .weights_bytes = 98362432,
                                          .metrics = registry},
                        &e);
  assert_non_null(c->p.api);
}

static char *page(counted *c) {
  char *all = text_of(c->registry);
  text_check(all);
  return all;
}

static int begin(void **state) {
  counted *c = calloc(1, sizeof *c);
  assert_non_null(c);
  play_init(&c->p);
  c->registry = pn_metrics_new();
  replace_api(c, c->registry);
  c->before = page(c);
  *state = c;
  return 0;
}

static int end(void **state) {
  counted *c = *state;
  play_fini(&c->p);
  pn_metrics_free(c->registry);
  free(c->before);
  free(c);
  return 0;
}

// Since the last time exactly these series of the API's grew, in the page's order.
static void expect(counted *c, const char *changes) {
  char *now = page(c), *got = text_changes(c->before, now), *own = got;
  while (strncmp(own, "pensieve_http_", 14) == 0) own = strchr(own, '\n') + 1;
  *own = '\0'; // others' series stand behind
  assert_string_equal(got, changes);
  free(got);
  free(c->before);
  c->before = now;
}

#define REQUESTS(path, status, n)                                                                            \
  "pensieve_http_requests_total{path=\"" path "\",status=\"" status "\"} " n "\n"
#define ERRORS(type, n) "pensieve_http_errors_total{type=\"" type "\"} " n "\n"

static void call(counted *c, const char *method, const char *path, const char *body, int status) {
  pn_reply *r = play_call(&c->p, method, path, body);
  assert_int_equal(pn_reply_status(r), status);
  free(play_body(r));
  pn_reply_free(r, false);
}

static void shows_the_registry(void **state) {
  counted *c = *state;
  pn_metric *mine = pn_metrics_add(
      c->registry, &(pn_metric_spec){.kind = PN_GAUGE, .name = "mine", .help = "Mine.", .labels = "a=\"b\""});
  pn_metric_set(mine, 42);
  for (int i = 0; i < 3; i++) {
    pn_reply *r = play_call(&c->p, i == 1 ? "HEAD" : "GET", i == 2 ? "/metrics/" : "/metrics", "");
    assert_int_equal(pn_reply_status(r), 200);
    assert_string_equal(pn_reply_content_type(r), "text/plain; version=0.0.4; charset=utf-8");
    assert_false(pn_reply_streaming(r));
    char *text = play_body(r);
    text_check(text);
    assert_true(text_value(text, "mine{a=\"b\"}") == 42);
    assert_true(text_value(text, "pensieve_weights_bytes") == 98362432);
    assert_true(
        text_value(text, "pensieve_build_info{version=\"1.2.3\",backend=\"a \\\"b\\\" \\\\ c\\nd\"}") == 1);
    assert_true(text_value(text, "process_resident_memory_bytes") > 1e6);
    assert_true(text_value(text, "process_open_fds") >= 3);
    assert_true(text_value(text, "process_cpu_seconds_total") > 0);
    assert_true(text_value(text, "process_start_time_seconds") > 1.7e9);
    free(text);
    pn_reply_free(r, false);
  }
  call(c, "POST", "/metrics", "", 405);
  expect(c, REQUESTS("/metrics", "200", "3") REQUESTS("/metrics", "405", "1")
                ERRORS("invalid_request_error", "1"));
}

static void process_values_are_fresh(void **state) {
  counted *c = *state;
  double start = text_value(c->before, "process_start_time_seconds"), cpu = 0;
  for (int i = 0; i < 3; i++) {
    char *now = page(c);
    assert_true(text_value(now, "process_start_time_seconds") == start);
    assert_true(text_value(now, "process_cpu_seconds_total") >= cpu);
    cpu = text_value(now, "process_cpu_seconds_total");
    free(now);
  }
}

static void is_not_there_without_a_registry(void **state) {
  counted *c = *state;
  replace_api(c, NULL);
  pn_reply *r = play_call(&c->p, "GET", "/metrics", "");
  assert_int_equal(pn_reply_status(r), 404);
  assert_string_equal(pn_reply_content_type(r), "application/json");
  char *body = play_body(r);
  assert_string_equal(body, "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"Not "
                            "found: this server has no such path\"},\"request_id\":\"req_1\"}");
  free(body);
  pn_reply_free(r, false);
  r = pn_api_error_reply(c->p.api, "/metrics", 401, "no", NULL);
  pn_reply_free(r, false);
  replace_api(c, pn_metrics_new());
  pn_metrics_free(c->p.api->o.metrics); // a registry that nobody writes may go first
}

static void counts_by_path_and_status(void **state) {
  counted *c = *state;
  call(c, "GET", "/health", "", 200);
  expect(c, REQUESTS("/health", "200", "1"));
  call(c, "GET", "/v1/v1/models/", "", 200);
  expect(c, REQUESTS("/v1/models", "200", "1"));
  call(c, "GET", "/v1/models/none", "", 404);
  expect(c, REQUESTS("/v1/models/*", "404", "1") ERRORS("not_found_error", "1"));
  call(c, "DELETE", "/v1/messages", "", 405);
  expect(c, REQUESTS("/v1/messages", "405", "1") ERRORS("invalid_request_error", "1"));
  call(c, "POST", "/v1/messages", "{", 400);
  expect(c, REQUESTS("/v1/messages", "400", "1") ERRORS("invalid_request_error", "2"));
  call(c, "POST", "/v1/messages/count_tokens", hello, 200);
  expect(c, REQUESTS("/v1/messages/count_tokens", "200", "1"));
  call(c, "GET", "/secret\"} 1\nx", "", 404); // a stranger's path is no label
  expect(c, REQUESTS("other", "404", "1") ERRORS("not_found_error", "2"));
  call(c, "HEAD", "/", "", 200);
  expect(c, REQUESTS("/", "200", "1"));
}

static void counts_what_the_http_layer_refuses(void **state) {
  counted *c = *state;
  static const struct {
    const char *path;
    int status;
    const char *changes;
  } cases[] = {
      {"/v1/messages", 401, REQUESTS("/v1/messages", "401", "1") ERRORS("authentication_error", "1")},
      {"/v1/messages/", 413, REQUESTS("/v1/messages", "413", "1") ERRORS("request_too_large", "1")},
      {"/v1/messages", 431, REQUESTS("/v1/messages", "other", "1") ERRORS("invalid_request_error", "1")},
      {"/metrics", 401, REQUESTS("/metrics", "401", "1") ERRORS("authentication_error", "2")},
      {"/nowhere", 403, REQUESTS("other", "403", "1") ERRORS("permission_error", "1")},
      {"", 400, REQUESTS("other", "400", "1") ERRORS("invalid_request_error", "2")},
      {"*", 999, REQUESTS("other", "other", "1") ERRORS("api_error", "1")},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_reply *r = pn_api_error_reply(c->p.api, cases[i].path, cases[i].status, "no", NULL);
    if (i % 2) free(play_body(r)); // sent, or its client has gone before
    pn_reply_free(r, i % 2 == 0);
    expect(c, cases[i].changes);
  }
}

static void counts_generations_at_their_end(void **state) {
  counted *c = *state;
  pn_reply *r = play_call(&c->p, "POST", "/v1/messages", hello);
  pn_buf out = {0};
  fake_emit_text(&c->p.engine, "Hi");
  assert_false(pn_reply_ready(r));
  expect(c, "");
  fake_emit_done(&c->p.engine, PN_STOP_END_TURN, -1, 2);
  assert_true(play_pull(r, &out));
  expect(c, REQUESTS("/v1/messages", "200", "1")); // before its client can know
  assert_true(play_pull(r, &out));
  pn_reply_free(r, false);
  expect(c, ""); // once

  r = play_call(&c->p, "POST", "/v1/messages", hello);
  fake_emit_failed(&c->p.engine, PN_ERR_TIMEOUT, "late");
  assert_true(play_pull(r, &out));
  pn_reply_free(r, false);
  expect(c, REQUESTS("/v1/messages", "504", "1") ERRORS("timeout_error", "1"));

  r = play_call(&c->p, "POST", "/v1/messages", hello); // the client goes before there is an answer
  assert_false(pn_reply_ready(r));
  pn_reply_free(r, true);
  expect(c, REQUESTS("/v1/messages", "499", "1"));

  pn_fail(&(c->p.engine.refuse), PN_ERR_BUSY, "full");
  call(c, "POST", "/v1/messages", hello, 529);
  expect(c, REQUESTS("/v1/messages", "529", "1") ERRORS("overloaded_error", "1"));
  pn_buf_fini(&out);
}

static void counts_errors_within_streams(void **state) {
  counted *c = *state;
  pn_buf out = {0};
  pn_reply *r = play_call(&c->p, "POST", "/v1/messages", stream);
  fake_emit_text(&c->p.engine, "Hi");
  assert_false(play_pull(r, &out));
  fake_emit_failed(&c->p.engine, PN_ERR_DEVICE, "broken");
  assert_true(play_pull(r, &out));
  assert_non_null(strstr(pn_buf_cstr(&out), "event: error\n"));
  pn_reply_free(r, false);
  expect(c, REQUESTS("/v1/messages", "200", "1") ERRORS("api_error", "1"));

  r = play_call(&c->p, "POST", "/v1/messages", stream); // the client goes in the middle
  assert_false(play_pull(r, &out));
  pn_reply_free(r, true);
  expect(c, REQUESTS("/v1/messages", "200", "2"));
  pn_buf_fini(&out);
}

#define WITH_A_REGISTRY(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_A_REGISTRY(shows_the_registry),
      WITH_A_REGISTRY(process_values_are_fresh),
      WITH_A_REGISTRY(is_not_there_without_a_registry),
      WITH_A_REGISTRY(counts_by_path_and_status),
      WITH_A_REGISTRY(counts_what_the_http_layer_refuses),
      WITH_A_REGISTRY(counts_generations_at_their_end),
      WITH_A_REGISTRY(counts_errors_within_streams),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
