// Random operations on pools of groups against a model of lists (kv_model): what is found is what the lists
// allow, and every page, window page and state holds what the sequence that uses it computed or copied.
#include "base/hash.h"
#include "kv_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int below(world *w, int n) { return (int)pn_rng_below(&w->rng, (uint64_t)n); }
static int least(int a, int b) { return a < b ? a : b; }

// ---- what is in the memory ----

static void check_contents(const world *w, const seq *s) {
  if (!s->live || s->pending) return;
  for (int pos = 0; pos < s->n_computed; pos++) {
    CHECK(w->memory[FULL][s->t.pages[pos / PAGE]][pos % PAGE] == s->hash[pos + 1]);
    for (int k = 0; k < w->n_windows; k++) {
      if (pos <= s->n_computed - w->lengths[k]) continue; // the next row does not see it
      CHECK(pos / PAGE >= s->t.first_window[k]);
      int slot = pn_kv_window_slot(&s->t, k, pos);
      CHECK(w->memory[WIN + k][slot / PAGE][slot % PAGE] == s->hash[pos + 1]);
    }
  }
  if (w->n_ids[SLOT] && s->n_computed) CHECK(w->state[s->t.state] == s->hash[s->n_computed]);
}

static void write_row(world *w, seq *s) {
  int pos = s->n_computed;
  uint64_t h = s->hash[pos + 1];
  if (w->n_ids[SLOT]) {
    CHECK(pos == 0 || w->state[s->t.state] == s->hash[pos]);
    w->state[s->t.state] = h;
  }
  w->memory[FULL][s->t.pages[pos / PAGE]][pos % PAGE] = h;
  CHECK(!w->num[FULL][s->t.pages[pos / PAGE]].known);
  for (int k = 0; k < w->n_windows; k++) {
    int slot = pn_kv_window_slot(&s->t, k, pos);
    CHECK(!w->num[WIN + k][slot / PAGE].known);
    w->memory[WIN + k][slot / PAGE][slot % PAGE] = h;
  }
  s->n_computed++;
}

static void finish_copy(world *w, seq *s) {
  s->pending = false;
  if (s->live && s->copy.copy_from >= 0)
    memcpy(w->memory[FULL][s->copy.copy_to], w->memory[FULL][s->copy.copy_from], sizeof **w->memory);
  for (int k = 0; k < w->n_windows; k++)
    if (s->live && s->copy.window[k].from >= 0)
      memcpy(w->memory[WIN + k][s->copy.window[k].to], w->memory[WIN + k][s->copy.window[k].from],
             sizeof **w->memory);
  if (s->live && s->copy.state.from >= 0) w->state[s->copy.state.to] = w->state[s->copy.state.from];
  pn_kv_attached(w->p, &s->copy);
  check_contents(w, s);
}

// ---- operations ----

// The copies of a call: of what is known at the point, into numbers of the table, of which those that were
// taken are new.
static void check_copies(world *w, seq *s, bool page, bool taken) {
  const pn_kv_prefix *c = &s->copy;
  int i = c->n_tokens / PAGE;
  CHECK((c->copy_from >= 0) == page);
  if (page) {
    CHECK(c->copy_to == s->t.pages[i] && s->t.n_pages == i + 1);
    if (taken) model_taken(w, FULL, c->copy_to);
  }
  for (int k = 0; k < PN_KV_MAX_WINDOWS; k++) {
    CHECK((c->window[k].from >= 0) == (page && k < w->n_windows));
    if (!page || k >= w->n_windows) continue;
    CHECK(c->window[k].to == s->t.window_pages[k][i]);
    CHECK(c->window[k].from == w->window_of[k][c->copy_from]);
    if (taken) model_taken(w, WIN + k, c->window[k].to);
  }
  bool state = w->n_ids[SLOT] && c->n_tokens;
  CHECK((c->state.from >= 0) == state);
  if (state) CHECK(c->state.to == s->t.state && w->state[c->state.from] == s->hash[c->n_tokens]);
  s->pending = page || state;
}

