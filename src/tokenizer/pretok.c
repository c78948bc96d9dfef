#include "tokenizer/pretok.h"

#include "base/utf8.h"

#include <string.h>

void pretok_fini(pretok *p) {
  for (size_t i = 0; i < p->n; i++) splitter_free(p->steps[i].split);
  *p = (pretok){0};
}

static bool run_step(pretok_walk *w, size_t k, pn_str s, bool at_start, pn_error *e);

static bool next_step(pretok_walk *w, size_t k, pn_str s, size_t begin, size_t end, bool at_start,
                      pn_error *e) {
  if (begin >= end) return true;
  return run_step(w, k + 1, (pn_str){s.p + begin, end - begin}, at_start && begin == 0, e);
}

// Isolated matches, the common case: [gap] match [gap] match ...
static bool split_isolated(pretok_walk *w, size_t k, pn_str s, bool at_start, pn_error *e) {
  const pretok_step *st = &w->p->steps[k];
  size_t done = 0;
  while (done < s.n) {
    size_t n = scan_match(st->scan, s, done);
    pn_span hit = {done, done + n};
    if (n == 0) {
      size_t from = done;
      splitter_found f;
      // An empty match cuts nothing: look on behind the next character.
      while ((f = splitter_next(st->split, w->match, s, from, &hit, e)) == SPLITTER_HIT &&
             hit.begin == hit.end) {
        uint32_t cp;
        size_t len = pn_utf8_decode(s, hit.end, &cp);
        from = hit.end + (len ? len : 1);
        if (from >= s.n) f = SPLITTER_NONE;
        if (f == SPLITTER_NONE) break;
      }
      if (f == SPLITTER_FAILED) return false;
      if (f == SPLITTER_NONE) break;
    }
    if (!next_step(w, k, s, done, hit.begin, at_start, e)) return false;
    if (!next_step(w, k, s, hit.begin, hit.end, at_start, e)) return false;
    done = hit.end;
  }
  return next_step(w, k, s, done, s.n, at_start, e);
}

// The state of a cut with any behaviour: a stretch that is not handed on yet.
typedef struct cut {
  pretok_walk *w;
  size_t k;
  pn_str s;
  bool at_start;
  size_t begin, end; // pending; empty when begin == end
  bool was_match;
} cut;

static bool cut_flush(cut *c, pn_error *e) {
  bool ok = next_step(c->w, c->k, c->s, c->begin, c->end, c->at_start, e);
  c->begin = c->end;
  return ok;
}

// The next stretch [c->end, end) is a match or what lies between two.
static bool cut_add(cut *c, size_t end, bool is_match, pn_error *e) {
  bool join = false;
  if (end == c->end) return true;
  switch (c->w->p->steps[c->k].behavior) {
  case PRETOK_ISOLATED:
  case PRETOK_REMOVED: break;
  case PRETOK_MERGED_PREVIOUS: join = is_match && !c->was_match; break;
  case PRETOK_MERGED_NEXT: join = !is_match && c->was_match; break;
  case PRETOK_CONTIGUOUS: join = is_match == c->was_match; break;
  }
  if (!join && !cut_flush(c, e)) return false;
  c->end = end;
  c->was_match = is_match;
  if (is_match && c->w->p->steps[c->k].behavior == PRETOK_REMOVED) c->begin = end;
  return true;
}

static bool split_any(pretok_walk *w, size_t k, pn_str s, bool at_start, pn_error *e) {
  const pretok_step *st = &w->p->steps[k];
  cut c = {w, k, s, at_start, 0, 0, false};
  size_t from = 0;
  while (from < s.n) {
    pn_span hit;
    splitter_found f = splitter_next(st->split, w->match, s, from, &hit, e);
    if (f == SPLITTER_FAILED) return false;
    if (f == SPLITTER_NONE) break;
    from = hit.end;
    if (hit.begin == hit.end) {
      uint32_t cp;
      size_t len = pn_utf8_decode(s, hit.end, &cp);
      from += len ? len : 1;
      continue;
    }
    if (!cut_add(&c, hit.begin, st->invert, e) || !cut_add(&c, hit.end, !st->invert, e)) return false;
  }
  return cut_add(&c, s.n, st->invert, e) && cut_flush(&c, e);
}

