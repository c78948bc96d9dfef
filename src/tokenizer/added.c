#include "tokenizer/added.h"

#include "base/utf8.h"

#include <string.h>

static bool is_html(pn_str name) {
  static const char *const tags[] = {"a",     "b",     "i",     "u",      "p",       "br",        "hr",
                                     "em",    "h1",    "h2",    "h3",     "h4",      "h5",        "h6",
                                     "li",    "ol",    "ul",    "td",     "th",      "tr",        "sub",
                                     "sup",   "img",   "div",   "pre",    "code",    "span",      "table",
                                     "tbody", "thead", "tfoot", "strong", "caption", "blockquote"};
  for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
    if (pn_str_is(name, tags[i])) return true;
  return false;
}

bool added_is_mark(pn_str s) {
  if (s.n < 3) return false;
  char first = s.p[0], last = s.p[s.n - 1];
  if (first == '[' && last == ']') {
    for (size_t i = 1; i + 1 < s.n; i++)
      if (s.p[i] == '[' || s.p[i] == ']' || s.p[i] == ' ') return false;
    return true;
  }
  if (first != '<' || last != '>') return false;
  pn_str name = {s.p + 1, s.n - 2};
  if (pn_str_is(name, "s") || pn_str_is(name, "/s")) return true; // begin and end of a text
  if (name.p[0] == '/') name = (pn_str){name.p + 1, name.n - 1};
  return !is_html(name);
}

bool added_init(added_set *s, pn_arena *a, const added_token *tokens, size_t n, pn_error *e) {
  size_t total = 1;
  for (size_t i = 0; i < n; i++) total += tokens[i].content.n;
  if (total > UINT32_MAX / 2) return pn_fail(e, PN_ERR_UNSUPPORTED, "the added tokens are too long");
  *s = (added_set){.tokens = tokens, .n = n, .nodes = pn_arena_array(a, total, sizeof *s->nodes)};
  if (!s->nodes) return pn_fail(e, PN_ERR_NOMEM, "out of memory for %zu added tokens", n);
  uint32_t n_nodes = 1;
  for (size_t i = 0; i < n; i++) {
    pn_str c = tokens[i].content;
    uint32_t *link = c.n ? &s->first[(unsigned char)c.p[0]] : NULL;
    for (size_t k = 0; k < c.n; k++) {
      while (*link && s->nodes[*link].byte != (unsigned char)c.p[k]) link = &s->nodes[*link].sibling;
      if (*link == 0) {
        *link = n_nodes;
        s->nodes[n_nodes++].byte = (unsigned char)c.p[k];
      }
      if (k + 1 == c.n)
        s->nodes[*link].token = (uint32_t)i + 1;
      else
        link = &s->nodes[*link].child;
    }
  }
  return true;
}

static bool touches_plain(const added_walk *w, size_t begin, size_t end) {
  for (size_t i = w->plain_at; i < w->n_plain && w->plain[i].begin < end; i++)
    if (w->plain[i].end > begin && w->plain[i].end > w->plain[i].begin) return true;
  return false;
}

// The longest token that may stand at w->at.
static const added_token *longest(const added_walk *w, size_t *end) {
  const added_token *best = NULL;
  size_t at = w->at;
  uint32_t node = w->set->first[(unsigned char)w->text.p[at]];
  while (node) {
    const added_node *d = &w->set->nodes[node];
    if (d->byte != (unsigned char)w->text.p[at]) {
      node = d->sibling;
      continue;
    }
    at++;
    if (d->token) {
      const added_token *t = &w->set->tokens[d->token - 1];
      if (!t->control || !touches_plain(w, w->at, at)) {
        best = t;
        *end = at;
      }
    }
    node = at < w->text.n ? d->child : 0;
  }
  return best;
}

static bool is_space(uint32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

static size_t space_at(pn_str s, size_t at) {
  uint32_t cp;
  size_t n = pn_utf8_decode(s, at, &cp);
  return n && is_space(cp) ? n : 0;
}

static size_t char_before(pn_str s, size_t at, size_t floor) {
  while (at > floor && ((unsigned char)s.p[at - 1] & 0xC0) == 0x80) at--;
  return at > floor ? at - 1 : at;
}

// Letters, digits, the underscore and everything outside of ASCII that is no space.
static bool is_word(pn_str s, size_t at) {
  unsigned char c = (unsigned char)s.p[at];
  if (c >= 0x80) return space_at(s, at) == 0;
  return (c >= '0' && c <= '9') || (c | 32u) - 'a' < 26 || c == '_';
}

static bool stands_alone(pn_str s, size_t begin, size_t end) {
  if (end < s.n && is_word(s, end)) return false;
  return begin == 0 || !is_word(s, char_before(s, begin, 0));
}

bool added_next(added_walk *w, pn_str *before, const added_token **t) {
  const uint32_t *first = w->set->first;
  pn_str s = w->text;
  for (; w->set->n && w->at < s.n; w->at++) {
    if (!first[(unsigned char)s.p[w->at]]) continue;
    while (w->plain_at < w->n_plain && w->plain[w->plain_at].end <= w->at) w->plain_at++;
    size_t begin = w->at, end = 0;
    const added_token *hit = longest(w, &end);
    if (!hit) continue;
    if (hit->single_word && !stands_alone(s, begin, end)) {
      w->at = end - 1;
      continue;
    }
    while (hit->lstrip && begin > w->done) {
      size_t at = char_before(s, begin, w->done);
      if (!space_at(s, at)) break;
      begin = at;
    }
    for (size_t n; hit->rstrip && (n = space_at(s, end)) > 0;) end += n;
    *before = (pn_str){s.p + w->done, begin - w->done};
    *t = hit;
    w->at = w->done = end;
    return true;
  }
  *before = (pn_str){s.p + w->done, s.n - w->done};
  return false;
}
