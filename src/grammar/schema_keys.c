#include "grammar/schema_keys.h"

#include "grammar/rules.h"

#include <stdlib.h>
#include <string.h>

// Keys that begin alike, and the states from which one of them, from list[i] on, may still be meant.
typedef struct branch {
  const struct branch *up; // a stack of those that are still to be written
  size_t *list;            // numbers of keys, ascending
  int32_t *states;         // one for each
  size_t n, depth;         // symbols that they have in common
} branch;

typedef struct key_work {
  const member_keys *keys;
  nfa *n;
  pn_arena *arena;
  const int32_t *ends;
  const branch *todo;
  bool oom;
} key_work;

static void read_value(key_work *w, int32_t from, size_t key) {
  int32_t symbol = RULE_CALL + w->keys->p[key].rule;
  nfa_add(w->n, from, symbol, symbol, w->ends[key]);
}

// The rest of the one key that is left.
static void write_rest(key_work *w, const branch *b) {
  const member_key *k = &w->keys->p[*b->list];
  int32_t at = *b->states;
  for (size_t i = b->depth; i < k->n_symbols; i++) {
    int32_t next = nfa_state(w->n);
    nfa_add(w->n, at, k->symbols[i], k->symbols[i], next);
    at = next;
  }
  read_value(w, at, *b->list);
}

static bool symbol_at(const key_work *w, size_t key, size_t depth, int32_t *symbol) {
  const member_key *k = &w->keys->p[key];
  if (depth >= k->n_symbols) return false;
  *symbol = k->symbols[depth];
  return true;
}

// The keys of a branch that go on with `symbol`.
static branch *child_of(key_work *w, const branch *b, int32_t symbol, size_t n) {
  branch *c = pn_arena_alloc(w->arena, sizeof *c);
  size_t *list = pn_arena_array(w->arena, n, sizeof *list);
  int32_t *states = pn_arena_array(w->arena, n, sizeof *states);
  if (!c || !list || !states) return w->oom = true, NULL;
  *c = (branch){.up = w->todo, .list = list, .states = states, .depth = b->depth + 1};
  for (size_t i = 0; i < b->n; i++) {
    int32_t s;
    if (!symbol_at(w, b->list[i], b->depth, &s) || s != symbol) continue;
    c->list[c->n] = b->list[i];
    c->states[c->n++] = nfa_state(w->n);
  }
  return c;
}

// From each state to that of the first key there that is not over, if it may come yet.
static void join(key_work *w, const branch *b, const branch *c, int32_t symbol) {
  size_t first = 0;
  for (size_t i = 0; i < b->n && first < c->n; i++) {
    while (first < c->n && c->list[first] < b->list[i]) first++;
    if (first < c->n && c->list[first] <= w->keys->last[b->list[i]])
      nfa_add(w->n, b->states[i], symbol, symbol, c->states[first]);
  }
}

static int by_symbol(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

static void write_branch(key_work *w, const branch *b) {
  int32_t *symbols = pn_arena_array(w->arena, b->n, sizeof *symbols);
  size_t n = 0;
  if (!symbols) {
    w->oom = true;
    return;
  }
  for (size_t i = 0; i < b->n; i++) {
    if (symbol_at(w, b->list[i], b->depth, &symbols[n])) {
      n++;
      continue;
    }
    for (size_t k = 0; k <= i; k++) // this key ends here
      if (b->list[i] <= w->keys->last[b->list[k]]) read_value(w, b->states[k], b->list[i]);
  }
  qsort(symbols, n, sizeof *symbols, by_symbol);
  for (size_t i = 0, end; i < n && !w->oom; i = end) {
    for (end = i + 1; end < n && symbols[end] == symbols[i]; end++) {}
    branch *c = child_of(w, b, symbols[i], end - i);
    if (!c) return;
    join(w, b, c, symbols[i]);
    w->todo = c;
  }
}

bool member_keys_write(const member_keys *keys, nfa *n, pn_arena *a, const int32_t *starts,
                       const int32_t *ends) {
  key_work w = {.keys = keys, .n = n, .arena = a, .ends = ends};
  if (keys->n == 0) return true;
  branch top = {.n = keys->n,
                .list = pn_arena_array(a, keys->n, sizeof *top.list),
                .states = pn_arena_array(a, keys->n, sizeof *top.states)};
  if (!top.list || !top.states) return false;
  for (size_t i = 0; i < keys->n; i++) {
    top.list[i] = i;
    top.states[i] = starts[i];
  }
  w.todo = &top;
  while (w.todo && !w.oom) {
    const branch *b = w.todo;
    w.todo = b->up;
    if (b->n == 1)
      write_rest(&w, b);
    else
      write_branch(&w, b);
  }
  return !w.oom;
}
