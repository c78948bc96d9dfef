// The tokenizer.ggml.* keys of a GGUF file. Facts: the GGUF description in the ggml repository.
#include "base/utf8.h"
#include "tokenizer/parts.h"

#include <math.h>
#include <stdlib.h>

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

#define TOKENS "tokenizer.ggml.tokens"
#define BAR "\xE2\x96\x81"

static const pn_gguf_value *list(const pn_gguf *g, const char *key, bool strings, pn_error *e) {
  const pn_gguf_value *v = pn_gguf_get(g, key);
  if (v && v->is_array && (v->type == PN_GGUF_STR) == strings) return v;
  pn_fail(e, PN_ERR_CORRUPT, "%s: expected an array of %s, found %s", key, strings ? "strings" : "numbers",
          !v            ? "nothing"
          : v->is_array ? "an array of another type"
                        : "a single value");
  return NULL;
}

// A list that goes with the tokens; *out is NULL when it is absent.
static bool side_list(const pn_gguf *g, const char *key, uint64_t n, const pn_gguf_value **out, pn_error *e) {
  *out = NULL;
  if (!pn_gguf_get(g, key)) return true;
  if (!(*out = list(g, key, false, e))) return false;
  return (*out)->n == n || pn_fail(e, PN_ERR_CORRUPT, "%s has %llu entries for %llu tokens", key,
                                   (unsigned long long)(*out)->n, (unsigned long long)n);
}

static bool flag(const pn_gguf *g, const char *key, bool otherwise) {
  const pn_gguf_value *v = pn_gguf_get(g, key);
  int64_t x;
  return v && !v->is_array && pn_gguf_int(v, 0, &x) ? x != 0 : otherwise;
}

static pn_str text(const pn_gguf *g, const char *key) {
  const pn_gguf_value *v = pn_gguf_get(g, key);
  return v && !v->is_array ? pn_gguf_str(v, 0) : (pn_str){0};
}

static bool load_tokens(pn_tokenizer *t, const pn_gguf_value *tokens, pn_error *e) {
  if (tokens->n > VOCAB_MAX_IDS)
    return pn_fail(e, PN_ERR_UNSUPPORTED, TOKENS " has %llu tokens, more than %d",
                   (unsigned long long)tokens->n, VOCAB_MAX_IDS);
  if (!vocab_init(&t->vocab, &t->arena, (uint32_t)tokens->n, e)) return false;
  for (uint64_t i = 0; i < tokens->n; i++) {
    if (pn_utf8_check(tokens->strings[i]) != tokens->strings[i].n)
      return pn_fail(e, PN_ERR_CORRUPT, TOKENS "[%llu] is not valid UTF-8", (unsigned long long)i);
    if (!vocab_set(&t->vocab, &t->arena, TOKENS, (int64_t)i, tokens->strings[i], e)) return false;
  }
  return true;
}

// Control, unknown and user-defined tokens are found in the text as a whole.
static bool load_types(pn_tokenizer *t, const pn_gguf *g, const pn_gguf_value *types, pn_error *e) {
  // GGUF has no word for it: the marks of Phi-3 swallow the white space behind them.
  bool swallow = pn_str_is(text(g, "general.architecture"), "phi3") && !t->bpe.byte_level;
  size_t n = 0;
  added_entry *entries = calloc(t->vocab.n, sizeof *entries);
  if (!entries) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the token types");
  for (uint32_t id = 0; types && id < t->vocab.n; id++) {
    int64_t type = 0;
    pn_gguf_int(types, id, &type);
    if (type == TYPE_UNUSED) t->vocab.t[id].flags |= VOCAB_UNUSED;
    pn_str s = t->vocab.t[id].spelling;
    if ((type != TYPE_CONTROL && type != TYPE_UNKNOWN && type != TYPE_USER) || s.n == 0) continue;
    bool mark = swallow &&
                (pn_str_is(s, "</s>") || (pn_str_starts(s, PN_STR("<|")) && !pn_str_is(s, "<|endoftext|>")));
    // SentencePiece looks for its own in the text where blanks are U+2581 already.
    entries[n++] = (added_entry){.content = s,
                                 .id = id,
                                 .special = type != TYPE_USER,
                                 .rstrip = mark,
                                 .as_normalized = pn_str_is(text(g, "tokenizer.ggml.model"), "llama")};
  }
  bool ok = parts_add_tokens(t, entries, n, "tokenizer.ggml.token_type", e);
  free(entries);
  return ok;
}

