// Many requests at once over the scripted model: each gets what it would get alone, whatever the chunks, the
// number of streams and the size of the cache.
#include "base/rng.h"
#include "engine/sequence.h"
#include "fake_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 24 };

typedef struct ask {
  int32_t tokens[FAKE_CTX];
  int n, max_tokens;
  uint64_t client;
  pn_sampling sampling;
  char want[FAKE_CTX];
} ask;

static ask asks[N];
static fake_answer a;

// Prompts with a few beginnings in common, left at different places.
static void make_asks(void) {
  pn_rng rng;
  pn_rng_seed(&rng, 7);
  for (int i = 0; i < N; i++) {
    ask *q = &asks[i];
    int stem = (int)pn_rng_below(&rng, 3), leave = (int)pn_rng_below(&rng, 200);
    q->n = 1 + (int)pn_rng_below(&rng, i % 3 ? 60 : 250);
    for (int k = 0; k < q->n; k++)
      q->tokens[k] = k < leave ? (stem * 7 + k) % 26 : (int32_t)pn_rng_below(&rng, 26);
    q->max_tokens = 1 + (int)pn_rng_below(&rng, 90);
    q->client = pn_rng_below(&rng, 4);
    q->sampling = (pn_sampling){.temperature = i % 2 ? 0.0f : 1.5f, .top_p = 0.95f, .seed = (uint64_t)i};
  }
}

static pn_request request_of(const ask *q, fake_bell *b) {
  pn_request r = fake_request(q->tokens, (size_t)q->n, q->max_tokens, b);
  r.sampling = q->sampling;
  r.client = q->client;
  return r;
}

static void ask_each_alone(void) {
  make_asks();
  for (int i = 0; i < N; i++) { // a new engine each time: nothing is cached
    fake_reset();
    pn_engine *g = fake_open(&(pn_engine_options){.max_queue = 1});
    pn_request r = request_of(&asks[i], NULL);
    fake_ask(g, &r, &a);
    assert_int_equal(a.last.kind, PN_EVENT_DONE);
    assert_int_equal(a.last.n_cached, 0);
    strcpy(asks[i].want, a.text);
    if (asks[i].sampling.temperature <= 0) {
      char says[FAKE_CTX];
      fake_expect(asks[i].tokens, asks[i].n, asks[i].max_tokens, says);
      assert_string_equal(asks[i].want, says);
    }
    pn_engine_close(g);
  }
}

static long preemptions;

// All at once, twice (the second time with what the first one left in the cache), some cancelled on their
// way.
static void all_at_once(int chunk, int running, int pages, bool cancel) {
  fake_reset();
  pn_metrics *metrics = pn_metrics_new();
  pn_engine *g = fake_open(&(pn_engine_options){.chunk_tokens = chunk,
                                                .max_running = running,
                                                .max_queue = N,
                                                .kv_tokens = pages * 32,
                                                .metrics = metrics});
  for (int round = 0; round < 2; round++) {
    pn_gen *gens[N];
    fake_bell bells[N];
    pn_error e;
    for (int i = 0; i < N; i++) {
      bells[i] = (fake_bell)FAKE_BELL;
      pn_request r = request_of(&asks[i], &bells[i]);
      assert_non_null(gens[i] = pn_engine_submit(g, &r, &e));
    }
    for (int i = 0; cancel && i < N; i += 5) {
      if (i % 2) usleep(100);
      pn_gen_cancel(gens[i]);
    }
    for (int i = 0; i < N; i++) {
      fake_collect(gens[i], &bells[i], &a);
      if (a.last.kind == PN_EVENT_DONE) {
        assert_string_equal(a.text, asks[i].want);
        assert_int_equal(a.last.n_prompt_done, asks[i].n);
      } else {
        assert_true(cancel && i % 5 == 0);
        assert_int_equal(a.last.error.code, PN_ERR_CANCELLED);
        assert_int_equal(strncmp(a.text, asks[i].want, strlen(a.text)), 0);
      }
      assert_int_equal(a.n_queued, 1);
      assert_in_range(a.last.n_cached, 0, asks[i].n - 1);
      pn_gen_release(gens[i]);
    }
    assert_int_equal(fake.bad_rows, 0);
    assert_int_equal(fake.n_row_twice, 0);
    assert_true(fake.max_seqs <= running);
    assert_true(fake.max_rows <= chunk + running * SEQUENCE_AHEAD);
  }
  pn_engine_info info;
  pn_engine_info_of(g, &info);
  assert_int_equal(info.n_running + info.n_waiting, 0);
  assert_int_equal(info.kv_used_bytes, 0);
  pn_engine_close(g);
  pn_buf text = {0};
  pn_metrics_write(metrics, &text);
  const char *at = strstr(pn_buf_cstr(&text), "\npensieve_preemptions_total ");
  assert_non_null(at);
  preemptions += strtol(at + 28, NULL, 10);
  pn_buf_fini(&text);
  pn_metrics_free(metrics);
}

