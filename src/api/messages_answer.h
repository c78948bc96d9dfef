// An answer in the words of /v1/messages.
#ifndef PN_API_MESSAGES_ANSWER_H
#define PN_API_MESSAGES_ANSWER_H

#include "api/api_answer.h"

// What a request asks of its answer: the answer's `extra`.
typedef struct messages_wish {
  const pn_api *api;
  bool edits;                 // `context_management` was given
  size_t n_cleared, n_tokens; // results of tools that the prompt leaves out, and the tokens that this saved
  bool omits_thinking;        // thoughts are told by their signature only
} messages_wish;

extern const answer_writer messages_answer;

#endif
