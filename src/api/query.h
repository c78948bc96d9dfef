// Parts of a request's target: percent-escapes, and the name=value pairs of its query.
#ifndef PN_API_QUERY_H
#define PN_API_QUERY_H

#include "api/shape.h"

// `s` with its percent-escapes undone, appended; what is none stays as it is. `form`: '+' is a space.
void query_unescape(pn_buf *out, pn_str s, bool form);
// The value of the first pair with this name, with its escapes undone, appended to *value; false when there
// is none.
bool query_get(pn_str query, const char *name, pn_buf *value);
// The pairs that a list in pages takes.
extern const shape_field query_page[];
// The pair "limit" of such a list; 20 when there is none. PN_ERR_USAGE for what its shape doesn't take.
bool query_limit(pn_str query, int *limit, pn_error *e);

#endif