static void do_attach(world *w, seq *s) {
  int n = below(w, 3) ? s->n : s->n_computed + below(w, s->n - s->n_computed + 1);
  int kept = least(s->t.n_pages, pn_kv_pages_of(s->n_computed)), n_pages = s->t.n_pages;
  const text of = model_text(s, s->n);
  const was b = model_before(s);
  s->t.n_pages = kept;
  model_look(w);
  range r = model_points(w, &of, n, s->n_computed, s, &b);
  s->t.n_pages = n_pages;
  pn_kv_attach(w->p, &s->t, s->salt, s->tokens, s->n_computed, n, &s->copy);
  s->pending = true; // what copies read is used
  model_look(w);
  s->pending = false;
  int found = s->copy.n_tokens, whole = found / PAGE;
  CHECK(found >= r.lo && found <= r.hi);
  if (found == s->n_computed) {
    CHECK(s->copy.copy_from == -1 && s->copy.state.from == -1 && s->t.n_pages == kept &&
          s->t.state == b.state);
    return;
  }
  CHECK(s->t.n_pages == pn_kv_pages_of(found) && s->t.n_known == whole);
  for (int i = 0; i < whole; i++) {
    int32_t x = model_whole(w, &of, i);
    CHECK(s->t.pages[i] == x);
    for (int k = 0; i >= b.n_known && k < w->n_windows; k++)
      if (w->window_of[k][x] < 0 && i < kept && i >= b.first[k] && (i + 1) * PAGE <= s->n_computed)
        model_hang_window(w, k, b.windows[k][i], x);
  }
  for (int k = 0; k < w->n_windows; k++) CHECK(s->t.first_window[k] == model_first(w, k, found));
  if (s->copy.copy_from >= 0) CHECK(model_covers(w, s->copy.copy_from, &of, found));
  check_copies(w, s, found % PAGE > 0, whole >= kept);
  if (w->n_ids[SLOT] && b.state < 0) model_taken(w, SLOT, s->t.state);
  model_settle(w, s, s->t.n_known);
  s->n_computed = found;
  if (s->pending && below(w, 3)) finish_copy(w, s);
}

static void do_compute(world *w, seq *s) {
  int upto = least(s->n, s->n_computed + 1 + below(w, 45));
  int want = upto + (below(w, 4) ? 0 : below(w, MAX_T - upto + 1)), from = s->t.n_pages;
  int more = pn_kv_pages_of(want) - from;
  bool had_state = s->t.state >= 0, fits = true;
  pn_kv_stats before[N_KINDS];
  for (int kind = 0; kind < N_KINDS; kind++) {
    if (!w->n_ids[kind]) continue;
    before[kind] = pn_kv_group_stats(w->p, w->group[kind]);
    int need = kind < SLOT ? more : !had_state;
    fits = fits && need <= before[kind].n_free + before[kind].n_cached;
  }
  pn_error e = {0};
  CHECK(pn_kv_reserve(w->p, &s->t, want, &e) == fits);
  model_look(w);
  if (!fits) {
    CHECK(e.code == PN_ERR_LIMIT && s->t.n_pages == from);
    return;
  }
  if (w->n_ids[SLOT] && !had_state) model_taken(w, SLOT, s->t.state);
  for (int i = from; i < s->t.n_pages; i++) {
    model_taken(w, FULL, s->t.pages[i]);
    for (int k = 0; k < w->n_windows; k++) model_taken(w, WIN + k, s->t.window_pages[k][i]);
  }
  uint64_t n_evicted = pn_kv_pool_stats(w->p).n_evicted - before[FULL].n_evicted;
  CHECK(n_evicted == (uint64_t)(more - least(more, before[FULL].n_free)));
  while (s->n_computed < upto) write_row(w, s);
}

