#include "template/jeval.h"

#include "template/jbuiltin.h"

#include <stdio.h>
#include <string.h>

bool jfail(jctx *c, pn_code code, const char *fmt, ...) {
  char msg[400];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  return pn_fail(c->e, code, "template line %d: %s", c->line, msg);
}

bool jstep(jctx *c, uint64_t n) {
  c->steps += n;
  if (c->steps <= c->max_steps) return true;
  return jfail(c, PN_ERR_LIMIT, "more than %llu steps", (unsigned long long)c->max_steps);
}

bool jdeeper(jctx *c) {
  if (c->depth >= c->max_depth) return jfail(c, PN_ERR_LIMIT, "nested deeper than %d levels", c->max_depth);
  c->depth++;
  return true;
}

void *jalloc(jctx *c, size_t count, size_t size) {
  void *p = pn_arena_array(&c->arena, count, size);
  if (p) return p;
  jfail(c, PN_ERR_LIMIT, "more than %zu bytes of memory", c->arena.limit_bytes);
  return NULL;
}

const char *jquote(jctx *c, pn_str s) {
  if (s.n > 80) s.n = 80;
  char *z = pn_arena_dup(&c->arena, s);
  for (char *p = z; p && *p; p++)
    if ((unsigned char)*p < 0x20) *p = ' ';
  return z ? z : "?";
}

bool jfail_undefined(jctx *c, jvalue v) {
  const jundef *u = v.u.undef;
  if (!u) return jfail_type(c, "an undefined value is used");
  if (u->message) return jfail_type(c, "%s", u->message);
  if (!u->owner) return jfail_type(c, "'%s' is undefined", jquote(c, u->name));
  return jfail_type(c, "'%s' has no attribute '%s'", u->owner, jquote(c, u->name));
}

jscope *jscope_new(jctx *c, jscope *parent) {
  jscope *s = jalloc(c, 1, sizeof *s);
  if (s) s->parent = parent;
  return s;
}

bool jscope_set(jctx *c, jscope *s, const jname *name, jvalue v) {
  for (size_t i = 0; i < s->n; i++)
    if (s->names[i] == name) return s->values[i] = v, jstep(c, i / 8);
  if (s->n == s->cap) {
    size_t cap = s->cap ? s->cap * 2 : 8;
    const jname **names = jalloc(c, cap, sizeof *names);
    jvalue *values = names ? jalloc(c, cap, sizeof *values) : NULL;
    if (!values) return false;
    for (size_t i = 0; i < s->n; i++) {
      names[i] = s->names[i];
      values[i] = s->values[i];
    }
    s->names = names;
    s->values = values;
    s->cap = cap;
  }
  s->names[s->n] = name;
  s->values[s->n++] = v;
  return jstep(c, s->n / 8);
}

jvalue *jscope_find(jctx *c, jscope *s, const jname *name) {
  for (; s; s = s->parent) {
    c->steps += s->n / 8; // checked at the next node
    for (size_t i = 0; i < s->n; i++)
      if (s->names[i] == name) return &s->values[i];
  }
  return NULL;
}

static bool eval_name(jctx *c, const jname *name, jvalue *out) {
  const jvalue *v = jscope_find(c, c->scope, name);
  if (v)
    *out = *v;
  else if (name->global)
    *out = (jvalue){.kind = J_GLOBAL, .u.global = name->global};
  else
    *out = jvalue_undefined(c, NULL, name->s);
  return true;
}

static bool eval_items(jctx *c, const jnode *n, jvalue *out) {
  jseq *s = jseq_new(c, n->n_items);
  if (!s) return false;
  for (size_t i = 0; i < n->n_items; i++) {
    jvalue v;
    if (!jeval_expr(c, n->items[i], &v) || !jseq_push(c, s, v)) return false;
  }
  *out = jseq_value(n->kind == JN_LIST ? J_LIST : J_TUPLE, s);
  return true;
}

static bool eval_dict(jctx *c, const jnode *n, jvalue *out) {
  jdict *d = jdict_new(c, n->n_items / 2);
  if (!d) return false;
  for (size_t i = 0; i + 1 < n->n_items; i += 2) {
    jvalue k, v;
    if (!jeval_expr(c, n->items[i], &k) || !jeval_expr(c, n->items[i + 1], &v) || !jdict_set(c, d, k, v))
      return false;
  }
  *out = (jvalue){.kind = J_DICT, .u.dict = d};
  return true;
}

static bool eval_slice(jctx *c, const jnode *n, jvalue *out) {
  jvalue of, part[3];
  if (!jeval_expr(c, n->a, &of)) return false;
  for (int i = 0; i < 3; i++) {
    part[i] = jnone();
    if (n->items[i] && !jeval_expr(c, n->items[i], &part[i])) return false;
  }
  c->line = n->line;
  return jvalue_slice(c, of, part[0], part[1], part[2], out);
}

// Arguments after evaluation, * and ** resolved.
typedef struct arglist {
  jvalue *args, *named;
  pn_str *names;
  size_t n_args, n_named;
} arglist;

