// Tokens to nodes.
#ifndef PN_TEMPLATE_JPARSE_H
#define PN_TEMPLATE_JPARSE_H

#include "template/jast.h"
#include "template/jlex.h"

#define JPARSE_MAX_DEPTH 200 // nesting of blocks and expressions together

typedef struct jparser {
  pn_arena *a;
  pn_error *e;
  jnames *names;
  const jtoken *t; // the current token
  int depth;
  jparams *macro; // of the innermost macro or call block around
  int loops;      // enclosing for loops of the current macro
} jparser;

// A growable list of nodes.
typedef struct jlist {
  jnode **items;
  size_t n, cap;
} jlist;

bool jparse_fail(jparser *p, const char *what); // at the current token; gives false
bool jparse_nomem(jparser *p);
bool jparse_deeper(jparser *p); // undo with p->depth--
jnode *jparse_node(jparser *p, jnode_kind kind);
bool jparse_push(jparser *p, jlist *l, jnode *n); // false also when n is NULL
jname *jparse_name(jparser *p, pn_str s);
bool jparse_is_op(const jparser *p, const char *op);
bool jparse_is_name(const jparser *p, const char *name);
bool jparse_skip_op(jparser *p, const char *op); // true and past it when it is there
bool jparse_skip_name(jparser *p, const char *name);
bool jparse_want_op(jparser *p, const char *op);
bool jparse_want_name(jparser *p, pn_str *name);

// Expressions; NULL on failure.
jnode *jparse_expr(jparser *p, bool ternary);
// An expression, or a tuple when there are commas; stops before the name `stop` (may be NULL).
jnode *jparse_tuple(jparser *p, bool ternary, const char *stop);
jnode *jparse_target(jparser *p, const char *stop, bool namespaces);
jnode *jparse_filters(jparser *p, jnode *n, bool first_without_pipe); // | a | b(...)

// The whole template. The tokens' texts must outlive the nodes.
bool jparse_run(pn_arena *a, const jtokens *tokens, jnames *names, jblock *out, pn_error *e);
const jname *jparse_find_name(const jnames *names, pn_str s); // NULL when the template never mentions it

#endif
