#include "grammar/strings.h"

#include <string.h>

#define MAX_STATES 12000
#define MAX_COUNTED 2000000000

// Where in the string a state is. An escape for a control character is \u00 and two digits.
enum { BEFORE, INSIDE, ESCAPED, ESCAPED_U, ESCAPED_U0, ESCAPED_U00, ESCAPED_U000, ESCAPED_U001, AFTER };

typedef struct string_state {
  int32_t at[1 + 2 * STRING_MAX_PARTS]; // of UTF-8 itself, then in, then out (-1: can't match any more)
  int32_t n_chars;
  uint8_t phase;
} string_state;

typedef struct string_source {
  const string_limits *limits;
  const dfa *utf8;
  byte_classes classes;
  bool count;
} string_source;

static void start(const void *ctx, void *state) {
  (void)ctx;
  ((string_state *)state)->phase = BEFORE;
}

// One byte of the string itself.
static bool feed(const string_source *s, const string_state *from, uint8_t byte, string_state *to) {
  const string_limits *l = s->limits;
  *to = *from;
  to->phase = INSIDE;
  to->at[0] = dfa_step(s->utf8, from->at[0], byte);
  if (to->at[0] < 0) return false;
  for (int i = 0; i < l->n_in; i++) {
    to->at[1 + i] = dfa_step(l->in[i], from->at[1 + i], byte);
    if (to->at[1 + i] < 0) return false;
  }
  for (int i = 0; i < l->n_out; i++) {
    int32_t *at = &to->at[1 + STRING_MAX_PARTS + i];
    if (*at >= 0) *at = dfa_step(l->out[i], *at, byte);
  }
  if (!s->count || (byte & 0xC0) == 0x80) return true;
  int64_t enough = l->max >= 0 ? l->max : l->min; // beyond that nothing changes
  if (to->n_chars < enough) {
    to->n_chars++;
    return true;
  }
  return l->max < 0;
}

static bool complete(const string_source *s, const string_state *state) {
  const string_limits *l = s->limits;
  if (!s->utf8->accepts[state->at[0]] || (s->count && state->n_chars < l->min)) return false;
  for (int i = 0; i < l->n_in; i++)
    if (!l->in[i]->accepts[state->at[1 + i]]) return false;
  for (int i = 0; i < l->n_out; i++) {
    int32_t at = state->at[1 + STRING_MAX_PARTS + i];
    if (at >= 0 && l->out[i]->accepts[at]) return false;
  }
  return true;
}

// Whether a character that is written with an escape leads on.
static bool takes_escaped(const dfa *d, int32_t at) {
  for (uint8_t c = 0; c < 0x20; c++)
    if (dfa_step(d, at, c) >= 0) return true;
  return dfa_step(d, at, '"') >= 0 || dfa_step(d, at, '\\') >= 0;
}

// Behind a backslash. What no escape leads on is dropped here already, so that it has no states of its own.
static bool escape(const string_source *s, const string_state *from, string_state *to) {
  const string_limits *l = s->limits;
  *to = *from;
  to->phase = ESCAPED;
  for (int i = 0; i < l->n_in; i++)
    if (!takes_escaped(l->in[i], from->at[1 + i])) return false;
  for (int i = 0; i < l->n_out; i++) {
    int32_t *at = &to->at[1 + STRING_MAX_PARTS + i];
    if (*at >= 0 && !takes_escaped(l->out[i], *at)) *at = -1;
  }
  return s->utf8->accepts[from->at[0]]; // not within a character
}

static bool step_inside(const string_source *s, const string_state *from, uint8_t byte, string_state *to) {
  if (byte == '"') {
    if (!complete(s, from)) return false;
    to->phase = AFTER;
    return true;
  }
  if (byte == '\\') return escape(s, from, to);
  return byte >= 0x20 && feed(s, from, byte, to);
}

// The control character that \u00XX spells has no shorter escape.
static bool step_last_digit(const string_source *s, const string_state *from, uint8_t byte,
                            string_state *to) {
  int digit = byte >= '0' && byte <= '9' ? byte - '0' : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
  int c = (from->phase == ESCAPED_U001 ? 16 : 0) + digit;
  return digit >= 0 && !(c >= '\b' && c <= '\r' && c != '\v') && feed(s, from, (uint8_t)c, to);
}

static bool step(const void *ctx, const void *state, uint8_t byte, void *next) {
  static const char letters[] = "\"\\bfnrt", values[] = "\"\\\b\f\n\r\t";
  const string_source *s = ctx;
  const string_state *from = state;
  string_state *to = next;
  const char *known;
  *to = *from;
  to->phase = (uint8_t)(from->phase + 1);
  switch (from->phase) {
  case BEFORE: return byte == '"';
  case INSIDE: *to = (string_state){0}; return step_inside(s, from, byte, to);
  case ESCAPED:
    if (byte == 'u') return true;
    known = byte ? strchr(letters, byte) : NULL;
    return known && feed(s, from, (uint8_t)values[known - letters], to);
  case ESCAPED_U:
  case ESCAPED_U0: return byte == '0';
  case ESCAPED_U00: to->phase = byte == '1' ? ESCAPED_U001 : ESCAPED_U000; return byte == '0' || byte == '1';
  case ESCAPED_U000:
  case ESCAPED_U001: return step_last_digit(s, from, byte, to);
  default: return false;
  }
}

