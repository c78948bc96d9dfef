// Pools of groups by hand: tables that go back, pins, export and import.
#include "kv_fixture.h"

// ---- truncation ----

static void a_table_goes_back(void **state) {
  (void)state;
  fixture f = open_pool((pn_kv_setup){.n_pages = 4});
  reserve(&f, &f.t, 3 * PAGE + 5);
  pn_kv_publish(f.p, &f.t, 0, f.tokens, 2 * PAGE);
  pn_kv_prefix c = truncate_to(&f, &f.t, 2 * PAGE + 9); // its own page: nothing to copy
  assert_int_equal(c.n_tokens, 2 * PAGE + 9);
  assert_int_equal(c.copy_from, -1);
  assert_int_equal(f.t.n_pages, 3);
  assert_int_equal(attach(&f, &f.u, 0, 0, 2 * PAGE).n_tokens, 2 * PAGE);
  int32_t shared = f.t.pages[1];
  c = truncate_to(&f, &f.t, PAGE + 9); // the tree's page: a copy, and the other keeps it
  assert_int_equal(c.n_tokens, PAGE + 9);
  assert_int_equal(c.copy_from, shared);
  assert_int_equal(c.copy_to, f.t.pages[1]);
  assert_int_not_equal(c.copy_to, shared);
  assert_int_equal(f.u.pages[1], shared);
  assert_int_equal(f.t.n_known, 1);
  reserve(&f, &f.u, 3 * PAGE);
  c = truncate_to(&f, &f.t, PAGE); // at a border: nothing to copy
  assert_int_equal(c.n_tokens, PAGE);
  assert_int_equal(c.copy_from, -1);
  reserve(&f, &f.u, 4 * PAGE);
  c = truncate_to(&f, &f.t, 9); // no page for a copy
  assert_int_equal(c.n_tokens, 0);
  assert_int_equal(f.t.n_pages, 0);
  c = truncate_to(&f, &f.u, 1000); // no more than it has
  assert_int_equal(c.n_tokens, 4 * PAGE);
  close_pool(&f);
}

static void a_window_goes_back_as_far_as_it_is_known(void **state) {
  (void)state;
  fixture f = open_pool(with_window(10, 2 * PAGE, 6));
  for (int n = PAGE; n <= 5 * PAGE; n += PAGE) {
    reserve(&f, &f.t, n);
    pn_kv_publish(f.p, &f.t, 0, f.tokens, n);
  }
  assert_int_equal(f.t.first_window[0], 3);
  pn_kv_prefix c = truncate_to(&f, &f.t, 4 * PAGE + 3);
  assert_int_equal(c.n_tokens, 4 * PAGE + 3);
  assert_int_equal(f.t.first_window[0], 2); // taken again from the tree
  assert_true(c.copy_from >= 0 && c.window[0].from >= 0 && c.window[0].to == f.t.window_pages[0][4]);
  reserve(&f, &f.u, 2 * PAGE); // the one that is free, and page 0's
  c = truncate_to(&f, &f.t, 2 * PAGE + 1);
  assert_int_equal(c.n_tokens, 0); // it would see positions > 1
  close_pool(&f);
}

static void a_state_goes_back_to_a_mark(void **state) {
  (void)state;
  fixture f = open_pool(with_states(10, 5));
  reserve(&f, &f.t, 2 * PAGE);
  int32_t early = pn_kv_mark(f.p, &f.t, 7).to;
  pn_kv_publish(f.p, &f.t, 0, f.tokens, PAGE);
  int32_t late = pn_kv_mark(f.p, &f.t, PAGE + 7).to;
  pn_kv_prefix c = truncate_to(&f, &f.t, PAGE + 9);
  assert_int_equal(c.n_tokens, PAGE + 7);
  assert_int_equal(c.state.from, late);
  assert_int_equal(c.state.to, f.t.state);
  assert_int_equal(c.copy_from, -1);
  c = truncate_to(&f, &f.t, PAGE + 6); // the mark behind is gone, the snapshot needs a copy of its page
  assert_int_equal(c.n_tokens, 7);
  assert_int_equal(c.state.from, early);
  assert_true(c.copy_from >= 0);
  assert_int_equal(f.t.n_marks, 0);
  c = truncate_to(&f, &f.t, 6);
  assert_int_equal(c.n_tokens, 0);
  assert_int_equal(c.state.from, -1);
  assert_true(f.t.state >= 0); // it starts anew
  close_pool(&f);
}

