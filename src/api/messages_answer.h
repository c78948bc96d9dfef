// A generation's events as an answer of /v1/messages: one JSON object, or server-sent events.
#ifndef PN_API_MESSAGES_ANSWER_H
#define PN_API_MESSAGES_ANSWER_H

#include "api/api_core.h"
#include "api/messages_cache.h"

// Silence after which a stream gets a ping. Clients give up after 15 to 20 seconds without one.
#define ANSWER_PING_US 8000000u
// A stream begins with the engine's first word, which says how much of the prompt is cached, but not later than this.
#define ANSWER_START_US 300000u

typedef struct answer answer;

// Everything is copied. NULL when memory ran out.
answer *answer_new(const pn_api *a, const pn_api_request *r, const messages_request *q, const cache_marks *m);
void answer_free(answer *w);
// Hand over the generation (owned from now on) and get the reply, which owns w. NULL when memory ran out.
pn_reply *answer_start(answer *w, pn_gen *gen);

#endif
