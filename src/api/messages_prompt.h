// A request's prompt in tokens: turns, the model's template, the tokenizer.
#ifndef PN_API_MESSAGES_PROMPT_H
#define PN_API_MESSAGES_PROMPT_H

#include "api/api_core.h"
#include "api/messages_read.h"

// Append the prompt's tokens. When the last message is the assistant's, the prompt ends within it and the model goes
// on from there. PN_ERR_USAGE when the template refuses the conversation.
bool messages_prompt(const pn_api *a, const messages_request *q, pn_ids *out, pn_error *e);
// Append the tokens of a part of the conversation, as it stands in the prompt: nothing invites an answer behind it.
bool messages_prompt_part(const pn_api *a, const messages_request *q, const turn_part *part, pn_ids *out,
                          pn_error *e);

#endif
