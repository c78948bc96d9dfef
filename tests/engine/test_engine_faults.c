// What fails, fails alone.
#include "base/clock.h"
#include "base/rng.h"
#include "engine/engine_int.h"
#include "fake_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 12 };

static int32_t prompts[N][FAKE_CTX];
static char want[N][FAKE_CTX];
static pn_gen *gens[N];
static fake_bell bells[N];
static fake_answer a;

static void make_prompts(int n, int n_out) {
  for (int i = 0; i < N; i++) {
    for (int k = 0; k < n; k++) prompts[i][k] = (k * k + (k > 40 ? i * k : 0)) % 25;
    prompts[i][n - 1] = i;
    fake_expect(prompts[i], n, n_out, want[i]);
  }
}

static void submit_all(pn_engine *g, int n, int n_out) {
  pn_error e;
  for (int i = 0; i < N; i++) {
    bells[i] = (fake_bell)FAKE_BELL;
    pn_request r = fake_request(prompts[i], (size_t)n, n_out, &bells[i]);
    assert_non_null(gens[i] = pn_engine_submit(g, &r, &e));
  }
}

static int collect_all(pn_code expected) {
  int n_failed = 0;
  for (int i = 0; i < N; i++) {
    fake_collect(gens[i], &bells[i], &a);
    if (a.last.kind == PN_EVENT_DONE) {
      assert_string_equal(a.text, want[i]);
    } else {
      assert_int_equal(a.last.error.code, expected);
      assert_int_equal(strncmp(a.text, want[i], strlen(a.text)), 0);
      n_failed++;
    }
    pn_gen_release(gens[i]);
  }
  assert_int_equal(fake.bad_rows, 0);
  return n_failed;
}

static void a_failed_step_fails_those_in_it(void **state) {
  (void)state;
  for (int at = 1; at < 40; at += 3) {
    fake_reset();
    make_prompts(60, 20);
    pn_engine *g = fake_open(&(pn_engine_options){.max_running = 3, .max_queue = N, .chunk_tokens = 32});
    atomic_store(&fake.fail_at, at);
    submit_all(g, 60, 20);
    assert_in_range(collect_all(PN_ERR_INTERNAL), 1, 3);
    pn_engine_info info;
    pn_engine_info_of(g, &info);
    assert_false(info.failed);
    assert_int_equal(info.kv_used_bytes, 0);
    submit_all(g, 60, 20); // with what is cached by now
    assert_int_equal(collect_all(PN_OK), 0);
    pn_engine_close(g);
  }
}

static void steps_that_fail_now_and_then(void **state) {
  (void)state;
  for (int every = 2; every < 30; every += 3) {
    fake_reset();
    make_prompts(100, 30);
    pn_engine *g = fake_open(&(pn_engine_options){.max_running = 4, .max_queue = N, .chunk_tokens = 16});
    atomic_store(&fake.fail_every, every);
    for (int round = 0; round < 3; round++) {
      submit_all(g, 100, 30);
      collect_all(PN_ERR_INTERNAL);
    }
    atomic_store(&fake.fail_every, 0);
    submit_all(g, 100, 30);
    assert_int_equal(collect_all(PN_OK), 0);
    pn_engine_close(g);
  }
}

static void a_page_that_can_not_be_copied_is_computed(void **state) {
  (void)state;
  fake_reset();
  make_prompts(60, 20);
  pn_engine *g = fake_open(&(pn_engine_options){.max_queue = N, .kv_tokens = FAKE_PAGES * 32});
  submit_all(g, 60, 20);
  assert_int_equal(collect_all(PN_OK), 0);
  atomic_store(&fake.fail_copies, 1);
  for (int i = 0; i < N; i++) {
    pn_request r = fake_request(prompts[i], 60, 20, NULL);
    fake_ask(g, &r, &a);
    assert_int_equal(a.last.kind, PN_EVENT_DONE);
    assert_string_equal(a.text, want[i]);
    assert_int_equal(a.queued_cached, 59);
    assert_int_equal(a.last.n_cached, 32);
  }
  pn_engine_close(g);
  assert_int_equal(fake.bad_rows, 0);
}

static void logits_that_are_no_numbers_fail_one(void **state) {
  (void)state;
  fake_reset();
  make_prompts(60, 20);
  pn_engine *g = fake_open(&(pn_engine_options){.max_running = N, .max_queue = N});
  prompts[5][59] = 28;
  atomic_store(&fake.poison, 28);
  submit_all(g, 60, 20);
  assert_int_equal(collect_all(PN_ERR_INTERNAL), 1);
  assert_true(fake.max_seqs > 1);
  pn_engine_close(g);
}

