#include "template/jparse.h"

#include "base/hash.h"
#include "template/jbuiltin.h"

#include <string.h>

bool jparse_fail(jparser *p, const char *what) {
  pn_str t = p->t->text;
  int n = t.n > 40 ? 40 : (int)t.n;
  if (p->t->kind == JT_END)
    return pn_fail(p->e, PN_ERR_CORRUPT, "template line %d column %d: %s, found the end of the template",
                   p->t->line, p->t->column, what);
  return pn_fail(p->e, PN_ERR_CORRUPT, "template line %d column %d: %s, found '%.*s'", p->t->line,
                 p->t->column, what, n, t.p);
}

bool jparse_nomem(jparser *p) {
  return pn_fail(p->e, PN_ERR_NOMEM, "out of memory while parsing a template");
}

bool jparse_deeper(jparser *p) {
  if (p->depth >= JPARSE_MAX_DEPTH)
    return pn_fail(p->e, PN_ERR_LIMIT, "template line %d column %d: nested deeper than %d levels", p->t->line,
                   p->t->column, JPARSE_MAX_DEPTH);
  p->depth++;
  return true;
}

jnode *jparse_node(jparser *p, jnode_kind kind) {
  jnode *n = pn_arena_alloc(p->a, sizeof *n);
  if (!n) return jparse_nomem(p), NULL;
  n->kind = kind;
  n->line = p->t->line;
  return n;
}

bool jparse_push(jparser *p, jlist *l, jnode *n) {
  if (!n) return false;
  if (l->n == l->cap) {
    size_t cap = l->cap ? l->cap * 2 : 8;
    jnode **items = pn_arena_array(p->a, cap, sizeof *items);
    if (!items) return jparse_nomem(p);
    if (l->n) memcpy(items, l->items, l->n * sizeof *items);
    l->items = items;
    l->cap = cap;
  }
  l->items[l->n++] = n;
  return true;
}

const jname *jparse_find_name(const jnames *names, pn_str s) {
  const jname *n = names->buckets[pn_hash(s.p, s.n, 0) % JNAME_BUCKETS];
  while (n && !pn_str_eq(n->s, s)) n = n->next;
  return n;
}

jname *jparse_name(jparser *p, pn_str s) {
  jname **bucket = &p->names->buckets[pn_hash(s.p, s.n, 0) % JNAME_BUCKETS];
  for (jname *n = *bucket; n; n = n->next)
    if (pn_str_eq(n->s, s)) return n;
  jname *n = pn_arena_alloc(p->a, sizeof *n);
  if (!n) return jparse_nomem(p), NULL;
  *n = (jname){.s = s, .next = *bucket, .global = jglobal_find(s)};
  return *bucket = n;
}

bool jparse_is_op(const jparser *p, const char *op) {
  return p->t->kind == JT_OP && pn_str_is(p->t->text, op);
}
bool jparse_is_name(const jparser *p, const char *name) {
  return p->t->kind == JT_NAME && pn_str_is(p->t->text, name);
}

bool jparse_skip_op(jparser *p, const char *op) {
  if (!jparse_is_op(p, op)) return false;
  p->t++;
  return true;
}

bool jparse_skip_name(jparser *p, const char *name) {
  if (!jparse_is_name(p, name)) return false;
  p->t++;
  return true;
}

bool jparse_want_op(jparser *p, const char *op) {
  if (jparse_skip_op(p, op)) return true;
  char what[32] = "expected '";
  strncat(what, op, 4);
  strncat(what, "'", 2);
  return jparse_fail(p, what);
}

bool jparse_want_name(jparser *p, pn_str *name) {
  if (p->t->kind != JT_NAME) return jparse_fail(p, "expected a name");
  *name = p->t++->text;
  return true;
}

static bool parse_body(jparser *p, const char *const *ends, jblock *out);