static bool add_star(jctx *c, const jargs *a, arglist *l) {
  if (a->star) {
    jvalue v, *items, *args;
    size_t n;
    if (!jeval_expr(c, a->star, &v) || !jvalue_items(c, v, &items, &n)) return false;
    if (!(args = jalloc(c, l->n_args + n, sizeof *args))) return false;
    if (l->n_args) memcpy(args, l->args, l->n_args * sizeof *args);
    if (n) memcpy(args + l->n_args, items, n * sizeof *args);
    l->args = args;
    l->n_args += n;
  }
  if (!a->star2) return true;
  jvalue v;
  if (!jeval_expr(c, a->star2, &v)) return false;
  if (v.kind != J_DICT) return jfail_type(c, "argument after ** must be a mapping, not %s", jvalue_type(v));
  size_t n = l->n_named + v.u.dict->n;
  jvalue *named = jalloc(c, n, sizeof *named);
  pn_str *names = jalloc(c, n, sizeof *names);
  if (!named || !names) return false;
  for (size_t i = 0; i < n; i++) {
    size_t j = i - l->n_named;
    if (i >= l->n_named && v.u.dict->keys[j].kind != J_STR) return jfail_type(c, "keywords must be strings");
    named[i] = i < l->n_named ? l->named[i] : v.u.dict->values[j];
    names[i] = i < l->n_named ? l->names[i] : jview(v.u.dict->keys[j].u.s);
  }
  l->named = named;
  l->names = names;
  l->n_named = n;
  return true;
}

static bool eval_args(jctx *c, const jargs *a, arglist *l) {
  *l = (arglist){.names = a->names, .n_args = a->n_args, .n_named = a->n_named};
  if (a->n_args && !(l->args = jalloc(c, a->n_args, sizeof *l->args))) return false;
  if (a->n_named && !(l->named = jalloc(c, a->n_named, sizeof *l->named))) return false;
  for (size_t i = 0; i < a->n_args; i++)
    if (!jeval_expr(c, a->args[i], &l->args[i])) return false;
  for (size_t i = 0; i < a->n_named; i++)
    if (!jeval_expr(c, a->named[i], &l->named[i])) return false;
  return (a->star || a->star2) ? add_star(c, a, l) : true;
}

static bool jeval_call(jctx *c, jvalue f, const jvalue *args, size_t n_args, const pn_str *names,
                       const jvalue *named, size_t n_named, jvalue *out) {
  jcall call = {.c = c, .args = args, .n_args = n_args, .names = names, .named = named, .n_named = n_named};
  switch (f.kind) {
  case J_MACRO: return jexec_macro(c, f.u.macro, args, n_args, names, named, n_named, out);
  case J_GLOBAL: call.what = f.u.global->name; return f.u.global->fn(&call, out);
  case J_METHOD:
    call.self = f.u.bound->self;
    call.what = f.u.bound->method->name;
    return f.u.bound->method->fn(&call, out);
  case J_JOINER: {
    // The first call gives nothing, later ones the separator.
    bool first = f.u.seq->at++ == 0;
    *out = first ? jstr(jtext_of(c, "")) : f.u.seq->items[0];
    return out->kind != J_STR || out->u.s != NULL;
  }
  case J_UNDEFINED: return jfail_undefined(c, f);
  case J_LOOP: return jfail(c, PN_ERR_UNSUPPORTED, "recursive loops are not supported");
  default: return jfail_type(c, "'%s' object is not callable", jvalue_type(f));
  }
}

static bool eval_call(jctx *c, const jnode *n, jvalue *out) {
  jvalue f;
  arglist l;
  if (!jeval_expr(c, n->a, &f) || !eval_args(c, n->args, &l)) return false;
  c->line = n->line;
  return jeval_call(c, f, l.args, l.n_args, l.names, l.named, l.n_named, out);
}

static bool eval_filter(jctx *c, const jnode *n, jvalue *out) {
  const bool test = n->kind == JN_TEST;
  jvalue self;
  arglist l;
  if (!jeval_expr(c, n->a, &self) || !eval_args(c, n->args, &l)) return false;
  c->line = n->line;
  const jfilter *f = test ? jtest_find(n->attr) : jfilter_find(n->attr);
  if (!f)
    return jfail(c, PN_ERR_UNSUPPORTED, "no %s named '%s'", test ? "test" : "filter", jquote(c, n->attr));
  jcall call = {.c = c,
                .self = self,
                .args = l.args,
                .n_args = l.n_args,
                .names = l.names,
                .named = l.named,
                .n_named = l.n_named,
                .what = f->name};
  return f->fn(&call, out);
}

