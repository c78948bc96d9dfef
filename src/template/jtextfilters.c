// Filters on text and numbers.
#include "template/jbuiltin.h"
#include "template/jeval.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool give(const jtext *t, jvalue *out) {
  if (t) *out = jstr(t);
  return t != NULL;
}

// Most text filters take anything and work on its str().
static const jtext *self_text(const jcall *call) {
  const jtext *t;
  return jdump_str(call->c, call->self, &t) ? t : NULL;
}

static bool f_string(const jcall *call, jvalue *out) { return give(self_text(call), out); }

static bool f_trim(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *t = self_text(call), *chars = NULL;
  if (!t || !jbind(call, "chars", 0, a)) return false;
  if (a[0].kind == J_STR)
    chars = a[0].u.s;
  else if (a[0].kind != J_MISSING && a[0].kind != J_NONE)
    return jfail_type(call->c, "trim expects a string, not '%s'", jvalue_type(a[0]));
  return give(jtext_strip(call->c, t, chars, true, true), out);
}

static bool f_upper(const jcall *call, jvalue *out) {
  const jtext *t = self_text(call);
  return t && give(jtext_case(call->c, t, JUNICODE_UPPER), out);
}
static bool f_lower(const jcall *call, jvalue *out) {
  const jtext *t = self_text(call);
  return t && give(jtext_case(call->c, t, JUNICODE_LOWER), out);
}
static bool f_capitalize(const jcall *call, jvalue *out) {
  const jtext *t = self_text(call);
  return t && give(jtext_capitalize(call->c, t), out);
}

// Jinja's title: words begin at the start and after - space ( { [ <.
static bool f_title(const jcall *call, jvalue *out) {
  const jtext *t = self_text(call);
  jbuild *b = jbuild_new(call->c);
  if (!t || !b) return false;
  uint32_t cp;
  bool starts = true;
  for (size_t at = 0, n; at < t->n; at += n) {
    n = junicode_at(jview(t), at, &cp);
    const bool border = junicode_is_space(cp) || (cp && cp < 0x80 && strchr("-({[<", (int)cp));
    if (!jstep(call->c, n)) return false;
    if (border ? !jbuild_slice(b, t, at, at + n)
               : !jbuild_mapped(b, t, at, starts ? JUNICODE_UPPER : JUNICODE_LOWER))
      return false;
    starts = border;
  }
  return give(jbuild_done(b), out);
}

static bool f_replace(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *t = self_text(call), *from, *to;
  int64_t count;
  if (!t || !jbind(call, "old new count", 2, a) || !jbind_int(call, a[2], -1, &count)) return false;
  if (!jdump_str(call->c, a[0], &from) || !jdump_str(call->c, a[1], &to)) return false;
  return give(jtext_replace(call->c, t, from, to, count), out);
}

static bool f_escape(const jcall *call, jvalue *out) {
  static const char from[] = "&<>'\"", *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  const jtext *t = self_text(call);
  jbuild *b = jbuild_new(call->c);
  size_t plain = 0;
  if (!t || !b) return false;
  for (size_t at = 0; at < t->n; at++) {
    const char *hit = t->p[at] ? strchr(from, t->p[at]) : NULL;
    if (!hit) continue;
    if (!jbuild_slice(b, t, plain, at)) return false;
    const jtext *one = jtext_sub(call->c, t, at, at + 1);
    if (!one || !jbuild_z(b, to[hit - from], jtext_has_user(one))) return false;
    plain = at + 1;
  }
  return jbuild_slice(b, t, plain, t->n) && give(jbuild_done(b), out);
}

// The lines of the text plus "\n", as Python's splitlines gives them.
static jseq *lines_of(jctx *c, const jtext *t) {
  const jmethod *m = jmethod_find(jstr(t), PN_STR("splitlines"));
  const jtext newline = {.p = "\n", .n = 1, .n_chars = 1};
  const jtext *longer = t->n ? jtext_concat(c, t, &newline) : jtext_of(c, "\n");
  jvalue v;
  if (!longer) return NULL;
  const jcall call = {.c = c, .self = jstr(longer), .what = "splitlines"};
  return m->fn(&call, &v) ? v.u.seq : NULL;
}

