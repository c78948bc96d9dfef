// Equality, order and divisibility of JSON values as JSON Schema means them: by what the text says, not by
// its binary image. schema_equal itself is declared in schema_valid.h.
#ifndef PN_GRAMMAR_SCHEMA_EQUAL_H
#define PN_GRAMMAR_SCHEMA_EQUAL_H

#include "base/json.h"

// What looking at values costs is added to *n_steps: one a value, and one for each 64 bytes of text.
bool schema_same(const pn_json *a, const pn_json *b, size_t *n_steps); // schema_equal
uint64_t schema_hash(const pn_json *v, size_t *n_steps);               // equal values have equal hashes
// -1, 0 or 1; both are numbers. Exact, also between an integer beyond 2^53 and a real.
int schema_compare(const pn_json *a, const pn_json *b);
int schema_compare_count(size_t n, const pn_json *number);
// Whether the number `v` is a whole multiple of `of`, both taken as decimals: 0.3 is one of 0.1. `of` is not
// 0.
bool schema_is_multiple(const pn_json *v, const pn_json *of);
// 1 and 1.0.
bool schema_is_integer(const pn_json *v);

#endif
