#include "../unit.h"
#include "backend/cpu/cpu_pool.h"
#include "base/clock.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { MAX = 8, ITEMS = 1000 };

typedef struct job {
  atomic_int calls[MAX];        // by thread
  unsigned char taken[ITEMS];   // by item
  int longest;                  // piece
  const int *before;            // what the caller wrote
  int wrong[MAX], after[ITEMS]; // what the pieces wrote
  int64_t sleep_ns[MAX];
} job;

static void take(void *ctx, int thread, int64_t begin, int64_t end) {
  job *j = ctx;
  atomic_fetch_add(&j->calls[thread], 1);
  if (j->sleep_ns[thread]) nanosleep(&(struct timespec){.tv_nsec = j->sleep_ns[thread]}, NULL);
  for (int64_t i = begin; i < end; i++) {
    j->taken[i]++;
    if (j->before) j->wrong[thread] += j->before[i] != i + j->longest;
    j->after[i] = (int)i + 1;
  }
}

static void check_taken(const job *j, int n) {
  for (int i = 0; i < n; i++) {
    assert_int_equal(j->taken[i], 1);
    assert_int_equal(j->after[i], i + 1);
  }
}

static void every_item_once(void **state) {
  (void)state;
  for (int threads = 1; threads <= MAX; threads++) {
    cpu_pool *p = cpu_pool_new(threads, NULL);
    assert_non_null(p);
    assert_int_equal(cpu_pool_threads(p), threads);
    for (int run = 0; run < 300; run++) {
      job j = {0};
      int n = run * 7 % (ITEMS + 1), chunk = 1 + run % 40;
      cpu_pool_run(p, take, &j, n, chunk);
      check_taken(&j, n);
      for (int i = n; i < ITEMS; i++) assert_int_equal(j.taken[i], 0);
      int calls = 0;
      for (int t = 0; t < MAX; t++) calls += atomic_load(&j.calls[t]);
      assert_true(calls == (n + chunk - 1) / chunk || calls == (n > 0)); // or the caller alone
    }
    cpu_pool_free(p);
  }
}

// Fields of a run are never seen by a worker of another one, and what is written on one side is seen on the
// other: many short runs after each other, with workers that come late.
static void runs_do_not_mix(void **state) {
  (void)state;
  cpu_pool *p = cpu_pool_new(3, NULL);
  static int numbers[ITEMS];
  for (int run = 0; run < 3000; run++) {
    int n = 1 + run % 50;
    job j = {.before = numbers, .longest = run};
    for (int i = 0; i < n; i++) numbers[i] = i + run;
    cpu_pool_run(p, take, &j, n, 1 + run % 3);
    check_taken(&j, n);
    for (int t = 0; t < MAX; t++) assert_int_equal(j.wrong[t], 0);
    if (run % 500 == 0) nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL); // they sleep
  }
  cpu_pool_free(p);
}

static void workers_help(void **state) {
  (void)state;
  cpu_pool *p = cpu_pool_new(2, NULL);
  int helped = 0; // on a loaded machine the caller is alone for a while
  for (int run = 0; run < 5000 && helped <= 20; run++) {
    nanosleep(&(struct timespec){.tv_nsec = (run % 4) * 50000}, NULL);
    job j = {.sleep_ns = {20000, 20000}};
    cpu_pool_run(p, take, &j, 40, 1);
    check_taken(&j, 40);
    helped += atomic_load(&j.calls[1]) > 0;
  }
  assert_true(helped > 20);
  cpu_pool_free(p);
}

// A worker that dawdles over its piece as if it had lost its core: the others do the rest, and then the
// caller works alone for a while.
static void a_lost_core_is_left_alone(void **state) {
  (void)state;
  cpu_pool *p = cpu_pool_new(2, NULL);
  bool alone = false; // on a loaded machine it may take some times
  for (int run = 0; run < 50 && !alone; run++) {
    job j = {.sleep_ns = {20000, 50000000}};
    cpu_pool_run(p, take, &j, 40, 1);
    check_taken(&j, 40);
    if (atomic_load(&j.calls[1]) == 0) continue; // it came too late
    assert_true(atomic_load(&j.calls[0]) >= 35);
    job next = {0};
    cpu_pool_run(p, take, &next, ITEMS, 1); // at once: without the worker
    check_taken(&next, ITEMS);
    alone = atomic_load(&next.calls[0]) == 1;
  }
  assert_true(alone);
  bool again = false;
  for (int i = 0; i < 100 && !again; i++) { // and with it again later
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    job j = {.sleep_ns = {20000, 20000}};
    cpu_pool_run(p, take, &j, 40, 1);
    again = atomic_load(&j.calls[1]) > 0;
  }
  assert_true(again);
  cpu_pool_free(p);
}

