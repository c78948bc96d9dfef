// The engine over a scripted model: one request at a time, and what may go wrong with it.
#include "base/clock.h"
#include "fake_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const int32_t prompt[FAKE_CTX] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, [69] = 3};
static fake_answer a;

static pn_engine *open_engine(int max_queue, int chunk) {
  fake_reset();
  return fake_open(&(pn_engine_options){.max_queue = max_queue, .chunk_tokens = chunk});
}

static const fake_answer *ask(pn_engine *g, int n, int max_tokens, const pn_str *stops, size_t n_stops) {
  pn_request r = fake_request(prompt, (size_t)n, max_tokens, NULL);
  r.stops = stops;
  r.n_stops = n_stops;
  fake_ask(g, &r, &a);
  return &a;
}

static void generates_what_the_model_says(void **state) {
  (void)state;
  char want[512];
  for (int chunk = 1; chunk <= 100; chunk += 33) {
    pn_engine *g = open_engine(4, chunk);
    ask(g, 70, 40, NULL, 0);
    fake_expect(prompt, 70, 40, want);
    assert_string_equal(a.text, want);
    assert_int_equal(a.last.kind, PN_EVENT_DONE);
    assert_int_equal(a.last.stop, PN_STOP_MAX_TOKENS);
    assert_int_equal(a.last.n_output, 40);
    assert_int_equal(a.last.n_prompt_done, 70);
    assert_int_equal(a.last.n_cached, 0);
    assert_int_equal(a.n_queued, 1);
    assert_in_range(a.n_prefills, 1, 70);
    assert_in_range(fake.max_rows, 1, chunk);
    pn_engine_info info;
    pn_engine_info_of(g, &info);
    assert_int_equal(info.n_ctx, FAKE_CTX);
    assert_int_equal(info.n_running + info.n_waiting, 0);
    assert_int_equal(info.kv_used_bytes, 0);
    assert_int_equal(info.kv_cached_bytes, 4 * info.kv_bytes / ((FAKE_CTX + 31) / 32)); // 109 tokens
    assert_in_range(info.retry_after_s, 1, 60);
    assert_false(info.failed);
    pn_engine_close(g);
    assert_int_equal(fake.bad_rows + fake.n_row_twice, 0);
  }
}

static void stops_for_every_reason(void **state) {
  (void)state;
  char want[512];
  pn_engine *g = open_engine(4, 16);
  fake_expect(prompt, 70, 40, want);
  pn_str stops[] = {PN_STR("@@"), {want + 10, 4}};
  ask(g, 70, 40, stops, 2);
  assert_int_equal(a.last.stop, PN_STOP_STRING);
  assert_int_equal(a.last.stop_index, 1);
  assert_true(strlen(a.text) <= 10 && strncmp(a.text, want, strlen(a.text)) == 0);

  ask(g, 70, 1000, NULL, 0);
  assert_int_equal(a.last.stop, PN_STOP_CONTEXT);
  assert_int_equal(a.last.n_output, FAKE_CTX - 70);

  atomic_store(&fake.end_after_pos, 75);
  ask(g, 70, 1000, NULL, 0);
  assert_int_equal(a.last.stop, PN_STOP_END_TURN);
  assert_int_equal(strlen(a.text) + 1, a.last.n_output);

  ask(g, FAKE_CTX - 1, 1000, NULL, 0); // room for exactly one token
  assert_int_equal(a.last.n_output, 1);
  pn_engine_close(g);
  assert_int_equal(fake.bad_rows, 0);
}

static void refuses_what_can_not_be(void **state) {
  (void)state;
  pn_engine *g = open_engine(4, 16);
  static const int32_t unknown[] = {1, FAKE_VOCAB}, negative[] = {-1};
  pn_request ok = fake_request(prompt, 3, 1, NULL), r;
  pn_error e;
#define REFUSED(change, expected_code)                                                                       \
  (r = ok, change, e = (pn_error){0}, assert_null(pn_engine_submit(g, &r, &e)),                              \
   assert_int_equal(e.code, expected_code))
  REFUSED(r.n_tokens = 0, PN_ERR_USAGE);
  REFUSED(r.n_tokens = FAKE_CTX, PN_ERR_LIMIT);
  REFUSED((r.tokens = unknown, r.n_tokens = 2), PN_ERR_USAGE);
  REFUSED((r.tokens = negative, r.n_tokens = 1), PN_ERR_USAGE);
  REFUSED(r.max_tokens = 0, PN_ERR_USAGE);
  REFUSED(r.sampling.top_p = 0, PN_ERR_USAGE);
  REFUSED(r.sampling.temperature = -1, PN_ERR_USAGE);
  pn_str empty = {"", 0};
  REFUSED((r.stops = &empty, r.n_stops = 1), PN_ERR_USAGE);
  pn_engine_close(g);
  const pn_engine_options wrong[] = {{.n_ctx = FAKE_CTX * PN_MODEL_STRETCH + 1},
                                     {.n_ctx = 1},
                                     {.n_ctx = 100, .kv_tokens = 99},
                                     {.n_ctx = 100, .kv_tokens = INT64_MAX},
                                     {.n_ctx = 100, .max_running = 5000}};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    e = (pn_error){0};
    assert_null(pn_engine_open(NULL, NULL, &fake_backend, &wrong[i], &e));
    assert_int_equal(e.code, PN_ERR_USAGE);
  }
}

