#include "grammar/token_trie.h"

#include "base/utf8.h"
#include "grammar/grammar.h"

#include <stdlib.h>
#include <string.h>

// What the tokens are in the middle of a text: some decoders treat the first one differently.
static bool read_texts(pn_vocab *v, pn_error *e) {
  pn_buf all = {0}, pair = {0};
  int32_t first = 0;
  while (first < v->n_tokens && pn_tokenizer_is_control(v->tokenizer, first)) first++;
  pn_tokenizer_decode(v->tokenizer, &first, 1, false, &pair);
  size_t n_first = pair.n;
  for (int32_t id = 0; id < v->n_tokens && !all.oom && !pair.oom; id++) {
    const int32_t both[2] = {first, id};
    v->text_at[id] = (uint32_t)all.n;
    if (pn_tokenizer_is_control(v->tokenizer, id)) continue;
    pn_buf_clear(&pair);
    pn_tokenizer_decode(v->tokenizer, both, 2, false, &pair);
    if (pair.n > n_first) pn_buf_add(&all, pair.p + n_first, pair.n - n_first);
  }
  v->text_at[v->n_tokens] = (uint32_t)all.n;
  v->text = all.p;
  bool ok = !all.oom && !pair.oom;
  pn_buf_fini(&pair);
  return ok || pn_fail(e, PN_ERR_NOMEM, "out of memory for the vocabulary's texts");
}

// So many characters of a plain text; -1: it isn't plain.
static int plain_chars_of(pn_str s) {
  int n = 0;
  uint32_t c;
  for (size_t at = 0, len; at < s.n; at += len, n++) {
    len = pn_utf8_decode(s, at, &c);
    if (len == 0 || c < 0x20 || c == '"' || c == '\\') return -1;
  }
  return n;
}

// A token for sorting: its first eight bytes as a number, so that most comparisons need no text.
typedef struct sort_key {
  uint64_t head;
  int32_t id;
} sort_key;

static uint64_t head_of(pn_str s) {
  uint64_t head = 0;
  for (size_t i = 0; i < sizeof head; i++) head = head << 8 | (i < s.n ? (uint8_t)s.p[i] : 0u);
  return head;
}

static int by_text(const void *a, const void *b, void *ctx) {
  const pn_vocab *v = ctx;
  const sort_key *x = a, *y = b;
  if (x->head != y->head) return x->head < y->head ? -1 : 1;
  pn_str s = vocab_text(v, x->id), t = vocab_text(v, y->id);
  int order = memcmp(s.p, t.p, s.n < t.n ? s.n : t.n);
  if (order) return order;
  return s.n != t.n ? (s.n < t.n ? -1 : 1) : (x->id > y->id) - (x->id < y->id);
}

static bool sort_by_text(pn_vocab *v, int32_t *ids, size_t n) {
  sort_key *keys = malloc((n ? n : 1) * sizeof *keys);
  if (!keys) return false;
  for (size_t i = 0; i < n; i++) keys[i] = (sort_key){head_of(vocab_text(v, ids[i])), ids[i]};
  qsort_r(keys, n, sizeof *keys, by_text, v);
  for (size_t i = 0; i < n; i++) ids[i] = keys[i].id;
  free(keys);
  return true;
}

static size_t shared(pn_str a, pn_str b) {
  size_t n = 0;
  while (n < a.n && n < b.n && a.p[n] == b.p[n]) n++;
  return n;
}

// In the order of their texts, tokens lie far from each other.
static void fetch_ahead(const pn_vocab *v, const int32_t *ids, size_t n, size_t i) {
  if (i + 16 < n) __builtin_prefetch(&v->text_at[ids[i + 16]]);
  if (i + 8 < n) __builtin_prefetch(v->text + v->text_at[ids[i + 8]]);
}

