#include "grammar/dfa.h"

#include "grammar/dfa_table.h"

#include <stdlib.h>
#include <string.h>

void dfa_free(dfa *d) {
  if (!d) return;
  free(d->next);
  free(d->accepts);
  free(d->edge_at);
  free(d->edges);
  free(d);
}

bool dfa_accepts(const dfa *d, pn_str text) {
  int32_t at = 0;
  for (size_t i = 0; at >= 0 && i < text.n; i++) at = dfa_step(d, at, (uint8_t)text.p[i]);
  return at >= 0 && d->accepts[at];
}

bool dfa_empty(const dfa *d) {
  for (int i = 0; i < d->n_states; i++)
    if (d->accepts[i]) return false;
  return true;
}

// --- classes of bytes --------------------------------------------------------------------------------------

void byte_classes_init(byte_classes *c) { *c = (byte_classes){.n = 1}; }

void byte_classes_split(byte_classes *c, const uint8_t class_of[256]) {
  int16_t known[256][2]; // by new class: the pair that it stands for
  int n = 0;
  uint8_t split[256];
  for (int b = 0; b < 256; b++) {
    int k = 0;
    while (k < n && (known[k][0] != c->class_of[b] || known[k][1] != class_of[b])) k++;
    if (k == n) {
      known[n][0] = c->class_of[b];
      known[n][1] = class_of[b];
      c->byte_of[n++] = (uint8_t)b;
    }
    split[b] = (uint8_t)k;
  }
  memcpy(c->class_of, split, sizeof split);
  c->n = n;
}

void byte_classes_apart(byte_classes *c, uint8_t lo, uint8_t hi) {
  uint8_t in[256] = {0};
  for (int b = lo; b <= hi; b++) in[b] = 1;
  byte_classes_split(c, in);
}

// --- trimming ----------------------------------------------------------------------------------------------

static bool out_of_memory(pn_error *e) { return pn_fail(e, PN_ERR_NOMEM, "out of memory for an automaton"); }

static bool leads_to(const dfa *d, size_t s, const bool *useful) {
  const int32_t *row = d->next + s * (size_t)d->n_classes;
  for (int c = 0; c < d->n_classes; c++)
    if (row[c] >= 0 && useful[row[c]]) return true;
  for (int32_t i = d->edge_at[s]; i < d->edge_at[s + 1]; i++)
    if (useful[d->edges[i].next]) return true;
  return false;
}

#define MAX_LOOKS 16

// The same as mark_useful, by looks from the last state to the first: mostly states are numbered before those
// that they lead to, so a few are enough. False: they were not. *n_left: states that are not useful.
static bool look_for_useful(const dfa *d, bool *useful, size_t *n_left) {
  *n_left = (size_t)d->n_states;
  for (int look = 0; look < MAX_LOOKS && *n_left; look++) {
    size_t before = *n_left;
    for (size_t s = (size_t)d->n_states; s-- > 0;)
      if (!useful[s] && (d->accepts[s] || leads_to(d, s, useful))) useful[s] = true, --*n_left;
    if (*n_left == before) return true;
  }
  return *n_left == 0;
}

