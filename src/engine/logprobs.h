// Log probabilities of tokens from logits.
#ifndef PN_ENGINE_LOGPROBS_H
#define PN_ENGINE_LOGPROBS_H

#include "engine/engine.h"

// log softmax of logits[0, n): of token `id`, and of the n_top likeliest ones (<= PN_TOP_LOGPROBS), the likeliest first, of equal
// ones the lowest id. The largest logit is subtracted before the exponentials, which are added up in double. Logits that are
// no numbers count as -infinity.
void logprobs_of(const float *logits, int n, int32_t id, int n_top, pn_token_event *out);

#endif
