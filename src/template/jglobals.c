// Built-in functions, and the caller's JSON as values.
#include "base/json.h"
#include "template/jbuiltin.h"
#include "template/jeval.h"

#include <string.h>
#include <time.h>

#define MAX_RANGE 100000 // as Jinja's sandbox has it

static bool g_range(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  int64_t from, to, step;
  jctx *c = call->c;
  if (!jbind(call, "start stop step", 1, a) || !jvalue_as_int(c, a[0], "range's argument", &from))
    return false;
  to = from;
  if (a[1].kind == J_MISSING)
    from = 0;
  else if (!jvalue_as_int(c, a[1], "range's argument", &to))
    return false;
  step = 1;
  if (a[2].kind != J_MISSING && !jvalue_as_int(c, a[2], "range's argument", &step)) return false;
  if (step == 0) return jfail_type(c, "range() arg 3 must not be zero");
  const bool empty = step > 0 ? from >= to : from <= to;
  const uint64_t span = step > 0 ? (uint64_t)to - (uint64_t)from : (uint64_t)from - (uint64_t)to;
  const uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
  const uint64_t n = empty ? 0 : (span - 1) / stride + 1;
  if (n > MAX_RANGE) return jfail(c, PN_ERR_LIMIT, "a range of more than %d numbers", MAX_RANGE);
  jseq *s = jseq_new(c, (size_t)n);
  if (!s || !jstep(c, n / 8)) return false;
  for (uint64_t i = 0; i < n; i++) s->items[i] = jint((int64_t)((uint64_t)from + i * (uint64_t)step));
  s->n = (size_t)n;
  s->start = from;
  s->stop = to;
  s->step = step;
  *out = jseq_value(J_RANGE, s);
  return true;
}

// dict(...) and namespace(...): a mapping or pairs, then keywords.
static bool make_dict(const jcall *call, jdict **out) {
  jctx *c = call->c;
  jdict *d = *out = jdict_new(c, call->n_named);
  jvalue *items, *pair;
  size_t n, two;
  if (!d) return false;
  if (call->n_args > 1) return jfail_type(c, "%s expected at most 1 argument", call->what);
  if (call->n_args == 1 && (call->args[0].kind == J_DICT || call->args[0].kind == J_NAMESPACE)) {
    const jdict *from = call->args[0].u.dict;
    for (size_t i = 0; i < from->n; i++)
      if (!jstep(c, 1) || !jdict_set(c, d, from->keys[i], from->values[i])) return false;
  } else if (call->n_args == 1) {
    if (!jvalue_items(c, call->args[0], &items, &n)) return false;
    for (size_t i = 0; i < n; i++) {
      if (!jvalue_items(c, items[i], &pair, &two)) return false;
      if (two != 2) return jfail_type(c, "%s: element %zu is not a pair", call->what, i);
      if (!jdict_set(c, d, pair[0], pair[1])) return false;
    }
  }
  for (size_t i = 0; i < call->n_named; i++) {
    const jtext *key = jtext_copy(c, call->names[i], JTEXT_PLAIN);
    if (!key || !jdict_set(c, d, jstr(key), call->named[i])) return false;
  }
  return true;
}

static bool g_dict(const jcall *call, jvalue *out) {
  jdict *d;
  if (!make_dict(call, &d)) return false;
  *out = (jvalue){.kind = J_DICT, .u.dict = d};
  return true;
}

static bool g_namespace(const jcall *call, jvalue *out) {
  jdict *d;
  if (!make_dict(call, &d)) return false;
  for (size_t i = 0; i < d->n; i++)
    if (d->keys[i].kind == J_STR && d->keys[i].u.s->n && d->keys[i].u.s->p[0] == '_')
      return jfail_type(call->c, "a namespace can't have attributes that begin with _");
  *out = (jvalue){.kind = J_NAMESPACE, .u.dict = d};
  return true;
}

static bool g_raise_exception(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  const jtext *t;
  (void)out;
  if (!jbind(call, "message", 1, a) || !jdump_str(call->c, a[0], &t)) return false;
  const int n = t->n > 400 ? 400 : (int)t->n;
  return pn_fail(call->c->e, PN_ERR_USAGE, "%.*s", n, t->p);
}

