// Attributes, items and slices.
#include "template/jbuiltin.h"
#include "template/jeval.h"

static bool loop_attr(jctx *c, const jloop *l, pn_str name, jvalue *out) {
  const int64_t at = (int64_t)l->at, n = (int64_t)l->n;
  static const char *const names[] = {"index",  "index0", "revindex", "revindex0", "first",   "last",
                                      "length", "depth",  "depth0",   "previtem",  "nextitem"};
  size_t k = 0;
  while (k < sizeof names / sizeof *names && !pn_str_is(name, names[k])) k++;
  switch (k) {
  case 0: *out = jint(at + 1); return true;
  case 1: *out = jint(at); return true;
  case 2: *out = jint(n - at); return true;
  case 3: *out = jint(n - at - 1); return true;
  case 4: *out = jbool(at == 0); return true;
  case 5: *out = jbool(at + 1 == n); return true;
  case 6: *out = jint(n); return true;
  case 7: *out = jint(1); return true; // loops that don't recurse are all at depth 1
  case 8: *out = jint(0); return true;
  case 9:
    *out = at > 0 ? l->items[at - 1] : jvalue_undefined_because("there is no previous item", c);
    return true;
  case 10:
    *out = at + 1 < n ? l->items[at + 1] : jvalue_undefined_because("there is no next item", c);
    return true;
  default: return false;
  }
}

static const char *owner(jvalue v) {
  switch (v.kind) {
  case J_STR: return "str object";
  case J_DICT: return "dict object";
  case J_LIST: return "list object";
  case J_NAMESPACE: return "namespace object";
  case J_NONE: return "None";
  default: return jvalue_type(v);
  }
}

// A method of the object, or undefined for one that would change it. False when there is none.
static bool find_method(jctx *c, jvalue obj, pn_str name, jvalue *out) {
  if (jmethod_is_unsafe(obj, name)) {
    *out = jvalue_undefined_because("access to a method that changes its object is refused", c);
    return true;
  }
  const jmethod *m = jmethod_find(obj, name);
  if (!m) return false;
  jbound *b = pn_arena_alloc(&c->arena, sizeof *b);
  *out = (jvalue){.kind = J_METHOD, .u.bound = b};
  if (b) *b = (jbound){.self = obj, .method = m};
  if (!b) *out = jvalue_undefined(c, owner(obj), name);
  return true;
}

static bool macro_attr(const jmacro *m, pn_str name, jctx *c, jvalue *out) {
  if (!pn_str_is(name, "name")) return false;
  const jtext *t = jtext_of(c, m->name);
  if (t) *out = jstr(t);
  return t != NULL;
}

bool jvalue_getattr(jctx *c, jvalue obj, pn_str name, jvalue *out) {
  if (obj.kind == J_UNDEFINED) return jfail_undefined(c, obj);
  if (obj.kind == J_LOOP && loop_attr(c, obj.u.loop, name, out)) return true;
  if (obj.kind == J_MACRO && macro_attr(obj.u.macro, name, c, out)) return true;
  if (obj.kind == J_CYCLER && pn_str_is(name, "current")) return *out = obj.u.seq->items[obj.u.seq->at], true;
  if (find_method(c, obj, name, out)) return true;
  if (obj.kind == J_DICT || obj.kind == J_NAMESPACE) {
    const jvalue *v = jdict_find(c, obj.u.dict, name);
    if (v) return *out = *v, true;
  }
  *out = jvalue_undefined(c, owner(obj), name);
  return jstep(c, 1);
}

static bool get_index(jctx *c, jvalue obj, int64_t i, jvalue *out) {
  size_t n;
  if (!jvalue_len(c, obj, &n)) return false;
  if (i < 0) i += (int64_t)n;
  if (i < 0 || (uint64_t)i >= n) {
    *out = jvalue_undefined(c, owner(obj), PN_STR("that index"));
    return true;
  }
  if (obj.kind != J_STR) return *out = obj.u.seq->items[i], true;
  size_t from, to;
  const jtext *t = obj.u.s;
  if (!jtext_offset(c, t, (size_t)i, &from)) return false;
  uint32_t cp;
  to = from + junicode_at(jview(t), from, &cp);
  const jtext *one = jtext_sub(c, t, from, to);
  if (one) *out = jstr(one);
  return one != NULL;
}

