#include "base/utf8.h"
#include "template/jparse.h"

#include <stdlib.h>
#include <string.h>

enum {
  LEVEL_OR,
  LEVEL_AND,
  LEVEL_NOT,
  LEVEL_COMPARE,
  LEVEL_ADD,
  LEVEL_CONCAT,
  LEVEL_MUL,
  LEVEL_POW,
  LEVEL_UNARY
};

static const struct {
  const char *text;
  int level;
  jop op;
} operators[] = {
    {"+", LEVEL_ADD, JOP_ADD},     {"-", LEVEL_ADD, JOP_SUB},     {"~", LEVEL_CONCAT, JOP_CONCAT},
    {"*", LEVEL_MUL, JOP_MUL},     {"/", LEVEL_MUL, JOP_DIV},     {"//", LEVEL_MUL, JOP_FLOORDIV},
    {"%", LEVEL_MUL, JOP_MOD},     {"**", LEVEL_POW, JOP_POW},    {"==", LEVEL_COMPARE, JOP_EQ},
    {"!=", LEVEL_COMPARE, JOP_NE}, {"<", LEVEL_COMPARE, JOP_LT},  {"<=", LEVEL_COMPARE, JOP_LE},
    {">", LEVEL_COMPARE, JOP_GT},  {">=", LEVEL_COMPARE, JOP_GE},
};

