// The shapes of answers, which describe them in the document of the API; tests check real answers against
// them.
#ifndef PN_API_ANSWER_SHAPES_H
#define PN_API_ANSWER_SHAPES_H

#include "api/shape.h"

extern const shape answer_message, answer_event, answer_count, answer_error;                 // messages
extern const shape answer_model, answer_models, answer_health, answer_hello, answer_openapi; // the server
extern const shape answer_batch, answer_batches, answer_batch_deleted, answer_batch_result;  // batches
extern const shape answer_chat, answer_chat_chunk, answer_completion, answer_tokens, answer_text,
    answer_openai_error; // OpenAI's

#endif
