#include "grammar/regex.h"

#include "base/utf8.h"
#include "grammar/regex_class.h"

#include <stdlib.h>
#include <string.h>

// Marks of the pattern's own: read where the text begins or ends, and nowhere else.
enum { AT_BEGIN = DFA_SYMBOLS, AT_END };

#define MAX_STATES 8000   // of the automaton
#define MAX_NFA 60000     // states on the way
#define MAX_DEPTH 64      // of groups
#define MAX_REPEAT 100000 // of a count
#define NO_MAX (-1)

// The pattern is read straight into an automaton; what is repeated n times is read n times.
typedef struct reader {
  pn_str src;
  size_t at;
  nfa n;
  int depth;
  pn_error *e;
} reader;

static bool refuse(const reader *r, const char *what, size_t at) {
  return pn_fail(r->e, PN_ERR_UNSUPPORTED, "%s at character %zu of the pattern", what, at);
}

static int peek(const reader *r) { return r->at < r->src.n ? (uint8_t)r->src.p[r->at] : -1; }
static bool eat(reader *r, char c) {
  if (peek(r) != c) return false;
  r->at++;
  return true;
}

static bool read_alternatives(reader *r, int32_t from, int32_t *to);

// --- characters --------------------------------------------------------------------------------------------

static int hex_digit(int c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(reader *r, int n_digits, uint32_t *out) {
  uint32_t v = 0;
  for (int i = 0; i < n_digits; i++, r->at++) {
    int d = hex_digit(peek(r));
    if (d < 0) return false;
    v = v * 16 + (uint32_t)d;
  }
  *out = v;
  return true;
}

// Behind \u: four digits, a pair of surrogates, or digits in braces.
static bool read_unicode(reader *r, uint32_t *out) {
  if (eat(r, '{')) {
    uint32_t v = 0;
    size_t first = r->at;
    for (int d; (d = hex_digit(peek(r))) >= 0 && v <= REGEX_LAST_CHAR; r->at++) v = v * 16 + (uint32_t)d;
    *out = v;
    return r->at > first && v <= REGEX_LAST_CHAR && eat(r, '}');
  }
  if (!read_hex(r, 4, out)) return false;
  if (*out < 0xD800 || *out > 0xDBFF) return true;
  uint32_t low;
  size_t back = r->at;
  if (eat(r, '\\') && eat(r, 'u') && read_hex(r, 4, &low) && low >= 0xDC00 && low <= 0xDFFF)
    *out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
  else
    r->at = back;
  return true;
}

// Behind a backslash, a single character.
static bool read_escape(reader *r, uint32_t *out) {
  static const char letters[] = "tnvfr", values[] = "\t\n\v\f\r";
  size_t start = r->at;
  int c = peek(r);
  const char *known = c > 0 ? strchr(letters, c) : NULL;
  if (c < 0) return refuse(r, "a lone backslash", start);
  if (known) {
    r->at++;
    *out = (uint8_t)values[known - letters];
    return true;
  }
  if (c == 'x' || c == 'u') {
    r->at++;
    return (c == 'x' ? read_hex(r, 2, out) : read_unicode(r, out)) || refuse(r, "a malformed escape", start);
  }
  if (c == 'c') {
    int letter = r->at + 1 < r->src.n ? r->src.p[r->at + 1] | 0x20 : 0;
    if (letter < 'a' || letter > 'z') return refuse(r, "a malformed escape \\c", start);
    r->at += 2;
    *out = (uint32_t)letter & 31;
    return true;
  }
  if (c == 'p' || c == 'P') return refuse(r, "the property class \\p", start);
  if (c == '0') {
    r->at++;
    *out = 0;
    return true;
  }
  if (c == 'k' || (c >= '1' && c <= '9')) return refuse(r, "a back reference", start);
  size_t len = pn_utf8_decode(r->src, r->at, out);
  if (len == 0) return refuse(r, "invalid UTF-8", start);
  r->at += len;
  return true;
}

static bool read_char(reader *r, uint32_t *out) {
  size_t len = pn_utf8_decode(r->src, r->at, out);
  if (len == 0) return refuse(r, "invalid UTF-8", r->at);
  r->at += len;
  return true;
}

// One end of a range in a class, or a named class: then *single is false.
static bool read_class_item(reader *r, char_set *s, uint32_t *c, bool *single) {
  *single = true;
  if (!eat(r, '\\')) return read_char(r, c);
  int next = peek(r);
  if (next > 0 && char_set_named(s, (char)next)) {
    r->at++;
    *single = false;
    return true;
  }
  if (eat(r, 'b')) return *c = '\b', true;
  return read_escape(r, c);
}

static bool read_class(reader *r, char_set *s) {
  size_t start = r->at;
  bool inverted = eat(r, '^');
  while (!eat(r, ']')) {
    uint32_t lo, hi;
    bool single, range_ends;
    if (peek(r) < 0) return refuse(r, "a class without its end", start);
    if (!read_class_item(r, s, &lo, &single)) return false;
    if (!single) continue;
    hi = lo;
    if (peek(r) == '-' && r->at + 1 < r->src.n && r->src.p[r->at + 1] != ']') {
      r->at++;
      if (!read_class_item(r, s, &hi, &range_ends)) return false;
      if (!range_ends) { // a class: then the minus stands for itself
        char_set_add(s, '-', '-');
        hi = lo;
      }
    }
    if (hi < lo) return refuse(r, "a range out of order", start);
    char_set_add(s, lo, hi);
  }
  if (inverted) char_set_invert(s);
  return !s->full || refuse(r, "a class of too many parts", start);
}

// --- atoms -------------------------------------------------------------------------------------------------

static bool read_group(reader *r, int32_t from, int32_t *to) {
  size_t start = r->at;
  if (eat(r, '?')) {
    if (eat(r, '=') || eat(r, '!')) return refuse(r, "look-ahead", start);
    if (eat(r, '<')) {
      if (peek(r) == '=' || peek(r) == '!') return refuse(r, "look-behind", start);
      while (peek(r) >= 0 && peek(r) != '>') r->at++;
      r->at++;
    } else if (!eat(r, ':')) {
      return refuse(r, "an unknown kind of group", start);
    }
  }
  if (++r->depth > MAX_DEPTH) return refuse(r, "too many groups in each other", start);
  if (!read_alternatives(r, from, to)) return false;
  r->depth--;
  return eat(r, ')') || refuse(r, "a group without its end", start);
}

static bool read_atom(reader *r, int32_t from, int32_t *to) {
  size_t start = r->at;
  int c = peek(r);
  char_set s = {0};
  if (eat(r, '(')) return read_group(r, from, to);
  if (eat(r, '[')) {
    if (!read_class(r, &s)) return false;
  } else if (eat(r, '.')) {
    char_set_dot(&s);
  } else if (c == '*' || c == '+' || c == '?') {
    return refuse(r, "a repetition of nothing", start);
  } else {
    uint32_t one = 0;
    if (eat(r, '\\')) {
      int next = peek(r);
      if (next == 'b' || next == 'B') return refuse(r, "the word boundary \\b", start);
      if (next > 0 && char_set_named(&s, (char)next))
        r->at++;
      else if (read_escape(r, &one))
        char_set_add(&s, one, one);
      else
        return false;
    } else if (read_char(r, &one)) {
      char_set_add(&s, one, one);
    } else {
      return false;
    }
  }
  *to = nfa_state(&r->n);
  char_set_write(&s, &r->n, from, *to);
  return true;
}

// --- repetition --------------------------------------------------------------------------------------------

static bool read_number(reader *r, int64_t *out) {
  size_t first = r->at;
  int64_t v = 0;
  for (; peek(r) >= '0' && peek(r) <= '9'; r->at++)
    if (v <= MAX_REPEAT) v = v * 10 + (peek(r) - '0');
  *out = v;
  return r->at > first;
}

// *, +, ? or {m,n} behind an atom; false: there is none, and *min = *max = 1. A brace that counts nothing is
// a character.
static bool read_count(reader *r, int64_t *min, int64_t *max) {
  size_t start = r->at;
  *min = *max = 1;
  if (eat(r, '*'))
    *min = 0, *max = NO_MAX;
  else if (eat(r, '+'))
    *max = NO_MAX;
  else if (eat(r, '?'))
    *min = 0;
  else {
    bool counted = eat(r, '{') && read_number(r, min);
    *max = *min;
    if (counted && eat(r, ',') && !read_number(r, max)) *max = NO_MAX;
    if (!counted || !eat(r, '}')) {
      r->at = start;
      *min = *max = 1;
      return false;
    }
  }
  eat(r, '?'); // lazy ones match the same texts
  return true;
}

static bool too_large(const reader *r) {
  return r->n.n_states > MAX_NFA && !pn_fail(r->e, PN_ERR_LIMIT, "the pattern is too complex");
}

// The atom at `start` so many times.
static bool repeat(reader *r, size_t start, int64_t min, int64_t max, int32_t from, int32_t *to) {
  int32_t out = nfa_state(&r->n);
  for (int64_t i = 0; i < min; i++, from = *to) {
    r->at = start;
    if (too_large(r) || !read_atom(r, from, to)) return false;
  }
  if (max == NO_MAX) {
    int32_t loop = nfa_state(&r->n), end;
    nfa_jump(&r->n, from, loop);
    r->at = start;
    if (!read_atom(r, loop, &end)) return false;
    nfa_jump(&r->n, end, loop);
    nfa_jump(&r->n, loop, out);
    *to = out;
    return true;
  }
  for (int64_t i = min; i < max; i++, from = *to) {
    nfa_jump(&r->n, from, out);
    r->at = start;
    if (too_large(r) || !read_atom(r, from, to)) return false;
  }
  nfa_jump(&r->n, from, out);
  *to = out;
  return true;
}

static bool read_term(reader *r, int32_t from, int32_t *to) {
  size_t start = r->at, first = (size_t)r->n.n_edges;
  int64_t min, max;
  if (eat(r, '^') || eat(r, '$')) {
    bool begin = r->src.p[start] == '^';
    *to = nfa_state(&r->n);
    nfa_add(&r->n, from, begin ? AT_BEGIN : AT_END, begin ? AT_BEGIN : AT_END, *to);
    return true;
  }
  // Where the atom ends, and what it is repeated by, is known when it is read once.
  int32_t states = r->n.n_states;
  if (!read_atom(r, from, to)) return false;
  if (!read_count(r, &min, &max)) return true;
  if (max != NO_MAX && max < min) return refuse(r, "a repetition out of order", start);
  if (min > MAX_REPEAT || max > MAX_REPEAT)
    return pn_fail(r->e, PN_ERR_LIMIT, "the pattern repeats too often");
  size_t end = r->at;
  r->n.n_edges = first;
  r->n.n_states = states;
  if (!repeat(r, start, min, max, from, to)) return false;
  r->at = end;
  return true;
}

static bool read_alternatives(reader *r, int32_t from, int32_t *to) {
  *to = nfa_state(&r->n);
  for (;;) {
    int32_t at = nfa_state(&r->n);
    nfa_jump(&r->n, from, at);
    while (peek(r) >= 0 && peek(r) != '|' && peek(r) != ')')
      if (too_large(r) || !read_term(r, at, &at)) return false;
    nfa_jump(&r->n, at, *to);
    if (!eat(r, '|')) return true;
  }
}

// --- anchors -----------------------------------------------------------------------------------------------

// Spread a mark over jumps and edges of `symbol`, forward or backward.
static void spread(const nfa *n, bool *mark, int32_t symbol, bool forward) {
  for (bool more = true; more;) {
    more = false;
    for (size_t i = 0; i < n->n_edges; i++) {
      const nfa_edge *x = &n->edges[i];
      int32_t from = forward ? x->from : x->to, to = forward ? x->to : x->from;
      if ((x->lo < 0 || x->lo == symbol) && mark[from] && !mark[to]) mark[to] = more = true;
    }
  }
}

// What stands for the text's begin may only be passed before anything is read, its end only after everything.
static dfa *bind_anchors(nfa *n, int32_t start, int32_t final, bool *begin, bool *end, pn_error *e) {
  int32_t s = nfa_state(n), f = nfa_state(n), n_states = s;
  begin[start] = true;
  end[final] = true;
  spread(n, begin, AT_BEGIN, true);
  spread(n, end, AT_END, false);
  size_t m = 0;
  for (size_t i = 0; i < n->n_edges; i++)
    if (n->edges[i].lo < DFA_SYMBOLS) n->edges[m++] = n->edges[i];
  n->n_edges = m;
  for (int32_t i = 0; i < n_states; i++) {
    if (begin[i]) nfa_jump(n, s, i);
    if (end[i]) nfa_jump(n, i, f);
  }
  return dfa_of(n, s, f, MAX_STATES, e);
}

static void write_any(nfa *n, int32_t at) {
  int32_t tail[4] = {at, -1, -1, -1};
  nfa_chars(n, at, 0, REGEX_LAST_CHAR, tail);
}

dfa *regex_compile(pn_str pattern, pn_error *e) {
  reader r = {.src = pattern, .e = e};
  int32_t start = nfa_state(&r.n), to = 0, final;
  dfa *d = NULL;
  write_any(&r.n, start); // found somewhere
  if (read_alternatives(&r, start, &to)) {
    if (r.at < pattern.n) {
      refuse(&r, "an unexpected )", r.at);
    } else {
      final = nfa_state(&r.n);
      nfa_jump(&r.n, to, final);
      write_any(&r.n, final);
      bool *marks = calloc((size_t)r.n.n_states, 2 * sizeof *marks);
      d = marks ? bind_anchors(&r.n, start, final, marks, marks + r.n.n_states, e)
                : (pn_fail(e, PN_ERR_NOMEM, "out of memory for a pattern"), NULL);
      free(marks);
    }
  }
  nfa_fini(&r.n);
  return d;
}

bool regex_is_length(pn_str pattern, int64_t *min, int64_t *max) {
  reader r = {.src = pattern, .e = NULL};
  char_set s = {0};
  if (!eat(&r, '^') || !eat(&r, '[') || !read_class(&r, &s)) return false;
  char_set_invert(&s);
  read_count(&r, min, max);
  return s.n == 0 && eat(&r, '$') && r.at == pattern.n && (*max == NO_MAX || *min <= *max);
}