static void do_mark(world *w, seq *s) {
  bool spare = pn_kv_group_stats(w->p, w->group[SLOT]).n_used < w->n_ids[SLOT];
  pn_kv_copy c = pn_kv_mark(w->p, &s->t, s->n_computed);
  model_look(w);
  const text of = model_text(s, s->n_computed);
  int n = s->n_marks, i = (s->n_computed - 1) / PAGE;
  bool known = i < s->t.n_known;
  if (!w->n_ids[SLOT] || s->n_computed == 0) {
    CHECK(c.from == -1);
    return;
  }
  bool there = !known && n && s->marks[n - 1].pos == s->n_computed;
  if (!known && !there && n == PN_KV_MAX_MARKS)
    memmove(s->marks, s->marks + 1, (size_t)--s->n_marks * sizeof *s->marks);
  if (c.from < 0) {
    CHECK(there || !spare || (known && model_snap_on(w, s->t.pages[i], s->n_computed, false)));
    return;
  }
  CHECK(!there && c.from == s->t.state);
  model_taken(w, SLOT, c.to);
  w->state[c.to] = w->state[c.from];
  if (known) {
    model_hang_snap(w, c.to, UINT64_C(1) << s->t.pages[i], &of, s->n_computed);
  } else {
    s->marks[s->n_marks].pos = s->n_computed;
    s->marks[s->n_marks++].slot = c.to;
  }
}

static void do_truncate(world *w, seq *s) {
  int n = below(w, 2) ? s->n_computed - below(w, least(8, s->n_computed + 1)) : below(w, s->n_computed + 1);
  const was b = model_before(s);
  model_look(w);
  range r = model_points_back(w, s, &b, n);
  pn_kv_truncate(w->p, &s->t, n, &s->copy);
  s->pending = true;
  model_look(w);
  int got = s->copy.n_tokens, i = got / PAGE;
  CHECK(got >= r.lo && got <= r.hi);
  CHECK(s->t.n_pages == pn_kv_pages_of(got) && s->t.n_known == least(b.n_known, i));
  bool copy = got % PAGE && i < b.n_known;
  if (copy) CHECK(s->copy.copy_from == b.pages[i]);
  while (s->n_marks && s->marks[s->n_marks - 1].pos > got) s->n_marks--;
  check_copies(w, s, copy, true);
  s->n_computed = got;
  if (s->pending && below(w, 3)) finish_copy(w, s);
}

static void do_publish(world *w, seq *s) {
  const was b = model_before(s);
  pn_kv_publish(w->p, &s->t, s->salt, s->tokens, s->n_computed);
  model_look(w);
  model_publish(w, s, &b, s->n_computed);
}

static void do_release(world *w, seq *s, int n_computed) {
  const was b = model_before(s);
  pn_kv_release(w->p, &s->t, s->salt, s->tokens, n_computed);
  model_look(w);
  model_release(w, s, &b, n_computed);
  s->n_computed = 0;
}

static void do_lookup(world *w, const seq *s) {
  int n = below(w, s->n + 1);
  int32_t differs;
  const text of = model_text(s, s->n);
  range r = model_points(w, &of, n, 0, NULL, NULL);
  int found = pn_kv_lookup(w->p, s->salt, s->tokens, n, &differs);
  CHECK(found >= r.lo && found <= r.hi);
  pn_kv_span spans[T_PAGES];
  int n_spans = pn_kv_export(w->p, s->salt, s->tokens, n, spans, T_PAGES), end = 0;
  for (int i = 0; i < n_spans; i++) {
    const pn_kv_span *a = &spans[i];
    CHECK(a->from == i * PAGE && a->n_tokens > 0);
    end = a->from + a->n_tokens;
    CHECK(model_covers(w, a->page, &of, end));
    for (int k = 0; k < w->n_windows; k++) CHECK(a->window[k] == w->window_of[k][a->page]);
    if (a->state >= 0) CHECK(a->state_pos <= end && w->state[a->state] == s->hash[a->state_pos]);
  }
  CHECK(end >= found && end <= n);
  CHECK(pn_kv_known(w->p, s->salt, s->tokens, n) == end);
}