static jnode *constant(jparser *p, jvalue v) {
  jnode *n = jparse_node(p, JN_CONST);
  if (n) n->value = v;
  return n;
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 32;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The escape behind the backslash at s[at]; writes to out and gives the offset behind it, or 0 when it is
// malformed.
static size_t unescape(pn_str s, size_t at, char *out, size_t *n) {
  static const char from[] = "ntrabfv\\'\"", to[] = "\n\t\r\a\b\f\v\\'\"";
  char c = s.p[at + 1];
  const char *simple = c ? strchr(from, c) : NULL;
  if (simple) return out[(*n)++] = to[simple - from], at + 2;
  if (c == '\n') return at + 2;
  if (c >= '0' && c <= '7') {
    uint32_t cp = 0;
    size_t end = at + 1;
    for (; end < s.n && end < at + 4 && s.p[end] >= '0' && s.p[end] <= '7'; end++)
      cp = cp * 8 + (uint32_t)(s.p[end] - '0');
    *n += pn_utf8_encode(cp, out + *n);
    return end;
  }
  size_t n_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (n_digits == 0) {
    if (c == 'N') return 0;
    out[(*n)++] = '\\'; // an unknown escape stays
    return at + 1;
  }
  uint32_t cp = 0;
  for (size_t i = 0; i < n_digits; i++) {
    int h = at + 2 + i < s.n ? hex_value(s.p[at + 2 + i]) : -1;
    if (h < 0) return 0;
    cp = cp * 16 + (uint32_t)h;
  }
  if (cp > 0x10FFFF) return 0;
  *n += pn_utf8_encode(cp, out + *n);
  return at + 2 + n_digits;
}

static jnode *parse_string(jparser *p) {
  size_t room = 0;
  for (const jtoken *t = p->t; t->kind == JT_STRING; t++) room += t->text.n;
  char *out = pn_arena_alloc(p->a, room + 4);
  jtext *text = pn_arena_alloc(p->a, sizeof *text);
  if (!out || !text) return jparse_nomem(p), NULL;
  jnode *node = constant(p, jstr(text));
  size_t n = 0;
  for (; p->t->kind == JT_STRING; p->t++) {
    pn_str s = p->t->text;
    for (size_t at = 0; at < s.n;) {
      if (s.p[at] != '\\') {
        out[n++] = s.p[at++];
        continue;
      }
      if (!(at = unescape(s, at, out, &n))) return jparse_fail(p, "expected a well-formed escape"), NULL;
    }
  }
  *text = (jtext){.p = out, .n = n, .n_chars = SIZE_MAX};
  return node;
}

static jnode *parse_number(jparser *p) {
  char z[400];
  size_t n = 0;
  pn_str s = p->t->text;
  for (size_t i = 0; i < s.n; i++) {
    if (s.p[i] == '_') continue;
    if (n + 1 >= sizeof z) return jparse_fail(p, "expected a shorter number"), NULL;
    z[n++] = s.p[i];
  }
  z[n] = '\0';
  if (p->t->kind == JT_FLOAT) {
    jnode *node = constant(p, jfloat(strtod(z, NULL)));
    p->t++;
    return node;
  }
  int base = z[0] != '0'          ? 10
             : (z[1] | 32) == 'x' ? 16
             : (z[1] | 32) == 'o' ? 8
             : (z[1] | 32) == 'b' ? 2
                                  : 10;
  int64_t v = 0;
  for (const char *d = z + (base == 10 ? 0 : 2); *d; d++)
    if (__builtin_mul_overflow(v, (int64_t)base, &v) || __builtin_add_overflow(v, (int64_t)hex_value(*d), &v))
      return jparse_fail(p, "expected an integer of at most 64 bits"), NULL;
  jnode *node = constant(p, jint(v));
  p->t++;
  return node;
}

// Macro bodies that mention varargs, kwargs or caller take surplus arguments.
static void note_special(jparser *p, const jname *name) {
  for (jparams *m = p->macro; m; m = m->outer) {
    if (pn_str_is(name->s, "varargs")) m->varargs = name;
    if (pn_str_is(name->s, "kwargs")) m->kwargs = name;
    if (pn_str_is(name->s, "caller")) m->caller = name;
  }
}

static jnode *parse_name(jparser *p, bool namespaces) {
  pn_str s = p->t->text;
  jnode *n = jparse_node(p, JN_NAME);
  if (!n) return NULL;
  p->t++;
  bool yes = pn_str_is(s, "true") || pn_str_is(s, "True");
  if (yes || pn_str_is(s, "false") || pn_str_is(s, "False"))
    return n->kind = JN_CONST, n->value = jbool(yes), n;
  if (pn_str_is(s, "none") || pn_str_is(s, "None")) return n->kind = JN_CONST, n->value = jnone(), n;
  if (!(n->name = jparse_name(p, s))) return NULL;
  note_special(p, n->name);
  if (namespaces && jparse_skip_op(p, ".")) {
    n->kind = JN_NSREF;
    return jparse_want_name(p, &n->attr) ? n : NULL;
  }
  return n;
}

static jnode *parse_list(jparser *p, const char *close, jnode_kind kind) {
  jnode *n = jparse_node(p, kind);
  jlist l = {0};
  p->t++;
  if (!n) return NULL;
  for (size_t i = 0; !jparse_is_op(p, close); i++) {
    if (i && !jparse_want_op(p, ",")) return NULL;
    if (jparse_is_op(p, close)) break;
    if (!jparse_push(p, &l, jparse_expr(p, true))) return NULL;
    if (kind == JN_DICT && (!jparse_want_op(p, ":") || !jparse_push(p, &l, jparse_expr(p, true))))
      return NULL;
  }
  p->t++;
  n->items = l.items;
  n->n_items = l.n;
  return n;
}

// Commas make a tuple; with `ends` empty, a closing bracket or tag ends it.
static jnode *tuple_of(jparser *p, jnode *(*item)(jparser *, bool), bool arg, const char *stop, bool parens) {
  jnode *n = jparse_node(p, JN_TUPLE);
  jlist l = {0};
  bool tuple = false;
  if (!n) return NULL;
  for (;;) {
    if (l.n && !jparse_want_op(p, ",")) return NULL;
    if (p->t->kind == JT_PRINT_END || p->t->kind == JT_BLOCK_END || jparse_is_op(p, ")")) break;
    if (stop && jparse_is_name(p, stop)) break;
    if (!jparse_push(p, &l, item(p, arg))) return NULL;
    if (!jparse_is_op(p, ",")) break;
    tuple = true;
  }
  if (!tuple && l.n) return l.items[0];
  if (!tuple && !parens) return jparse_fail(p, "expected an expression"), NULL;
  n->items = l.items;
  n->n_items = l.n;
  return n;
}

jnode *jparse_tuple(jparser *p, bool ternary, const char *stop) {
  return tuple_of(p, jparse_expr, ternary, stop, false);
}

static jnode *parse_primary(jparser *p, bool namespaces) {
  if (p->t->kind == JT_NAME) return parse_name(p, namespaces);
  if (p->t->kind == JT_STRING) return parse_string(p);
  if (p->t->kind == JT_INT || p->t->kind == JT_FLOAT) return parse_number(p);
  if (jparse_is_op(p, "[")) return parse_list(p, "]", JN_LIST);
  if (jparse_is_op(p, "{")) return parse_list(p, "}", JN_DICT);
  if (jparse_skip_op(p, "(")) {
    jnode *n = tuple_of(p, jparse_expr, true, NULL, true);
    return n && jparse_want_op(p, ")") ? n : NULL;
  }
  jparse_fail(p, "expected an expression");
  return NULL;
}

static bool can_assign(const jnode *n) {
  if (n->kind == JN_NAME || n->kind == JN_NSREF) return true;
  if (n->kind != JN_TUPLE) return false;
  for (size_t i = 0; i < n->n_items; i++)
    if (!can_assign(n->items[i])) return false;
  return true;
}

jnode *jparse_target(jparser *p, const char *stop, bool namespaces) {
  if (!jparse_deeper(p)) return NULL;
  jnode *n = tuple_of(p, parse_primary, namespaces, stop, false);
  p->depth--;
  if (n && !can_assign(n)) return jparse_fail(p, "expected something that can be assigned to"), NULL;
  return n;
}

static bool parse_arg(jparser *p, jargs *out, jlist *args, jlist *named, size_t *cap) {
  if (jparse_skip_op(p, "*")) {
    if (out->star || out->star2) return jparse_fail(p, "expected only one '*'");
    return (out->star = jparse_expr(p, true)) != NULL;
  }
  if (jparse_skip_op(p, "**")) {
    if (out->star2) return jparse_fail(p, "expected only one '**'");
    return (out->star2 = jparse_expr(p, true)) != NULL;
  }
  bool is_named = p->t->kind == JT_NAME && p->t[1].kind == JT_OP && pn_str_is(p->t[1].text, "=");
  if (out->star2 || (!is_named && (out->star || named->n)))
    return jparse_fail(p, "expected no positional argument here");
  if (!is_named) return jparse_push(p, args, jparse_expr(p, true));
  if (named->n == *cap) {
    *cap = *cap ? *cap * 2 : 8;
    pn_str *names = pn_arena_array(p->a, *cap, sizeof *names);
    if (!names) return jparse_nomem(p);
    if (named->n) memcpy(names, out->names, named->n * sizeof *names);
    out->names = names;
  }
  out->names[named->n] = p->t->text;
  p->t += 2;
  return jparse_push(p, named, jparse_expr(p, true));
}

// Arguments in parentheses.
static bool jparse_args(jparser *p, jargs *out) {
  jlist args = {0}, named = {0};
  size_t cap = 0;
  if (!jparse_want_op(p, "(")) return false;
  for (bool first = true; !jparse_is_op(p, ")"); first = false) {
    if (!first && !jparse_want_op(p, ",")) return false;
    if (jparse_is_op(p, ")") && !first) break;
    if (!parse_arg(p, out, &args, &named, &cap)) return false;
  }
  p->t++;
  out->args = args.items;
  out->n_args = args.n;
  out->named = named.items;
  out->n_named = named.n;
  return true;
}

static jnode *with_args(jparser *p, jnode *n) {
  if (n && !(n->args = pn_arena_alloc(p->a, sizeof *n->args))) return jparse_nomem(p), NULL;
  return n;
}

static jnode *parse_call(jparser *p, jnode *callee) {
  jnode *n = with_args(p, jparse_node(p, JN_CALL));
  if (!n) return NULL;
  n->a = callee;
  return jparse_args(p, n->args) ? n : NULL;
}

static jnode *parse_subscribed(jparser *p) {
  jnode *parts[3] = {0};
  if (!jparse_is_op(p, ":") && !(parts[0] = jparse_expr(p, true))) return NULL;
  if (!jparse_skip_op(p, ":")) return parts[0];
  for (int i = 1; i < 3; i++) {
    bool none = jparse_is_op(p, ":") || jparse_is_op(p, "]") || jparse_is_op(p, ",");
    if (!none && !(parts[i] = jparse_expr(p, true))) return NULL;
    if (i == 1 && !jparse_skip_op(p, ":")) break;
  }
  jnode *n = jparse_node(p, JN_SLICE);
  if (!n) return NULL;
  n->n_items = 3;
  if (!(n->items = pn_arena_array(p->a, 3, sizeof *n->items))) return jparse_nomem(p), NULL;
  memcpy(n->items, parts, sizeof parts);
  return n;
}

static jnode *parse_subscript(jparser *p, jnode *of) {
  jnode *n = jparse_node(p, JN_ITEM);
  if (!n) return NULL;
  n->a = of;
  if (jparse_skip_op(p, ".")) {
    if (p->t->kind == JT_INT) return (n->b = parse_number(p)) ? n : NULL;
    n->kind = JN_ATTR;
    return jparse_want_name(p, &n->attr) ? n : NULL;
  }
  jlist l = {0};
  p->t++;
  while (!jparse_is_op(p, "]")) {
    if (l.n && !jparse_want_op(p, ",")) return NULL;
    if (!jparse_push(p, &l, parse_subscribed(p))) return NULL;
  }
  p->t++;
  if (l.n == 1 && l.items[0]->kind == JN_SLICE) return l.items[0]->a = of, l.items[0];
  if (l.n == 1) return n->b = l.items[0], n;
  for (size_t i = 0; i < l.n; i++)
    if (l.items[i]->kind == JN_SLICE) return jparse_fail(p, "expected a single slice"), NULL;
  if (!(n->b = jparse_node(p, JN_TUPLE))) return NULL;
  n->b->items = l.items;
  n->b->n_items = l.n;
  return n;
}

static jnode *parse_postfix(jparser *p, jnode *n) {
  while (n) {
    if (jparse_is_op(p, ".") || jparse_is_op(p, "["))
      n = parse_subscript(p, n);
    else if (jparse_is_op(p, "("))
      n = parse_call(p, n);
    else
      break;
  }
  return n;
}

// name or dotted.name, as filters and tests have.
static bool parse_dotted(jparser *p, jnode *n) {
  if (!jparse_want_name(p, &n->attr)) return false;
  while (jparse_skip_op(p, ".")) {
    pn_str part;
    if (!jparse_want_name(p, &part)) return false;
    n->attr = (pn_str){n->attr.p, (size_t)(part.p + part.n - n->attr.p)};
  }
  return true;
}

jnode *jparse_filters(jparser *p, jnode *of, bool first_without_pipe) {
  while (first_without_pipe || jparse_is_op(p, "|")) {
    if (!first_without_pipe) p->t++;
    first_without_pipe = false;
    jnode *n = with_args(p, jparse_node(p, JN_FILTER));
    if (!n || !parse_dotted(p, n)) return NULL;
    n->a = of;
    if (jparse_is_op(p, "(") && !jparse_args(p, n->args)) return NULL;
    of = n;
  }
  return of;
}

static bool starts_test_argument(const jparser *p) {
  switch (p->t->kind) {
  case JT_NAME: return !jparse_is_name(p, "else") && !jparse_is_name(p, "or") && !jparse_is_name(p, "and");
  case JT_STRING:
  case JT_INT:
  case JT_FLOAT: return true;
  default: return jparse_is_op(p, "[") || jparse_is_op(p, "{");
  }
}

static jnode *parse_test(jparser *p, jnode *of) {
  p->t++;
  jnode *outer = jparse_skip_name(p, "not") ? jparse_node(p, JN_NOT) : NULL;
  jnode *n = with_args(p, jparse_node(p, JN_TEST));
  if (!n || !parse_dotted(p, n)) return NULL;
  n->a = of;
  if (jparse_is_op(p, "(")) {
    if (!jparse_args(p, n->args)) return NULL;
  } else if (starts_test_argument(p)) {
    if (jparse_is_name(p, "is")) return jparse_fail(p, "expected no second 'is'"), NULL;
    jlist l = {0};
    if (!jparse_push(p, &l, parse_postfix(p, parse_primary(p, false)))) return NULL;
    n->args->args = l.items;
    n->args->n_args = 1;
  }
  if (!outer) return n;
  outer->a = n;
  return outer;
}

static jnode *parse_unary(jparser *p, bool filters) {
  jnode *n;
  if (jparse_is_op(p, "-") || jparse_is_op(p, "+")) {
    if (!(n = jparse_node(p, jparse_is_op(p, "-") ? JN_NEG : JN_POS))) return NULL;
    p->t++;
    if (!jparse_deeper(p)) return NULL;
    n->a = parse_unary(p, false);
    p->depth--;
    if (!n->a) return NULL;
  } else {
    n = parse_primary(p, false);
  }
  n = parse_postfix(p, n);
  while (n && filters) {
    if (jparse_is_op(p, "|"))
      n = jparse_filters(p, n, false);
    else if (jparse_is_name(p, "is"))
      n = parse_test(p, n);
    else if (jparse_is_op(p, "("))
      n = parse_call(p, n);
    else
      break;
  }
  return n;
}

// The binary operator here; gives its level or -1. *words: how many tokens it has.
static int operator_here(const jparser *p, jop *op, int *words) {
  *words = 1;
  if (p->t->kind == JT_OP) {
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
      if (pn_str_is(p->t->text, operators[i].text)) return *op = operators[i].op, operators[i].level;
    return -1;
  }
  if (jparse_is_name(p, "or")) return LEVEL_OR;
  if (jparse_is_name(p, "and")) return LEVEL_AND;
  if (jparse_is_name(p, "in")) return *op = JOP_IN, LEVEL_COMPARE;
  if (jparse_is_name(p, "not") && p->t[1].kind == JT_NAME && pn_str_is(p->t[1].text, "in"))
    return *words = 2, *op = JOP_NOTIN, LEVEL_COMPARE;
  return -1;
}

static jnode *parse_level(jparser *p, int level);

static jnode *parse_compare(jparser *p, jnode *left) {
  jnode *n = jparse_node(p, JN_COMPARE);
  jlist l = {0};
  size_t cap = 0;
  jop op = JOP_EQ;
  int words;
  if (!n) return NULL;
  n->a = left;
  while (operator_here(p, &op, &words) == LEVEL_COMPARE) {
    if (l.n == cap) {
      cap = cap ? cap * 2 : 4;
      jop *ops = pn_arena_array(p->a, cap, sizeof *ops);
      if (!ops) return jparse_nomem(p), NULL;
      if (l.n) memcpy(ops, n->ops, l.n * sizeof *ops);
      n->ops = ops;
    }
    n->ops[l.n] = op;
    p->t += words;
    if (!jparse_push(p, &l, parse_level(p, LEVEL_ADD))) return NULL;
  }
  n->items = l.items;
  n->n_items = l.n;
  return n;
}

static jnode *parse_level(jparser *p, int level) {
  jnode *left;
  if (!jparse_deeper(p)) return NULL;
  if (level <= LEVEL_NOT && jparse_is_name(p, "not")) {
    if ((left = jparse_node(p, JN_NOT))) {
      p->t++;
      if (!(left->a = parse_level(p, LEVEL_NOT))) left = NULL;
    }
  } else {
    left = parse_unary(p, true);
  }
  jop op = JOP_ADD;
  int words, found;
  while (left && (found = operator_here(p, &op, &words)) >= level) {
    if (found == LEVEL_COMPARE) {
      left = parse_compare(p, left);
      continue;
    }
    jnode *n = jparse_node(p, found == LEVEL_OR ? JN_OR : found == LEVEL_AND ? JN_AND : JN_BINARY);
    if (!n) return NULL;
    p->t += words;
    n->op = op;
    n->a = left;
    n->b = parse_level(p, found + 1);
    left = n->b ? n : NULL;
  }
  p->depth--;
  return left;
}

jnode *jparse_expr(jparser *p, bool ternary) {
  if (!jparse_deeper(p)) return NULL;
  jnode *n = parse_level(p, LEVEL_OR);
  while (n && ternary && jparse_is_name(p, "if")) {
    jnode *t = jparse_node(p, JN_TERNARY);
    p->t++;
    if (!t) return NULL;
    t->a = n;
    if (!(t->b = parse_level(p, LEVEL_OR))) return NULL;
    if (jparse_skip_name(p, "else") && !(t->c = jparse_expr(p, true))) return NULL;
    n = t;
  }
  p->depth--;
  return n;
}
