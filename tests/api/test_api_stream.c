// Generations as replies: chunking, pings, cancelling, failures, wake-ups from the engine's thread.
#include "api/messages_answer.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ASK(more)                                                                                            \
  "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]" more "}"

static size_t count(const char *hay, const char *needle) {
  size_t n = 0;
  for (const char *p = hay; (p = strstr(p, needle)); p += strlen(needle)) n++;
  return n;
}

// Check the frames' form and order and add the deltas' text to `text`. Returns the number of deltas.
static size_t read_stream(pn_buf *frames, pn_buf *text) {
  size_t n_deltas = 0, at = 0;
  bool open = false, stopped = false, first = true;
  pn_str all = pn_buf_view(frames);
  while (at < all.n) {
    size_t end = pn_str_find(all, PN_STR("\n\n"), at);
    assert_true(end != SIZE_MAX);
    pn_str frame = {all.p + at, end - at};
    size_t line = pn_str_find(frame, PN_STR("\ndata: "), 0);
    assert_true(line != SIZE_MAX && pn_str_starts(frame, PN_STR("event: ")));
    pn_str event = {frame.p + 7, line - 7};
    pn_error e = {0};
    pn_json *data = pn_json_parse((pn_str){frame.p + line + 7, frame.n - line - 7}, &e);
    assert_true(pn_str_eq(pn_json_str(pn_json_get(data, "type")), event));
    assert_false(stopped);
    assert_int_equal(first, pn_str_is(event, "message_start"));
    first = false;
    if (pn_str_is(event, "content_block_start")) open = true;
    if (pn_str_is(event, "content_block_delta")) {
      assert_true(open);
      n_deltas++;
      pn_buf_str(text, pn_json_str(pn_json_get(pn_json_get(data, "delta"), "text")));
    }
    if (pn_str_is(event, "content_block_stop")) open = false;
    if (pn_str_is(event, "message_stop")) stopped = true;
    pn_json_free(data);
    at = end + 2;
  }
  assert_true(stopped && !open);
  return n_deltas;
}

static const char *const pieces[] = {"Hé", "llo ", "wörld", "\n", "\"日本\"", "🙂", "\\", "end"};
enum { N_PIECES = sizeof pieces / sizeof *pieces };

// Every way to cut the events into pulls gives the same text in well-formed frames, one delta a pull at most.
static void pulls_in_every_chunking(void **state) {
  (void)state;
  for (unsigned cuts = 0; cuts < 1u << N_PIECES; cuts++) {
    play p;
    play_init(&p);
    pn_reply *r = play_call(&p, "POST", "/v1/messages", ASK(",\"stream\":true"));
    assert_true(pn_reply_ready(r) && pn_reply_streaming(r));
    assert_int_equal(pn_reply_status(r), 200);
    pn_buf frames = {0}, text = {0};
    size_t most = 1;
    for (int i = 0; i < N_PIECES; i++) {
      if (cuts & 1u << i) {
        assert_false(play_pull(r, &frames));
        most++;
      }
      fake_emit_text(&p.engine, pieces[i]);
    }
    fake_emit_done(&p.engine, PN_STOP_END_TURN, 0, 9);
    while (!play_pull(r, &frames)) {}
    assert_true(read_stream(&frames, &text) <= most);
    assert_string_equal(pn_buf_cstr(&text), "Héllo wörld\n\"日本\"🙂\\end");
    assert_true(pn_reply_deadline_us(r) == UINT64_MAX);
    pn_reply_free(r, false);
    assert_int_equal(p.engine.n_cancelled, 0);
    assert_int_equal(p.engine.n_released, 1);
    pn_buf_fini(&frames);
    pn_buf_fini(&text);
    play_fini(&p);
  }
}

static void pulling_after_the_end_gives_nothing(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_reply *r = play_call(&p, "POST", "/v1/messages", ASK(",\"stream\":true"));
  fake_emit_done(&p.engine, PN_STOP_END_TURN, 0, 1);
  pn_buf b = {0};
  assert_true(play_pull(r, &b));
  size_t n = b.n;
  assert_true(play_pull(r, &b));
  assert_int_equal(b.n, n);
  pn_reply_free(r, false);
  pn_buf_fini(&b);
  play_fini(&p);
}