// Chains such as a + b + c lean to the left as deep as they are long, so they are walked, not recursed into.
static bool eval_chain(jctx *c, const jnode *n, jvalue *out) {
  size_t len = 1;
  const jnode *first = n;
  for (; first->a->kind == n->kind; first = first->a) len++;
  const jnode **chain = jalloc(c, len, sizeof *chain);
  if (!chain) return false;
  for (size_t i = len; i-- > 0; n = n->a) chain[i] = n;
  if (!jeval_expr(c, first->a, out)) return false;
  for (size_t i = 0; i < len; i++) {
    jvalue right;
    if (chain[i]->kind == JN_BINARY) {
      if (!jeval_expr(c, chain[i]->b, &right)) return false;
      c->line = chain[i]->line;
      if (!jops_binary(c, (int)chain[i]->op, *out, right, out)) return false;
    } else if (jvalue_truth(*out) == (chain[i]->kind == JN_AND)) {
      if (!jeval_expr(c, chain[i]->b, out)) return false;
    }
  }
  return true;
}

static bool compare_one(jctx *c, jop op, jvalue a, jvalue b, bool *yes) {
  static const char *const names[] = {[JOP_LT] = "<", [JOP_LE] = "<=", [JOP_GT] = ">", [JOP_GE] = ">="};
  int order = 0;
  switch (op) {
  case JOP_EQ: return jvalue_eq(c, a, b, yes);
  case JOP_NE:
    if (!jvalue_eq(c, a, b, yes)) return false;
    *yes = !*yes;
    return true;
  case JOP_IN: return jvalue_contains(c, b, a, yes);
  case JOP_NOTIN:
    if (!jvalue_contains(c, b, a, yes)) return false;
    *yes = !*yes;
    return true;
  default: break;
  }
  if (!jvalue_compare(c, a, b, names[op], &order)) return false;
  bool nan = order == 2; // a NaN is neither less nor more
  *yes = !nan && (op == JOP_LT   ? order < 0
                  : op == JOP_LE ? order <= 0
                  : op == JOP_GT ? order > 0
                                 : order >= 0);
  return true;
}

static bool eval_compare(jctx *c, const jnode *n, jvalue *out) {
  jvalue left, right;
  bool yes = true;
  if (!jeval_expr(c, n->a, &left)) return false;
  for (size_t i = 0; i < n->n_items && yes; i++) {
    if (!jeval_expr(c, n->items[i], &right)) return false;
    c->line = n->line;
    if (!compare_one(c, n->ops[i], left, right, &yes)) return false;
    left = right;
  }
  *out = jbool(yes);
  return true;
}

static bool eval_ternary(jctx *c, const jnode *n, jvalue *out) {
  jvalue test;
  if (!jeval_expr(c, n->b, &test)) return false;
  if (jvalue_truth(test)) return jeval_expr(c, n->a, out);
  if (n->c) return jeval_expr(c, n->c, out);
  *out = jvalue_undefined_because("the inline if-expression evaluated to false and no else was defined", c);
  return true;
}

static bool eval_unary(jctx *c, const jnode *n, jvalue *out) {
  jvalue v;
  if (!jeval_expr(c, n->a, &v)) return false;
  c->line = n->line;
  if (n->kind == JN_NEG) return jops_negate(c, v, out);
  if (n->kind == JN_NOT) return *out = jbool(!jvalue_truth(v)), true;
  bool is_int;
  int64_t i;
  double f;
  if (v.kind == J_UNDEFINED) return jfail_undefined(c, v);
  if (!jvalue_number(v, &is_int, &i, &f))
    return jfail_type(c, "bad operand for unary +: '%s'", jvalue_type(v));
  *out = is_int ? jint(i) : jfloat(f);
  return true;
}

static bool eval_node(jctx *c, const jnode *n, jvalue *out) {
  jvalue of, key;
  switch (n->kind) {
  case JN_CONST: *out = n->value; return true;
  case JN_NAME: return eval_name(c, n->name, out);
  case JN_LIST:
  case JN_TUPLE: return eval_items(c, n, out);
  case JN_DICT: return eval_dict(c, n, out);
  case JN_ATTR:
    if (!jeval_expr(c, n->a, &of)) return false;
    c->line = n->line;
    return jvalue_getattr(c, of, n->attr, out);
  case JN_ITEM:
    if (!jeval_expr(c, n->a, &of) || !jeval_expr(c, n->b, &key)) return false;
    c->line = n->line;
    return jvalue_getitem(c, of, key, out);
  case JN_SLICE: return eval_slice(c, n, out);
  case JN_CALL: return eval_call(c, n, out);
  case JN_FILTER:
  case JN_TEST: return eval_filter(c, n, out);
  case JN_NOT:
  case JN_NEG:
  case JN_POS: return eval_unary(c, n, out);
  case JN_BINARY:
  case JN_AND:
  case JN_OR: return eval_chain(c, n, out);
  case JN_COMPARE: return eval_compare(c, n, out);
  case JN_TERNARY: return eval_ternary(c, n, out);
  default: return jfail(c, PN_ERR_INTERNAL, "a statement where an expression belongs");
  }
}

bool jeval_expr(jctx *c, const jnode *n, jvalue *out) {
  c->line = n->line;
  if (!jstep(c, 1) || !jdeeper(c)) return false;
  bool ok = eval_node(c, n, out);
  c->depth--;
  return ok;
}
