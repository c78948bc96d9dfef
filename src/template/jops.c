// Arithmetic, concatenation and % formatting with Python's rules. Integers have 64 bits; what doesn't fit is
// refused.
#include "template/jbuiltin.h"
#include "template/jeval.h"

#include <math.h>

static const char *const op_names[] = {
    [JOP_ADD] = "+",       [JOP_SUB] = "-", [JOP_MUL] = "*",  [JOP_DIV] = "/",
    [JOP_FLOORDIV] = "//", [JOP_MOD] = "%", [JOP_POW] = "**", [JOP_CONCAT] = "~",
};

static bool overflow(jctx *c) { return jfail(c, PN_ERR_UNSUPPORTED, "an integer of more than 64 bits"); }
static bool zero_division(jctx *c) { return jfail_type(c, "division by zero"); }

static bool int_pow(jctx *c, int64_t base, int64_t n, jvalue *out) {
  if (n < 0) {
    if (base == 0) return jfail_type(c, "0 cannot be raised to a negative power");
    return *out = jfloat(pow((double)base, (double)n)), true;
  }
  int64_t r = 1;
  while (n > 0) {
    if ((n & 1) && __builtin_mul_overflow(r, base, &r)) return overflow(c);
    n >>= 1;
    if (n && __builtin_mul_overflow(base, base, &base)) return overflow(c);
  }
  *out = jint(r);
  return true;
}

static bool int_op(jctx *c, int op, int64_t a, int64_t b, jvalue *out) {
  int64_t r = 0;
  bool over = false;
  switch (op) {
  case JOP_ADD: over = __builtin_add_overflow(a, b, &r); break;
  case JOP_SUB: over = __builtin_sub_overflow(a, b, &r); break;
  case JOP_MUL: over = __builtin_mul_overflow(a, b, &r); break;
  case JOP_DIV:
    if (b == 0) return zero_division(c);
    *out = jfloat((double)a / (double)b);
    return true;
  case JOP_FLOORDIV:
  case JOP_MOD:
    if (b == 0) return zero_division(c);
    if (b == -1) {
      if (op == JOP_FLOORDIV) over = __builtin_sub_overflow((int64_t)0, a, &r);
      break;
    }
    // Both round toward minus infinity.
    r = op == JOP_MOD ? a % b : a / b;
    if (a % b != 0 && (a < 0) != (b < 0)) r += op == JOP_MOD ? b : -1;
    break;
  default: return int_pow(c, a, b, out);
  }
  if (over) return overflow(c);
  *out = jint(r);
  return true;
}

static bool float_op(jctx *c, int op, double a, double b, jvalue *out) {
  double r = 0;
  if (b == 0 && (op == JOP_DIV || op == JOP_FLOORDIV || op == JOP_MOD)) return zero_division(c);
  switch (op) {
  case JOP_ADD: r = a + b; break;
  case JOP_SUB: r = a - b; break;
  case JOP_MUL: r = a * b; break;
  case JOP_DIV: r = a / b; break;
  case JOP_POW:
    if (a == 0 && b < 0) return jfail_type(c, "0.0 cannot be raised to a negative power");
    if (a < 0 && b != floor(b)) return jfail(c, PN_ERR_UNSUPPORTED, "complex numbers are not supported");
    r = pow(a, b);
    if (isinf(r) && !isinf(a) && !isinf(b)) return jfail_type(c, "result too large");
    break;
  default: {
    // As CPython does it, rounding errors included.
    double mod = fmod(a, b), div = (a - mod) / b;
    if (mod == 0) {
      mod = copysign(0, b);
    } else if ((mod < 0) != (b < 0)) {
      mod += b;
      div -= 1;
    }
    if (op == JOP_MOD) {
      r = mod;
      break;
    }
    r = floor(div);
    if (div - r > 0.5) r += 1;
    if (div == 0) r = copysign(0, a / b);
    break;
  }
  }
  *out = jfloat(r);
  return true;
}