static void do_pin(world *w, const seq *s) {
  pin *a = &w->pins[below(w, N_PINS)];
  int32_t differs;
  pn_error e = {0};
  if (a->pin.n_tokens) {
    CHECK(pn_kv_lookup(w->p, a->at.salt, a->at.tokens, a->at.n, &differs) == a->at.n);
    pn_kv_unpin(w->p, &a->pin);
    a->pin.n_tokens = 0;
    return;
  }
  int n = 1 + below(w, s->n);
  const text of = model_text(s, s->n);
  range r = model_points(w, &of, n, 0, NULL, NULL);
  if (!pn_kv_pin_prefix(w->p, s->salt, s->tokens, n, &a->pin, &e)) {
    CHECK(e.code == PN_ERR_LIMIT && a->pin.n_tokens == 0 && r.hi > 0);
    return;
  }
  CHECK(a->pin.n_tokens >= r.lo && a->pin.n_tokens <= r.hi);
  a->at = of;
  a->at.n = a->pin.n_tokens;
  for (int kind = 0; kind < N_KINDS; kind++) {
    if (!w->n_ids[kind]) continue;
    pn_kv_stats now = pn_kv_group_stats(w->p, w->group[kind]);
    CHECK(now.n_pinned <= now.n_pages / 2);
  }
}

// A page that comes from elsewhere. It becomes known by the rules of a sequence that ends, which `s` stands
// for.
static void do_import(world *w, const seq *of) {
  int n = 1 + below(w, of->n), from = (n - 1) / PAGE * PAGE, i = from / PAGE;
  seq s = {.salt = of->salt, .n = n, .t = {.state = -1}};
  memcpy(s.tokens, of->tokens, sizeof s.tokens);
  const text at = model_text(&s, n);
  was b = {.n_pages = i + 1, .n_known = i};
  pn_kv_span in = {.state = below(w, 2) - 1, .state_pos = n};
  for (int k = 0; k < w->n_windows; k++) in.window[k] = below(w, 4) ? 0 : -1;
  pn_error e = {0};
  int before = 0;
  while (before < i && model_whole(w, &at, before) >= 0) before++;
  bool ok = pn_kv_import(w->p, s.salt, s.tokens, n, &in, &e);
  CHECK(ok ? before == i : e.code == (before < i ? PN_ERR_NOT_FOUND : PN_ERR_LIMIT));
  if (!ok) return;
  for (int x = 0; x < w->n_ids[FULL]; x++) // what the import holds
    for (int k = 0; k <= i; k++) w->num[FULL][x].used |= model_covers(w, x, &at, k < i ? (k + 1) * PAGE : n);
  if (in.page >= 0) model_taken(w, FULL, b.pages[i] = in.page);
  for (int k = 0; k < w->n_windows; k++) {
    b.first[k] = in.window[k] < 0 ? T_PAGES : 0;
    if (in.window[k] >= 0) model_taken(w, WIN + k, b.windows[k][i] = in.window[k]);
  }
  if ((b.state = in.state) >= 0) model_taken(w, SLOT, in.state), w->state[in.state] = of->hash[n];
  for (int pos = from; pos < n; pos++) {
    if (in.page >= 0) w->memory[FULL][in.page][pos - from] = of->hash[pos + 1];
    for (int k = 0; k < w->n_windows; k++)
      if (in.window[k] >= 0) w->memory[WIN + k][in.window[k]][pos - from] = of->hash[pos + 1];
  }
  bool kept = below(w, 5);
  pn_kv_imported(w->p, s.salt, s.tokens, &in, kept);
  model_look(w);
  if (kept) model_release(w, &s, &b, n);
}

// ---- a run ----

static int random_length(world *w) {
  int n = below(w, 2) ? below(w, T_PAGES + 1) * PAGE + below(w, 3) - 1 : below(w, MAX_T);
  return n < 1 ? 1 : least(n, MAX_T);
}

