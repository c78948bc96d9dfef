// Filters on sequences and mappings.
#include "template/jbuiltin.h"
#include "template/jeval.h"

static bool give(const jtext *t, jvalue *out) {
  if (t) *out = jstr(t);
  return t != NULL;
}

static bool f_length(const jcall *call, jvalue *out) {
  size_t n;
  if (!jvalue_len(call->c, call->self, &n)) return false;
  *out = jint((int64_t)n);
  return true;
}

// What a step of a path found, or the default (J_MISSING and None: there is none).
static void or_default(jvalue *v, jvalue otherwise) {
  if (v->kind == J_UNDEFINED && otherwise.kind != J_MISSING && otherwise.kind != J_NONE) *v = otherwise;
}

// A dotted path such as "a.0.b", or an index. The default stands in for every step that finds nothing.
static bool path_or(jctx *c, jvalue item, jvalue path, jvalue otherwise, jvalue *out) {
  *out = item;
  if (path.kind == J_MISSING || path.kind == J_NONE) return true;
  if (path.kind != J_STR) {
    if (!jvalue_getitem(c, item, path, out)) return false;
    or_default(out, otherwise);
    return true;
  }
  const pn_str s = jview(path.u.s);
  for (size_t from = 0; from <= s.n;) {
    size_t end = pn_str_find(s, PN_STR("."), from);
    if (end == SIZE_MAX) end = s.n;
    const jtext *part = jtext_sub(c, path.u.s, from, end);
    if (!part) return false;
    int64_t index = 0;
    bool digits = end > from && end - from < 10;
    for (size_t i = from; i < end && digits; i++) {
      digits = s.p[i] >= '0' && s.p[i] <= '9';
      index = index * 10 + (s.p[i] - '0');
    }
    if (!jvalue_getitem(c, *out, digits ? jint(index) : jstr(part), out)) return false;
    or_default(out, otherwise);
    from = end + 1;
  }
  return jstep(c, 1);
}

static bool path_get(jctx *c, jvalue item, jvalue path, jvalue *out) {
  return path_or(c, item, path, jnone(), out);
}

static bool fold_case(jctx *c, jvalue v, bool case_sensitive, jvalue *out) {
  *out = v;
  if (case_sensitive || v.kind != J_STR) return true;
  const jtext *t = jtext_case(c, v.u.s, JUNICODE_LOWER);
  if (t) *out = jstr(t);
  return t != NULL;
}

static bool f_join(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX], *items;
  size_t n;
  const jtext *sep, *t;
  jbuild *b = jbuild_new(call->c);
  if (!b || !jbind(call, "d attribute", 0, a) || !jvalue_items(call->c, call->self, &items, &n)) return false;
  if (a[0].kind == J_MISSING)
    sep = jtext_of(call->c, "");
  else if (!jdump_str(call->c, a[0], &sep))
    return false;
  for (size_t i = 0; i < n; i++) {
    jvalue v;
    if (!jstep(call->c, 1) || (i && !jbuild_text(b, sep))) return false;
    if (!path_get(call->c, items[i], a[1], &v) || !jdump_str(call->c, v, &t) || !jbuild_text(b, t))
      return false;
  }
  return give(jbuild_done(b), out);
}

static bool f_first(const jcall *call, jvalue *out) {
  jvalue *items;
  size_t n;
  if (call->self.kind == J_ITER) {
    jseq *s = call->self.u.seq;
    *out = s->at < s->n ? s->items[s->at++]
                        : jvalue_undefined_because("No first item, sequence was empty.", call->c);
    return true;
  }
  if (call->self.kind == J_STR) {
    if (!jvalue_getitem(call->c, call->self, jint(0), out)) return false;
    if (call->self.u.s->n == 0)
      *out = jvalue_undefined_because("No first item, sequence was empty.", call->c);
    return true;
  }
  if (!jvalue_items(call->c, call->self, &items, &n)) return false;
  *out = n ? items[0] : jvalue_undefined_because("No first item, sequence was empty.", call->c);
  return true;
}

static bool f_last(const jcall *call, jvalue *out) {
  jvalue *items;
  size_t n;
  if (call->self.kind == J_ITER) return jfail_type(call->c, "'generator' object is not reversible");
  if (call->self.kind == J_STR && call->self.u.s->n)
    return jvalue_getitem(call->c, call->self, jint(-1), out);
  if (!jvalue_items(call->c, call->self, &items, &n)) return false;
  *out = n ? items[n - 1] : jvalue_undefined_because("No last item, sequence was empty.", call->c);
  return true;
}

