// Resends: who joins a generation that runs, what they get, and when it is given up.
#include "base/json.h"
#include "play.h"

#include <stdlib.h>
#include <string.h>

#define ASK(more)                                                                                            \
  "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]" more "}"
#define STREAM ",\"stream\":true"

static void init(play *p, int wait_s) {
  play_init_options(p, &(pn_api_options){.engine = &p->engine,
                                         .tokenizer = &p->tokenizer,
                                         .chat_template = &p->tmpl,
                                         .model_name = "org/tiny",
                                         .resend_wait_s = wait_s});
}

static pn_reply *ask(play *p, const char *body, const char *key, int n_retries) {
  pn_reply *r = pn_api_call(p->api, &(pn_api_request){.method = "POST",
                                                      .path = "/v1/messages",
                                                      .body = pn_str_of(body),
                                                      .request_id = "req_1",
                                                      .key_name = key,
                                                      .n_retries = n_retries});
  assert_non_null(r);
  return r;
}

// The answer's text, of a message that is not streamed.
static void says(pn_reply *r, const char *want) {
  char *body = play_body(r);
  pn_json *v = pn_json_parse(pn_str_of(body), NULL);
  assert_string_equal(pn_json_cstr(pn_json_get(pn_json_at(pn_json_get(v, "content"), 0), "text")), want);
  pn_json_free(v);
  free(body);
}

static void a_resend_goes_on_where_the_first_left(void **state) {
  (void)state;
  play p;
  init(&p, 10);
  pn_buf first = {0}, second = {0};
  pn_reply *r = ask(&p, ASK(STREAM), "k", 0);
  fake_emit_text(&p.engine, "one ");
  play_pull(r, &first);
  pn_reply_free(r, true);
  assert_int_equal(p.engine.n_held, 1);
  assert_int_equal(p.engine.n_cancelled + p.engine.n_released, 0);
  play_clock_us += 9000000;
  r = ask(&p, ASK(STREAM), "k", 0);
  assert_int_equal(p.engine.n_submitted, 1);
  assert_int_equal(p.engine.n_resumed, 1);
  fake_emit_text(&p.engine, "two");
  fake_emit_done(&p.engine, PN_STOP_END_TURN, 0, 2);
  assert_true(play_pull(r, &second));
  assert_non_null(strstr(pn_buf_cstr(&second), "\"text\":\"one two\"")); // from its beginning
  const char *id = strstr(pn_buf_cstr(&first), "msg_01");
  assert_non_null(strstr(pn_buf_cstr(&second), "message_start"));
  assert_memory_equal(id, strstr(pn_buf_cstr(&second), "msg_01"), 28);
  pn_reply_free(r, false);
  assert_int_equal(p.engine.n_released, 1);
  pn_buf_fini(&first);
  pn_buf_fini(&second);
  play_fini(&p);
}

// What was streamed may be asked for whole: clients fall back to that.
static void a_resend_without_a_stream_joins_too(void **state) {
  (void)state;
  play p;
  init(&p, 10);
  pn_reply *r = ask(&p, ASK(STREAM), NULL, 0);
  fake_emit_text(&p.engine, "yes");
  pn_reply_free(r, true);
  r = ask(&p, ASK(""), NULL, 0);
  assert_int_equal(p.engine.n_submitted, 1);
  fake_emit_done(&p.engine, PN_STOP_END_TURN, 0, 1);
  says(r, "yes");
  pn_reply_free(r, false);
  play_fini(&p);
}

static void an_answer_that_ended_unread_is_still_there(void **state) {
  (void)state;
  play p;
  init(&p, 10);
  pn_reply *r = ask(&p, ASK(""), NULL, 0);
  fake_emit_text(&p.engine, "done");
  fake_emit_done(&p.engine, PN_STOP_END_TURN, 0, 1);
  assert_true(pn_reply_ready(r));
  pn_reply_free(r, true);
  r = ask(&p, ASK(""), NULL, 0);
  assert_int_equal(p.engine.n_submitted, 1);
  says(r, "done");
  pn_reply_free(r, false);
  play_fini(&p);
}

