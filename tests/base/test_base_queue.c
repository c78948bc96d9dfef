// Queues, alone and with threads. Run under the thread sanitizer.
#include "../unit.h"
#include "base/clock.h"
#include "base/queue.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

static void mpsc_keeps_order_and_bound(void **state) {
  (void)state;
  int items[5];
  pn_mpsc *q = pn_mpsc_new(3);
  assert_null(pn_mpsc_pop(q, 0));
  for (int round = 0; round < 4; round++) { // around the end of the ring
    assert_true(pn_mpsc_push(q, &items[0]) && pn_mpsc_push(q, &items[1]) && pn_mpsc_push(q, &items[2]));
    assert_false(pn_mpsc_push(q, &items[3]));
    assert_int_equal(pn_mpsc_count(q), 3);
    assert_ptr_equal(pn_mpsc_pop(q, 0), &items[0]);
    assert_true(pn_mpsc_push(q, &items[4]));
    assert_ptr_equal(pn_mpsc_pop(q, 0), &items[1]);
    assert_ptr_equal(pn_mpsc_pop(q, 1000), &items[2]);
    assert_ptr_equal(pn_mpsc_pop(q, UINT64_MAX), &items[4]);
    assert_int_equal(pn_mpsc_count(q), 0);
  }
  pn_mpsc_free(q);
  assert_null(pn_mpsc_new(0));
  assert_null(pn_mpsc_new(SIZE_MAX));
  pn_mpsc_free(NULL);
}

static void mpsc_waits_as_long_as_it_says(void **state) {
  (void)state;
  pn_mpsc *q = pn_mpsc_new(1);
  uint64_t start = pn_now_us();
  assert_null(pn_mpsc_pop(q, 30000));
  assert_true(pn_now_us() - start >= 30000);
  pn_mpsc_wake(q); // kept for the next pop
  start = pn_now_us();
  assert_null(pn_mpsc_pop(q, 60u * 1000000u));
  assert_true(pn_now_us() - start < 30u * 1000000u);
  pn_mpsc_free(q);
}

static void *wake_later(void *q) {
  nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  pn_mpsc_wake(q);
  return NULL;
}

static void wake_ends_a_wait_for_ever(void **state) {
  (void)state;
  pn_mpsc *q = pn_mpsc_new(1);
  pthread_t t;
  pthread_create(&t, NULL, wake_later, q);
  assert_null(pn_mpsc_pop(q, UINT64_MAX));
  pthread_join(t, NULL);
  pn_mpsc_free(q);
}

enum { WRITERS = 4, EACH = 5000 };
typedef struct writer {
  pn_mpsc *q;
  int values[EACH]; // value = index; the pointer says whose it is
} writer;

static void *push_all(void *arg) {
  writer *w = arg;
  for (int i = 0; i < EACH; i++) {
    w->values[i] = i; // must be seen by the reader
    while (!pn_mpsc_push(w->q, &w->values[i])) sched_yield();
  }
  return NULL;
}

static void mpsc_loses_nothing_between_threads(void **state) {
  (void)state;
  static writer writers[WRITERS];
  pthread_t threads[WRITERS];
  pn_mpsc *q = pn_mpsc_new(16);
  for (int i = 0; i < WRITERS; i++) {
    writers[i].q = q;
    pthread_create(&threads[i], NULL, push_all, &writers[i]);
  }
  int next[WRITERS] = {0};
  for (int n = 0; n < WRITERS * EACH; n++) {
    int *item = pn_mpsc_pop(q, UINT64_MAX);
    int w = 0;
    while (item < writers[w].values || item >= writers[w].values + EACH) w++;
    assert_int_equal(*item, next[w]); // in the order of each writer
    next[w]++;
  }
  for (int i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
  assert_int_equal(pn_mpsc_count(q), 0);
  pn_mpsc_free(q);
}

static void spsc_keeps_records_whole(void **state) {
  (void)state;
  pn_spsc *q = pn_spsc_new(1); // rounded up to 64
  char out[64];
  assert_true(pn_spsc_pop(q, out, sizeof out) == SIZE_MAX);
  assert_true(pn_spsc_push(q, "", 0));
  assert_int_equal(pn_spsc_pop(q, out, sizeof out), 0);
  char record[62];
  for (size_t i = 0; i < sizeof record; i++) record[i] = (char)i;
  for (int round = 0; round < 100; round++) { // every alignment of the border
    size_t n = (size_t)round % 60 + 1;
    assert_true(pn_spsc_push(q, record, n));
    assert_int_equal(pn_spsc_pop(q, out, sizeof out), n);
    assert_memory_equal(out, record, n);
  }
  assert_true(pn_spsc_push(q, record, 62)); // exactly full
  assert_false(pn_spsc_push(q, "", 0));
  memset(out, 0x55, sizeof out);
  assert_int_equal(pn_spsc_pop(q, out, 10), 10); // cut, and the rest is gone
  assert_int_equal(out[10], 0x55);
  assert_true(pn_spsc_pop(q, out, sizeof out) == SIZE_MAX);
  assert_false(pn_spsc_push(q, record, 63));
  pn_spsc_free(q);
}

static void spsc_takes_its_longest_record(void **state) {
  (void)state;
  static char big[70000], out[70000];
  memset(big, 'x', sizeof big);
  pn_spsc *q = pn_spsc_new(1 << 17);
  assert_true(pn_spsc_push(q, big, 65535));
  assert_false(pn_spsc_push(q, big, 65536));
  assert_int_equal(pn_spsc_pop(q, out, sizeof out), 65535);
  assert_memory_equal(out, big, 65535);
  pn_spsc_free(q);
}

static void *push_records(void *q) {
  unsigned char record[40];
  for (int i = 0; i < 20000; i++) {
    size_t n = (size_t)i % sizeof record;
    memset(record, i & 255, n);
    while (!pn_spsc_push(q, record, n)) sched_yield();
  }
  return NULL;
}

static void spsc_passes_records_between_threads(void **state) {
  (void)state;
  pn_spsc *q = pn_spsc_new(128);
  pthread_t t;
  pthread_create(&t, NULL, push_records, q);
  for (int i = 0; i < 20000; i++) {
    unsigned char record[40];
    size_t n;
    while ((n = pn_spsc_pop(q, record, sizeof record)) == SIZE_MAX) sched_yield();
    if (n != (size_t)i % sizeof record) fail();
    for (size_t k = 0; k < n; k++)
      if (record[k] != (i & 255)) fail();
  }
  pthread_join(t, NULL);
  pn_spsc_free(q);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mpsc_keeps_order_and_bound),
      cmocka_unit_test(mpsc_waits_as_long_as_it_says),
      cmocka_unit_test(wake_ends_a_wait_for_ever),
      cmocka_unit_test(mpsc_loses_nothing_between_threads),
      cmocka_unit_test(spsc_keeps_records_whole),
      cmocka_unit_test(spsc_takes_its_longest_record),
      cmocka_unit_test(spsc_passes_records_between_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