static bool copy_items(const jcall *call, jkind kind, bool backwards, jvalue *out) {
  jvalue *items;
  size_t n;
  if (!jvalue_items(call->c, call->self, &items, &n)) return false;
  jseq *s = jseq_new(call->c, n);
  if (!s || !jstep(call->c, n / 8)) return false;
  for (size_t i = 0; i < n; i++) s->items[i] = items[backwards ? n - 1 - i : i];
  s->n = n;
  *out = jseq_value(kind, s);
  return true;
}

static bool f_list(const jcall *call, jvalue *out) { return copy_items(call, J_LIST, false, out); }

static bool f_reverse(const jcall *call, jvalue *out) {
  if (call->self.kind == J_STR) return jvalue_slice(call->c, call->self, jnone(), jnone(), jint(-1), out);
  return copy_items(call, J_ITER, true, out);
}

static bool f_items(const jcall *call, jvalue *out) {
  if (call->self.kind == J_UNDEFINED) {
    jseq *s = jseq_new(call->c, 0);
    *out = jseq_value(J_ITER, s);
    return s != NULL;
  }
  if (call->self.kind != J_DICT) return jfail_type(call->c, "Can only get item pairs from a mapping.");
  if (!jmethod_find(call->self, PN_STR("items"))->fn(call, out)) return false;
  out->kind = J_ITER;
  return true;
}

// Sort `keys` and `items` together, stably: a merge sort, bottom up.
static bool sort_by(jctx *c, jvalue **keys, jvalue **items, size_t n, bool reverse) {
  jvalue *k2 = jalloc(c, n, sizeof *k2), *i2 = jalloc(c, n, sizeof *i2);
  if (!k2 || !i2) return false;
  for (size_t width = 1; width < n; width *= 2) {
    for (size_t from = 0; from < n; from += 2 * width) {
      size_t mid = from + width < n ? from + width : n, end = mid + width < n ? mid + width : n;
      for (size_t i = from, j = mid, k = from; k < end; k++) {
        int order = i == mid ? 1 : -1;
        if (i < mid && j < end) {
          if (!jvalue_compare(c, (*keys)[i], (*keys)[j], "<", &order)) return false;
          if (reverse) order = -order;
        }
        const size_t take = order <= 0 ? i++ : j++;
        k2[k] = (*keys)[take];
        i2[k] = (*items)[take];
      }
    }
    jvalue *t = *keys;
    *keys = k2;
    k2 = t;
    t = *items;
    *items = i2;
    i2 = t;
  }
  return true;
}

// The value to sort by: the item, an attribute, or a list of several attributes separated by commas.
static bool sort_key(jctx *c, jvalue item, jvalue attribute, bool case_sensitive, jvalue *out) {
  if (attribute.kind != J_STR || pn_str_find(jview(attribute.u.s), PN_STR(","), 0) == SIZE_MAX)
    return path_get(c, item, attribute, out) && fold_case(c, *out, case_sensitive, out);
  jseq *s = jseq_new(c, 0);
  const pn_str all = jview(attribute.u.s);
  for (size_t from = 0; s && from <= all.n;) {
    size_t end = pn_str_find(all, PN_STR(","), from);
    if (end == SIZE_MAX) end = all.n;
    const jtext *one = jtext_sub(c, attribute.u.s, from, end);
    jvalue v;
    if (!one || !path_get(c, item, jstr(one), &v) || !fold_case(c, v, case_sensitive, &v)) return false;
    if (!jseq_push(c, s, v)) return false;
    from = end + 1;
  }
  if (s) *out = jseq_value(J_LIST, s);
  return s != NULL;
}

static bool sorted(const jcall *call, jvalue of, jvalue attribute, bool case_sensitive, bool reverse,
                   jvalue *out) {
  jctx *c = call->c;
  jvalue *from, *items, *keys;
  size_t n;
  if (!jvalue_items(c, of, &from, &n)) return false;
  items = jalloc(c, n, sizeof *items);
  keys = jalloc(c, n, sizeof *keys);
  jseq *s = jseq_new(c, 0);
  if (!items || !keys || !s) return false;
  for (size_t i = 0; i < n; i++) {
    items[i] = from[i];
    if (!sort_key(c, from[i], attribute, case_sensitive, &keys[i])) return false;
  }
  if (!sort_by(c, &keys, &items, n, reverse)) return false;
  s->items = items;
  s->n = s->cap = n;
  *out = jseq_value(J_LIST, s);
  return true;
}

static bool f_sort(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  if (!jbind(call, "reverse case_sensitive attribute", 0, a)) return false;
  return sorted(call, call->self, a[2], jvalue_truth(a[1]), jvalue_truth(a[0]), out);
}

