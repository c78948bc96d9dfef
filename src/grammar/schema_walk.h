// Taking schemas apart: what is still to be looked at for one value, and the alternatives on the way.
#ifndef PN_GRAMMAR_SCHEMA_WALK_H
#define PN_GRAMMAR_SCHEMA_WALK_H

#include "grammar/schema_forms.h"

// What a step looks at: a schema, or the part of one that makes alternatives.
typedef enum todo_kind { TODO_TERM, TODO_ANY, TODO_ONE, TODO_IF, TODO_DEPENDENT } todo_kind;

// A stack as a list, which alternatives share.
typedef struct todo {
  const struct todo *next;
  todo_kind kind;
  const pn_json *schema; // TODO_ANY, TODO_ONE: the list of alternatives
  bool negated;
  size_t index; // TODO_DEPENDENT: which of the schema's
  int depth;    // schemas that stand for the same value
} todo;

typedef struct schema_walk {
  schema_work *w;
  schema_forms *out;
  pn_error *e;
} schema_walk;

const todo *walk_push(schema_walk *x, const todo *list, todo_kind kind, const pn_json *schema, bool negated,
                      int depth);
// Go on with a copy of the form, in which nothing that it adds is seen by others.
bool walk_branch(schema_walk *x, const schema_form *f, const todo *list);

void form_list_add(schema_work *w, json_list *l, const pn_json *v);
void form_note(schema_work *w, schema_form *f, pn_str name, prop_kind kind, const pn_json *schema,
               bool negated);
schema_form form_copy(const schema_form *f); // the copy owns what it adds
int64_t form_count(const pn_json *v,
                   bool up); // a length or a number of items; up: the next whole one. -1 when it is below 0
unsigned form_types(const pn_json *type);   // of the keyword `type`
bool form_says_type(const pn_json *schema); // a keyword of a wrong kind says nothing
void form_at_least(int64_t *min, int64_t v);
void form_at_most(int64_t *max, int64_t v);

// schema_negate.c: the alternatives in which a schema does not hold.
bool walk_negated(schema_walk *x, const schema_form *f, const todo *list, const pn_json *s, int depth);

#endif
