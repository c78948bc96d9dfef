#include "api/kept.h"

#include "base/rng.h"
#include "base/utf8.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define N_BUCKETS 1024

// One answer under one form of its text.
typedef struct record {
  struct record *next;          // of the same bucket
  struct record *newer, *older; // by last use
  uint64_t a, b;                // of everything before the answer
  size_t n_before, n_text;      // bytes: before the answer, and of its text
  size_t n_tokens;
  int32_t *tokens; // behind it in the same block, then the text
  char *text;
} record;

struct kept {
  pthread_mutex_t lock;
  size_t limit_bytes, used_bytes;
  uint64_t seed_a, seed_b; // of this process: nobody can make two texts of one hash
  record *buckets[N_BUCKETS];
  record *newest, *oldest;
};

kept *kept_new(size_t limit_bytes) {
  kept *k = calloc(1, sizeof *k);
  if (!k) return NULL;
  pthread_mutex_init(&k->lock, NULL);
  k->limit_bytes = limit_bytes;
  k->seed_a = pn_rng_entropy();
  k->seed_b = pn_rng_entropy();
  return k;
}

void kept_free(kept *k) {
  if (!k) return;
  for (record *r = k->newest, *older; r; r = older) {
    older = r->older;
    free(r);
  }
  pthread_mutex_destroy(&k->lock);
  free(k);
}

// --- hashing a prompt --------------------------------------------------------------------------------------

// One symbol: a byte, or a border of user text (256: it begins, 257: it ends). Odd multipliers; a and b
// differ in how they mix, so that both agreeing by chance is out of the question.
static void mark_symbol(kept_mark *m, unsigned c) {
  m->a = (m->a ^ c) * 0x100000001B3u;
  m->b = (m->b + c + 1) * 0x9E3779B97F4A7C15u;
  m->b ^= m->b >> 29;
}

static void mark_border(kept_mark *m, bool begins) {
  mark_symbol(m, begins ? 256 : 257);
  m->in_user = begins;
}

// --- the table, under the lock -----------------------------------------------------------------------------

static record **bucket_of(kept *k, uint64_t a) { return &k->buckets[(a ^ a >> 32) % N_BUCKETS]; }
static size_t cost_of(const record *r) { return sizeof *r + r->n_tokens * sizeof *r->tokens + r->n_text; }

static void unlink_use(kept *k, record *r) {
  *(r->newer ? &r->newer->older : &k->newest) = r->older;
  *(r->older ? &r->older->newer : &k->oldest) = r->newer;
}

static void link_newest(kept *k, record *r) {
  r->newer = NULL;
  r->older = k->newest;
  *(k->newest ? &k->newest->newer : &k->oldest) = r;
  k->newest = r;
}

static void drop(kept *k, record *r) {
  record **at = bucket_of(k, r->a);
  while (*at != r) at = &(*at)->next;
  *at = r->next;
  unlink_use(k, r);
  k->used_bytes -= cost_of(r);
  free(r);
}

static void add_form(kept *k, const kept_mark *end, pn_str text, const int32_t *tokens, size_t n_tokens) {
  record *r = malloc(sizeof *r + n_tokens * sizeof *tokens + text.n);
  if (!r) return; // then it is not kept
  *r = (record){.a = end->a, .b = end->b, .n_before = end->n_bytes, .n_text = text.n, .n_tokens = n_tokens};
  r->tokens = (int32_t *)(r + 1);
  r->text = (char *)(r->tokens + n_tokens);
  memcpy(r->tokens, tokens, n_tokens * sizeof *tokens);
  memcpy(r->text, text.p, text.n);
  for (record *same = *bucket_of(k, r->a), *next; same; same = next) {
    next = same->next; // the same text again: the later tokens count
    if (same->a == r->a && same->b == r->b && same->n_text == r->n_text &&
        memcmp(same->text, r->text, r->n_text) == 0)
      drop(k, same);
  }
  r->next = *bucket_of(k, r->a);
  *bucket_of(k, r->a) = r;
  link_newest(k, r);
  k->used_bytes += cost_of(r);
  while (k->used_bytes > k->limit_bytes && k->oldest) drop(k, k->oldest);
}

// --- the door ----------------------------------------------------------------------------------------------

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static pn_str trimmed(pn_str s, bool left, bool right) {
  while (left && s.n && is_space(*s.p)) s = (pn_str){s.p + 1, s.n - 1};
  while (right && s.n && is_space(s.p[s.n - 1])) s.n--;
  return s;
}

static bool spells(const pn_tokenizer *t, const int32_t *tokens, size_t n_tokens, pn_str text) {
  pn_buf b = {0};
  pn_detokenizer d = {.t = t};
  for (size_t i = 0; i < n_tokens; i++) pn_detokenizer_add(&d, tokens[i], &b);
  pn_detokenizer_flush(&d, &b);
  bool same = !b.oom && pn_str_eq(pn_buf_view(&b), text);
  pn_buf_fini(&b);
  return same;
}

// The end of the turn is the template's to write.
static size_t without_end(const pn_tokenizer *t, const int32_t *tokens, size_t n) {
  size_t n_ends;
  const int32_t *ends = pn_tokenizer_end_ids(t, &n_ends);
  for (size_t i = 0; n && i < n_ends; i++)
    if (tokens[n - 1] == ends[i]) return n - 1;
  return n;
}

