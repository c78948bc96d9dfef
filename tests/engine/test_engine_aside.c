// Requests that are laid aside: held ones come back where they stood, those of the background keep out of the
// way. And what log probabilities are told.
#include "base/clock.h"
#include "base/rng.h"
#include "fake_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 12, PROMPT = 90, OUT = 60 };

static int32_t prompts[N][PROMPT];
static char want[N][FAKE_CTX];
static pn_gen *gens[N];
static fake_bell bells[N];
static fake_answer a;

static void make_prompts(void) {
  for (int i = 0; i < N; i++) {
    for (int k = 0; k < PROMPT; k++) prompts[i][k] = (k * k + (k > 40 ? i * k : 0)) % 25;
    prompts[i][PROMPT - 1] = i;
    fake_expect(prompts[i], PROMPT, OUT, want[i]);
  }
}

static void submit(pn_engine *g, int i, bool background) {
  pn_error e;
  bells[i] = (fake_bell)FAKE_BELL;
  pn_request r = fake_request(prompts[i], PROMPT, OUT, &bells[i]);
  r.background = background;
  assert_non_null(gens[i] = pn_engine_submit(g, &r, &e));
}

static void collect(int i) {
  fake_collect(gens[i], &bells[i], &a);
  if (a.last.kind != PN_EVENT_DONE) fail_msg("%s", a.last.error.msg);
  assert_string_equal(a.text, want[i]);
  int n = 0;
  const int32_t *tokens = pn_gen_output(gens[i], &n);
  assert_int_equal(n, OUT);
  for (int k = 0; k < n; k++) assert_int_equal(tokens[k], want[i][k] - 'a');
  pn_gen_release(gens[i]);
}

static void wait_idle(pn_engine *g) {
  pn_engine_info info;
  uint64_t end = pn_now_us() + 5000000;
  do {
    usleep(200);
    pn_engine_info_of(g, &info);
    assert_true(pn_now_us() < end);
  } while (info.n_running + info.n_waiting > 0);
}

static void held_ones_come_back_where_they_stood(void **state) {
  (void)state;
  const int chunks[] = {5, 64};
  for (int c = 0; c < 2; c++)
    for (int pages = 13; pages <= 200; pages += 187) {
      fake_reset();
      fake.step_us = 100;
      make_prompts();
      pn_engine *g = fake_open(&(pn_engine_options){
          .max_running = 4, .max_queue = N, .chunk_tokens = chunks[c], .kv_tokens = pages * 32});
      pn_rng rng;
      pn_rng_seed(&rng, (uint64_t)(c + pages));
      for (int i = 0; i < N; i++) submit(g, i, i % 5 == 4);
      for (int k = 0; k < 300; k++) {
        pn_gen *gen = gens[pn_rng_below(&rng, N)];
        if (pn_rng_below(&rng, 2))
          pn_gen_hold(gen);
        else
          pn_gen_resume(gen);
        if (k % 3 == 0) usleep((unsigned)pn_rng_below(&rng, 400));
      }
      for (int i = 0; i < N; i++) pn_gen_resume(gens[i]);
      for (int i = 0; i < N; i++) collect(i);
      assert_int_equal(fake.bad_rows, 0);
      assert_int_equal(fake.n_row_twice, 0);
      wait_idle(g);
      pn_engine_close(g);
    }
}

// While it is held the engine rests, and the request takes no place.
static void a_held_one_rests(void **state) {
  (void)state;
  fake_reset();
  fake.step_us = 500;
  make_prompts();
  pn_engine *g = fake_open(&(pn_engine_options){.max_running = 1, .max_queue = 0});
  submit(g, 0, false);
  fake_await(&bells[0]);
  pn_gen_hold(gens[0]);
  wait_idle(g);
  int n = fake.n_forwards;
  usleep(20000);
  assert_int_equal(fake.n_forwards, n);
  submit(g, 1, false); // there is no queue: it has the held one's place
  collect(1);
  pn_gen_resume(gens[0]);
  collect(0);

  // Cancelled, and too late, while nothing else happens.
  pn_error e;
  for (int late = 0; late < 2; late++) {
    bells[2] = (fake_bell)FAKE_BELL;
    pn_request r = fake_request(prompts[2], PROMPT, OUT, &bells[2]);
    r.timeout_us = late ? 60000 : 0;
    assert_non_null(gens[2] = pn_engine_submit(g, &r, &e));
    fake_await(&bells[2]);
    pn_gen_hold(gens[2]);
    wait_idle(g);
    if (!late) pn_gen_cancel(gens[2]);
    fake_collect(gens[2], &bells[2], &a);
    assert_int_equal(a.last.error.code, late ? PN_ERR_TIMEOUT : PN_ERR_CANCELLED);
    pn_gen_release(gens[2]);
  }

  // What has ended doesn't mind, and the engine may close with held ones.
  submit(g, 3, false);
  fake_collect(gens[3], &bells[3], &a);
  pn_gen_hold(gens[3]);
  pn_gen_resume(gens[3]);
  pn_gen_release(gens[3]);
  submit(g, 4, false);
  pn_gen_hold(gens[4]);
  pn_engine_close(g);
  pn_gen_release(gens[4]);
}

