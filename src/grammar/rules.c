#include "grammar/rules.h"

#include <stdlib.h>
#include <string.h>

int32_t rules_add(rules *r) {
  if (r->n == r->cap) {
    size_t cap = r->cap ? r->cap * 2 : 32;
    grammar_rule *p = realloc(r->p, cap * sizeof *p);
    if (!p) return r->oom = true, 0;
    r->p = p;
    r->cap = cap;
  }
  r->p[r->n] = (grammar_rule){.max_chars = -1};
  return (int32_t)r->n++;
}

void rules_fini(rules *r) {
  for (size_t i = 0; i < r->n; i++) {
    dfa_free(r->p[i].d);
    free(r->p[i].plain);
  }
  free(r->p);
  free(r->rule_of);
  *r = (rules){0};
}

// --- how many plain characters may follow ------------------------------------------------------------------

typedef struct byte_range {
  uint8_t lo, hi;
} byte_range;

// The plain characters, by the bytes of their encodings (RFC 3629, section 4).
static const byte_range plain_chars[][4] = {
    {{0x20, 0x21}},
    {{0x23, 0x5B}},
    {{0x5D, 0x7F}},
    {{0xC2, 0xDF}, {0x80, 0xBF}},
    {{0xE0, 0xE0}, {0xA0, 0xBF}, {0x80, 0xBF}},
    {{0xE1, 0xEC}, {0x80, 0xBF}, {0x80, 0xBF}},
    {{0xED, 0xED}, {0x80, 0x9F}, {0x80, 0xBF}},
    {{0xEE, 0xEF}, {0x80, 0xBF}, {0x80, 0xBF}},
    {{0xF0, 0xF0}, {0x90, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
    {{0xF1, 0xF3}, {0x80, 0xBF}, {0x80, 0xBF}, {0x80, 0xBF}},
    {{0xF4, 0xF4}, {0x80, 0x8F}, {0x80, 0xBF}, {0x80, 0xBF}},
};

// The classes of an automaton's bytes in a range.
typedef struct class_list {
  uint8_t p[256];
  int n;
} class_list;

#define N_PLAIN_CHARS (sizeof plain_chars / sizeof *plain_chars)

typedef struct plain_classes {
  class_list of[N_PLAIN_CHARS][4];
  int n_bytes[N_PLAIN_CHARS];
} plain_classes;

static void find_plain_classes(plain_classes *x, const dfa *d) {
  for (size_t i = 0; i < N_PLAIN_CHARS; i++) {
    x->n_bytes[i] = 1;
    while (x->n_bytes[i] < 4 && plain_chars[i][x->n_bytes[i]].hi) x->n_bytes[i]++;
    for (int k = 0; k < x->n_bytes[i]; k++) {
      bool seen[256] = {false};
      class_list *l = &x->of[i][k];
      l->n = 0;
      for (int b = plain_chars[i][k].lo; b <= plain_chars[i][k].hi; b++) {
        uint8_t c = d->class_of[b];
        if (!seen[c]) l->p[l->n++] = c;
        seen[c] = true;
      }
    }
  }
}

// The least depth behind one character of these bytes; -1: one of them leads nowhere.
static int least_behind(const dfa *d, int32_t s, const class_list *bytes, int n_bytes, const int8_t *depth) {
  int least = RULE_PLAIN_ANY;
  const int32_t *row = d->next + (size_t)s * (size_t)d->n_classes;
  for (int i = 0; i < bytes->n && least >= 0; i++) {
    int32_t next = row[bytes->p[i]];
    if (next < 0) return -1;
    int behind = n_bytes == 1 ? depth[next] : least_behind(d, next, bytes + 1, n_bytes - 1, depth);
    if (behind < least) least = behind;
  }
  return least;
}

static int depth_of(const dfa *d, int32_t s, const plain_classes *x, const int8_t *depth) {
  int least = RULE_PLAIN_ANY;
  for (size_t i = 0; i < N_PLAIN_CHARS && least >= 0; i++) {
    int behind = least_behind(d, s, x->of[i], x->n_bytes[i], depth);
    if (behind < least) least = behind;
  }
  return least < 0 ? 0 : least >= RULE_PLAIN_MAX ? RULE_PLAIN_ANY : least + 1;
}

// From above: every state is taken to go on for ever, until one of its characters is seen to lead to less.
bool rules_find_plain(grammar_rule *r, pn_error *e) {
  size_t n = (size_t)r->d->n_states;
  int8_t *depth = malloc(n), *next = malloc(n);
  plain_classes classes;
  if (!depth || !next) {
    free(depth);
    free(next);
    return pn_fail(e, PN_ERR_NOMEM, "out of memory for a grammar");
  }
  find_plain_classes(&classes, r->d);
  memset(depth, RULE_PLAIN_ANY, n);
  bool changed = true;
  for (int round = 0; changed && round <= RULE_PLAIN_MAX + 1; round++) {
    changed = false;
    for (size_t s = 0; s < n; s++) {
      next[s] = depth[s] ? (int8_t)depth_of(r->d, (int32_t)s, &classes, depth) : 0;
      changed |= next[s] != depth[s];
    }
    memcpy(depth, next, n);
  }
  // Runs that were still getting shorter when the rounds were over are at least this long.
  free(next);
  r->plain = depth;
  return true;
}

// --- what matches nothing ----------------------------------------------------------------------------------

// Whether something is accepted when only calls of rules in `ok` succeed.
static bool matches(const dfa *d, const bool *ok, bool *seen, int32_t *todo) {
  size_t n_todo = 0, k = (size_t)d->n_classes;
  memset(seen, 0, (size_t)d->n_states);
  todo[n_todo++] = 0;
  seen[0] = true;
  while (n_todo) {
    int32_t s = todo[--n_todo];
    if (d->accepts[s]) return true;
    for (size_t c = 0; c < k; c++) {
      int32_t next = d->next[(size_t)s * k + c];
      if (next >= 0 && !seen[next]) seen[next] = true, todo[n_todo++] = next;
    }
    for (int32_t i = d->edge_at[s]; i < d->edge_at[s + 1]; i++) {
      dfa_edge x = d->edges[i];
      if (x.symbol < RULE_TOKEN && !ok[x.symbol - RULE_CALL]) continue;
      if (!seen[x.next]) seen[x.next] = true, todo[n_todo++] = x.next;
    }
  }
  return false;
}

static bool leave_out(dfa *d, const bool *ok, pn_error *e) {
  int32_t n = 0;
  for (int32_t s = 0, at = 0; s < d->n_states; s++) {
    for (int32_t end = d->edge_at[s + 1]; at < end; at++)
      if (d->edges[at].symbol >= RULE_TOKEN || ok[d->edges[at].symbol - RULE_CALL])
        d->edges[n++] = d->edges[at];
    d->edge_at[s + 1] = n;
  }
  return dfa_trim(d, e);
}

static bool drop_vain(rules *r, bool *ok, bool *seen, int32_t *todo, pn_error *e) {
  for (bool more = true; more;) {
    more = false;
    for (size_t i = 0; i < r->n; i++)
      if (!ok[i] && matches(r->p[i].d, ok, seen, todo)) ok[i] = more = true;
  }
  if (!ok[0]) return pn_fail(e, PN_ERR_UNSUPPORTED, "no value is valid by it");
  bool all = true;
  for (size_t i = 0; i < r->n; i++) all &= ok[i];
  if (all) return true;
  for (size_t i = 0; i < r->n; i++)
    if (!leave_out(r->p[i].d, ok, e)) return false;
  return true;
}

// A rule that was given up, and that nobody calls.
static bool build_nothing(grammar_rule *r, pn_error *e) {
  nfa n = {0};
  int32_t from = nfa_state(&n), to = nfa_state(&n);
  r->d = dfa_of(&n, from, to, 2, e);
  nfa_fini(&n);
  return r->d != NULL;
}

bool rules_finish(rules *r, pn_error *e) {
  int32_t most = 1;
  for (size_t i = 0; i < r->n && !r->oom; i++) {
    if (!r->p[i].d && !build_nothing(&r->p[i], e)) return false;
    if (r->p[i].d->n_states > most) most = r->p[i].d->n_states;
  }
  bool *ok = calloc(r->n + (size_t)most, sizeof *ok);
  int32_t *todo = malloc((size_t)most * sizeof *todo);
  bool good = !r->oom && ok && todo;
  if (!good) pn_fail(e, PN_ERR_NOMEM, "out of memory for a grammar");
  good = good && drop_vain(r, ok, ok + r->n, todo, e);
  free(ok);
  free(todo);
  if (!good) return false;
  for (size_t i = 0; i < r->n; i++) {
    r->p[i].base = r->n_states;
    r->n_states += r->p[i].d->n_states;
  }
  r->rule_of = malloc(((size_t)r->n_states + 1) * sizeof *r->rule_of);
  if (!r->rule_of) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a grammar");
  for (size_t i = 0; i < r->n; i++)
    for (int32_t s = 0; s < r->p[i].d->n_states; s++) r->rule_of[r->p[i].base + s] = (int32_t)i;
  return true;
}
