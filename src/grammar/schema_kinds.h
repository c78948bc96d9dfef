// A schema of parameters reduced to the kinds of values that they may be.
#ifndef PN_GRAMMAR_SCHEMA_KINDS_H
#define PN_GRAMMAR_SCHEMA_KINDS_H

#include "base/json.h"

// An object of the same parameters, each of the kinds that pn_schema_kinds says, none required. NULL: out of
// memory. The caller's.
pn_json *schema_kinds_alone(const pn_json *schema);

#endif