// The nodes of sorted tokens. open[d]: the last node at depth d, whose end is not known yet.
static bool build(pn_vocab *v, trie *t, const int32_t *ids, size_t n_ids) {
  size_t n_nodes = 0;
  pn_str before = {0};
  for (size_t i = 0; i < n_ids; i++) {
    fetch_ahead(v, ids, n_ids, i);
    pn_str s = vocab_text(v, ids[i]);
    n_nodes += s.n - shared(before, s);
    if ((int)s.n > t->max_depth) t->max_depth = (int)s.n;
    before = s;
  }
  t->nodes = malloc((n_nodes ? n_nodes : 1) * sizeof *t->nodes);
  uint32_t *open = malloc(((size_t)t->max_depth + 1) * sizeof *open);
  if (!t->nodes || !open) {
    free(open);
    return false;
  }
  before = (pn_str){0};
  for (size_t i = 0; i < n_ids; i++) {
    fetch_ahead(v, ids, n_ids, i);
    pn_str s = vocab_text(v, ids[i]);
    size_t common = shared(before, s);
    if (common == s.n && i > 0) { // the same bytes again
      int32_t *last = &t->nodes[open[s.n - 1]].token;
      while (v->same[*last] >= 0) last = &v->same[*last];
      v->same[*last] = ids[i];
      continue;
    }
    for (size_t d = common; d < before.n; d++) t->nodes[open[d]].skip = (uint32_t)t->n;
    for (size_t d = common; d < s.n; d++) {
      open[d] = (uint32_t)t->n;
      t->nodes[t->n++] = (trie_node){.token = -1, .depth = (uint16_t)d, .byte = (uint8_t)s.p[d]};
    }
    t->nodes[open[s.n - 1]].token = ids[i];
    before = s;
  }
  for (size_t d = 0; d < before.n; d++) t->nodes[open[d]].skip = (uint32_t)t->n;
  free(open);
  return true;
}

static bool build_tries(pn_vocab *v) {
  int32_t *ids = malloc(((size_t)v->n_tokens * 2 + 1) * sizeof *ids), *others = ids + v->n_tokens;
  size_t n_plain = 0, n_other = 0;
  if (!ids) return false;
  for (int32_t id = 0; id < v->n_tokens; id++) {
    pn_str s = vocab_text(v, id);
    v->same[id] = -1;
    if (s.n == 0 || s.n > 1000) continue; // control tokens, and what no answer needs
    int n_chars = plain_chars_of(s);
    if (n_chars < 0) {
      others[n_other++] = id;
      continue;
    }
    ids[n_plain++] = id;
    size_t row = n_chars > RULE_PLAIN_MAX ? RULE_PLAIN_MAX + 1 : (size_t)n_chars;
    v->plain_upto[row * v->n_words + (size_t)id / 64] |= (uint64_t)1 << id % 64;
  }
  for (size_t i = v->n_words; i < (RULE_PLAIN_MAX + 2) * v->n_words; i++) // each row has those before it
    v->plain_upto[i] |= v->plain_upto[i - v->n_words];
  if (!sort_by_text(v, ids, n_plain) || !sort_by_text(v, others, n_other)) return free(ids), false;
  v->quotes = malloc((n_other + 1) * sizeof *v->quotes);
  for (size_t i = 0; v->quotes && i < n_other; i++)
    if (memchr(vocab_text(v, others[i]).p, '"', vocab_text(v, others[i]).n))
      v->quotes[v->n_quotes++] = others[i];
  bool ok = v->quotes && build(v, &v->plain, ids, n_plain) && build(v, &v->other, others, n_other);
  free(ids);
  return ok;
}

bool trie_down(trie_cursor *c, uint8_t byte) {
  size_t at = c->next, end = c->end || at ? c->end : c->trie->n;
  while (at < end && c->trie->nodes[at].byte != byte) at = c->trie->nodes[at].skip;
  if (at >= end) return false;
  *c = (trie_cursor){c->trie, at + 1, c->trie->nodes[at].skip, c->trie->nodes[at].token};
  return true;
}

pn_vocab *pn_vocab_new(const pn_tokenizer *t, pn_error *e) {
  pn_vocab *v = calloc(1, sizeof *v);
  int32_t n = pn_tokenizer_n_vocab(t);
  if (!v) return pn_fail(e, PN_ERR_NOMEM, "out of memory for a vocabulary"), NULL;
  *v = (pn_vocab){.tokenizer = t, .n_tokens = n, .n_words = ((size_t)n + 63) / 64};
  v->text_at = malloc(((size_t)n + 1) * sizeof *v->text_at);
  v->same = malloc(((size_t)n + 1) * sizeof *v->same);
  v->plain_upto = calloc((RULE_PLAIN_MAX + 2) * v->n_words, sizeof *v->plain_upto);
  if (v->text_at && v->same && v->plain_upto && read_texts(v, e) && build_tries(v)) return v;
  pn_vocab_free(v);
  return pn_fail(e, PN_ERR_NOMEM, "out of memory for a vocabulary"), NULL;
}

void pn_vocab_free(pn_vocab *v) {
  if (!v) return;
  free(v->text_at);
  free(v->text);
  free(v->same);
  free(v->quotes);
  free(v->plain.nodes);
  free(v->other.nodes);
  free(v->plain_upto);
  free(v);
}

const pn_tokenizer *pn_vocab_tokenizer(const pn_vocab *v) { return v->tokenizer; }