// The rest of a block tag, then its body up to one of the end tags; the current token is then the end tag's
// name.
static bool parse_inner(jparser *p, const char *const *ends, jblock *out) {
  jparse_skip_op(p, ":");
  if (p->t->kind != JT_BLOCK_END) return jparse_fail(p, "expected the end of the tag");
  p->t++;
  if (!jparse_deeper(p)) return false;
  bool ok = parse_body(p, ends, out);
  p->depth--;
  return ok;
}

static bool parse_inner_until(jparser *p, const char *end, jblock *out) {
  const char *const ends[] = {end, NULL};
  if (!parse_inner(p, ends, out)) return false;
  p->t++;
  return true;
}

static jnode *parse_if(jparser *p) {
  static const char *const ends[] = {"elif", "else", "endif", NULL};
  jnode *n = jparse_node(p, JN_IF);
  if (!n) return NULL;
  jlist tests = {0};
  jblock *blocks = NULL;
  size_t n_blocks = 0, cap = 0;
  for (bool test = true;;) {
    p->t++;
    if (test && !jparse_push(p, &tests, jparse_tuple(p, false, NULL))) return NULL;
    if (n_blocks + 1 >= cap) {
      cap = cap ? cap * 2 : 4;
      jblock *more = pn_arena_array(p->a, cap, sizeof *more);
      if (!more) return jparse_nomem(p), NULL;
      if (n_blocks) memcpy(more, blocks, n_blocks * sizeof *more);
      blocks = more;
    }
    if (!parse_inner(p, test ? ends : ends + 2, &blocks[n_blocks])) return NULL;
    n_blocks++;
    if (jparse_is_name(p, "endif")) break;
    test = jparse_is_name(p, "elif");
  }
  p->t++;
  n->items = tests.items;
  n->n_items = tests.n;
  n->blocks = blocks; // one more, empty, follows when there is no else
  return n;
}

static jnode *parse_for(jparser *p) {
  static const char *const ends[] = {"endfor", "else", NULL};
  jnode *n = jparse_node(p, JN_FOR);
  p->t++;
  if (!n || !(n->name = jparse_name(p, PN_STR("loop")))) return NULL;
  if (!(n->a = jparse_target(p, "in", false))) return NULL;
  if (!jparse_skip_name(p, "in")) return jparse_fail(p, "expected 'in'"), NULL;
  if (!(n->b = jparse_tuple(p, false, "recursive"))) return NULL;
  if (jparse_skip_name(p, "if") && !(n->c = jparse_expr(p, true))) return NULL;
  if (jparse_is_name(p, "recursive")) {
    pn_fail(p->e, PN_ERR_UNSUPPORTED, "template line %d: recursive loops are not supported", p->t->line);
    return NULL;
  }
  p->loops++;
  bool ok = parse_inner(p, ends, &n->body);
  p->loops--;
  if (!ok) return NULL;
  bool has_else = jparse_is_name(p, "else");
  p->t++;
  if (has_else && !parse_inner_until(p, "endfor", &n->orelse)) return NULL;
  return n;
}

static jnode *parse_set(jparser *p) {
  jnode *n = jparse_node(p, JN_SET);
  p->t++;
  if (!n || !(n->a = jparse_target(p, NULL, true))) return NULL;
  if (jparse_skip_op(p, "=")) return (n->b = jparse_tuple(p, true, NULL)) ? n : NULL;
  n->kind = JN_SETBLOCK;
  if (jparse_is_op(p, "|") && !(n->b = jparse_filters(p, NULL, false))) return NULL;
  return parse_inner_until(p, "endset", &n->body) ? n : NULL;
}