static void a_full_queue_is_busy_and_cancel_takes_a_step(void **state) {
  (void)state;
  pn_engine *g = open_engine(2, 16);
  atomic_store(&fake.step_us, 2000);
  fake_bell b = FAKE_BELL;
  pn_request r = fake_request(prompt, 3, 150, &b);
  pn_error e = {0};
  pn_gen *gens[3];
  for (int i = 0; i < 3; i++) assert_non_null(gens[i] = pn_engine_submit(g, &r, &e));
  assert_null(pn_engine_submit(g, &r, &e));
  assert_int_equal(e.code, PN_ERR_BUSY);
  pn_gen_cancel(gens[1]); // waiting
  pn_gen_cancel(gens[0]); // running
  uint64_t at = pn_now_us();
  fake_collect(gens[0], &b, &a);
  assert_int_equal(a.last.kind, PN_EVENT_FAILED);
  assert_int_equal(a.last.error.code, PN_ERR_CANCELLED);
  assert_true(pn_now_us() - at < 1000000);
  assert_true(a.last.n_output < 150);
  fake_collect(gens[1], &b, &a);
  assert_int_equal(a.last.error.code, PN_ERR_CANCELLED);
  fake_collect(gens[2], &b, &a);
  assert_int_equal(a.last.kind, PN_EVENT_DONE);
  for (int i = 0; i < 3; i++) pn_gen_release(gens[i]);
  pn_engine_close(g);
}

static void a_failing_device_fails_the_request_only(void **state) {
  (void)state;
  pn_engine *g = open_engine(2, 16);
  atomic_store(&fake.fail_code, PN_ERR_DEVICE);
  atomic_store(&fake.fail_at, 3);
  ask(g, 5, 20, NULL, 0);
  assert_int_equal(a.last.kind, PN_EVENT_FAILED);
  assert_int_equal(a.last.error.code, PN_ERR_DEVICE);
  pn_engine_info info;
  pn_engine_info_of(g, &info);
  assert_true(info.failed);
  ask(g, 5, 20, NULL, 0);
  assert_int_equal(a.last.kind, PN_EVENT_DONE);
  pn_engine_close(g);
}

static void release_and_close_in_the_middle(void **state) {
  (void)state;
  for (int round = 0; round < 20; round++) {
    pn_engine *g = open_engine(8, 16);
    atomic_store(&fake.step_us, 200);
    fake_bell b = FAKE_BELL;
    pn_request r = fake_request(prompt, 40, 100, &b);
    pn_error e = {0};
    pn_gen *kept[4];
    for (int i = 0; i < 4; i++) {
      pn_gen *gone = pn_engine_submit(g, &r, &e);
      kept[i] = pn_engine_submit(g, &r, &e);
      assert_non_null(gone);
      assert_non_null(kept[i]);
      if (i & 1) usleep(300);
      pn_gen_release(gone);
    }
    pn_engine_close(g);
    for (int i = 0; i < 4; i++) {
      fake_collect(kept[i], &b, &a);
      assert_true(a.last.kind == PN_EVENT_DONE || a.last.error.code == PN_ERR_CANCELLED);
      pn_gen_cancel(kept[i]); // the engine has gone
      pn_gen_release(kept[i]);
    }
  }
}

