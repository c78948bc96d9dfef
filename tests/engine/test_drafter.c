// Guessed tokens: where they are found, how many are taken, and that they never cost much, against simulated
// machines.
#include "../unit.h"
#include "base/rng.h"
#include "engine/drafter.h"

#include <stdlib.h>
#include <string.h>

// ---- texts ----

// The longest agreement with the end of tokens[0, n) among all places before `until`, by looking everywhere.
static int longest(const int32_t *text, int until, const int32_t *tokens, int n) {
  int best = 0;
  for (int end = SUFFIX_LEAST; end < until; end++) {
    int k = 0;
    while (k < SUFFIX_MOST && k < end && k < n && text[end - 1 - k] == tokens[n - 1 - k]) k++;
    if (k > best) best = k;
  }
  return best >= SUFFIX_LEAST ? best : 0;
}

static void the_longest_agreement_is_found(void **state) {
  (void)state;
  pn_rng rng;
  pn_rng_seed(&rng, 3);
  int n_found = 0;
  for (int round = 0; round < 300; round++) {
    enum { MOST = 400 };
    int32_t text[MOST];
    int n = 1 + (int)pn_rng_below(&rng, MOST), letters = 12 + (int)pn_rng_below(&rng, 30);
    for (int i = 0; i < n; i++) text[i] = (int32_t)pn_rng_below(&rng, (uint64_t)letters);
    if (n > 100) memcpy(text + n - 20, text + 30, 20 * sizeof *text); // something that comes again
    suffix_index x;
    assert_true(suffix_index_init(&x, MOST));
    for (int at = 0; at < n; at += 1 + (int)pn_rng_below(&rng, 50)) suffix_index_extend(&x, text, at);
    suffix_index_extend(&x, text, n);
    assert_memory_equal(x.tokens, text, (size_t)n * sizeof *text);
    int length, at = suffix_index_find(&x, text, n, n, &length);
    assert_int_equal(length, longest(text, n, text, n));
    assert_true((at >= 0) == (length > 0) && at < n);
    for (int k = 0; k < length; k++) assert_int_equal(text[at - 1 - k], text[n - 1 - k]);
    n_found += length >= 20;
    suffix_index_clear(&x);
    assert_int_equal(suffix_index_find(&x, text, n, n, &length), -1);
    suffix_index_fini(&x);
  }
  assert_true(n_found > 100);
}

static void a_text_ends_where_its_room_does(void **state) {
  (void)state;
  suffix_index x;
  int32_t text[50];
  int length;
  for (int i = 0; i < 50; i++) text[i] = i % 5;
  assert_true(suffix_index_init(&x, 20));
  suffix_index_extend(&x, text, 50);
  assert_int_equal(x.n, 20);
  assert_int_equal(suffix_index_find(&x, text, 50, 20, &length), 15);
  assert_int_equal(length, 15);
  assert_int_equal(suffix_index_find(&x, text, 2, 20, &length), -1); // too short to agree
  suffix_index_fini(&x);
}

// ---- costs ----

static void costs_between_and_beyond_what_was_seen(void **state) {
  (void)state;
  row_costs c = {0};
  assert_true(row_costs_of(&c, 3) == 0);
  row_costs_took(&c, 2, 1000);
  assert_true(row_costs_of(&c, 2) == 1000);
  assert_true(row_costs_of(&c, 1) < 1000 && row_costs_of(&c, 1) > 900);
  assert_true(row_costs_of(&c, 10) > 1000 && row_costs_of(&c, 10) < 1400);
  row_costs_took(&c, 10, 5000);
  assert_true(row_costs_of(&c, 6) == 3000);
  for (int i = 0; i < 50; i++) row_costs_took(&c, 2, 2000); // the machine is half as fast
  assert_true(row_costs_of(&c, 2) > 1900 && row_costs_of(&c, 10) > 5500);
  double before = row_costs_of(&c, 2);
  row_costs_took(&c, 2, 1000000); // a hiccup
  assert_true(row_costs_of(&c, 2) < 1.3 * before);
  for (int i = 0; i < 1000; i++) row_costs_took(&c, 2, 2000);
  assert_true(row_costs_of(&c, 10) < 3000); // it was long ago that they were so dear
  row_costs_took(&c, 0, 5), row_costs_took(&c, ROW_COSTS_MOST + 1, 5);
}

