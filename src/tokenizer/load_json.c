// The model and the added tokens of tokenizer.json.
#include "tokenizer/parts.h"

#include <stdlib.h>

static const char *kind(const pn_json *v) { return pn_json_type_name(pn_json_type_of(v)); }

static bool want(const pn_json *v, pn_json_type type, const char *what, pn_error *e) {
  if (pn_json_is(v, type)) return true;
  return pn_fail(e, PN_ERR_CORRUPT, "%s: expected %s, found %s", what, pn_json_type_name(type), kind(v));
}

// A boolean that may be absent or null.
static bool flag(const pn_json *o, const char *key, const char *what, bool *out, pn_error *e) {
  const pn_json *v = pn_json_get(o, key);
  if (pn_json_is(v, PN_JSON_MISSING) || pn_json_is(v, PN_JSON_NULL)) return true;
  if (!pn_json_is(v, PN_JSON_BOOL))
    return pn_fail(e, PN_ERR_CORRUPT, "%s.%s: expected a boolean, found %s", what, key, kind(v));
  *out = pn_json_true(v);
  return true;
}

static bool check_id(const pn_json *v, const char *what, pn_str spelling, pn_error *e) {
  int shown = spelling.n < 60 ? (int)spelling.n : 60;
  if (!pn_json_is(v, PN_JSON_INT))
    return pn_fail(e, PN_ERR_CORRUPT, "%s: the id of \"%.*s\" is %s, not an integer", what, shown, spelling.p,
                   kind(v));
  int64_t id = pn_json_int(v);
  if (id >= 0 && id < VOCAB_MAX_IDS) return true;
  return pn_fail(e, PN_ERR_CORRUPT, "%s: the id of \"%.*s\" is %lld, outside 0..%d", what, shown, spelling.p,
                 (long long)id, VOCAB_MAX_IDS - 1);
}

static bool set_tokens(pn_tokenizer *t, const pn_json *v, const long_lists *lists, pn_error *e) {
  for (size_t i = 0; lists && i < lists->n_tokens; i++)
    if (!vocab_set(&t->vocab, &t->arena, "model.vocab", lists->tokens[i].id,
                   long_lists_text(lists, lists->tokens[i].spelling), e))
      return false;
  for (const pn_json_member *m = pn_json_first(v); m; m = pn_json_next(v, m))
    if (!vocab_set(&t->vocab, &t->arena, "model.vocab", pn_json_int(pn_json_value(m)), pn_json_key(m), e))
      return false;
  return true;
}

static bool load_vocab(pn_tokenizer *t, const pn_json *v, const long_lists *lists, const pn_json *added,
                       pn_error *e) {
  int64_t top = -1;
  size_t n = pn_json_len(v) + pn_json_len(added) + (lists ? lists->n_tokens : 0);
  for (size_t i = 0; lists && i < lists->n_tokens; i++)
    if (lists->tokens[i].id > top) top = lists->tokens[i].id;
  for (const pn_json_member *m = pn_json_first(v); m; m = pn_json_next(v, m)) {
    if (!check_id(pn_json_value(m), "model.vocab", pn_json_key(m), e)) return false;
    if (pn_json_int(pn_json_value(m)) > top) top = pn_json_int(pn_json_value(m));
  }
  for (size_t i = 0; i < pn_json_len(added); i++) {
    const pn_json *a = pn_json_at(added, i);
    if (!want(a, PN_JSON_OBJECT, "added_tokens[]", e) ||
        !want(pn_json_get(a, "content"), PN_JSON_STRING, "added_tokens[].content", e) ||
        !check_id(pn_json_get(a, "id"), "added_tokens", pn_json_str(pn_json_get(a, "content")), e))
      return false;
    if (pn_json_int(pn_json_get(a, "id")) > top) top = pn_json_int(pn_json_get(a, "id"));
  }
  if (top < 0) return pn_fail(e, PN_ERR_CORRUPT, "model.vocab is empty");
  // Real files have few holes; a single huge id must not cost memory.
  if ((uint64_t)top > 16 * (uint64_t)n + 65536)
    return pn_fail(e, PN_ERR_CORRUPT, "the highest id is %lld, but there are only %zu tokens", (long long)top,
                   n);
  return vocab_init(&t->vocab, &t->arena, (uint32_t)(top + 1), e) && set_tokens(t, v, lists, e);
}

static bool load_added(pn_tokenizer *t, const pn_json *added, pn_error *e) {
  size_t n = pn_json_len(added);
  added_entry *list = calloc(n ? n : 1, sizeof *list);
  if (!list) return pn_fail(e, PN_ERR_NOMEM, "out of memory for %zu added tokens", n);
  bool ok = true;
  for (size_t i = 0; ok && i < n; i++) {
    const pn_json *a = pn_json_at(added, i);
    added_entry *x = &list[i];
    x->content = pn_json_str(pn_json_get(a, "content"));
    x->id = pn_json_int(pn_json_get(a, "id"));
    ok = flag(a, "special", "added_tokens[]", &x->special, e);
    x->normalized = !x->special;
    ok = ok && flag(a, "lstrip", "added_tokens[]", &x->lstrip, e) &&
         flag(a, "rstrip", "added_tokens[]", &x->rstrip, e) &&
         flag(a, "single_word", "added_tokens[]", &x->single_word, e) &&
         flag(a, "normalized", "added_tokens[]", &x->normalized, e);
  }
  ok = ok && parts_add_tokens(t, list, n, "added_tokens", e);
  free(list);
  return ok;
}

