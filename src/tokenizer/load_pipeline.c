// Normalizer, pre-tokenizer and decoder of tokenizer.json: trees of typed objects, flattened into steps.
#include "tokenizer/parts.h"

static const char *kind(const pn_json *v) { return pn_json_type_name(pn_json_type_of(v)); }
static bool absent(const pn_json *v) { return pn_json_is(v, PN_JSON_MISSING) || pn_json_is(v, PN_JSON_NULL); }

static bool type_is(const pn_json *v, const char *type) {
  return pn_str_is(pn_json_str(pn_json_get(v, "type")), type);
}

static bool bad(const char *what, const pn_json *v, pn_error *e) {
  if (!pn_json_is(v, PN_JSON_OBJECT))
    return pn_fail(e, PN_ERR_CORRUPT, "%s: expected an object, found %s", what, kind(v));
  return pn_fail(e, PN_ERR_UNSUPPORTED, "%s of type \"%s\" is not supported", what,
                 pn_json_cstr(pn_json_get(v, "type")));
}

// A string member, copied.
static bool text_of(pn_tokenizer *t, const pn_json *o, const char *key, const char *what, pn_str *out,
                    pn_error *e) {
  const pn_json *v = pn_json_get(o, key);
  if (!pn_json_is(v, PN_JSON_STRING))
    return pn_fail(e, PN_ERR_CORRUPT, "%s.%s: expected a string, found %s", what, key, kind(v));
  const char *copy = pn_arena_dup(&t->arena, pn_json_str(v));
  if (!copy) return pn_fail(e, PN_ERR_NOMEM, "out of memory for %s", what);
  *out = (pn_str){copy, pn_json_str(v).n};
  return true;
}

// {"String": s} or {"Regex": r}.
static bool pattern_of(pn_tokenizer *t, const pn_json *o, const char *what, pn_str *out, bool *literal,
                       pn_error *e) {
  const pn_json *p = pn_json_get(o, "pattern");
  *literal = pn_json_is(pn_json_get(p, "String"), PN_JSON_STRING);
  return text_of(t, p, *literal ? "String" : "Regex", what, out, e);
}

// ---- normalizer

static bool normalizer_step(pn_tokenizer *t, const pn_json *v, pn_error *e) {
  normalizer *n = &t->normalizer;
  if (n->n == NORMALIZE_MAX_STEPS)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "normalizer: more than %d steps", NORMALIZE_MAX_STEPS);
  normalize_step st = {0};
  if (type_is(v, "NFC"))
    st.kind = NORMALIZE_NFC;
  else if (type_is(v, "Prepend")) {
    st.kind = NORMALIZE_PREPEND;
    if (!text_of(t, v, "prepend", "normalizer", &st.to, e)) return false;
  } else if (type_is(v, "Replace")) {
    bool literal;
    if (!pattern_of(t, v, "normalizer.pattern", &st.from, &literal, e) ||
        !text_of(t, v, "content", "normalizer", &st.to, e))
      return false;
    st.kind = literal ? NORMALIZE_REPLACE : NORMALIZE_REGEX;
    if (literal && st.from.n == 0)
      return pn_fail(e, PN_ERR_CORRUPT, "normalizer: Replace of an empty string");
    if (!literal && !(st.regex = splitter_new(st.from, false, "normalizer", e))) return false;
  } else
    return bad("normalizer", v, e);
  n->steps[n->n++] = st;
  return true;
}

bool load_normalizer(pn_tokenizer *t, const pn_json *v, pn_error *e) {
  if (absent(v)) return true;
  if (!type_is(v, "Sequence")) return normalizer_step(t, v, e);
  const pn_json *list = pn_json_get(v, "normalizers");
  for (size_t i = 0; i < pn_json_len(list); i++)
    if (!normalizer_step(t, pn_json_at(list, i), e)) return false;
  return true;
}

// ---- pre-tokenizer

static pretok_step *new_step(pn_tokenizer *t, pn_error *e) {
  if (t->pretok.n < PRETOK_MAX_STEPS) return &t->pretok.steps[t->pretok.n++];
  pn_fail(e, PN_ERR_UNSUPPORTED, "pre_tokenizer: more than %d steps", PRETOK_MAX_STEPS);
  return NULL;
}