enum { SHARED = 40 };

typedef struct order {
  atomic_int n[2];
  int item[2][SHARED]; // as each thread took them
} order;

static void note_order(void *ctx, int thread, int64_t begin, int64_t end) {
  order *o = ctx;
  for (int64_t i = begin; i < end; i++) o->item[thread][atomic_fetch_add(&o->n[thread], 1)] = (int)i;
  nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

// Each thread takes pieces of its half in ascending order, and of the other half only when its own is done.
static void a_thread_reads_on_where_it_left_off(void **state) {
  (void)state;
  cpu_pool *p = cpu_pool_new(2, NULL);
  int both = 0;
  for (int run = 0; run < 50; run++) {
    order o = {0};
    cpu_pool_run(p, note_order, &o, SHARED, 1);
    const int n[2] = {atomic_load(&o.n[0]), atomic_load(&o.n[1])};
    assert_int_equal(n[0] + n[1], SHARED);
    both += n[0] && n[1];
    for (int t = 0; t < 2 && n[1]; t++) // else the caller may have done all in one go
      for (int i = 1; i < n[t]; i++) {
        const bool own = o.item[t][i] / (SHARED / 2) == t, before = o.item[t][i - 1] / (SHARED / 2) == t;
        assert_true(before || !own);
        if (own == before) assert_true(o.item[t][i] > o.item[t][i - 1]);
      }
  }
  assert_true(both > 0);
  cpu_pool_free(p);
}

static void count_items(void *ctx, int thread, int64_t begin, int64_t end) {
  int64_t *n = ctx;
  n[thread * 16] += end - begin;
}

static void more_pieces_than_can_be_counted(void **state) {
  (void)state;
  const int64_t many = (int64_t)1 << 25;
  cpu_pool *p = cpu_pool_new(2, NULL);
  int64_t n[32] = {0};
  cpu_pool_run(p, count_items, n, many, 1);
  assert_true(n[0] + n[16] == many);
  cpu_pool_free(p);
}

static void chunks(void **state) {
  (void)state;
  cpu_pool *p = cpu_pool_new(3, NULL);
  assert_int_equal(cpu_pool_chunk(p, 1, 2), 1);
  assert_int_equal(cpu_pool_chunk(p, 6, 2), 1);
  assert_int_equal(cpu_pool_chunk(p, 7, 2), 2);
  assert_int_equal(cpu_pool_chunk(p, 600, 2), 100);
  cpu_pool_free(p);
}

static void refuses_counts(void **state) {
  (void)state;
  pn_error e;
  assert_null(cpu_pool_new(0, &e));
  assert_int_equal(e.code, PN_ERR_USAGE);
  assert_null(cpu_pool_new(CPU_POOL_MAX_THREADS + 1, &e));
  assert_true(cpu_pool_cores() >= 1);
}

static void nothing(void *ctx, int thread, int64_t begin, int64_t end) {
  (void)ctx, (void)thread, (void)begin, (void)end;
}

// Prints the cost of an empty run; no bound is checked, because the machine may be shared.
static void run_cost(void **state) {
  (void)state;
  int n = cpu_pool_cores();
  cpu_pool *p = cpu_pool_new(n > MAX ? MAX : n, NULL);
  uint64_t best = UINT64_MAX;
  for (int rep = 0; rep < 20; rep++) {
    uint64_t t = pn_now_ns();
    for (int i = 0; i < 1000; i++) cpu_pool_run(p, nothing, NULL, 4, 1);
    t = pn_now_ns() - t;
    if (t < best) best = t;
  }
  print_message("a run of 4 pieces on %d threads: %.3f us\n", cpu_pool_threads(p), (double)best / 1e6);
  cpu_pool_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_item_once),
      cmocka_unit_test(runs_do_not_mix),
      cmocka_unit_test(workers_help),
      cmocka_unit_test(a_lost_core_is_left_alone),
      cmocka_unit_test(a_thread_reads_on_where_it_left_off),
      cmocka_unit_test(more_pieces_than_can_be_counted),
      cmocka_unit_test(chunks),
      cmocka_unit_test(refuses_counts),
      cmocka_unit_test(run_cost),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
