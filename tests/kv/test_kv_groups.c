// Pools of groups by hand: set-ups, windows, states, salts.
#include "kv_fixture.h"

// ---- set-ups ----

static void setups_that_contradict_themselves(void **state) {
  (void)state;
  const pn_kv_setup bad[] = {
      {.n_pages = 0},
      {.n_pages = INT32_MAX},
      {.n_pages = 4, .n_salts = -1},
      {.n_pages = 4, .n_groups = PN_KV_MAX_GROUPS + 1},
      {.n_pages = 4, .n_groups = -1},
      {.n_pages = 4, .n_groups = 1, .groups = {{(pn_kv_kind)9, 0, 0}}},
      {.n_pages = 4, .n_slots = 2},                                     // states without a group
      {.n_pages = 4, .n_groups = 1, .groups = {{PN_KV_STATE, 0, 0}}},   // and the other way round
      {.n_pages = 4, .n_groups = 1, .groups = {{PN_KV_WINDOW, 0, 4}}},  // no length
      {.n_pages = 4, .n_groups = 1, .groups = {{PN_KV_WINDOW, 10, 0}}}, // no pages
      {.n_pages = 4,
       .n_groups = 5,
       .groups = {{PN_KV_WINDOW, 8, 4},
                  {PN_KV_WINDOW, 8, 4},
                  {PN_KV_WINDOW, 8, 4},
                  {PN_KV_WINDOW, 8, 4},
                  {PN_KV_WINDOW, 8, 4}}},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    pn_error e = {0};
    assert_null(pn_kv_pool_new(&bad[i], &e));
    assert_int_equal(e.code, PN_ERR_INTERNAL);
  }
  pn_kv_table t;
  pn_error e = {0};
  assert_false(pn_kv_table_init(&t, PN_KV_MAX_WINDOWS + 1, 10, &e));
  assert_int_equal(e.code, PN_ERR_INTERNAL);
}

static void groups_share_numberings(void **state) {
  (void)state;
  fixture f = open_pool((pn_kv_setup){.n_pages = 10,
                                      .n_slots = 4,
                                      .n_groups = 5,
                                      .groups = {{PN_KV_LATENT, 0, 0},
                                                 {PN_KV_WINDOW, 40, 6},
                                                 {PN_KV_STATE, 0, 0},
                                                 {PN_KV_WINDOW, 100, 8},
                                                 {PN_KV_FULL, 0, 0}}});
  reserve(&f, &f.t, 3 * PAGE);
  const int pages[] = {10, 6, 4, 8, 10}, used[] = {3, 3, 1, 3, 3};
  for (int g = 0; g < 5; g++) {
    assert_int_equal(pn_kv_group_stats(f.p, g).n_pages, pages[g]);
    assert_int_equal(n_used(&f, g), used[g]);
  }
  assert_true(f.t.state >= 0);
  assert_int_equal(pn_kv_window_slot(&f.t, 1, PAGE + 3), f.t.window_pages[1][1] * PAGE + 3);
  pn_kv_publish(f.p, &f.t, 0, f.tokens, 3 * PAGE);
  assert_int_equal(f.t.first_window[0], 1); // positions > 96 - 40
  assert_int_equal(f.t.first_window[1], 0);
  check(&f);
  int32_t first;
  int n;
  pn_kv_release(f.p, &f.t, 0, f.tokens, 0);
  assert_false(pn_kv_take_idle_run(f.p, 1, &first, &n)); // cached
  pn_kv_forget(f.p);
  for (int g = 0; g < 5; g++) assert_int_equal(pn_kv_group_stats(f.p, g).n_free, pages[g]);
  assert_true(pn_kv_take_idle_run(f.p, 1, &first, &n));
  assert_int_equal(n, 3);
  assert_true(pn_kv_take_idle_run(f.p, 2, &first, &n));
  assert_int_equal(n, 1);
  assert_true(pn_kv_take_idle_run(f.p, 0, &first, &n));
  assert_int_equal(n, 3);
  assert_false(pn_kv_take_idle_run(f.p, 4, &first, &n)); // the same numbers
  close_pool(&f);
}

// ---- windows ----

static void a_window_gives_back_what_lies_behind(void **state) {
  (void)state;
  fixture f = open_pool(with_window(8, PAGE + 1, 4));
  for (int at = 0; at < 8 * PAGE; at += PAGE) { // never more than window and step need
    reserve(&f, &f.t, at + PAGE);
    pn_kv_publish(f.p, &f.t, 0, f.tokens, at + PAGE);
    check(&f);
  }
  assert_int_equal(n_used(&f, 0), 8);
  assert_int_equal(n_used(&f, 1), 1); // a row at 256 sees positions > 223
  assert_int_equal(f.t.first_window[0], 7);
  assert_int_equal(f.t.window_pages[0][6], -1);
  assert_int_equal(n_cached(&f, 1), 3);
  pn_error e = {0};
  pn_kv_table *u = &f.u;
  assert_false(pn_kv_reserve(f.p, u, 1, &e)); // all full pages are used
  assert_int_equal(e.code, PN_ERR_LIMIT);
  close_pool(&f);
}