// An outbox that nobody empties ends its own request, and the engine goes on.
static void nobody_reads(void **state) {
  (void)state;
  pn_engine *g = open_engine(2, 16);
  atomic_store(&fake.text_bytes, 900);
  pn_error e = {0};
  pn_request r = fake_request(prompt, 3, 150, NULL);
  pn_gen *gen = pn_engine_submit(g, &r, &e);
  assert_non_null(gen);
  pn_engine_info info;
  do {
    usleep(1000);
    pn_engine_info_of(g, &info);
  } while (info.n_running + info.n_waiting > 0);
  pn_event ev;
  size_t got = 0;
  while (pn_gen_next(gen, &ev) && ev.kind != PN_EVENT_FAILED) got += ev.n_text;
  assert_int_equal(ev.kind, PN_EVENT_FAILED);
  assert_int_equal(ev.error.code, PN_ERR_LIMIT);
  assert_in_range(got, 60000, 65536);
  pn_gen_release(gen);
  atomic_store(&fake.text_bytes, 1);
  ask(g, 5, 20, NULL, 0);
  assert_int_equal(a.last.kind, PN_EVENT_DONE);
  pn_engine_close(g);
}

static void a_request_may_take_its_time_only(void **state) {
  (void)state;
  pn_engine *g = open_engine(4, 16);
  atomic_store(&fake.step_us, 2000);
  fake_bell slow = FAKE_BELL, waits = FAKE_BELL;
  pn_error e;
  pn_request r = fake_request(prompt, 3, 300, &slow);
  pn_gen *first = pn_engine_submit(g, &r, &e);
  r = fake_request(prompt, 3, 300, &waits);
  r.timeout_us = 50000;
  pn_gen *second = pn_engine_submit(g, &r, &e); // waits behind it
  fake_collect(second, &waits, &a);
  assert_int_equal(a.last.error.code, PN_ERR_TIMEOUT);
  assert_string_equal(a.last.error.msg, "the request took longer than 0.05 s");
  assert_int_equal(a.last.n_output, 0);
  pn_gen_cancel(first);
  fake_collect(first, &slow, &a);
  assert_int_equal(a.last.error.code, PN_ERR_CANCELLED);
  pn_gen_release(first);
  pn_gen_release(second);
  r.timeout_us = 60000;
  fake_ask(g, &r, &a); // runs
  assert_int_equal(a.last.error.code, PN_ERR_TIMEOUT);
  assert_in_range(a.last.n_output, 1, 60);
  r.max_tokens = 5;
  r.timeout_us = UINT64_MAX;
  fake_ask(g, &r, &a);
  assert_int_equal(a.last.kind, PN_EVENT_DONE);
  pn_engine_close(g);
}

static void a_known_prefix_is_reported_and_not_computed(void **state) {
  (void)state;
  char want[512];
  pn_engine *g = open_engine(4, 16);
  ask(g, 70, 40, NULL, 0);
  assert_int_equal(a.queued_cached, 0);
  int rows = atomic_load(&fake.n_rows);
  ask(g, 70, 40, NULL, 0); // the same again: its last token only
  fake_expect(prompt, 70, 40, want);
  assert_string_equal(a.text, want);
  assert_int_equal(a.queued_cached, 69);
  assert_int_equal(a.last.n_cached, 69);
  assert_int_equal(atomic_load(&fake.n_rows) - rows, 40);
  assert_int_equal(atomic_load(&fake.n_copies), 1);
  rows = atomic_load(&fake.n_rows);
  ask(g, 67, 2, NULL, 0); // a shorter one
  assert_int_equal(a.last.n_cached, 66);
  assert_int_equal(atomic_load(&fake.n_rows) - rows, 2);
  // What was generated is cached too: a turn later it is part of the prompt.
  int32_t later[120];
  memcpy(later, prompt, 70 * sizeof *later);
  for (int i = 0; i < 40; i++) later[70 + i] = want[i] - 'a';
  for (int i = 110; i < 120; i++) later[i] = 4;
  pn_request r = fake_request(later, 120, 8, NULL);
  fake_ask(g, &r, &a);
  assert_int_equal(a.last.n_cached, 109); // the last one generated was never computed
  fake_expect(later, 120, 8, want);
  assert_string_equal(a.text, want);
  pn_engine_close(g);
  assert_int_equal(fake.bad_rows, 0);
}

int main(void) {
  fake_quiet();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(generates_what_the_model_says),
      cmocka_unit_test(stops_for_every_reason),
      cmocka_unit_test(refuses_what_can_not_be),
      cmocka_unit_test(a_full_queue_is_busy_and_cancel_takes_a_step),
      cmocka_unit_test(a_failing_device_fails_the_request_only),
      cmocka_unit_test(release_and_close_in_the_middle),
      cmocka_unit_test(nobody_reads),
      cmocka_unit_test(a_request_may_take_its_time_only),
      cmocka_unit_test(a_known_prefix_is_reported_and_not_computed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
