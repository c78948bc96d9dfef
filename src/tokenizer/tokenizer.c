#include "tokenizer/tokenizer.h"

#include "base/map.h"
#include "base/utf8.h"
#include "tokenizer/parts.h"

#include <stdlib.h>

// The fast way; *done when the file could be read so.
static bool load_lists(pn_tokenizer *t, pn_files *files, bool *done, pn_error *e) {
  pn_buf path = {0}, rest = {0};
  pn_map map = {0};
  long_lists lists = {0};
  pn_json *root = NULL;
  pn_buf_printf(&path, "%s/tokenizer.json", pn_files_path(files));
  *done = !path.oom && pn_map_open(&map, pn_buf_cstr(&path), NULL) &&
          long_lists_read(&lists, (pn_str){(const char *)map.p, map.n});
  if (*done) {
    long_lists_rest(&lists, &rest);
    root = rest.oom ? NULL : pn_json_parse(pn_buf_view(&rest), NULL);
    *done = root != NULL;
  }
  bool ok = true;
  if (*done)
    ok = load_json(t, root, &lists, e) ? load_json_ids(t, files, root, e) : pn_fail_in(e, "tokenizer.json");
  pn_json_free(root);
  pn_buf_fini(&rest);
  pn_buf_fini(&path);
  long_lists_fini(&lists);
  pn_map_close(&map);
  return ok;
}

static bool load_folder(pn_tokenizer *t, pn_files *files, pn_error *e) {
  const pn_json *root;
  bool done;
  if (!load_lists(t, files, &done, e)) return false;
  if (done) return true;
  if (!pn_files_json(files, "tokenizer.json", &root, e)) return false;
  if (!root) return pn_fail(e, PN_ERR_NOT_FOUND, "%s: there is no tokenizer.json", pn_files_path(files));
  if (!load_json(t, root, NULL, e)) return pn_fail_in(e, "tokenizer.json");
  return load_json_ids(t, files, root, e);
}

pn_tokenizer *pn_tokenizer_open(pn_files *files, pn_error *e) {
  pn_tokenizer *t = calloc(1, sizeof *t);
  if (!t) {
    pn_fail(e, PN_ERR_NOMEM, "out of memory for a tokenizer");
    return NULL;
  }
  t->bos = t->eos = -1;
  t->bpe.unk = VOCAB_NONE;
  const pn_gguf *g = pn_files_gguf(files);
  bool ok = g ? load_gguf(t, g, e) && load_gguf_ids(t, g, e) : load_folder(t, files, e);
  if (ok) return t;
  pn_tokenizer_close(t);
  return NULL;
}

void pn_tokenizer_close(pn_tokenizer *t) {
  if (!t) return;
  normalize_fini(&t->normalizer);
  pretok_fini(&t->pretok);
  pn_arena_fini(&t->arena);
  free(t);
}

void pn_ids_fini(pn_ids *ids) {
  free(ids->p);
  *ids = (pn_ids){0};
}

void pn_ids_add(pn_ids *ids, int32_t id) {
  if (ids->oom) return;
  if (ids->n == ids->cap) {
    size_t cap = ids->cap ? ids->cap * 2 : 64;
    int32_t *p = cap < SIZE_MAX / sizeof *p ? realloc(ids->p, cap * sizeof *p) : NULL;
    if (!p) {
      ids->oom = true;
      return;
    }
    ids->p = p;
    ids->cap = cap;
  }
  ids->p[ids->n++] = id;
}

// One call of encode.
typedef struct encoding {
  const pn_tokenizer *t;
  bpe_call bpe;
  pretok_walk walk;
  pn_arena arena; // rewritten text; kept to the end, for words are compared with earlier ones
} encoding;

static bool to_bpe(void *user, pn_str piece, pn_error *e) {
  return bpe_piece(&((encoding *)user)->bpe, piece, e);
}

