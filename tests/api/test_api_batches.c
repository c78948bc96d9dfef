// /v1/messages/batches and the runner, a round at a time; at the end with its thread.
#include "../metrics_text.h"
#include "api/batches.h"
#include "base/clock.h"
#include "play.h"
#include "scratch_dir.h"

#include <stdio.h>
#include <sys/stat.h>

#define PATH "/v1/messages/batches"
#define PARAMS "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"
#define ONE(id, params) "{\"custom_id\":\"" id "\",\"params\":" params "}"
#define BATCH(list) "{\"requests\":[" list "]}"
#define ERROR(type, message)                                                                                 \
  "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message                              \
  "\"},\"request_id\":\"req_1\"}"

static _Atomic uint64_t wall = 1700000000123u;
static uint64_t wall_now(void) { return wall; }
static uint64_t clock_now(void) { return play_clock_us; }

typedef struct at {
  play p;
  scratch_dir dir;
  pn_metrics *registry;
  const char *query, *key;
  char id[64]; // of the batch that was created last
} at;

static pn_api *new_api(at *t, const char *dir, pn_metrics *m) {
  pn_error e = {0};
  pn_api *a = pn_api_new(&(pn_api_options){.engine = &t->p.engine,
                                           .tokenizer = &t->p.tokenizer,
                                           .chat_template = &t->p.tmpl,
                                           .data_dir = dir,
                                           .metrics = m},
                         &e);
  if (!a) fail_msg("%s", e.msg);
  return a;
}

static int begin(void **state) {
  at *t = calloc(1, sizeof *t);
  scratch_make(&t->dir);
  play_init(&t->p);
  pn_api_free(t->p.api);
  t->registry = pn_metrics_new();
  t->p.api = new_api(t, t->dir.path, t->registry);
  t->p.api->wall_ms = wall_now;
  t->p.api->now_us = clock_now;
  t->p.api->batches->by_hand = true;
  batch_runner_set_slots(t->p.api->batches->runner, 1);
  *state = t;
  return 0;
}

static int finish(void **state) {
  at *t = *state;
  play_fini(&t->p);
  pn_metrics_free(t->registry);
  scratch_remove(&t->dir);
  free(t);
  return 0;
}

static pn_reply *call_at(at *t, pn_api *a, const char *method, const char *path, const char *body) {
  pn_reply *r = pn_api_call(a, &(pn_api_request){.method = method,
                                                 .path = path,
                                                 .query = pn_str_of(t->query),
                                                 .body = pn_str_of(body),
                                                 .key_name = t->key,
                                                 .request_id = "req_1"});
  assert_non_null(r);
  return r;
}

// The whole body; free() it.
static char *ask(at *t, const char *method, const char *path, const char *body, int status) {
  pn_reply *r = call_at(t, t->p.api, method, path, body);
  char *text = play_body(r);
  if (pn_reply_status(r) != status) fail_msg("%s %s: %d %s", method, path, pn_reply_status(r), text);
  pn_reply_free(r, false);
  return text;
}

static void expect(at *t, const char *method, const char *path, const char *body, int status,
                   const char *want) {
  char *got = ask(t, method, path, body, status);
  assert_string_equal(got, want);
  free(got);
}

static char *path_of(const at *t, const char *behind) {
  static char path[128];
  snprintf(path, sizeof path, PATH "/%s%s", t->id, behind);
  return path;
}

static void create(at *t, const char *body) {
  char *got = ask(t, "POST", PATH, body, 200);
  assert_int_equal(sscanf(got, "{\"id\":\"%33[a-zA-Z0-9_]\"", t->id), 1);
  free(got);
}

static uint64_t round_of(at *t) {
  pn_error e = {0};
  uint64_t wait = 1;
  if (!batch_runner_round(t->p.api->batches->runner, &wait, &e)) fail_msg("%s", e.msg);
  return wait;
}

// Rounds until nothing happens by itself.
static void settle(at *t) {
  for (int i = 0; round_of(t) == 0; i++) assert_true(i < 1000);
}

static void answer(at *t, const char *text) {
  fake_emit_text(&t->p.engine, text);
  fake_emit_done(&t->p.engine, PN_STOP_END_TURN, -1, 2);
  settle(t);
}

static void expect_status(at *t, const char *status, const char *counts) {
  char *got = ask(t, "GET", path_of(t, ""), "", 200), want[300];
  snprintf(want, sizeof want, "\"processing_status\":\"%s\",\"request_counts\":{%s}", status, counts);
  if (!strstr(got, want)) fail_msg("%s\nin\n%s", want, got);
  free(got);
}
#define COUNTS(p, s, e, c, x)                                                                                \
  "\"processing\":" #p ",\"succeeded\":" #s ",\"errored\":" #e ",\"canceled\":" #c ",\"expired\":" #x

