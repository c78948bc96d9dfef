#include "grammar/grammar.h"
#include "grammar/guide_rules.h"
#include "grammar/key_guard.h"
#include "grammar/pushdown.h"
#include "grammar/schema_valid.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct pn_guide {
  atomic_int refs;
  const pn_vocab *vocab;
  rules rules;
  guide_gaps gaps;
  int32_t closing; // rule; -1: none
  int think_tokens;
  // Of the matchers' thread.
  pushdown pushdown;
  bool has_pushdown;
  pn_matcher *matchers; // those that hold a set
};

struct pn_matcher {
  pn_guide *guide;
  pn_matcher *next;
  int32_t set;
  int n_thought; // tokens of thinking
  key_watch keys;
  guarded_mask guard;
  bool ended; // by an end-of-turn token
};

pn_guide *pn_guide_new(const pn_guide_ask *ask, pn_error *e) {
  pn_guide *g = calloc(1, sizeof *g);
  if (!g) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a grammar"), NULL;
  atomic_init(&g->refs, 1);
  g->vocab = ask->vocab;
  g->think_tokens = ask->think_tokens;
  if (guide_rules(&g->rules, ask, &g->closing, &g->gaps, e)) return g;
  pn_guide_unref(g);
  return NULL;
}

pn_guide *pn_guide_ref(pn_guide *g) {
  if (g) atomic_fetch_add(&g->refs, 1);
  return g;
}

void pn_guide_unref(pn_guide *g) {
  if (!g || atomic_fetch_sub(&g->refs, 1) != 1) return;
  if (g->has_pushdown) pushdown_fini(&g->pushdown);
  rules_fini(&g->rules);
  guide_gaps_fini(&g->gaps);
  free(g);
}

const pn_guide_gap *pn_guide_gaps(const pn_guide *g, size_t *n) {
  *n = g->gaps.n;
  return g->gaps.p;
}

bool pn_schema_valid(const pn_json *schema, const pn_json *value, pn_error *e) {
  return schema_valid(schema, schema, value, e);
}

// --- matchers ----------------------------------------------------------------------------------------------

pn_matcher *pn_matcher_new(pn_guide *g, pn_error *e) {
  pn_matcher *m = calloc(1, sizeof *m);
  if (!m) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a grammar"), NULL;
  *m = (pn_matcher){.guide = pn_guide_ref(g), .set = SET_UNKNOWN};
  return m;
}

void pn_matcher_free(pn_matcher *m) {
  if (!m) return;
  for (pn_matcher **at = &m->guide->matchers; *at; at = &(*at)->next)
    if (*at == m) {
      *at = m->next;
      break;
    }
  pn_guide_unref(m->guide);
  key_watch_fini(&m->keys);
  guarded_mask_fini(&m->guard);
  free(m);
}

bool pn_matcher_follow(pn_matcher *to, const pn_matcher *from) {
  if (to->set == SET_UNKNOWN && from->set != SET_UNKNOWN) { // it holds a set from now on
    to->next = to->guide->matchers;
    to->guide->matchers = to;
  }
  to->set = from->set;
  to->n_thought = from->n_thought;
  to->ended = from->ended;
  return key_watch_copy(&to->keys, &from->keys);
}

