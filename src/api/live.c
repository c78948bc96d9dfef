#include "api/live.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/rng.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_UNREAD 16 // generations that nobody reads; more: the oldest is given up

// What a live generation has beside what answers read.
typedef struct live_inside {
  live *l;
  live_table *table;        // NULL: nobody joins
  struct live_inside *next; // in the table, newest first
  uint64_t hash_a, hash_b;  // of everything that was asked
  char *key_name, *request_id;
  uint64_t unread_until_us; // when nobody reads: to be given up then
  void (*ended)(void *ctx, const live *l, const int32_t *tokens, size_t n_tokens);
  void *ended_ctx;

  pthread_mutex_t lock; // guards `readers`: the engine's thread wakes them
  live_reader *readers;
} live_inside;

struct live_table {
  uint64_t stay_us;
  uint64_t (*now_us)(void *ctx);
  void *ctx;
  live_inside *first;
};

live_table *live_table_new(uint64_t stay_us, uint64_t (*now_us)(void *ctx), void *ctx) {
  live_table *t = calloc(1, sizeof *t);
  if (t) *t = (live_table){.stay_us = stay_us, .now_us = now_us, .ctx = ctx};
  return t;
}

static void free_live(live *l) {
  live_inside *in = l->inside;
  if (l->gen) pn_gen_release(l->gen);
  pn_buf_fini(&l->text);
  free(l->tokens);
  free(l->tops);
  answer_blocks_fini(&l->blocks);
  if (in) {
    if (in->ended) in->ended(in->ended_ctx, NULL, NULL, 0);
    pthread_mutex_destroy(&in->lock);
    free(in->key_name);
    free(in->request_id);
    free(in);
  }
  free(l);
}

static void give_up(live *l) {
  live_inside *in = l->inside;
  if (in->table) {
    live_inside **at = &in->table->first;
    while (*at != in) at = &(*at)->next;
    *at = in->next;
  }
  free_live(l);
}

void live_table_free(live_table *t) {
  if (!t) return;
  live_table_sweep(t, true);
  free(t);
}

uint64_t live_table_sweep(live_table *t, bool all) {
  uint64_t now = t->now_us(t->ctx), due = UINT64_MAX;
  for (live_inside *in = t->first, *next; in; in = next) {
    next = in->next;
    if (in->readers) continue;
    if (all || in->unread_until_us <= now)
      give_up(in->l);
    else if (in->unread_until_us < due)
      due = in->unread_until_us;
  }
  return due;
}

// --- opening -----------------------------------------------------------------------------------------------

// Everything that decides what is generated, but for the seed, which is drawn anew for every request that
// names none.
static uint64_t hash_ask(const live_ask *ask, uint64_t seed) {
  const pn_request *r = &ask->request;
  uint64_t h = pn_hash(r->tokens, r->n_tokens * sizeof *r->tokens, seed);
  const double settings[] = {r->max_tokens,     (double)r->sampling.temperature, (double)r->sampling.top_p,
                             r->sampling.top_k, (double)r->sampling.min_p,       r->logprobs,
                             r->n_top_logprobs};
  h = pn_hash(settings, sizeof settings, h);
  const void *const form[] = {r->guide, ask->reading.tongue}; // the same form is the same guide
  h = pn_hash(form, sizeof form, h);
  for (size_t i = 0; i < r->n_stops; i++) h = pn_hash(r->stops[i].p, r->stops[i].n, h ^ r->stops[i].n);
  return ask->seeded ? pn_hash(&r->sampling.seed, sizeof r->sampling.seed, h) : h;
}

