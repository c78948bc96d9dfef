// An answer in the words of /v1/messages.
#ifndef PN_API_MESSAGES_ANSWER_H
#define PN_API_MESSAGES_ANSWER_H

#include "api/api_answer.h"

// What `context_management` asked for and what was done: the answer's `extra`.
typedef struct messages_edits {
  bool asked;
  size_t n_cleared, n_tokens; // results of tools that the prompt leaves out, and the tokens that this saved
} messages_edits;

extern const answer_writer messages_answer;

#endif
