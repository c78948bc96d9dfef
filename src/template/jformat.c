// Python's % formatting.
#include "template/jbuiltin.h"
#include "template/jeval.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// One conversion after its flags were read.
typedef struct conversion {
  bool left, zero, plus, space;
  int width, precision; // precision < 0: none
  char kind;
} conversion;

static const jtext *pad(jctx *c, const jtext *t, const conversion *f) {
  const size_t n = jtext_chars(t), width = (size_t)f->width;
  if (n >= width) return t;
  jbuild *b = jbuild_new(c);
  if (!b || (f->left && !jbuild_text(b, t))) return NULL;
  for (size_t i = n; i < width; i++)
    if (!jbuild_z(b, " ", false)) return NULL;
  return f->left || jbuild_text(b, t) ? jbuild_done(b) : NULL;
}

static const jtext *format_number(jctx *c, jvalue v, const conversion *f) {
  const char kind = f->kind == 'u' || f->kind == 'i' ? 'd' : f->kind;
  const bool whole = strchr("dxXo", kind) != NULL;
  bool is_int;
  int64_t i;
  double d;
  if (v.kind == J_UNDEFINED) return jfail_undefined(c, v), NULL;
  if (!jvalue_number(v, &is_int, &i, &d) || (whole && !is_int && (kind != 'd' || !(fabs(d) < 0x1p63)))) {
    jfail_type(c, "%%%c format: a number is required, not %s", f->kind, jvalue_type(v));
    return NULL;
  }
  if (f->width > 200 || f->precision > 100)
    return jfail(c, PN_ERR_LIMIT, "a number format that is too wide"), NULL;
  if (whole && !is_int) i = (int64_t)d;
  if (whole && kind != 'd' && i < 0)
    return jfail(c, PN_ERR_UNSUPPORTED, "negative numbers in base 8 or 16"), NULL;
  char z[640], spec[32], flags[5] = "";
  if (f->left) strcat(flags, "-");
  if (f->zero && !f->left) strcat(flags, "0");
  if (f->plus && kind != 'x' && kind != 'X' && kind != 'o') strcat(flags, "+");
  if (f->space && !f->plus) strcat(flags, " ");
  if (whole) {
    // A precision of 1 is what C uses when none is given, but then the flag 0 has no effect.
    snprintf(spec, sizeof spec, f->precision >= 0 ? "%%%s*.*ll%c" : "%%%s*ll%c", flags, kind);
    if (f->precision >= 0)
      snprintf(z, sizeof z, spec, f->width, f->precision, (long long)i);
    else
      snprintf(z, sizeof z, spec, f->width, (long long)i);
  } else {
    snprintf(spec, sizeof spec, "%%%s*.*%c", flags, kind);
    snprintf(z, sizeof z, spec, f->width, f->precision >= 0 ? f->precision : 6, d);
  }
  return jtext_copy(c, pn_str_of(z), JTEXT_PLAIN);
}

static const jtext *format_one(jctx *c, jvalue v, const conversion *f) {
  const jtext *t = NULL;
  switch (f->kind) {
  case 's':
  case 'r':
  case 'a':
    if (!(f->kind == 's' ? jdump_str(c, v, &t) : jdump_repr(c, v, &t))) return NULL;
    if (f->precision >= 0 && (size_t)f->precision < jtext_chars(t)) {
      size_t end;
      if (!jtext_offset(c, t, (size_t)f->precision, &end) || !(t = jtext_sub(c, t, 0, end))) return NULL;
    }
    return pad(c, t, f);
  case 'c':
    if (!jdump_str(c, v, &t)) return NULL;
    return pad(c, t, f);
  case 'd':
  case 'i':
  case 'u':
  case 'x':
  case 'X':
  case 'o':
  case 'f':
  case 'F':
  case 'e':
  case 'E':
  case 'g':
  case 'G': return format_number(c, v, f);
  default: jfail_type(c, "unsupported format character '%c'", f->kind); return NULL;
  }
}

static size_t read_int(pn_str s, size_t at, int *out) {
  for (*out = 0; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++)
    if (*out < 100000) *out = *out * 10 + (s.p[at] - '0');
  return at;
}

// Flags, width, precision and kind behind a '%' (and its (name)); gives the offset after them, or 0.
static size_t read_conversion(pn_str s, size_t at, conversion *f) {
  *f = (conversion){.precision = -1};
  for (; at < s.n && s.p[at] && strchr("-0+ #", s.p[at]); at++) {
    if (s.p[at] == '-') f->left = true;
    if (s.p[at] == '0') f->zero = true;
    if (s.p[at] == '+') f->plus = true;
    if (s.p[at] == ' ') f->space = true;
  }
  at = read_int(s, at, &f->width);
  if (at < s.n && s.p[at] == '.') at = read_int(s, at + 1, &f->precision);
  while (at < s.n && s.p[at] && strchr("hlL", s.p[at])) at++;
  if (at >= s.n) return 0;
  f->kind = s.p[at];
  return at + 1;
}

// The value for the conversion whose text begins at `at` (behind the '%').
static bool pick(jctx *c, const jtext *format, size_t *at, const jdict *named, const jvalue *args,
                 size_t n_args, size_t *used, jvalue *out) {
  pn_str s = jview(format);
  if (*at < s.n && s.p[*at] == '(') {
    size_t end = pn_str_find(s, PN_STR(")"), *at);
    if (!named) return jfail_type(c, "format requires a mapping");
    if (end == SIZE_MAX) return jfail_type(c, "incomplete format key");
    pn_str key = {s.p + *at + 1, end - *at - 1};
    const jvalue *v = jdict_find(c, named, key);
    if (!v) return jfail_type(c, "format key '%s' is missing", jquote(c, key));
    *out = *v;
    *at = end + 1;
    *used = n_args;
    return true;
  }
  if (*used >= n_args) return jfail_type(c, "not enough arguments for format string");
  *out = args[(*used)++];
  return true;
}

bool jops_format(jctx *c, const jtext *format, const jvalue *args, size_t n_args, const jdict *named,
                 jvalue *out) {
  jbuild *b = jbuild_new(c);
  const pn_str s = jview(format);
  size_t at = 0, used = 0;
  if (!b) return false;
  for (;;) {
    size_t hit = pn_str_find(s, PN_STR("%"), at);
    if (!jstep(c, 1) || !jbuild_slice(b, format, at, hit == SIZE_MAX ? s.n : hit)) return false;
    if (hit == SIZE_MAX) break;
    at = hit + 1;
    if (at < s.n && s.p[at] == '%') {
      if (!jbuild_slice(b, format, at, at + 1)) return false;
      at++;
      continue;
    }
    jvalue v;
    conversion f;
    const jtext *t;
    if (!pick(c, format, &at, named, args, n_args, &used, &v)) return false;
    if (!(at = read_conversion(s, at, &f))) return jfail_type(c, "incomplete format");
    if (!(t = format_one(c, v, &f)) || !jbuild_text(b, t)) return false;
  }
  if (used < n_args && !named) return jfail_type(c, "not all arguments converted during string formatting");
  const jtext *t = jbuild_done(b);
  if (t) *out = jstr(t);
  return t != NULL;
}