bool load_split_step(pn_tokenizer *t, pn_str pattern, bool literal, pretok_behavior behavior, bool invert,
                     const char *where, pn_error *e) {
  pretok_step *st = new_step(t, e);
  if (!st) return false;
  *st = (pretok_step){.kind = PRETOK_SPLIT, .behavior = behavior, .invert = invert};
  if (!literal && behavior == PRETOK_ISOLATED) st->scan = scan_kind_of(pattern);
  return (st->split = splitter_new(pattern, literal, where, e)) != NULL;
}

bool load_digits_step(pn_tokenizer *t, const char *where, pn_error *e) {
  pretok_step *st = new_step(t, e);
  if (!st) return false;
  *st = (pretok_step){.kind = PRETOK_DIGITS};
  return (st->split = splitter_new(PN_STR("\\p{N}"), false, where, e)) != NULL;
}

static bool behavior_of(const pn_json *v, pretok_behavior *out, pn_error *e) {
  static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext",
                                      "Contiguous"};
  pn_str name = pn_json_str(pn_json_get(v, "behavior"));
  for (size_t i = 0; i < 5; i++)
    if (pn_str_is(name, names[i])) {
      *out = (pretok_behavior)i;
      return true;
    }
  return pn_fail(e, PN_ERR_UNSUPPORTED, "pre_tokenizer.behavior \"%s\" is not supported",
                 pn_json_cstr(pn_json_get(v, "behavior")));
}

// A boolean with a default.
static bool flag_or(const pn_json *v, const char *key, bool otherwise) {
  const pn_json *f = pn_json_get(v, key);
  return pn_json_is(f, PN_JSON_BOOL) ? pn_json_true(f) : otherwise;
}

static bool byte_level_step(pn_tokenizer *t, const pn_json *v, pn_error *e) {
  t->bpe.byte_level = true;
  if (flag_or(v, "add_prefix_space", true)) {
    pretok_step *st = new_step(t, e);
    if (!st) return false;
    *st = (pretok_step){.kind = PRETOK_SPACE_PREFIX};
  }
  if (!flag_or(v, "use_regex", true)) return true;
  return load_split_step(t, pn_str_of(scan_gpt2_pattern), false, PRETOK_ISOLATED, false, "pre_tokenizer", e);
}

// Metaspace of the pre-tokenizer or decoder: what stands for a blank, and where one is put in front.
static bool metaspace_of(pn_tokenizer *t, const pn_json *v, const char *what, pn_str *replacement,
                         pretok_prepend *prepend, pn_error *e) {
  if (!text_of(t, v, "replacement", what, replacement, e)) return false;
  if (replacement->n == 0) return pn_fail(e, PN_ERR_CORRUPT, "%s.replacement is empty", what);
  const pn_json *scheme = pn_json_get(v, "prepend_scheme");
  if (absent(scheme)) {
    *prepend = flag_or(v, "add_prefix_space", true) ? PRETOK_ALWAYS : PRETOK_NEVER;
    return true;
  }
  static const char *const names[] = {"never", "first", "always"};
  for (size_t i = 0; i < 3; i++)
    if (pn_str_is(pn_json_str(scheme), names[i])) {
      *prepend = (pretok_prepend)i;
      return true;
    }
  return pn_fail(e, PN_ERR_UNSUPPORTED, "%s.prepend_scheme \"%s\" is not supported", what,
                 pn_json_cstr(scheme));
}

static bool metaspace_step(pn_tokenizer *t, const pn_json *v, pn_error *e) {
  pretok_step *st = new_step(t, e);
  if (!st) return false;
  *st = (pretok_step){.kind = PRETOK_METASPACE, .behavior = PRETOK_MERGED_NEXT};
  if (!metaspace_of(t, v, "pre_tokenizer", &st->replacement, &st->prepend, e)) return false;
  if (!flag_or(v, "split", true)) return true;
  return (st->split = splitter_new(st->replacement, true, "pre_tokenizer", e)) != NULL;
}

