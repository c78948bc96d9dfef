#include "template/jvalue.h"

#include "template/jbuiltin.h"
#include "template/jeval.h"

#include <string.h>

jvalue jvalue_undefined(jctx *c, const char *owner, pn_str name) {
  jundef *u = pn_arena_alloc(&c->arena, sizeof *u);
  if (u) *u = (jundef){.owner = owner, .name = name};
  return (jvalue){.kind = J_UNDEFINED, .u.undef = u};
}

jvalue jvalue_undefined_because(const char *message, jctx *c) {
  jundef *u = pn_arena_alloc(&c->arena, sizeof *u);
  if (u) *u = (jundef){.message = message};
  return (jvalue){.kind = J_UNDEFINED, .u.undef = u};
}

const char *jvalue_type(jvalue v) {
  static const char *const names[] = {
      [J_MISSING] = "nothing", [J_UNDEFINED] = "Undefined", [J_NONE] = "NoneType",  [J_BOOL] = "bool",
      [J_INT] = "int",         [J_FLOAT] = "float",         [J_STR] = "str",        [J_LIST] = "list",
      [J_TUPLE] = "tuple",     [J_RANGE] = "range",         [J_VIEW] = "dict view", [J_ITER] = "generator",
      [J_DICT] = "dict",       [J_NAMESPACE] = "Namespace", [J_MACRO] = "Macro",    [J_GLOBAL] = "function",
      [J_METHOD] = "method",   [J_LOOP] = "LoopContext",    [J_CYCLER] = "Cycler",  [J_JOINER] = "Joiner",
  };
  return names[v.kind];
}

bool jvalue_is_seq(jvalue v) { return v.kind >= J_LIST && v.kind <= J_ITER; }

bool jvalue_truth(jvalue v) {
  switch (v.kind) {
  case J_MISSING:
  case J_UNDEFINED:
  case J_NONE: return false;
  case J_BOOL: return v.u.b;
  case J_INT: return v.u.i != 0;
  case J_FLOAT: return v.u.f != 0;
  case J_STR: return v.u.s->n > 0;
  case J_LIST:
  case J_TUPLE:
  case J_RANGE:
  case J_VIEW: return v.u.seq->n > 0;
  case J_DICT: return v.u.dict->n > 0;
  default: return true;
  }
}

bool jvalue_number(jvalue v, bool *is_int, int64_t *i, double *f) {
  *is_int = v.kind != J_FLOAT;
  *i = 0;
  switch (v.kind) {
  case J_BOOL: *i = v.u.b; break;
  case J_INT: *i = v.u.i; break;
  case J_FLOAT: *f = v.u.f; return true;
  default: return false;
  }
  *f = (double)*i;
  return true;
}

bool jvalue_as_int(jctx *c, jvalue v, const char *what, int64_t *i) {
  bool is_int;
  double f;
  if (v.kind == J_UNDEFINED) return jfail_undefined(c, v);
  if (jvalue_number(v, &is_int, i, &f) && is_int) return true;
  return jfail_type(c, "%s must be an integer, not '%s'", what, jvalue_type(v));
}

// Numbers of both kinds: -1, 0, 1, or 2 when one is a NaN.
static int compare_numbers(jvalue a, jvalue b) {
  bool ai, bi;
  int64_t x = 0, y = 0;
  double f = 0, g = 0;
  jvalue_number(a, &ai, &x, &f);
  jvalue_number(b, &bi, &y, &g);
  if (ai && bi) return x < y ? -1 : x > y;
  return f < g ? -1 : f > g ? 1 : f == g ? 0 : 2;
}

static bool is_number(jvalue v) { return v.kind == J_BOOL || v.kind == J_INT || v.kind == J_FLOAT; }

static bool eq_seq(jctx *c, const jseq *a, const jseq *b, bool *eq) {
  *eq = a->n == b->n;
  if (!*eq || a == b) return true;
  if (!jdeeper(c)) return false;
  for (size_t i = 0; i < a->n && *eq; i++)
    if (!jvalue_eq(c, a->items[i], b->items[i], eq)) return false;
  c->depth--;
  return true;
}

static bool eq_dict(jctx *c, const jdict *a, const jdict *b, bool *eq) {
  *eq = a->n == b->n;
  if (!*eq || a == b) return true;
  if (!jdeeper(c)) return false;
  for (size_t i = 0; i < a->n && *eq; i++) {
    jvalue *other;
    if (!jdict_get(c, b, a->keys[i], &other)) return false;
    if (!other)
      *eq = false;
    else if (!jvalue_eq(c, a->values[i], *other, eq))
      return false;
  }
  c->depth--;
  return true;
}

bool jvalue_eq(jctx *c, jvalue a, jvalue b, bool *eq) {
  if (!jstep(c, 1)) return false;
  if (is_number(a) && is_number(b)) return *eq = compare_numbers(a, b) == 0, true;
  *eq = false;
  if (a.kind != b.kind) return true;
  switch (a.kind) {
  case J_STR: *eq = pn_str_eq(jview(a.u.s), jview(b.u.s)); return jstep(c, *eq ? a.u.s->n / 1024 : 0);
  case J_NONE:
  case J_UNDEFINED: *eq = true; return true;
  case J_LIST:
  case J_TUPLE:
  case J_RANGE: return eq_seq(c, a.u.seq, b.u.seq, eq);
  case J_DICT: return eq_dict(c, a.u.dict, b.u.dict, eq);
  default: *eq = a.u.seq == b.u.seq; return true; // the same object
  }
}