// A repeated request joins although the first client seems to be there; both get everything.
static void a_repeat_joins_a_client_that_reads(void **state) {
  (void)state;
  play p;
  init(&p, 10);
  pn_reply *first = ask(&p, ASK(""), NULL, 0), *second = ask(&p, ASK(""), NULL, 1);
  assert_int_equal(p.engine.n_submitted, 1);
  fake_emit_text(&p.engine, "both");
  fake_emit_done(&p.engine, PN_STOP_END_TURN, 0, 1);
  says(second, "both");
  says(first, "both");
  pn_reply_free(first, true);
  assert_int_equal(p.engine.n_held, 0); // someone reads
  assert_int_equal(p.engine.n_released, 0);
  pn_reply_free(second, false);
  assert_int_equal(p.engine.n_released, 1);
  play_fini(&p);
}

static void others_do_not_join(void **state) {
  (void)state;
  static const struct {
    const char *body, *key;
    int n_retries, wait_s;
    bool gone;
  } others[] = {
      {ASK(STREAM), "k", 0, 10, false},                       // the first client reads
      {ASK(STREAM), "other", 0, 10, true},                    // another key
      {ASK(STREAM), NULL, 1, 10, true},                       // none
      {ASK(STREAM ",\"temperature\":0.5"), "k", 0, 10, true}, // other settings
      {ASK(STREAM ",\"stop_sequences\":[\"x\"]"), "k", 1, 10, true},
      {ASK(STREAM ",\"system\":\"S\""), "k", 1, 10, true}, // another prompt
      {ASK(STREAM), "k", 1, 0, true},                      // turned off
  };
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    play p;
    init(&p, others[i].wait_s);
    pn_reply *first = ask(&p, ASK(STREAM), "k", 0);
    if (others[i].gone) pn_reply_free(first, true);
    assert_int_equal(p.engine.n_held, others[i].gone && others[i].wait_s);
    pn_reply *r = ask(&p, others[i].body, others[i].key, others[i].n_retries);
    if (p.engine.n_submitted != 2) fail_msg("case %zu joined", i);
    pn_reply_free(r, false);
    if (!others[i].gone) pn_reply_free(first, false);
    play_fini(&p);
  }
}

static void nobody_came_back(void **state) {
  (void)state;
  play p;
  init(&p, 10);
  assert_true(pn_api_tick(p.api) == UINT64_MAX);
  pn_reply_free(ask(&p, ASK(STREAM), NULL, 0), true);
  assert_true(pn_api_tick(p.api) == play_clock_us + 10000000);
  play_clock_us += 9999999;
  pn_api_tick(p.api);
  assert_int_equal(p.engine.n_released, 0);
  play_clock_us += 1;
  assert_true(pn_api_tick(p.api) == UINT64_MAX);
  assert_int_equal(p.engine.n_released, 1);
  pn_reply *r = ask(&p, ASK(STREAM), NULL, 0);
  assert_int_equal(p.engine.n_submitted, 2);
  pn_reply_free(r, true);
  pn_api_set_draining(p.api); // nobody can come back any more
  pn_api_tick(p.api);
  assert_int_equal(p.engine.n_released, 2);
  play_fini(&p);
}

// A generation that failed is not joined, and only so many are kept for clients that have gone.
static void bounds(void **state) {
  (void)state;
  play p;
  init(&p, 10);
  pn_reply *r = ask(&p, ASK(STREAM), NULL, 0);
  pn_buf b = {0};
  fake_emit_failed(&p.engine, PN_ERR_DEVICE, "it broke");
  assert_true(play_pull(r, &b));
  pn_reply_free(r, true);
  assert_int_equal(p.engine.n_released, 1);
  for (int i = 0; i < 40; i++) {
    char body[] = ASK(",\"system\":\"SS\"");
    char *at = strstr(body, "SS");
    at[0] = (char)('A' + i % 20), at[1] = (char)('A' + i / 20);
    pn_reply_free(ask(&p, body, NULL, 0), true);
  }
  assert_int_equal(p.engine.n_submitted, 41);
  assert_int_equal(p.engine.n_released, 1 + 40 - 16);
  pn_buf_fini(&b);
  play_fini(&p);
  assert_int_equal(p.engine.n_released, 41);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_resend_goes_on_where_the_first_left),
      cmocka_unit_test(a_resend_without_a_stream_joins_too),
      cmocka_unit_test(an_answer_that_ended_unread_is_still_there),
      cmocka_unit_test(a_repeat_joins_a_client_that_reads),
      cmocka_unit_test(others_do_not_join),
      cmocka_unit_test(nobody_came_back),
      cmocka_unit_test(bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