// ---- pins ----

static void what_is_pinned_stays(void **state) {
  (void)state;
  fixture f =
      open_pool((pn_kv_setup){.n_pages = 10,
                              .n_slots = 4,
                              .n_groups = 3,
                              .groups = {{PN_KV_FULL, 0, 0}, {PN_KV_WINDOW, 40, 8}, {PN_KV_STATE, 0, 0}}});
  pn_kv_pin a, b, none;
  pn_error e = {0};
  assert_true(pn_kv_pin_prefix(f.p, 0, f.tokens, MAX, &none, &e)); // nothing is known
  assert_int_equal(none.n_tokens, 0);
  remember(&f, 0, 3 * PAGE + 4);
  assert_true(pn_kv_pin_prefix(f.p, 0, f.tokens, MAX, &a, &e));
  assert_int_equal(a.n_tokens, 3 * PAGE + 4);
  assert_true(pn_kv_pin_prefix(f.p, 0, f.tokens, MAX, &b, &e));
  const int pinned[] = {4, 3, 1}; // a row at 100 sees positions > 60 in its window
  for (int g = 0; g < 3; g++) assert_int_equal(pn_kv_group_stats(f.p, g).n_pinned, pinned[g]);
  check(&f);
  pn_kv_forget(f.p);
  reserve(&f, &f.t, 5 * PAGE);
  assert_false(pn_kv_reserve(f.p, &f.t, 6 * PAGE, &e));
  pn_kv_release(f.p, &f.t, 0, f.tokens, 0);
  assert_int_equal(lookup(&f, 0, MAX), 3 * PAGE + 4);
  pn_kv_unpin(f.p, &a);
  pn_kv_unpin(f.p, &none); // harmless
  reserve(&f, &f.t, 5 * PAGE);
  assert_int_equal(lookup(&f, 0, MAX), 3 * PAGE + 4); // the other pin is left
  pn_kv_unpin(f.p, &b);
  for (int g = 0; g < 3; g++) assert_int_equal(pn_kv_group_stats(f.p, g).n_pinned, 0);
  check(&f);
  close_pool(&f);
}

static void pins_hold_at_most_half(void **state) {
  (void)state;
  pn_kv_pin a, b;
  pn_error e = {0};
  fixture f = open_pool((pn_kv_setup){.n_pages = 8});
  remember(&f, 0, 5 * PAGE);
  assert_false(pn_kv_pin_prefix(f.p, 0, f.tokens, MAX, &a, &e));
  assert_int_equal(e.code, PN_ERR_LIMIT);
  assert_int_equal(a.n_tokens, 0);
  assert_true(pn_kv_pin_prefix(f.p, 0, f.tokens, 4 * PAGE, &a, &e));
  assert_true(pn_kv_pin_prefix(f.p, 0, f.tokens, 2 * PAGE, &b, &e)); // no page more
  assert_int_equal(pn_kv_pool_stats(f.p).n_pinned, 4);
  pn_kv_unpin(f.p, &a);
  assert_int_equal(pn_kv_pool_stats(f.p).n_pinned, 2);
  pn_kv_unpin(f.p, &b);
  close_pool(&f);

  f = open_pool(with_window(20, 80, 5)); // window pages are bounded likewise
  remember(&f, 0, 3 * PAGE);
  assert_false(pn_kv_pin_prefix(f.p, 0, f.tokens, MAX, &a, &e));
  assert_int_equal(e.code, PN_ERR_LIMIT);
  close_pool(&f);

  f = open_pool(with_states(20, 2)); // and slots
  remember(&f, 0, PAGE);
  assert_true(pn_kv_pin_prefix(f.p, 0, f.tokens, MAX, &a, &e));
  f.tokens[0] = 99;
  remember(&f, 0, PAGE);
  assert_false(pn_kv_pin_prefix(f.p, 0, f.tokens, MAX, &b, &e));
  assert_int_equal(e.code, PN_ERR_LIMIT);
  pn_kv_unpin(f.p, &a);
  close_pool(&f);
}

