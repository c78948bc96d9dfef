// Statements.
#include "template/jbuiltin.h"
#include "template/jeval.h"

static bool assign(jctx *c, const jnode *target, jvalue v) {
  if (target->kind == JN_NAME) return jscope_set(c, c->scope, target->name, v);
  if (target->kind == JN_NSREF) {
    const jvalue *ns = jscope_find(c, c->scope, target->name);
    c->line = target->line;
    if (!ns || ns->kind != J_NAMESPACE)
      return jfail_type(c, "cannot assign attribute '%s' on an object that is no namespace",
                        jquote(c, target->attr));
    if (target->attr.p[0] == '_') return jfail_type(c, "a namespace can't have attributes that begin with _");
    const jtext *key = jtext_new(c, target->attr, JTEXT_PLAIN);
    return key && jdict_set(c, ns->u.dict, jstr(key), v);
  }
  jvalue *items;
  size_t n;
  if (!jvalue_items(c, v, &items, &n)) return false;
  if (n != target->n_items)
    return jfail_type(c, "cannot unpack %zu values into %zu names", n, target->n_items);
  for (size_t i = 0; i < n; i++)
    if (!assign(c, target->items[i], items[i])) return false;
  return true;
}

static bool print_value(jctx *c, jvalue v) {
  const jtext *t;
  return jdump_str(c, v, &t) && jbuild_text(c->out, t);
}

static jflow exec_if(jctx *c, const jnode *n) {
  for (size_t i = 0; i < n->n_items; i++) {
    jvalue v;
    if (!jeval_expr(c, n->items[i], &v)) return JFLOW_FAIL;
    if (jvalue_truth(v)) return jexec_block(c, &n->blocks[i]);
  }
  return jexec_block(c, &n->blocks[n->n_items]);
}

// A scope for the next pass: the old one when nothing holds it.
static bool fresh_scope(jctx *c, jscope *outer) {
  if (c->scope != outer && !c->scope->captured) return c->scope->n = 0, true;
  return (c->scope = jscope_new(c, outer)) != NULL;
}

// The elements that pass the loop's `if`.
static bool filter_items(jctx *c, const jnode *n, jscope *outer, jvalue **items, size_t *count) {
  jseq *kept = jseq_new(c, 0);
  if (!kept) return false;
  for (size_t i = 0; i < *count; i++) {
    jvalue v;
    if (!fresh_scope(c, outer) || !assign(c, n->a, (*items)[i]) || !jeval_expr(c, n->c, &v)) return false;
    if (jvalue_truth(v) && !jseq_push(c, kept, (*items)[i])) return false;
  }
  c->scope = outer;
  *items = kept->items;
  *count = kept->n;
  return true;
}

// *done: some pass came to its end without break or continue, which is what Jinja's `else` asks for.
static jflow run_loop(jctx *c, const jnode *n, jloop *loop, bool *done) {
  jscope *outer = c->scope;
  for (; loop->at < loop->n; loop->at++) {
    if (!jstep(c, 1) || !fresh_scope(c, outer)) return JFLOW_FAIL;
    if (!jscope_set(c, c->scope, n->name, (jvalue){.kind = J_LOOP, .u.loop = loop})) return JFLOW_FAIL;
    if (!assign(c, n->a, loop->items[loop->at])) return JFLOW_FAIL;
    jflow f = jexec_block(c, &n->body);
    if (f == JFLOW_FAIL) return f;
    if (f == JFLOW_BREAK) break;
    if (f == JFLOW_NEXT) *done = true;
  }
  c->scope = outer;
  return JFLOW_NEXT;
}

static jflow exec_for(jctx *c, const jnode *n) {
  jvalue v, *items;
  size_t count;
  if (!jeval_expr(c, n->b, &v)) return JFLOW_FAIL;
  c->line = n->line;
  if (!jvalue_items(c, v, &items, &count)) return JFLOW_FAIL;
  if (n->c && !filter_items(c, n, c->scope, &items, &count)) return JFLOW_FAIL;
  bool done = false;
  if (count) {
    jloop *loop = jalloc(c, 1, sizeof *loop);
    if (!loop) return JFLOW_FAIL;
    *loop = (jloop){.items = items, .n = count};
    if (run_loop(c, n, loop, &done) == JFLOW_FAIL) return JFLOW_FAIL;
  }
  return done ? JFLOW_NEXT : jexec_block(c, &n->orelse);
}

// Run the block in a scope of its own with its output in *text.
static jflow capture(jctx *c, const jblock *body, const jtext **text) {
  jbuild *out = c->out, *b = jbuild_new(c);
  jscope *outer = c->scope;
  if (!b || !(c->scope = jscope_new(c, outer))) return JFLOW_FAIL;
  c->out = b;
  jflow f = jexec_block(c, body);
  c->out = out;
  c->scope = outer;
  if (f == JFLOW_FAIL || !(*text = jbuild_done(b))) return JFLOW_FAIL;
  return f;
}