static void cancelled_in_the_middle_of_a_prompt(void **state) {
  (void)state;
  fake_reset();
  make_prompts(390, 5);
  pn_engine *g = fake_open(&(pn_engine_options){.max_queue = N, .chunk_tokens = 1});
  atomic_store(&fake.step_us, 1000);
  pn_error e;
  fake_bell b = FAKE_BELL;
  pn_request r = fake_request(prompts[0], 390, 5, &b);
  pn_gen *gen = pn_engine_submit(g, &r, &e);
  while (atomic_load(&fake.n_forwards) < 10) usleep(100);
  int at = atomic_load(&fake.n_forwards);
  pn_gen_cancel(gen);
  fake_collect(gen, &b, &a);
  assert_int_equal(a.last.error.code, PN_ERR_CANCELLED);
  assert_in_range(atomic_load(&fake.n_forwards), at, at + 2);
  assert_in_range(a.last.n_prompt_done, at - 1, at + 2);
  pn_gen_release(gen);
  atomic_store(&fake.step_us, 0);
  fake_ask(g, &r, &a); // what it had computed is cached
  assert_in_range(a.last.n_cached, at - 1, at + 2);
  pn_engine_close(g);
}

static void a_rest_gives_memory_back(void **state) {
  (void)state;
  fake_reset();
  pn_error e;
  const pn_kv_setup setup = {.n_pages = 16, .n_groups = 1};
  pn_kv_memory memory = {0};
  pn_kv_pool *pool = pn_kv_pool_new(&setup, &e);
  pn_kv_table t, kept;
  static int32_t tokens[320];
  assert_true(pn_kv_table_init(&t, 0, 320, &e) && pn_kv_table_init(&kept, 0, 320, &e));
  assert_true(pn_kv_memory_open(&memory, pn_model_config_of(NULL), &fake_backend, PN_KV_F16, &setup, &e));
  pn_kv_memory_trim(&memory, pool); // nothing was used
  assert_int_equal(fake.n_discarded, 0);
  assert_true(pn_kv_reserve(pool, &t, 320, &e) && pn_kv_reserve(pool, &kept, 100, &e));
  pn_kv_release(pool, &t, 0, tokens, 0);
  pn_kv_release(pool, &kept, 0, tokens, 100); // stays in the cache
  pn_kv_memory_trim(&memory, pool);
  assert_int_equal(fake.n_discarded, 10);
  pn_kv_memory_trim(&memory, pool);
  assert_int_equal(fake.n_discarded, 10);
  const pn_backend_ops without = {.version = PN_BACKEND_VERSION};
  pn_backend bare = {&without};
  memory.b = &bare;
  pn_kv_memory_trim(&memory, pool);
  memory.b = &fake_backend;
  pn_kv_memory_close(&memory);
  pn_kv_table_fini(&t), pn_kv_table_fini(&kept);
  pn_kv_pool_free(pool);
}

// The prefix cache is kept for a while, and then its memory goes back too.
static void a_long_rest_gives_the_cache_up(void **state) {
  (void)state;
  fake_reset();
  static int32_t prompt[100];
  fake_bell bell = FAKE_BELL;
  pn_engine *g = fake_open(&(pn_engine_options){.max_queue = 4, .cache_idle_s = 1});
  fake_answer said;
  pn_request r = fake_request(prompt, 100, 5, &bell);
  fake_ask(g, &r, &said);
  fake_ask(g, &r, &said);
  assert_int_equal(said.last.n_cached, 99);
  pn_engine_info info;
  pn_engine_info_of(g, &info);
  assert_true(info.kv_cached_bytes > 0);
  assert_int_equal(fake.n_discarded, 0);
  for (int i = 0; i < 100 && info.kv_cached_bytes > 0; i++) usleep(50000), pn_engine_info_of(g, &info);
  assert_int_equal(info.kv_cached_bytes, 0);
  fake_ask(g, &r, &said);
  assert_int_equal(said.last.n_cached, 0);
  assert_true(fake.n_discarded >= 4);
  assert_int_equal(fake.bad_rows, 0);
  pn_engine_close(g);
}

int main(void) {
  fake_quiet();
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_failed_step_fails_those_in_it),
                                     cmocka_unit_test(steps_that_fail_now_and_then),
                                     cmocka_unit_test(a_page_that_can_not_be_copied_is_computed),
                                     cmocka_unit_test(logits_that_are_no_numbers_fail_one),
                                     cmocka_unit_test(cancelled_in_the_middle_of_a_prompt),
                                     cmocka_unit_test(a_rest_gives_memory_back),
                                     cmocka_unit_test(a_long_rest_gives_the_cache_up)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
