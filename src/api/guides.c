#include "api/guides.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>

#define N_KEPT 8

struct guides {
  pthread_mutex_t lock;
  const pn_tokenizer *tokenizer;
  pn_vocab *vocab; // made when it is first wanted
  struct {
    uint64_t a, b; // of everything that was asked
    pn_guide *guide;
    uint64_t used; // higher: later
  } kept[N_KEPT];
  uint64_t n_uses;
};

guides *guides_new(const pn_tokenizer *t) {
  guides *g = calloc(1, sizeof *g);
  if (!g) return NULL;
  g->tokenizer = t;
  pthread_mutex_init(&g->lock, NULL);
  return g;
}

void guides_free(guides *g) {
  if (!g) return;
  for (int i = 0; i < N_KEPT; i++) pn_guide_unref(g->kept[i].guide);
  pn_vocab_free(g->vocab);
  pthread_mutex_destroy(&g->lock);
  free(g);
}

// The order of a schema's properties is the order of an answer's members, so the text as it stands is the
// key.
static void write_key(pn_buf *key, const pn_guide_ask *a) {
  pn_buf_printf(key, "%p %d %d %d %d %d|", (const void *)a->tongue, a->calls, a->one_call, a->strict,
                a->thinks, a->think_tokens);
  pn_json_write_str(key, a->only);
  pn_json_write(key, a->tools);
  pn_buf_char(key, '|');
  pn_json_write(key, a->schema);
}

static void tell(const pn_guide *guide, const char *request_id, uint64_t us) {
  static const char *const rungs[] = {"strict", "relaxed", "any JSON"};
  size_t n;
  const pn_guide_gap *gaps = pn_guide_gaps(guide, &n);
  for (size_t i = 0; i < n; i++)
    pn_log(PN_LOG_WARN, request_id, "a schema is not held in full; answers are checked afterwards",
           PN_FIELDS(PN_S("where", gaps[i].where), PN_S("rung", rungs[gaps[i].rung]),
                     PN_S("what", gaps[i].what)));
  pn_log(PN_LOG_DEBUG, request_id, "grammar compiled", PN_FIELDS(PN_I("us", us), PN_I("gaps", n)));
}

static pn_guide *make(guides *g, pn_guide_ask *ask, int place, const char *request_id, pn_error *e) {
  if (!g->vocab) g->vocab = pn_vocab_new(g->tokenizer, e);
  if (!g->vocab) return NULL;
  ask->vocab = g->vocab;
  uint64_t start = pn_now_us();
  pn_guide *guide = pn_guide_new(ask, e);
  if (!guide) return NULL;
  tell(guide, request_id, pn_now_us() - start);
  pn_guide_unref(g->kept[place].guide);
  return g->kept[place].guide = guide;
}

pn_guide *guides_get(guides *g, pn_guide_ask *ask, const char *request_id, pn_error *e) {
  pn_buf key = {0};
  write_key(&key, ask);
  uint64_t a = pn_hash(key.p, key.n, 1), b = pn_hash(key.p, key.n, 2);
  bool oom = key.oom;
  pn_buf_fini(&key);
  if (oom) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a grammar"), NULL;
  pthread_mutex_lock(&g->lock);
  int place = -1, oldest = 0;
  for (int i = 0; i < N_KEPT; i++) {
    if (g->kept[i].guide && g->kept[i].a == a && g->kept[i].b == b) place = i;
    if (g->kept[i].used < g->kept[oldest].used) oldest = i;
  }
  pn_guide *guide = place >= 0 ? g->kept[place].guide : make(g, ask, oldest, request_id, e);
  if (guide) {
    if (place < 0) place = oldest;
    g->kept[place].a = a;
    g->kept[place].b = b;
    g->kept[place].used = ++g->n_uses;
    pn_guide_ref(guide);
  }
  pthread_mutex_unlock(&g->lock);
  return guide;
}