static bool same_key(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

static live *find(const live_table *t, const live_ask *ask, uint64_t a, uint64_t b) {
  for (live_inside *in = t->first; in; in = in->next) {
    bool failed = in->l->ended && in->l->last.kind == PN_EVENT_FAILED;
    if (in->hash_a != a || in->hash_b != b || failed || !same_key(in->key_name, ask->key_name)) continue;
    if (!in->readers || ask->n_retries > 0) return in->l;
  }
  return NULL;
}

static void wake_readers(void *ctx) {
  live_inside *in = ctx;
  pthread_mutex_lock(&in->lock);
  for (live_reader *r = in->readers; r; r = r->next) r->wake(r->wake_ctx);
  pthread_mutex_unlock(&in->lock);
}

static void add_reader(live *l, live_reader *r) {
  pthread_mutex_lock(&l->inside->lock);
  r->next = l->inside->readers;
  l->inside->readers = r;
  pthread_mutex_unlock(&l->inside->lock);
}

static char *copy_or_null(const char *z) { return z ? pn_str_dup(pn_str_of(z)) : NULL; }

static live *new_live(const live_ask *ask) {
  live *l = calloc(1, sizeof *l);
  live_inside *in = calloc(1, sizeof *in);
  if (!l || !in) {
    free(l);
    free(in);
    return NULL;
  }
  answer_make_id(l->id, "msg_01");
  l->inside = in;
  *in = (live_inside){
      .l = l, .key_name = copy_or_null(ask->key_name), .request_id = copy_or_null(ask->request.id)};
  pthread_mutex_init(&in->lock, NULL);
  if ((ask->key_name && !in->key_name) || !in->request_id || !answer_blocks_init(&l->blocks, &ask->reading)) {
    free_live(l);
    return NULL;
  }
  return l;
}

static live *join(live *l, const live_ask *ask, live_reader *r) {
  pn_log(PN_LOG_INFO, ask->request.id, "joined a running generation",
         PN_FIELDS(PN_S("first_request", l->inside->request_id), PN_I("output_tokens", l->n_output),
                   PN_I("retry", ask->n_retries)));
  add_reader(l, r);
  pn_gen_resume(l->gen);
  if (ask->ended) ask->ended(ask->ended_ctx, NULL, NULL, 0);
  return l;
}

live *live_open(live_table *t, const live_ask *ask, live_reader *r, bool *joined, pn_error *e) {
  if (t && t->stay_us == 0) t = NULL;
  uint64_t a = hash_ask(ask, 1), b = hash_ask(ask, 2);
  live *l = t ? find(t, ask, a, b) : NULL;
  *joined = l != NULL;
  if (l) return join(l, ask, r);
  l = new_live(ask);
  if (!l) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the answer"), NULL;
  live_inside *in = l->inside;
  in->hash_a = a;
  in->hash_b = b;
  add_reader(l, r);
  pn_request request = ask->request;
  request.notify = wake_readers;
  request.notify_ctx = in;
  l->gen = pn_engine_submit(ask->engine, &request, e);
  if (!l->gen) {
    free_live(l);
    return NULL;
  }
  in->ended = ask->ended;
  in->ended_ctx = ask->ended_ctx;
  if (t) {
    in->table = t;
    in->next = t->first;
    t->first = in;
  }
  return l;
}

// --- leaving -----------------------------------------------------------------------------------------------

// The oldest of those that nobody reads goes when there are too many.
static void bound_unread(live_table *t) {
  live_inside *oldest = NULL;
  int n = 0;
  for (live_inside *in = t->first; in; in = in->next) {
    if (in->readers) continue;
    n++;
    if (!oldest || in->unread_until_us <= oldest->unread_until_us) oldest = in;
  }
  if (n > MAX_UNREAD) give_up(oldest->l);
}

void live_leave(live *l, live_reader *r, bool client_gone) {
  live_inside *in = l->inside;
  pthread_mutex_lock(&in->lock);
  live_reader **at = &in->readers;
  while (*at != r) at = &(*at)->next;
  *at = r->next;
  bool last = !in->readers;
  pthread_mutex_unlock(&in->lock);
  if (!last) return;
  bool failed = l->ended && l->last.kind == PN_EVENT_FAILED;
  if (!client_gone || !in->table || failed) {
    give_up(l);
    return;
  }
  pn_gen_hold(l->gen);
  in->unread_until_us = in->table->now_us(in->table->ctx) + in->table->stay_us;
  bound_unread(in->table);
}

// --- reading -----------------------------------------------------------------------------------------------

static bool grow(void **p, size_t *cap, size_t n, size_t size) {
  if (n < *cap) return true;
  size_t more = *cap ? *cap * 2 : 64;
  void *q = realloc(*p, more * size);
  if (!q) return false;
  *p = q;
  *cap = more;
  return true;
}

static bool add_token(live *l, const pn_event *ev) {
  if (!grow((void **)&l->tokens, &l->cap_tokens, l->n_tokens, sizeof *l->tokens)) return false;
  live_token *token = &l->tokens[l->n_tokens];
  *token = (live_token){
      .id = ev->token.id, .logprob = ev->token.logprob, .top_at = l->n_tops, .text_at = l->text.n};
  for (int i = 0; i < ev->token.n_top; i++) {
    if (!grow((void **)&l->tops, &l->cap_tops, l->n_tops, sizeof *l->tops)) return false;
    l->tops[l->n_tops++] = ev->token.top[i];
    token->n_top++;
  }
  l->n_tokens++;
  return true;
}

static void tell_end(live *l) {
  live_inside *in = l->inside;
  int n = 0;
  answer_blocks_end(&l->blocks);
  l->oom |= l->blocks.oom;
  if (!in->ended || l->oom || l->last.kind != PN_EVENT_DONE) return;
  const int32_t *tokens = pn_gen_output(l->gen, &n);
  in->ended(in->ended_ctx, l, tokens, n > 0 ? (size_t)n : 0);
  in->ended = NULL;
}

static void take(live *l, const pn_event *ev) {
  l->heard = true;
  switch (ev->kind) {
  case PN_EVENT_QUEUED:
  case PN_EVENT_PREFILL: l->n_cached = ev->n_cached; break;
  case PN_EVENT_TOKEN:
    l->oom |= !add_token(l, ev);
    l->n_output = ev->n_output;
    break;
  case PN_EVENT_TEXT:
    pn_buf_add(&l->text, ev->text, ev->n_text);
    answer_blocks_read(&l->blocks, (pn_str){ev->text, ev->n_text});
    l->oom |= l->text.oom || l->blocks.oom;
    l->n_output = ev->n_output;
    break;
  case PN_EVENT_DONE:
  case PN_EVENT_FAILED:
    l->ended = true;
    l->last = *ev;
    if (ev->kind == PN_EVENT_DONE) l->n_cached = ev->n_cached;
    l->n_output = ev->n_output;
    tell_end(l);
    break;
  }
}

void live_pump(live *l) {
  pn_event ev;
  while (!l->ended && pn_gen_next(l->gen, &ev)) take(l, &ev);
}
