// Strings of a grammar, as they stand in a value.
#ifndef PN_GRAMMAR_STRINGS_H
#define PN_GRAMMAR_STRINGS_H

#include "dialect/dialect.h"
#include "grammar/rules.h"

#define STRING_MAX_PARTS 6

// What a string must be: within all of `in`, within none of `out`, of min to max characters (max -1: any).
typedef struct string_limits {
  const dfa *in[STRING_MAX_PARTS], *out[STRING_MAX_PARTS];
  int n_in, n_out;
  int64_t min, max;
} string_limits;

// Exactly these texts, as an automaton over what they spell.
dfa *texts_dfa(const pn_str *texts, size_t n, pn_error *e);

// Fill a rule. In JSON's way: quotes around it; written as Python's json.dumps does without ensure_ascii, in
// no other way: \" \\ \b \f \n \r \t, \u00XX for other control characters, everything else as it is.
bool string_rule(grammar_rule *r, const string_limits *limits, pn_error *e);
// Raw text up to a mark, which is not part of it and which it does not hold; {NULL, 0}: up to the rule's end.
bool raw_string_rule(grammar_rule *r, const string_limits *limits, pn_str mark, pn_error *e);

#endif