static bool pretok_one(pn_tokenizer *t, const pn_json *v, pn_error *e) {
  if (type_is(v, "ByteLevel")) return byte_level_step(t, v, e);
  if (type_is(v, "Metaspace")) return metaspace_step(t, v, e);
  if (type_is(v, "Digits")) {
    if (flag_or(v, "individual_digits", false)) return load_digits_step(t, "pre_tokenizer", e);
    return load_split_step(t, PN_STR("\\p{N}+"), false, PRETOK_ISOLATED, false, "pre_tokenizer", e);
  }
  if (type_is(v, "Whitespace"))
    return load_split_step(t, PN_STR("\\w+|[^\\w\\s]+"), false, PRETOK_REMOVED, true, "pre_tokenizer", e);
  if (type_is(v, "WhitespaceSplit"))
    return load_split_step(t, PN_STR("\\s"), false, PRETOK_REMOVED, false, "pre_tokenizer", e);
  if (type_is(v, "Split")) {
    pn_str pattern;
    bool literal;
    pretok_behavior behavior = PRETOK_ISOLATED;
    return pattern_of(t, v, "pre_tokenizer.pattern", &pattern, &literal, e) && behavior_of(v, &behavior, e) &&
           load_split_step(t, pattern, literal, behavior, flag_or(v, "invert", false), "pre_tokenizer", e);
  }
  return bad("pre_tokenizer", v, e);
}

bool load_pretok(pn_tokenizer *t, const pn_json *v, pn_error *e) {
  if (absent(v)) return true;
  if (!type_is(v, "Sequence")) return pretok_one(t, v, e);
  const pn_json *list = pn_json_get(v, "pretokenizers");
  for (size_t i = 0; i < pn_json_len(list); i++) {
    if (t->bpe.byte_level) // its alphabet would reach the steps behind it
      return pn_fail(e, PN_ERR_UNSUPPORTED, "pre_tokenizer: ByteLevel is not the last step");
    if (!pretok_one(t, pn_json_at(list, i), e)) return false;
  }
  return true;
}

// ---- decoder

static bool decoder_replace(pn_tokenizer *t, pn_str from, pn_str to, pn_error *e) {
  decoder *d = &t->decoder;
  if (from.n == 0) return pn_fail(e, PN_ERR_CORRUPT, "decoder: Replace of an empty string");
  if (d->n_replaces == PARTS_MAX_REPLACES)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "decoder: more than %d Replace steps", PARTS_MAX_REPLACES);
  d->replaces[d->n_replaces++] = (struct decoder_replace){from, to};
  return true;
}

static bool decoder_one(pn_tokenizer *t, const pn_json *v, bool *fused, pn_error *e) {
  decoder *d = &t->decoder;
  pn_str from, to;
  if (type_is(v, "ByteLevel"))
    d->byte_level = true;
  else if (type_is(v, "ByteFallback"))
    d->byte_fallback = true;
  else if (type_is(v, "Fuse"))
    *fused = true;
  else if (type_is(v, "Metaspace")) {
    pretok_prepend prepend;
    if (!metaspace_of(t, v, "decoder", &from, &prepend, e)) return false;
    d->strip_blank = prepend != PRETOK_NEVER;
    return decoder_replace(t, from, PN_STR(" "), e);
  } else if (type_is(v, "Replace")) {
    bool literal;
    if (!pattern_of(t, v, "decoder.pattern", &from, &literal, e) ||
        !text_of(t, v, "content", "decoder", &to, e))
      return false;
    if (!literal)
      return pn_fail(e, PN_ERR_UNSUPPORTED, "decoder: Replace of a regular expression is not supported");
    return decoder_replace(t, from, to, e);
  } else if (type_is(v, "Strip")) {
    int64_t start = pn_json_int(pn_json_get(v, "start")), stop = pn_json_int(pn_json_get(v, "stop"));
    if (!pn_str_is(pn_json_str(pn_json_get(v, "content")), " ") || start < 0 || start > 1 || stop != 0 ||
        !*fused)
      return pn_fail(e, PN_ERR_UNSUPPORTED, "decoder: only a Strip of one blank at the start, behind Fuse");
    d->strip_blank = start == 1;
  } else
    return bad("decoder", v, e);
  return true;
}

bool load_decoder(pn_tokenizer *t, const pn_json *v, pn_error *e) {
  bool fused = false;
  if (absent(v)) return true;
  if (!type_is(v, "Sequence")) return decoder_one(t, v, &fused, e);
  const pn_json *list = pn_json_get(v, "decoders");
  for (size_t i = 0; i < pn_json_len(list); i++)
    if (!decoder_one(t, pn_json_at(list, i), &fused, e)) return false;
  return true;
}