static void pings_when_silent(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_reply *r = play_call(&p, "POST", "/v1/messages", ASK(",\"stream\":true"));
  pn_buf b = {0};
  fake_emit_news(&p.engine, PN_EVENT_QUEUED, 0);
  play_pull(r, &b);
  assert_int_equal(count(pn_buf_cstr(&b), "event: message_start\n"), 1);
  assert_int_equal(count(pn_buf_cstr(&b), "event: ping\n"), 0);
  uint64_t due = pn_reply_deadline_us(r);
  assert_true(due > play_clock_us && due <= play_clock_us + 10000000);
  for (int i = 1; i <= 3; i++) {
    play_clock_us = due - 1;
    play_pull(r, &b);
    assert_int_equal(count(pn_buf_cstr(&b), "event: ping\n"), (size_t)i - 1);
    play_clock_us = due;
    fake_emit(&p.engine, &(pn_event){.kind = PN_EVENT_PREFILL, .n_prompt_done = i});
    play_pull(r, &b);
    assert_int_equal(count(pn_buf_cstr(&b), "event: ping\ndata: {\"type\":\"ping\"}\n\n"), (size_t)i);
    due = pn_reply_deadline_us(r);
    assert_true(due == play_clock_us + ANSWER_PING_US);
  }
  // text is not silence: the ping behind content_block_start is the only new one
  play_clock_us = due;
  fake_emit_text(&p.engine, "x");
  play_pull(r, &b);
  assert_int_equal(count(pn_buf_cstr(&b), "event: ping\n"), 4);
  assert_true(pn_reply_deadline_us(r) == play_clock_us + ANSWER_PING_US);
  pn_reply_free(r, true);
  pn_buf_fini(&b);
  play_fini(&p);
}

static void a_client_that_leaves_stops_the_generation(void **state) {
  (void)state;
  for (int stream = 0; stream < 2; stream++) {
    play p;
    play_init(&p);
    pn_reply *r = play_call(&p, "POST", "/v1/messages", stream ? ASK(",\"stream\":true") : ASK(""));
    pn_buf b = {0};
    fake_emit_text(&p.engine, "some");
    assert_false(play_pull(r, &b));
    pn_reply_free(r, true);
    assert_int_equal(p.engine.n_released, 1); // which cancels what still runs
    pn_buf_fini(&b);
    play_fini(&p);
  }
}

// A stream's message_start waits for the engine's first word, but not for long.
static void the_start_waits_a_moment(void **state) {
  (void)state;
  for (int heard = 0; heard < 2; heard++) {
    play p;
    play_init(&p);
    pn_reply *r = play_call(&p, "POST", "/v1/messages", ASK(",\"stream\":true"));
    pn_buf b = {0};
    uint64_t due = play_clock_us + ANSWER_START_US;
    assert_true(pn_reply_ready(r));
    assert_true(pn_reply_deadline_us(r) == due);
    play_clock_us = due - 1;
    assert_false(play_pull(r, &b));
    assert_int_equal(b.n, 0);
    assert_true(pn_reply_deadline_us(r) == due);
    if (heard)
      fake_emit_news(&p.engine, PN_EVENT_QUEUED, 20);
    else
      play_clock_us = due;
    assert_false(play_pull(r, &b));
    assert_int_equal(count(pn_buf_cstr(&b), "event: message_start\n"), 1);
    assert_int_equal(count(pn_buf_cstr(&b), "event: "), 1);
    assert_int_equal(
        count(pn_buf_cstr(&b), heard ? "\"cache_read_input_tokens\":20," : "_tokens\":0,\"cache_c"), 1);
    assert_true(pn_reply_deadline_us(r) == play_clock_us + ANSWER_PING_US);
    pn_reply_free(r, true);
    pn_buf_fini(&b);
    play_fini(&p);
  }
}

// The server ends: what came is still told, then an error; the generation is stopped. A reply at its end
// stays.
static void ended_by_the_server(void **state) {
  (void)state;
  for (int begun = 0; begun < 2; begun++)
    for (int stream = 0; stream < 2; stream++) {
      play p;
      play_init(&p);
      pn_reply *r = play_call(&p, "POST", "/v1/messages", stream ? ASK(",\"stream\":true") : ASK(""));
      pn_buf b = {0};
      if (begun) fake_emit_text(&p.engine, "part");
      pn_reply_end(r);
      assert_int_equal(p.engine.n_cancelled, 1);
      assert_true(pn_reply_ready(r));
      fake_emit_failed(&p.engine, PN_ERR_CANCELLED, "cancelled");
      assert_true(play_pull(r, &b));
      assert_true(pn_reply_deadline_us(r) == UINT64_MAX);
      static const char envelope[] =
          "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
          "\"the server is shutting down\"},\"request_id\":\"req_1\"}";
      assert_int_equal(count(pn_buf_cstr(&b), envelope), 1);
      assert_int_equal(count(pn_buf_cstr(&b), "\"part\""), (size_t)(stream && begun));
      assert_int_equal(count(pn_buf_cstr(&b), "event: message_start\n"), (size_t)stream);
      assert_true(pn_str_ends(pn_buf_view(&b), stream ? PN_STR("}\n\n") : pn_str_of(envelope)));
      assert_int_equal(pn_reply_status(r), stream ? 200 : 503);
      assert_int_equal(pn_reply_retry_after_s(r), stream ? 0 : 5);
      pn_reply_end(r);
      pn_reply_free(r, false);
      pn_buf_fini(&b);
      play_fini(&p);
    }
  play p;
  play_init(&p);
  pn_reply *r = play_call(&p, "POST", "/v1/messages", ASK(""));
  pn_buf b = {0};
  fake_emit_done(&p.engine, PN_STOP_END_TURN, 0, 1);
  pn_reply_end(r);
  assert_true(play_pull(r, &b));
  assert_int_equal(pn_reply_status(r), 200);
  assert_int_equal(p.engine.n_cancelled, 0);
  pn_reply_free(r, false);
  pn_buf_fini(&b);
  r = play_call(&p, "GET", "/health", "");
  pn_reply_end(r);
  assert_int_equal(pn_reply_status(r), 200);
  pn_reply_free(r, false);
  play_fini(&p);
}

