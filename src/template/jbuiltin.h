// The tables of built-in functions, methods, filters and tests, and how they get their arguments.
#ifndef PN_TEMPLATE_JBUILTIN_H
#define PN_TEMPLATE_JBUILTIN_H

#include "base/json.h"
#include "template/jvalue.h"

// A call of something built in. `self` is the filtered or tested value, or the method's object.
typedef struct jcall {
  jctx *c;
  jvalue self;
  const jvalue *args;
  size_t n_args;
  const pn_str *names; // of the keyword arguments
  const jvalue *named;
  size_t n_named;
  const char *what; // for messages
} jcall;

typedef bool jbuiltin_fn(const jcall *call, jvalue *out);

// `params`: names separated by spaces, at most 8; the first `required` of them must be given.
typedef struct jglobal {
  const char *name;
  jbuiltin_fn *fn;
} jglobal;
typedef struct jfilter {
  const char *name;
  jbuiltin_fn *fn;
} jfilter;
typedef struct jmethod {
  const char *name;
  jbuiltin_fn *fn;
} jmethod;

#define JBIND_MAX 8
// Sort the arguments into the parameters; those not given are J_MISSING.
bool jbind(const jcall *call, const char *params, int required, jvalue out[JBIND_MAX]);
bool jbind_int(const jcall *call, jvalue v, int64_t missing, int64_t *out); // None counts as missing

const jglobal *jglobal_find(pn_str name);
const jfilter *jfilter_find(pn_str name);
const jfilter *jtest_find(pn_str name);               // tests give J_BOOL
const jmethod *jmethod_find(jvalue obj, pn_str name); // NULL: no such method
bool jmethod_is_unsafe(jvalue obj, pn_str name);      // one that would change its object

// More tables, one a file; each ends with a NULL name.
extern const jfilter jtextfilters_table[], jseqfilters_table[];
extern const jmethod jmethods_str[], jmethods_dict[], jmethods_list[], jmethods_loop[], jmethods_cycler[];

// Arithmetic and friends.
bool jops_binary(jctx *c, int op, jvalue a, jvalue b, jvalue *out);
bool jops_negate(jctx *c, jvalue a, jvalue *out);
bool jops_format(jctx *c, const jtext *format, const jvalue *args, size_t n_args, const jdict *named,
                 jvalue *out);

// Writing values: str(), repr() and JSON.
bool jdump_str(jctx *c, jvalue v, const jtext **out);
bool jdump_repr(jctx *c, jvalue v, const jtext **out);

typedef struct jdump_json_opts {
  bool ascii, sort_keys, pretty;
  const jtext *indent, *item_sep, *key_sep;
} jdump_json_opts;
bool jdump_json(jctx *c, jvalue v, const jdump_json_opts *o, const jtext **out);

// The caller's JSON as values; strings are user text, except the role of a message.
bool jimport(jctx *c, const pn_json *j, jtaint taint, int depth, jvalue *out);

#endif
