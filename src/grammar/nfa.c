#include "base/utf8.h"
#include "grammar/dfa_table.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CELLS 16000000 // states times classes of an automaton: 64 MB
#define MAX_WORK 20000000  // states times classes looked at: some patterns have few states and take forever

void nfa_fini(nfa *n) {
  free(n->edges);
  *n = (nfa){0};
}

int32_t nfa_state(nfa *n) { return n->n_states++; }

void nfa_add(nfa *n, int32_t from, int32_t lo, int32_t hi, int32_t to) {
  if (n->n_edges == n->cap_edges) {
    size_t cap = n->cap_edges ? n->cap_edges * 2 : 64;
    nfa_edge *p = realloc(n->edges, cap * sizeof *p);
    if (!p) {
      n->oom = true;
      return;
    }
    n->edges = p;
    n->cap_edges = cap;
  }
  n->edges[n->n_edges++] = (nfa_edge){from, to, lo, hi};
}

int32_t nfa_text(nfa *n, int32_t from, pn_str s) {
  for (size_t i = 0; i < s.n; i++) {
    int32_t to = nfa_state(n), b = (uint8_t)s.p[i];
    nfa_add(n, from, b, b, to);
    from = to;
  }
  return from;
}

// tail[k]: from where any k following bytes lead to the end; made when first wanted, so that what is alike is
// one.
static int32_t tail_of(nfa *n, int32_t *tail, int k) {
  if (tail[k] < 0) {
    int32_t next = tail_of(n, tail, k - 1);
    tail[k] = nfa_state(n);
    nfa_add(n, tail[k], 0x80, 0xBF, next);
  }
  return tail[k];
}

// Characters of one length, by their encodings: at the borders byte by byte, whole ranges of leading bytes
// between them.
static void add_encoded(nfa *n, int32_t from, const uint8_t *lo, const uint8_t *hi, int len, int32_t *tail) {
  static const uint8_t least[3] = {0x80, 0x80, 0x80}, most[3] = {0xBF, 0xBF, 0xBF};
  size_t rest = (size_t)len - 1;
  bool low_whole = memcmp(lo + 1, least, rest) == 0, high_whole = memcmp(hi + 1, most, rest) == 0;
  if (*lo == *hi && !(low_whole && high_whole)) {
    int32_t next = nfa_state(n);
    nfa_add(n, from, *lo, *lo, next);
    add_encoded(n, next, lo + 1, hi + 1, len - 1, tail);
    return;
  }
  int first = low_whole ? *lo : *lo + 1, last = high_whole ? *hi : *hi - 1;
  if (!low_whole) {
    int32_t next = nfa_state(n);
    nfa_add(n, from, *lo, *lo, next);
    add_encoded(n, next, lo + 1, most, len - 1, tail);
  }
  if (first <= last) nfa_add(n, from, first, last, tail_of(n, tail, len - 1));
  if (!high_whole) {
    int32_t next = nfa_state(n);
    nfa_add(n, from, *hi, *hi, next);
    add_encoded(n, next, least, hi + 1, len - 1, tail);
  }
}

void nfa_chars(nfa *n, int32_t from, uint32_t lo, uint32_t hi, int32_t tail[4]) {
  static const uint32_t bounds[][2] = {
      {0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xD7FF}, {0xE000, 0xFFFF}, {0x10000, 0x10FFFF}};
  for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
    uint32_t a = lo > bounds[i][0] ? lo : bounds[i][0], b = hi < bounds[i][1] ? hi : bounds[i][1];
    uint8_t first[4] = {0}, last[4] = {0};
    if (a > b) continue;
    int len = (int)pn_utf8_encode(a, (char *)first);
    pn_utf8_encode(b, (char *)last);
    add_encoded(n, from, first, last, len, tail);
  }
}

// --- making it deterministic -------------------------------------------------------------------------------

// The edges by the state they leave, and work space.
typedef struct subset {
  const nfa *n;
  byte_classes classes;
  int32_t *edge_at; // [n_states + 1]
  nfa_edge *edges;  // sorted by from
  int32_t *list;    // a set of states on its way
  size_t n_list, work;
  uint32_t *seen, now; // by state: the number of the set that it was put in last
  bool oom;
} subset;

static void subset_fini(subset *s) {
  free(s->edge_at);
  free(s->edges);
  free(s->list);
  free(s->seen);
}

static bool subset_init(subset *s, const nfa *n) {
  size_t states = (size_t)n->n_states;
  *s = (subset){.n = n,
                .edge_at = calloc(states + 2, sizeof *s->edge_at),
                .edges = malloc((n->n_edges ? n->n_edges : 1) * sizeof *s->edges),
                .list = malloc((states ? states : 1) * sizeof *s->list),
                .seen = calloc(states ? states : 1, sizeof *s->seen)};
  byte_classes_init(&s->classes);
  if (n->oom || !s->edge_at || !s->edges || !s->list || !s->seen) return false;
  bool border[257] = {false}; // a class begins here
  for (size_t i = 0; i < n->n_edges; i++) {
    const nfa_edge *x = &n->edges[i];
    s->edge_at[x->from + 2]++;
    if (x->lo >= 0 && x->lo < DFA_SYMBOLS) border[x->lo] = border[x->hi + 1] = true;
  }
  for (size_t i = 2; i < states + 2; i++) s->edge_at[i] += s->edge_at[i - 1];
  for (size_t i = 0; i < n->n_edges; i++) s->edges[s->edge_at[n->edges[i].from + 1]++] = n->edges[i];
  uint8_t class_of[256], c = 0;
  for (int b = 0; b < 256; b++) class_of[b] = border[b] && b ? ++c : c;
  byte_classes_split(&s->classes, class_of);
  return true;
}

