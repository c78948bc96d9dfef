// The pace of prompts against simulated machines.
#include "../unit.h"
#include "base/rng.h"
#include "engine/prompt_pace.h"

#include <stdlib.h>

enum { LAYERS = 30, MAX_TURNS = 20000 };

// A streams' step costs streams_us; a layer costs layer + rows * row microseconds: times 1 + noise, and now
// and then far more.
typedef struct machine {
  double streams, layer, row, noise, hiccups;
  pn_rng rng;
} machine;

static uint64_t cost(machine *m, double us) {
  us *= 1 + m->noise * (2 * pn_rng_unit(&m->rng) - 1);
  if (pn_rng_unit(&m->rng) < m->hiccups) us *= 5;
  return us < 1 ? 1 : (uint64_t)us;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

typedef struct seen {
  double median, p99; // of a turn, relative to the streams alone
  double part;        // of the time that went to prompts
  double rows;        // of a pass, at the end
} seen;

// n turns with a prompt that never ends, as the engine goes through them.
static seen run(prompt_pace *p, machine *m, int n, int skip, int n_prompts) {
  static double ratio[MAX_TURNS];
  int layers_left = 0, k = 0, rows = 0;
  double all = 0, prompts = 0;
  for (int i = 0; i < n; i++) {
    uint64_t streams = cost(m, m->streams), turn = streams;
    prompt_pace_turn(p, streams, n_prompts);
    if (layers_left == 0) {
      rows = prompt_pace_rows(p, true);
      assert_in_range(rows, 1, p->max_rows);
      prompt_pace_begin(p, rows);
      layers_left = LAYERS;
    }
    while (layers_left > 0 && prompt_pace_fits(p)) {
      uint64_t us = cost(m, m->layer + m->row * rows);
      prompt_pace_took(p, us);
      layers_left--;
      turn += us;
      if (i >= skip) prompts += (double)us;
    }
    if (i < skip) continue;
    ratio[k++] = (double)turn / m->streams;
    all += (double)turn;
  }
  qsort(ratio, (size_t)k, sizeof *ratio, by_size);
  return (seen){ratio[k / 2], ratio[k * 99 / 100], prompts / all, rows};
}

static void streams_hardly_notice_and_prompts_get_their_share(void **state) {
  (void)state;
  static const double noises[] = {0, 0.05, 0.2}, rows[] = {1, 10, 40}, streams[] = {2500, 8000, 50000};
  for (int i = 0; i < 27; i++) {
    double noise = noises[i % 3];
    machine m = {.streams = streams[i / 9], .layer = 60, .row = rows[i / 3 % 3], .noise = noise};
    m.hiccups = noise > 0 ? 0.002 : 0;
    pn_rng_seed(&m.rng, (uint64_t)i + 1);
    prompt_pace p;
    prompt_pace_init(&p, 0.3, 512, LAYERS);
    seen s = run(&p, &m, 6000, 600, 1);
    if (s.median > 1.5 || s.p99 > (noise > 0.1 ? 2.2 : 2) || s.part < 0.24 || s.part > 0.32)
      fail_msg("machine %d: median %.2f, p99 %.2f, %.2f of the time for prompts, %.0f rows", i, s.median,
               s.p99, s.part, s.rows);
  }
}

// Even the smallest pass has layers that are longer than a turn's budget: they come rarely.
static void a_layer_that_is_too_long_comes_rarely(void **state) {
  (void)state;
  static const double layers[] = {1300, 2000, 4000};
  for (int i = 0; i < 3; i++) {
    machine m = {.streams = 2500, .layer = layers[i], .row = 10};
    pn_rng_seed(&m.rng, 1);
    prompt_pace p;
    prompt_pace_init(&p, 0.3, 512, LAYERS);
    seen s = run(&p, &m, 6000, 600, 1);
    assert_true(s.median <= 1.001);
    assert_true(s.part > 0.1 && s.part < 0.32);
    assert_true(p.rows <= 8);
  }
}

static void more_prompts_get_more_but_not_all(void **state) {
  (void)state;
  double before = 0;
  for (int n = 1; n <= 8; n *= 2) {
    machine m = {.streams = 8000, .layer = 60, .row = 10};
    pn_rng_seed(&m.rng, 1);
    prompt_pace p;
    prompt_pace_init(&p, 0.3, 512, LAYERS);
    seen s = run(&p, &m, 4000, 400, n);
    if (s.part < before - 0.005 || s.part > 0.51 || s.p99 > 2.3)
      fail_msg("%d prompts: %.3f of the time after %.3f, p99 %.2f", n, s.part, before, s.p99);
    before = s.part;
  }
  assert_true(before > 0.45);
}

static void it_follows_a_cost_that_changes(void **state) {
  (void)state;
  machine m = {.streams = 2500, .layer = 30, .row = 5};
  pn_rng_seed(&m.rng, 1);
  prompt_pace p;
  prompt_pace_init(&p, 0.3, 512, LAYERS);
  seen easy = run(&p, &m, 3000, 300, 1);
  m.row = 60; // deep in a long context
  seen hard = run(&p, &m, 3000, 600, 1);
  m.row = 5;
  seen again = run(&p, &m, 3000, 600, 1);
  assert_true(hard.median <= 1.5 && hard.rows < easy.rows);
  assert_true(again.rows > 0.7 * easy.rows);
}

static void alone_a_pass_takes_a_quarter_of_a_second(void **state) {
  (void)state;
  prompt_pace p;
  prompt_pace_init(&p, 0.3, 4096, LAYERS);
  int rows = 0;
  for (int i = 0; i < 20; i++) {
    prompt_pace_turn(&p, 0, 1);
    rows = prompt_pace_rows(&p, false);
    prompt_pace_begin(&p, rows);
    for (int k = 0; k < LAYERS; k++) {
      assert_true(prompt_pace_fits(&p));
      prompt_pace_took(&p, 100 + (uint64_t)rows * 20);
    }
  }
  double pass_us = LAYERS * (100.0 + rows * 20.0);
  assert_true(pass_us > 200000 && pass_us < 300000);
  // A short prompt's pass doesn't say that long ones are slow.
  prompt_pace_begin(&p, 3);
  for (int k = 0; k < LAYERS; k++) prompt_pace_took(&p, 160);
  assert_int_equal(prompt_pace_rows(&p, false), rows);
}

// Passes of few rows that cost nearly as much as those of many would teach that few fit into the time.
static void alone_a_pass_has_the_rows_that_pay(void **state) {
  (void)state;
  prompt_pace p;
  prompt_pace_init(&p, 0.3, 512, LAYERS);
  p.alone_least = 128;
  for (int i = 0; i < 20; i++) {
    prompt_pace_turn(&p, 0, 1);
    const int rows = prompt_pace_rows(&p, false);
    assert_int_equal(rows, 128);
    prompt_pace_begin(&p, rows);
    for (int k = 0; k < LAYERS; k++) prompt_pace_took(&p, 8000 + (uint64_t)rows * 150);
  }
}

static void a_stream_that_comes_is_not_held_up_by_a_pass_without_streams(void **state) {
  (void)state;
  prompt_pace p;
  prompt_pace_init(&p, 0.3, 512, LAYERS);
  prompt_pace_turn(&p, 0, 1);
  prompt_pace_begin(&p, 512);
  prompt_pace_took(&p, 8000);
  int layers = 0;
  for (int turn = 0; turn < 60; turn++) {
    prompt_pace_turn(&p, 2500, 1);
    int here = 0;
    for (; prompt_pace_fits(&p); here++) prompt_pace_took(&p, 8000);
    assert_true(here <= 1);
    layers += here;
  }
  assert_in_range(layers, 5, 10); // it goes on at the pace of its share
}

// A device computes passes whole: as long as a step of the streams, however few the rows are, and then longer
// by the row.
static void whole_passes_come_when_their_share_is_saved(void **state) {
  (void)state;
  static const double row_us[] = {1, 10, 100};
  for (int i = 0; i < 3; i++) {
    prompt_pace p;
    prompt_pace_init(&p, 0.3, 512, 1);
    double streams = 0, prompts = 0;
    int rows = 0, since = 0, longest = 0;
    for (int turn = 0; turn < 4000; turn++) {
      prompt_pace_turn(&p, 3000, 1);
      streams += 3000;
      if (++since > longest) longest = since;
      if (!prompt_pace_fits(&p)) continue;
      rows = prompt_pace_rows(&p, true);
      assert_in_range(rows, 64, 512);
      prompt_pace_begin(&p, rows);
      double us = 3000 + row_us[i] * rows;
      prompt_pace_took(&p, (uint64_t)us);
      prompts += us;
      since = 0;
    }
    double part = prompts / (prompts + streams);
    if (part < 0.2 || part > 0.33 || longest > 16)
      fail_msg("%g us a row: %.3f of the time, after %d turns at most", row_us[i], part, longest);
    for (int k = 0; k < 20; k++) { // and alone as many rows as take a quarter of a second
      prompt_pace_turn(&p, 0, 1);
      assert_true(prompt_pace_fits(&p));
      rows = prompt_pace_rows(&p, false);
      prompt_pace_begin(&p, rows);
      prompt_pace_took(&p, (uint64_t)(3000 + 1000.0 * rows));
    }
    assert_in_range(rows, 200, 300);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(streams_hardly_notice_and_prompts_get_their_share),
      cmocka_unit_test(a_layer_that_is_too_long_comes_rarely),
      cmocka_unit_test(more_prompts_get_more_but_not_all),
      cmocka_unit_test(it_follows_a_cost_that_changes),
      cmocka_unit_test(alone_a_pass_takes_a_quarter_of_a_second),
      cmocka_unit_test(alone_a_pass_has_the_rows_that_pay),
      cmocka_unit_test(a_stream_that_comes_is_not_held_up_by_a_pass_without_streams),
      cmocka_unit_test(whole_passes_come_when_their_share_is_saved),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