// ---- export and import ----

static void known_pages_in_order(void **state) {
  (void)state;
  fixture f =
      open_pool((pn_kv_setup){.n_pages = 10,
                              .n_slots = 4,
                              .n_groups = 3,
                              .groups = {{PN_KV_FULL, 0, 0}, {PN_KV_WINDOW, 40, 3}, {PN_KV_STATE, 0, 0}}});
  pn_kv_span s[8], other[8];
  assert_int_equal(pn_kv_export(f.p, 0, f.tokens, MAX, s, 8), 0);
  remember(&f, 0, 3 * PAGE + 4);
  assert_int_equal(pn_kv_export(f.p, 0, f.tokens, MAX, s, 8), 4);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(s[i].from, i * PAGE);
    assert_int_equal(s[i].n_tokens, i < 3 ? PAGE : 4);
    assert_int_equal(s[i].window[0] >= 0, i > 0); // the oldest gave way
    assert_int_equal(s[i].state >= 0, i == 3);
  }
  assert_int_equal(s[3].state_pos, 3 * PAGE + 4);
  assert_int_equal(pn_kv_export(f.p, 0, f.tokens, 2 * PAGE + 1, other, 8), 3);
  assert_int_equal(other[2].n_tokens, 1);
  assert_true(other[1].hash == s[1].hash && other[2].hash != s[2].hash);
  assert_int_equal(pn_kv_export(f.p, 0, f.tokens, MAX, other, 2), 2);
  remember(&f, 5, PAGE);
  assert_int_equal(pn_kv_export(f.p, 5, f.tokens, MAX, other, 8), 1);
  assert_true(other[0].hash != s[0].hash && other[0].page != s[0].page);
  close_pool(&f);
}

static pn_kv_span wanted(int state_pos) {
  pn_kv_span in = {.state = state_pos ? 0 : -1, .state_pos = state_pos};
  for (int k = 0; k < PN_KV_MAX_WINDOWS; k++) in.window[k] = 0;
  return in;
}

static void pages_come_from_elsewhere(void **state) {
  (void)state;
  fixture f =
      open_pool((pn_kv_setup){.n_pages = 4,
                              .n_slots = 2,
                              .n_groups = 3,
                              .groups = {{PN_KV_FULL, 0, 0}, {PN_KV_WINDOW, 40, 2}, {PN_KV_STATE, 0, 0}}});
  pn_error e = {0};
  pn_kv_span in = wanted(0);
  assert_false(pn_kv_import(f.p, 0, f.tokens, 0, &in, &e));
  assert_int_equal(e.code, PN_ERR_INTERNAL);
  in = wanted(0);
  assert_false(pn_kv_import(f.p, 0, f.tokens, PAGE + 1, &in, &e)); // the page before is not known
  assert_int_equal(e.code, PN_ERR_NOT_FOUND);
  check(&f);
  in = wanted(0);
  in.window[0] = -1; // not in the file
  assert_true(pn_kv_import(f.p, 3, f.tokens, PAGE, &in, &e));
  assert_true(in.page >= 0 && in.window[0] == -1 && in.state == -1);
  assert_int_equal(lookup(&f, 3, MAX), 0); // not before it is written
  check(&f);
  pn_kv_imported(f.p, 3, f.tokens, &in, true);
  check(&f);
  in = wanted(PAGE + 9);
  assert_true(pn_kv_import(f.p, 3, f.tokens, PAGE + 9, &in, &e));
  assert_true(in.window[0] >= 0 && in.state >= 0);
  pn_kv_imported(f.p, 3, f.tokens, &in, false); // the file was damaged
  check(&f);
  assert_int_equal(pn_kv_pool_stats(f.p).n_used + pn_kv_group_stats(f.p, 1).n_used, 0);
  assert_int_equal(pn_kv_pool_stats(f.p).n_cached, 1);
  in = wanted(PAGE + 9);
  assert_true(pn_kv_import(f.p, 3, f.tokens, PAGE + 9, &in, &e));
  pn_kv_imported(f.p, 3, f.tokens, &in, true);
  assert_int_equal(lookup(&f, 3, MAX),
                   0); // a row at 41 sees positions > 1: the first page's window is wanted
  in = wanted(0);
  assert_true(pn_kv_import(f.p, 3, f.tokens, PAGE, &in, &e)); // the page is there, its window page is not
  assert_true(in.page == -1 && in.window[0] >= 0);
  pn_kv_imported(f.p, 3, f.tokens, &in, true);
  assert_int_equal(lookup(&f, 3, MAX), PAGE + 9);
  in = wanted(PAGE + 9);
  assert_true(pn_kv_import(f.p, 3, f.tokens, PAGE + 9, &in, &e)); // everything is there
  assert_true(in.page == -1 && in.window[0] == -1 && in.state == -1);
  pn_kv_imported(f.p, 3, f.tokens, &in, true);
  assert_int_equal(attach(&f, &f.t, 3, 0, MAX).n_tokens, 0); // no window page for the copy, no other point
  check(&f);
  close_pool(&f);
}

