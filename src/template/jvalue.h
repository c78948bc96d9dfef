// Values of a rendering. Everything lives in the rendering's arena (or in the template, or in the caller's
// JSON), is never freed on its own and, namespaces, cyclers and iterators apart, never changes after it was
// made.
#ifndef PN_TEMPLATE_JVALUE_H
#define PN_TEMPLATE_JVALUE_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

typedef struct jctx jctx; // a rendering; see jeval.h
typedef struct jtext jtext;
typedef struct jbuild jbuild;
typedef struct jseq jseq;
typedef struct jdict jdict;

typedef enum jkind {
  J_MISSING, // an argument that was not given; never seen by templates
  J_UNDEFINED,
  J_NONE,
  J_BOOL,
  J_INT,
  J_FLOAT,
  J_STR,
  J_LIST,
  J_TUPLE,
  J_RANGE,
  J_VIEW, // d.keys(), d.values(), d.items()
  J_ITER, // what map, select, ... give: can be walked once
  J_DICT,
  J_NAMESPACE,
  J_MACRO,
  J_GLOBAL, // a built-in function
  J_METHOD, // a method bound to its object
  J_LOOP,
  J_CYCLER,
  J_JOINER,
} jkind;

typedef struct jvalue {
  jkind kind;
  union {
    bool b;
    int64_t i;
    double f;
    const jtext *s;
    jseq *seq;
    jdict *dict;                  // J_DICT, J_NAMESPACE
    const struct jundef *undef;   // may be NULL
    const struct jmacro *macro;   // see jeval.h
    const struct jglobal *global; // see jbuiltin.h
    const struct jbound *bound;
    struct jloop *loop; // see jeval.h
  } u;
} jvalue;

// Why a value is undefined: `name` of an object of type `owner`, or a plain variable when owner is NULL, or a
// whole message in `message`.
typedef struct jundef {
  const char *owner;
  pn_str name;
  const char *message;
} jundef;

// A string: n bytes of UTF-8. `taint` says which bytes came from the user: none, all, or those in `runs`,
// which are ranges of a longer text whose byte `base` is p[0]; runs may reach over both ends of the string.
typedef enum jtaint { JTEXT_PLAIN, JTEXT_USER, JTEXT_MIXED } jtaint;
struct jtext {
  const char *p;
  size_t n;
  jtaint taint;
  const pn_span *runs;
  size_t n_runs, base;
  jbuild *tail;   // the builder that p points into, or NULL: appending at its end costs no copy
  size_t n_chars; // SIZE_MAX when not counted
};

// A text being written.
struct jbuild {
  jctx *c;
  char *p;
  size_t n, cap;
  pn_span *runs; // user bytes, sorted and merged
  size_t n_runs, cap_runs;
};

struct jseq {
  jvalue *items;
  size_t n, cap;
  size_t at;                 // J_ITER: how many were taken
  int64_t start, stop, step; // J_RANGE
  const char *view;          // J_VIEW: "dict_items", ...
};

// Insertion ordered; an index of open addressing (item + 1, 0 empty) from 9 members on.
struct jdict {
  jvalue *keys, *values;
  size_t n, cap;
  uint32_t *index;
  size_t index_size;
};

typedef struct jbound {
  jvalue self;
  const struct jmethod *method;
} jbound;

static inline jvalue jnone(void) { return (jvalue){.kind = J_NONE}; }
static inline jvalue jbool(bool b) { return (jvalue){.kind = J_BOOL, .u.b = b}; }
static inline jvalue jint(int64_t i) { return (jvalue){.kind = J_INT, .u.i = i}; }
static inline jvalue jfloat(double f) { return (jvalue){.kind = J_FLOAT, .u.f = f}; }
static inline jvalue jstr(const jtext *s) { return (jvalue){.kind = J_STR, .u.s = s}; }
static inline pn_str jview(const jtext *s) { return (pn_str){s->p, s->n}; }

// All functions below return false (or NULL) after recording the error in c.
jvalue jvalue_undefined(jctx *c, const char *owner, pn_str name);
jvalue jvalue_undefined_because(const char *message, jctx *c);
const char *jvalue_type(jvalue v); // Python's name: "str", "dict", ...
bool jvalue_truth(jvalue v);
bool jvalue_is_seq(jvalue v); // has u.seq
// Python's ==; compares numbers across types.
bool jvalue_eq(jctx *c, jvalue a, jvalue b, bool *eq);
// *order < 0, 0, > 0; fails when the types have no order. `op` is for the message.
bool jvalue_compare(jctx *c, jvalue a, jvalue b, const char *op, int *order);
bool jvalue_contains(jctx *c, jvalue hay, jvalue needle, bool *in);
// The number as int or float; bools are ints. False (and nothing recorded) for other kinds.
bool jvalue_number(jvalue v, bool *is_int, int64_t *i, double *f);
bool jvalue_as_int(jctx *c, jvalue v, const char *what, int64_t *i);
bool jvalue_len(jctx *c, jvalue v, size_t *n);
// The elements that iterating gives, as an array.
bool jvalue_items(jctx *c, jvalue v, jvalue **items, size_t *n);
// obj.name and obj[key].
bool jvalue_getattr(jctx *c, jvalue obj, pn_str name, jvalue *out);
bool jvalue_getitem(jctx *c, jvalue obj, jvalue key, jvalue *out);
bool jvalue_slice(jctx *c, jvalue obj, jvalue from, jvalue to, jvalue step, jvalue *out);

jseq *jseq_new(jctx *c, size_t cap);
bool jseq_push(jctx *c, jseq *s, jvalue v);
jvalue jseq_value(jkind kind, jseq *s);

jdict *jdict_new(jctx *c, size_t cap);
bool jdict_set(jctx *c, jdict *d, jvalue key, jvalue value);
// NULL when absent; fails only for keys that can't be hashed, or limits.
bool jdict_get(jctx *c, const jdict *d, jvalue key, jvalue **out);
jvalue *jdict_find(jctx *c, const jdict *d, pn_str key);

#endif
