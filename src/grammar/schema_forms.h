// JSON Schema taken apart: what a set of schemas that must hold at once (or must not) comes to, as
// alternatives each of which only holds simple limits by type.
#ifndef PN_GRAMMAR_SCHEMA_FORMS_H
#define PN_GRAMMAR_SCHEMA_FORMS_H

#include "base/arena.h"
#include "base/json.h"

#include <stdint.h>

// A schema that must hold, or must not.
typedef struct schema_term {
  const pn_json *schema;
  bool negated;
} schema_term;

typedef struct schema_terms {
  schema_term *p;
  size_t n, cap;
} schema_terms;

enum {
  TYPE_NULL = 1,
  TYPE_BOOL = 2,
  TYPE_INT = 4,  // numbers without a fraction
  TYPE_REAL = 8, // all others
  TYPE_STRING = 16,
  TYPE_ARRAY = 32,
  TYPE_OBJECT = 64,
  TYPE_ALL = 127,
};

// Growing lists in the arena.
typedef struct json_list {
  const pn_json **p;
  size_t n, cap;
} json_list;

// What is said of one property beside `properties`.
typedef enum prop_kind { PROP_HOLDS, PROP_REQUIRED, PROP_FORBIDDEN } prop_kind;
typedef struct prop_note {
  pn_str name; // borrowed from the schema
  prop_kind kind;
  schema_term term; // PROP_HOLDS: of its value
} prop_note;

// One alternative.
typedef struct schema_form {
  unsigned types;
  const pn_json *listed; // a schema with enum or const: no other values are allowed; NULL: any
  json_list banned;      // schemas with enum or const: those values are not allowed
  json_list lo, lo_open, hi, hi_open, multiple;
  json_list patterns, not_patterns, formats, not_formats; // strings
  int64_t min_len, max_len;                               // of strings, in characters; max -1: none
  json_list array_parts;                                  // schemas with items, prefixItems
  int64_t min_items, max_items;
  bool unique;
  json_list object_parts; // schemas with properties, patternProperties, additionalProperties
  prop_note *notes;
  size_t n_notes, cap_notes;
  json_list names; // schemas of propertyNames
  int64_t min_props, max_props;
} schema_form;

typedef struct schema_forms {
  schema_form *p;
  size_t n, cap;
} schema_forms;

// What was not held, when it may be left out.
typedef struct schema_gap {
  const char *path, *what;
} schema_gap;

// The work on one schema.
typedef struct schema_work {
  pn_arena arena;
  const pn_json *root;
  bool relax;       // leave out what can't be held, and note it
  schema_gap *gaps; // in the arena
  size_t n_gaps, cap_gaps;
  size_t steps; // schemas looked at
  bool oom;
} schema_work;

// All alternatives of the terms. PN_ERR_UNSUPPORTED names the path of what can't be held; PN_ERR_LIMIT when
// there are too many.
bool schema_forms_of(schema_work *w, const schema_terms *terms, schema_forms *out, pn_error *e);

void schema_terms_add(schema_work *w, schema_terms *t, const pn_json *schema, bool negated);
// Fail with the schema's path in front; with `relax` note it and return true: the caller leaves it out.
bool schema_cannot(schema_work *w, const pn_json *schema, const char *keyword, const char *why, pn_error *e);
// The schema that a reference names, in the root; NULL: there is none.
const pn_json *schema_target(const pn_json *root, pn_str ref);

#endif
