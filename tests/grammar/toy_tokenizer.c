#include "toy_tokenizer.h"

#include <stdlib.h>
#include <string.h>

static int32_t n_of(const char *const *list) {
  int32_t n = 0;
  while (list[n]) n++;
  return n;
}

static const char *word(const pn_tokenizer *t, int32_t id) {
  int32_t n = n_of(t->words);
  if (id < 256) return NULL;
  return id - 256 < n ? t->words[id - 256] : t->controls[id - 256 - n];
}

int32_t pn_tokenizer_n_vocab(const pn_tokenizer *t) { return 256 + n_of(t->words) + n_of(t->controls); }
bool pn_tokenizer_is_control(const pn_tokenizer *t, int32_t id) { return id >= 256 + n_of(t->words); }

const int32_t *pn_tokenizer_end_ids(const pn_tokenizer *t, size_t *n) {
  static int32_t end;
  end = 256 + n_of(t->words);
  *n = 1;
  return &end;
}

int32_t toy_id(const pn_tokenizer *t, const char *text) {
  for (int32_t id = 256; id < pn_tokenizer_n_vocab(t); id++)
    if (strcmp(word(t, id), text) == 0) return id;
  return (uint8_t)*text;
}

int32_t pn_tokenizer_find(const pn_tokenizer *t, pn_str spelling) {
  for (int32_t id = 256; id < pn_tokenizer_n_vocab(t); id++)
    if (pn_str_is(spelling, word(t, id))) return id;
  return -1;
}

pn_str pn_tokenizer_spelling(const pn_tokenizer *t, int32_t id) { return pn_str_of(word(t, id)); }

static int32_t longest(const pn_tokenizer *t, pn_str s, bool controls) {
  int32_t best = (uint8_t)*s.p;
  size_t best_n = 1;
  for (int32_t id = 256; id < pn_tokenizer_n_vocab(t); id++) {
    pn_str w = pn_str_of(word(t, id));
    if ((controls || !pn_tokenizer_is_control(t, id)) && w.n > best_n && pn_str_starts(s, w))
      best = id, best_n = w.n;
  }
  return best;
}

static size_t length_of(const pn_tokenizer *t, int32_t id) { return id < 256 ? 1 : strlen(word(t, id)); }

size_t toy_tokens(const pn_tokenizer *t, const char *text, int32_t *out) {
  pn_str s = pn_str_of(text);
  size_t n = 0;
  while (s.n) {
    out[n] = longest(t, s, true);
    size_t len = length_of(t, out[n++]);
    s = (pn_str){s.p + len, s.n - len};
  }
  return n;
}

void pn_ids_add(pn_ids *ids, int32_t id) {
  if (ids->n == ids->cap) ids->p = realloc(ids->p, (ids->cap = ids->cap * 2 + 64) * sizeof *ids->p);
  ids->p[ids->n++] = id;
}

void pn_ids_fini(pn_ids *ids) {
  free(ids->p);
  *ids = (pn_ids){0};
}

bool pn_tokenizer_encode(const pn_tokenizer *t, pn_str text, const pn_span *plain, size_t n_plain,
                         pn_ids *out, pn_error *e) {
  (void)plain, (void)n_plain, (void)e;
  while (text.n) {
    int32_t id = longest(t, text, false);
    pn_ids_add(out, id);
    size_t len = length_of(t, id);
    text = (pn_str){text.p + len, text.n - len};
  }
  return true;
}

void pn_tokenizer_decode(const pn_tokenizer *t, const int32_t *ids, size_t n, bool keep_control,
                         pn_buf *out) {
  for (size_t i = 0; i < n; i++) {
    if (ids[i] < 256)
      pn_buf_char(out, (char)ids[i]);
    else if (keep_control || !pn_tokenizer_is_control(t, ids[i]))
      pn_buf_z(out, word(t, ids[i]));
  }
}
