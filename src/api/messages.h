// What /v1/messages does with a request that is read, for the other APIs that answer from the same model.
#ifndef PN_API_MESSAGES_H
#define PN_API_MESSAGES_H

#include "api/messages_prompt.h"

// Why no generation can begin now, to be said with a 503; NULL: it can.
const char *messages_not_now(const pn_api *a);
// PN_ERR_NOT_FOUND when requests may not name this model.
bool messages_check_model(const pn_api *a, pn_str model, pn_error *e);
// Whether a prompt of n tokens and an answer of max_tokens fit the context.
bool messages_check_length(const pn_api *a, int64_t max_tokens, size_t n, pn_error *e);
// What the engine is asked for. Borrows from all of them.
live_ask messages_generation(const pn_api *a, const pn_api_request *r, const messages_request *q,
                             const prompt *p);
// When a request that is refused with 529 may find room.
int messages_retry_after_s(const pn_api *a);

#endif
