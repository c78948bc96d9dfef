#include "tokenizer/normalize.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void normalize_fini(normalizer *n) {
  for (size_t i = 0; i < n->n; i++) splitter_free(n->steps[i].regex);
  *n = (normalizer){0};
}

static void replace(pn_buf *out, pn_str s, pn_str from, pn_str to) {
  size_t done = 0;
  for (;;) {
    size_t at;
    if (from.n == 1) {
      const char *hit = memchr(s.p + done, from.p[0], s.n - done);
      at = hit ? (size_t)(hit - s.p) : SIZE_MAX;
    } else
      at = pn_str_find(s, from, done);
    if (at == SIZE_MAX) break;
    pn_buf_add(out, s.p + done, at - done);
    pn_buf_str(out, to);
    done = at + from.n;
  }
  pn_buf_add(out, s.p + done, s.n - done);
}

static bool replace_regex(pn_buf *out, const normalize_step *st, splitter_match *match, pn_str s,
                          pn_error *e) {
  size_t done = 0, from = 0;
  while (from <= s.n) {
    pn_span hit;
    splitter_found f = splitter_next(st->regex, match, s, from, &hit, e);
    if (f == SPLITTER_FAILED) return false;
    if (f == SPLITTER_NONE) break;
    pn_buf_add(out, s.p + done, hit.begin - done);
    pn_buf_str(out, st->to);
    done = from = hit.end;
    if (hit.begin == hit.end) {
      uint32_t cp;
      size_t len = pn_utf8_decode(s, from, &cp);
      from += len ? len : 1;
    }
  }
  pn_buf_add(out, s.p + done, s.n - done);
  return true;
}

// Characters below U+0300 are in form C, begin no composition backwards and have class 0: text may be cut
// before them.
static bool is_inert(unsigned char lead) { return lead < 0xCC; }

// Put marks in the order of their classes (canonical ordering), stably. Insertion is quadratic, so long runs
// are ordered by counting.
static bool order_marks(utf8proc_int32_t *c, size_t n) {
  for (size_t i = 0; i < n;) {
    size_t end = i;
    while (end < n && utf8proc_get_property(c[end])->combining_class) end++;
    if (end - i > 1) {
      utf8proc_int32_t few[32], *copy = end - i <= 32 ? few : malloc((end - i) * sizeof *copy);
      if (!copy) return false;
      size_t at[257] = {0};
      memcpy(copy, c + i, (end - i) * sizeof *copy);
      for (size_t k = 0; k < end - i; k++) at[(utf8proc_get_property(copy[k])->combining_class & 255) + 1]++;
      for (int k = 0; k < 256; k++) at[k + 1] += at[k];
      for (size_t k = 0; k < end - i; k++)
        c[i + at[utf8proc_get_property(copy[k])->combining_class & 255]++] = copy[k];
      if (copy != few) free(copy);
    }
    i = end + (end == i);
  }
  return true;
}

// Form C of a stretch: decompose, order, compose.
static bool compose(pn_buf *out, pn_str s) {
  // A character decomposes canonically to at most four.
  utf8proc_int32_t *c = malloc(sizeof *c * (4 * s.n + 4));
  size_t n = 0;
  if (!c) return false;
  for (size_t at = 0, len; at < s.n; at += len) {
    uint32_t cp;
    len = pn_utf8_decode(s, at, &cp);
    if (len == 0) break; // the text was checked: never here
    int boundary = 0;
    utf8proc_ssize_t k =
        utf8proc_decompose_char((utf8proc_int32_t)cp, c + n, 4, UTF8PROC_DECOMPOSE, &boundary);
    if (k < 0 || k > 4) {
      c[n] = (utf8proc_int32_t)cp;
      k = 1;
    }
    n += (size_t)k;
  }
  bool ok = order_marks(c, n);
  utf8proc_ssize_t m = 0;
  if (ok) m = utf8proc_normalize_utf32(c, (utf8proc_ssize_t)n, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  for (utf8proc_ssize_t i = 0; i < m; i++) {
    char b[4];
    pn_buf_add(out, b, pn_utf8_encode((uint32_t)c[i], b));
  }
  free(c);
  return ok && m >= 0;
}

static bool nfc(pn_buf *out, pn_str s) {
  size_t done = 0, at = 0;
  while (at < s.n) {
    if (is_inert((unsigned char)s.p[at])) {
      at++;
      continue;
    }
    // The character before may take part; the stretch ends before the next inert character.
    size_t begin = at;
    while (begin > done && ((unsigned char)s.p[begin - 1] & 0xC0) == 0x80) begin--;
    if (begin > done) begin--;
    while (at < s.n && (((unsigned char)s.p[at] & 0xC0) == 0x80 || !is_inert((unsigned char)s.p[at]))) at++;
    pn_buf_add(out, s.p + done, begin - done);
    if (!compose(out, (pn_str){s.p + begin, at - begin})) return false;
    done = at;
  }
  pn_buf_add(out, s.p + done, s.n - done);
  return true;
}

static bool has_high(pn_str s) {
  for (size_t i = 0; i < s.n; i++)
    if (!is_inert((unsigned char)s.p[i])) return true;
  return false;
}

bool normalize_run(const normalizer *n, splitter_match *match, pn_arena *arena, pn_str text, pn_str *out,
                   pn_error *e) {
  pn_buf now = {0}, next = {0};
  pn_str s = text;
  bool ok = true;
  for (size_t i = 0; ok && i < n->n && s.n; i++) {
    const normalize_step *st = &n->steps[i];
    if (st->kind == NORMALIZE_NFC && !has_high(s)) continue;
    pn_buf_clear(&next);
    pn_buf_reserve(&next, s.n + s.n / 8 + st->to.n);
    switch (st->kind) {
    case NORMALIZE_PREPEND: pn_buf_str(&next, st->to), pn_buf_str(&next, s); break;
    case NORMALIZE_REPLACE: replace(&next, s, st->from, st->to); break;
    case NORMALIZE_REGEX: ok = replace_regex(&next, st, match, s, e); break;
    case NORMALIZE_NFC:
      if (!nfc(&next, s)) ok = pn_fail(e, PN_ERR_NOMEM, "out of memory for normalising text");
      break;
    }
    if (ok && next.oom) ok = pn_fail(e, PN_ERR_NOMEM, "out of memory for normalising text");
    pn_buf swap = now;
    now = next;
    next = swap;
    s = pn_buf_view(&now);
  }
  *out = s;
  if (ok && s.n && s.p != text.p) {
    char *copy = pn_arena_dup(arena, s);
    *out = (pn_str){copy, s.n};
    if (!copy) ok = pn_fail(e, PN_ERR_NOMEM, "out of memory for normalising text");
  }
  pn_buf_fini(&now);
  pn_buf_fini(&next);
  return ok;
}
