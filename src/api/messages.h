// What /v1/messages does with a request that is read, for the other APIs that answer from the same model.
#ifndef PN_API_MESSAGES_H
#define PN_API_MESSAGES_H

#include "api/messages_guide.h"
#include "api/messages_prompt.h"

// Why no generation may begin now.
typedef struct messages_not_now {
  int status, retry_after_s; // 0: as the status says
  char message[120];
} messages_not_now;
// A request for a generation has come: it is noted, and may begin, or *not says why it may not.
bool messages_may_begin(pn_api *a, const pn_api_request *r, messages_not_now * not );
// PN_ERR_NOT_FOUND when requests may not name this model.
bool messages_check_model(const pn_api *a, pn_str model, pn_error *e);
// Whether a prompt of n tokens and an answer of max_tokens fit the context.
bool messages_check_length(const pn_api *a, int64_t max_tokens, size_t n, pn_error *e);
// What the engine is asked for. Borrows from all of them.
live_ask messages_generation(const pn_api *a, const pn_api_request *r, const messages_request *q,
                             const prompt *p, const answer_plan *plan);
// When a request that is refused with 529 may find room.
int messages_retry_after_s(const pn_api *a);

#endif