static void company_does_not_matter(void **state) {
  (void)state;
  const int chunks[] = {1, 7, 64, 512}, runnings[] = {1, 2, 4, 16};
  for (int c = 0; c < 4; c++)
    for (int r = 0; r < 4; r++) {
      const int pages[] = {FAKE_PAGES, 13, 24};
      all_at_once(chunks[c], runnings[r], pages[(c + r) % 3], (c ^ r) & 1);
    }
}

// Answers that grow beyond their reserve in a small cache.
static void those_that_pause_go_on_with_the_same_text(void **state) {
  (void)state;
  static char want[2 * FAKE_CTX];
  preemptions = 0;
  for (int i = 0; i < N; i++) {
    asks[i].n = 20 + i;
    asks[i].max_tokens = 350;
    fake_expect(asks[i].tokens, asks[i].n, 350, want);
    memcpy(asks[i].want, want, 351);
    asks[i].sampling.temperature = 0;
  }
  const int chunks[] = {1, 7, 64, 512};
  for (int c = 0; c < 4; c++) {
    all_at_once(chunks[c], 4, 30, false);
    all_at_once(chunks[c], 16, 60, true);
  }
  assert_true(preemptions > 20);
  make_asks();
}

// Requests with one beginning that come together compute it once.
static void one_beginning_is_computed_once(void **state) {
  (void)state;
  enum { SAME = 320, EACH = 8 };
  fake_reset();
  pn_engine *g = fake_open(&(pn_engine_options){
      .chunk_tokens = 64, .max_running = EACH, .max_queue = EACH, .kv_tokens = FAKE_PAGES * 32});
  static int32_t tokens[EACH][SAME + 20];
  pn_gen *gens[EACH];
  fake_bell bells[EACH];
  pn_error e;
  char want[64];
  for (int i = 0; i < EACH; i++) {
    for (int k = 0; k < SAME + 20; k++) tokens[i][k] = k < SAME ? k % 26 : (i + k) % 26;
    bells[i] = (fake_bell)FAKE_BELL;
    pn_request r = fake_request(tokens[i], SAME + 20, 10, &bells[i]);
    assert_non_null(gens[i] = pn_engine_submit(g, &r, &e));
  }
  for (int i = 0; i < EACH; i++) {
    fake_collect(gens[i], &bells[i], &a);
    fake_expect(tokens[i], SAME + 20, 10, want);
    assert_string_equal(a.text, want);
    if (i > 0) assert_true(a.last.n_cached >= SAME);
    pn_gen_release(gens[i]);
  }
  assert_true(atomic_load(&fake.n_rows) <= SAME + EACH * (20 + 10));
  pn_engine_close(g);
}

// One client's flood does not keep another's request from its turn.
static void a_flood_does_not_drown_others(void **state) {
  (void)state;
  fake_reset();
  atomic_store(&fake.step_us, 300);
  pn_engine *g = fake_open(&(pn_engine_options){.chunk_tokens = 64, .max_running = 2, .max_queue = 100});
  pn_gen *gens[40], *lone;
  fake_bell bells[40], bell = FAKE_BELL;
  pn_error e;
  for (int i = 0; i < 40; i++) {
    bells[i] = (fake_bell)FAKE_BELL;
    asks[0].client = 1;
    pn_request r = request_of(&asks[0], &bells[i]);
    r.max_tokens = 30;
    assert_non_null(gens[i] = pn_engine_submit(g, &r, &e));
  }
  pn_request r = fake_request(asks[1].tokens, 10, 10, &bell);
  r.client = 2;
  lone = pn_engine_submit(g, &r, &e);
  fake_collect(lone, &bell, &a);
  int over = 0;
  for (int i = 0; i < 40; i++) {
    pn_event ev;
    while (pn_gen_next(gens[i], &ev)) over += ev.kind == PN_EVENT_DONE;
    pn_gen_release(gens[i]);
  }
  pn_gen_release(lone);
  assert_true(over <= 6);
  pn_engine_close(g);
}

int main(void) {
  fake_quiet();
  ask_each_alone();
  const struct CMUnitTest tests[] = {cmocka_unit_test(company_does_not_matter),
                                     cmocka_unit_test(one_beginning_is_computed_once),
                                     cmocka_unit_test(a_flood_does_not_drown_others),
                                     cmocka_unit_test(those_that_pause_go_on_with_the_same_text)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
