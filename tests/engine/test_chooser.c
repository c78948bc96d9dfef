// Choosing for several sequences at once: each keeps its own mask, wherever the grammar wrote it, and draws
// by its own seed and place.
#include "../backend/one_op.h"
#include "../backend_options.h"
#include "engine/chooser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { VOCAB = 300, ROWS = 6 };

// A stand-in for the generation's door: the mask lies in one place, which the next call overwrites.
static int32_t ids[VOCAB + 10];
static uint64_t bits[VOCAB / 64 + 3];
static int n_words;
static pn_mask next_mask;
static bool no_memory;
bool generation_mask(pn_gen *gen, int ahead, pn_mask *mask) {
  int only = gen->n_told < 0 ? -1 : gen->n_told + 100 * ahead; // which token is allowed; -1: any
  *mask = (pn_mask){0};
  if (no_memory && only == 5) return false;
  if (only < 0) return true;
  memset(bits, 0, sizeof bits);
  bits[only / 64] |= (uint64_t)1 << only % 64;
  *mask = next_mask;
  mask->n_words = n_words;
  if (mask->ids) ids[0] = only;
  return true;
}

static pn_gen gens[ROWS];
static float logits[ROWS * VOCAB];
static pn_backend *backend;
static chooser c;
static const pn_buffer buffer = {VOCAB, true};
static const pn_plan plan = {.buffers = &buffer, .n_buffers = 1};

static void open_all(void) {
  pn_error e;
  backend = open_test_backend("cpu", 1, NULL, NULL, &e);
  assert_non_null(backend);
  assert_true(chooser_init(&c, backend, VOCAB, ROWS, &e));
  for (int r = 0; r < ROWS; r++) {
    gens[r].sampling = (pn_sampling){.temperature = 1, .top_p = 1, .seed = 4};
    gens[r].n_told = r;
    gens[r].seq.n_tokens = 10;
  }
  for (int i = 0; i < ROWS * VOCAB; i++) logits[i] = (float)(i % 7);
  n_words = (VOCAB + 63) / 64;
}

static void close_all(void) {
  chooser_fini(&c);
  pn_backend_close(backend);
}

static void run(void) {
  chooser_clear(&c);
  for (int r = 0; r < ROWS; r++) chooser_add(&c, &gens[r], 0);
  pn_error e;
  pn_workspace *ws = logits_workspace(backend, &plan, ROWS, logits, VOCAB);
  const pn_logits l = {ws, {0, 0, VOCAB}};
  assert_true(chooser_submit(&c, l, 0, ROWS, &e) && chooser_collect(&c, l, 0, ROWS, &e));
  backend->ops->workspace_close(backend, ws);
}

// A row for the token after two guessed ones: its mask, and the random number of its place.
static void rows_may_run_ahead(void **state) {
  (void)state;
  pn_error e;
  open_all();
  next_mask = (pn_mask){.bits = bits};
  chooser_clear(&c);
  assert_int_equal(chooser_add(&c, &gens[1], 0), 0);
  assert_int_equal(chooser_add(&c, &gens[1], 1), 1);
  assert_int_equal(chooser_add(&c, &gens[1], 2), 2);
  pn_workspace *ws = logits_workspace(backend, &plan, 3, logits, VOCAB);
  const pn_logits l = {ws, {0, 0, VOCAB}};
  assert_true(chooser_collect(&c, l, 0, 3, &e));
  for (int k = 0; k < 3; k++) {
    assert_int_equal(chooser_choice(&c, k)->id, 1 + 100 * k);
    assert_int_equal(c.how[k].position, 10 + k);
  }
  backend->ops->workspace_close(backend, ws);
  close_all();
}

static void every_row_has_its_own_mask(void **state) {
  (void)state;
  const pn_mask kinds[] = {{.bits = bits}, {.ids = ids, .n_ids = 1}};
  open_all();
  for (int k = 0; k < 2; k++) {
    next_mask = kinds[k];
    run();
    for (int r = 0; r < ROWS; r++) assert_int_equal(chooser_choice(&c, r)->id, r);
  }
  no_memory = true;
  run();
  for (int r = 0; r < 5; r++) assert_int_equal(chooser_choice(&c, r)->id, r);
  assert_null(chooser_choice(&c, 5));
  no_memory = false;
  run();
  assert_int_equal(chooser_choice(&c, 5)->id, 5);
  close_all();
}

// Long lists become bits. Tokens that only one of tokenizer and model knows are never chosen.
static void sizes_may_differ(void **state) {
  (void)state;
  open_all();
  for (int i = 0; i < VOCAB + 10; i++) ids[i] = i;
  for (int n = 1; n <= VOCAB + 10; n += 3) {
    next_mask = (pn_mask){.ids = ids, .n_ids = n};
    gens[0].sampling.temperature = 0;
    logits[n - 1 < VOCAB ? n - 1 : 77] = 100;
    run();
    assert_int_equal(chooser_choice(&c, 0)->id, n - 1 < VOCAB ? n - 1 : 77);
    logits[n - 1 < VOCAB ? n - 1 : 77] = 0;
  }
  next_mask = (pn_mask){.bits = bits};
  gens[1].n_told = 70;
  n_words = 1; // a tokenizer of 64 tokens
  run();
  assert_int_equal(chooser_choice(&c, 0)->id, 0);
  assert_int_equal(chooser_choice(&c, 1)->id, -1);
  n_words = VOCAB / 64 + 3; // one that knows more than the model
  run();
  assert_int_equal(chooser_choice(&c, 1)->id, 70);
  close_all();
}

// The same seed at the same place is the same number, in whatever row; another place or seed is another one.
static void seed_and_place_decide(void **state) {
  (void)state;
  open_all();
  int differ = 0;
  for (int r = 0; r < ROWS; r++) gens[r].n_told = -1;
  for (int place = 0; place < 50; place++) {
    for (int r = 0; r < ROWS; r++) gens[r].seq.n_tokens = place;
    gens[1].seq.n_tokens++;
    gens[2].sampling.seed = 5;
    memcpy(logits + VOCAB, logits, VOCAB * sizeof *logits);
    memcpy(logits + 2 * VOCAB, logits, VOCAB * sizeof *logits);
    memcpy(logits + 3 * VOCAB, logits, VOCAB * sizeof *logits);
    run();
    int32_t id = chooser_choice(&c, 0)->id;
    assert_int_equal(chooser_choice(&c, 3)->id, id);
    differ += (chooser_choice(&c, 1)->id != id) + (chooser_choice(&c, 2)->id != id);
  }
  assert_true(differ > 90);
  close_all();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rows_may_run_ahead), cmocka_unit_test(every_row_has_its_own_mask),
      cmocka_unit_test(sizes_may_differ), cmocka_unit_test(seed_and_place_decide)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
