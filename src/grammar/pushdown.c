#include "grammar/pushdown.h"

#include <stdlib.h>
#include <string.h>

#define WORK_MAX                                                                                             \
  512 // places of a set; what is beyond is left out: then fewer answers are possible, none that is wrong
#define MAX_SETS 4000
#define MAX_MASK_BYTES (4u << 20)

enum { ONLY_NONE = -1, ONLY_MANY = -2 };

#define MAX_DEPTH 100 // of values in each other: who reads them has limits too

typedef struct stack_top {
  int32_t back, below, depth;
} stack_top;

// --- making ------------------------------------------------------------------------------------------------

// The one byte that leads on from a state; by_class has the byte of a class of one, else ONLY_MANY.
static int16_t only_byte(const dfa *d, int32_t s, const int16_t *by_class) {
  const int32_t *row = d->next + (size_t)s * (size_t)d->n_classes;
  int16_t only = ONLY_NONE;
  for (int c = 0; c < d->n_classes && only != ONLY_MANY; c++)
    if (row[c] >= 0) only = only == ONLY_NONE ? by_class[c] : ONLY_MANY;
  return only;
}

static void learn_states(pushdown *m) {
  for (size_t i = 0; i < m->r->n; i++) {
    const dfa *d = m->r->p[i].d;
    int16_t by_class[256];
    for (int c = 0; c < d->n_classes; c++) by_class[c] = ONLY_NONE;
    for (int b = 0; b < 256; b++)
      by_class[d->class_of[b]] = (int16_t)(by_class[d->class_of[b]] == ONLY_NONE ? b : ONLY_MANY);
    for (int32_t s = 0; s < d->n_states; s++) {
      int32_t at = m->r->p[i].base + s;
      m->only[at] = only_byte(d, s, by_class);
      for (int32_t k = d->edge_at[s]; k < d->edge_at[s + 1]; k++)
        m->has_edges[at] |= d->edges[k].symbol >= RULE_TOKEN;
      m->pure_end[at] = d->accepts[s] && m->only[at] == ONLY_NONE && d->edge_at[s] == d->edge_at[s + 1];
    }
  }
}

bool pushdown_init(pushdown *m, const struct pn_vocab *v, const rules *r, pn_error *e) {
  size_t n = (size_t)r->n_states + 1;
  int depth = v->plain.max_depth > v->other.max_depth ? v->plain.max_depth : v->other.max_depth;
  *m = (pushdown){.vocab = v,
                  .r = r,
                  .only = malloc(n * sizeof *m->only),
                  .has_edges = calloc(n, sizeof *m->has_edges),
                  .pure_end = calloc(n, sizeof *m->pure_end),
                  .work = malloc((WORK_MAX + 1) * sizeof *m->work),
                  .done = malloc((WORK_MAX + 1) * sizeof *m->done),
                  .by_depth = malloc(((size_t)depth + 2) * sizeof *m->by_depth),
                  .scratch = malloc(v->n_words * sizeof *m->scratch)};
  if (!m->only || !m->has_edges || !m->pure_end || !m->work || !m->done || !m->by_depth || !m->scratch)
    return pn_fail(e, PN_ERR_NOMEM, "out of memory for a grammar");
  learn_states(m);
  pushdown_forget(m);
  return !m->oom || pn_fail(e, PN_ERR_NOMEM, "out of memory for a grammar");
}

void pushdown_forget(pushdown *m) {
  for (size_t i = 0; i < m->sets.n && m->known; i++) {
    free(m->known[i].next);
    free(m->known[i].ids);
    free(m->known[i].bits);
  }
  free(m->known);
  m->known = NULL;
  m->cap_known = 0;
  m->mask_bytes = 0;
  set_table_fini(&m->sets);
  set_table_fini(&m->stacks);
  set_table_find(&m->stacks, "", 0); // number 0: nothing to return to
  m->oom = m->stacks.oom;
}

void pushdown_fini(pushdown *m) {
  pushdown_forget(m);
  set_table_fini(&m->stacks);
  free(m->only);
  free(m->has_edges);
  free(m->pure_end);
  free(m->work);
  free(m->done);
  free(m->by_depth);
  free(m->scratch);
  *m = (pushdown){0};
}

bool pushdown_is_large(const pushdown *m) {
  return m->oom || m->sets.n > MAX_SETS || m->mask_bytes > MAX_MASK_BYTES;
}