static void put(subset *s, int32_t state) {
  if (s->seen[state] == s->now) return;
  s->seen[state] = s->now;
  s->list[s->n_list++] = state;
}

static int by_number(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

// Everything that is reached without reading.
static void close_set(subset *s) {
  for (size_t i = 0; i < s->n_list; i++)
    for (int32_t k = s->edge_at[s->list[i]]; k < s->edge_at[s->list[i] + 1]; k++)
      if (s->edges[k].lo < 0) put(s, s->edges[k].to);
  if (s->n_list > 1) qsort(s->list, s->n_list, sizeof *s->list, by_number);
}

static void begin_set(subset *s) {
  s->n_list = 0;
  s->now++;
}

static int32_t number_of(subset *s, set_table *known) {
  close_set(s);
  return (int32_t)set_table_find(known, s->list, s->n_list * sizeof *s->list);
}

// The classes of bytes on which something leads out of the set, one bit each.
static void find_live(const subset *s, const int32_t *set, size_t n, uint64_t live[4]) {
  memset(live, 0, 4 * sizeof *live);
  for (size_t i = 0; i < n; i++)
    for (int32_t k = s->edge_at[set[i]]; k < s->edge_at[set[i] + 1]; k++) {
      const nfa_edge *x = &s->edges[k];
      if (x->lo < 0 || x->lo >= DFA_SYMBOLS) continue;
      for (int c = s->classes.class_of[x->lo]; c <= s->classes.class_of[x->hi]; c++) // they ascend with bytes
        live[c / 64] |= (uint64_t)1 << c % 64;
    }
}

static void add_byte_steps(subset *s, set_table *known, const int32_t *set, size_t n, dfa_draft *t,
                           size_t state) {
  uint64_t live[4];
  find_live(s, set, n, live);
  for (int c = 0; c < s->classes.n; c++) {
    int32_t b = s->classes.byte_of[c];
    if (!(live[c / 64] >> c % 64 & 1)) continue;
    begin_set(s);
    for (size_t i = 0; i < n; i++)
      for (int32_t k = s->edge_at[set[i]]; k < s->edge_at[set[i] + 1]; k++)
        if (s->edges[k].lo <= b && b <= s->edges[k].hi && s->edges[k].lo >= 0) put(s, s->edges[k].to);
    t->next[state * (size_t)s->classes.n + (size_t)c] = number_of(s, known);
  }
}

static void add_symbol_edges(subset *s, set_table *known, const int32_t *set, size_t n, dfa_draft *t) {
  int32_t last = DFA_SYMBOLS - 1;
  for (;;) {
    int32_t symbol = INT32_MAX; // the next higher one
    for (size_t i = 0; i < n; i++)
      for (int32_t k = s->edge_at[set[i]]; k < s->edge_at[set[i] + 1]; k++)
        if (s->edges[k].lo > last && s->edges[k].lo < symbol) symbol = s->edges[k].lo;
    if (symbol == INT32_MAX) return;
    begin_set(s);
    for (size_t i = 0; i < n; i++)
      for (int32_t k = s->edge_at[set[i]]; k < s->edge_at[set[i] + 1]; k++)
        if (s->edges[k].lo == symbol) put(s, s->edges[k].to);
    dfa_draft_edge(t, symbol, number_of(s, known));
    last = symbol;
  }
}

static bool has(const int32_t *set, size_t n, int32_t state) {
  for (size_t i = 0; i < n; i++)
    if (set[i] == state) return true;
  return false;
}

dfa *dfa_of(const nfa *n, int32_t start, int32_t final, int max_states, pn_error *e) {
  subset s;
  set_table known = {0};
  dfa_draft t = {0};
  int32_t *set = NULL;
  bool ok = subset_init(&s, n);
  if (ok) set = malloc((size_t)n->n_states * sizeof *set);
  ok = ok && set;
  t.classes = s.classes;
  if (ok) {
    begin_set(&s);
    put(&s, start);
    number_of(&s, &known);
  }
  size_t most = MAX_CELLS / (size_t)(s.classes.n > 0 ? s.classes.n : 1);
  if (most > (size_t)max_states) most = (size_t)max_states;
  for (size_t i = 0; ok && i < known.n && known.n <= most && s.work < MAX_WORK; i++) {
    pn_str at = set_table_get(&known, i);
    size_t n_set = at.n / sizeof *set;
    memcpy(set, at.p, at.n);
    s.work += n_set * (size_t)s.classes.n;
    ok = dfa_draft_state(&t, has(set, n_set, final)) != NULL;
    if (!ok) break;
    add_byte_steps(&s, &known, set, n_set, &t, i);
    add_symbol_edges(&s, &known, set, n_set, &t);
    ok = !known.oom && !t.oom;
  }
  bool over = known.n > most || s.work >= MAX_WORK;
  t.oom |= !ok;
  set_table_fini(&known);
  subset_fini(&s);
  free(set);
  if (ok && over) {
    dfa_draft_fini(&t);
    return pn_fail(e, PN_ERR_LIMIT, "too complex for an automaton of %zu states", most), NULL;
  }
  return dfa_finish(&t, e);
}