bool jvalue_getitem(jctx *c, jvalue obj, jvalue key, jvalue *out) {
  if (obj.kind == J_UNDEFINED) return jfail_undefined(c, obj);
  bool is_int;
  int64_t i;
  double f;
  if (obj.kind == J_DICT) {
    jvalue *v = NULL;
    bool hashable = key.kind != J_LIST && key.kind != J_DICT;
    if (hashable && !jdict_get(c, obj.u.dict, key, &v)) return false;
    if (v) return *out = *v, true;
  } else if (obj.kind == J_STR || (obj.kind >= J_LIST && obj.kind <= J_RANGE)) {
    if (jvalue_number(key, &is_int, &i, &f) && is_int) return get_index(c, obj, i, out);
  }
  if (key.kind == J_STR && obj.kind != J_DICT) return jvalue_getattr(c, obj, jview(key.u.s), out);
  if (key.kind == J_STR && find_method(c, obj, jview(key.u.s), out)) return true;
  *out = jvalue_undefined(c, owner(obj), key.kind == J_STR ? jview(key.u.s) : PN_STR("that item"));
  return true;
}

// Python's slice.indices: the bounds for a sequence of n.
static bool slice_bounds(jctx *c, const jvalue part[3], int64_t n, int64_t *from, int64_t *to,
                         int64_t *step) {
  *step = 1;
  if (part[2].kind != J_NONE && !jvalue_as_int(c, part[2], "a slice's step", step)) return false;
  if (*step == 0) return jfail_type(c, "a slice's step can't be zero");
  int64_t low = *step > 0 ? 0 : -1, high = *step > 0 ? n : n - 1;
  *from = *step > 0 ? low : high;
  *to = *step > 0 ? high : low;
  for (int k = 0; k < 2; k++) {
    int64_t v, *bound = k == 0 ? from : to;
    if (part[k].kind == J_NONE) continue;
    if (!jvalue_as_int(c, part[k], "a slice's bound", &v)) return false;
    if (v < 0) v = v < -n ? -1 : v + n;
    if (v < low) v = low;
    *bound = v > high ? high : v;
  }
  return true;
}

static bool slice_text(jctx *c, const jtext *t, int64_t from, int64_t to, int64_t step, jvalue *out) {
  const jtext *s;
  if (step == 1) {
    size_t a = 0, b = 0;
    if (from > to) to = from;
    if (!jtext_offset(c, t, (size_t)from, &a) || !jtext_offset(c, t, (size_t)to, &b)) return false;
    s = jtext_sub(c, t, a, b);
  } else {
    jvalue *items;
    size_t n;
    jbuild *b = jbuild_new(c);
    if (!b || !jvalue_items(c, jstr(t), &items, &n)) return false;
    for (int64_t i = from; step > 0 ? i < to : i > to;) {
      if (!jbuild_text(b, items[i].u.s)) return false;
      if (__builtin_add_overflow(i, step, &i)) break;
    }
    s = jbuild_done(b);
  }
  if (s) *out = jstr(s);
  return s != NULL;
}

bool jvalue_slice(jctx *c, jvalue obj, jvalue from, jvalue to, jvalue step, jvalue *out) {
  const jvalue part[3] = {from, to, step};
  int64_t a = 0, b = 0, by = 1;
  size_t n;
  if (obj.kind == J_UNDEFINED) return jfail_undefined(c, obj);
  if (obj.kind != J_STR && !(obj.kind >= J_LIST && obj.kind <= J_RANGE)) {
    *out = jvalue_undefined(c, owner(obj), PN_STR("that slice"));
    return true;
  }
  if (!jvalue_len(c, obj, &n) || !slice_bounds(c, part, (int64_t)n, &a, &b, &by)) return false;
  if (obj.kind == J_STR) return slice_text(c, obj.u.s, a, b, by, out);
  jseq *s = jseq_new(c, 0);
  if (!s) return false;
  for (int64_t i = a; by > 0 ? i < b : i > b;) {
    if (!jstep(c, 1) || !jseq_push(c, s, obj.u.seq->items[i])) return false;
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  if (obj.kind == J_RANGE) {
    // Only printed; unsigned, so that bounds at the edge of 64 bits wrap.
    const uint64_t start = (uint64_t)obj.u.seq->start, stride = (uint64_t)obj.u.seq->step;
    s->start = (int64_t)(start + (uint64_t)a * stride);
    s->stop = (int64_t)(start + (uint64_t)b * stride);
    s->step = (int64_t)(stride * (uint64_t)by);
  }
  *out = jseq_value(obj.kind, s);
  return true;
}