static void window_pages_run_out_first(void **state) {
  (void)state;
  fixture f = open_pool(with_window(8, 100, 2));
  pn_error e = {0};
  reserve(&f, &f.t, 2 * PAGE);
  assert_false(pn_kv_reserve(f.p, &f.t, 3 * PAGE, &e));
  assert_int_equal(e.code, PN_ERR_LIMIT);
  assert_int_equal(f.t.n_pages, 2);
  assert_int_equal(n_used(&f, 0), 2);
  close_pool(&f);
}

static void a_prefix_ends_where_its_window_is_known(void **state) {
  (void)state;
  fixture f = open_pool(with_window(20, 2 * PAGE, 8));
  remember(&f, 0, 5 * PAGE + 7);
  assert_int_equal(n_cached(&f, 0), 6);
  assert_int_equal(lookup(&f, 0, MAX), 5 * PAGE + 7);
  assert_int_equal(n_cached(&f, 1), 6);
  pn_kv_prefix c = attach(&f, &f.t, 0, 0, MAX);
  assert_int_equal(c.n_tokens, 5 * PAGE + 7);
  assert_int_equal(f.t.first_window[0], 3); // positions > 103
  assert_true(c.copy_from >= 0 && c.window[0].from >= 0 && c.state.from == -1);
  assert_int_equal(c.window[0].to, f.t.window_pages[0][5]);
  assert_int_equal(n_used(&f, 1), 3);
  pn_kv_release(f.p, &f.t, 0, f.tokens, 0);

  // Others take window pages: first the 2 that are free, then by last use those behind the window, then of
  // the end.
  reserve(&f, &f.t, 5 * PAGE);
  assert_int_equal(lookup(&f, 0, MAX), 5 * PAGE + 7);
  reserve(&f, &f.t, 6 * PAGE); // the last, partial one
  assert_int_equal(lookup(&f, 0, MAX), 5 * PAGE);
  assert_int_equal(pn_kv_pool_stats(f.p).n_evicted, 0); // the full pages are all there
  int32_t differs;
  assert_int_equal(pn_kv_lookup(f.p, 0, f.tokens, MAX, &differs), 5 * PAGE);
  assert_int_equal(differs, -1);
  assert_int_equal(pn_kv_known(f.p, 0, f.tokens, MAX), 5 * PAGE + 7);
  reserve(&f, &f.t, 7 * PAGE); // page 4: what is left, page 3, does not reach back for any point
  assert_int_equal(lookup(&f, 0, MAX), 0);
  close_pool(&f);
}

static void own_window_pages_become_the_trees(void **state) {
  (void)state;
  fixture f = open_pool(with_window(6, 2 * PAGE, 3));
  remember(&f, 0, 2 * PAGE);
  reserve(&f, &f.u, 3 * PAGE); // takes both window pages of the two
  assert_int_equal(lookup(&f, 0, MAX), 0);
  pn_kv_publish(f.p, &f.u, 0, f.tokens, 2 * PAGE);
  assert_int_equal(lookup(&f, 0, MAX), 2 * PAGE);
  assert_int_equal(n_used(&f, 0), 3); // the pages were exchanged
  assert_int_equal(n_cached(&f, 0), 0);
  check(&f);
  close_pool(&f);
}

// ---- states ----

static void the_state_of_an_end_is_a_snapshot(void **state) {
  (void)state;
  fixture f = open_pool(with_states(10, 3));
  remember(&f, 0, 2 * PAGE + 5);
  assert_int_equal(n_cached(&f, 0), 1);
  assert_int_equal(lookup(&f, 0, 2 * PAGE + 4), 0); // no snapshot there
  assert_int_equal(lookup(&f, 0, MAX), 2 * PAGE + 5);
  pn_kv_prefix c = attach(&f, &f.t, 0, 0, MAX);
  assert_int_equal(c.n_tokens, 2 * PAGE + 5);
  assert_true(c.copy_from >= 0 && c.state.from >= 0 && c.state.to == f.t.state && c.state.from != c.state.to);
  // The page is finished: the snapshot goes over to it from the partial one.
  reserve(&f, &f.t, 3 * PAGE);
  pn_kv_publish(f.p, &f.t, 0, f.tokens, 3 * PAGE);
  check(&f);
  assert_int_equal(lookup(&f, 0, MAX), 2 * PAGE + 5);
  assert_int_equal(n_cached(&f, 1), 0);
  pn_kv_release(f.p, &f.t, 0, f.tokens, 3 * PAGE);
  assert_int_equal(lookup(&f, 0, MAX), 3 * PAGE);
  assert_int_equal(lookup(&f, 0, 3 * PAGE - 1), 2 * PAGE + 5);
  assert_int_equal(n_cached(&f, 0), 2);
  close_pool(&f);
}