static bool accepts(const void *ctx, const void *state) {
  (void)ctx;
  return ((const string_state *)state)->phase == AFTER;
}

// Raw text has no quotes and no escapes.
static void start_raw(const void *ctx, void *state) {
  (void)ctx;
  ((string_state *)state)->phase = INSIDE;
}

static bool step_raw(const void *ctx, const void *state, uint8_t byte, void *next) {
  return feed(ctx, state, byte, next);
}

static bool accepts_raw(const void *ctx, const void *state) { return complete(ctx, state); }

static void find_classes(string_source *s, bool raw) {
  byte_classes *c = &s->classes;
  byte_classes_init(c);
  byte_classes_split(c, s->utf8->class_of);
  for (int i = 0; i < s->limits->n_in; i++) byte_classes_split(c, s->limits->in[i]->class_of);
  for (int i = 0; i < s->limits->n_out; i++) byte_classes_split(c, s->limits->out[i]->class_of);
  byte_classes_apart(c, 0x80, 0xBF);
  if (raw) return;
  byte_classes_apart(c, 0, 0x1F);
  for (const char *p = "\"\\bfnrtu01"; *p; p++) byte_classes_apart(c, (uint8_t)*p, (uint8_t)*p);
  for (uint8_t b = '0'; b <= '9'; b++) byte_classes_apart(c, b, b);
  for (uint8_t b = 'a'; b <= 'f'; b++) byte_classes_apart(c, b, b);
}

// Any text: between two characters there is only one state.
static dfa *any_text(pn_error *e) {
  nfa n = {0};
  int32_t at = nfa_state(&n), tail[4] = {at, -1, -1, -1};
  nfa_chars(&n, at, 0, 0x10FFFF, tail);
  dfa *d = dfa_of(&n, at, at, 100, e);
  nfa_fini(&n);
  return d;
}

dfa *texts_dfa(const pn_str *texts, size_t n, pn_error *e) {
  nfa a = {0};
  int32_t from = nfa_state(&a), to = nfa_state(&a);
  for (size_t i = 0; i < n; i++) nfa_jump(&a, nfa_text(&a, from, texts[i]), to);
  dfa *d = dfa_of(&a, from, to, 400000, e);
  nfa_fini(&a);
  return d;
}

// A rule that matches nothing.
static bool build_none(grammar_rule *r, pn_error *e) {
  r->d = texts_dfa(NULL, 0, e);
  return r->d != NULL;
}

static bool build(grammar_rule *r, const string_limits *limits, bool raw, pn_error *e) {
  if (limits->max >= 0 && limits->min > limits->max) return build_none(r, e);
  // Without anything else to watch, the one who follows the rule counts.
  bool bounded = limits->min > 0 || limits->max >= 0;
  bool by_reader = bounded && !raw && limits->n_in == 0 && limits->n_out == 0 && limits->max < MAX_COUNTED &&
                   limits->min < MAX_COUNTED;
  string_source s = {.limits = limits, .count = bounded && !by_reader, .utf8 = any_text(e)};
  if (!s.utf8) return false;
  if (s.count && (limits->min > MAX_STATES || limits->max > MAX_STATES)) {
    dfa_free((dfa *)(uintptr_t)s.utf8);
    return pn_fail(e, PN_ERR_LIMIT,
                   "a length of thousands of characters together with a pattern is too complex");
  }
  find_classes(&s, raw);
  dfa_source source = {
      &s,          sizeof(string_state),    s.classes.class_of,    s.classes.byte_of,
      s.classes.n, raw ? start_raw : start, raw ? step_raw : step, raw ? accepts_raw : accepts};
  int largest = 0; // a long list of names alone has more than MAX_STATES
  for (int i = 0; i < limits->n_out; i++)
    if (limits->out[i]->n_states > largest) largest = limits->out[i]->n_states;
  r->d = dfa_build(&source, MAX_STATES + largest, e);
  dfa_free((dfa *)(uintptr_t)s.utf8);
  if (!r->d) return false;
  if (by_reader) {
    r->counted = true;
    r->inside = dfa_step(r->d, 0, '"');
    r->min_chars = (int32_t)limits->min;
    r->max_chars = (int32_t)limits->max;
  }
  return rules_find_plain(r, e);
}

bool string_rule(grammar_rule *r, const string_limits *limits, pn_error *e) {
  return build(r, limits, false, e);
}

bool raw_string_rule(grammar_rule *r, const string_limits *limits, pn_str mark, pn_error *e) {
  string_limits all = *limits;
  nfa n = {0};
  dfa *holds = NULL;
  r->is_raw = true;
  if (mark.n && all.n_out < STRING_MAX_PARTS) {
    int32_t from = nfa_state(&n), end;
    nfa_add(&n, from, 0, 255, from);
    end = nfa_text(&n, from, mark);
    nfa_add(&n, end, 0, 255, end);
    holds = dfa_of(&n, from, end, MAX_STATES, e);
    nfa_fini(&n);
    if (!holds) return false;
    all.out[all.n_out++] = holds;
  }
  bool ok = build(r, &all, true, e);
  dfa_free(holds);
  return ok;
}