// Blanks are U+2581, and what has no token is spelled by its bytes.
static void use_bars(pn_tokenizer *t) {
  const pn_str bar = PN_STR(BAR), blank = PN_STR(" ");
  t->normalizer.steps[t->normalizer.n++] =
      (normalize_step){.kind = NORMALIZE_REPLACE, .from = blank, .to = bar};
  t->bpe.byte_fallback = t->decoder.byte_fallback = true;
  t->bpe.fuse_unk = true;
  t->decoder.replaces[t->decoder.n_replaces++] = (struct decoder_replace){bar, blank};
}

static bool load_gpt2(pn_tokenizer *t, const pn_gguf *g, pn_error *e) {
  t->bpe.byte_level = t->decoder.byte_level = true;
  return load_gguf_split(t, text(g, "tokenizer.ggml.pre"), e);
}

// Gemma 4: merges over characters, blanks are U+2581, and line breaks stand by themselves.
static bool load_gemma4(pn_tokenizer *t, pn_error *e) {
  use_bars(t);
  return load_split_step(t, PN_STR("[^\\n]+|[\\n]+"), false, PRETOK_ISOLATED, false, "tokenizer.ggml.model",
                         e);
}

static bool load_merges(pn_tokenizer *t, const pn_gguf *g, pn_error *e) {
  const pn_gguf_value *v = list(g, "tokenizer.ggml.merges", true, e);
  if (!v) return false;
  if (v->n > UINT32_MAX / 2) return pn_fail(e, PN_ERR_CORRUPT, "tokenizer.ggml.merges has too many entries");
  if (!bpe_init(&t->bpe, &t->arena, &t->vocab, (size_t)v->n, e)) return false;
  pn_buf joined = {0};
  bool ok = true;
  for (size_t first = 0, some; ok && first < v->n; first += some) {
    pn_str pairs[PARTS_MERGES][2];
    for (some = 0; ok && some < PARTS_MERGES && first + some < v->n; some += ok)
      ok = parts_split_merge(v->strings[first + some], "tokenizer.ggml.merges", first + some, &pairs[some][0],
                             &pairs[some][1], e);
    // Those in front of one that is wrong are looked at first.
    ok &= parts_add_merges(t, (const pn_str(*)[2])pairs, some, "tokenizer.ggml.merges", first, &joined, e);
  }
  pn_buf_fini(&joined);
  return ok;
}

// ---- SentencePiece-style: blanks are U+2581, two tokens merge when their joint spelling is a token, best
// score first

static void load_llama_pipeline(pn_tokenizer *t, const pn_gguf *g) {
  bool prefix = flag(g, "tokenizer.ggml.add_space_prefix", true);
  if (prefix)
    t->normalizer.steps[t->normalizer.n++] = (normalize_step){.kind = NORMALIZE_PREPEND, .to = PN_STR(BAR)};
  use_bars(t);
  t->decoder.strip_blank = prefix;
}

typedef struct scored {
  float score;
  uint32_t id;
} scored;

