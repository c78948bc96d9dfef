// The parsed template. Nodes live in the template's arena and never change after parsing.
#ifndef PN_TEMPLATE_JAST_H
#define PN_TEMPLATE_JAST_H

#include "template/jvalue.h"

// A name, one object for each spelling: names are compared by pointer.
typedef struct jname {
  pn_str s;
  struct jname *next;           // in its bucket
  const struct jglobal *global; // the built-in function of that name, or NULL
} jname;

#define JNAME_BUCKETS 256
typedef struct jnames {
  jname *buckets[JNAME_BUCKETS];
} jnames;

typedef enum jnode_kind {
  // Expressions
  JN_CONST,   // value
  JN_NAME,    // name
  JN_LIST,    // items
  JN_TUPLE,   // items
  JN_DICT,    // items: key, value, key, value, ...
  JN_ATTR,    // a . name
  JN_ITEM,    // a [ b ]
  JN_SLICE,   // a [ items[0] : items[1] : items[2] ], each may be NULL
  JN_CALL,    // a ( args )
  JN_FILTER,  // a | name ( args ); a is NULL in filter blocks
  JN_TEST,    // a is name ( args )
  JN_NOT,     // not a
  JN_NEG,     // - a
  JN_POS,     // + a
  JN_BINARY,  // a op b
  JN_AND,     // a and b
  JN_OR,      // a or b
  JN_COMPARE, // a ops[0] items[0] ops[1] items[1] ...
  JN_TERNARY, // a if b else c; c may be NULL
  JN_NSREF,   // name . attr, as a target
  // Statements
  JN_TEXT,        // value
  JN_PRINT,       // items
  JN_IF,          // items[i] guards blocks[i]; blocks[n_items] is the else
  JN_FOR,         // target a, iterable b, filter c; body, orelse; name is 'loop'
  JN_SET,         // target a = b
  JN_SETBLOCK,    // target a, filter b; body
  JN_MACRO,       // name, params, body
  JN_CALLBLOCK,   // call a; params, body
  JN_FILTERBLOCK, // filter a; body
  JN_WITH,        // items: target, value, ...; body
  JN_SCOPE,       // body
  JN_BREAK,
  JN_CONTINUE,
} jnode_kind;

typedef enum jop {
  JOP_ADD,
  JOP_SUB,
  JOP_MUL,
  JOP_DIV,
  JOP_FLOORDIV,
  JOP_MOD,
  JOP_POW,
  JOP_CONCAT,
  JOP_EQ,
  JOP_NE,
  JOP_LT,
  JOP_LE,
  JOP_GT,
  JOP_GE,
  JOP_IN,
  JOP_NOTIN,
} jop;

typedef struct jblock {
  struct jnode **items;
  size_t n;
} jblock;

typedef struct jargs {
  struct jnode **args;
  size_t n_args;
  pn_str *names; // of the keyword arguments
  struct jnode **named;
  size_t n_named;
  struct jnode *star, *star2; // *list, **dict; NULL
} jargs;

typedef struct jparams {
  const jname **names;
  struct jnode **defaults; // NULL: none
  size_t n;
  const jname *varargs, *kwargs, *caller; // set when the body mentions them
  struct jparams *outer;                  // of the macro around
} jparams;

typedef struct jnode {
  jnode_kind kind;
  int line;
  jop op;
  jop *ops;
  const jname *name;
  pn_str attr;
  jvalue value;
  struct jnode *a, *b, *c;
  struct jnode **items;
  size_t n_items;
  jargs *args;
  jparams *params;
  jblock body, orelse;
  jblock *blocks;
} jnode;

#endif
