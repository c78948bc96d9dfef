// A request's prompt in tokens: turns, the model's template, the tokenizer.
#ifndef PN_API_MESSAGES_PROMPT_H
#define PN_API_MESSAGES_PROMPT_H

#include "api/api_core.h"
#include "api/kept.h"
#include "api/messages_read.h"
#include "api/speech.h"
#include "grammar/grammar.h"

// Zero-initialise; prompt_fini frees.
typedef struct prompt {
  pn_ids ids;
  pn_ids marks;            // prompt_marks of it
  kept_mark end;           // where the answer begins
  size_t n_original;       // tokens before results of tools were left out; ids.n when none was
  const pn_tongue *tongue; // in which tools were told
  turn_fold fold;          // how system messages were put
  pn_thinks thinks;        // how the answer begins
} prompt;

// Make the prompt. When the last message is the assistant's, it ends within that and the model goes on from
// there. Results of tools that clear_tool_uses wants left out are left out (q->n_cleared). PN_ERR_USAGE when
// the template refuses the conversation.
bool messages_prompt(const pn_api *a, const char *request_id, messages_request *q, prompt *out, pn_error *e);
void prompt_fini(prompt *p);
// Append the tokens of a part of the conversation, as it stands in the prompt: nothing invites an answer
// behind it.
bool messages_prompt_part(const pn_api *a, const messages_request *q, const turn_part *part, pn_ids *out,
                          pn_error *e);

// An assistant's message (an array of blocks) as it will stand in the next prompt, up to the end of its turn.
// False: the template does not say where that is, or memory ran out.
bool messages_echo(const pn_api *a, const prompt *p, const pn_json *content, pn_buf *out);

#endif
