#include "backend/cpu/cpu_pool.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

enum { MAX = 8, ITEMS = 1000 };

typedef struct job {
  cpu_pool *pool;
  int calls[MAX], seen_n[MAX];
  int rounds, cells[MAX], wrong[MAX];
  unsigned char taken[ITEMS];
} job;

static void count(void *ctx, int thread, int n_threads) {
  job *j = ctx;
  j->calls[thread]++;
  j->seen_n[thread] = n_threads;
}

static void every_thread_once(void **state) {
  (void)state;
  for (int n = 1; n <= MAX; n++) {
    cpu_pool *p = cpu_pool_new(n, NULL);
    assert_non_null(p);
    assert_int_equal(cpu_pool_threads(p), n);
    for (int i = 0; i < 200; i++) {
      job j = {.pool = p};
      cpu_pool_run(p, count, &j);
      int all = j.seen_n[0]; // n, or 1 while this machine's other programs hold a core
      assert_true(all == n || all == 1);
      for (int t = 0; t < n; t++) {
        assert_int_equal(j.calls[t], t < all);
        assert_int_equal(j.seen_n[t], t < all ? all : 0);
      }
    }
    cpu_pool_free(p);
  }
}

// Each round every thread writes its cell, and after the barrier checks all cells.
static void rounds(void *ctx, int thread, int n_threads) {
  job *j = ctx;
  for (int r = 1; r <= j->rounds; r++) {
    j->cells[thread] = r;
    cpu_pool_barrier(j->pool);
    for (int t = 0; t < n_threads; t++) j->wrong[thread] += j->cells[t] != r;
    cpu_pool_barrier(j->pool);
  }
}

static void barrier_holds(void **state) {
  (void)state;
  for (int n = 1; n <= 4; n++) {
    cpu_pool *p = cpu_pool_new(n, NULL);
    job j = {.pool = p, .rounds = 300};
    for (int i = 0; i < 3; i++) cpu_pool_run(p, rounds, &j);
    for (int t = 0; t < n; t++) assert_int_equal(j.wrong[t], 0);
    cpu_pool_free(p);
  }
}

static void take(void *ctx, int thread, int n_threads) {
  (void)thread, (void)n_threads;
  job *j = ctx;
  for (int64_t i; (i = cpu_pool_take(j->pool, 3)) < ITEMS;)
    for (int64_t k = i; k < i + 3 && k < ITEMS; k++) j->taken[k]++;
}

static void items_taken_once(void **state) {
  (void)state;
  cpu_pool *p = cpu_pool_new(3, NULL);
  for (int run = 0; run < 20; run++) {
    job j = {.pool = p};
    cpu_pool_run(p, take, &j);
    for (int i = 0; i < ITEMS; i++) assert_int_equal(j.taken[i], 1);
  }
  cpu_pool_free(p);
}

static void wakes_after_sleep(void **state) {
  (void)state;
  cpu_pool *p = cpu_pool_new(2, NULL);
  job j = {.pool = p};
  for (int i = 0; i < 20; i++) {
    nanosleep(&(struct timespec){.tv_nsec = (i % 4) * 50000}, NULL);
    cpu_pool_run(p, count, &j);
  }
  assert_int_equal(j.calls[0], 20);
  assert_in_range(j.calls[1], 1, 20);
  cpu_pool_free(p);
}

// The worker dawdles as if it had lost its core.
static void dawdle(void *ctx, int thread, int n_threads) {
  count(ctx, thread, n_threads);
  if (thread == 1) nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static void a_lost_core_is_left_alone(void **state) {
  (void)state;
  cpu_pool *p = cpu_pool_new(2, NULL);
  job j = {.pool = p, .rounds = 3};
  cpu_pool_run(p, dawdle, &j);
  assert_int_equal(j.seen_n[0], 2);
  cpu_pool_run(p, count, &j); // at once: without the worker
  assert_int_equal(j.seen_n[0], 1);
  assert_int_equal(j.calls[1], 1);
  cpu_pool_run(p, rounds, &j); // a barrier waits for nobody then
  assert_int_equal(j.wrong[0], 0);
  job taking = {.pool = p};
  cpu_pool_run(p, take, &taking);
  for (int i = 0; i < ITEMS; i++) assert_int_equal(taking.taken[i], 1);
  for (int i = 0; i < 100 && j.seen_n[0] == 1; i++) { // and with it again later
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    cpu_pool_run(p, count, &j);
  }
  assert_int_equal(j.seen_n[0], 2);
  cpu_pool_free(p);
}

static void shares_cover(void **state) {
  (void)state;
  for (int64_t n = 0; n < 70; n++)
    for (int64_t unit = 1; unit <= 16; unit += 5)
      for (int threads = 1; threads <= 5; threads++) {
        int64_t at = 0;
        for (int t = 0; t < threads; t++) {
          int64_t a, b;
          cpu_pool_share(n, unit, t, threads, &a, &b);
          assert_int_equal(a, at);
          assert_true(b >= a && (b == n || b % unit == 0));
          at = b;
        }
        assert_int_equal(at, n);
      }
}

static void refuses_counts(void **state) {
  (void)state;
  pn_error e;
  assert_null(cpu_pool_new(0, &e));
  assert_int_equal(e.code, PN_ERR_USAGE);
  assert_null(cpu_pool_new(CPU_POOL_MAX_THREADS + 1, &e));
  assert_true(cpu_pool_cores() >= 1);
}

// Prints the cost of an empty run; no bound is checked, because the machine may be shared.
static void run_cost(void **state) {
  (void)state;
  int n = cpu_pool_cores();
  cpu_pool *p = cpu_pool_new(n > MAX ? MAX : n, NULL);
  job j = {.pool = p};
  uint64_t best = UINT64_MAX;
  for (int rep = 0; rep < 20; rep++) {
    uint64_t t = pn_now_ns();
    for (int i = 0; i < 1000; i++) cpu_pool_run(p, count, &j);
    t = pn_now_ns() - t;
    if (t < best) best = t;
  }
  print_message("run and join of %d threads: %.3f us\n", cpu_pool_threads(p), (double)best / 1e6);
  cpu_pool_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_thread_once),
      cmocka_unit_test(barrier_holds),
      cmocka_unit_test(items_taken_once),
      cmocka_unit_test(wakes_after_sleep),
      cmocka_unit_test(a_lost_core_is_left_alone),
      cmocka_unit_test(shares_cover),
      cmocka_unit_test(refuses_counts),
      cmocka_unit_test(run_cost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