static bool f_indent(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  jctx *c = call->c;
  const jtext *t, *with;
  int64_t width = 4;
  if (call->self.kind == J_UNDEFINED) return jfail_undefined(c, call->self);
  if (call->self.kind != J_STR)
    return jfail_type(c, "indent expects a string, not '%s'", jvalue_type(call->self));
  t = call->self.u.s;
  jbuild *b = jbuild_new(c), *space = jbuild_new(c);
  if (!b || !space || !jbind(call, "width first blank", 0, a)) return false;
  if (a[0].kind == J_STR) {
    with = a[0].u.s;
  } else {
    if (!jbind_int(call, a[0], 4, &width)) return false;
    for (int64_t i = 0; i < width; i++)
      if (!jstep(c, 1) || !jbuild_z(space, " ", false)) return false;
    if (!(with = jbuild_done(space))) return false;
  }
  const bool first = jvalue_truth(a[1]), blank = jvalue_truth(a[2]);
  const jseq *lines = lines_of(c, t);
  if (!lines || (first && !jbuild_text(b, with))) return false;
  for (size_t i = 0; i < lines->n; i++) {
    const jtext *line = lines->items[i].u.s;
    if (!jstep(c, 1) || (i && !jbuild_z(b, "\n", false))) return false;
    if (i && (blank || line->n) && !jbuild_text(b, with)) return false;
    if (!jbuild_text(b, line)) return false;
  }
  return give(jbuild_done(b), out);
}

static bool f_truncate(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  jctx *c = call->c;
  const jtext *t, *end;
  size_t n;
  int64_t length, leeway;
  if (!jvalue_len(c, call->self, &n) || !jbind(call, "length killwords end leeway", 0, a)) return false;
  if (!jbind_int(call, a[0], 255, &length) || !jbind_int(call, a[3], 5, &leeway)) return false;
  if (a[2].kind == J_MISSING)
    end = jtext_of(c, "...");
  else if (!jdump_str(c, a[2], &end))
    return false;
  if (!end) return false;
  const int64_t room = length - (int64_t)jtext_chars(end);
  if (room < 0 || leeway < 0) return jfail_type(c, "truncate: the length is too small");
  if (n <= (size_t)length || n - (size_t)length <= (size_t)leeway) return *out = call->self, true;
  if (call->self.kind != J_STR)
    return jfail_type(c, "truncate expects a string, not '%s'", jvalue_type(call->self));
  t = call->self.u.s;
  size_t cut;
  if (!jtext_offset(c, t, (size_t)room, &cut)) return false;
  if (!jvalue_truth(a[1]))
    for (size_t i = cut; i-- > 0;)
      if (t->p[i] == ' ') {
        cut = i;
        break;
      }
  const jtext *head = jtext_sub(c, t, 0, cut);
  return head && give(jtext_concat(c, head, end), out);
}

static bool f_wordcount(const jcall *call, jvalue *out) {
  const jtext *t = self_text(call);
  if (!t) return false;
  int64_t n = 0;
  bool inside = false;
  uint32_t cp;
  for (size_t at = 0; at < t->n;) {
    at += junicode_at(jview(t), at, &cp);
    bool word = cp == '_' || junicode_is_alpha(cp) || junicode_is_numeric(cp);
    n += word && !inside;
    inside = word;
  }
  *out = jint(n);
  return jstep(call->c, t->n / 64);
}

static bool f_center(const jcall *call, jvalue *out) {
  const jtext *t = self_text(call);
  jvalue a[JBIND_MAX];
  if (!t || !jbind(call, "width", 0, a)) return false;
  if (a[0].kind == J_MISSING) a[0] = jint(80);
  const jcall inner = {.c = call->c, .self = jstr(t), .args = a, .n_args = 1, .what = "center"};
  return jmethod_find(inner.self, PN_STR("center"))->fn(&inner, out);
}

static bool f_format(const jcall *call, jvalue *out) {
  const jtext *t = self_text(call);
  if (!t) return false;
  if (call->n_named == 0) return jops_format(call->c, t, call->args, call->n_args, NULL, out);
  if (call->n_args) return jfail_type(call->c, "format takes positional or named arguments, not both");
  jdict *d = jdict_new(call->c, call->n_named);
  if (!d) return false;
  for (size_t i = 0; i < call->n_named; i++) {
    const jtext *key = jtext_new(call->c, call->names[i], JTEXT_PLAIN);
    if (!key || !jdict_set(call->c, d, jstr(key), call->named[i])) return false;
  }
  const jvalue v = {.kind = J_DICT, .u.dict = d};
  return jops_format(call->c, t, &v, 1, d, out);
}