static bool parse_params(jparser *p, jparams *out) {
  if (!jparse_want_op(p, "(")) return false;
  size_t cap = 0;
  for (bool defaults = false; !jparse_is_op(p, ")");) {
    if (out->n && !jparse_want_op(p, ",")) return false;
    pn_str name;
    if (!jparse_want_name(p, &name)) return false;
    if (out->n == cap) {
      cap = cap ? cap * 2 : 8;
      const jname **names = pn_arena_array(p->a, cap, sizeof *names);
      jnode **values = pn_arena_array(p->a, cap, sizeof *values);
      if (!names || !values) return jparse_nomem(p);
      for (size_t i = 0; i < out->n; i++) {
        names[i] = out->names[i];
        values[i] = out->defaults[i];
      }
      out->names = names;
      out->defaults = values;
    }
    if (!(out->names[out->n] = jparse_name(p, name))) return false;
    if (jparse_skip_op(p, "=")) {
      defaults = true;
      if (!(out->defaults[out->n] = jparse_expr(p, true))) return false;
    } else if (defaults) {
      return jparse_fail(p, "a parameter without default follows one with default");
    }
    out->n++;
  }
  p->t++;
  return true;
}

// Parameters and body of a macro or call block.
static bool parse_macro_body(jparser *p, jnode *n, const char *end) {
  jparams *outer = p->macro;
  int loops = p->loops;
  n->params->outer = outer;
  p->macro = n->params;
  p->loops = 0;
  bool ok = parse_inner_until(p, end, &n->body);
  p->macro = outer;
  p->loops = loops;
  return ok;
}

static jnode *parse_macro(jparser *p) {
  jnode *n = jparse_node(p, JN_MACRO);
  p->t++;
  pn_str name;
  if (!n || !jparse_want_name(p, &name) || !(n->name = jparse_name(p, name))) return NULL;
  if (!(n->params = pn_arena_alloc(p->a, sizeof *n->params))) return jparse_nomem(p), NULL;
  if (!parse_params(p, n->params)) return NULL;
  return parse_macro_body(p, n, "endmacro") ? n : NULL;
}

static jnode *parse_call_block(jparser *p) {
  jnode *n = jparse_node(p, JN_CALLBLOCK);
  p->t++;
  if (!n) return NULL;
  if (!(n->params = pn_arena_alloc(p->a, sizeof *n->params))) return jparse_nomem(p), NULL;
  if (jparse_is_op(p, "(") && !parse_params(p, n->params)) return NULL;
  if (!(n->a = jparse_expr(p, true))) return NULL;
  if (n->a->kind != JN_CALL) return jparse_fail(p, "expected a call"), NULL;
  return parse_macro_body(p, n, "endcall") ? n : NULL;
}

static jnode *parse_filter_block(jparser *p) {
  jnode *n = jparse_node(p, JN_FILTERBLOCK);
  p->t++;
  if (!n || !(n->a = jparse_filters(p, NULL, true))) return NULL;
  return parse_inner_until(p, "endfilter", &n->body) ? n : NULL;
}

static jnode *parse_with(jparser *p) {
  jnode *n = jparse_node(p, JN_WITH);
  p->t++;
  jlist l = {0};
  if (!n) return NULL;
  while (p->t->kind != JT_BLOCK_END) {
    if (l.n && !jparse_want_op(p, ",")) return NULL;
    if (!jparse_push(p, &l, jparse_target(p, NULL, false)) || !jparse_want_op(p, "=")) return NULL;
    if (!jparse_push(p, &l, jparse_expr(p, true))) return NULL;
  }
  n->items = l.items;
  n->n_items = l.n;
  return parse_inner_until(p, "endwith", &n->body) ? n : NULL;
}

static jnode *parse_print(jparser *p) {
  jnode *n = jparse_node(p, JN_PRINT);
  p->t++;
  jlist l = {0};
  if (!n) return NULL;
  while (p->t->kind != JT_BLOCK_END) {
    if (l.n && !jparse_want_op(p, ",")) return NULL;
    if (!jparse_push(p, &l, jparse_expr(p, true))) return NULL;
  }
  n->items = l.items;
  n->n_items = l.n;
  return n;
}

// The text between the tags is transparent, but names that are set inside don't leak: transformers calls it
// as a block.
static jnode *parse_generation(jparser *p) {
  jnode *n = jparse_node(p, JN_SCOPE);
  int loops = p->loops;
  p->t++;
  p->loops = 0;
  bool ok = n && parse_inner_until(p, "endgeneration", &n->body);
  p->loops = loops;
  return ok ? n : NULL;
}