// Start anew with what is known, keeping only where the matchers are.
static bool shrink(pn_guide *g) {
  struct saved {
    place *p;
    size_t n;
    bool may_end;
  } *all = NULL;
  size_t n = 0, i = 0;
  for (pn_matcher *m = g->matchers; m; m = m->next) n++;
  all = calloc(n ? n : 1, sizeof *all);
  bool ok = all != NULL;
  for (pn_matcher *m = g->matchers; ok && m; m = m->next, i++) {
    if (m->set < 0) continue;
    const place *p = pushdown_places(&g->pushdown, m->set, &all[i].n);
    all[i].may_end = g->pushdown.known[m->set].may_end;
    all[i].p = malloc((all[i].n ? all[i].n : 1) * sizeof *p);
    ok = all[i].p != NULL;
    if (ok) memcpy(all[i].p, p, all[i].n * sizeof *p);
  }
  // Stacks are numbered anew too: they are written again from the bottom.
  set_table stacks = g->pushdown.stacks;
  g->pushdown.stacks = (set_table){0};
  pushdown_forget(&g->pushdown);
  i = 0;
  for (pn_matcher *m = g->matchers; ok && m; m = m->next, i++) {
    if (m->set < 0) continue;
    for (size_t k = 0; k < all[i].n; k++)
      all[i].p[k].stack = pushdown_restack(&g->pushdown, &stacks, all[i].p[k].stack);
    m->set = pushdown_set(&g->pushdown, all[i].p, all[i].n, all[i].may_end);
  }
  for (size_t k = 0; all && k < n; k++) free(all[k].p);
  free(all);
  set_table_fini(&stacks);
  return ok && !g->pushdown.oom;
}

static bool ready(pn_matcher *m) {
  pn_guide *g = m->guide;
  if (!g->has_pushdown) {
    g->has_pushdown = true;
    if (!pushdown_init(&g->pushdown, g->vocab, &g->rules, NULL)) return false;
  }
  if (m->set == SET_UNKNOWN) {
    m->set = pushdown_start(&g->pushdown, 0);
    m->next = g->matchers;
    g->matchers = m;
  }
  return (!pushdown_is_large(&g->pushdown) || shrink(g)) && m->set >= 0;
}

// The rules in which the matcher may be, one after the other from *i on; NULL: there are no more.
static const grammar_rule *next_rule(const pn_matcher *m, size_t *i) {
  size_t n;
  const pushdown *k = &m->guide->pushdown;
  const place *p = pushdown_places(k, m->set, &n);
  return *i < n ? &k->r->p[k->r->rule_of[p[(*i)++].state]] : NULL;
}

static bool thinks(const pn_matcher *m) {
  const grammar_rule *r;
  for (size_t i = 0; (r = next_rule(m, &i));)
    if (r->is_thinking) return true;
  return false;
}

static bool in_raw(const pn_matcher *m) {
  const grammar_rule *r;
  for (size_t i = 0; (r = next_rule(m, &i));)
    if (r->is_raw) return true;
  return false;
}

bool pn_matcher_mask(pn_matcher *m, pn_mask *out) {
  if (!ready(m)) return false;
  const place_set *s = pushdown_mask(&m->guide->pushdown, m->set);
  if (!s) return false;
  *out = (pn_mask){.ids = s->bits ? NULL : s->ids,
                   .n_ids = s->n_ids,
                   .bits = s->bits,
                   .n_words = (int32_t)m->guide->vocab->n_words};
  return key_guard(&m->guard, &m->guide->pushdown, m->set, &m->keys, out);
}

static bool is_end(const pn_guide *g, int32_t id) {
  size_t n;
  const int32_t *ends = pn_tokenizer_end_ids(pn_vocab_tokenizer(g->vocab), &n);
  for (size_t i = 0; i < n; i++)
    if (ends[i] == id) return true;
  return false;
}

// Free text and strings without quotes hold no members, whatever they look like. Where a value began that
// could have been such a string, its first token counts.
static void watch_keys(pn_matcher *m, bool in_text, bool was_raw, pn_str token) {
  if (in_text || was_raw) key_watch_reset(&m->keys);
  if (!in_text && (!was_raw || (token.n && strchr("{[", token.p[0])))) key_watch_read(&m->keys, token);
}

