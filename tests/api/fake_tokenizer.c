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
  out->p = calloc(text.n ? text.n : 1, sizeof *out->p);
  out->n = out->cap = text.n;
  for (size_t i = 0; i < text.n; i++) out->p[i] = (unsigned char)text.p[i];
  return true;
}