// Apply a chain of filters whose innermost has no value of its own.
static bool apply_filters(jctx *c, const jnode *n, jvalue self, jvalue *out) {
  if (!n) return *out = self, true;
  jnode value = {.kind = JN_CONST, .line = n->line};
  jnode copy = *n;
  if (!jdeeper(c)) return false;
  bool ok = apply_filters(c, n->a, self, &value.value);
  c->depth--;
  copy.a = &value;
  return ok && jeval_expr(c, &copy, out);
}

static jflow exec_set_block(jctx *c, const jnode *n) {
  const jtext *text;
  jvalue v;
  jflow f = capture(c, &n->body, &text);
  if (f != JFLOW_NEXT) return f;
  if (!apply_filters(c, n->b, jstr(text), &v) || !assign(c, n->a, v)) return JFLOW_FAIL;
  return f;
}

static jflow exec_filter_block(jctx *c, const jnode *n) {
  const jtext *text;
  jvalue v;
  jflow f = capture(c, &n->body, &text);
  if (f != JFLOW_NEXT) return f;
  return apply_filters(c, n->a, jstr(text), &v) && print_value(c, v) ? JFLOW_NEXT : JFLOW_FAIL;
}

static jmacro *new_macro(jctx *c, const jnode *n, pn_str name) {
  jmacro *m = jalloc(c, 1, sizeof *m);
  if (!m) return NULL;
  *m = (jmacro){.node = n, .scope = c->scope, .name = jquote(c, name)};
  for (jscope *s = c->scope; s && !s->captured; s = s->parent) s->captured = true;
  return m;
}

static jflow exec_call_block(jctx *c, const jnode *n) {
  static const pn_str caller = {"caller", 6};
  jmacro *m = new_macro(c, n, caller);
  if (!m) return JFLOW_FAIL;
  // The call's own arguments, and the body as the argument `caller`.
  const jargs *own = n->a->args;
  jnode value = {.kind = JN_CONST, .line = n->line, .value = {.kind = J_MACRO, .u.macro = m}};
  jnode call = *n->a;
  jargs args = *own;
  args.names = jalloc(c, own->n_named + 1, sizeof *args.names);
  args.named = jalloc(c, own->n_named + 1, sizeof *args.named);
  if (!args.names || !args.named) return JFLOW_FAIL;
  for (size_t i = 0; i < own->n_named; i++) {
    args.names[i] = own->names[i];
    args.named[i] = own->named[i];
  }
  args.names[own->n_named] = caller;
  args.named[own->n_named] = &value;
  args.n_named++;
  call.args = &args;
  jvalue v;
  return jeval_expr(c, &call, &v) && print_value(c, v) ? JFLOW_NEXT : JFLOW_FAIL;
}

static jflow exec_with(jctx *c, const jnode *n) {
  jscope *outer = c->scope, *inner = jscope_new(c, outer);
  if (!inner) return JFLOW_FAIL;
  for (size_t i = 0; i + 1 < n->n_items; i += 2) {
    jvalue v;
    c->scope = outer;
    if (!jeval_expr(c, n->items[i + 1], &v)) return JFLOW_FAIL;
    c->scope = inner;
    if (!assign(c, n->items[i], v)) return JFLOW_FAIL;
  }
  c->scope = inner;
  jflow f = jexec_block(c, &n->body);
  c->scope = outer;
  return f;
}

static jflow exec_node(jctx *c, const jnode *n) {
  jvalue v;
  switch (n->kind) {
  case JN_TEXT: return jbuild_text(c->out, n->value.u.s) ? JFLOW_NEXT : JFLOW_FAIL;
  case JN_PRINT:
    for (size_t i = 0; i < n->n_items; i++)
      if (!jeval_expr(c, n->items[i], &v) || !print_value(c, v)) return JFLOW_FAIL;
    return JFLOW_NEXT;
  case JN_IF: return exec_if(c, n);
  case JN_FOR: return exec_for(c, n);
  case JN_SET: return jeval_expr(c, n->b, &v) && assign(c, n->a, v) ? JFLOW_NEXT : JFLOW_FAIL;
  case JN_SETBLOCK: return exec_set_block(c, n);
  case JN_MACRO: {
    jmacro *m = new_macro(c, n, n->name->s);
    if (!m || !jscope_set(c, c->scope, n->name, (jvalue){.kind = J_MACRO, .u.macro = m})) return JFLOW_FAIL;
    return JFLOW_NEXT;
  }
  case JN_CALLBLOCK: return exec_call_block(c, n);
  case JN_FILTERBLOCK: return exec_filter_block(c, n);
  case JN_WITH: return exec_with(c, n);
  case JN_SCOPE: {
    jscope *outer = c->scope;
    if (!(c->scope = jscope_new(c, outer))) return JFLOW_FAIL;
    jflow f = jexec_block(c, &n->body);
    c->scope = outer;
    return f;
  }
  case JN_BREAK: return JFLOW_BREAK;
  case JN_CONTINUE: return JFLOW_CONTINUE;
  default: jfail(c, PN_ERR_INTERNAL, "an expression where a statement belongs"); return JFLOW_FAIL;
  }
}

