// A pool of groups with two tables, and what tests by hand do with it; every step checks the pool.
#ifndef KV_FIXTURE_H
#define KV_FIXTURE_H

#include "kv/kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define PAGE PN_KV_PAGE_TOKENS
enum { MAX = 8 * PAGE };

typedef struct fixture {
  pn_kv_pool *p;
  int n_windows;
  pn_kv_table t, u;
  int32_t tokens[MAX];
} fixture;

static inline fixture open_pool(pn_kv_setup setup) {
  pn_error e = {0};
  fixture f = {.p = pn_kv_pool_new(&setup, &e)};
  if (!f.p) fail_msg("%s", e.msg);
  for (int i = 0; i < setup.n_groups; i++) f.n_windows += setup.groups[i].kind == PN_KV_WINDOW;
  assert_true(pn_kv_table_init(&f.t, f.n_windows, MAX, &e));
  assert_true(pn_kv_table_init(&f.u, f.n_windows, MAX, &e));
  for (int i = 0; i < MAX; i++) f.tokens[i] = i;
  return f;
}

static inline void check(const fixture *f) {
  const pn_kv_table *tables[] = {&f->t, &f->u};
  pn_error e = {0};
  if (!pn_kv_pool_check(f->p, tables, 2, &e)) fail_msg("%s", e.msg);
}

static inline void close_pool(fixture *f) {
  pn_kv_release(f->p, &f->t, 0, f->tokens, 0);
  pn_kv_release(f->p, &f->u, 0, f->tokens, 0);
  check(f);
  assert_int_equal(pn_kv_pool_stats(f->p).n_used, 0);
  pn_kv_table_fini(&f->t), pn_kv_table_fini(&f->u);
  pn_kv_pool_free(f->p);
}

static inline void reserve(fixture *f, pn_kv_table *t, int n) {
  pn_error e = {0};
  if (!pn_kv_reserve(f->p, t, n, &e)) fail_msg("%s", e.msg);
}

static inline pn_kv_prefix attach(fixture *f, pn_kv_table *t, uint64_t salt, int n_computed, int n) {
  pn_kv_prefix out;
  pn_kv_attach(f->p, t, salt, f->tokens, n_computed, n, &out);
  check(f);
  pn_kv_attached(f->p, &out);
  check(f);
  return out;
}

static inline pn_kv_prefix truncate_to(fixture *f, pn_kv_table *t, int n) {
  pn_kv_prefix out;
  pn_kv_truncate(f->p, t, n, &out);
  check(f);
  pn_kv_attached(f->p, &out);
  check(f);
  return out;
}

// A sequence that computed tokens[0, n), a page a step, and ended.
static inline void remember(fixture *f, uint64_t salt, int n) {
  pn_kv_table t;
  pn_error e = {0};
  assert_true(pn_kv_table_init(&t, f->n_windows, MAX, &e));
  for (int at = 0; at < n; at += PAGE) {
    int upto = at + PAGE < n ? at + PAGE : n;
    reserve(f, &t, upto);
    pn_kv_publish(f->p, &t, salt, f->tokens, upto);
  }
  pn_kv_release(f->p, &t, salt, f->tokens, n);
  pn_kv_table_fini(&t);
  check(f);
}

static inline int lookup(const fixture *f, uint64_t salt, int n) {
  int32_t differs;
  return pn_kv_lookup(f->p, salt, f->tokens, n, &differs);
}

static inline int n_used(const fixture *f, int group) { return pn_kv_group_stats(f->p, group).n_used; }
static inline int n_cached(const fixture *f, int group) { return pn_kv_group_stats(f->p, group).n_cached; }

static inline pn_kv_setup with_window(int n_pages, int window, int n_window_pages) {
  return (pn_kv_setup){.n_pages = n_pages,
                       .n_groups = 2,
                       .groups = {{PN_KV_FULL, 0, 0}, {PN_KV_WINDOW, window, n_window_pages}}};
}

static inline pn_kv_setup with_states(int n_pages, int n_slots) {
  return (pn_kv_setup){.n_pages = n_pages,
                       .n_slots = n_slots,
                       .n_groups = 2,
                       .groups = {{PN_KV_STATE, 0, 0}, {PN_KV_FULL, 0, 0}}};
}

#endif