static bool g_strftime_now(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  if (!jbind(call, "format", 1, a)) return false;
  if (a[0].kind != J_STR) return jfail_type(call->c, "strftime_now expects a string");
  const jtext *f = a[0].u.s;
  if (f->n > 500) return jfail(call->c, PN_ERR_LIMIT, "a date format of more than 500 bytes");
  char format[512], z[8192];
  size_t n = 0;
  for (size_t i = 0; i < f->n; i++) {
    // Python's date has no time zone: %z and %Z give nothing.
    if (f->p[i] == '%' && i + 1 < f->n && (f->p[i + 1] == 'z' || f->p[i + 1] == 'Z')) {
      i++;
      continue;
    }
    format[n++] = f->p[i];
    if (f->p[i] == '%' && i + 1 < f->n) format[n++] = f->p[++i];
  }
  format[n] = '\0';
  const time_t now = (time_t)(call->c->now_ms / 1000);
  struct tm tm;
  if (!gmtime_r(&now, &tm)) return jfail(call->c, PN_ERR_USAGE, "the time is out of range");
  const pn_str s = {z, strftime(z, sizeof z, format, &tm)};
  const jtext *t = jtext_copy(call->c, s, f->taint == JTEXT_PLAIN ? JTEXT_PLAIN : JTEXT_USER);
  if (t) *out = jstr(t);
  return t != NULL;
}

static bool g_joiner(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  jseq *s = jseq_new(call->c, 1);
  if (!s || !jbind(call, "sep", 0, a)) return false;
  const jtext *sep = a[0].kind == J_MISSING ? jtext_of(call->c, ", ") : NULL;
  if (a[0].kind == J_MISSING && !sep) return false;
  *out = jseq_value(J_JOINER, s);
  return jseq_push(call->c, s, sep ? jstr(sep) : a[0]);
}

static bool g_cycler(const jcall *call, jvalue *out) {
  jseq *s = jseq_new(call->c, call->n_args);
  if (!s) return false;
  if (call->n_args == 0) return jfail_type(call->c, "at least one item has to be provided");
  for (size_t i = 0; i < call->n_args; i++)
    if (!jseq_push(call->c, s, call->args[i])) return false;
  *out = jseq_value(J_CYCLER, s);
  return true;
}

static const jglobal globals[] = {
    {"range", g_range},
    {"dict", g_dict},
    {"namespace", g_namespace},
    {"raise_exception", g_raise_exception},
    {"strftime_now", g_strftime_now},
    {"joiner", g_joiner},
    {"cycler", g_cycler},
};

const jglobal *jglobal_find(pn_str name) {
  for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
    if (pn_str_is(name, globals[i].name)) return &globals[i];
  return NULL;
}

static bool import_object(jctx *c, const pn_json *j, jtaint taint, int depth, jvalue *out) {
  jdict *d = jdict_new(c, pn_json_len(j));
  if (!d) return false;
  for (const pn_json_member *m = pn_json_first(j); m; m = pn_json_next(j, m)) {
    jvalue v;
    const jtext *key = jtext_new(c, pn_json_key(m), taint);
    if (!key || !jimport(c, pn_json_value(m), taint, depth + 1, &v) || !jdict_set(c, d, jstr(key), v))
      return false;
  }
  *out = (jvalue){.kind = J_DICT, .u.dict = d};
  return true;
}

bool jimport(jctx *c, const pn_json *j, jtaint taint, int depth, jvalue *out) {
  if (depth > 2100) return jfail(c, PN_ERR_LIMIT, "values nested deeper than 2,100 levels");
  switch (pn_json_type_of(j)) {
  case PN_JSON_MISSING:
  case PN_JSON_NULL: *out = jnone(); return true;
  case PN_JSON_BOOL: *out = jbool(pn_json_true(j)); return true;
  case PN_JSON_INT: *out = jint(pn_json_int(j)); return true;
  case PN_JSON_REAL: *out = jfloat(pn_json_num(j)); return true;
  case PN_JSON_STRING: {
    const jtext *t = jtext_new(c, pn_json_str(j), taint);
    if (t) *out = jstr(t);
    return t != NULL;
  }
  case PN_JSON_ARRAY: {
    const size_t n = pn_json_len(j);
    jseq *s = jseq_new(c, n);
    if (!s) return false;
    for (size_t i = 0; i < n; i++) {
      jvalue v;
      if (!jimport(c, pn_json_at(j, i), taint, depth + 1, &v) || !jseq_push(c, s, v)) return false;
    }
    *out = jseq_value(J_LIST, s);
    return true;
  }
  case PN_JSON_OBJECT: return import_object(c, j, taint, depth, out);
  }
  return true;
}
