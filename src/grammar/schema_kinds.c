// Which kinds of values a tool's parameters may be. Grammar and reader both go by this one function, so
// what is allowed as a string is read as one. It may say more than a schema allows, and never less.
#include "grammar/schema_kinds.h"

#include "grammar/grammar.h"
#include "grammar/schema_walk.h"

#include <string.h>

#define MAX_DEPTH 16

static unsigned kind_of(const pn_json *v) {
  switch (pn_json_type_of(v)) {
  case PN_JSON_NULL: return PN_KIND_NULL;
  case PN_JSON_BOOL: return PN_KIND_BOOL;
  case PN_JSON_INT:
  case PN_JSON_REAL: return PN_KIND_NUMBER;
  case PN_JSON_STRING: return PN_KIND_STRING;
  case PN_JSON_ARRAY: return PN_KIND_ARRAY;
  default: return PN_KIND_OBJECT;
  }
}

static const struct {
  unsigned type, kind;
  const char *name;
} types[] = {{TYPE_NULL, PN_KIND_NULL, "null"},
             {TYPE_BOOL, PN_KIND_BOOL, "boolean"},
             {TYPE_INT | TYPE_REAL, PN_KIND_NUMBER, "number"},
             {TYPE_STRING, PN_KIND_STRING, "string"},
             {TYPE_ARRAY, PN_KIND_ARRAY, "array"},
             {TYPE_OBJECT, PN_KIND_OBJECT, "object"}};

static unsigned kinds_named(const pn_json *s) {
  unsigned bits = form_types(pn_json_get(s, "type")), kinds = 0;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (bits & types[i].type) kinds |= types[i].kind;
  return kinds;
}

static unsigned kinds_listed(const pn_json *list) {
  unsigned kinds = 0;
  for (size_t i = 0; i < pn_json_len(list); i++) kinds |= kind_of(pn_json_at(list, i));
  return kinds;
}

static unsigned kinds_of(const pn_json *root, const pn_json *s, int depth) {
  if (pn_json_is(s, PN_JSON_BOOL)) return pn_json_true(s) ? PN_KIND_ANY : 0;
  if (!pn_json_is(s, PN_JSON_OBJECT) || depth == 0) return PN_KIND_ANY;
  unsigned kinds = form_says_type(s) ? kinds_named(s) : PN_KIND_ANY;
  const pn_json *one = pn_json_get(s, "const"), *list = pn_json_get(s, "enum"),
                *all = pn_json_get(s, "allOf");
  if (one) kinds &= kind_of(one);
  if (pn_json_is(list, PN_JSON_ARRAY)) kinds &= kinds_listed(list);
  for (size_t i = 0; pn_json_is(all, PN_JSON_ARRAY) && i < pn_json_len(all); i++)
    kinds &= kinds_of(root, pn_json_at(all, i), depth - 1);
  static const char *const choices[] = {"anyOf", "oneOf"};
  for (size_t k = 0; k < 2; k++) {
    const pn_json *some = pn_json_get(s, choices[k]);
    unsigned any = 0;
    if (!pn_json_is(some, PN_JSON_ARRAY)) continue;
    for (size_t i = 0; i < pn_json_len(some); i++) any |= kinds_of(root, pn_json_at(some, i), depth - 1);
    kinds &= any;
  }
  const pn_json *ref = pn_json_get(s, "$ref");
  const pn_json *target = pn_json_is(ref, PN_JSON_STRING) ? schema_target(root, pn_json_str(ref)) : NULL;
  return target ? kinds & kinds_of(root, target, depth - 1) : kinds;
}

// Of parameters that have no schema of their own.
static unsigned kinds_of_others(const pn_json *schema) {
  const pn_json *others = pn_json_get(schema, "additionalProperties");
  if (!others || pn_json_len(pn_json_get(schema, "patternProperties"))) return PN_KIND_ANY;
  return kinds_of(schema, others, MAX_DEPTH);
}

// A schema that has this parameter as its own.
static const pn_json *property_of(const pn_json *schema, pn_str key) {
  const pn_json *list = pn_json_get(schema, "properties");
  for (const pn_json_member *it = key.p ? pn_json_first(list) : NULL; it; it = pn_json_next(list, it))
    if (pn_str_eq(pn_json_key(it), key)) return pn_json_value(it);
  return NULL;
}

unsigned pn_schema_kinds(const pn_json *schema, pn_str key) {
  if (!pn_json_is(schema, PN_JSON_OBJECT)) return PN_KIND_ANY;
  const pn_json *own = property_of(schema, key);
  return own ? kinds_of(schema, own, MAX_DEPTH) : kinds_of_others(schema);
}

static pn_json *types_of(unsigned kinds) {
  pn_json *schema = pn_json_new_object(), *list = pn_json_new_array();
  bool ok = list != NULL;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (kinds & types[i].kind) ok = pn_json_push(list, pn_json_new_str(pn_str_of(types[i].name))) && ok;
  ok = pn_json_set(schema, "type", list) && ok;
  if (ok) return schema;
  pn_json_free(schema);
  return NULL;
}

pn_json *schema_kinds_alone(const pn_json *schema) {
  pn_json *out = pn_json_new_object(), *list = pn_json_new_object();
  const pn_json *known = pn_json_get(schema, "properties");
  bool ok = pn_json_set(out, "type", pn_json_new_str(PN_STR("object"))) && list;
  for (const pn_json_member *it = pn_json_first(known); it; it = pn_json_next(known, it)) {
    unsigned kinds = pn_schema_kinds(schema, pn_json_key(it));
    // A name with a NUL can't be a parameter's.
    if (memchr(pn_json_key(it).p, '\0', pn_json_key(it).n)) continue;
    ok = pn_json_set(list, pn_json_key(it).p, types_of(kinds)) && ok;
  }
  ok = pn_json_set(out, "properties", list) && ok;
  ok = pn_json_set(out, "additionalProperties", types_of(kinds_of_others(schema))) && ok;
  if (ok) return out;
  pn_json_free(out);
  return NULL;
}
