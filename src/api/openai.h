// OpenAI's endpoints over the same prompts and generations as Anthropic's.
#ifndef PN_API_OPENAI_H
#define PN_API_OPENAI_H

#include "api/api_answer.h"
#include "api/messages.h"

extern const shape openai_chat_shape, openai_completion_shape, openai_embedding_shape, openai_tokenize_shape,
    openai_detokenize_shape;

// What a request asks of its answer: the answer's `extra`.
typedef struct openai_wish {
  bool chat;          // else a text completion
  bool include_usage; // a stream's last chunk
  bool logprobs;
  int64_t created_s; // Unix time
} openai_wish;

// A body in OpenAI's shape as a request of this server; owned by its reader.
typedef struct openai_request {
  messages_request q; // of a completion only the settings
  pn_json *body;
  openai_wish wish;
  int n_top_logprobs;
  bool seeded;
} openai_request;

// Zero-initialise *r; openai_request_fini frees, also after a failure. PN_ERR_USAGE names the place in
// OpenAI's body.
bool openai_read(const shape *s, pn_str body, openai_request *r, pn_error *e);
void openai_request_fini(openai_request *r);
// The conversation of a checked body in the Messages API's shape; NULL with *e. "model" and "messages" are
// there.
pn_json *openai_to_messages(const pn_json *body, pn_error *e);

extern const answer_writer openai_answer; // of both kinds

#endif
