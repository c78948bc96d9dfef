#include "fake_rooms.h"

#include <stdlib.h>

void pn_ids_fini(pn_ids *ids) {
  free(ids->p);
  *ids = (pn_ids){0};
}

bool pn_tokenizer_encode(const pn_tokenizer *t, pn_str text, const pn_span *plain, size_t n_plain,
                         pn_ids *out, pn_error *e) {
  (void)e;
  if (t->n_calls) ++*t->n_calls;
  size_t k = 0;
  bool first = t->seen->n == 0;
  for (size_t i = 0; first && i <= text.n; i++) {
    if (k < n_plain && i == plain[k].end) {
      pn_buf_char(t->seen, '}');
      k++;
    }
    if (k < n_plain && i == plain[k].begin) pn_buf_char(t->seen, '{');
    if (i < text.n) pn_buf_char(t->seen, text.p[i]);
  }
  for (size_t i = 0; i < text.n; i++) pn_ids_add(out, (unsigned char)text.p[i]);
  return true;
}

void pn_ids_add(pn_ids *ids, int32_t id) {
  if (ids->n == ids->cap) ids->p = realloc(ids->p, (ids->cap = ids->cap * 2 + 64) * sizeof *ids->p);
  ids->p[ids->n++] = id;
}

bool pn_tokenizer_is_control(const pn_tokenizer *t, int32_t id) {
  (void)t;
  return (id >= 256 && id < 512) || id == 91; // [ begins all control text of the stand-in template
}

void pn_detokenizer_add(pn_detokenizer *d, int32_t id, pn_buf *out) {
  (void)d;
  if (id >= 512)
    pn_buf_char(out, (char)(id - 512)); // a second token of the same byte
  else if (id < 256)
    pn_buf_char(out, (char)id);
}

void pn_detokenizer_flush(pn_detokenizer *d, pn_buf *out) { (void)d, (void)out; }

int32_t pn_tokenizer_n_vocab(const pn_tokenizer *t) { return (void)t, 1024; }
int32_t pn_tokenizer_bos(const pn_tokenizer *t) { return (void)t, 256; }
bool pn_tokenizer_adds_bos(const pn_tokenizer *t) { return (void)t, false; }

void pn_tokenizer_decode(const pn_tokenizer *t, const int32_t *ids, size_t n, bool keep_control,
                         pn_buf *out) {
  pn_detokenizer d = {.t = t};
  for (size_t i = 0; i < n; i++) {
    if (keep_control && ids[i] >= 256 && ids[i] < 512) pn_buf_printf(out, "<%d>", (int)ids[i]);
    pn_detokenizer_add(&d, ids[i], out);
  }
}

// The control tokens have no spelling that a template writes.
const int32_t *pn_tokenizer_end_ids(const pn_tokenizer *t, size_t *n) {
  static const int32_t ends[] = {256, 257, 300};
  return (void)t, *n = 3, ends;
}
pn_str pn_tokenizer_spelling(const pn_tokenizer *t, int32_t id) {
  return (void)t, (void)id, PN_STR("<|end|>");
}
int32_t pn_tokenizer_find(const pn_tokenizer *t, pn_str s) { return (void)t, (void)s, -1; }
