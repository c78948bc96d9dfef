// Random operations on a pool against an obvious model of it, which keeps for every slot which tokens its K
// and V stand for (a hash of all tokens up to there) and searches everything that it knows.
#include "base/hash.h"
#include "base/rng.h"
#include "kv/kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAGE = PN_KV_PAGE_TOKENS, MAX_PAGES = 64, N_SEQS = 6, MAX_T = 5 * PAGE, N_TEMPLATES = 16 };
#define SEED 20240917u

typedef struct page {
  uint64_t content[PAGE]; // what was written to each slot
  uint64_t base;          // of the tree: the hash of the tokens before
  int n, refs, parent;    // n: tokens in the tree, 0: not in it; parent: page or -1
  uint64_t used_at, cached_at;
  bool touched; // used and not reported as idle since
} page;

typedef struct seq {
  bool live, pending; // pending: a copy is to be made
  int32_t tokens[MAX_T];
  uint64_t hash[MAX_T + 1]; // [i]: of tokens[0, i)
  int n, n_computed;
  pn_kv_table t;
  pn_kv_prefix copy;
  int pages[MAX_T / PAGE], n_pages, n_known; // what the table should be
} seq;

typedef struct world {
  pn_kv_pool *p;
  pn_rng rng;
  int n_pages, n_templates;
  long step;
  uint64_t clock, n_evicted;
  page pages[MAX_PAGES];
  seq seqs[N_SEQS];
  int32_t templates[N_TEMPLATES][MAX_T];
} world;