// Tokens of a template or another sequence up to somewhere, then of a template.
static void start(world *w, seq *s) {
  const seq *other = &w->seqs[below(w, N_SEQS)];
  const int32_t *first = other->live && below(w, 2) ? other->tokens : w->templates[below(w, N_TEMPLATES)];
  const int32_t *second = w->templates[below(w, N_TEMPLATES)];
  int turn = below(w, 3) ? random_length(w) : 0;
  if (first == other->tokens) turn = least(turn, other->n);
  s->n = random_length(w);
  s->live = true;
  s->n_computed = 0;
  s->salt = (uint64_t)below(w, w->n_using);
  s->hash[0] = pn_hash_u64(s->salt + 77);
  for (int i = 0; i < s->n; i++) {
    s->tokens[i] = i < turn ? first[i] : second[i];
    s->hash[i + 1] = pn_hash_u64(s->hash[i] + (uint64_t)s->tokens[i] + 1);
  }
}

static void step_of_live(world *w, seq *s) {
  int what = below(w, 100);
  if (what < 6) {
    do_lookup(w, s);
  } else if (what < 20) {
    do_attach(w, s);
  } else if (what < 55) {
    if (s->n_computed < s->n) do_compute(w, s);
  } else if (what < 67) {
    do_publish(w, s);
  } else if (what < 74) {
    do_mark(w, s);
  } else if (what < 80) {
    do_truncate(w, s);
  } else if (what < 83) {
    do_pin(w, s);
  } else if (what < 85) {
    do_import(w, s);
  } else {
    do_release(w, s, what < 97 ? s->n_computed : 0);
    s->live = what < 88; // pauses
  }
}

static void one_step(world *w) {
  seq *s = &w->seqs[below(w, N_SEQS)];
  if (s->pending) {
    if (s->live && below(w, 4) == 0) { // given up before the copy
      do_release(w, s, 0);
      s->live = false;
    } else {
      finish_copy(w, s);
    }
  } else if (!s->live) {
    start(w, s);
    if (below(w, 8)) do_attach(w, s);
  } else if (below(w, 4000) == 0) {
    model_look(w);
    pn_kv_forget(w->p);
    model_forget(w);
  } else {
    step_of_live(w, s);
  }
  check_contents(w, s);
  model_end(w, s);
}

static void check_world(world *w) {
  const pn_kv_table *tables[N_SEQS];
  for (int i = 0; i < N_SEQS; i++) {
    tables[i] = &w->seqs[i].t;
    check_contents(w, &w->seqs[i]);
  }
  pn_error e = {0};
  if (!pn_kv_pool_check(w->p, tables, N_SEQS, &e)) fail_msg("%s: %s, step %ld", e.msg, w->name, w->step);
}

static void init_world(world *w) {
  pn_error e = {0};
  w->n_ids[FULL] = w->setup.n_pages;
  w->n_ids[SLOT] = w->setup.n_slots;
  w->n_salts = w->setup.n_salts;
  w->group[FULL] = PN_KV_MAX_GROUPS; // what no group has is the numbering of pages
  for (int i = 0; i < w->setup.n_groups; i++) {
    const pn_kv_group *g = &w->setup.groups[i];
    int kind = g->kind == PN_KV_WINDOW ? WIN + w->n_windows : g->kind == PN_KV_STATE ? SLOT : FULL;
    w->group[kind] = i;
    if (g->kind != PN_KV_WINDOW) continue;
    w->n_ids[kind] = g->n_pages;
    w->lengths[w->n_windows++] = g->window;
  }
  memset(w->node, -1, sizeof w->node);
  memset(w->window_of, -1, sizeof w->window_of);
  w->p = pn_kv_pool_new(&w->setup, &e);
  CHECK(w->p);
  for (int i = 0; i < N_SEQS; i++) CHECK(pn_kv_table_init(&w->seqs[i].t, w->n_windows, MAX_T, &e));
  for (int i = 0; i < N_TEMPLATES; i++)
    for (int k = 0; k < MAX_T; k++) w->templates[i][k] = below(w, 2);
}

