// A rendering: its memory, limits, scopes and output.
#ifndef PN_TEMPLATE_JEVAL_H
#define PN_TEMPLATE_JEVAL_H

#include "template/jast.h"
#include "template/jtext.h"
#include "template/jvalue.h"

typedef struct jscope {
  struct jscope *parent;
  const jname **names;
  jvalue *values;
  size_t n, cap;
  bool captured; // a macro holds it: it can't be reused
} jscope;

typedef struct jmacro {
  const jnode *node; // parameters and body
  jscope *scope;     // where it was defined
  const char *name;
} jmacro;

typedef struct jloop {
  jvalue *items;
  size_t n, at;
  jvalue changed; // the tuple that loop.changed saw last, or J_MISSING
} jloop;

struct jctx {
  pn_arena arena;
  pn_error *e;
  uint64_t steps, max_steps;
  size_t max_output;
  int depth, max_depth;
  int line; // of what is being evaluated
  int64_t now_ms;
  jscope *scope;
  jbuild *out;
};

// Record an error with the line and return false.
bool jfail(jctx *c, pn_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
// Type errors and the like: the template can't do this with these values.
#define jfail_type(c, ...) jfail(c, PN_ERR_USAGE, __VA_ARGS__)
bool jstep(jctx *c, uint64_t n); // account n steps
bool jdeeper(jctx *c);           // one level deeper; undo with c->depth--
void *jalloc(jctx *c, size_t count, size_t size);
const char *jquote(jctx *c, pn_str s); // short NUL-terminated copy for messages
bool jfail_undefined(jctx *c, jvalue v);

bool jeval_expr(jctx *c, const jnode *n, jvalue *out);

typedef enum jflow { JFLOW_FAIL, JFLOW_NEXT, JFLOW_BREAK, JFLOW_CONTINUE } jflow;
jflow jexec_block(jctx *c, const jblock *b);
bool jexec_macro(jctx *c, const jmacro *m, const jvalue *args, size_t n_args, const pn_str *names,
                 const jvalue *named, size_t n_named, jvalue *out);

jscope *jscope_new(jctx *c, jscope *parent);
bool jscope_set(jctx *c, jscope *s, const jname *name, jvalue v);
jvalue *jscope_find(jctx *c, jscope *s, const jname *name);

#endif
