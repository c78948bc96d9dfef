#include "grammar/numbers.h"

#include "grammar/regex.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STATES 12000
#define MAX_DIGITS 18         // of the whole part
#define MAX_FRACTION 17       // digits
#define MAX_COUNTED_RESTS 400 // of all steps: for more, digits are not counted unless there are bounds
#define MAX_STEP 100000       // of multipleOf, in units of its last decimal

// A number as decimal digits, without needless zeros.
typedef struct decimal {
  bool negative;
  char whole[MAX_DIGITS + 2], fraction[MAX_FRACTION + 4];
  int n_whole, n_fraction;
  int huge; // beyond what is ever written: -1 below, 1 above
} decimal;

static void read_decimal(const pn_json *v, decimal *out) {
  char text[400];
  *out = (decimal){0};
  if (pn_json_is(v, PN_JSON_INT)) {
    snprintf(text, sizeof text, "%lld", (long long)pn_json_int(v));
  } else {
    double d = pn_json_num(v);
    if (d >= 1e18 || d <= -1e18) {
      out->huge = d > 0 ? 1 : -1;
      return;
    }
    // The fewest decimals that read back as the same number.
    for (int n = 0; n <= MAX_FRACTION; n++) {
      snprintf(text, sizeof text, "%.*f", n, d);
      if (strtod(text, NULL) == d) break;
    }
  }
  const char *p = text;
  if (*p == '-') out->negative = true, p++;
  while (*p == '0' && p[1] >= '0' && p[1] <= '9') p++;
  int n = (int)strcspn(p, ".");
  if (n > MAX_DIGITS) {
    out->huge = out->negative ? -1 : 1;
    return;
  }
  memcpy(out->whole, p, (size_t)n);
  out->n_whole = n;
  if (p[n] == '.') {
    int m = (int)strlen(p + n + 1);
    while (m > 0 && p[n + m] == '0') m--;
    memcpy(out->fraction, p + n + 1, (size_t)m);
    out->n_fraction = m;
  }
  if (out->n_whole == 1 && out->whole[0] == '0' && out->n_fraction == 0) out->negative = false;
}

// What has been read. Digits are compared with those of each bound from the left; whether they stand at the
// same places is known when the whole part has ended.
enum { BEGIN, SIGN, ZERO, WHOLE, POINT, FRACTION };
#define N_COMPARED (2 * NUMBER_MAX_BOUNDS)
typedef struct number_state {
  uint8_t phase, n_whole, n_fraction;
  bool negative, nonzero;
  int8_t order[N_COMPARED];        // of the digits so far against the bound's: -1, 0, 1
  int32_t rest[NUMBER_MAX_BOUNDS]; // of the digits so far by each step
} number_state;

typedef struct number_source {
  const number_limits *limits;
  decimal bounds[N_COMPARED];      // lower ones, then from NUMBER_MAX_BOUNDS on upper ones
  int64_t step[NUMBER_MAX_BOUNDS]; // in units of 10^-step_decimals
  int step_decimals;
  bool counts; // digits are counted: there are bounds
  byte_classes classes;
} number_source;

static int bound_index(const number_source *s, int i) {
  if (i < s->limits->n_lo) return i;
  return NUMBER_MAX_BOUNDS + i - s->limits->n_lo;
}
static int n_bounds(const number_source *s) { return s->limits->n_lo + s->limits->n_hi; }

static void start(const void *ctx, void *state) {
  (void)ctx;
  *(number_state *)state = (number_state){.phase = BEGIN};
}

static void compare_digit(const number_source *s, number_state *to, char digit, bool fraction, int at) {
  for (int i = 0; i < n_bounds(s); i++) {
    int k = bound_index(s, i);
    const decimal *b = &s->bounds[k];
    int n = fraction ? b->n_fraction : b->n_whole;
    if (to->order[k] || (!fraction && at >= n)) continue;
    char other = at < n ? (fraction ? b->fraction[at] : b->whole[at]) : '0';
    to->order[k] = (int8_t)((digit > other) - (digit < other));
  }
}

// The whole part has ended: more digits are more.
static void settle_whole(const number_source *s, number_state *to) {
  for (int i = 0; i < n_bounds(s); i++) {
    int k = bound_index(s, i), n = s->bounds[k].n_whole;
    if (to->n_whole != n) to->order[k] = to->n_whole > n ? 1 : -1;
  }
}

static bool add_digit(const number_source *s, number_state *to, uint8_t byte, bool fraction) {
  int at = fraction ? to->n_fraction : to->n_whole;
  if (s->counts || fraction) {
    if (at >= (fraction ? MAX_FRACTION : MAX_DIGITS)) return false;
    if (fraction && s->limits->n_multiple && at >= s->step_decimals) return false;
    if (fraction && to->n_whole + at >= DBL_DIG) return false; // who reads it would round it
    compare_digit(s, to, (char)byte, fraction, at);
    *(fraction ? &to->n_fraction : &to->n_whole) = (uint8_t)(at + 1);
  }
  to->nonzero |= byte != '0';
  for (int i = 0; i < s->limits->n_multiple; i++)
    to->rest[i] = (int32_t)(((int64_t)to->rest[i] * 10 + (byte - '0')) % s->step[i]);
  return true;
}