static jnode *parse_jump(jparser *p, jnode_kind kind) {
  if (p->loops == 0) return jparse_fail(p, "expected no loop control outside of a loop"), NULL;
  jnode *n = jparse_node(p, kind);
  p->t++;
  return n;
}

static jnode *parse_statement(jparser *p) {
  if (p->t->kind != JT_NAME) return jparse_fail(p, "expected the name of a tag"), NULL;
  if (jparse_is_name(p, "if")) return parse_if(p);
  if (jparse_is_name(p, "for")) return parse_for(p);
  if (jparse_is_name(p, "set")) return parse_set(p);
  if (jparse_is_name(p, "macro")) return parse_macro(p);
  if (jparse_is_name(p, "call")) return parse_call_block(p);
  if (jparse_is_name(p, "filter")) return parse_filter_block(p);
  if (jparse_is_name(p, "with")) return parse_with(p);
  if (jparse_is_name(p, "print")) return parse_print(p);
  if (jparse_is_name(p, "generation")) return parse_generation(p);
  if (jparse_is_name(p, "break")) return parse_jump(p, JN_BREAK);
  if (jparse_is_name(p, "continue")) return parse_jump(p, JN_CONTINUE);
  static const char *const refused[] = {"block", "extends", "include", "import", "from", "autoescape"};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
    if (jparse_is_name(p, refused[i])) {
      pn_fail(p->e, PN_ERR_UNSUPPORTED, "template line %d: the tag '%s' is not supported", p->t->line,
              refused[i]);
      return NULL;
    }
  jparse_fail(p, "expected a known tag");
  return NULL;
}

static jnode *parse_text(jparser *p) {
  jnode *n = jparse_node(p, JN_TEXT);
  jtext *t = pn_arena_alloc(p->a, sizeof *t);
  if (!n || !t) return jparse_nomem(p), NULL;
  *t = (jtext){.p = p->t->text.p, .n = p->t->text.n, .n_chars = SIZE_MAX};
  n->value = jstr(t);
  p->t++;
  return n;
}

static bool at_end_tag(const jparser *p, const char *const *ends) {
  for (; ends && *ends; ends++)
    if (jparse_is_name(p, *ends)) return true;
  return false;
}

static jnode *parse_output(jparser *p) {
  p->t++;
  jnode *n = jparse_node(p, JN_PRINT);
  jlist l = {0};
  if (!n || !jparse_push(p, &l, jparse_tuple(p, true, NULL))) return NULL;
  if (p->t->kind != JT_PRINT_END) return jparse_fail(p, "expected '}}'"), NULL;
  p->t++;
  n->items = l.items;
  n->n_items = l.n;
  return n;
}

static bool parse_body(jparser *p, const char *const *ends, jblock *out) {
  jlist l = {0};
  for (;;) {
    jnode *n;
    if (p->t->kind == JT_TEXT) {
      n = parse_text(p);
    } else if (p->t->kind == JT_PRINT_BEGIN) {
      n = parse_output(p);
    } else if (p->t->kind == JT_BLOCK_BEGIN) {
      p->t++;
      if (at_end_tag(p, ends)) break;
      n = parse_statement(p);
      if (n && p->t->kind != JT_BLOCK_END) return jparse_fail(p, "expected the end of the tag");
      p->t++;
    } else if (ends) {
      char what[40] = "expected the tag '";
      strncat(what, ends[0], 16);
      strncat(what, "'", 2);
      return jparse_fail(p, what);
    } else {
      break;
    }
    if (!jparse_push(p, &l, n)) return false;
  }
  *out = (jblock){l.items, l.n};
  return true;
}

bool jparse_run(pn_arena *a, const jtokens *tokens, jnames *names, jblock *out, pn_error *e) {
  jparser p = {.a = a, .e = e, .names = names, .t = tokens->items};
  return parse_body(&p, NULL, out);
}