// Both halves of merge i: "left right" or ["left", "right"].
static bool halves(const pn_json *m, size_t i, pn_str *left, pn_str *right, pn_error *e) {
  if (pn_json_is(m, PN_JSON_ARRAY)) {
    const pn_json *l = pn_json_at(m, 0), *r = pn_json_at(m, 1);
    if (pn_json_len(m) != 2 || !pn_json_is(l, PN_JSON_STRING) || !pn_json_is(r, PN_JSON_STRING))
      return pn_fail(e, PN_ERR_CORRUPT, "model.merges[%zu]: expected two strings", i);
    *left = pn_json_str(l);
    *right = pn_json_str(r);
    return true;
  }
  if (!pn_json_is(m, PN_JSON_STRING))
    return pn_fail(e, PN_ERR_CORRUPT, "model.merges[%zu]: expected a string or two, found %s", i, kind(m));
  return parts_split_merge(pn_json_str(m), "model.merges", i, left, right, e);
}

static bool long_halves(const long_lists *lists, size_t i, pn_str *left, pn_str *right, pn_error *e) {
  const long_merge *m = &lists->merges[i];
  *left = long_lists_text(lists, m->left);
  if (m->right.n == LONG_JOINED) return parts_split_merge(*left, "model.merges", i, left, right, e);
  *right = long_lists_text(lists, m->right);
  return true;
}

static bool load_merges(pn_tokenizer *t, const pn_json *merges, const long_lists *lists, pn_error *e) {
  size_t n = lists ? lists->n_merges : pn_json_len(merges);
  if (!bpe_init(&t->bpe, &t->arena, &t->vocab, n, e)) return false;
  pn_buf joined = {0};
  bool ok = true;
  for (size_t first = 0, some; ok && first < n; first += some) {
    pn_str pairs[PARTS_MERGES][2];
    for (some = 0; ok && some < PARTS_MERGES && first + some < n; some += ok) {
      size_t i = first + some;
      pn_str *half = pairs[some];
      ok = lists ? long_halves(lists, i, &half[0], &half[1], e)
                 : halves(pn_json_at(merges, i), i, &half[0], &half[1], e);
    }
    // Those in front of one that is wrong are looked at first.
    ok &= parts_add_merges(t, (const pn_str(*)[2])pairs, some, "model.merges", first, &joined, e);
  }
  pn_buf_fini(&joined);
  return ok;
}

// What the model may ask for and we don't do.
static bool check_model(const pn_json *model, pn_error *e) {
  if (!want(model, PN_JSON_OBJECT, "model", e)) return false;
  const pn_json *type = pn_json_get(model, "type");
  bool is_bpe =
      pn_str_is(pn_json_str(type), "BPE") ||
      (pn_json_is(type, PN_JSON_MISSING) && pn_json_is(pn_json_get(model, "merges"), PN_JSON_ARRAY));
  if (!is_bpe)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "model.type \"%s\" is not supported, only BPE is",
                   pn_json_cstr(type));
  static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
  for (size_t i = 0; i < 2; i++)
    if (pn_json_str(pn_json_get(model, affixes[i])).n)
      return pn_fail(e, PN_ERR_UNSUPPORTED, "model.%s \"%s\" is not supported", affixes[i],
                     pn_json_cstr(pn_json_get(model, affixes[i])));
  return want(pn_json_get(model, "vocab"), PN_JSON_OBJECT, "model.vocab", e) &&
         want(pn_json_get(model, "merges"), PN_JSON_ARRAY, "model.merges", e);
}

static bool load_unknown(pn_tokenizer *t, const pn_json *v, pn_error *e) {
  if (pn_json_is(v, PN_JSON_MISSING) || pn_json_is(v, PN_JSON_NULL)) return true;
  if (!want(v, PN_JSON_STRING, "model.unk_token", e)) return false;
  t->bpe.unk = vocab_find(&t->vocab, pn_json_str(v));
  if (t->bpe.unk != VOCAB_NONE) return true;
  return pn_fail(e, PN_ERR_CORRUPT, "model.unk_token \"%s\" is not in the vocabulary", pn_json_cstr(v));
}

bool load_json(pn_tokenizer *t, const pn_json *root, const long_lists *lists, pn_error *e) {
  if (!want(root, PN_JSON_OBJECT, "the whole", e)) return false;
  const pn_json *model = pn_json_get(root, "model"), *added = pn_json_get(root, "added_tokens");
  if (!check_model(model, e)) return false;
  if (added && !pn_json_is(added, PN_JSON_NULL) && !want(added, PN_JSON_ARRAY, "added_tokens", e))
    return false;
  if (!flag(model, "byte_fallback", "model", &t->bpe.byte_fallback, e) ||
      !flag(model, "fuse_unk", "model", &t->bpe.fuse_unk, e) ||
      !flag(model, "ignore_merges", "model", &t->bpe.ignore_merges, e))
    return false;
  if (!load_normalizer(t, pn_json_get(root, "normalizer"), e) ||
      !load_pretok(t, pn_json_get(root, "pre_tokenizer"), e) ||
      !load_decoder(t, pn_json_get(root, "decoder"), e))
    return false;
  t->decoder.byte_level |= t->bpe.byte_level;
  if (t->bpe.byte_fallback) t->decoder.byte_fallback = true;
  return load_vocab(t, pn_json_get(model, "vocab"), lists, added, e) && load_added(t, added, e) &&
         vocab_index(&t->vocab, &t->arena, false, e) && parts_index(t, e) &&
         load_unknown(t, pn_json_get(model, "unk_token"), e) &&
         load_merges(t, pn_json_get(model, "merges"), lists, e) && (bpe_finish(&t->bpe), true);
}