static bool split_digits(pretok_walk *w, size_t k, pn_str s, bool at_start, pn_error *e) {
  const pretok_step *st = &w->p->steps[k];
  size_t done = 0, at = 0;
  while (at < s.n) {
    unsigned char c = (unsigned char)s.p[at];
    pn_span hit = {at, at + 1};
    if (c < 0x80) {
      if (c < '0' || c > '9') {
        at++;
        continue;
      }
    } else { // the pattern is \p{N}
      splitter_found f = splitter_next(st->split, w->match, s, at, &hit, e);
      if (f == SPLITTER_FAILED) return false;
      if (f == SPLITTER_NONE) break;
    }
    if (!next_step(w, k, s, done, hit.begin, at_start, e)) return false;
    if (!next_step(w, k, s, hit.begin, hit.end, at_start, e)) return false;
    done = at = hit.end;
  }
  return next_step(w, k, s, done, s.n, at_start, e);
}

static bool put_before(pretok_walk *w, pn_str prefix, pn_str *s, pn_error *e) {
  char *p = pn_arena_alloc(w->arena, prefix.n + s->n);
  if (!p) return pn_fail(e, PN_ERR_NOMEM, "out of memory for splitting text");
  memcpy(p, prefix.p, prefix.n);
  memcpy(p + prefix.n, s->p, s->n);
  *s = (pn_str){p, prefix.n + s->n};
  return true;
}

// Blanks become the replacement, one may be put in front, and each piece begins with one.
static bool metaspace(pretok_walk *w, size_t k, pn_str s, bool at_start, pn_error *e) {
  const pretok_step *st = &w->p->steps[k];
  pn_buf b = {0};
  for (size_t i = 0; i < s.n; i++) {
    if (s.p[i] == ' ')
      pn_buf_str(&b, st->replacement);
    else
      pn_buf_char(&b, s.p[i]);
  }
  const char *copy = b.oom ? NULL : pn_arena_dup(w->arena, pn_buf_view(&b));
  s = (pn_str){copy, b.n};
  pn_buf_fini(&b);
  if (!copy) return pn_fail(e, PN_ERR_NOMEM, "out of memory for splitting text");
  if (!pn_str_starts(s, st->replacement) &&
      (st->prepend == PRETOK_ALWAYS || (st->prepend == PRETOK_FIRST && at_start)) &&
      !put_before(w, st->replacement, &s, e))
    return false;
  return st->split ? split_any(w, k, s, at_start, e) : next_step(w, k, s, 0, s.n, at_start, e);
}

static bool run_step(pretok_walk *w, size_t k, pn_str s, bool at_start, pn_error *e) {
  if (s.n == 0) return true;
  if (k == w->p->n) return w->sink(w->user, s, e);
  const pretok_step *st = &w->p->steps[k];
  switch (st->kind) {
  case PRETOK_DIGITS: return split_digits(w, k, s, at_start, e);
  case PRETOK_SPACE_PREFIX:
    if (s.p[0] != ' ' && !put_before(w, PN_STR(" "), &s, e)) return false;
    return next_step(w, k, s, 0, s.n, at_start, e);
  case PRETOK_METASPACE: return metaspace(w, k, s, at_start, e);
  case PRETOK_SPLIT: break;
  }
  if (st->behavior == PRETOK_ISOLATED) return split_isolated(w, k, s, at_start, e);
  return split_any(w, k, s, at_start, e);
}

bool pretok_run(pretok_walk *w, pn_str text, pn_error *e) { return run_step(w, 0, text, w->at_start, e); }