// Prompts of the background begin with token 24.
static void no_step_of_both(const pn_batch *b) {
  bool background = false, foreground = false;
  for (int i = 0; i < b->n_rows; i++)
    if (b->pos[i] == 0) *(b->token[i] == 24 ? &background : &foreground) = true;
  if (background && foreground) fake.bad_rows++;
}

static void the_background_keeps_out_of_the_way(void **state) {
  (void)state;
  fake_reset();
  fake.step_us = 300;
  make_prompts();
  for (int i = 0; i < 4; i++) {
    prompts[i][0] = 24;
    fake_expect(prompts[i], PROMPT, OUT, want[i]);
  }
  fake.before_forward = no_step_of_both;
  pn_engine *g = fake_open(&(pn_engine_options){.max_running = 8, .max_queue = 0, .chunk_tokens = 20});
  for (int i = 0; i < 4; i++) submit(g, i, true);
  for (int k = 0; k < 2; k++) usleep(5000), fake_await(&bells[0]);
  // As the last one of them ends, not one row of the background was computed beside it.
  for (int i = 4; i < 8; i++) submit(g, i, false);
  for (int i = 4; i < 8; i++) collect(i);
  pn_engine_info info;
  pn_engine_info_of(g, &info);
  assert_int_equal(info.n_waiting, 0);
  for (int i = 0; i < 4; i++) collect(i);
  assert_int_equal(fake.bad_rows, 0);
  // Its queue is its own.
  pn_error e = {0};
  fake.step_us = 20000;
  pn_gen *many[9];
  pn_request r = fake_request(prompts[0], PROMPT, OUT, NULL);
  r.background = true;
  for (int i = 0; i < 8; i++) assert_non_null(many[i] = pn_engine_submit(g, &r, &e));
  assert_null(pn_engine_submit(g, &r, &e));
  assert_int_equal(e.code, PN_ERR_BUSY);
  r.background = false;
  assert_non_null(many[8] = pn_engine_submit(g, &r, &e));
  for (int i = 0; i < 9; i++) pn_gen_release(many[i]);
  pn_engine_close(g);
}

// A request waits for work of the background no longer than for a step.
static void nobody_waits_for_the_background(void **state) {
  (void)state;
  fake_reset();
  fake.step_us = 1000;
  make_prompts();
  pn_engine *g = fake_open(&(pn_engine_options){.max_running = 1, .max_queue = 4, .chunk_tokens = 20});
  submit(g, 0, true);
  fake_await(&bells[0]);
  int before = fake.n_rows;
  submit(g, 1, false);
  collect(1);
  // Its own rows (some were in the cache), and at most what one pass of the other had under way.
  assert_true(fake.n_rows - before <= PROMPT + OUT + 20);
  collect(0);
  pn_engine_close(g);
}

static void every_token_is_told_before_its_text(void **state) {
  (void)state;
  fake_reset();
  make_prompts();
  pn_engine *g = fake_open(&(pn_engine_options){.max_running = 1, .max_queue = 1});
  pn_error e;
  fake_bell bell = FAKE_BELL;
  pn_request r = fake_request(prompts[0], PROMPT, OUT, &bell);
  r.logprobs = true;
  r.n_top_logprobs = 3;
  pn_gen *gen = pn_engine_submit(g, &r, &e);
  assert_non_null(gen);
  pn_event ev = {0};
  int n_told = 0, n_text = 0, n = 0;
  int32_t told[OUT + 1];
  do {
    while (!pn_gen_next(gen, &ev)) fake_await(&bell);
    if (ev.kind == PN_EVENT_TOKEN) {
      assert_true(n_told <= OUT);
      told[n_told++] = ev.token.id;
      assert_int_equal(ev.token.n_top, 3);
      assert_int_equal(ev.token.top[0].id, ev.token.id); // greedy
      assert_true(ev.token.logprob == ev.token.top[0].logprob && ev.token.logprob <= 0);
      assert_int_equal(ev.n_text, 0);
    } else if (ev.kind == PN_EVENT_TEXT) {
      n_text += (int)ev.n_text;
      assert_true(n_text <= n_told);
    }
  } while (ev.kind != PN_EVENT_DONE);
  const int32_t *tokens = pn_gen_output(gen, &n);
  assert_int_equal(n_told, n);
  assert_memory_equal(told, tokens, (size_t)n * sizeof *told);
  pn_gen_release(gen);
  r.n_top_logprobs = PN_TOP_LOGPROBS + 1;
  assert_null(pn_engine_submit(g, &r, &e));
  assert_int_equal(e.code, PN_ERR_USAGE);
  pn_engine_close(g);
}

int main(void) {
  fake_quiet();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(held_ones_come_back_where_they_stood),
      cmocka_unit_test(a_held_one_rests),
      cmocka_unit_test(the_background_keeps_out_of_the_way),
      cmocka_unit_test(nobody_waits_for_the_background),
      cmocka_unit_test(every_token_is_told_before_its_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