// The tree has a page that says more: a window page with fewer tokens cannot be its.
static void an_import_that_says_less(void **state) {
  (void)state;
  fixture f = open_pool(with_window(4, 40, 4));
  pn_error e = {0};
  pn_kv_span in = wanted(0);
  in.window[0] = -1;
  assert_true(pn_kv_import(f.p, 0, f.tokens, 20, &in, &e));
  pn_kv_imported(f.p, 0, f.tokens, &in, true);
  in = wanted(0);
  assert_true(pn_kv_import(f.p, 0, f.tokens, 15, &in, &e));
  assert_true(in.page == -1 && in.window[0] == -1);
  pn_kv_imported(f.p, 0, f.tokens, &in, true);
  assert_int_equal(lookup(&f, 0, MAX), 0);
  in = wanted(0);
  assert_true(pn_kv_import(f.p, 0, f.tokens, 25, &in, &e)); // and one that says more replaces it
  assert_true(in.page >= 0 && in.window[0] >= 0);
  pn_kv_imported(f.p, 0, f.tokens, &in, true);
  assert_int_equal(lookup(&f, 0, MAX), 25);
  assert_int_equal(n_cached(&f, 0), 1);
  close_pool(&f);
}

static void imports_need_room(void **state) {
  (void)state;
  fixture f = open_pool((pn_kv_setup){.n_pages = 2, .n_salts = 1});
  pn_error e = {0};
  pn_kv_span in = wanted(0), again = wanted(0);
  assert_true(pn_kv_import(f.p, 0, f.tokens, PAGE, &in, &e));
  assert_true(pn_kv_import(f.p, 0, f.tokens, PAGE, &again, &e)); // twice at once
  pn_kv_span third = wanted(0);
  assert_false(pn_kv_import(f.p, 0, f.tokens, PAGE, &third, &e));
  assert_int_equal(e.code, PN_ERR_LIMIT);
  check(&f);
  pn_kv_imported(f.p, 0, f.tokens, &in, true);
  pn_kv_imported(f.p, 0, f.tokens, &again, true); // another was first
  check(&f);
  assert_int_equal(pn_kv_pool_stats(f.p).n_free, 1);
  assert_int_equal(attach(&f, &f.t, 0, 0, MAX).n_tokens, PAGE);
  in = wanted(0);
  assert_true(pn_kv_import(f.p, 4, f.tokens, PAGE, &in, &e));
  pn_kv_imported(f.p, 4, f.tokens, &in, true); // the only salt is in use: nothing is kept
  check(&f);
  assert_int_equal(pn_kv_pool_stats(f.p).n_free, 1);
  assert_int_equal(lookup(&f, 4, MAX), 0);
  close_pool(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_table_goes_back),
      cmocka_unit_test(a_window_goes_back_as_far_as_it_is_known),
      cmocka_unit_test(a_state_goes_back_to_a_mark),
      cmocka_unit_test(what_is_pinned_stays),
      cmocka_unit_test(pins_hold_at_most_half),
      cmocka_unit_test(known_pages_in_order),
      cmocka_unit_test(pages_come_from_elsewhere),
      cmocka_unit_test(an_import_that_says_less),
      cmocka_unit_test(imports_need_room),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