// ---- streams on a simulated machine ----

enum { CTX = 4000, STREAMS = 8 };

typedef struct machine {
  double row, noise; // of a step of one row, what another one costs
  pn_rng rng;
} machine;

static double cost(machine *m, int n_rows) {
  return 1000 * (1 + m->row * (n_rows - 1)) * (1 + m->noise * (2 * pn_rng_unit(&m->rng) - 1));
}

typedef struct stream {
  sequence seq;
  int32_t tokens[CTX];
  int32_t text[CTX]; // what it is going to say
} stream;

static stream all[STREAMS];

// Copies of earlier parts with a share of changed tokens, or new tokens of which few come again by chance.
static void make_text(stream *s, uint64_t age, double copied, double changed, int letters, pn_rng *rng) {
  *s = (stream){.seq = {.tokens = s->tokens, .age = age, .most_draft = DRAFT_RUN}};
  for (int i = 0, from = -1, left = 0; i < CTX; i++, left--) {
    if (left <= 0) {
      from = i > 200 && pn_rng_unit(rng) < copied ? (int)pn_rng_below(rng, (uint64_t)i - 100) : -1;
      left = 60 + (int)pn_rng_below(rng, 60);
    }
    bool copies = from >= 0 && pn_rng_unit(rng) >= changed;
    s->text[i] = copies ? s->text[from] : (int32_t)pn_rng_below(rng, (uint64_t)letters);
    if (from >= 0) from++;
  }
  s->seq.n_tokens = 300; // the prompt
  memcpy(s->tokens, s->text, 300 * sizeof *s->tokens);
}

// Tokens a microsecond of n streams until one is over.
static double speed(drafter *d, machine *m, int n) {
  double us = 0, tokens = 0;
  for (;;) {
    step_part parts[STREAMS];
    int n_rows = 0;
    for (int i = 0; i < n; i++) {
      if (all[i].seq.n_tokens + DRAFT_RUN + 1 >= CTX) return tokens / us;
      parts[i] = (step_part){&all[i].seq, 1, 0};
    }
    drafter_plan(d, parts, n);
    int n_guessed = 0;
    for (int i = 0; i < n; i++) {
      n_rows += 1 + all[i].seq.n_draft;
      n_guessed += all[i].seq.n_draft;
      assert_true(all[i].seq.n_draft <= all[i].seq.most_draft);
    }
    assert_true(n_guessed <= DRAFT_ROWS);
    double took = cost(m, n_rows);
    us += took;
    drafter_took(d, n_rows, (uint64_t)took);
    for (int i = 0; i < n; i++) {
      stream *s = &all[i];
      int right = 0;
      while (right < s->seq.n_draft && s->seq.draft[right] == s->text[s->seq.n_tokens + right]) right++;
      for (int k = 0; k <= right; k++, s->seq.n_tokens++)
        s->tokens[s->seq.n_tokens] = s->text[s->seq.n_tokens];
      tokens += right + 1;
      drafter_learn(d, &s->seq);
    }
  }
}

// How many times as fast as one token a step.
static double gain(int n, double copied, double changed, int letters, double row, double noise) {
  double mean = 0;
  for (uint64_t seed = 1; seed <= 5; seed++) {
    pn_error e;
    drafter d = {0};
    machine m = {.row = row, .noise = noise};
    pn_rng_seed(&m.rng, seed);
    assert_true(drafter_init(&d, STREAMS, CTX, &e));
    for (int i = 0; i < n; i++) make_text(&all[i], (uint64_t)i + 1, copied, changed, letters, &m.rng);
    mean += speed(&d, &m, n) * 1000 * (1 + row * (n - 1)) / n / 5;
    drafter_fini(&d);
  }
  return mean;
}