// --- sets --------------------------------------------------------------------------------------------------

static bool same_place(const place *a, const place *b) {
  return a->state == b->state && a->stack == b->stack && a->count == b->count;
}

static void reach(pushdown *m, int32_t state, int32_t stack, int32_t count) {
  const place p = {state, stack, count};
  for (size_t i = 0; i < m->n_work; i++)
    if (same_place(&m->work[i], &p)) return;
  if (m->n_work < WORK_MAX) m->work[m->n_work++] = p;
}

static void begin(pushdown *m) {
  m->n_work = m->n_done = 0;
  m->work_end = false;
}

static stack_top top_of(const pushdown *m, int32_t stack) {
  stack_top top = {0};
  if (stack) memcpy(&top, set_table_get(&m->stacks, (size_t)stack).p, sizeof top);
  return top;
}

// Follow calls and returns from what was reached; places from which a byte or a control token leads on stay.
static void settle(pushdown *m) {
  for (size_t i = 0; i < m->n_work; i++) {
    place p = m->work[i];
    const grammar_rule *r = &m->r->p[m->r->rule_of[p.state]];
    int32_t s = p.state - r->base;
    const stack_top now = top_of(m, p.stack);
    if (m->only[p.state] != ONLY_NONE || m->has_edges[p.state]) m->done[m->n_done++] = p;
    for (int32_t k = r->d->edge_at[s]; k < r->d->edge_at[s + 1]; k++) {
      dfa_edge x = r->d->edges[k];
      if (x.symbol >= RULE_TOKEN) continue;
      int32_t back = r->base + x.next, stack = p.stack;
      if (!m->pure_end[back]) { // there is something to come back for
        if (now.depth == MAX_DEPTH) continue;
        const stack_top top = {back, p.stack, now.depth + 1};
        stack = (int32_t)set_table_find(&m->stacks, &top, sizeof top);
      }
      reach(m, m->r->p[x.symbol - RULE_CALL].base, stack, 0);
    }
    if (!r->d->accepts[s]) continue;
    if (p.stack == 0)
      m->work_end = true;
    else
      reach(m, now.back, now.below, 0);
  }
}

static int by_place(const void *a, const void *b) {
  const place *x = a, *y = b;
  if (x->state != y->state) return x->state < y->state ? -1 : 1;
  if (x->stack != y->stack) return x->stack < y->stack ? -1 : 1;
  return (x->count > y->count) - (x->count < y->count);
}

int32_t pushdown_set(pushdown *m, const place *p, size_t n, bool may_end) {
  if (n == 0 && !may_end) return SET_NONE;
  // The end is a last place that no state has.
  memmove(m->done, p, n * sizeof *p);
  if (n > 1) qsort(m->done, n, sizeof *m->done, by_place);
  size_t before = m->sets.n, bytes = n * sizeof *p;
  if (may_end) bytes += sizeof p->state; // a word more tells it from the same places without
  unsigned char *key = (unsigned char *)m->work;
  memcpy(key, m->done, n * sizeof *p);
  if (may_end) memset(key + n * sizeof *p, 1, sizeof p->state);
  size_t set = set_table_find(&m->sets, key, bytes);
  if (m->sets.oom || m->stacks.oom) return m->oom = true, SET_NONE;
  if (m->sets.n == before) return (int32_t)set;
  if (set >= m->cap_known) {
    size_t cap = m->cap_known ? m->cap_known * 2 : 64;
    place_set *q = realloc(m->known, cap * sizeof *q);
    if (!q) {
      m->sets.n = before; // its hash is lost; the pushdown is given up anyway
      return m->oom = true, SET_NONE;
    }
    m->known = q;
    m->cap_known = cap;
  }
  m->known[set] = (place_set){.n_ids = -1, .may_end = may_end};
  return (int32_t)set;
}

int32_t pushdown_restack(pushdown *m, const set_table *from, int32_t stack) {
  stack_top all[MAX_DEPTH];
  int32_t depth = 0, number = 0;
  for (; stack; stack = all[depth++].below)
    memcpy(&all[depth], set_table_get(from, (size_t)stack).p, sizeof *all);
  while (depth-- > 0) { // the deepest first
    all[depth].below = number;
    number = (int32_t)set_table_find(&m->stacks, &all[depth], sizeof *all);
  }
  return number;
}

static int32_t finish(pushdown *m) { return pushdown_set(m, m->done, m->n_done, m->work_end); }