static bool add_id(encoding *c, uint32_t id, pn_error *e) {
  pn_ids_add(c->bpe.out, (int32_t)id);
  return !c->bpe.out->oom || pn_fail(e, PN_ERR_NOMEM, "out of memory for token ids");
}

// A stretch of text between control tokens.
static bool encode_stretch(encoding *c, pn_str s, bool at_start, pn_error *e) {
  const pn_tokenizer *t = c->t;
  if (s.n == 0) return true;
  if (!normalize_run(&t->normalizer, c->walk.match, &c->arena, s, &s, e)) return false;
  added_walk w = {.set = &t->added_normalized, .text = s};
  for (bool more = true; more;) {
    pn_str before;
    const added_token *hit;
    more = added_next(&w, &before, &hit);
    c->walk.at_start = at_start && before.p == s.p;
    if (!pretok_run(&c->walk, before, e)) return false;
    if (more && !add_id(c, hit->id, e)) return false;
  }
  return true;
}

static bool encode_text(encoding *c, pn_str text, const pn_span *plain, size_t n_plain, pn_error *e) {
  added_walk w = {.set = &c->t->added, .text = text, .plain = plain, .n_plain = n_plain};
  for (bool more = true; more;) {
    pn_str before;
    const added_token *hit;
    more = added_next(&w, &before, &hit);
    if (!encode_stretch(c, before, before.p == text.p, e)) return false;
    if (more && !add_id(c, hit->id, e)) return false;
  }
  return true;
}

bool pn_tokenizer_encode(const pn_tokenizer *t, pn_str text, const pn_span *plain, size_t n_plain,
                         pn_ids *out, pn_error *e) {
  if (text.n == 0) return true;
  size_t valid = pn_utf8_check(text);
  if (valid != text.n) return pn_fail(e, PN_ERR_USAGE, "the text is not valid UTF-8 at byte %zu", valid);
  for (size_t i = 0; i < n_plain; i++)
    if (plain[i].begin > plain[i].end || plain[i].end > text.n || (i && plain[i].begin < plain[i - 1].end))
      return pn_fail(e, PN_ERR_USAGE, "plain range %zu of the text is out of order or out of bounds", i);
  encoding c = {.t = t};
  size_t before = out->n;
  c.walk = (pretok_walk){.p = &t->pretok, .arena = &c.arena, .sink = to_bpe, .user = &c};
  c.walk.match = splitter_match_new(e);
  bool ok = c.walk.match && bpe_call_init(&c.bpe, &t->bpe, out, text.n, e) &&
            encode_text(&c, text, plain, n_plain, e);
  bpe_call_fini(&c.bpe);
  splitter_match_free(c.walk.match);
  pn_arena_fini(&c.arena);
  if (!ok) out->n = before;
  return ok;
}

static const vocab_token *token(const pn_tokenizer *t, int32_t id) {
  static const vocab_token none;
  return id < 0 || (uint32_t)id >= t->vocab.n ? &none : &t->vocab.t[id];
}

int32_t pn_tokenizer_n_vocab(const pn_tokenizer *t) { return (int32_t)t->vocab.n; }

int32_t pn_tokenizer_find(const pn_tokenizer *t, pn_str spelling) {
  uint32_t id = vocab_find(&t->vocab, spelling);
  return id == VOCAB_NONE ? -1 : (int32_t)id;
}

pn_str pn_tokenizer_spelling(const pn_tokenizer *t, int32_t id) { return token(t, id)->spelling; }
bool pn_tokenizer_is_control(const pn_tokenizer *t, int32_t id) {
  return token(t, id)->flags & VOCAB_CONTROL;
}
int32_t pn_tokenizer_bos(const pn_tokenizer *t) { return t->bos; }
int32_t pn_tokenizer_eos(const pn_tokenizer *t) { return t->eos; }
bool pn_tokenizer_adds_bos(const pn_tokenizer *t) { return t->adds_bos; }

const int32_t *pn_tokenizer_end_ids(const pn_tokenizer *t, size_t *n) {
  *n = t->n_ends;
  return t->ends;
}