bool jvalue_compare(jctx *c, jvalue a, jvalue b, const char *op, int *order) {
  if (!jstep(c, 1)) return false;
  if (a.kind == J_UNDEFINED) return jfail_undefined(c, a);
  if (b.kind == J_UNDEFINED) return jfail_undefined(c, b);
  if (is_number(a) && is_number(b)) return *order = compare_numbers(a, b), true;
  if (a.kind == J_STR && b.kind == J_STR) {
    // Bytes of UTF-8 have the order of the characters.
    size_t n = a.u.s->n < b.u.s->n ? a.u.s->n : b.u.s->n;
    *order = n ? memcmp(a.u.s->p, b.u.s->p, n) : 0;
    if (*order == 0) *order = a.u.s->n < b.u.s->n ? -1 : a.u.s->n > b.u.s->n;
    *order = *order < 0 ? -1 : *order > 0;
    return jstep(c, n / 1024);
  }
  if (a.kind != b.kind || (a.kind != J_LIST && a.kind != J_TUPLE))
    return jfail_type(c, "'%s' not supported between instances of '%s' and '%s'", op, jvalue_type(a),
                      jvalue_type(b));
  const jseq *s = a.u.seq, *t = b.u.seq;
  if (!jdeeper(c)) return false;
  for (size_t i = 0; i < s->n && i < t->n; i++) {
    bool eq;
    if (!jvalue_eq(c, s->items[i], t->items[i], &eq)) return false;
    if (eq) continue;
    if (!jvalue_compare(c, s->items[i], t->items[i], op, order)) return false;
    c->depth--;
    return true;
  }
  c->depth--;
  *order = s->n < t->n ? -1 : s->n > t->n;
  return true;
}

bool jvalue_contains(jctx *c, jvalue hay, jvalue needle, bool *in) {
  jvalue *found;
  *in = false;
  switch (hay.kind) {
  case J_STR:
    if (needle.kind != J_STR)
      return jfail_type(c, "'in <string>' requires string as left operand, not %s", jvalue_type(needle));
    *in = pn_str_find(jview(hay.u.s), jview(needle.u.s), 0) != SIZE_MAX;
    return jstep(c, hay.u.s->n / 256);
  case J_DICT:
    if (!jdict_get(c, hay.u.dict, needle, &found)) return false;
    *in = found != NULL;
    return true;
  case J_LIST:
  case J_TUPLE:
  case J_RANGE:
  case J_VIEW:
  case J_ITER:
    for (size_t i = hay.kind == J_ITER ? hay.u.seq->at : 0; i < hay.u.seq->n && !*in; i++) {
      if (hay.kind == J_ITER) hay.u.seq->at = i + 1;
      if (!jvalue_eq(c, hay.u.seq->items[i], needle, in)) return false;
    }
    return true;
  case J_UNDEFINED: return true;
  default: return jfail_type(c, "argument of type '%s' is not iterable", jvalue_type(hay));
  }
}

bool jvalue_len(jctx *c, jvalue v, size_t *n) {
  switch (v.kind) {
  case J_UNDEFINED: *n = 0; return true;
  case J_STR: *n = jtext_chars(v.u.s); return jstep(c, v.u.s->n / 1024);
  case J_LIST:
  case J_TUPLE:
  case J_RANGE:
  case J_VIEW: *n = v.u.seq->n; return true;
  case J_DICT: *n = v.u.dict->n; return true;
  case J_LOOP: *n = v.u.loop->n; return true;
  default: return jfail_type(c, "object of type '%s' has no len()", jvalue_type(v));
  }
}

static bool char_items(jctx *c, const jtext *t, jvalue **items, size_t *n) {
  *n = jtext_chars(t);
  if (!jstep(c, *n) || !(*items = jalloc(c, *n, sizeof **items))) return false;
  size_t at = 0;
  for (size_t i = 0; i < *n; i++) {
    uint32_t cp;
    size_t len = junicode_at(jview(t), at, &cp);
    const jtext *one = jtext_sub(c, t, at, at + len);
    if (!one) return false;
    (*items)[i] = jstr(one);
    at += len;
  }
  return true;
}

bool jvalue_items(jctx *c, jvalue v, jvalue **items, size_t *n) {
  *items = NULL;
  *n = 0;
  switch (v.kind) {
  case J_UNDEFINED: return true;
  case J_STR: return char_items(c, v.u.s, items, n);
  case J_LIST:
  case J_TUPLE:
  case J_RANGE:
  case J_VIEW:
    *items = v.u.seq->items;
    *n = v.u.seq->n;
    return true;
  case J_ITER:
    *items = v.u.seq->items + v.u.seq->at;
    *n = v.u.seq->n - v.u.seq->at;
    v.u.seq->at = v.u.seq->n;
    return true;
  case J_DICT:
    *items = v.u.dict->keys;
    *n = v.u.dict->n;
    return true;
  default: return jfail_type(c, "'%s' object is not iterable", jvalue_type(v));
  }
}

jseq *jseq_new(jctx *c, size_t cap) {
  jseq *s = jalloc(c, 1, sizeof *s);
  if (!s || cap == 0) return s;
  s->cap = cap;
  return (s->items = jalloc(c, cap, sizeof *s->items)) ? s : NULL;
}

bool jseq_push(jctx *c, jseq *s, jvalue v) {
  if (s->n == s->cap) {
    size_t cap = s->cap ? s->cap * 2 : 8;
    jvalue *items = jalloc(c, cap, sizeof *items);
    if (!items) return false;
    if (s->n) memcpy(items, s->items, s->n * sizeof *items);
    s->items = items;
    s->cap = cap;
  }
  s->items[s->n++] = v;
  return true;
}

jvalue jseq_value(jkind kind, jseq *s) { return (jvalue){.kind = kind, .u.seq = s}; }
