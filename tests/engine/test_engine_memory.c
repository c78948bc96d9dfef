// A step allocates nothing, and memory that runs out fails what asked for it. Linked with malloc, calloc and
// realloc wrapped.
#include "base/log.h"
#include "base/metrics.h"
#include "fake_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static _Thread_local bool counts, fails;
static _Thread_local int n_until_failure;
static atomic_int n_allocations;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static bool refused(void) {
  if (counts) atomic_fetch_add(&n_allocations, 1);
  return fails && n_until_failure-- <= 0;
}
void *__wrap_malloc(size_t n) { return refused() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return refused() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return refused() ? NULL : __real_realloc(p, n); }

// On the engine's thread: from the first step on everything counts.
static void start_counting(const pn_batch *b) { counts = b->n_rows > 0; }

static void a_step_allocates_nothing(void **state) {
  (void)state;
  enum { N = 20 };
  fake_reset();
  pn_metrics *metrics = pn_metrics_new();
  pn_engine *g = fake_open(&(pn_engine_options){.max_running = 8,
                                                .max_queue = N,
                                                .chunk_tokens = 32,
                                                .kv_tokens = 26 * 32,
                                                .speculate = true,
                                                .metrics = metrics});
  static int32_t tokens[N][200];
  static fake_answer a;
  fake_bell bells[N];
  pn_gen *gens[N];
  const pn_str stops[] = {PN_STR("never in it"), PN_STR("?")};
  pn_error e;
  for (int round = 0; round < 2; round++) {
    fake.before_forward = start_counting;
    for (int i = 0; i < N; i++) {
      bells[i] = (fake_bell)FAKE_BELL;
      int n = i < 10 ? 20 + 2 * i : 9 * i;
      for (int k = 0; k < n; k++) tokens[i][k] = k < 70 ? k % 26 : (k + i) % 26;
      pn_request r = fake_request(tokens[i], (size_t)n, i < 10 ? 380 : 120, &bells[i]);
      r.client = (uint64_t)i % 3;
      r.stops = stops;
      r.n_stops = i % 2 ? 2 : 0;
      r.ignore_end = true;
      r.sampling =
          (pn_sampling){.temperature = (float)(i % 3), .top_p = i % 2 ? 0.9f : 1, .top_k = i % 5, .seed = 3};
      r.timeout_us = i == 7 ? 20000 : 3600000000u;
      assert_non_null(gens[i] = pn_engine_submit(g, &r, &e));
    }
    pn_gen_cancel(gens[3]);
    for (int i = 0; i < N; i++) {
      fake_collect(gens[i], &bells[i], &a);
      pn_gen_release(gens[i]);
    }
  }
  pn_engine_close(g);
  pn_buf text = {0};
  pn_metrics_write(metrics, &text);
  assert_null(
      strstr(pn_buf_cstr(&text), "\npensieve_preemptions_total 0\n")); // pauses allocate nothing either
  pn_buf_fini(&text);
  pn_metrics_free(metrics);
  assert_int_equal(atomic_load(&n_allocations), 0);
  assert_int_equal(fake.bad_rows, 0);
}

static void memory_that_runs_out_is_an_error(void **state) {
  (void)state;
  pn_error e = {0};
  int n = 0;
  pn_engine *g = NULL;
  fake_reset();
  for (; !g && n < 100; n++) {
    n_until_failure = n;
    fails = true;
    g = pn_engine_open(NULL, NULL, &fake_backend,
                       &(pn_engine_options){.n_ctx = 100, .max_queue = 3, .speculate = true}, &e);
    fails = false;
    if (!g) assert_int_equal(e.code, PN_ERR_NOMEM);
  }
  assert_in_range(n, 8, 99);
  const int32_t tokens[] = {1, 2, 3};
  fake_bell b = FAKE_BELL;
  static fake_answer a;
  const pn_str stop = PN_STR("stop");
  pn_request r = fake_request(tokens, 3, 10, &b);
  r.stops = &stop;
  r.n_stops = 1;
  pn_gen *gen = NULL;
  for (n = 0; !gen && n < 100; n++) {
    n_until_failure = n;
    fails = true;
    gen = pn_engine_submit(g, &r, &e);
    fails = false;
    if (!gen) assert_int_equal(e.code, PN_ERR_NOMEM);
  }
  assert_in_range(n, 6, 99); // more refusals than the queue has room for: none of them left a place taken
  fake_collect(gen, &b, &a);
  assert_int_equal(a.last.kind, PN_EVENT_DONE);
  pn_gen_release(gen);
  pn_engine_close(g);
}

int main(void) {
  pn_log_setup(PN_LOG_ERROR, false, STDERR_FILENO); // a line allocates
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_step_allocates_nothing),
                                     cmocka_unit_test(memory_that_runs_out_is_an_error)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