// Which states can reach an accepting one: a walk against the edges.
static bool mark_useful(const dfa *d, bool *useful) {
  size_t n = (size_t)d->n_states, k = (size_t)d->n_classes, n_in = 0;
  int32_t *in_at = calloc(n + 2, sizeof *in_at), *in = NULL, *todo = malloc(n * sizeof *todo);
  size_t n_todo = 0, total = n * k + (size_t)d->edge_at[n];
  if (in_at && todo) in = malloc((total ? total : 1) * sizeof *in);
  bool ok = in != NULL;
  for (size_t i = 0; ok && i < n * k; i++)
    if (d->next[i] >= 0) in_at[d->next[i] + 2]++;
  for (int32_t i = 0; ok && i < d->edge_at[n]; i++) in_at[d->edges[i].next + 2]++;
  for (size_t i = 2; ok && i < n + 2; i++) in_at[i] += in_at[i - 1];
  for (size_t s = 0; ok && s < n; s++) {
    for (size_t c = 0; c < k; c++)
      if (d->next[s * k + c] >= 0) in[in_at[d->next[s * k + c] + 1]++] = (int32_t)s, n_in++;
    for (int32_t i = d->edge_at[s]; i < d->edge_at[s + 1]; i++)
      in[in_at[d->edges[i].next + 1]++] = (int32_t)s, n_in++;
  }
  for (size_t s = 0; ok && s < n; s++)
    if ((useful[s] = d->accepts[s])) todo[n_todo++] = (int32_t)s;
  while (ok && n_todo) {
    int32_t s = todo[--n_todo];
    for (int32_t i = in_at[s]; i < in_at[s + 1]; i++)
      if (!useful[in[i]]) useful[in[i]] = true, todo[n_todo++] = in[i];
  }
  free(in_at);
  free(in);
  free(todo);
  return ok;
}

bool dfa_trim(dfa *d, pn_error *e) {
  size_t n = (size_t)d->n_states, k = (size_t)d->n_classes;
  bool *useful = calloc(n, sizeof *useful);
  size_t n_left = 1;
  bool found = useful && look_for_useful(d, useful, &n_left);
  if (n_left == 0) return free(useful), true;
  int32_t *name = malloc(n * sizeof *name), m = 0, edges = 0;
  bool ok = useful && name && (found || mark_useful(d, useful));
  for (size_t s = 0; ok && s < n; s++) name[s] = useful[s] || s == 0 ? m++ : -1;
  for (size_t s = 0; ok && s < n; s++) {
    if (name[s] < 0) continue;
    size_t to = (size_t)name[s];
    int32_t first = d->edge_at[s], end = d->edge_at[s + 1];
    for (size_t c = 0; c < k; c++) {
      int32_t next = d->next[s * k + c];
      d->next[to * k + c] = next >= 0 && useful[next] ? name[next] : -1;
    }
    d->accepts[to] = d->accepts[s];
    d->edge_at[to] = edges; // not beyond what is still to be read: to <= s
    for (int32_t i = first; i < end; i++)
      if (useful[d->edges[i].next])
        d->edges[edges++] = (dfa_edge){d->edges[i].symbol, name[d->edges[i].next]};
  }
  if (ok) {
    d->n_states = m;
    d->edge_at[m] = edges;
  }
  free(useful);
  free(name);
  return ok || out_of_memory(e);
}

// --- from functions ----------------------------------------------------------------------------------------

static bool same_column(const dfa *d, size_t a, size_t b) {
  size_t k = (size_t)d->n_classes;
  for (size_t s = 0; s < (size_t)d->n_states; s++)
    if (d->next[s * k + a] != d->next[s * k + b]) return false;
  return true;
}

// Classes of bytes that turn out to be alike become one.
static void merge_classes(dfa *d) {
  size_t k = (size_t)d->n_classes, n = 0, kept[256];
  uint8_t name[256];
  for (size_t c = 0; c < k; c++) {
    size_t same = 0;
    while (same < n && !same_column(d, kept[same], c)) same++;
    if (same == n) kept[n++] = c;
    name[c] = (uint8_t)same;
  }
  for (size_t s = 0; s < (size_t)d->n_states; s++)
    for (size_t c = 0; c < n; c++)
      d->next[s * n + c] = d->next[s * k + kept[c]]; // to the left of what is still read
  for (int b = 0; b < 256; b++) d->class_of[b] = name[d->class_of[b]];
  d->n_classes = (int)n;
}

