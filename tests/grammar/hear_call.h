// What a reader makes of an answer that is one call of the tool f.
#ifndef PN_TESTS_HEAR_CALL_H
#define PN_TESTS_HEAR_CALL_H

#include "dialect/dialect.h"

// Raw text -> its arguments; `schema` is of the tool's parameters. False: it is no call of f, or not a
// whole one.
bool hear_call(const pn_tongue *t, const pn_json *schema, pn_str raw, pn_buf *arguments);

#endif
