#include "template/jtext.h"

#include "base/utf8.h"
#include "template/jeval.h"

#include <string.h>

const jtext *jtext_new(jctx *c, pn_str s, jtaint taint) {
  jtext *t = jalloc(c, 1, sizeof *t);
  if (t) *t = (jtext){.p = s.p, .n = s.n, .taint = taint, .n_chars = SIZE_MAX};
  return t;
}

const jtext *jtext_copy(jctx *c, pn_str s, jtaint taint) {
  char *p = jalloc(c, s.n + 1, 1);
  if (!p) return NULL;
  if (s.n) memcpy(p, s.p, s.n);
  return jtext_new(c, (pn_str){p, s.n}, taint);
}

const jtext *jtext_of(jctx *c, const char *z) { return jtext_new(c, pn_str_of(z), JTEXT_PLAIN); }

// Index of the first run that ends after position `at` of the runs' own text.
static size_t first_run(const pn_span *runs, size_t n, size_t at) {
  size_t lo = 0, hi = n;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (runs[mid].end <= at)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

// Set taint and runs of `out`, whose n bytes begin at position `base` of these runs, to the simplest form.
static void set_runs(jtext *out, const pn_span *runs, size_t n_runs, size_t base) {
  size_t i = first_run(runs, n_runs, base);
  out->runs = NULL;
  out->n_runs = 0;
  out->base = 0;
  if (out->n == 0 || i == n_runs || runs[i].begin >= base + out->n) {
    out->taint = JTEXT_PLAIN;
  } else if (runs[i].begin <= base && runs[i].end >= base + out->n) {
    out->taint = JTEXT_USER;
  } else {
    out->taint = JTEXT_MIXED;
    out->runs = runs + i;
    out->n_runs = n_runs - i;
    out->base = base;
  }
}

const jtext *jtext_sub(jctx *c, const jtext *t, size_t from, size_t to) {
  if (from == 0 && to == t->n) return t;
  jtext *s = jalloc(c, 1, sizeof *s);
  if (!s) return NULL;
  *s = (jtext){.p = t->p + from, .n = to - from, .taint = t->taint, .n_chars = SIZE_MAX};
  if (t->n_chars == t->n || to == from) s->n_chars = to - from; // ASCII, or nothing
  if (t->taint == JTEXT_MIXED) set_runs(s, t->runs, t->n_runs, t->base + from);
  if (s->n == 0) s->taint = JTEXT_PLAIN;
  return s;
}

bool jtext_has_user(const jtext *t) { return t->n > 0 && t->taint != JTEXT_PLAIN; }

size_t jtext_chars(const jtext *t) {
  if (t->n_chars != SIZE_MAX) return t->n_chars;
  size_t n = 0;
  for (size_t i = 0; i < t->n; i++) n += ((unsigned char)t->p[i] & 0xC0) != 0x80;
  // Texts of the template are shared between threads and only counted, never written to.
  return n;
}

static size_t skip_chars(const jtext *t, size_t at, size_t chars) {
  while (chars > 0 && at < t->n) {
    at++;
    while (at < t->n && ((unsigned char)t->p[at] & 0xC0) == 0x80) at++;
    chars--;
  }
  return at;
}

bool jtext_offset(jctx *c, const jtext *t, size_t chars, size_t *bytes) {
  size_t n = jtext_chars(t);
  if (!jstep(c, t->n / 1024)) return false;
  *bytes = n == t->n ? (chars < n ? chars : n) : skip_chars(t, 0, chars);
  return true;
}

static bool in_set(const jtext *set, uint32_t cp) {
  if (!set) return junicode_is_space(cp);
  uint32_t x;
  for (size_t i = 0; i < set->n;) {
    i += junicode_at(jview(set), i, &x);
    if (x == cp) return true;
  }
  return false;
}

const jtext *jtext_strip(jctx *c, const jtext *t, const jtext *chars, bool left, bool right) {
  size_t from = 0, to = t->n;
  uint32_t cp;
  while (left && from < to) {
    size_t n = junicode_at(jview(t), from, &cp);
    if (!in_set(chars, cp)) break;
    from += n;
  }
  while (right && to > from) {
    size_t n = junicode_before((pn_str){t->p + from, to - from}, to - from, &cp);
    if (!in_set(chars, cp)) break;
    to -= n;
  }
  if (!jstep(c, (t->n - (to - from)) * (chars ? chars->n : 1) / 64)) return NULL;
  return jtext_sub(c, t, from, to);
}

jbuild *jbuild_new(jctx *c) {
  jbuild *b = jalloc(c, 1, sizeof *b);
  if (b) b->c = c;
  return b;
}

static bool reserve(jbuild *b, size_t extra) {
  if (extra > b->c->max_output || b->n + extra > b->c->max_output)
    return jfail(b->c, PN_ERR_LIMIT, "a text of more than %zu bytes", b->c->max_output);
  if (b->cap - b->n >= extra) return true;
  size_t cap = b->cap ? b->cap * 2 : 64;
  while (cap < b->n + extra) cap *= 2;
  char *p = jalloc(b->c, cap, 1);
  if (!p) return false;
  if (b->n) memcpy(p, b->p, b->n);
  b->p = p;
  b->cap = cap;
  return true;
}

// The n bytes just added come from the user.
static bool mark_user(jbuild *b, size_t n) {
  if (b->n_runs && b->runs[b->n_runs - 1].end == b->n - n) return b->runs[b->n_runs - 1].end = b->n, true;
  if (b->n_runs == b->cap_runs) {
    size_t cap = b->cap_runs ? b->cap_runs * 2 : 8;
    pn_span *runs = jalloc(b->c, cap, sizeof *runs);
    if (!runs) return false;
    if (b->n_runs) memcpy(runs, b->runs, b->n_runs * sizeof *runs);
    b->runs = runs;
    b->cap_runs = cap;
  }
  b->runs[b->n_runs++] = (pn_span){b->n - n, b->n};
  return true;
}

static bool jbuild_add(jbuild *b, const char *p, size_t n, bool user) {
  if (n == 0) return true;
  if (!jstep(b->c, n / 256) || !reserve(b, n)) return false;
  memcpy(b->p + b->n, p, n);
  b->n += n;
  return !user || mark_user(b, n);
}

bool jbuild_z(jbuild *b, const char *z, bool user) { return jbuild_add(b, z, strlen(z), user); }

bool jbuild_char(jbuild *b, uint32_t cp, bool user) {
  char out[4];
  return jbuild_add(b, out, pn_utf8_encode(cp, out), user);
}

bool jbuild_slice(jbuild *b, const jtext *t, size_t from, size_t to) {
  if (t->taint != JTEXT_MIXED) return jbuild_add(b, t->p + from, to - from, t->taint == JTEXT_USER);
  const pn_span *runs = t->runs;
  size_t n_runs = t->n_runs, base = t->base;
  size_t at = from;
  for (size_t i = first_run(runs, n_runs, base + from); at < to; i++) {
    bool more = i < n_runs && runs[i].begin < base + to;
    size_t begin = !more ? to : runs[i].begin > base + at ? runs[i].begin - base : at;
    size_t end = !more ? to : runs[i].end < base + to ? runs[i].end - base : to;
    if (!jbuild_add(b, t->p + at, begin - at, false)) return false;
    if (!jbuild_add(b, t->p + begin, end - begin, true)) return false;
    at = end;
  }
  return true;
}

bool jbuild_text(jbuild *b, const jtext *t) { return jbuild_slice(b, t, 0, t->n); }

const jtext *jbuild_done(jbuild *b) {
  jtext *t = jalloc(b->c, 1, sizeof *t);
  if (!t) return NULL;
  *t = (jtext){.p = b->p ? b->p : "", .n = b->n, .n_chars = SIZE_MAX, .tail = b};
  set_runs(t, b->runs, b->n_runs, 0);
  return t;
}

const jtext *jtext_concat(jctx *c, const jtext *a, const jtext *b) {
  if (a->n == 0) return b;
  if (b->n == 0) return a;
  jbuild *tail = a->tail;
  if (!tail || a->p != tail->p || a->n != tail->n) {
    if (!(tail = jbuild_new(c)) || !jbuild_text(tail, a)) return NULL;
  }
  return jbuild_text(tail, b) ? jbuild_done(tail) : NULL;
}

// Is byte `at` of the text the user's?
static bool user_at(const jtext *t, size_t at) {
  if (t->taint != JTEXT_MIXED) return t->taint == JTEXT_USER;
  const size_t i = first_run(t->runs, t->n_runs, t->base + at);
  return i < t->n_runs && t->runs[i].begin <= t->base + at;
}

size_t jbuild_mapped(jbuild *b, const jtext *t, size_t at, junicode_case to) {
  uint32_t cp, out[3];
  const size_t n = junicode_at(jview(t), at, &cp);
  const int m = junicode_map(to, cp, out);
  const bool user = user_at(t, at);
  for (int i = 0; i < m; i++)
    if (!jbuild_char(b, out[i], user)) return 0;
  return n;
}

const jtext *jtext_case(jctx *c, const jtext *t, junicode_case to) {
  jbuild *b = jbuild_new(c);
  if (!b || !reserve(b, t->n) || !jstep(c, t->n / 16)) return NULL;
  uint32_t cp, out[3];
  size_t plain = 0; // from here to `at` nothing changes
  for (size_t at = 0; at < t->n;) {
    const size_t n = junicode_at(jview(t), at, &cp);
    if (junicode_map(to, cp, out) > 1 || out[0] != cp) {
      if (!jbuild_slice(b, t, plain, at) || !jbuild_mapped(b, t, at, to)) return NULL;
      plain = at + n;
    }
    at += n;
  }
  return jbuild_slice(b, t, plain, t->n) ? jbuild_done(b) : NULL;
}

const jtext *jtext_capitalize(jctx *c, const jtext *t) {
  if (t->n == 0) return t;
  uint32_t cp;
  size_t n = junicode_at(jview(t), 0, &cp);
  const jtext *head = jtext_sub(c, t, 0, n), *tail = jtext_sub(c, t, n, t->n);
  if (!head || !tail || !(head = jtext_case(c, head, JUNICODE_TITLE))) return NULL;
  if (!(tail = jtext_case(c, tail, JUNICODE_LOWER))) return NULL;
  return jtext_concat(c, head, tail);
}

// Python's replace: an empty `from` is found before every character and at the end.
const jtext *jtext_replace(jctx *c, const jtext *t, const jtext *from, const jtext *to, int64_t count) {
  jbuild *b = jbuild_new(c);
  if (!b || !jstep(c, t->n / 64)) return NULL;
  size_t at = 0;
  uint32_t cp;
  while (count != 0) {
    size_t hit = pn_str_find(jview(t), jview(from), at);
    if (hit == SIZE_MAX) break;
    if (from->n == 0) {
      if (!jstep(c, 1) || !jbuild_text(b, to)) return NULL;
      if (at == t->n) return jbuild_done(b);
      size_t n = junicode_at(jview(t), at, &cp);
      if (!jbuild_slice(b, t, at, at + n)) return NULL;
      at += n;
    } else {
      if (!jstep(c, 1) || !jbuild_slice(b, t, at, hit) || !jbuild_text(b, to)) return NULL;
      at = hit + from->n;
    }
    if (count > 0) count--;
  }
  if (at == 0) return t;
  return jbuild_slice(b, t, at, t->n) ? jbuild_done(b) : NULL;
}
