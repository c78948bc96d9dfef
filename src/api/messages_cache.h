// What a request asks to be cached by its `cache_control` marks, and the usage figures that follow. The
// engine caches every prefix anyway; the marks only say how its work is counted.
#ifndef PN_API_MESSAGES_CACHE_H
#define PN_API_MESSAGES_CACHE_H

#include "api/api_core.h"
#include "api/messages_read.h"

typedef struct cache_marks {
  size_t n_prompt; // tokens of the whole prompt
  size_t n_marked; // of these, up to the end of the last marked block's message; 0: no mark
  bool hour;       // the last mark's ttl is "1h"
} cache_marks;

// Where the last mark of q lies in its prompt. Renders the conversation up to there once more, unless the
// mark is in the last message. A template that refuses such a part counts as no mark.
void messages_cache_marks(const pn_api *a, const messages_request *q, const pn_ids *whole, cache_marks *out);

// "usage":{...}. input_tokens + cache_creation_input_tokens + cache_read_input_tokens are always n_prompt.
void messages_cache_usage(pn_buf *b, const cache_marks *m, int n_cached, int n_output);

#endif