static bool repeat(jctx *c, jvalue v, int64_t times, jvalue *out) {
  if (times < 0) times = 0;
  if (v.kind == J_STR) {
    jbuild *b = jbuild_new(c);
    if (!b) return false;
    for (int64_t i = 0; i < times && v.u.s->n; i++)
      if (!jstep(c, 1) || !jbuild_text(b, v.u.s)) return false;
    const jtext *t = jbuild_done(b);
    if (t) *out = jstr(t);
    return t != NULL;
  }
  jseq *s = jseq_new(c, 0);
  if (!s) return false;
  for (int64_t i = 0; i < times && v.u.seq->n; i++)
    for (size_t j = 0; j < v.u.seq->n; j++)
      if (!jstep(c, 1) || !jseq_push(c, s, v.u.seq->items[j])) return false;
  *out = jseq_value(v.kind, s);
  return true;
}

static bool add_seqs(jctx *c, jvalue a, jvalue b, jvalue *out) {
  const size_t n = a.u.seq->n, m = b.u.seq->n;
  jseq *s = jseq_new(c, n + m);
  if (!s || !jstep(c, (n + m) / 16)) return false;
  for (size_t i = 0; i < n + m; i++) s->items[i] = i < n ? a.u.seq->items[i] : b.u.seq->items[i - n];
  s->n = n + m;
  *out = jseq_value(a.kind, s);
  return true;
}

static bool concat(jctx *c, jvalue a, jvalue b, jvalue *out) {
  const jtext *s, *t;
  if (!jdump_str(c, a, &s) || !jdump_str(c, b, &t) || !(s = jtext_concat(c, s, t))) return false;
  *out = jstr(s);
  return true;
}

static bool percent(jctx *c, const jtext *format, jvalue b, jvalue *out) {
  if (b.kind == J_TUPLE) return jops_format(c, format, b.u.seq->items, b.u.seq->n, NULL, out);
  // Python asks of everything with items, lists too, only what the format names.
  const jdict *named = b.kind == J_DICT ? b.u.dict : NULL;
  if ((b.kind == J_LIST || b.kind == J_RANGE || b.kind == J_UNDEFINED) && !(named = jdict_new(c, 0)))
    return false;
  return jops_format(c, format, &b, 1, named, out);
}

bool jops_binary(jctx *c, int op, jvalue a, jvalue b, jvalue *out) {
  bool ai, bi;
  int64_t x, y;
  double f, g;
  if (op == JOP_CONCAT) return concat(c, a, b, out);
  if (op == JOP_MOD && a.kind == J_STR) return percent(c, a.u.s, b, out);
  if (a.kind == J_UNDEFINED) return jfail_undefined(c, a);
  if (b.kind == J_UNDEFINED) return jfail_undefined(c, b);
  if (jvalue_number(a, &ai, &x, &f) && jvalue_number(b, &bi, &y, &g))
    return ai && bi ? int_op(c, op, x, y, out) : float_op(c, op, f, g, out);
  const bool a_list = a.kind == J_LIST || a.kind == J_TUPLE, b_list = b.kind == J_LIST || b.kind == J_TUPLE;
  if (op == JOP_ADD && a.kind == J_STR && b.kind == J_STR) return concat(c, a, b, out);
  if (op == JOP_ADD && a_list && a.kind == b.kind) return add_seqs(c, a, b, out);
  if (op == JOP_MUL && (a.kind == J_STR || a_list) && jvalue_number(b, &bi, &y, &g) && bi)
    return repeat(c, a, y, out);
  if (op == JOP_MUL && (b.kind == J_STR || b_list) && jvalue_number(a, &ai, &x, &f) && ai)
    return repeat(c, b, x, out);
  return jfail_type(c, "unsupported operand types for %s: '%s' and '%s'", op_names[op], jvalue_type(a),
                    jvalue_type(b));
}

bool jops_negate(jctx *c, jvalue a, jvalue *out) {
  bool is_int;
  int64_t i;
  double f;
  if (a.kind == J_UNDEFINED) return jfail_undefined(c, a);
  if (!jvalue_number(a, &is_int, &i, &f))
    return jfail_type(c, "bad operand for unary -: '%s'", jvalue_type(a));
  if (!is_int) return *out = jfloat(-f), true;
  if (i == INT64_MIN) return overflow(c);
  *out = jint(-i);
  return true;
}
