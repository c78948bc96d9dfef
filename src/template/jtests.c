// Tests: `x is name(args)`.
#include "template/jbuiltin.h"
#include "template/jeval.h"

#include <math.h>

#define KIND_TEST(name, condition)                                                                           \
  static bool t_##name(const jcall *call, jvalue *out) {                                                     \
    const jvalue v = call->self;                                                                             \
    *out = jbool(condition);                                                                                 \
    return true;                                                                                             \
  }

KIND_TEST(defined, v.kind != J_UNDEFINED)
KIND_TEST(undefined, v.kind == J_UNDEFINED)
KIND_TEST(none, v.kind == J_NONE)
KIND_TEST(boolean, v.kind == J_BOOL)
KIND_TEST(true, v.kind == J_BOOL && v.u.b)
KIND_TEST(false, v.kind == J_BOOL && !v.u.b)
KIND_TEST(integer, v.kind == J_INT)
KIND_TEST(float, v.kind == J_FLOAT)
KIND_TEST(number, v.kind == J_BOOL || v.kind == J_INT || v.kind == J_FLOAT)
KIND_TEST(string, v.kind == J_STR)
KIND_TEST(mapping, v.kind == J_DICT)
KIND_TEST(sequence, v.kind == J_UNDEFINED || v.kind == J_STR || v.kind == J_DICT ||
                        (v.kind >= J_LIST && v.kind <= J_RANGE))
KIND_TEST(iterable, v.kind == J_UNDEFINED || v.kind == J_STR || v.kind == J_DICT || v.kind == J_LOOP ||
                        jvalue_is_seq(v))
KIND_TEST(callable, v.kind == J_UNDEFINED || (v.kind >= J_MACRO && v.kind <= J_LOOP) || v.kind == J_JOINER)
KIND_TEST(escaped, false && v.kind)

// v % by as an integer or float remainder.
static bool remainder_of(const jcall *call, jvalue by, jvalue *out) {
  enum { MOD = 5 };
  if (call->self.kind == J_STR) return jfail_type(call->c, "%s expects a number, not 'str'", call->what);
  return jops_binary(call->c, MOD, call->self, by, out);
}

static bool t_even(const jcall *call, jvalue *out) {
  jvalue r;
  return remainder_of(call, jint(2), &r) && (*out = jbool(!jvalue_truth(r)), true);
}
static bool t_odd(const jcall *call, jvalue *out) {
  jvalue r;
  if (!remainder_of(call, jint(2), &r)) return false;
  return jvalue_eq(call->c, r, jint(1), &r.u.b) && (*out = jbool(r.u.b), true);
}
static bool t_divisibleby(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX], r;
  if (!jbind(call, "num", 1, a) || !remainder_of(call, a[0], &r)) return false;
  *out = jbool(!jvalue_truth(r));
  return true;
}

static bool t_eq(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  bool eq;
  if (!jbind(call, "other", 1, a) || !jvalue_eq(call->c, call->self, a[0], &eq)) return false;
  *out = jbool(eq);
  return true;
}
static bool t_ne(const jcall *call, jvalue *out) {
  if (!t_eq(call, out)) return false;
  out->u.b = !out->u.b;
  return true;
}

static bool order(const jcall *call, const char *op, int low, int high, jvalue *out) {
  jvalue a[JBIND_MAX];
  int o;
  if (!jbind(call, "other", 1, a) || !jvalue_compare(call->c, call->self, a[0], op, &o)) return false;
  *out = jbool(o >= low && o <= high);
  return true;
}
static bool t_lt(const jcall *call, jvalue *out) { return order(call, "<", -1, -1, out); }
static bool t_le(const jcall *call, jvalue *out) { return order(call, "<=", -1, 0, out); }
static bool t_gt(const jcall *call, jvalue *out) { return order(call, ">", 1, 1, out); }
static bool t_ge(const jcall *call, jvalue *out) { return order(call, ">=", 0, 1, out); }

static bool t_in(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  bool in;
  if (!jbind(call, "seq", 1, a) || !jvalue_contains(call->c, a[0], call->self, &in)) return false;
  *out = jbool(in);
  return true;
}

// Same object: for values that never change, the same kind and the same content in place.
static bool t_sameas(const jcall *call, jvalue *out) {
  jvalue a[JBIND_MAX];
  if (!jbind(call, "other", 1, a)) return false;
  const jvalue v = call->self;
  bool same = v.kind == a[0].kind;
  if (same && v.kind == J_BOOL) same = v.u.b == a[0].u.b;
  if (same && v.kind == J_INT) same = v.u.i == a[0].u.i;
  if (same && v.kind == J_FLOAT) same = v.u.f == a[0].u.f;
  if (same && v.kind >= J_STR) same = v.u.s == a[0].u.s;
  *out = jbool(same);
  return true;
}

static bool text_test(const jcall *call, pn_str method, jvalue *out) {
  const jtext *t;
  if (!jdump_str(call->c, call->self, &t)) return false;
  const jcall inner = {.c = call->c, .self = jstr(t), .what = call->what};
  return jmethod_find(inner.self, method)->fn(&inner, out);
}
static bool t_lower(const jcall *call, jvalue *out) { return text_test(call, PN_STR("islower"), out); }
static bool t_upper(const jcall *call, jvalue *out) { return text_test(call, PN_STR("isupper"), out); }

static bool t_filter(const jcall *call, jvalue *out) {
  *out = jbool(call->self.kind == J_STR && jfilter_find(jview(call->self.u.s)));
  return true;
}
static bool t_test(const jcall *call, jvalue *out) {
  *out = jbool(call->self.kind == J_STR && jtest_find(jview(call->self.u.s)));
  return true;
}

static const jfilter tests[] = {
    {"defined", t_defined},
    {"undefined", t_undefined},
    {"none", t_none},
    {"boolean", t_boolean},
    {"true", t_true},
    {"false", t_false},
    {"integer", t_integer},
    {"float", t_float},
    {"number", t_number},
    {"string", t_string},
    {"mapping", t_mapping},
    {"sequence", t_sequence},
    {"iterable", t_iterable},
    {"callable", t_callable},
    {"escaped", t_escaped},
    {"even", t_even},
    {"odd", t_odd},
    {"divisibleby", t_divisibleby},
    {"==", t_eq},
    {"eq", t_eq},
    {"equalto", t_eq},
    {"!=", t_ne},
    {"ne", t_ne},
    {"<", t_lt},
    {"lt", t_lt},
    {"lessthan", t_lt},
    {"<=", t_le},
    {"le", t_le},
    {">", t_gt},
    {"gt", t_gt},
    {"greaterthan", t_gt},
    {">=", t_ge},
    {"ge", t_ge},
    {"in", t_in},
    {"sameas", t_sameas},
    {"lower", t_lower},
    {"upper", t_upper},
    {"filter", t_filter},
    {"test", t_test},
};

const jfilter *jtest_find(pn_str name) {
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
    if (pn_str_is(name, tests[i].name)) return &tests[i];
  return NULL;
}
