// What a JSON value of a request must look like, as tables: one walk checks a body against them and names the
// place of the first fault as Anthropic's API does ("messages.3.content.0.text: ..."). The tables are
// constant data.
#ifndef PN_API_SHAPE_H
#define PN_API_SHAPE_H

#include "base/error.h"
#include "base/json.h"

// The JSON types a value may have, or-ed together.
enum {
  SHAPE_STRING = 1,
  SHAPE_INT = 2, // a number without a fraction; 5 and 5.0 are the same
  SHAPE_NUMBER = 4,
  SHAPE_BOOL = 8,
  SHAPE_ARRAY = 16,
  SHAPE_OBJECT = 32,
  SHAPE_NULL = 64, // of answers; what a request may leave out may be null anyway
};

typedef struct shape shape;

// One member of an object. Members that no table names are ignored.
typedef struct shape_field {
  const char *name; // NULL ends a table
  const shape *shape;
  bool required; // an optional member may also be null, which means absent
  const char *doc;
} shape_field;

// One kind of an object whose member "type" says what it is.
typedef struct shape_variant {
  const char *type; // NULL ends a table
  const shape_field *fields;
  const char *refuse; // well formed, but answered with this; NULL: served
} shape_variant;

struct shape {
  const char *name; // the document of the API shows it once, under this; NULL: wherever it is used
  unsigned types;
  bool bounded;          // numbers: min <= value <= max
  double min, max;       // max may be INFINITY
  size_t min_len;        // strings (bytes) and arrays (items)
  size_t max_len;        // arrays; 0: none
  const char *too_short; // said when min_len is missed; NULL: a general sentence
  const char *const *values;
  bool (*matches)(pn_str text);  // strings; NULL: any
  const char *pattern;           // the same as a regular expression, for people and the document
  const shape *items;            // of arrays
  const shape_field *fields;     // of objects; NULL: any members
  const shape_variant *variants; // of objects told apart by "type"; then `fields` is not used
  const char *untyped;           // the variant of an object without "type"; NULL: it must have one
};

// A place in the body, kept on the stack of the walk.
typedef struct shape_path {
  const struct shape_path *up; // NULL: the body itself
  const char *key;             // NULL: an item of an array
  size_t index;
} shape_path;

#define SHAPE_PATH_MAX 160
// Fail with PN_ERR_USAGE and "path: message".
bool shape_fail(const shape_path *at, pn_error *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// Check v (not NULL) against s. PN_ERR_USAGE, or PN_ERR_UNSUPPORTED for a variant that is refused.
bool shape_check(const shape *s, const pn_json *v, const shape_path *at, pn_error *e);

#endif
