#include "base/utf8.h"
#include "tokenizer/parts.h"
#include "tokenizer/tokenizer.h"

// What an id adds to the output.
static pn_str bytes_of(const pn_tokenizer *t, int32_t id, bool keep_control, bool *started) {
  if (id < 0 || (uint32_t)id >= t->vocab.n) return (pn_str){0};
  const vocab_token *k = &t->vocab.t[id];
  if (k->flags & VOCAB_CONTROL && !keep_control) return (pn_str){0};
  pn_str s = k->bytes;
  if (s.n == 0) return s;
  if (!*started && t->decoder.strip_blank && s.p[0] == ' ') s = (pn_str){s.p + 1, s.n - 1};
  *started = true;
  return s;
}

void pn_tokenizer_decode(const pn_tokenizer *t, const int32_t *ids, size_t n, bool keep_control,
                         pn_buf *out) {
  bool started = false;
  for (size_t i = 0; i < n; i++) pn_buf_str(out, bytes_of(t, ids[i], keep_control, &started));
}

// Make what stands in out from `from` valid UTF-8.
static void repair(pn_buf *out, size_t from) {
  pn_str tail = {out->p + from, out->n - from};
  if (out->oom || pn_utf8_check(tail) == tail.n) return;
  pn_buf fixed = {0};
  pn_utf8_repair(&fixed, tail);
  out->n = from;
  pn_buf_str(out, pn_buf_view(&fixed));
  out->oom |= fixed.oom;
  pn_buf_fini(&fixed);
}

void pn_detokenizer_add(pn_detokenizer *d, int32_t id, pn_buf *out) {
  pn_str s = bytes_of(d->t, id, d->keep_control, &d->started);
  if (s.n == 0) return;
  size_t from = out->n;
  pn_buf_add(out, d->held, d->n_held);
  pn_buf_str(out, s);
  if (out->oom) return;
  pn_str tail = {out->p + from, out->n - from};
  size_t ready = pn_utf8_complete(tail);
  d->n_held = tail.n - ready; // at most 3
  memcpy(d->held, tail.p + ready, d->n_held);
  out->n = from + ready;
  repair(out, from);
}

void pn_detokenizer_flush(pn_detokenizer *d, pn_buf *out) {
  size_t from = out->n;
  if (d->n_held == 0) return;
  pn_buf_add(out, d->held, d->n_held);
  d->n_held = 0;
  repair(out, from);
}