static bool f_dictsort(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX], items;
  if (!jbind(call, "case_sensitive by reverse", 0, a)) return false;
  if (call->self.kind == J_UNDEFINED) return jfail_undefined(call->c, call->self);
  if (call->self.kind != J_DICT) return jfail_type(call->c, "'%s' has no items", jvalue_type(call->self));
  const bool by_value = a[1].kind == J_STR && pn_str_is(jview(a[1].u.s), "value");
  if (a[1].kind != J_MISSING && !by_value && !(a[1].kind == J_STR && pn_str_is(jview(a[1].u.s), "key")))
    return jfail_type(call->c, "You can only sort by either \"key\" or \"value\"");
  if (!jmethod_find(call->self, PN_STR("items"))->fn(call, &items)) return false;
  return sorted(call, items, jint(by_value), jvalue_truth(a[0]), jvalue_truth(a[2]), out);
}

static bool f_unique(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX], *items, key, *found;
  size_t n;
  jctx *c = call->c;
  jseq *s = jseq_new(c, 0);
  jdict *seen = jdict_new(c, 0);
  if (!s || !seen || !jbind(call, "case_sensitive attribute", 0, a) ||
      !jvalue_items(c, call->self, &items, &n))
    return false;
  for (size_t i = 0; i < n; i++) {
    if (!path_get(c, items[i], a[1], &key) || !fold_case(c, key, jvalue_truth(a[0]), &key)) return false;
    if (!jdict_get(c, seen, key, &found)) return false;
    if (!found && (!jdict_set(c, seen, key, jnone()) || !jseq_push(c, s, items[i]))) return false;
  }
  *out = jseq_value(J_ITER, s);
  return true;
}

static bool extreme(const jcall *call, int sign, jvalue *out) {
  jvalue a[JBIND_MAX], *items, best, key;
  size_t n;
  if (!jbind(call, "case_sensitive attribute", 0, a) || !jvalue_items(call->c, call->self, &items, &n))
    return false;
  if (n == 0)
    return *out = jvalue_undefined_because("No aggregated item, sequence was empty.", call->c), true;
  for (size_t i = 0; i < n; i++) {
    int order = 0;
    if (!path_get(call->c, items[i], a[1], &key) || !fold_case(call->c, key, jvalue_truth(a[0]), &key))
      return false;
    if (i && !jvalue_compare(call->c, key, best, sign < 0 ? "<" : ">", &order)) return false;
    if (i && order != sign) continue;
    best = key;
    *out = items[i];
  }
  return true;
}
static bool f_min(const jcall *call, jvalue *out) { return extreme(call, -1, out); }
static bool f_max(const jcall *call, jvalue *out) { return extreme(call, 1, out); }

static bool f_sum(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX], *items, v;
  size_t n;
  if (!jbind(call, "attribute start", 0, a) || !jvalue_items(call->c, call->self, &items, &n)) return false;
  *out = a[1].kind == J_MISSING ? jint(0) : a[1];
  if (out->kind == J_STR) return jfail_type(call->c, "sum() can't sum strings");
  for (size_t i = 0; i < n; i++)
    if (!path_get(call->c, items[i], a[0], &v) || !jops_binary(call->c, 0, *out, v, out)) return false;
  return true;
}

// What stays of a call's arguments after the first `skip` went to map, select, ...
static jcall rest_of(const jcall *call, jvalue self, size_t skip, const char *what) {
  jcall r = *call;
  r.self = self;
  r.what = what;
  r.args += skip;
  r.n_args -= skip;
  return r;
}

static bool f_map(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX], *items, v;
  size_t n;
  jctx *c = call->c;
  jseq *s = jseq_new(c, 0);
  if (!s) return false;
  *out = jseq_value(J_ITER, s);
  if (!jvalue_truth(call->self)) return true; // None and 0 too
  if (!jvalue_items(c, call->self, &items, &n)) return false;
  const bool by_attribute = call->n_args == 0;
  if (by_attribute && !jbind(call, "attribute default", 1, a)) return false;
  if (!by_attribute && call->args[0].kind != J_STR) return jfail_type(c, "map expects the name of a filter");
  const jfilter *f = by_attribute ? NULL : jfilter_find(jview(call->args[0].u.s));
  if (!by_attribute && !f)
    return jfail(c, PN_ERR_UNSUPPORTED, "no filter named '%s'", jquote(c, jview(call->args[0].u.s)));
  for (size_t i = 0; i < n; i++) {
    if (!jstep(c, 1)) return false;
    if (by_attribute) {
      if (!path_or(c, items[i], a[0], a[1], &v)) return false;
    } else {
      const jcall inner = rest_of(call, items[i], 1, f->name);
      if (!jdeeper(c) || !f->fn(&inner, &v)) return false;
      c->depth--;
    }
    if (!jseq_push(c, s, v)) return false;
  }
  return true;
}

