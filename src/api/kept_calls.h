// The arguments of calls as the model wrote them, by the call's id. Clients send calls back in other words
// (members in another order, defaults put in); the model, and the prefix cache, see what was written.
// Bounded; the oldest go first.
//
// Any thread.
#ifndef PN_API_KEPT_CALLS_H
#define PN_API_KEPT_CALLS_H

#include "base/json.h"

typedef struct kept_calls kept_calls;

kept_calls *kept_calls_new(size_t limit_bytes); // NULL: out of memory
void kept_calls_free(kept_calls *k);
void kept_calls_add(kept_calls *k, pn_str id, pn_str name, pn_str arguments);
// The arguments of a call; the caller's. NULL: unknown, or of another name.
pn_json *kept_calls_find(kept_calls *k, pn_str id, pn_str name);

#endif
