#include "dialect/dialect.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CONTROL 128

// The control token that is spelled at the beginning of s: its length, or 0.
static size_t control_length(pn_str s, const pn_tokenizer *k) {
  if (!k || (*s.p != '<' && *s.p != '[')) return 0;
  char closer = *s.p == '<' ? '>' : ']';
  for (size_t n = 1; n <= s.n && n <= MAX_CONTROL; n++) {
    if (s.p[n - 1] != closer) continue;
    int32_t id = pn_tokenizer_find(k, (pn_str){s.p, n});
    if (id >= 0 && pn_tokenizer_is_control(k, id)) return n;
  }
  return 0;
}

void pn_raw_text(pn_buf *out, pn_str text, const pn_tokenizer *k) {
  for (size_t at = 0, n; at < text.n; at += n) {
    size_t n_control = control_length((pn_str){text.p + at, text.n - at}, k);
    n = n_control ? n_control : 1;
    if (n_control) pn_buf_char(out, PN_RAW_BEGIN);
    pn_buf_add(out, text.p + at, n);
    if (n_control) pn_buf_char(out, PN_RAW_END);
  }
}

static bool raw_text(pn_str *out, const char *z, const pn_tokenizer *k) {
  if (!z) return true;
  pn_buf raw = {0};
  pn_raw_text(&raw, pn_str_of(z), k);
  // A text that is empty is another thing than none.
  char *p = raw.oom ? NULL : pn_str_dup(pn_buf_view(&raw));
  *out = (pn_str){p, p ? raw.n : 0};
  pn_buf_fini(&raw);
  return p != NULL;
}

bool pn_tongue_init(pn_tongue *t, const pn_dialect *d, const pn_thinking_marks *m, const pn_tokenizer *k) {
  static const pn_parameter_marks none = {0};
  const pn_parameter_marks *x = d->parameters ? d->parameters : &none;
  *t = (pn_tongue){.dialect = d, .thinking = m};
  const struct {
    pn_str *out;
    const char *text;
  } parts[] = {
      {&t->open, d->open},
      {&t->begin, d->begin},
      {&t->head, d->head},
      {&t->middle, d->middle},
      {&t->tail, d->tail},
      {&t->between, d->between},
      {&t->end, d->end},
      {&t->again, d->again},
      {&t->quote, d->values->quote},
      {&t->think_open, m ? m->open : NULL},
      {&t->think_close, m ? m->close : NULL},
      {&t->key, x->key},
      {&t->value, x->value},
      {&t->pad, x->pad},
      {&t->close, x->close},
      {&t->next, x->next},
  };
  bool ok = true;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    ok = ok && raw_text(parts[i].out, parts[i].text, k);
  if (!ok) pn_tongue_fini(t);
  return ok;
}

void pn_tongue_fini(pn_tongue *t) {
  const pn_str parts[] = {t->open,  t->begin, t->head,  t->middle, t->tail,       t->between,
                          t->end,   t->again, t->quote, t->key,    t->think_open, t->think_close,
                          t->value, t->pad,   t->close, t->next};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) free((void *)(uintptr_t)parts[i].p);
  *t = (pn_tongue){0};
}