static bool choose(const jcall *call, bool want, bool attribute, jvalue *out) {
  jvalue *items, v, yes;
  size_t n;
  jctx *c = call->c;
  const size_t skip = attribute ? 1 : 0;
  jseq *s = jseq_new(c, 0);
  if (!s) return false;
  *out = jseq_value(J_ITER, s);
  if (!jvalue_truth(call->self)) return true; // None and 0 too
  if (!jvalue_items(c, call->self, &items, &n)) return false;
  if (call->n_args < skip) return jfail_type(c, "Missing parameter for attribute name");
  const jfilter *test = NULL;
  if (call->n_args > skip) {
    if (call->args[skip].kind != J_STR) return jfail_type(c, "%s expects the name of a test", call->what);
    const pn_str name = jview(call->args[skip].u.s);
    if (!(test = jtest_find(name)))
      return jfail(c, PN_ERR_UNSUPPORTED, "no test named '%s'", jquote(c, name));
  }
  for (size_t i = 0; i < n; i++) {
    if (!jstep(c, 1) || !path_get(c, items[i], attribute ? call->args[0] : jnone(), &v)) return false;
    if (test) {
      const jcall inner = rest_of(call, v, skip + 1, test->name);
      if (!test->fn(&inner, &yes)) return false;
      v = yes;
    }
    if (jvalue_truth(v) == want && !jseq_push(c, s, items[i])) return false;
  }
  return true;
}
static bool f_select(const jcall *call, jvalue *out) { return choose(call, true, false, out); }
static bool f_reject(const jcall *call, jvalue *out) { return choose(call, false, false, out); }
static bool f_selectattr(const jcall *call, jvalue *out) { return choose(call, true, true, out); }
static bool f_rejectattr(const jcall *call, jvalue *out) { return choose(call, false, true, out); }

static bool f_batch(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX], *items;
  size_t n;
  int64_t size;
  jctx *c = call->c;
  jseq *all = jseq_new(c, 0), *row = NULL;
  if (!all || !jbind(call, "linecount fill_with", 1, a) || !jbind_int(call, a[0], 1, &size)) return false;
  if (size < 1) return jfail_type(c, "batch: the count must be positive");
  if (!jvalue_items(c, call->self, &items, &n)) return false;
  for (size_t i = 0; i < n; i++) {
    if (i % (uint64_t)size == 0 && (!(row = jseq_new(c, 0)) || !jseq_push(c, all, jseq_value(J_LIST, row))))
      return false;
    if (!jseq_push(c, row, items[i])) return false;
  }
  const bool fill = a[1].kind != J_MISSING && a[1].kind != J_NONE;
  while (fill && row && row->n < (uint64_t)size)
    if (!jstep(c, 1) || !jseq_push(c, row, a[1])) return false;
  *out = jseq_value(J_ITER, all);
  return true;
}

static bool f_attr(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  if (!jbind(call, "name", 1, a)) return false;
  if (a[0].kind != J_STR) return jfail_type(call->c, "attr expects a string");
  const pn_str name = jview(a[0].u.s);
  // Attributes only, never the members of a dictionary.
  if (call->self.kind == J_DICT && !jmethod_find(call->self, name))
    return *out = jvalue_undefined(call->c, "dict object", name), true;
  return jvalue_getattr(call->c, call->self, name, out);
}

const jfilter jseqfilters_table[] = {
    {"length", f_length},
    {"count", f_length},
    {"join", f_join},
    {"first", f_first},
    {"last", f_last},
    {"list", f_list},
    {"reverse", f_reverse},
    {"items", f_items},
    {"sort", f_sort},
    {"dictsort", f_dictsort},
    {"unique", f_unique},
    {"min", f_min},
    {"max", f_max},
    {"sum", f_sum},
    {"map", f_map},
    {"select", f_select},
    {"reject", f_reject},
    {"selectattr", f_selectattr},
    {"rejectattr", f_rejectattr},
    {"batch", f_batch},
    {"attr", f_attr},
    {NULL, NULL},
};

static const jfilter *in_table(const jfilter *t, pn_str name) {
  while (t->name && !pn_str_is(name, t->name)) t++;
  return t->name ? t : NULL;
}

const jfilter *jfilter_find(pn_str name) {
  const jfilter *f = in_table(jtextfilters_table, name);
  return f ? f : in_table(jseqfilters_table, name);
}