// A whole text as number, white space around and underscores between digits allowed; false when it is none.
static bool read_number(const jcall *call, const jtext *t, int base, bool want_int, int64_t *i, double *f) {
  char z[400];
  size_t n = 0;
  const jtext *s = jtext_strip(call->c, t, NULL, true, true);
  if (!s || s->n == 0 || s->n >= sizeof z) return false;
  for (size_t k = 0; k < s->n; k++) {
    const char ch = s->p[k];
    const bool between = ch == '_' && k && k + 1 < s->n && s->p[k - 1] != '_' && s->p[k + 1] != '_';
    if (ch == '\0' || (unsigned char)ch >= 0x80) return false;
    if (!between) z[n++] = ch;
  }
  z[n] = '\0';
  char *end;
  if (!want_int) {
    if (strpbrk(z, "xX(_")) return false; // C reads hexadecimal floats, Python doesn't
    *f = strtod(z, &end);
    return *end == '\0' && end != z;
  }
  const char *digits = z + (*z == '-' || *z == '+');
  if (base == 16 && digits[0] == '0' && (digits[1] | 32) == 'x') digits += 2;
  if ((base == 8 || base == 2) && digits[0] == '0' && (digits[1] | 32) == (base == 8 ? 'o' : 'b'))
    digits += 2;
  int64_t v = 0;
  if (!*digits) return false;
  for (; *digits; digits++) {
    const int d = *digits >= '0' && *digits <= '9'                 ? *digits - '0'
                  : (*digits | 32) >= 'a' && (*digits | 32) <= 'z' ? (*digits | 32) - 'a' + 10
                                                                   : 99;
    if (d >= base || __builtin_mul_overflow(v, (int64_t)base, &v) ||
        __builtin_sub_overflow(v, (int64_t)d, &v))
      return false;
  }
  if (*z != '-' && v == INT64_MIN) return false;
  *i = *z == '-' ? v : -v;
  return true;
}

static bool f_int(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  int64_t base, i = 0;
  double f = NAN;
  bool is_int;
  if (!jbind(call, "default base", 0, a) || !jbind_int(call, a[1], 10, &base)) return false;
  if (base < 2 || base > 36) return jfail_type(call->c, "int: the base must be 2 to 36");
  if (call->self.kind == J_UNDEFINED) return jfail_undefined(call->c, call->self);
  *out = a[0].kind == J_MISSING ? jint(0) : a[0];
  if (call->self.kind == J_STR) {
    if (read_number(call, call->self.u.s, (int)base, true, &i, &f)) return *out = jint(i), true;
    if (!read_number(call, call->self.u.s, 10, false, &i, &f)) return true;
  } else if (!jvalue_number(call->self, &is_int, &i, &f)) {
    return true;
  } else if (is_int) {
    return *out = jint(i), true;
  }
  if (!isfinite(f)) return true;
  if (!(fabs(f) < 0x1p63)) return jfail(call->c, PN_ERR_UNSUPPORTED, "an integer of more than 64 bits");
  *out = jint((int64_t)f);
  return true;
}

static bool f_float(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  int64_t i;
  double f;
  bool is_int;
  if (!jbind(call, "default", 0, a)) return false;
  if (call->self.kind == J_UNDEFINED) return jfail_undefined(call->c, call->self);
  *out = a[0].kind == J_MISSING ? jfloat(0) : a[0];
  if (call->self.kind == J_STR ? read_number(call, call->self.u.s, 10, false, &i, &f)
                               : jvalue_number(call->self, &is_int, &i, &f))
    *out = jfloat(f);
  return true;
}

static bool f_abs(const jcall *call, jvalue *out) {
  bool is_int;
  int64_t i;
  double f;
  if (call->self.kind == J_UNDEFINED) return jfail_undefined(call->c, call->self);
  if (!jvalue_number(call->self, &is_int, &i, &f))
    return jfail_type(call->c, "bad operand type for abs(): '%s'", jvalue_type(call->self));
  if (!is_int) return *out = jfloat(fabs(f)), true;
  return i < 0 ? jops_negate(call->c, jint(i), out) : (*out = jint(i), true);
}

