// Values as text: str(), repr() and JSON.
//
// A text that is made from a whole value (repr of a list or dictionary, JSON) is user text in full as soon as
// any part of the value is: the marks between the parts then can't complete a control token either.
#include "template/jbuiltin.h"
#include "template/jeval.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// As Python's repr writes it.
static void jdump_float(double f, char out[40]) {
  if (isnan(f) || isinf(f)) {
    snprintf(out, 40, "%s", isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
    return;
  }
  char z[40];
  int digits = 1;
  // The shortest decimal that reads back as the same number.
  for (; digits <= 17; digits++) {
    snprintf(z, sizeof z, "%.*e", digits - 1, f);
    if (strtod(z, NULL) == f) break;
  }
  int exponent = atoi(strchr(z, 'e') + 1);
  if (exponent < -4 || exponent >= 16)
    snprintf(out, 40, "%.*se%c%02d", (int)(strchr(z, 'e') - z), z, exponent < 0 ? '-' : '+', abs(exponent));
  else if (digits - 1 <= exponent)
    snprintf(out, 40, "%.1f", f);
  else
    snprintf(out, 40, "%.*f", digits - 1 - exponent, f);
}

static bool add_int(jbuild *b, int64_t i) {
  char z[24];
  snprintf(z, sizeof z, "%" PRId64, i);
  return jbuild_z(b, z, false);
}

static bool add_float(jbuild *b, double f) {
  char z[40];
  jdump_float(f, z);
  return jbuild_z(b, z, false);
}

static bool repr_str(jbuild *b, const jtext *t) {
  const pn_str s = jview(t);
  const bool quotes = memchr(s.p, '\'', s.n) && !memchr(s.p, '"', s.n);
  const char quote = quotes ? '"' : '\'';
  size_t plain = 0;
  uint32_t cp;
  if (!jbuild_char(b, (uint32_t)quote, false)) return false;
  for (size_t at = 0, n; at < s.n; at += n) {
    n = junicode_at(s, at, &cp);
    if (cp != (uint32_t)quote && cp != '\\' && junicode_is_printable(cp)) continue;
    char z[16];
    if (cp == '\n' || cp == '\r' || cp == '\t')
      snprintf(z, sizeof z, "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
    else if (cp == (uint32_t)quote || cp == '\\')
      snprintf(z, sizeof z, "\\%c", (char)cp);
    else
      snprintf(z, sizeof z, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
    if (!jbuild_slice(b, t, plain, at) || !jbuild_z(b, z, false)) return false;
    plain = at + n;
  }
  return jbuild_slice(b, t, plain, s.n) && jbuild_char(b, (uint32_t)quote, false);
}

static bool repr(jbuild *b, jvalue v);

static bool repr_seq(jbuild *b, jvalue v) {
  const jseq *s = v.u.seq;
  const bool tuple = v.kind == J_TUPLE;
  if (v.kind == J_VIEW && (!jbuild_z(b, s->view, false) || !jbuild_z(b, "(", false))) return false;
  if (!jbuild_z(b, tuple ? "(" : "[", false)) return false;
  for (size_t i = 0; i < s->n; i++) {
    if (i && !jbuild_z(b, ", ", false)) return false;
    if (!repr(b, s->items[i])) return false;
  }
  if (tuple && s->n == 1 && !jbuild_z(b, ",", false)) return false;
  return jbuild_z(b, tuple ? ")" : v.kind == J_VIEW ? "])" : "]", false);
}

static bool repr_dict(jbuild *b, const jdict *d) {
  if (!jbuild_z(b, "{", false)) return false;
  for (size_t i = 0; i < d->n; i++) {
    if (i && !jbuild_z(b, ", ", false)) return false;
    if (!repr(b, d->keys[i]) || !jbuild_z(b, ": ", false) || !repr(b, d->values[i])) return false;
  }
  return jbuild_z(b, "}", false);
}

static bool repr_range(jbuild *b, const jseq *s) {
  if (!jbuild_z(b, "range(", false) || !add_int(b, s->start) || !jbuild_z(b, ", ", false)) return false;
  if (!add_int(b, s->stop)) return false;
  if (s->step != 1 && (!jbuild_z(b, ", ", false) || !add_int(b, s->step))) return false;
  return jbuild_z(b, ")", false);
}

static bool repr_object(jbuild *b, jvalue v) {
  const char *name = v.kind == J_MACRO ? v.u.macro->name : v.kind == J_GLOBAL ? v.u.global->name : NULL;
  bool ok = jbuild_z(b, "<", false) && jbuild_z(b, jvalue_type(v), false);
  if (name) ok = ok && jbuild_z(b, " '", false) && jbuild_z(b, name, false) && jbuild_z(b, "'", false);
  return ok && jbuild_z(b, ">", false);
}

static bool repr(jbuild *b, jvalue v) {
  if (!jstep(b->c, 1) || !jdeeper(b->c)) return false;
  bool ok;
  switch (v.kind) {
  case J_UNDEFINED: ok = jbuild_z(b, "Undefined", false); break;
  case J_MISSING:
  case J_NONE: ok = jbuild_z(b, "None", false); break;
  case J_BOOL: ok = jbuild_z(b, v.u.b ? "True" : "False", false); break;
  case J_INT: ok = add_int(b, v.u.i); break;
  case J_FLOAT: ok = add_float(b, v.u.f); break;
  case J_STR: ok = repr_str(b, v.u.s); break;
  case J_LIST:
  case J_TUPLE:
  case J_VIEW: ok = repr_seq(b, v); break;
  case J_RANGE: ok = repr_range(b, v.u.seq); break;
  case J_DICT: ok = repr_dict(b, v.u.dict); break;
  case J_NAMESPACE:
    ok = jbuild_z(b, "<Namespace ", false) && repr_dict(b, v.u.dict) && jbuild_z(b, ">", false);
    break;
  default: ok = repr_object(b, v); break;
  }
  b->c->depth--;
  return ok;
}

// The whole text as user text when any of it is.
static const jtext *done(jbuild *b) {
  if (b->n_runs) {
    b->runs[0] = (pn_span){0, b->n};
    b->n_runs = 1;
  }
  return jbuild_done(b);
}

bool jdump_repr(jctx *c, jvalue v, const jtext **out) {
  jbuild *b = jbuild_new(c);
  if (!b || !repr(b, v)) return false;
  return (*out = done(b)) != NULL;
}

bool jdump_str(jctx *c, jvalue v, const jtext **out) {
  if (v.kind == J_STR) return *out = v.u.s, true;
  if (v.kind == J_UNDEFINED) return (*out = jtext_of(c, "")) != NULL;
  return jdump_repr(c, v, out);
}

static bool json_str(jbuild *b, const jtext *t, bool ascii) {
  static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
  const pn_str s = jview(t);
  size_t plain = 0;
  uint32_t cp;
  if (!jbuild_z(b, "\"", false)) return false;
  for (size_t at = 0, n; at < s.n; at += n) {
    n = junicode_at(s, at, &cp);
    if (cp >= 0x20 && cp != '"' && cp != '\\' && (cp < 0x7F || !ascii)) continue;
    char z[16];
    const char *simple = cp && cp < 0x80 ? strchr(from, (int)cp) : NULL;
    if (simple)
      snprintf(z, sizeof z, "\\%c", to[simple - from]);
    else if (cp < 0x10000)
      snprintf(z, sizeof z, "\\u%04x", cp);
    else
      snprintf(z, sizeof z, "\\u%04x\\u%04x", 0xD800 + ((cp - 0x10000) >> 10), 0xDC00 + (cp & 0x3FF));
    if (!jbuild_slice(b, t, plain, at) || !jbuild_z(b, z, false)) return false;
    plain = at + n;
  }
  return jbuild_slice(b, t, plain, s.n) && jbuild_z(b, "\"", false);
}

typedef struct dumper {
  jbuild *b;
  const jdump_json_opts *o;
  int level;
} dumper;

static bool json(dumper *d, jvalue v);

static bool newline(dumper *d) {
  if (!d->o->pretty) return true;
  if (!jbuild_z(d->b, "\n", false)) return false;
  for (int i = 0; i < d->level; i++)
    if (!jbuild_text(d->b, d->o->indent)) return false;
  return true;
}

static bool json_float(jbuild *b, double f) {
  if (isnan(f)) return jbuild_z(b, "NaN", false);
  if (isinf(f)) return jbuild_z(b, f < 0 ? "-Infinity" : "Infinity", false);
  return add_float(b, f);
}

static bool json_scalar(dumper *d, jvalue v) {
  switch (v.kind) {
  case J_NONE: return jbuild_z(d->b, "null", false);
  case J_BOOL: return jbuild_z(d->b, v.u.b ? "true" : "false", false);
  case J_INT: return add_int(d->b, v.u.i);
  case J_FLOAT: return json_float(d->b, v.u.f);
  case J_STR: return json_str(d->b, v.u.s, d->o->ascii);
  default: return jfail_type(d->b->c, "object of type %s is not JSON serializable", jvalue_type(v));
  }
}

static bool json_key(dumper *d, jvalue k) {
  if (k.kind == J_STR) return json_str(d->b, k.u.s, d->o->ascii);
  if (k.kind > J_FLOAT || k.kind < J_NONE)
    return jfail_type(d->b->c, "keys must be str, int, float, bool or None, not %s", jvalue_type(k));
  return jbuild_z(d->b, "\"", false) && json_scalar(d, k) && jbuild_z(d->b, "\"", false);
}

static bool json_list(dumper *d, const jseq *s) {
  if (s->n == 0) return jbuild_z(d->b, "[]", false);
  if (!jbuild_z(d->b, "[", false)) return false;
  d->level++;
  for (size_t i = 0; i < s->n; i++) {
    if (i && !jbuild_text(d->b, d->o->item_sep)) return false;
    if (!newline(d) || !json(d, s->items[i])) return false;
  }
  d->level--;
  return newline(d) && jbuild_z(d->b, "]", false);
}

// Positions of the members in the order of their keys: a merge sort, bottom up.
static size_t *sorted_keys(jctx *c, const jdict *d) {
  size_t *a = jalloc(c, d->n, sizeof *a), *b = jalloc(c, d->n, sizeof *b);
  if (!a || !b) return NULL;
  for (size_t i = 0; i < d->n; i++) a[i] = i;
  for (size_t width = 1; width < d->n; width *= 2) {
    for (size_t from = 0; from < d->n; from += 2 * width) {
      size_t mid = from + width < d->n ? from + width : d->n, end = mid + width < d->n ? mid + width : d->n;
      for (size_t i = from, j = mid, k = from; k < end; k++) {
        int order = i == mid ? 1 : -1;
        if (i < mid && j < end && !jvalue_compare(c, d->keys[a[i]], d->keys[a[j]], "<", &order)) return NULL;
        b[k] = order <= 0 ? a[i++] : a[j++];
      }
    }
    size_t *t = a;
    a = b;
    b = t;
  }
  return a;
}

static bool json_dict(dumper *d, const jdict *m) {
  if (m->n == 0) return jbuild_z(d->b, "{}", false);
  size_t *order = d->o->sort_keys ? sorted_keys(d->b->c, m) : NULL;
  if (d->o->sort_keys && !order) return false;
  if (!jbuild_z(d->b, "{", false)) return false;
  d->level++;
  for (size_t i = 0; i < m->n; i++) {
    const size_t k = order ? order[i] : i;
    if (i && !jbuild_text(d->b, d->o->item_sep)) return false;
    if (!newline(d) || !json_key(d, m->keys[k]) || !jbuild_text(d->b, d->o->key_sep)) return false;
    if (!json(d, m->values[k])) return false;
  }
  d->level--;
  return newline(d) && jbuild_z(d->b, "}", false);
}

static bool json(dumper *d, jvalue v) {
  jctx *c = d->b->c;
  if (!jstep(c, 1) || !jdeeper(c)) return false;
  bool ok = v.kind == J_LIST || v.kind == J_TUPLE ? json_list(d, v.u.seq)
            : v.kind == J_DICT                    ? json_dict(d, v.u.dict)
                                                  : json_scalar(d, v);
  c->depth--;
  return ok;
}

bool jdump_json(jctx *c, jvalue v, const jdump_json_opts *o, const jtext **out) {
  dumper d = {.b = jbuild_new(c), .o = o};
  if (!d.b || !json(&d, v)) return false;
  return (*out = done(d.b)) != NULL;
}