#define CHECK(ok)                                                                                            \
  do {                                                                                                       \
    if (!(ok))                                                                                               \
      fail_msg("%s: seed %u, %d pages, step %ld, line %d", #ok, SEED, w->n_pages, w->step, __LINE__);        \
  } while (0)

static int below(world *w, int n) { return (int)pn_rng_below(&w->rng, (uint64_t)n); }
static int least(int a, int b) { return a < b ? a : b; }

// ---- the model ----

static void touch(world *w, int at) { w->pages[at].used_at = ++w->clock; }

static bool begins_with(const page *a, uint64_t base, const uint64_t *hash, int n) {
  return a->n >= n && a->n > 0 && a->base == base && (n == 0 || a->content[n - 1] == hash[n]);
}

// The latest used page after `base` that begins with n tokens, of which hash[1..n] are the hashes, and has
// more than `over` of them.
static int find(const world *w, uint64_t base, const uint64_t *hash, int n, int over) {
  int best = -1;
  for (int i = 0; i < w->n_pages; i++)
    if (w->pages[i].n > over && begins_with(&w->pages[i], base, hash, n) &&
        (best < 0 || w->pages[i].used_at > w->pages[best].used_at))
      best = i;
  return best;
}

static int count(const world *w, bool in_tree) {
  int n = 0;
  for (int i = 0; i < w->n_pages; i++) n += w->pages[i].refs == 0 && (w->pages[i].n > 0) == in_tree;
  return n;
}

static void ref(world *w, int at) { w->pages[at].refs++; }

static void unref(world *w, int at) {
  page *a = &w->pages[at];
  CHECK(a->refs > 0);
  if (--a->refs || !a->n) return;
  uint64_t hash[PAGE + 1];
  memcpy(hash + 1, a->content, sizeof a->content);
  if (a->n < PAGE && find(w, a->base, hash, a->n, a->n) >= 0) {
    a->n = 0;
    return;
  }
  a->cached_at = ++w->clock;
  touch(w, at);
}

// The pool gave this page out.
static void taken(world *w, int at) {
  page *a = &w->pages[at];
  CHECK(a->refs == 0);
  if (a->n) {
    CHECK(count(w, false) == 0);
    for (int i = 0; i < w->n_pages; i++) {
      const page *b = &w->pages[i];
      CHECK(!(b->n && b->parent == at));
      CHECK(!(b->n && b->refs == 0) || b->cached_at >= a->cached_at);
    }
    a->n = 0;
    w->n_evicted++;
  }
  memset(a->content, 0xAA, sizeof a->content);
  a->refs = 1;
  a->touched = true;
}

static void cut(world *w, seq *s, int n_pages) {
  while (s->n_pages > n_pages) unref(w, s->pages[--s->n_pages]);
  s->n_known = least(s->n_known, n_pages);
}

static void adopt(world *w, seq *s, int at) {
  ref(w, at);
  touch(w, at);
  if (s->n_known < s->n_pages)
    unref(w, s->pages[s->n_known]);
  else
    s->n_pages++;
  s->pages[s->n_known++] = at;
}

static void insert(world *w, seq *s, int i, int n) {
  page *own = &w->pages[s->pages[i]];
  for (int k = 0; k < w->n_pages; k++) {
    page *a = &w->pages[k];
    if (a->refs == 0 && a->n && a->n < n && begins_with(a, s->hash[i * PAGE], s->hash + i * PAGE, a->n))
      a->n = 0;
  }
  own->n = n;
  own->base = s->hash[i * PAGE];
  own->parent = i ? s->pages[i - 1] : -1;
  touch(w, s->pages[i]);
}

static void publish(world *w, seq *s, int n_computed) {
  for (int i; (i = s->n_known) < n_computed / PAGE;) {
    int known = find(w, s->hash[i * PAGE], s->hash + i * PAGE, PAGE, 0);
    if (known >= 0) {
      adopt(w, s, known);
    } else {
      insert(w, s, i, PAGE);
      s->n_known++;
    }
  }
}

static void release(world *w, seq *s, int n_computed) {
  publish(w, s, n_computed);
  int i = n_computed / PAGE, n = n_computed % PAGE;
  if (n && s->n_known == i) {
    int known = find(w, s->hash[i * PAGE], s->hash + i * PAGE, n, 0);
    if (known >= 0) {
      if (w->pages[known].refs == 0) w->pages[known].cached_at = ++w->clock;
      touch(w, known);
    } else {
      insert(w, s, i, n);
    }
  }
  cut(w, s, 0);
}

static void hold(world *w, int at) {
  for (; at >= 0; at = w->pages[at].parent) ref(w, at);
}

static void let_go(world *w, int at) {
  for (int above; at >= 0; at = above) {
    above = w->pages[at].parent;
    unref(w, at);
  }
}

// How much of the first n tokens is known; `pages` gets all pages of the way, the partial one too.
static int known(const world *w, const seq *s, int n, int *pages) {
  int at = 0;
  for (int part = PAGE; part == PAGE && at < n;) {
    int most = least(PAGE, n - at);
    for (part = most; part > 0; part--)
      if ((pages[at / PAGE] = find(w, s->hash[at], s->hash + at, part, 0)) >= 0) break;
    at += part;
  }
  return at;
}

// ---- both ----

static void same_table(world *w, const seq *s) {
  CHECK(s->t.n_pages == s->n_pages && s->t.n_known == s->n_known);
  for (int i = 0; i < s->n_pages; i++) CHECK(s->t.pages[i] == s->pages[i]);
}

static void finish_copy(world *w, seq *s) {
  s->pending = false;
  if (s->copy.copy_from < 0) return;
  const page *from = &w->pages[s->copy.copy_from];
  if (s->live) memcpy(w->pages[s->copy.copy_to].content, from->content, sizeof from->content);
  pn_kv_attached(w->p, &s->copy);
  let_go(w, s->copy.copy_from);
}

static void do_attach(world *w, seq *s) {
  int n = below(w, 3) ? s->n : s->n_computed + below(w, s->n - s->n_computed + 1), pages[MAX_T / PAGE];
  pn_kv_prefix found;
  pn_kv_attach(w->p, &s->t, 0, s->tokens, s->n_computed, n, &found);
  cut(w, s, (s->n_computed + PAGE - 1) / PAGE);
  int n_found = known(w, s, n, pages), whole = n_found / PAGE;
  s->copy = found;
  if (n_found <= s->n_computed) {
    CHECK(found.n_tokens == s->n_computed && found.copy_from == -1);
    return;
  }
  while (s->n_known < whole) adopt(w, s, pages[s->n_known]);
  if (n_found % PAGE) {
    bool own = s->n_pages > whole, unused = w->pages[pages[whole]].refs == 0;
    if (!own && count(w, false) + count(w, true) == unused) {
      n_found = whole * PAGE;
      CHECK(found.copy_from == -1);
    } else {
      hold(w, pages[whole]);
      CHECK(found.copy_from == pages[whole] && s->t.n_pages == whole + 1 &&
            found.copy_to == s->t.pages[whole]);
      if (!own) taken(w, s->pages[s->n_pages++] = found.copy_to);
      CHECK(w->pages[found.copy_to].refs == 1 && w->pages[found.copy_to].n == 0);
      s->pending = true;
    }
  } else {
    CHECK(found.copy_from == -1);
  }
  CHECK(found.n_tokens == n_found);
  s->n_computed = n_found;
  if (s->pending && below(w, 3)) finish_copy(w, s);
}

static void do_compute(world *w, seq *s) {
  int n = least(s->n - s->n_computed, 1 + below(w, 45)), upto = s->n_computed + n;
  int want = upto + (below(w, 4) ? 0 : below(w, MAX_T - upto + 1)),
      more = (want + PAGE - 1) / PAGE - s->n_pages;
  pn_error e = {0};
  bool ok = pn_kv_reserve(w->p, &s->t, want, &e);
  CHECK(ok == (more <= count(w, false) + count(w, true)));
  CHECK(ok || e.code == PN_ERR_LIMIT);
  if (!ok) return;
  for (; more > 0; more--) taken(w, s->pages[s->n_pages] = s->t.pages[s->n_pages]), s->n_pages++;
  for (; s->n_computed < upto; s->n_computed++) {
    int slot = pn_kv_slot(&s->t, s->n_computed);
    page *a = &w->pages[slot / PAGE];
    CHECK(a->refs == 1 && a->n == 0);
    a->content[slot % PAGE] = s->hash[s->n_computed + 1];
  }
}

static int random_length(world *w) {
  int n = below(w, 2) ? below(w, MAX_T / PAGE + 1) * PAGE + below(w, 3) - 1 : below(w, MAX_T);
  return n < 1 ? 1 : least(n, MAX_T);
}

// Tokens of a template or another sequence up to somewhere, then of a template.
static void start(world *w, seq *s) {
  const seq *other = &w->seqs[below(w, N_SEQS)];
  const int32_t *first = other->live && below(w, 2) ? other->tokens : w->templates[below(w, w->n_templates)];
  const int32_t *second = w->templates[below(w, w->n_templates)];
  int turn = below(w, 3) ? random_length(w) : 0;
  if (first == other->tokens) turn = least(turn, other->n);
  s->n = random_length(w);
  s->live = true;
  s->n_computed = 0;
  for (int i = 0; i < s->n; i++) {
    s->tokens[i] = i < turn ? first[i] : second[i];
    s->hash[i + 1] = pn_hash_u64(s->hash[i] + (uint64_t)s->tokens[i] + 1);
  }
}

static void do_release(world *w, seq *s, int n_computed) {
  pn_kv_release(w->p, &s->t, 0, s->tokens, n_computed);
  release(w, s, n_computed);
  s->n_computed = 0;
}

static void do_lookup(world *w, const seq *s) {
  int pages[MAX_T / PAGE + 1], n = below(w, s->n + 1);
  int32_t differs;
  int n_found = pn_kv_lookup(w->p, 0, s->tokens, n, &differs), part = n_found % PAGE, at = n_found - part;
  CHECK(n_found == known(w, s, n, pages));
  CHECK(pn_kv_known(w->p, 0, s->tokens, n) == n_found);
  int on = find(w, s->hash[at], s->hash + at, part, part);
  // The model has no tokens: what goes on there is the token with this hash.
  if (on < 0)
    CHECK(differs == -1);
  else
    CHECK(w->pages[on].content[part] == pn_hash_u64(s->hash[n_found] + (uint64_t)differs + 1));
}

static void do_idle(world *w) {
  int32_t first;
  int n;
  if (pn_kv_take_idle_run(w->p, 0, &first, &n)) {
    CHECK(n > 0 && first >= 0 && first + n <= w->n_pages);
    for (int i = first; i < first + n; i++) {
      page *a = &w->pages[i];
      CHECK(a->refs == 0 && a->n == 0 && a->touched);
      a->touched = false;
    }
    const page *next = &w->pages[first + n];
    CHECK(first + n == w->n_pages || !(next->touched && next->refs == 0 && next->n == 0));
  } else {
    for (int i = 0; i < w->n_pages; i++)
      CHECK(!(w->pages[i].touched && w->pages[i].refs == 0 && w->pages[i].n == 0));
  }
}

static void one_step(world *w) {
  seq *s = &w->seqs[below(w, N_SEQS)];
  int what = below(w, 100);
  if (what < 2) {
    do_idle(w);
  } else if (s->pending) {
    if (what < 70) {
      finish_copy(w, s);
    } else { // given up before the copy
      do_release(w, s, 0);
      s->live = false;
      finish_copy(w, s);
    }
  } else if (!s->live) {
    start(w, s);
    if (what < 90) do_attach(w, s);
  } else if (what < 8) {
    do_lookup(w, s);
  } else if (what < 25) {
    do_attach(w, s);
  } else if (what < 65) {
    if (s->n_computed < s->n) do_compute(w, s);
  } else if (what < 78) {
    pn_kv_publish(w->p, &s->t, 0, s->tokens, s->n_computed);
    publish(w, s, s->n_computed);
  } else if (what < 84) {
    do_release(w, s, s->n_computed); // pauses
  } else if (what < 95) {
    do_release(w, s, s->n_computed);
    s->live = false;
  } else {
    do_release(w, s, 0);
    s->live = false;
  }
}

static void check_world(world *w, bool everything) {
  const pn_kv_table *tables[N_SEQS];
  for (int i = 0; i < N_SEQS; i++) {
    const seq *s = &w->seqs[i];
    tables[i] = &s->t;
    same_table(w, s);
    int n = s->pending ? s->n_computed / PAGE * PAGE : s->n_computed; // the rest is yet to be copied
    for (int at = 0; at < n; at += PAGE) {
      size_t bytes = (size_t)least(PAGE, n - at) * sizeof *s->hash;
      CHECK(memcmp(w->pages[s->t.pages[at / PAGE]].content, s->hash + at + 1, bytes) == 0);
    }
  }
  pn_kv_stats stats = pn_kv_pool_stats(w->p);
  CHECK(stats.n_free == count(w, false) && stats.n_cached == count(w, true));
  CHECK(stats.n_used == w->n_pages - stats.n_free - stats.n_cached && stats.n_evicted == w->n_evicted);
  if (!everything) return;
  pn_error e = {0};
  if (!pn_kv_pool_check(w->p, tables, N_SEQS, &e))
    fail_msg("%s: seed %u, %d pages, step %ld", e.msg, SEED, w->n_pages, w->step);
}

static void run(int n_pages, int alphabet, long n_steps) {
  world *w = calloc(1, sizeof *w);
  assert_non_null(w);
  pn_error e = {0};
  pn_rng_seed(&w->rng, SEED + (uint64_t)n_pages);
  w->n_pages = n_pages;
  w->n_templates = n_pages < 20 ? 4 : N_TEMPLATES; // siblings
  w->p = pn_kv_pool_new(&(pn_kv_setup){.n_pages = n_pages}, &e);
  CHECK(w->p);
  for (int i = 0; i < N_SEQS; i++) CHECK(pn_kv_table_init(&w->seqs[i].t, 0, MAX_T, &e));
  for (int i = 0; i < N_TEMPLATES; i++)
    for (int k = 0; k < MAX_T; k++) w->templates[i][k] = below(w, alphabet);
  for (; w->step < n_steps; w->step++) {
    one_step(w);
    check_world(w, n_pages <= 8 || w->step % 16 == 0);
  }
  for (int i = 0; i < N_SEQS; i++) {
    seq *s = &w->seqs[i];
    if (s->pending) finish_copy(w, s);
    do_release(w, s, 0);
    check_world(w, true);
    pn_kv_table_fini(&s->t);
  }
  CHECK(pn_kv_pool_stats(w->p).n_used == 0);
  pn_kv_pool_free(w->p);
  free(w);
}

static void the_pool_does_what_the_model_says(void **state) {
  (void)state;
  static const struct {
    int n_pages, alphabet;
    long n_steps;
  } runs[] = {{1, 2, 20000},  {2, 2, 100000},  {3, 3, 120000},  {5, 2, 150000},
              {8, 2, 200000}, {13, 3, 160000}, {24, 2, 150000}, {64, 3, 100000}};
  for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
    run(runs[i].n_pages, runs[i].alphabet, runs[i].n_steps);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_pool_does_what_the_model_says)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