static double metric(at *t, const char *series) {
  char *page = text_of(t->registry);
  double v = text_value(page, series);
  free(page);
  return v;
}

static void runs_to_the_end(void **state) {
  at *t = *state;
  create(t, BATCH(ONE("first", PARAMS) "," ONE("bad", "{\"model\":\"m\"}") "," ONE("third", PARAMS)));
  assert_true(strncmp(t->id, "msgbatch_", 9) == 0 && strlen(t->id) == 33);
  assert_true(metric(t, "pensieve_batch_requests_pending") == 3);
  char want[600];
  snprintf(
      want, sizeof want,
      "{\"id\":\"%s\",\"type\":\"message_batch\",\"processing_status\":\"in_progress\",\"request_counts\":"
      "{" COUNTS(
          3, 0, 0, 0,
          0) "},\"ended_at\":null,\"created_at\":\"2023-11-14T22:13:20.123Z\","
             "\"expires_at\":\"2023-11-15T22:13:20.123Z\",\"archived_at\":null,\"cancel_initiated_at\":null,"
             "\"results_url\":null}",
      t->id);
  expect(t, "GET", path_of(t, ""), "", 200, want);
  settle(t);
  assert_int_equal(t->p.engine.n_submitted, 1);
  assert_true(t->p.engine.background);
  assert_int_equal(t->p.engine.timeout_us, 0);
  answer(t, "Hello");
  expect_status(t, "in_progress", COUNTS(3, 0, 0, 0, 0)); // until all have ended
  assert_true(metric(t, "pensieve_batch_requests_pending") == 1);
  wall += 2000;
  answer(t, "World");
  wall -= 2000;
  snprintf(
      want, sizeof want,
      "{\"id\":\"%s\",\"type\":\"message_batch\",\"processing_status\":\"ended\",\"request_counts\":"
      "{" COUNTS(
          0, 2, 1, 0,
          0) "},\"ended_at\":\"2023-11-14T22:13:22.123Z\",\"created_at\":"
             "\"2023-11-14T22:13:20.123Z\",\"expires_at\":\"2023-11-15T22:13:20.123Z\",\"archived_at\":null,"
             "\"cancel_initiated_at\":null,\"results_url\":\"/v1/messages/batches/%s/results\"}",
      t->id, t->id);
  expect(t, "GET", path_of(t, ""), "", 200, want);
  pn_reply *r = call_at(t, t->p.api, "GET", path_of(t, "/results"), "");
  assert_string_equal(pn_reply_content_type(r), "application/x-jsonl");
  assert_true(pn_reply_deadline_us(r) == UINT64_MAX);
  char *got = play_body(r), *line = got;
  pn_reply_free(r, false);
  static const char *const begins[] = {
      "{\"custom_id\":\"first\",\"result\":{\"type\":\"succeeded\",\"message\":{\"id\":\"msg_",
      "{\"custom_id\":\"bad\",\"result\":{\"type\":\"errored\",\"error\":{\"type\":\"error\",\"error\":"
      "{\"type\":\"invalid_request_error\",\"message\":\"max_tokens: Field required\"},\"request_id\":\"req_",
      "{\"custom_id\":\"third\",\"result\":{\"type\":\"succeeded\",\"message\":{\"id\":\"msg_"};
  for (int i = 0; i < 3; i++) {
    assert_int_equal(strncmp(line, begins[i], strlen(begins[i])), 0);
    pn_json *v = pn_json_parse((pn_str){line, strcspn(line, "\n")}, NULL);
    assert_non_null(v);
    if (i != 1)
      assert_true(pn_str_is(
          pn_json_str(pn_json_get(
              pn_json_at(pn_json_get(pn_json_get(pn_json_get(v, "result"), "message"), "content"), 0),
              "text")),
          i ? "World" : "Hello"));
    pn_json_free(v);
    line += strcspn(line, "\n") + 1;
  }
  assert_int_equal(*line, '\0');
  free(got);
  assert_true(metric(t, "pensieve_batch_requests_pending") == 0);
  assert_true(metric(t, "pensieve_batch_requests_total{result=\"succeeded\"}") == 2);
  assert_true(metric(t, "pensieve_batch_requests_total{result=\"errored\"}") == 1);
  assert_true(
      metric(t, "pensieve_http_requests_total{path=\"/v1/messages/batches/*/results\",status=\"200\"}") == 1);
  assert_true(metric(t, "pensieve_http_requests_total{path=\"/v1/messages\",status=\"200\"}") == 0);
}