static void what_comes_again_is_fast(void **state) {
  (void)state;
  assert_true(gain(1, 1, 0.02, 1000, 0.05, 0.05) > 4);
  assert_true(gain(1, 1, 0.02, 1000, 0.2, 0.05) > 2);
  assert_true(gain(1, 0.5, 0.05, 1000, 0.2, 0.05) > 1.2);
  assert_true(gain(4, 1, 0.02, 1000, 0.1, 0.05) > 1.5);
}

// Where rows are dear, or nothing comes again but by chance, next to nothing is lost.
static void what_does_not_pay_is_left(void **state) {
  (void)state;
  static const double rows[] = {0.02, 0.1, 0.3, 1};
  for (int i = 0; i < 4; i++)
    for (int letters = 8; letters <= 1000; letters *= 5)
      for (int n = 1; n <= STREAMS; n *= 8) {
        double g = gain(n, 0, 0, letters, rows[i], 0.1);
        if (!(g > 0.98)) fail_msg("%d streams, %d letters, a row costs %g: %g times", n, letters, rows[i], g);
      }
  assert_true(gain(1, 1, 0.3, 1000, 1, 0.1) > 0.98);
  assert_true(gain(8, 1, 0.02, 1000, 1, 0.1) > 0.98);
}

// A new conversation goes on as one before it did.
static void others_texts_count_too(void **state) {
  (void)state;
  pn_error e;
  pn_rng rng;
  drafter d = {0};
  machine m = {.row = 0.1};
  pn_rng_seed(&rng, 5);
  assert_true(drafter_init(&d, 1, CTX, &e));
  make_text(&all[0], 1, 0, 0, 1000, &rng);
  double first = speed(&d, &m, 1);
  memcpy(all[1].text, all[0].text, sizeof all[1].text);
  all[0].seq = (sequence){.tokens = all[0].tokens, .age = 2, .most_draft = DRAFT_RUN, .n_tokens = 20};
  assert_true(speed(&d, &m, 1) > 4 * first);
  // As many more as are kept, and it is forgotten.
  for (uint64_t age = 3; age < 3 + DRAFT_KEPT + 1; age++) {
    make_text(&all[0], age, 0, 0, 1000, &rng);
    speed(&d, &m, 1);
  }
  memcpy(all[0].text, all[1].text, sizeof all[0].text);
  memcpy(all[0].tokens, all[1].text, 20 * sizeof *all[0].tokens);
  all[0].seq = (sequence){.tokens = all[0].tokens, .age = 100, .most_draft = DRAFT_RUN, .n_tokens = 20};
  assert_true(speed(&d, &m, 1) < 1.1 * first);
  drafter_fini(&d);
}

static void a_stream_may_want_none(void **state) {
  (void)state;
  pn_error e;
  pn_rng rng;
  drafter d = {0}, off = {0};
  machine m = {.row = 0.1};
  pn_rng_seed(&rng, 5);
  assert_true(drafter_init(&d, 1, CTX, &e));
  make_text(&all[0], 1, 1, 0, 1000, &rng);
  all[0].seq.most_draft = 0;
  assert_true(speed(&d, &m, 1) < 1.01 / 1000);
  make_text(&all[0], 2, 1, 0, 1000, &rng);
  assert_true(speed(&off, &m, 1) < 1.01 / 1000);
  drafter_fini(&d);
  drafter_fini(&off);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_longest_agreement_is_found),
                                     cmocka_unit_test(a_text_ends_where_its_room_does),
                                     cmocka_unit_test(costs_between_and_beyond_what_was_seen),
                                     cmocka_unit_test(what_comes_again_is_fast),
                                     cmocka_unit_test(what_does_not_pay_is_left),
                                     cmocka_unit_test(others_texts_count_too),
                                     cmocka_unit_test(a_stream_may_want_none)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
