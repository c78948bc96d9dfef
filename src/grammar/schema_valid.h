// Whether a JSON value is valid by a JSON Schema.
//
// Draft 2020-12 with the spellings of draft-07 (`definitions`, an array `items` with `additionalItems`,
// `dependencies`): type enum const, minimum maximum exclusiveMinimum exclusiveMaximum multipleOf, minLength
// maxLength pattern format, properties patternProperties additionalProperties required propertyNames
// minProperties maxProperties dependentRequired dependentSchemas, items prefixItems minItems maxItems
// uniqueItems contains minContains maxContains, allOf anyOf oneOf not if then else, $ref within the document
// (its siblings count). Other keywords, unknown formats and keywords whose value is of a wrong kind are
// ignored.
#ifndef PN_GRAMMAR_SCHEMA_VALID_H
#define PN_GRAMMAR_SCHEMA_VALID_H

#include "base/json.h"

// `root` is what $ref points into. When false, *e begins with the place in the instance,
// "input.items[2].name: expected a string, found 3", and its code says why:
//   PN_ERR_USAGE        the value is not valid
//   PN_ERR_UNSUPPORTED  the schema can't be checked: an unknown $ref, a pattern that can't be compiled, no
//   schema at all PN_ERR_LIMIT        the schema refers to itself without an end, or the check takes too many
//   steps PN_ERR_NOMEM
// When true, *e is as it was. Any thread; keeps nothing.
bool schema_valid(const pn_json *root, const pn_json *schema, const pn_json *value, pn_error *e);

// Equality as JSON Schema means it: 1 == 1.0, true != 1, the order of members does not count.
bool schema_equal(const pn_json *a, const pn_json *b);

#endif