const place *pushdown_places(const pushdown *m, int32_t set, size_t *n) {
  pn_str s = set_table_get(&m->sets, (size_t)set);
  *n = s.n / sizeof(place);
  return (const place *)(const void *)s.p;
}

int32_t pushdown_start(pushdown *m, int32_t rule) {
  begin(m);
  reach(m, m->r->p[rule].base, 0, 0);
  settle(m);
  return finish(m);
}

// The count of a string behind a byte; -1: it would be too long, or ends too short.
static int32_t count_behind(const grammar_rule *r, const place *p, uint8_t byte) {
  if (!r->counted || p->state - r->base != r->inside) return p->count;
  if (byte == '"') return p->count >= r->min_chars ? 0 : -1;
  int32_t enough = r->max_chars >= 0 ? r->max_chars : r->min_chars; // beyond nothing changes
  if (p->count < enough) return p->count + 1;
  return r->max_chars < 0 ? p->count : -1;
}

static int32_t compute_step(pushdown *m, int32_t set, uint8_t byte) {
  size_t n;
  place here[WORK_MAX];
  const place *from = pushdown_places(m, set, &n);
  memcpy(here, from, n * sizeof *from);
  begin(m);
  for (size_t i = 0; i < n; i++) {
    const grammar_rule *r = &m->r->p[m->r->rule_of[here[i].state]];
    int32_t next = dfa_step(r->d, here[i].state - r->base, byte), count;
    if (next >= 0 && (count = count_behind(r, &here[i], byte)) >= 0)
      reach(m, r->base + next, here[i].stack, count);
  }
  settle(m);
  return finish(m);
}

int32_t pushdown_step(pushdown *m, int32_t set, uint8_t byte) {
  if (!m->known[set].next) {
    int32_t *next = malloc(256 * sizeof *next);
    if (!next) return m->oom = true, SET_NONE;
    for (int i = 0; i < 256; i++) next[i] = SET_UNKNOWN;
    m->known[set].next = next;
  }
  int32_t to = m->known[set].next[byte];
  if (to == SET_UNKNOWN) {
    to = compute_step(m, set, byte);
    m->known[set].next[byte] = to; // `known` may have moved meanwhile
  }
  return to;
}

int32_t pushdown_step_token(pushdown *m, int32_t set, int32_t id) {
  if (!pn_tokenizer_is_control(m->vocab->tokenizer, id)) {
    pn_str s = vocab_text(m->vocab, id);
    if (s.n == 0) return SET_NONE;
    for (size_t i = 0; i < s.n && set >= 0; i++) set = pushdown_step(m, set, (uint8_t)s.p[i]);
    return set;
  }
  size_t n;
  place here[WORK_MAX];
  const place *from = pushdown_places(m, set, &n);
  memcpy(here, from, n * sizeof *from);
  begin(m);
  for (size_t i = 0; i < n; i++) {
    const grammar_rule *r = &m->r->p[m->r->rule_of[here[i].state]];
    int32_t s = here[i].state - r->base;
    for (int32_t k = r->d->edge_at[s]; k < r->d->edge_at[s + 1]; k++)
      if (r->d->edges[k].symbol == RULE_TOKEN + id) reach(m, r->base + r->d->edges[k].next, here[i].stack, 0);
  }
  settle(m);
  return finish(m);
}

int32_t pushdown_only(const pushdown *m, int32_t set) {
  size_t n;
  int32_t only = -1;
  const place *p = pushdown_places(m, set, &n);
  if (m->known[set].may_end) return -1;
  for (size_t i = 0; i < n; i++) {
    const grammar_rule *r = &m->r->p[m->r->rule_of[p[i].state]];
    int32_t s = p[i].state - r->base, here = m->only[p[i].state];
    if (here == ONLY_MANY || (m->has_edges[p[i].state] && here != ONLY_NONE)) return -1;
    if (m->has_edges[p[i].state]) {
      for (int32_t k = r->d->edge_at[s]; k < r->d->edge_at[s + 1]; k++) {
        int32_t symbol = r->d->edges[k].symbol;
        if (symbol < RULE_TOKEN) continue;
        if (here != ONLY_NONE && here != DFA_SYMBOLS + symbol - RULE_TOKEN) return -1;
        here = DFA_SYMBOLS + symbol - RULE_TOKEN;
      }
    }
    if (only >= 0 && here != only) return -1;
    only = here;
  }
  return only;
}