static bool step(const void *ctx, const void *state, uint8_t byte, void *next) {
  const number_source *s = ctx;
  number_state *to = next;
  *to = *(const number_state *)state;
  bool digit = byte >= '0' && byte <= '9';
  switch (to->phase) {
  case BEGIN:
    if (byte == '-') {
      to->negative = true;
      to->phase = SIGN;
      return true;
    }
    // fall through
  case SIGN: to->phase = byte == '0' ? ZERO : WHOLE; return digit && add_digit(s, to, byte, false);
  case WHOLE:
    if (digit) return add_digit(s, to, byte, false);
    // fall through
  case ZERO:
    if (byte != '.' || s->limits->integer || (s->limits->n_multiple && s->step_decimals == 0)) return false;
    if (s->counts) settle_whole(s, to);
    to->phase = POINT;
    return true;
  default: to->phase = FRACTION; return digit && add_digit(s, to, byte, true);
  }
}

// -1, 0, 1: the number against a bound.
static int compare(const number_source *s, const number_state *n, int k) {
  const decimal *b = &s->bounds[k];
  if (b->huge) return -b->huge;
  if (n->negative != b->negative) return n->negative ? -1 : 1;
  int order = n->order[k];
  if (order == 0 && n->n_fraction < b->n_fraction) order = -1; // what is missing are zeros
  return n->negative ? -order : order;
}

static bool accepts(const void *ctx, const void *state) {
  const number_source *s = ctx;
  number_state n = *(const number_state *)state;
  const number_limits *l = s->limits;
  if (n.phase != ZERO && n.phase != WHOLE && n.phase != FRACTION) return false;
  if (n.negative && !n.nonzero) return false;
  if (n.phase != FRACTION && s->counts) settle_whole(s, &n);
  for (int i = 0; i < l->n_lo; i++) {
    int order = compare(s, &n, i);
    if (order < 0 || (order == 0 && l->lo_open[i])) return false;
  }
  for (int i = 0; i < l->n_hi; i++) {
    int order = compare(s, &n, NUMBER_MAX_BOUNDS + i);
    if (order > 0 || (order == 0 && l->hi_open[i])) return false;
  }
  for (int i = 0; i < l->n_multiple; i++) {
    int64_t rest = n.rest[i];
    for (int k = n.n_fraction; k < s->step_decimals; k++) rest = rest * 10 % s->step[i];
    if (rest) return false;
  }
  return true;
}

// Steps as whole numbers of the same unit.
static bool read_steps(number_source *s, pn_error *e) {
  decimal d[NUMBER_MAX_BOUNDS];
  for (int i = 0; i < s->limits->n_multiple; i++) {
    read_decimal(s->limits->multiple_of[i], &d[i]);
    if (d[i].n_fraction > s->step_decimals) s->step_decimals = d[i].n_fraction;
  }
  for (int i = 0; i < s->limits->n_multiple; i++) {
    int64_t v = 0;
    for (int k = 0; k < d[i].n_whole && v <= MAX_STEP; k++) v = v * 10 + (d[i].whole[k] - '0');
    for (int k = 0; k < s->step_decimals && v <= MAX_STEP; k++)
      v = v * 10 + (k < d[i].n_fraction ? d[i].fraction[k] - '0' : 0);
    if (d[i].huge || v > MAX_STEP) return pn_fail(e, PN_ERR_LIMIT, "multipleOf is too fine or too large");
    if (v == 0) return pn_fail(e, PN_ERR_UNSUPPORTED, "multipleOf must be above 0");
    s->step[i] = v;
  }
  return true;
}

bool number_rule(grammar_rule *r, const number_limits *limits, pn_error *e) {
  number_source s = {.limits = limits, .counts = limits->n_lo + limits->n_hi > 0};
  if (!s.counts && limits->n_multiple == 0) {
    r->d = regex_compile(limits->integer
                             ? PN_STR("^(0|-?[1-9][0-9]{0,17})$")
                             : PN_STR("^(0|-?[1-9][0-9]{0,17}|-?0\\.0{0,16}[1-9][0-9]{0,16}|0\\.0{1,17}"
                                      "|-?[1-9][0-9]{0,17}\\.[0-9]{1,17}|"
                                      "-?[1-9](\\.[0-9]{1,17})?[eE][+-]?[0-9]{1,2})$"),
                         e);
    return r->d != NULL;
  }
  if (!read_steps(&s, e)) return false;
  int64_t rests = 1;
  for (int i = 0; i < limits->n_multiple && rests <= MAX_COUNTED_RESTS; i++) rests *= s.step[i];
  s.counts |= rests <= MAX_COUNTED_RESTS;
  for (int i = 0; i < limits->n_lo; i++) read_decimal(limits->lo[i], &s.bounds[i]);
  for (int i = 0; i < limits->n_hi; i++) read_decimal(limits->hi[i], &s.bounds[NUMBER_MAX_BOUNDS + i]);
  byte_classes_init(&s.classes);
  for (const char *p = "0123456789-."; *p; p++) byte_classes_apart(&s.classes, (uint8_t)*p, (uint8_t)*p);
  dfa_source source = {
      &s, sizeof(number_state), s.classes.class_of, s.classes.byte_of, s.classes.n, start, step, accepts};
  r->d = dfa_build(&source, MAX_STATES, e);
  return r->d != NULL;
}
