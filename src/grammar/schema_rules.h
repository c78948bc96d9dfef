// From JSON Schema to rules: the texts of all values that are valid by a schema, in one way of writing each:
// members in the order of the schema's properties, then the others; white space as the style has it.
#ifndef PN_GRAMMAR_SCHEMA_RULES_H
#define PN_GRAMMAR_SCHEMA_RULES_H

#include "dialect/dialect.h"
#include "grammar/dfa_table.h"
#include "grammar/rules.h"
#include "grammar/schema_forms.h"
#include "grammar/schema_judge.h"
#include "grammar/strings.h"

// Where a value stands.
typedef enum schema_place {
  SCHEMA_VALUE,
  SCHEMA_NAMED,      // an object without braces, its members as name=value
  SCHEMA_PARAMETERS, // an object as the tongue's parameters
} schema_place;

// Zero-initialise with r, style and, where the style has marks, quote and tokenizer set, for parameters also
// tongue; schema_compiler_fini frees.
typedef struct schema_compiler {
  rules *r;
  const pn_tongue *tongue;
  const pn_value_style *style;
  pn_str quote; // of the style, as raw text
  const pn_tokenizer *tokenizer;

  schema_work w;
  set_table known;  // what rules there are, as bytes: terms, strings, numbers
  int32_t *rule_of; // by number in `known`
  size_t cap_rules;
  set_table contents;       // what short schemas say, as bytes
  const pn_json **first_of; // by number in `contents`: the first schema that said it
  size_t cap_first;
  size_t n_cells; // states times classes of all automata
  // Rules that are still to be written.
  struct schema_pending {
    schema_terms terms;
    int32_t rule;
  } * pending;
  size_t n_pending, cap_pending;
  pn_json **own; // schemas that live as long as this
  size_t n_own;
  pn_json *narrow[2]; // of parameters: no string, a string; owned by `own`
} schema_compiler;
void schema_compiler_fini(schema_compiler *c);
void schema_compiler_own(schema_compiler *c, pn_json *schema); // takes it over
// After a failure: rules from `first` on are given up, and get what matches nothing.
void schema_compiler_drop(schema_compiler *c, size_t first);
void schema_compiler_restyle(schema_compiler *c); // from here on values are JSON

// The rule of all values that are valid by `root`. Everything in `root` must live until the compiler is gone.
// -1: PN_ERR_UNSUPPORTED and PN_ERR_LIMIT name the place, unless w.relax is set: then w.gaps has what is left
// out.
int32_t schema_rule(schema_compiler *c, const pn_json *root, schema_place as, pn_error *e);

// Raw text as edges: bytes, and control tokens between their marks.
int32_t nfa_raw(nfa *n, int32_t from, pn_str raw, const pn_tokenizer *t);

// --- of the files that write rules -------------------------------------------------------------------------

int32_t compiler_rule(schema_compiler *c, const schema_terms *terms,
                      pn_error *e); // of values for which all terms hold
// A schema that says the same as this one: what it refers to, or the first in the root with the same text.
const pn_json *schema_first_alike(schema_compiler *c, const pn_json *s);
int32_t compiler_find(schema_compiler *c, const void *key, size_t n, bool *is_new); // -1: out of memory
// A value's text, known already.
int32_t compiler_write_literal(schema_compiler *c, nfa *n, int32_t from, const pn_json *v);
static inline void nfa_call(nfa *n, int32_t from, int32_t rule, int32_t to) {
  nfa_add(n, from, RULE_CALL + rule, RULE_CALL + rule, to);
}
// A rule was written. PN_ERR_LIMIT when all together are too large.
bool compiler_count(schema_compiler *c, int32_t rule, pn_error *e);
// Whether a listed value is valid by all terms; the judge is of the root.
bool compiler_valid(judge *j, const schema_terms *terms, const pn_json *v);

// The limits of a form's strings. The automata are owned by `owned` and freed by string_parts_fini.
typedef struct string_parts {
  string_limits limits;
  dfa *owned[2 * STRING_MAX_PARTS];
  int n_owned;
  const dfa *always; // no such text, even when the limits are left out; NULL: none
  pn_buf key;        // the same as bytes
} string_parts;
bool string_parts_of(schema_compiler *c, const schema_form *f, string_parts *out, pn_error *e);
void string_parts_fini(string_parts *p);
// One more automaton, owned from then on; `name` tells it from others. False: there are too many.
bool string_parts_add(string_parts *p, dfa *d, bool in, pn_str name);
int32_t string_parts_rule(schema_compiler *c, const string_parts *p, bool bare, pn_error *e);

// schema_parameters.c: what follows a parameter's VALUE, for which all terms hold and which may be of these
// kinds.
int32_t compiler_parameter(schema_compiler *c, const schema_terms *terms, unsigned kinds, pn_error *e);
bool compiler_can_name(const schema_compiler *c, pn_str name); // whether a parameter can have this name

typedef struct object_style {
  const char *open, *close, *colon, *comma;
  bool bare_keys;
  bool parameters; // instead of all of these
} object_style;
bool compiler_write_object(schema_compiler *c, nfa *n, int32_t from, int32_t to, const schema_form *f,
                           const object_style *o, pn_error *e);
bool compiler_write_array(schema_compiler *c, nfa *n, int32_t from, int32_t to, const schema_form *f,
                          pn_error *e);

#endif