// Without stream: nothing is decided before the end, whether the caller asks `ready` or pulls.
static void one_object_at_the_end(void **state) {
  (void)state;
  for (int how = 0; how < 2; how++) {
    play p;
    play_init(&p);
    pn_reply *r = play_call(&p, "POST", "/v1/messages", ASK(",\"stream\":false"));
    assert_false(pn_reply_streaming(r));
    assert_true(pn_reply_deadline_us(r) == UINT64_MAX);
    pn_buf b = {0};
    fake_emit_text(&p.engine, "Hel");
    assert_int_equal(atomic_load(&p.n_wakes), 1);
    if (how == 0) assert_false(play_pull(r, &b));
    assert_false(pn_reply_ready(r));
    assert_int_equal(b.n, 0);
    fake_emit_text(&p.engine, "lo");
    fake_emit_done(&p.engine, PN_STOP_MAX_TOKENS, 0, 5);
    if (how == 0) assert_true(play_pull(r, &b));
    assert_true(pn_reply_ready(r));
    if (how == 1) assert_true(play_pull(r, &b));
    assert_int_equal(pn_reply_status(r), 200);
    assert_non_null(strstr(pn_buf_cstr(&b), "\"content\":[{\"type\":\"text\",\"text\":\"Hello\"}]"));
    assert_non_null(strstr(pn_buf_cstr(&b), "\"stop_reason\":\"max_tokens\""));
    pn_reply_free(r, false);
    pn_buf_fini(&b);
    play_fini(&p);
  }
}