static void run(const char *name, pn_kv_setup setup, int n_using, long n_steps) {
  world *w = calloc(1, sizeof *w);
  assert_non_null(w);
  *w = (world){.name = name, .setup = setup, .n_using = n_using};
  pn_rng_seed(&w->rng, 20250611u + (uint64_t)setup.n_pages);
  init_world(w);
  for (; w->step < n_steps; w->step++) {
    one_step(w);
    if (w->step % 32 == 0) check_world(w);
  }
  for (int i = 0; i < N_PINS; i++) pn_kv_unpin(w->p, &w->pins[i].pin);
  memset(w->pins, 0, sizeof w->pins);
  for (int i = 0; i < N_SEQS; i++) {
    seq *s = &w->seqs[i];
    if (s->pending) finish_copy(w, s);
    do_release(w, s, s->live ? s->n_computed : 0);
    s->live = false;
    model_end(w, s);
    check_world(w);
  }
  for (int i = 0; i < N_SEQS; i++) pn_kv_table_fini(&w->seqs[i].t);
  for (int kind = 0; kind < N_KINDS; kind++)
    CHECK(!w->n_ids[kind] || pn_kv_group_stats(w->p, w->group[kind]).n_used == 0);
  pn_kv_pool_free(w->p);
  free(w);
}

#define FULL_GROUP                                                                                           \
  { PN_KV_FULL, 0, 0 }
#define STATE_GROUP                                                                                          \
  { PN_KV_STATE, 0, 0 }

static void one_full_group(void **state) {
  (void)state;
  run("full 2", (pn_kv_setup){.n_pages = 2, .n_salts = 1}, 2, 20000);
  run("full 6", (pn_kv_setup){.n_pages = 6, .n_salts = 3}, 4, 90000);
  run("full 13", (pn_kv_setup){.n_pages = 13, .n_salts = 2}, 3, 110000);
  run("full 40", (pn_kv_setup){.n_pages = 40, .n_salts = 4}, 2, 90000);
}

static void full_and_window(void **state) {
  (void)state;
  static const int sizes[][4] = {
      {7, 5, 40, 90000}, {12, 8, 70, 110000}, {24, 9, 33, 110000}, {40, 40, 1, 20000}, {30, 14, 64, 40000}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    const int *s = sizes[i];
    run("full + window",
        (pn_kv_setup){
            .n_pages = s[0], .n_salts = 3, .n_groups = 2, .groups = {FULL_GROUP, {PN_KV_WINDOW, s[2], s[1]}}},
        3, s[3]);
  }
}

static void full_and_state(void **state) {
  (void)state;
  static const int sizes[][3] = {{6, 3, 50000}, {12, 7, 110000}, {30, 12, 110000}, {40, 40, 50000}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    const int *s = sizes[i];
    run("full + state",
        (pn_kv_setup){.n_pages = s[0],
                      .n_salts = 3,
                      .n_slots = s[1],
                      .n_groups = 3,
                      .groups = {STATE_GROUP, FULL_GROUP, STATE_GROUP}},
        3, s[2]);
  }
}

static void windows_state_and_full(void **state) {
  (void)state;
  static const int sizes[][5] = {
      {8, 6, 6, 5, 90000}, {14, 9, 7, 8, 110000}, {24, 12, 20, 12, 110000}, {45, 40, 45, 30, 90000}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    const int *s = sizes[i];
    run("windows + state + full",
        (pn_kv_setup){.n_pages = s[0],
                      .n_salts = 2,
                      .n_slots = s[3],
                      .n_groups = 5,
                      .groups = {{PN_KV_WINDOW, 20, s[1]},
                                 STATE_GROUP,
                                 {PN_KV_LATENT, 0, 0},
                                 {PN_KV_WINDOW, 65, s[2]},
                                 FULL_GROUP}},
        3, s[4]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_full_group),
      cmocka_unit_test(full_and_window),
      cmocka_unit_test(full_and_state),
      cmocka_unit_test(windows_state_and_full),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