static int by_score(const void *a, const void *b) {
  const scored *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

// One way to cut a token into two tokens.
typedef struct cut {
  uint32_t left, right, rank, id;
} cut;

typedef struct cut_list {
  cut *p;
  size_t n, cap;
} cut_list;

static bool add_cut(cut_list *l, cut c) {
  if (l->n == l->cap) {
    size_t cap = l->cap ? l->cap * 2 : 1 << 16;
    cut *p = realloc(l->p, cap * sizeof *p);
    if (!p) return false;
    l->p = p;
    l->cap = cap;
  }
  l->p[l->n++] = c;
  return true;
}

// All ways to cut it.
static bool add_cuts(const pn_tokenizer *t, uint32_t id, uint32_t rank, cut_list *out) {
  pn_str s = t->vocab.t[id].spelling;
  for (size_t at = 1; at < s.n; at++) {
    if (((unsigned char)s.p[at] & 0xC0) == 0x80) continue;
    uint32_t l = vocab_find_text(&t->vocab, (pn_str){s.p, at}, vocab_hash(s.p, at));
    if (l == VOCAB_NONE) continue;
    uint32_t r = vocab_find_text(&t->vocab, (pn_str){s.p + at, s.n - at}, vocab_hash(s.p + at, s.n - at));
    if (r != VOCAB_NONE && !add_cut(out, (cut){l, r, rank, id})) return false;
  }
  return true;
}

// The tokens that merges make, best score first.
static bool read_scores(pn_tokenizer *t, const pn_gguf_value *v, const pn_gguf_value *types, scored *order,
                        uint32_t *n, pn_error *e) {
  for (uint32_t id = 0; id < t->vocab.n; id++) {
    double score;
    int64_t type = TYPE_NORMAL;
    if (!pn_gguf_num(v, id, &score) || !isfinite(score))
      return pn_fail(e, PN_ERR_CORRUPT, "tokenizer.ggml.scores[%u] is not a finite number", id);
    if (types) pn_gguf_int(types, id, &type);
    if (type == TYPE_NORMAL) order[(*n)++] = (scored){(float)score, id};
  }
  if (*n) qsort(order, *n, sizeof *order, by_score);
  return true;
}

#define CUTS_AHEAD 16

static bool load_scores(pn_tokenizer *t, const pn_gguf *g, const pn_gguf_value *types, pn_error *e) {
  const pn_gguf_value *v;
  if (!side_list(g, "tokenizer.ggml.scores", t->vocab.n, &v, e)) return false;
  if (!v) return pn_fail(e, PN_ERR_CORRUPT, "tokenizer.ggml.scores is missing");
  scored *order = calloc(t->vocab.n, sizeof *order);
  if (!order) return pn_fail(e, PN_ERR_NOMEM, "out of memory for scores");
  uint32_t n = 0;
  cut_list cuts = {0};
  bool ok = read_scores(t, v, types, order, &n, e);
  // Equal scores are one rank: then the leftmost pair comes first.
  for (uint32_t i = 0, rank = 0; ok && i < n; i++) {
    if (i && order[i].score != order[i - 1].score) rank = i;
    ok = add_cuts(t, order[i].id, rank, &cuts) || pn_fail(e, PN_ERR_NOMEM, "out of memory for scores");
  }
  ok = ok && bpe_init(&t->bpe, &t->arena, &t->vocab, cuts.n, e);
  for (size_t i = 0; ok && i < cuts.n; i++) {
    if (i + CUTS_AHEAD < cuts.n)
      bpe_fetch(&t->bpe, cuts.p[i + CUTS_AHEAD].left, cuts.p[i + CUTS_AHEAD].right);
    bpe_add(&t->bpe, cuts.p[i].left, cuts.p[i].right, cuts.p[i].rank, cuts.p[i].id);
  }
  free(order);
  free(cuts.p);
  return ok;
}

bool load_gguf(pn_tokenizer *t, const pn_gguf *g, pn_error *e) {
  pn_str model = text(g, "tokenizer.ggml.model");
  bool llama = pn_str_is(model, "llama"), gemma = pn_str_is(model, "gemma4");
  if (!llama && !gemma && !pn_str_is(model, "gpt2"))
    return model.n ? pn_fail(e, PN_ERR_UNSUPPORTED, "tokenizer.ggml.model \"%.*s\" is not supported",
                             model.n < 60 ? (int)model.n : 60, model.p)
                   : pn_fail(e, PN_ERR_CORRUPT, "tokenizer.ggml.model is missing");
  const pn_gguf_value *tokens = list(g, TOKENS, true, e), *types;
  if (!tokens || !load_tokens(t, tokens, e) ||
      !side_list(g, "tokenizer.ggml.token_type", tokens->n, &types, e))
    return false;
  if (llama)
    load_llama_pipeline(t, g);
  else if (!(gemma ? load_gemma4(t, e) : load_gpt2(t, g, e)))
    return false;
  if (!load_types(t, g, types, e) || !vocab_index(&t->vocab, &t->arena, true, e) || !parts_index(t, e))
    return false;
  int64_t unk;
  const pn_gguf_value *u = pn_gguf_get(g, "tokenizer.ggml.unknown_token_id");
  if (!t->bpe.byte_level && u && pn_gguf_int(u, 0, &unk) && unk >= 0 && unk < (int64_t)t->vocab.n)
    t->bpe.unk = (uint32_t)unk;
  if (!(llama ? load_scores(t, g, types, e) : load_merges(t, g, e))) return false;
  bpe_finish(&t->bpe);
  return true;
}