void kept_add(kept *k, const pn_tokenizer *t, const kept_mark *end, pn_str text, const int32_t *tokens,
              size_t n_tokens) {
  n_tokens = without_end(t, tokens, n_tokens);
  if (n_tokens == 0 || !spells(t, tokens, n_tokens, text)) return;
  pthread_mutex_lock(&k->lock);
  for (int form = 0; form < 4; form++) {
    pn_str s = trimmed(text, form & 1, form & 2);
    bool again = form > 0 && s.n == text.n;
    for (int before = 1; before < form; before++) again |= s.n == trimmed(text, before & 1, before & 2).n;
    if (s.n && !again) add_form(k, end, s, tokens, n_tokens);
  }
  pthread_mutex_unlock(&k->lock);
}

void kept_add_echo(kept *k, const pn_tokenizer *t, const kept_mark *end, pn_str echo, const int32_t *tokens,
                   size_t n_tokens) {
  n_tokens = without_end(t, tokens, n_tokens);
  if (n_tokens == 0 || echo.n == 0) return;
  pthread_mutex_lock(&k->lock);
  add_form(k, end, echo, tokens, n_tokens);
  pthread_mutex_unlock(&k->lock);
}

// What a prompt is made of: stretches of text to encode, each but the last followed by known tokens.
typedef struct splicing {
  const pn_tokenizer *t;
  pn_str text;
  const pn_text_spans *user;
  size_t done, span; // bytes that are encoded; the first range of user text that isn't
  pn_ids *out;
} splicing;

static bool encode_until(splicing *s, size_t end, pn_error *e) {
  pn_span clipped[64] = {{0}}, *plain = clipped;
  size_t first = s->span, n = 0;
  while (first + n < s->user->n && s->user->p[first + n].begin < end) n++;
  if (n > sizeof clipped / sizeof *clipped) plain = malloc(n * sizeof *plain);
  if (!plain) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the prompt's user text");
  for (size_t i = 0; i < n; i++) {
    pn_span u = s->user->p[first + i];
    plain[i].begin = u.begin > s->done ? u.begin - s->done : 0;
    plain[i].end = (u.end < end ? u.end : end) - s->done;
  }
  bool ok = pn_tokenizer_encode(s->t, (pn_str){s->text.p + s->done, end - s->done}, plain, n, s->out, e);
  if (plain != clipped) free(plain);
  s->done = end;
  return ok;
}

// Whether what follows known tokens may be encoded by itself: nothing does, or a control token, which takes
// no part in what stands before it.
static bool ends_apart(const splicing *s, size_t at) {
  size_t end = at + 64 < s->text.n ? at + 64 : s->text.n;
  if (at == s->text.n) return true;
  for (size_t i = s->span; i < s->user->n && s->user->p[i].begin < end; i++) {
    pn_span u = s->user->p[i];
    if (u.end <= at) continue;
    if (u.begin <= at) return false; // in user text nothing is a control token
    end = u.begin;
  }
  pn_ids ids = {0};
  bool ok = pn_utf8_complete((pn_str){s->text.p + at, end - at}) > 0 &&
            pn_tokenizer_encode(
                s->t, (pn_str){s->text.p + at, pn_utf8_complete((pn_str){s->text.p + at, end - at})}, NULL, 0,
                &ids, NULL) &&
            ids.n && pn_tokenizer_is_control(s->t, ids.p[0]);
  pn_ids_fini(&ids);
  return ok;
}

// The longest known answer that stands behind m.
static record *find(kept *k, const splicing *s, const kept_mark *m) {
  record *best = NULL;
  for (record *r = *bucket_of(k, m->a); r; r = r->next)
    if (r->a == m->a && r->b == m->b && r->n_before == m->n_bytes && r->n_text <= s->text.n - m->n_bytes &&
        (!best || r->n_text > best->n_text) && memcmp(r->text, s->text.p + m->n_bytes, r->n_text) == 0 &&
        ends_apart(s, m->n_bytes + r->n_text))
      best = r;
  return best;
}

// Its tokens, in front of which everything not encoded yet is encoded.
static bool splice(kept *k, splicing *s, record *r, pn_error *e) {
  if (!encode_until(s, r->n_before, e)) return false;
  for (size_t j = 0; j < r->n_tokens; j++) pn_ids_add(s->out, r->tokens[j]);
  s->done = r->n_before + r->n_text;
  while (s->span < s->user->n && s->user->p[s->span].end <= s->done) s->span++;
  unlink_use(k, r);
  link_newest(k, r);
  return true;
}

// Everything up to the end of the text; *m goes along.
static bool encode_spliced(kept *k, splicing *s, kept_mark *m, pn_error *e) {
  size_t next = 0; // range of user text
  for (size_t at = 0; at < s->text.n; at++) {
    if (m->in_user && next < s->user->n && s->user->p[next].end == at) {
      mark_border(m, false);
      next++;
    }
    record *r = at >= s->done && *bucket_of(k, m->a) ? find(k, s, m) : NULL;
    if (r && !splice(k, s, r, e)) return false;
    while (next < s->user->n && s->user->p[next].end <= at) next++; // an empty one
    if (!m->in_user && next < s->user->n && s->user->p[next].begin == at) mark_border(m, true);
    mark_symbol(m, (unsigned char)s->text.p[at]);
    m->n_bytes++;
  }
  return encode_until(s, s->text.n, e);
}

bool kept_encode(kept *k, const pn_tokenizer *t, pn_str text, const pn_text_spans *user, pn_ids *out,
                 kept_mark *end, pn_error *e) {
  splicing s = {.t = t, .text = text, .user = user, .out = out};
  *end = (kept_mark){.a = k->seed_a, .b = k->seed_b};
  pthread_mutex_lock(&k->lock);
  bool ok = encode_spliced(k, &s, end, e);
  pthread_mutex_unlock(&k->lock);
  return ok;
}