static void failures_under_way(void **state) {
  (void)state;
  static const struct {
    pn_code code;
    int status;
    const char *type;
  } cases[] = {
      {PN_ERR_DEVICE, 500, "api_error"},
      {PN_ERR_LIMIT, 529, "overloaded_error"}, // the KV pool is full; not the client's fault any more
      {PN_ERR_CORRUPT, 500, "api_error"},
      {PN_ERR_TIMEOUT, 504, "timeout_error"},
      {PN_ERR_NOMEM, 529, "overloaded_error"},
      {PN_ERR_CANCELLED, 499, "api_error"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int stream = 0; stream < 2; stream++) {
      play p;
      play_init(&p);
      pn_reply *r = play_call(&p, "POST", "/v1/messages", stream ? ASK(",\"stream\":true") : ASK(""));
      fake_emit_text(&p.engine, "part");
      fake_emit_failed(&p.engine, cases[i].code, "it broke");
      pn_buf b = {0};
      assert_true(play_pull(r, &b));
      char want[200];
      snprintf(want, sizeof want,
               "%s{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"it broke\"},"
               "\"request_id\":\"req_1\"}%s",
               stream ? "event: error\ndata: " : "", cases[i].type, stream ? "\n\n" : "");
      assert_true(pn_str_ends(pn_buf_view(&b), pn_str_of(want)));
      assert_int_equal(pn_reply_status(r), stream ? 200 : cases[i].status);
      assert_int_equal(count(pn_buf_cstr(&b), "\"part\""), (size_t)stream);
      assert_int_equal(pn_reply_retry_after_s(r), !stream && cases[i].status == 529);
      pn_reply_free(r, false);
      pn_buf_fini(&b);
      play_fini(&p);
    }
}

static void sampling_and_stops_reach_the_engine(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_reply_free(play_call(&p, "POST", "/v1/messages", ASK("")), true);
  assert_float_equal(p.engine.sampling.temperature, 1, 0);
  assert_float_equal(p.engine.sampling.top_p, 1, 0);
  assert_float_equal(p.engine.sampling.min_p, 0, 0);
  assert_int_equal(p.engine.sampling.top_k, 0);
  assert_int_equal(p.engine.max_tokens, 5);
  assert_int_equal(p.engine.stops.n, 0);
  uint64_t seed = p.engine.sampling.seed;
  pn_reply_free(play_call(&p, "POST", "/v1/messages",
                          ASK(",\"temperature\":0.5,\"top_p\":0.25,\"top_k\":40,"
                              "\"stop_sequences\":[\"\\n\\nHuman:\",\"é\"]")),
                true);
  assert_float_equal(p.engine.sampling.temperature, 0.5, 0);
  assert_float_equal(p.engine.sampling.top_p, 0.25, 0);
  assert_int_equal(p.engine.sampling.top_k, 40);
  assert_true(p.engine.sampling.seed != seed);
  assert_string_equal(pn_buf_cstr(&p.engine.stops), "\n\nHuman:|é|");
  play_fini(&p);
}

static void who_asks_and_how_long_reach_the_engine(void **state) {
  (void)state;
  play p;
  play_init(&p);
  for (int limit = 0; limit < 2; limit++) {
    p.api->o.request_timeout_s = limit ? 30 : 0;
    pn_reply *r = pn_api_call(p.api, &(pn_api_request){.method = "POST",
                                                       .path = "/v1/messages",
                                                       .body = PN_STR(ASK("")),
                                                       .request_id = "r",
                                                       .client = UINT64_MAX - 1});
    assert_true(p.engine.client == UINT64_MAX - 1);
    assert_true(p.engine.timeout_us == (limit ? 30000000u : 0));
    pn_reply_free(r, true);
  }
  play_fini(&p);
}

static void every_answer_has_its_own_id(void **state) {
  (void)state;
  char ids[2][29];
  for (int i = 0; i < 2; i++) {
    play p;
    play_init(&p);
    pn_reply *r = play_call(&p, "POST", "/v1/messages", ASK(""));
    fake_emit_done(&p.engine, PN_STOP_END_TURN, 0, 1);
    char *text = play_body(r);
    const char *id = strstr(text, "\"id\":\"msg_01");
    assert_non_null(id);
    memcpy(ids[i], id + 6, 28);
    ids[i][28] = '\0';
    assert_int_equal(strcspn(ids[i], "\""), 28);
    free(text);
    pn_reply_free(r, false);
    play_fini(&p);
  }
  assert_string_not_equal(ids[0], ids[1]);
}

enum { N_THREAD_EVENTS = 2000 };
static void *engine_thread(void *arg) {
  play *p = arg;
  for (int i = 0; i < N_THREAD_EVENTS; i++) fake_emit_text(&p->engine, "tök ");
  fake_emit_done(&p->engine, PN_STOP_END_TURN, 0, N_THREAD_EVENTS);
  return NULL;
}

// Run the reply as the HTTP thread does, pulling after wake-ups only, while another thread plays the engine.
static void wakes_from_another_thread(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_reply *r = play_call(&p, "POST", "/v1/messages", ASK(",\"stream\":true"));
  pn_buf frames = {0}, text = {0};
  pthread_t thread;
  assert_false(play_pull(r, &frames));
  assert_int_equal(pthread_create(&thread, NULL, engine_thread, &p), 0);
  int seen = 0;
  bool done = false;
  for (uint64_t start = pn_now_us(); !done && pn_now_us() - start < 60000000;) {
    int now = atomic_load(&p.n_wakes);
    if (now == seen) {
      usleep(50);
      continue;
    }
    seen = now;
    done = play_pull(r, &frames);
  }
  pthread_join(thread, NULL);
  assert_true(done);
  read_stream(&frames, &text);
  assert_int_equal(text.n, N_THREAD_EVENTS * strlen("tök "));
  assert_int_equal(pn_utf8_check(pn_buf_view(&text)), text.n);
  pn_reply_free(r, false);
  pn_buf_fini(&frames);
  pn_buf_fini(&text);
  play_fini(&p);
}

static void no_wake_function_is_needed(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_reply *r = pn_api_call(
      p.api, &(pn_api_request){
                 .method = "POST", .path = "/v1/messages", .body = PN_STR(ASK("")), .request_id = NULL});
  assert_non_null(r);
  fake_emit_done(&p.engine, PN_STOP_END_TURN, 0, 1);
  assert_true(pn_reply_ready(r));
  pn_reply_free(r, false);
  play_fini(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pulls_in_every_chunking),
      cmocka_unit_test(pulling_after_the_end_gives_nothing),
      cmocka_unit_test(pings_when_silent),
      cmocka_unit_test(the_start_waits_a_moment),
      cmocka_unit_test(ended_by_the_server),
      cmocka_unit_test(who_asks_and_how_long_reach_the_engine),
      cmocka_unit_test(a_client_that_leaves_stops_the_generation),
      cmocka_unit_test(one_object_at_the_end),
      cmocka_unit_test(failures_under_way),
      cmocka_unit_test(sampling_and_stops_reach_the_engine),
      cmocka_unit_test(every_answer_has_its_own_id),
      cmocka_unit_test(wakes_from_another_thread),
      cmocka_unit_test(no_wake_function_is_needed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