static bool f_round(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  int64_t digits, i;
  double f;
  bool is_int;
  if (!jbind(call, "precision method", 0, a) || !jbind_int(call, a[0], 0, &digits)) return false;
  const pn_str method = a[1].kind == J_STR ? jview(a[1].u.s) : PN_STR("common");
  if (call->self.kind == J_UNDEFINED) return jfail_undefined(call->c, call->self);
  if (!jvalue_number(call->self, &is_int, &i, &f))
    return jfail_type(call->c, "round expects a number, not '%s'", jvalue_type(call->self));
  if (digits < -300 || digits > 300) return jfail_type(call->c, "round: the precision is out of range");
  if (pn_str_is(method, "common")) {
    if (is_int && digits >= 0) return *out = jint(i), true;
    if (is_int) return jfail(call->c, PN_ERR_UNSUPPORTED, "rounding integers to tens");
    char z[700]; // correct rounding of the decimal value, ties to even as the C library does
    if (digits < 0) {
      const double p = pow(10, (double)-digits);
      return *out = jfloat(nearbyint(f / p) * p), true;
    }
    snprintf(z, sizeof z, "%.*f", (int)digits, f);
    *out = jfloat(isfinite(f) ? strtod(z, NULL) : f);
    return true;
  }
  const bool up = pn_str_is(method, "ceil");
  if (!up && !pn_str_is(method, "floor")) return jfail_type(call->c, "method must be common, ceil or floor");
  const double p = pow(10, (double)digits);
  const double whole = up ? ceil(f * p) : floor(f * p);
  *out = jfloat(whole / p);
  return true;
}

static bool f_default(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  if (!jbind(call, "default_value boolean", 0, a)) return false;
  const bool use = call->self.kind == J_UNDEFINED || (jvalue_truth(a[1]) && !jvalue_truth(call->self));
  if (!use) return *out = call->self, true;
  if (a[0].kind == J_MISSING) return give(jtext_of(call->c, ""), out);
  *out = a[0];
  return true;
}

// The separators argument: a pair of texts.
static bool separators(const jcall *call, jvalue v, jdump_json_opts *o) {
  if (v.kind == J_MISSING || v.kind == J_NONE) return true;
  const bool pair = (v.kind == J_TUPLE || v.kind == J_LIST) && v.u.seq->n == 2 &&
                    v.u.seq->items[0].kind == J_STR && v.u.seq->items[1].kind == J_STR;
  if (!pair) return jfail_type(call->c, "tojson: separators must be two strings");
  o->item_sep = v.u.seq->items[0].u.s;
  o->key_sep = v.u.seq->items[1].u.s;
  return true;
}

static bool f_tojson(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  jctx *c = call->c;
  int64_t width;
  if (!jbind(call, "ensure_ascii indent separators sort_keys", 0, a)) return false;
  jdump_json_opts o = {.ascii = jvalue_truth(a[0]), .sort_keys = jvalue_truth(a[3])};
  o.pretty = a[1].kind != J_MISSING && a[1].kind != J_NONE;
  o.item_sep = jtext_of(c, o.pretty ? "," : ", ");
  o.key_sep = jtext_of(c, ": ");
  if (a[1].kind == J_STR) {
    o.indent = a[1].u.s;
  } else {
    jbuild *b = jbuild_new(c);
    if (!b || !jbind_int(call, a[1], 0, &width)) return false;
    for (int64_t i = 0; i < width; i++)
      if (!jstep(c, 1) || !jbuild_z(b, " ", false)) return false;
    o.indent = jbuild_done(b);
  }
  const jtext *t;
  if (!o.item_sep || !o.key_sep || !o.indent || !separators(call, a[2], &o)) return false;
  return jdump_json(c, call->self, &o, &t) && give(t, out);
}

const jfilter jtextfilters_table[] = {
    {"string", f_string},
    {"safe", f_string},
    {"trim", f_trim},
    {"upper", f_upper},
    {"lower", f_lower},
    {"capitalize", f_capitalize},
    {"title", f_title},
    {"replace", f_replace},
    {"e", f_escape},
    {"escape", f_escape},
    {"forceescape", f_escape},
    {"indent", f_indent},
    {"truncate", f_truncate},
    {"wordcount", f_wordcount},
    {"center", f_center},
    {"format", f_format},
    {"int", f_int},
    {"float", f_float},
    {"abs", f_abs},
    {"round", f_round},
    {"default", f_default},
    {"d", f_default},
    {"tojson", f_tojson},
    {NULL, NULL},
};