static void marks_become_snapshots_with_their_page(void **state) {
  (void)state;
  fixture f = open_pool(with_states(10, 8));
  reserve(&f, &f.t, 2 * PAGE);
  assert_int_equal(pn_kv_mark(f.p, &f.u, 5).from, -1); // no state yet
  assert_int_equal(pn_kv_mark(f.p, &f.t, 0).from, -1);
  pn_kv_copy c = pn_kv_mark(f.p, &f.t, 11);
  assert_int_equal(c.from, f.t.state);
  assert_int_equal(pn_kv_mark(f.p, &f.t, 11).from, -1); // there is one
  assert_int_equal(lookup(&f, 0, MAX), 0);
  assert_int_equal(n_used(&f, 0), 2);
  pn_kv_publish(f.p, &f.t, 0, f.tokens, PAGE);
  assert_int_equal(n_cached(&f, 0), 1);
  assert_int_equal(lookup(&f, 0, MAX), 11);
  assert_int_equal(pn_kv_mark(f.p, &f.t, PAGE).from, f.t.state); // its page is known: a snapshot at once
  assert_int_equal(lookup(&f, 0, MAX), PAGE);
  assert_int_equal(pn_kv_mark(f.p, &f.t, PAGE).from, -1);
  for (int i = 1; i <= PN_KV_MAX_MARKS + 1; i++) assert_true(pn_kv_mark(f.p, &f.t, PAGE + i).from >= 0);
  assert_int_equal(f.t.n_marks, PN_KV_MAX_MARKS); // the oldest is given up
  assert_int_equal(f.t.marks[0].pos, PAGE + 2);
  check(&f);
  pn_kv_release(f.p, &f.t, 0, f.tokens, PAGE + 3); // marks behind what was computed go
  assert_int_equal(lookup(&f, 0, MAX), PAGE + 3);
  assert_int_equal(lookup(&f, 0, PAGE + 2), PAGE + 2);
  assert_int_equal(n_cached(&f, 0), 4);
  close_pool(&f);
}

static void snapshots_give_way_by_last_use(void **state) {
  (void)state;
  fixture f = open_pool(with_states(20, 4));
  remember(&f, 0, PAGE);
  remember(&f, 0, 2 * PAGE);
  remember(&f, 0, 3 * PAGE);
  remember(&f, 0, PAGE); // there is such a snapshot: it was used now
  assert_int_equal(n_cached(&f, 0), 3);
  reserve(&f, &f.t, 1);
  reserve(&f, &f.u, 1); // no slot is free
  assert_int_equal(pn_kv_group_stats(f.p, 0).n_evicted, 1);
  assert_int_equal(lookup(&f, 0, MAX), 3 * PAGE);
  assert_int_equal(lookup(&f, 0, 3 * PAGE - 1), PAGE);
  assert_true(pn_kv_mark(f.p, &f.t, 1).from >= 0);
  assert_int_equal(lookup(&f, 0, MAX), PAGE);
  assert_int_equal(pn_kv_pool_stats(f.p).n_evicted, 0); // the pages stay
  pn_kv_table late;
  pn_error e = {0};
  pn_kv_prefix c;
  assert_true(pn_kv_table_init(&late, 0, MAX, &e));
  pn_kv_attach(f.p, &late, 0, f.tokens, 0, MAX, &c); // the only slot is what would be copied
  assert_int_equal(c.n_tokens, 0);
  assert_int_equal(c.state.from, -1);
  assert_true(pn_kv_reserve(f.p, &late, 1, &e));       // but one that starts anew may have it
  assert_int_equal(pn_kv_mark(f.p, &f.u, 1).from, -1); // now there is none
  pn_kv_release(f.p, &late, 0, f.tokens, 0);
  pn_kv_table_fini(&late);
  close_pool(&f);
}

static void states_run_out(void **state) {
  (void)state;
  fixture f = open_pool(with_states(20, 1));
  pn_error e = {0};
  reserve(&f, &f.t, 1);
  assert_false(pn_kv_reserve(f.p, &f.u, 1, &e));
  assert_int_equal(e.code, PN_ERR_LIMIT);
  assert_int_equal(f.u.n_pages, 0);
  close_pool(&f);
}

