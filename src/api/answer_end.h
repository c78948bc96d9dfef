// What is remembered and checked of an answer when it is whole.
#ifndef PN_API_ANSWER_END_H
#define PN_API_ANSWER_END_H

#include "api/live.h"
#include "api/messages_guide.h"

// Let `ask` tell of its end: tokens and calls are kept for when they come back, and what the grammar could
// not hold is checked. False: out of memory.
bool answer_end_watch(pn_api *a, const char *request_id, const prompt *p, const answer_plan *plan,
                      live_ask *ask);

#endif
