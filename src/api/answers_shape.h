// What answers look like: tables for the OpenAPI document, which a test holds real answers against. Members that an answer may
// lack or give as null are not required.
#ifndef PN_API_ANSWERS_SHAPE_H
#define PN_API_ANSWERS_SHAPE_H

#include "api/shape.h"

extern const shape answer_message_shape, answer_count_shape, answer_batch_shape, answer_batch_list_shape,
    answer_deleted_shape, answer_model_shape, answer_model_list_shape, answer_health_shape,
    answer_error_shape;
extern const shape answer_chat_shape, answer_completion_shape, answer_tokens_shape, answer_text_shape,
    answer_openai_error_shape;

#endif
