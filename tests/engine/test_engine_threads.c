// Several threads submit, read, cancel and let go at the same time, and another one looks on, and holds and
// resumes what they read.
#include "base/rng.h"
#include "fake_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREADS = 5, REQUESTS = 60 };

static pn_engine *g;
static atomic_int n_done, n_cancelled, n_busy, n_late, n_wrong, n_over;

// What each client reads just now.
static struct {
  pthread_mutex_t lock;
  pn_gen *gen;
} reads[THREADS];
static int n_holds;

static void let_see(int me, pn_gen *gen) {
  pthread_mutex_lock(&reads[me].lock);
  reads[me].gen = gen;
  pthread_mutex_unlock(&reads[me].lock);
}

static void hold_for_a_while(int whose) {
  pthread_mutex_lock(&reads[whose].lock); // it isn't released meanwhile
  pn_gen *gen = reads[whose].gen;
  if (gen) {
    n_holds++;
    pn_gen_hold(gen);
    if (n_holds % 2) usleep(200);
    pn_gen_resume(gen);
  }
  pthread_mutex_unlock(&reads[whose].lock);
}

// Read it to its end, or leave in the middle.
static void read_answer(pn_gen *gen, fake_bell *b, const char *want, pn_rng *rng) {
  pn_event ev;
  size_t n = 0;
  int patience = pn_rng_below(rng, 3) ? 1 << 20 : (int)pn_rng_below(rng, 20);
  for (int i = 0;; i++) {
    if (i == patience) {
      pn_gen_cancel(gen);
      if (pn_rng_below(rng, 2)) break;
    }
    while (!pn_gen_next(gen, &ev)) fake_await(b);
    if (ev.kind == PN_EVENT_TEXT) {
      if (strncmp(ev.text, want + n, ev.n_text) != 0) atomic_fetch_add(&n_wrong, 1);
      n += ev.n_text;
    }
    if (ev.kind == PN_EVENT_DONE && strlen(want) != n) atomic_fetch_add(&n_wrong, 1);
    if (ev.kind == PN_EVENT_DONE) atomic_fetch_add(&n_done, 1);
    if (ev.kind == PN_EVENT_FAILED)
      atomic_fetch_add(ev.error.code == PN_ERR_CANCELLED ? &n_cancelled : &n_late, 1);
    if (ev.kind == PN_EVENT_DONE || ev.kind == PN_EVENT_FAILED) break;
  }
}

static void *client(void *arg) {
  int me = (int)(intptr_t)arg;
  pn_rng rng;
  pn_rng_seed(&rng, (uint64_t)me);
  for (int i = 0; i < REQUESTS; i++) {
    int32_t tokens[120];
    char want[200];
    int n = 1 + (int)pn_rng_below(&rng, 120), out = 1 + (int)pn_rng_below(&rng, 60);
    int leave = (int)pn_rng_below(&rng, 120);
    for (int k = 0; k < n; k++) tokens[k] = k < leave ? k % 20 : (int32_t)pn_rng_below(&rng, 26);
    fake_expect(tokens, n, out, want);
    fake_bell b = FAKE_BELL;
    pn_request r = fake_request(tokens, (size_t)n, out, &b);
    r.client = (uint64_t)me;
    r.background = pn_rng_below(&rng, 6) == 0;
    if (pn_rng_below(&rng, 8) == 0) r.timeout_us = 1 + pn_rng_below(&rng, 3000);
    pn_error e;
    pn_gen *gen = pn_engine_submit(g, &r, &e);
    if (gen) {
      let_see(me, gen);
      read_answer(gen, &b, want, &rng);
      let_see(me, NULL);
      pn_gen_release(gen);
    } else {
      atomic_fetch_add(e.code == PN_ERR_BUSY ? &n_busy : &n_wrong, 1);
    }
  }
  atomic_fetch_add(&n_over, 1);
  return NULL;
}

static void everybody_at_once(void **state) {
  (void)state;
  fake_reset();
  g = fake_open(
      &(pn_engine_options){.max_running = 4, .max_queue = 1, .chunk_tokens = 32, .kv_tokens = 20 * 32});
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) pthread_mutex_init(&reads[i].lock, NULL);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, client, (void *)(intptr_t)i), 0);
  unsigned n_looks = 0;
  while (atomic_load(&n_over) < THREADS) {
    pn_engine_info info;
    pn_engine_info_of(g, &info);
    assert_in_range(info.n_running, 0, 4);
    assert_in_range(info.n_waiting, 0, THREADS + 1);
    assert_true(info.kv_used_bytes + info.kv_cached_bytes <= 2 * info.kv_bytes);
    assert_in_range(info.retry_after_s, 1, 60);
    hold_for_a_while((int)(n_looks++ % THREADS));
    usleep(100);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  pn_engine_close(g);
  assert_int_equal(n_wrong + fake.bad_rows + fake.n_row_twice, 0);
  assert_true(n_done > 50);
  assert_true(n_cancelled > 5);
  assert_true(n_holds > 20);
}

int main(void) {
  fake_quiet();
  const struct CMUnitTest tests[] = {cmocka_unit_test(everybody_at_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