// The whole check of a request is a batch's too: calls and results must belong together.
static void calls_without_results_are_errors(void **state) {
  at *t = *state;
  create(t,
         BATCH(ONE("x",
                   "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"U\"},"
                   "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\","
                   "\"input\":{}}]}]}")));
  settle(t);
  expect_status(t, "ended", COUNTS(0, 0, 1, 0, 0));
  pn_reply *r = call_at(t, t->p.api, "GET", path_of(t, "/results"), "");
  char *got = play_body(r);
  assert_non_null(
      strstr(got, "\"message\":\"messages.1: `tool_use` ids were found without `tool_result` blocks"));
  free(got);
  pn_reply_free(r, false);
}

static void refuses_malformed_batches(void **state) {
  at *t = *state;
  static const struct {
    const char *body, *message;
  } cases[] = {
      {"{}", "requests: Field required"},
      {"{\"requests\":{}}", "requests: Input should be a valid list"},
      {BATCH(""), "requests: List should have at least 1 item"},
      {BATCH("1"), "requests.0: Input should be a valid dictionary"},
      {BATCH("{\"params\":{}}"), "requests.0.custom_id: Field required"},
      {BATCH(ONE("a", "{}") ",{\"custom_id\":\"b\"}"), "requests.1.params: Field required"},
      {BATCH(ONE("a", "[]")), "requests.0.params: Input should be a valid dictionary"},
      {BATCH(ONE("", "{}")), "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"},
      {BATCH(ONE("a b", "{}")), "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"},
      {BATCH(ONE("12345678901234567890123456789012345678901234567890123456789012345", "{}")),
       "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"},
      {BATCH(ONE("x", "{}") "," ONE("y", "{}") "," ONE("x", "{}")),
       "requests.2.custom_id: each custom_id must be unique within the batch; requests.0 has 'x' too"},
      {BATCH(ONE("a", "{\"stream\":false}") "," ONE("b", "{\"stream\":true}")),
       "requests.1.params.stream: streaming is not supported in batches"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char want[400];
    snprintf(want, sizeof want, ERROR("invalid_request_error", "%s"), cases[i].message);
    expect(t, "POST", PATH, cases[i].body, 400, want);
  }
  char *got = ask(t, "POST", PATH, "{", 400);
  assert_non_null(strstr(got, "request body: not valid JSON"));
  free(got);
  create(t, BATCH(ONE("1234567890123456789012345678901234567890123456789012345678901_-Z", "{}")));
  assert_true(metric(t, "pensieve_batch_requests_pending") == 1);
}

static void refuses_too_many(void **state) {
  at *t = *state;
  pn_buf b = {0};
  pn_buf_z(&b, "{\"requests\":[");
  for (int i = 0; i <= 100000; i++) pn_buf_printf(&b, "%s" ONE("%d", "{}"), i ? "," : "", i);
  pn_buf_z(&b, "]}");
  expect(t, "POST", PATH, pn_buf_cstr(&b), 400,
         ERROR("invalid_request_error", "requests: List should have at most 100000 items, not 100001"));
  pn_buf_fini(&b);
}

static void cancels(void **state) {
  at *t = *state;
  create(t, BATCH(ONE("a", PARAMS) "," ONE("b", PARAMS) "," ONE("c", PARAMS)));
  settle(t);
  answer(t, "done");
  assert_int_equal(t->p.engine.n_submitted, 2);
  for (int i = 0; i < 2; i++) { // twice is the same
    char *got = ask(t, "POST", path_of(t, "/cancel"), "", 200);
    assert_non_null(strstr(got, "\"processing_status\":\"canceling\""));
    assert_non_null(strstr(got, "\"cancel_initiated_at\":\"2023-11-14T22:13:20.123Z\""));
    free(got);
  }
  char want[300];
  snprintf(want, sizeof want,
           ERROR("invalid_request_error",
                 "%s is being canceled; only a batch that has ended can be deleted: cancel it first"),
           t->id);
  expect(t, "DELETE", path_of(t, ""), "", 400, want);
  settle(t);
  assert_int_equal(t->p.engine.n_released, 2);
  assert_null(t->p.engine.gen);
  expect_status(t, "ended", COUNTS(0, 1, 0, 2, 0));
  char *got = ask(t, "GET", path_of(t, "/results"), "", 200);
  assert_non_null(strstr(got, "{\"custom_id\":\"b\",\"result\":{\"type\":\"canceled\"}}\n"));
  free(got);
  snprintf(want, sizeof want,
           ERROR("invalid_request_error", "%s has ended; only a batch that is in progress can be canceled"),
           t->id);
  expect(t, "POST", path_of(t, "/cancel"), "", 400, want);
  assert_true(metric(t, "pensieve_batch_requests_pending") == 0);
}

static void expires_after_a_day(void **state) {
  at *t = *state;
  create(t, BATCH(ONE("a", PARAMS) "," ONE("b", PARAMS)));
  settle(t);
  wall += BATCH_LIFE_MS;
  batch_runner_tell(t->p.api->batches->runner);
  settle(t);
  wall -= BATCH_LIFE_MS;
  assert_int_equal(t->p.engine.n_released, 1);
  expect_status(t, "ended", COUNTS(0, 0, 0, 0, 2));
  expect(t, "GET", path_of(t, "/results"), "", 200,
         "{\"custom_id\":\"a\",\"result\":{\"type\":\"expired\"}}\n"
         "{\"custom_id\":\"b\",\"result\":{\"type\":\"expired\"}}\n");
}

static void looks_again_when_a_batch_expires(void **state) {
  at *t = *state;
  create(t, BATCH(ONE("a", PARAMS)));
  wall += BATCH_LIFE_MS - 5000; // five seconds are left
  round_of(t);
  uint64_t wait = round_of(t);
  wall -= BATCH_LIFE_MS - 5000;
  assert_true(wait > 3000000 && wait <= 5000000);
}

static void deletes(void **state) {
  at *t = *state;
  create(t, BATCH(ONE("a", "{}")));
  char want[300];
  snprintf(want, sizeof want,
           ERROR("invalid_request_error",
                 "%s is in progress; only a batch that has ended can be deleted: cancel it first"),
           t->id);
  expect(t, "DELETE", path_of(t, ""), "", 400, want);
  settle(t);
  snprintf(want, sizeof want, "{\"id\":\"%s\",\"type\":\"message_batch_deleted\"}", t->id);
  expect(t, "DELETE", path_of(t, ""), "", 200, want);
  snprintf(want, sizeof want, ERROR("not_found_error", "message batch: %s"), t->id);
  expect(t, "GET", path_of(t, ""), "", 404, want);
  expect(t, "DELETE", path_of(t, ""), "", 404, want);
  expect(t, "POST", path_of(t, "/cancel"), "", 404, want);
  expect(t, "GET", path_of(t, "/results"), "", 404, want);
  expect(t, "GET", PATH, "", 200, "{\"data\":[],\"has_more\":false,\"first_id\":null,\"last_id\":null}");
  settle(t); // swept
  batch_row row;
  assert_true(batch_store_open_batch(t->p.api->batches->store, 0, &row, NULL));
  assert_int_equal(row.number, 0);
}

static void a_batch_belongs_to_its_key(void **state) {
  at *t = *state;
  t->key = "alice";
  create(t, BATCH(ONE("a", "{}")));
  static const char *const others[] = {"bob", NULL, ""};
  for (int i = 0; i < 3; i++) {
    t->key = others[i];
    free(ask(t, "GET", path_of(t, ""), "", 404));
    free(ask(t, "POST", path_of(t, "/cancel"), "", 404));
    expect(t, "GET", PATH, "", 200, "{\"data\":[],\"has_more\":false,\"first_id\":null,\"last_id\":null}");
  }
  t->key = "alice";
  free(ask(t, "GET", path_of(t, ""), "", 200));
}

static void no_results_before_the_end(void **state) {
  at *t = *state;
  char want[300];
  create(t, BATCH(ONE("a", PARAMS)));
  snprintf(want, sizeof want,
           ERROR("not_found_error", "%s has no results yet: they are there when its processing_status is "
                                    "\\\"ended\\\""),
           t->id);
  expect(t, "GET", path_of(t, "/results"), "", 404, want);
}

static void what_passes_is_no_result(void **state) {
  at *t = *state;
  create(t, BATCH(ONE("a", PARAMS)));
  pn_fail(&t->p.engine.refuse, PN_ERR_BUSY, "full");
  uint64_t wait = round_of(t);
  for (int i = 0; wait == 0 && i < 10; i++) wait = round_of(t);
  assert_true(wait > 0 && wait <= 1000000);
  t->p.engine.refuse.code = PN_OK;
  play_clock_us += wait;
  settle(t);
  assert_int_equal(t->p.engine.n_submitted, 1);
  t->p.engine.failed = true; // the device fails: not the request's fault
  fake_emit_failed(&t->p.engine, PN_ERR_DEVICE, "broken");
  wait = round_of(t);
  assert_true(wait > 0 && wait <= 1000000);
  expect_status(t, "in_progress", COUNTS(1, 0, 0, 0, 0));
  t->p.engine.failed = false;
  play_clock_us += wait;
  settle(t);
  assert_int_equal(t->p.engine.n_submitted, 2);
  fake_emit_failed(&t->p.engine, PN_ERR_DEVICE, "odd"); // and now it is
  settle(t);
  expect_status(t, "ended", COUNTS(0, 0, 1, 0, 0));
}

static void batches_take_turns(void **state) {
  at *t = *state;
  create(t, BATCH(ONE("a", PARAMS) "," ONE("b", PARAMS) "," ONE("c", PARAMS)));
  char first[64];
  strcpy(first, t->id);
  create(t, BATCH(ONE("d", PARAMS)));
  settle(t);
  answer(t, "1");
  answer(t, "2");
  expect_status(t, "ended", COUNTS(0, 1, 0, 0, 0)); // although the other one came first
  strcpy(t->id, first);
  expect_status(t, "in_progress", COUNTS(3, 0, 0, 0, 0));
}

static void a_new_runner_goes_on(void **state) {
  at *t = *state;
  pn_error e = {0};
  batches *b = t->p.api->batches;
  create(t, BATCH(ONE("a", PARAMS) "," ONE("b", PARAMS)));
  settle(t);
  answer(t, "1");
  batch_runner_free(b->runner); // with a request under way
  assert_int_equal(t->p.engine.n_released, 2);
  b->runner = batch_runner_new(b, &e);
  batch_runner_set_slots(b->runner, 1);
  settle(t);
  assert_int_equal(t->p.engine.n_submitted, 3);
  answer(t, "2");
  expect_status(t, "ended", COUNTS(0, 2, 0, 0, 0));
}

static void the_end_of_the_server_stops_it(void **state) {
  at *t = *state;
  create(t, BATCH(ONE("a", PARAMS)));
  settle(t);
  pn_api_set_draining(t->p.api);
  expect(t, "POST", PATH, BATCH(ONE("a", PARAMS)), 503,
         ERROR("overloaded_error", "the server is shutting down and takes no new requests"));
  expect_status(t, "in_progress", COUNTS(1, 0, 0, 0, 0));
}

static void lists(void **state) {
  at *t = *state;
  char ids[5][64], want[300], query[128];
  for (int i = 0; i < 5; i++) {
    create(t, BATCH(ONE("a", "{}")));
    strcpy(ids[i], t->id);
  }
  static const struct {
    const char *query; // %s: an id
    int id, n, first, last;
    bool more;
  } cases[] = {
      {"", 0, 5, 4, 0, false},
      {"limit=5", 0, 5, 4, 0, false},
      {"limit=2", 0, 2, 4, 3, true},
      {"limit=2&after_id=%s", 3, 2, 2, 1, true},
      {"after_id=%s&limit=2", 1, 1, 0, 0, false},
      {"after_id=%s", 0, 0, 0, 0, false},
      {"beta=true&limit=2&before_id=%s", 0, 2, 2, 1, true},
      {"limit=2&before_id=%s", 2, 2, 4, 3, false},
      {"before_id=%s", 1, 3, 4, 2, false},
      {"limit=%%31&before_id=%s", 1, 1, 2, 2, true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_buf q = {0}; // the cases hold formats
    const char *mark = strstr(cases[i].query, "%s");
    pn_buf_add(&q, cases[i].query, mark ? (size_t)(mark - cases[i].query) : strlen(cases[i].query));
    if (mark) pn_buf_printf(&q, "%s%s", ids[cases[i].id], mark + 2);
    size_t twice = pn_str_find(pn_buf_view(&q), PN_STR("%%"), 0);
    if (twice != SIZE_MAX) memmove(q.p + twice, q.p + twice + 1, q.n-- - twice - 1);
    snprintf(query, sizeof query, "%s", pn_buf_cstr(&q));
    pn_buf_fini(&q);
    t->query = query;
    char *got = ask(t, "GET", PATH, "", 200);
    int n = 0;
    for (const char *p = got; (p = strstr(p, "\"type\":\"message_batch\"")); p++) n++;
    assert_int_equal(n, cases[i].n);
    snprintf(want, sizeof want, "\"has_more\":%s,\"first_id\":\"%s\",\"last_id\":\"%s\"}",
             cases[i].more ? "true" : "false", ids[cases[i].first], ids[cases[i].last]);
    if (n == 0) snprintf(want, sizeof want, "\"has_more\":false,\"first_id\":null,\"last_id\":null}");
    if (!strstr(got, want)) fail_msg("%s: %s", query, got);
    free(got);
  }
}

static void refuses_malformed_lists(void **state) {
  at *t = *state;
  create(t, BATCH(ONE("a", "{}")));
  static const char *const limits[] = {"limit=0", "limit=1001", "limit=", "limit=ten", "limit", "limit=1x"};
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    t->query = limits[i];
    expect(t, "GET", PATH, "", 400,
           ERROR("invalid_request_error", "limit: Input should be an integer from 1 to 1000"));
  }
  t->query = "after_id=msgbatch_none";
  expect(t, "GET", PATH, "", 400,
         ERROR("invalid_request_error", "after_id: there is no message batch msgbatch_none"));
  char both[200];
  snprintf(both, sizeof both, "after_id=%s&before_id=%s", t->id, t->id);
  t->query = both;
  expect(t, "GET", PATH, "", 400,
         ERROR("invalid_request_error", "before_id: only one of after_id and before_id can be given"));
}

static void paths_and_methods(void **state) {
  at *t = *state;
  static const struct {
    const char *method, *path;
    int status;
    const char *allow;
  } cases[] = {{"DELETE", PATH, 405, "POST, GET, HEAD"},
               {"POST", PATH "/x", 405, "GET, HEAD, DELETE"},
               {"POST", PATH "/x/results", 405, "GET, HEAD"},
               {"DELETE", PATH "/x/results", 405, "GET, HEAD"},
               {"GET", PATH "/x/cancel/", 405, "POST"},
               {"GET", PATH "/x", 404, NULL},
               {"GET", "/v1" PATH "/x/results", 404, NULL},
               {"GET", PATH "/x/y/results", 404, NULL},
               {"GET", PATH "//results", 404, NULL},
               {"GET", "/v1/messages/batche", 404, NULL},
               {"HEAD", PATH, 200, NULL}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_reply *r = call_at(t, t->p.api, cases[i].method, cases[i].path, "");
    if (pn_reply_status(r) != cases[i].status) fail_msg("%s %s", cases[i].method, cases[i].path);
    if (cases[i].allow) assert_string_equal(pn_reply_allow(r), cases[i].allow);
    pn_reply_free(r, false);
  }
}

// A batch whose results are 3000 messages of 300 bytes.
static void create_large(at *t) {
  pn_buf b = {0}, body = {0};
  int64_t one;
  pn_buf_z(&b, "{\"requests\":[");
  for (int i = 0; i < 3000; i++) pn_buf_printf(&b, "%s" ONE("%d", "{}"), i ? "," : "", i);
  pn_buf_z(&b, "]}");
  create(t, pn_buf_cstr(&b));
  for (int i = 0; i < 300; i++) pn_buf_char(&body, '7');
  batches *a = t->p.api->batches;
  for (int i = 0; i < 3000; i++) {
    char id[16];
    snprintf(id, sizeof id, "%d", i);
    batch_item item = {
        .place = BATCH_PLACE(1, i + 1), .custom_id = pn_str_of(id), .body = pn_buf_view(&body)};
    assert_true(batch_store_put(a->store, &item, &one, NULL));
  }
  pn_buf_fini(&b);
  pn_buf_fini(&body);
  settle(t);
}

static void results_come_in_portions(void **state) {
  at *t = *state;
  create_large(t);
  pn_reply *r = call_at(t, t->p.api, "GET", path_of(t, "/results"), "");
  pn_buf all = {0};
  bool done = false;
  assert_true(pn_reply_ready(r));
  for (size_t before = 0; !done; before = all.n) {
    assert_true(pn_reply_pull(r, &all, &done));
    assert_true(all.n > before && all.n - before < 70000);
  }
  int n = 0;
  for (size_t i = 0; i < all.n; i++) n += all.p[i] == '\n';
  assert_int_equal(n, 3000);
  pn_reply_free(r, false);
  r = call_at(t, t->p.api, "HEAD", path_of(t, "/results"), "");
  pn_buf_clear(&all);
  assert_true(play_pull(r, &all));
  assert_int_equal(all.n, 0);
  pn_reply_free(r, false);
  pn_buf_fini(&all);
}

static void results_that_go_meanwhile_are_cut(void **state) {
  at *t = *state;
  create_large(t);
  pn_reply *r = call_at(t, t->p.api, "GET", path_of(t, "/results"), "");
  pn_reply *other = call_at(t, t->p.api, "GET", path_of(t, "/results"), "");
  pn_buf all = {0};
  bool done = false;
  assert_true(pn_reply_pull(r, &all, &done));
  assert_true(pn_reply_pull(other, &all, &done));
  free(ask(t, "DELETE", path_of(t, ""), "", 200));
  settle(t);
  assert_false(pn_reply_pull(r, &all, &done)); // it must not look whole
  pn_reply_end(other);                         // nor when the server ends
  assert_false(pn_reply_pull(other, &all, &done));
  pn_reply_free(r, true);
  pn_reply_free(other, true);
  pn_buf_fini(&all);
}

static void without_a_folder_there_are_none(void **state) {
  at *t = *state;
  pn_api_free(t->p.api);
  t->p.api = new_api(t, NULL, NULL);
  expect(t, "GET", PATH, "", 404,
         ERROR("not_found_error", "This server keeps no message batches: it has no data folder"));
  expect(t, "POST", PATH, BATCH(ONE("a", PARAMS)), 404,
         ERROR("not_found_error", "This server keeps no message batches: it has no data folder"));
}

static void writes_nothing_until_it_is_asked(void **state) {
  at *t = *state;
  char path[128];
  assert_int_not_equal(access(scratch_path(&t->dir, "batches.lock", path), F_OK), 0);
  assert_int_not_equal(access(scratch_path(&t->dir, "batches.sqlite3", path), F_OK), 0);
  free(ask(t, "GET", PATH, "", 200));
  assert_int_equal(access(path, F_OK), 0);
}

static void expect_failure(at *t, const char *says) {
  char *got = ask(t, "GET", PATH, "", 500);
  assert_non_null(strstr(got, "\"type\":\"api_error\""));
  if (!strstr(got, says)) fail_msg("%s", got);
  free(got);
  free(ask(t, "POST", PATH, BATCH(ONE("a", PARAMS)), 500));
  pn_reply *r = call_at(t, t->p.api, "GET", "/health", ""); // the server lives on
  assert_int_equal(pn_reply_status(r), 200);
  pn_reply_free(r, false);
}

static void a_folder_that_cannot_be_written(void **state) {
  at *t = *state;
  char file[128], below[160];
  scratch_path(&t->dir, "file", file);
  FILE *f = fopen(file, "w");
  fclose(f);
  snprintf(below, sizeof below, "%s/sub/dir", file);
  pn_api_free(t->p.api);
  t->p.api = new_api(t, below, NULL);
  expect_failure(t, "can't make the data folder");
}

static void a_damaged_file(void **state) {
  at *t = *state;
  char path[128];
  scratch_path(&t->dir, "batches.sqlite3", path);
  FILE *f = fopen(path, "w");
  for (int i = 0; i < 1000; i++) fputs("garbage ", f);
  fclose(f);
  expect_failure(t, "move the file away");
  expect_failure(t, path);
  unlink(path); // as it says
  free(ask(t, "GET", PATH, "", 200));
}

static void damage_under_a_running_server(void **state) {
  at *t = *state;
  char path[128];
  pn_buf b = {0};
  pn_buf_z(&b, "{\"requests\":[");
  for (int i = 0; i < 20000; i++) pn_buf_printf(&b, "%s" ONE("%d", PARAMS), i ? "," : "", i);
  pn_buf_z(&b, "]}");
  create(t, pn_buf_cstr(&b)); // more than SQLite keeps in memory
  pn_buf_fini(&b);
  static const char *const files[] = {"batches.sqlite3", "batches.sqlite3-wal"};
  for (int k = 0; k < 2; k++) {
    struct stat st;
    scratch_path(&t->dir, files[k], path);
    assert_int_equal(stat(path, &st), 0);
    FILE *f = fopen(path, "r+");
    for (off_t i = 0; i < st.st_size; i++) fputc('x', f);
    fclose(f);
  }
  for (int i = 0; i < 3; i++) {
    pn_error e = {0};
    uint64_t wait;
    assert_false(batch_runner_round(t->p.api->batches->runner, &wait, &e));
    assert_int_equal(e.code, PN_ERR_CORRUPT);
    assert_non_null(strstr(e.msg, ".recover"));
  }
  pn_reply *r = call_at(t, t->p.api, "GET", path_of(t, ""), "");
  assert_true(pn_reply_status(r) == 500 || pn_reply_status(r) == 200); // what SQLite still knows
  pn_reply_free(r, false);
  r = call_at(t, t->p.api, "GET", "/health", "");
  assert_int_equal(pn_reply_status(r), 200);
  pn_reply_free(r, false);
}

static void two_servers_on_one_folder(void **state) {
  at *t = *state;
  pn_api *first = t->p.api;
  pn_fail(&t->p.engine.refuse, PN_ERR_BUSY, "full"); // the stand-in is for one thread
  t->p.api->wall_ms = pn_wall_ms;
  create(t, BATCH(ONE("a", PARAMS)));
  t->p.api = new_api(t, t->dir.path, NULL);
  expect_failure(t, "are run by another server");
  pn_api_free(first);
  free(ask(t, "GET", path_of(t, ""), "", 200)); // now they are this one's
}

// With the thread. The engine is a stand-in for one thread, so these requests don't reach it.
static void wait_end(at *t) {
  char *got = ask(t, "GET", path_of(t, ""), "", 200);
  for (uint64_t from = pn_now_us(); !strstr(got, "\"ended\""); usleep(1000)) {
    assert_true(pn_now_us() < from + 30000000);
    free(got);
    got = ask(t, "GET", path_of(t, ""), "", 200);
  }
  free(got);
}

static void the_thread_runs_them(void **state) {
  at *t = *state;
  t->p.api->batches->by_hand = false;
  pn_buf b = {0};
  char ids[3][64];
  pn_buf_z(&b, "{\"requests\":[");
  for (int i = 0; i < 300; i++) pn_buf_printf(&b, "%s" ONE("%d", "{}"), i ? "," : "", i);
  pn_buf_z(&b, "]}");
  for (int i = 0; i < 3; i++) {
    create(t, pn_buf_cstr(&b));
    strcpy(ids[i], t->id);
    if (i == 1)
      pn_reply_free(call_at(t, t->p.api, "POST", path_of(t, "/cancel"), ""), false); // if it still runs
  }
  for (int i = 0; i < 3; i++) {
    strcpy(t->id, ids[i]);
    wait_end(t);
    char *got = ask(t, "GET", path_of(t, "/results"), "", 200);
    free(got);
    free(ask(t, "DELETE", path_of(t, ""), "", 200));
  }
  assert_true(metric(t, "pensieve_batch_requests_pending") == 0);
  pn_buf_fini(&b);
}

static void the_thread_takes_over(void **state) {
  at *t = *state;
  t->p.api->wall_ms = pn_wall_ms;
  create(t, BATCH(ONE("a", "{}") "," ONE("b", "{}"))); // and nobody runs it
  pn_api *first = t->p.api;
  t->p.api = new_api(t, t->dir.path, NULL); // its thread waits
  usleep(20000);
  pn_api_free(first);
  wait_end(t);
  expect_status(t, "ended", COUNTS(0, 0, 2, 0, 0));
}

#define IN_A_DIR(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_A_DIR(runs_to_the_end),
      IN_A_DIR(calls_without_results_are_errors),
      IN_A_DIR(refuses_malformed_batches),
      IN_A_DIR(refuses_too_many),
      IN_A_DIR(cancels),
      IN_A_DIR(expires_after_a_day),
      IN_A_DIR(looks_again_when_a_batch_expires),
      IN_A_DIR(deletes),
      IN_A_DIR(a_batch_belongs_to_its_key),
      IN_A_DIR(no_results_before_the_end),
      IN_A_DIR(what_passes_is_no_result),
      IN_A_DIR(batches_take_turns),
      IN_A_DIR(a_new_runner_goes_on),
      IN_A_DIR(the_end_of_the_server_stops_it),
      IN_A_DIR(lists),
      IN_A_DIR(refuses_malformed_lists),
      IN_A_DIR(paths_and_methods),
      IN_A_DIR(results_come_in_portions),
      IN_A_DIR(results_that_go_meanwhile_are_cut),
      IN_A_DIR(without_a_folder_there_are_none),
      IN_A_DIR(writes_nothing_until_it_is_asked),
      IN_A_DIR(a_folder_that_cannot_be_written),
      IN_A_DIR(a_damaged_file),
      IN_A_DIR(damage_under_a_running_server),
      IN_A_DIR(two_servers_on_one_folder),
      IN_A_DIR(the_thread_runs_them),
      IN_A_DIR(the_thread_takes_over),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
