// Which ids begin and end a text or a turn, as the files say.
#include "tokenizer/parts.h"

static void add_end(pn_tokenizer *t, int64_t id) {
  if (id < 0 || id >= (int64_t)t->vocab.n || !(t->vocab.t[id].flags & VOCAB_USED)) return;
  for (size_t i = 0; i < t->n_ends; i++)
    if (t->ends[i] == id) return;
  if (t->n_ends < PARTS_MAX_ENDS) t->ends[t->n_ends++] = (int32_t)id;
}

// Marks that end a turn in the known families: files often name only one of theirs.
static void add_known_ends(pn_tokenizer *t) {
  // With full-width bars and a low line of its own, as DeepSeek writes it.
  static const char deepseek[] = "<\xEF\xBD\x9C"
                                 "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>";
  static const char *const marks[] = {
      "<|im_end|>",       "<|end|>",
      "<|eot_id|>",       "<|eom_id|>",
      "<end_of_turn>",    "<|eot|>",
      "<|return|>",       "<|call|>",
      "<|end_of_turn|>",  "<|endoftext|>",
      "<turn|>",
      "<|tool_response>", // Gemma 4 hands over to its tools with it
      "<|end_of_text|>",  "<|END_OF_TURN_TOKEN|>",
      deepseek,
  };
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
    uint32_t id = vocab_find(&t->vocab, pn_str_of(marks[i]));
    if (id != VOCAB_NONE && t->vocab.t[id].flags & VOCAB_CONTROL) add_end(t, id);
  }
}

// "text" or {"content": "text"}: its id, or -1.
static int32_t named(const pn_tokenizer *t, const pn_json *v) {
  const pn_json *s = pn_json_is(v, PN_JSON_OBJECT) ? pn_json_get(v, "content") : v;
  return pn_json_is(s, PN_JSON_STRING) ? pn_tokenizer_find(t, pn_json_str(s)) : -1;
}

static bool id_list(pn_tokenizer *t, const pn_json *v, const char *where, pn_error *e) {
  size_t n = pn_json_is(v, PN_JSON_ARRAY) ? pn_json_len(v) : pn_json_is(v, PN_JSON_INT) ? 1 : 0;
  if (n == 0 && v && !pn_json_is(v, PN_JSON_NULL) && !pn_json_is(v, PN_JSON_ARRAY))
    return pn_fail(e, PN_ERR_CORRUPT, "%s: eos_token_id: expected an integer or a list, found %s", where,
                   pn_json_type_name(pn_json_type_of(v)));
  for (size_t i = 0; i < n; i++) {
    const pn_json *id = pn_json_is(v, PN_JSON_ARRAY) ? pn_json_at(v, i) : v;
    if (!pn_json_is(id, PN_JSON_INT))
      return pn_fail(e, PN_ERR_CORRUPT, "%s: eos_token_id[%zu]: expected an integer, found %s", where, i,
                     pn_json_type_name(pn_json_type_of(id)));
    if (t->eos < 0 && pn_json_int(id) >= 0 && pn_json_int(id) < (int64_t)t->vocab.n)
      t->eos = (int32_t)pn_json_int(id);
    add_end(t, pn_json_int(id));
  }
  return true;
}

// A post-processor that puts the BOS in front of a single text.
static bool puts_bos(const pn_tokenizer *t, const pn_json *post) {
  if (pn_str_is(pn_json_str(pn_json_get(post, "type")), "Sequence")) {
    const pn_json *list = pn_json_get(post, "processors");
    for (size_t i = 0; i < pn_json_len(list); i++)
      if (puts_bos(t, pn_json_at(list, i))) return true;
    return false;
  }
  const pn_json *first = pn_json_at(pn_json_get(post, "single"), 0);
  const pn_json *id = pn_json_get(pn_json_get(first, "SpecialToken"), "id");
  return t->bos >= 0 && pn_json_is(id, PN_JSON_STRING) && pn_tokenizer_find(t, pn_json_str(id)) == t->bos;
}

bool load_json_ids(pn_tokenizer *t, pn_files *files, const pn_json *root, pn_error *e) {
  static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json"};
  const pn_json *adds = NULL;
  for (size_t i = 0; i < 2; i++) {
    const pn_json *c;
    if (!pn_files_json(files, names[i], &c, e)) return false;
    if (t->bos < 0) t->bos = named(t, pn_json_get(c, "bos_token"));
    if (t->eos < 0) t->eos = named(t, pn_json_get(c, "eos_token"));
    if (i == 0) adds = pn_json_get(c, "add_bos_token");
  }
  add_end(t, t->eos);
  static const char *const configs[] = {"generation_config.json", "config.json"};
  for (size_t i = 0; i < 2; i++) {
    const pn_json *c;
    if (!pn_files_json(files, configs[i], &c, e)) return false;
    if (!id_list(t, pn_json_get(c, "eos_token_id"), configs[i], e)) return false;
    const pn_json *bos = pn_json_get(c, "bos_token_id");
    if (t->bos < 0 && i == 0 && pn_json_is(bos, PN_JSON_INT) && pn_json_int(bos) >= 0 &&
        pn_json_int(bos) < (int64_t)t->vocab.n)
      t->bos = (int32_t)pn_json_int(bos);
  }
  add_known_ends(t);
  t->adds_bos =
      t->bos >= 0 && (pn_json_is(adds, PN_JSON_BOOL) ? pn_json_true(adds)
                                                     : puts_bos(t, pn_json_get(root, "post_processor")));
  return true;
}

static bool gguf_id(const pn_tokenizer *t, const pn_gguf *g, const char *key, int32_t *out, pn_error *e) {
  const pn_gguf_value *v = pn_gguf_get(g, key);
  int64_t id;
  if (!v) return true;
  if (v->is_array || !pn_gguf_int(v, 0, &id))
    return pn_fail(e, PN_ERR_CORRUPT, "%s: expected an integer, found something else", key);
  if (id == -1 || id == UINT32_MAX) return true; // some files' way to say none
  if (id < 0 || id >= (int64_t)t->vocab.n)
    return pn_fail(e, PN_ERR_CORRUPT, "%s is %lld, outside 0..%u", key, (long long)id, t->vocab.n - 1);
  *out = (int32_t)id;
  return true;
}

bool load_gguf_ids(pn_tokenizer *t, const pn_gguf *g, pn_error *e) {
  int32_t eot = -1, eom = -1;
  if (!gguf_id(t, g, "tokenizer.ggml.bos_token_id", &t->bos, e) ||
      !gguf_id(t, g, "tokenizer.ggml.eos_token_id", &t->eos, e) ||
      !gguf_id(t, g, "tokenizer.ggml.eot_token_id", &eot, e) ||
      !gguf_id(t, g, "tokenizer.ggml.eom_token_id", &eom, e))
    return false;
  add_end(t, t->eos);
  add_end(t, eot);
  add_end(t, eom);
  add_known_ends(t);
  const pn_gguf_value *adds = pn_gguf_get(g, "tokenizer.ggml.add_bos_token");
  int64_t yes = 0;
  // Without the key, SentencePiece models and Llama 3 expect a BOS.
  if (!adds || !pn_gguf_int(adds, 0, &yes))
    yes =
        !t->bpe.byte_level || (t->bpe.ignore_merges && t->pretok.n && t->pretok.steps[0].scan == SCAN_LLAMA3);
  t->adds_bos = t->bos >= 0 && yes;
  return true;
}