// --- tokens ------------------------------------------------------------------------------------------------

// How many plain characters may follow at any of the places, at least. *exactly: and no more.
static int plain_depth(const pushdown *m, int32_t set, bool *exactly) {
  size_t n;
  int most = 0;
  const place *p = pushdown_places(m, set, &n);
  *exactly = false;
  for (size_t i = 0; i < n; i++) {
    const grammar_rule *r = &m->r->p[m->r->rule_of[p[i].state]];
    int32_t s = p[i].state - r->base, left = RULE_PLAIN_ANY;
    if (!r->plain) continue;
    if (r->counted && s != r->inside) continue;
    if (r->counted && r->max_chars >= 0) left = r->max_chars - p[i].count;
    *exactly = n == 1 && r->counted && r->plain[s] == RULE_PLAIN_ANY;
    if (r->plain[s] < left) left = r->plain[s];
    if (left > most) most = left;
  }
  return most > RULE_PLAIN_ANY ? RULE_PLAIN_ANY : most;
}

static void allow(pushdown *m, int32_t id) {
  for (; id >= 0; id = m->vocab->same[id]) m->scratch[id / 64] |= (uint64_t)1 << id % 64;
}

static void walk(pushdown *m, int32_t set, const trie *t) {
  m->by_depth[0] = set;
  for (size_t i = 0; i < t->n && !m->oom;) {
    const trie_node *x = &t->nodes[i];
    int32_t to = pushdown_step(m, m->by_depth[x->depth], x->byte);
    if (to < 0) {
      i = x->skip;
      continue;
    }
    if (x->token >= 0) allow(m, x->token);
    m->by_depth[x->depth + 1] = to;
    i++;
  }
}

static void allow_controls(pushdown *m, int32_t set) {
  size_t n;
  const place *p = pushdown_places(m, set, &n);
  for (size_t i = 0; i < n; i++) {
    const grammar_rule *r = &m->r->p[m->r->rule_of[p[i].state]];
    int32_t s = p[i].state - r->base;
    for (int32_t k = r->d->edge_at[s]; k < r->d->edge_at[s + 1]; k++) {
      int32_t id = r->d->edges[k].symbol - RULE_TOKEN;
      if (id >= 0) m->scratch[id / 64] |= (uint64_t)1 << id % 64;
    }
  }
  if (!m->known[set].may_end) return;
  const int32_t *ends = pn_tokenizer_end_ids(m->vocab->tokenizer, &n);
  for (size_t i = 0; i < n; i++) m->scratch[ends[i] / 64] |= (uint64_t)1 << ends[i] % 64;
}

#define FEW_IDS 512

static bool keep_mask(pushdown *m, int32_t set) {
  size_t words = m->vocab->n_words, n = 0;
  for (size_t i = 0; i < words; i++) n += (size_t)__builtin_popcountll(m->scratch[i]);
  place_set *s = &m->known[set];
  if (n > FEW_IDS) {
    s->bits = malloc(words * sizeof *s->bits);
    if (!s->bits) return false;
    memcpy(s->bits, m->scratch, words * sizeof *s->bits);
    m->mask_bytes += words * sizeof *s->bits;
    s->n_ids = 0;
    return true;
  }
  s->ids = malloc((n ? n : 1) * sizeof *s->ids);
  if (!s->ids) return false;
  m->mask_bytes += n * sizeof *s->ids;
  s->n_ids = 0;
  for (size_t i = 0; i < words; i++)
    for (uint64_t w = m->scratch[i]; w; w &= w - 1)
      s->ids[s->n_ids++] = (int32_t)(i * 64) + __builtin_ctzll(w);
  return true;
}

const place_set *pushdown_mask(pushdown *m, int32_t set) {
  if (m->known[set].n_ids >= 0) return &m->known[set];
  size_t words = m->vocab->n_words;
  bool exactly;
  int depth = plain_depth(m, set, &exactly);
  if (depth > 0)
    memcpy(m->scratch, vocab_plain(m->vocab, depth), words * sizeof *m->scratch);
  else
    memset(m->scratch, 0, words * sizeof *m->scratch);
  if (depth <= RULE_PLAIN_MAX && !exactly) walk(m, set, &m->vocab->plain);
  walk(m, set, &m->vocab->other);
  allow_controls(m, set);
  return !m->oom && keep_mask(m, set) ? &m->known[set] : NULL;
}