// Siblings that agree as far as the snapshot: it hangs on one of them, the latest used is another.
static void a_snapshot_is_found_among_siblings(void **state) {
  (void)state;
  fixture f = open_pool(with_states(20, 6));
  remember(&f, 0, 10);
  for (int i = 0; i < 3; i++) {
    f.tokens[14] = 1000 + i;
    pn_kv_prefix c = attach(&f, &f.t, 0, 0, MAX);
    assert_int_equal(c.n_tokens, 10);
    reserve(&f, &f.t, PAGE);
    pn_kv_release(f.p, &f.t, 0, f.tokens, PAGE);
  }
  f.tokens[14] = 2000;
  assert_int_equal(lookup(&f, 0, MAX), 10);
  int32_t page = attach(&f, &f.t, 0, 0, MAX).copy_from;
  pn_kv_release(f.p, &f.t, 0, f.tokens, 0);
  f.tokens[14] = 1002;
  pn_kv_span s;
  assert_int_equal(pn_kv_export(f.p, 0, f.tokens, MAX, &s, 1), 1);
  assert_int_not_equal(s.page, page);
  assert_int_equal(lookup(&f, 0, MAX), PAGE);
  close_pool(&f);
}

// One snapshot among very many siblings that agree as far: looking at each of them for each would take
// minutes.
static void a_snapshot_is_found_fast(void **state) {
  (void)state;
  enum { N = 60000 };
  fixture f = open_pool(with_states(N, 8));
  remember(&f, 0, 10);
  for (int i = 0; i < N - 1; i++) {
    f.tokens[14] = 1000 + (int32_t)((int64_t)i * 7919 % N);
    pn_kv_prefix c;
    pn_kv_attach(f.p, &f.t, 0, f.tokens, 0, MAX, &c);
    pn_kv_attached(f.p, &c);
    assert_int_equal(c.n_tokens, 10);
    reserve(&f, &f.t, PAGE);
    pn_kv_release(f.p, &f.t, 0, f.tokens, PAGE);
  }
  close_pool(&f);
}

// ---- salts ----

static void salts_share_nothing(void **state) {
  (void)state;
  fixture f = open_pool((pn_kv_setup){.n_pages = 10, .n_salts = 2});
  remember(&f, 0, 2 * PAGE);
  assert_int_equal(lookup(&f, 7, MAX), 0);
  remember(&f, 7, 2 * PAGE);
  assert_int_equal(pn_kv_pool_stats(f.p).n_cached, 4);
  assert_int_equal(pn_kv_pool_salts(f.p), 2);
  assert_int_equal(attach(&f, &f.t, 7, 0, MAX).n_tokens, 2 * PAGE);
  assert_int_equal(attach(&f, &f.u, 0, 0, MAX).n_tokens, 2 * PAGE);
  assert_int_not_equal(f.t.pages[0], f.u.pages[0]);
  remember(&f, 9, PAGE); // both are in use: nothing is kept of a third
  assert_int_equal(pn_kv_pool_salts(f.p), 2);
  assert_int_equal(lookup(&f, 9, MAX), 0);
  pn_kv_release(f.p, &f.u, 0, f.tokens, 2 * PAGE);
  pn_kv_release(f.p, &f.t, 7, f.tokens, 0);
  assert_int_equal(lookup(&f, 0, MAX), 2 * PAGE);
  remember(&f, 9, PAGE); // the one that was used longest ago gives way, whole
  assert_int_equal(lookup(&f, 9, MAX), PAGE);
  assert_int_equal(lookup(&f, 0, MAX), 0);
  assert_int_equal(lookup(&f, 7, MAX), 2 * PAGE);
  assert_int_equal(pn_kv_pool_stats(f.p).n_evicted, 2);
  pn_kv_forget(f.p);
  assert_int_equal(pn_kv_pool_salts(f.p), 0);
  close_pool(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(setups_that_contradict_themselves),
      cmocka_unit_test(groups_share_numberings),
      cmocka_unit_test(a_window_gives_back_what_lies_behind),
      cmocka_unit_test(window_pages_run_out_first),
      cmocka_unit_test(a_prefix_ends_where_its_window_is_known),
      cmocka_unit_test(own_window_pages_become_the_trees),
      cmocka_unit_test(the_state_of_an_end_is_a_snapshot),
      cmocka_unit_test(marks_become_snapshots_with_their_page),
      cmocka_unit_test(snapshots_give_way_by_last_use),
      cmocka_unit_test(states_run_out),
      cmocka_unit_test(a_snapshot_is_found_among_siblings),
      cmocka_unit_test(a_snapshot_is_found_fast),
      cmocka_unit_test(salts_share_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
