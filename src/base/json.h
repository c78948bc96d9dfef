// JSON values. The only door to the JSON library. A pn_json is immutable once shared between threads; whoever
// made or parsed it frees it once; children belong to their parent.
#ifndef PN_BASE_JSON_H
#define PN_BASE_JSON_H

#include "base/error.h"
#include "base/str.h"

typedef struct pn_json pn_json;

typedef enum pn_json_type {
  PN_JSON_MISSING, // the pointer is NULL
  PN_JSON_NULL,
  PN_JSON_BOOL,
  PN_JSON_INT,
  PN_JSON_REAL,
  PN_JSON_STRING,
  PN_JSON_ARRAY,
  PN_JSON_OBJECT,
} pn_json_type;

// Parse one whole text (any value at the top). Refused, with line and column: invalid UTF-8, duplicate keys,
// nesting over 2,048, reals beyond doubles. Strings may hold NUL. Where an integer is beyond 64 bits, all of
// over 18 digits become reals.
pn_json *pn_json_parse(pn_str text, pn_error *e);
void pn_json_free(pn_json *v);

pn_json_type pn_json_type_of(const pn_json *v);
const char *pn_json_type_name(pn_json_type t); // "a string", "an array", ... for messages
static inline bool pn_json_is(const pn_json *v, pn_json_type t) { return pn_json_type_of(v) == t; }
bool pn_json_is_number(const pn_json *v); // INT or REAL

// Reading. All take NULL and values of another type and answer with an empty value.
const pn_json *pn_json_get(const pn_json *object, const char *key);
size_t pn_json_len(const pn_json *array_or_object);
const pn_json *pn_json_at(const pn_json *array, size_t i);
pn_str pn_json_str(const pn_json *string);
const char *pn_json_cstr(const pn_json *string); // NUL-terminated; "" when not a string
int64_t pn_json_int(const pn_json *number);      // a REAL is truncated
double pn_json_num(const pn_json *number);
bool pn_json_true(const pn_json *boolean);

// Members of an object in the order of the text: for (it = pn_json_first(o); it; it = pn_json_next(o, it)).
typedef struct pn_json_member pn_json_member;
const pn_json_member *pn_json_first(const pn_json *object);
const pn_json_member *pn_json_next(const pn_json *object, const pn_json_member *it);
pn_str pn_json_key(const pn_json_member *it);
const pn_json *pn_json_value(const pn_json_member *it);

// Building. NULL when memory ran out or a string is not UTF-8. set and push take ownership of `value` in
// every case and return false when it is NULL or memory ran out.
pn_json *pn_json_new_null(void);
pn_json *pn_json_new_bool(bool v);
pn_json *pn_json_new_int(int64_t v);
pn_json *pn_json_new_num(double v); // NaN and infinities are refused
pn_json *pn_json_new_str(pn_str v);
pn_json *pn_json_new_array(void);
pn_json *pn_json_new_object(void);
bool pn_json_set(pn_json *object, const char *key, pn_json *value);
bool pn_json_push(pn_json *array, pn_json *value);
pn_json *pn_json_share(const pn_json *v); // one more owner of the same value

// Writing, compact, non-ASCII characters as they are.
void pn_json_write(pn_buf *out, const pn_json *v);
// One string with quotes; bytes that are not UTF-8 become U+FFFD.
void pn_json_write_str(pn_buf *out, pn_str s);

#endif