dfa *dfa_finish(dfa_draft *t, pn_error *e) {
  dfa *d = calloc(1, sizeof *d);
  if (!d || t->oom) {
    free(d);
    dfa_draft_fini(t);
    return out_of_memory(e), NULL;
  }
  *d = (dfa){.n_states = (int)t->n_states,
             .n_classes = t->classes.n,
             .next = t->next,
             .accepts = t->accepts,
             .edge_at = t->edge_at,
             .edges = t->edges};
  memcpy(d->class_of, t->classes.class_of, sizeof d->class_of);
  d->edge_at[t->n_states] = (int32_t)t->n_edges;
  *t = (dfa_draft){0};
  if (dfa_trim(d, e)) {
    merge_classes(d);
    return d;
  }
  dfa_free(d);
  return NULL;
}

void dfa_draft_fini(dfa_draft *t) {
  free(t->next);
  free(t->accepts);
  free(t->edge_at);
  free(t->edges);
  *t = (dfa_draft){0};
}

static bool grow(void **p, size_t n, size_t size) {
  void *q = realloc(*p, (n ? n : 1) * size);
  if (q) *p = q;
  return q != NULL;
}

int32_t *dfa_draft_state(dfa_draft *t, bool accepts) {
  size_t k = (size_t)t->classes.n;
  if (t->n_states == t->cap_states) {
    size_t cap = t->cap_states ? t->cap_states * 2 : 32;
    if (!grow((void **)&t->next, cap * k, sizeof *t->next) ||
        !grow((void **)&t->accepts, cap, sizeof *t->accepts) ||
        !grow((void **)&t->edge_at, cap + 1, sizeof *t->edge_at)) {
      t->oom = true;
      return NULL;
    }
    t->cap_states = cap;
  }
  size_t s = t->n_states++;
  t->accepts[s] = accepts;
  t->edge_at[s] = (int32_t)t->n_edges;
  for (size_t c = 0; c < k; c++) t->next[s * k + c] = -1;
  return t->next + s * k;
}

void dfa_draft_edge(dfa_draft *t, int32_t symbol, int32_t next) {
  if (t->n_edges == t->cap_edges) {
    size_t cap = t->cap_edges ? t->cap_edges * 2 : 16;
    if (!grow((void **)&t->edges, cap, sizeof *t->edges)) {
      t->oom = true;
      return;
    }
    t->cap_edges = cap;
  }
  t->edges[t->n_edges++] = (dfa_edge){symbol, next};
}

dfa *dfa_build(const dfa_source *s, int max_states, pn_error *e) {
  set_table known = {0}; // by number of state, what it is
  dfa_draft t = {.classes.n = s->n_classes};
  memcpy(t.classes.class_of, s->class_of, 256);
  unsigned char here[DFA_SOURCE_MAX] = {0}, next[DFA_SOURCE_MAX], last[DFA_SOURCE_MAX];
  int32_t last_number = -1; // of `last`: many classes in turn lead to one state
  s->start(s->ctx, here);
  set_table_find(&known, here, s->state_bytes);
  for (size_t i = 0; i < known.n && !t.oom && !known.oom && known.n <= (size_t)max_states; i++) {
    pn_str at = set_table_get(&known, i);
    memcpy(here, at.p, at.n);
    if (!dfa_draft_state(&t, s->accepts(s->ctx, here))) break;
    for (int c = 0; c < s->n_classes; c++) {
      memset(next, 0, sizeof next);
      if (!s->step(s->ctx, here, s->byte_of[c], next)) continue;
      if (last_number < 0 || memcmp(next, last, s->state_bytes) != 0) {
        last_number = (int32_t)set_table_find(&known, next, s->state_bytes);
        memcpy(last, next, s->state_bytes);
      }
      t.next[i * (size_t)s->n_classes + (size_t)c] = last_number;
    }
  }
  bool over = known.n > (size_t)max_states;
  t.oom |= known.oom;
  set_table_fini(&known);
  if (!over) return dfa_finish(&t, e);
  dfa_draft_fini(&t);
  return pn_fail(e, PN_ERR_LIMIT, "too complex: over %d states", max_states), NULL;
}
