// Regular expressions of JSON Schema (ECMA-262 syntax) and its named formats, as automata over UTF-8.
#ifndef PN_GRAMMAR_REGEX_H
#define PN_GRAMMAR_REGEX_H

#include "grammar/dfa.h"

// The texts in which the pattern is found somewhere. NULL: PN_ERR_UNSUPPORTED names what can't be held
// (look-around, back references, \b, \p) or is not a pattern, PN_ERR_LIMIT one that is too large.
dfa *regex_compile(pn_str pattern, pn_error *e);

// The texts that have a format of JSON Schema: date, date-time, time, uuid, email, ipv4, uri. NULL with
// e->code PN_OK: an unknown one.
dfa *format_compile(pn_str format, pn_error *e);
bool format_known(pn_str format);

// Whether a pattern only bounds the length, as ^[\s\S]{2,300}$ does; *max is -1 for no bound.
bool regex_is_length(pn_str pattern, int64_t *min, int64_t *max);

#endif