bool pn_matcher_take(pn_matcher *m, int32_t id) {
  if (!ready(m) || m->ended) return false;
  pn_guide *g = m->guide;
  if (is_end(g, id) && g->pushdown.known[m->set].may_end) return m->ended = true;
  bool thought = thinks(m), text = thought || pn_matcher_in_text(m), raw = in_raw(m);
  int32_t to = pushdown_step_token(&g->pushdown, m->set, id);
  if (to < 0) return false;
  m->set = to;
  watch_keys(m, text || in_raw(m), raw, vocab_text(g->vocab, id));
  if (m->keys.oom) return false;
  if (!thought || g->think_tokens == 0 || ++m->n_thought < g->think_tokens || !thinks(m)) return true;
  m->set = pushdown_start(&g->pushdown, g->closing);
  return m->set >= 0;
}

bool pn_matcher_over(const pn_matcher *m) {
  if (m->ended) return true;
  size_t n = 1;
  if (m->set >= 0) pushdown_places(&m->guide->pushdown, m->set, &n);
  return n == 0;
}

bool pn_matcher_in_text(const pn_matcher *m) {
  const grammar_rule *r;
  if (m->set < 0) return true;
  for (size_t i = 0; (r = next_rule(m, &i));)
    if (r->is_text) return true;
  return false;
}

// --- what comes in any case --------------------------------------------------------------------------------

// The longest tokens that spell the text, one after the other, where the tokenizer's own choice can't be had
// in the middle of a text.
static size_t spell_greedily(const pn_vocab *v, pn_str text, int32_t *out, size_t max) {
  size_t n = 0, at = 0;
  while (at < text.n && n < max) {
    int32_t best = -1;
    size_t best_n = 0;
    for (int k = 0; k < 2; k++) {
      trie_cursor c = {.trie = k ? &v->plain : &v->other};
      for (size_t i = at; i < text.n && trie_down(&c, (uint8_t)text.p[i]); i++)
        if (c.token >= 0 && i + 1 - at > best_n) best = c.token, best_n = i + 1 - at;
    }
    if (best < 0) break;
    out[n++] = best;
    at += best_n;
  }
  return n;
}

static size_t spell(const pn_vocab *v, pn_str text, int32_t *out, size_t max) {
  pn_ids ids = {0};
  pn_buf back = {0};
  const pn_span all = {0, text.n};
  size_t n = 0;
  bool ok = pn_tokenizer_encode(pn_vocab_tokenizer(v), text, &all, 1, &ids, NULL) && !ids.oom;
  for (size_t i = 0; ok && i < ids.n; i++) pn_buf_str(&back, vocab_text(v, ids.p[i]));
  ok = ok && !back.oom && pn_str_eq(pn_buf_view(&back), text);
  for (; ok && n < ids.n && n < max; n++) out[n] = ids.p[n];
  pn_ids_fini(&ids);
  pn_buf_fini(&back);
  return ok ? n : spell_greedily(v, text, out, max);
}

#define MAX_FORCED_BYTES 256

int pn_matcher_forced(pn_matcher *m, int32_t *out, int max) {
  char text[MAX_FORCED_BYTES];
  size_t n = 0, n_out = 0;
  if (max <= 0 || !ready(m) || m->ended) return 0;
  pushdown *k = &m->guide->pushdown;
  int32_t set = m->set, only = -1;
  if (thinks(m)) return 0;
  while (n < sizeof text && set >= 0 && (only = pushdown_only(k, set)) >= 0 && only < DFA_SYMBOLS) {
    text[n++] = (char)only;
    set = pushdown_step(k, set, (uint8_t)only);
  }
  if (n == 0) {
    if (only < DFA_SYMBOLS) return 0;
    out[0] = only - DFA_SYMBOLS;
    return 1;
  }
  n_out = spell(m->guide->vocab, (pn_str){text, n}, out, (size_t)max);
  // The last one might go on into what the model says, as a longer token; not where a control token or the
  // end follows.
  bool closed = n < sizeof text && set >= 0 && (only >= DFA_SYMBOLS || (pushdown_places(k, set, &n), n == 0));
  if (n_out > 0 && !closed) n_out--;
  return (int)n_out;
}