jflow jexec_block(jctx *c, const jblock *b) {
  if (b->n == 0) return JFLOW_NEXT;
  if (!jdeeper(c)) return JFLOW_FAIL;
  jflow f = JFLOW_NEXT;
  for (size_t i = 0; i < b->n && f == JFLOW_NEXT; i++) {
    c->line = b->items[i]->line;
    f = jstep(c, 1) ? exec_node(c, b->items[i]) : JFLOW_FAIL;
  }
  c->depth--;
  return f;
}

// Arguments that no parameter took, for the macro that mentions varargs or kwargs.
static bool bind_rest(jctx *c, const jmacro *m, const jvalue *args, size_t n_args, jdict *rest) {
  const jparams *p = m->node->params;
  if (n_args > p->n) {
    if (!p->varargs) return jfail_type(c, "macro '%s' takes not more than %zu argument(s)", m->name, p->n);
    args += p->n;
    n_args -= p->n;
  } else {
    n_args = 0;
  }
  if (p->varargs) {
    jseq *s = jseq_new(c, n_args);
    if (!s) return false;
    for (size_t i = 0; i < n_args; i++) s->items[i] = args[i];
    s->n = n_args;
    if (!jscope_set(c, c->scope, p->varargs, jseq_value(J_TUPLE, s))) return false;
  }
  if (rest->n && !p->kwargs)
    return jfail_type(c, "macro '%s' takes no keyword argument '%s'", m->name,
                      jquote(c, jview(rest->keys[0].u.s)));
  return !p->kwargs || jscope_set(c, c->scope, p->kwargs, (jvalue){.kind = J_DICT, .u.dict = rest});
}

// Index of the parameter with that name, or SIZE_MAX.
static size_t param_index(const jparams *p, pn_str name) {
  size_t i = 0;
  while (i < p->n && !pn_str_eq(p->names[i]->s, name)) i++;
  return i < p->n ? i : SIZE_MAX;
}

static bool bind_named(jctx *c, const jmacro *m, const pn_str *names, const jvalue *named, size_t n_named,
                       size_t n_args, jvalue *values, jdict *rest) {
  const jparams *p = m->node->params;
  for (size_t i = 0; i < n_named; i++) {
    size_t at = param_index(p, names[i]);
    if (at != SIZE_MAX && at < n_args)
      return jfail_type(c, "macro '%s' got two values for '%s'", m->name, jquote(c, names[i]));
    if (at != SIZE_MAX) {
      values[at] = named[i];
    } else if (p->caller && pn_str_is(names[i], "caller")) {
      if (!jscope_set(c, c->scope, p->caller, named[i])) return false;
    } else {
      const jtext *key = jtext_copy(c, names[i], JTEXT_PLAIN);
      if (!key || !jdict_set(c, rest, jstr(key), named[i])) return false;
    }
  }
  return true;
}

static bool bind_macro(jctx *c, const jmacro *m, const jvalue *args, size_t n_args, const pn_str *names,
                       const jvalue *named, size_t n_named) {
  const jparams *p = m->node->params;
  jvalue *values = jalloc(c, p->n, sizeof *values);
  jdict *rest = jdict_new(c, 0);
  if (!values || !rest) return false;
  for (size_t i = 0; i < p->n && i < n_args; i++) values[i] = args[i];
  if (!bind_named(c, m, names, named, n_named, n_args, values, rest)) return false;
  if (!bind_rest(c, m, args, n_args, rest)) return false;
  for (size_t i = 0; i < p->n; i++) {
    if (values[i].kind == J_MISSING && p->defaults[i] && !jeval_expr(c, p->defaults[i], &values[i]))
      return false;
    if (values[i].kind == J_MISSING) values[i] = jvalue_undefined(c, NULL, p->names[i]->s);
    if (!jscope_set(c, c->scope, p->names[i], values[i])) return false;
  }
  return true;
}

bool jexec_macro(jctx *c, const jmacro *m, const jvalue *args, size_t n_args, const pn_str *names,
                 const jvalue *named, size_t n_named, jvalue *out) {
  jscope *caller = c->scope;
  if (!jdeeper(c) || !(c->scope = jscope_new(c, m->scope))) return false;
  const jtext *text;
  if (!bind_macro(c, m, args, n_args, names, named, n_named)) return false;
  if (capture(c, &m->node->body, &text) != JFLOW_NEXT) return false;
  c->scope = caller;
  c->depth--;
  *out = jstr(text);
  return true;
}
