// Who sends messages: requests of main sessions, of their subagents and of others, and how many sessions are
// active. The sessions' names stay out of the metrics.
#ifndef PN_API_SESSIONS_H
#define PN_API_SESSIONS_H

#include "api/api.h"

typedef struct api_sessions api_sessions;

// NULL when the options have no registry, or memory or sources ran out (*e says so): then nothing is counted.
api_sessions *api_sessions_new(const pn_api_options *o, uint64_t (*now_us)(void *ctx), void *ctx,
                               pn_error *e);
void api_sessions_free(api_sessions *s);
// A request for a message has come. The HTTP thread; `s` may be NULL.
void api_sessions_note(api_sessions *s, const pn_api_request *r);

#endif
