// What OpenAI's endpoints answer.
#include "api/answer_shapes.h"

#include <math.h>

static const shape any_string = {.types = SHAPE_STRING};
static const shape string_or_null = {.types = SHAPE_STRING | SHAPE_NULL};
static const shape any_number = {.types = SHAPE_NUMBER};
static const shape count = {.types = SHAPE_INT, .bounded = true, .min = 0, .max = INFINITY};
static const shape counts = {.types = SHAPE_ARRAY, .items = &count};
#define ONE_OF(name, ...)                                                                                    \
  static const char *const name##_values[] = {__VA_ARGS__, NULL};                                            \
  static const shape name = {.types = SHAPE_STRING, .values = name##_values}

// Errors.

ONE_OF(error_type, "invalid_request_error", "rate_limit_error", "server_error");
static const shape_field error_body_fields[] = {
    {"message", &any_string, true, "What is wrong; of a request's field it begins with the field's place."},
    {"type", &error_type, true, "The kind of error."},
    {"param", &string_or_null, true, "The field's place."},
    {"code", &string_or_null, true, "Tells some errors from others of the same status."},
    {0},
};
static const shape error_body = {.types = SHAPE_OBJECT, .fields = error_body_fields};
static const shape_field error_fields[] = {{"error", &error_body, true, NULL}, {0}};
const shape answer_openai_error = {.name = "OpenAIError", .types = SHAPE_OBJECT, .fields = error_fields};

// What all answers share.

static const shape_field details_fields[] = {
    {"cached_tokens", &count, true, "Tokens that the prefix cache held."}, {0}};
static const shape details = {.types = SHAPE_OBJECT, .fields = details_fields};
static const shape_field usage_fields[] = {
    {"prompt_tokens", &count, true, "Tokens of the prompt."},
    {"completion_tokens", &count, true, "Tokens of the answer."},
    {"total_tokens", &count, true, "Both."},
    {"prompt_tokens_details", &details, true, NULL},
    {0},
};
static const shape usage = {.name = "OpenAIUsage", .types = SHAPE_OBJECT, .fields = usage_fields};
static const char *const finishes[] = {"stop", "length", "tool_calls", NULL};
static const shape finish = {.types = SHAPE_STRING, .values = finishes};
static const shape finish_or_null = {.types = SHAPE_STRING | SHAPE_NULL, .values = finishes};
#define HEAD(object)                                                                                         \
  {"id", &any_string, true, "The answer's id."}, {"object", &object, true, NULL},                            \
      {"created", &count, true, "Unix time."}, {"model", &any_string, true, "As the request named it."}, {   \
    "system_fingerprint", &any_string, true, NULL                                                            \
  }

// Log probabilities.

#define LOGPROB                                                                                              \
  {"token", &any_string, true, "The token's text."}, {"logprob", &any_number, true, "Natural logarithm."}, { \
    "bytes", &counts, true, "The text's bytes: one token may be a part of a character."                      \
  }
static const shape_field top_fields[] = {LOGPROB, {0}};
static const shape top = {.types = SHAPE_OBJECT, .fields = top_fields};
static const shape tops = {.types = SHAPE_ARRAY, .items = &top};
static const shape_field logprob_fields[] = {LOGPROB, {"top_logprobs", &tops, true, "The likeliest."}, {0}};
static const shape logprob = {.types = SHAPE_OBJECT, .fields = logprob_fields};
static const shape logprob_list = {.types = SHAPE_ARRAY, .items = &logprob};
static const shape_field logprobs_fields[] = {
    {"content", &logprob_list, true, "Of each token."}, {"refusal", &string_or_null, true, NULL}, {0}};
static const shape logprobs = {
    .name = "ChatLogprobs", .types = SHAPE_OBJECT | SHAPE_NULL, .fields = logprobs_fields};

// Chat.

ONE_OF(chat_tag, "chat.completion");
ONE_OF(chunk_tag, "chat.completion.chunk");
ONE_OF(role, "assistant");
ONE_OF(function_tag, "function");
static const shape_field called_fields[] = {
    {"name", &any_string, true, "A function of the request."},
    {"arguments", &any_string, true, "A JSON object as text, valid by its parameters."},
    {0},
};
static const shape called = {.types = SHAPE_OBJECT, .fields = called_fields};
static const shape_field call_fields[] = {
    {"id", &any_string, true, "The call's id, for its result."},
    {"type", &function_tag, true, NULL},
    {"function", &called, true, NULL},
    {0},
};
static const shape call = {.types = SHAPE_OBJECT, .fields = call_fields};
static const shape call_list = {.types = SHAPE_ARRAY, .items = &call, .min_len = 1};
static const shape_field message_fields[] = {
    {"role", &role, true, NULL},
    {"content", &string_or_null, true, "The answer's text; null when it only calls."},
    {"reasoning_content", &any_string, false, "What the model thought."},
    {"tool_calls", &call_list, false, "What it calls."},
    {"refusal", &string_or_null, true, NULL},
    {0},
};
static const shape message = {.types = SHAPE_OBJECT, .fields = message_fields};
#define CHOICE(key, of, end)                                                                                 \
  {"index", &count, true, NULL}, {key, &of, true, NULL},                                                     \
      {"logprobs", &logprobs, true, "When the request asks for them."}, {                                    \
    "finish_reason", &end, true, "Why the answer ended."                                                     \
  }
static const shape_field choice_fields[] = {CHOICE("message", message, finish), {0}};
static const shape choice = {.types = SHAPE_OBJECT, .fields = choice_fields};
static const shape choices = {.types = SHAPE_ARRAY, .items = &choice, .min_len = 1, .max_len = 1};
static const shape_field chat_fields[] = {
    HEAD(chat_tag), {"choices", &choices, true, NULL}, {"usage", &usage, true, NULL}, {0}};
const shape answer_chat = {.name = "ChatCompletion", .types = SHAPE_OBJECT, .fields = chat_fields};

static const shape_field called_more_fields[] = {{"name", &any_string, false, "In a call's first chunk."},
                                                 {"arguments", &any_string, true, "More of them."},
                                                 {0}};
static const shape called_more = {.types = SHAPE_OBJECT, .fields = called_more_fields};
static const shape_field call_more_fields[] = {
    {"index", &count, true, "Which call."},
    {"id", &any_string, false, "In its first chunk."},
    {"type", &function_tag, false, "The same."},
    {"function", &called_more, true, NULL},
    {0},
};
static const shape call_more = {.types = SHAPE_OBJECT, .fields = call_more_fields};
static const shape calls_more = {.types = SHAPE_ARRAY, .items = &call_more};
static const shape_field delta_fields[] = {
    {"role", &role, false, "In the first chunk."},
    {"content", &any_string, false, "More of the text."},
    {"reasoning_content", &any_string, false, "More of what the model thinks."},
    {"tool_calls", &calls_more, false, "More of a call."},
    {0},
};
static const shape delta = {.types = SHAPE_OBJECT, .fields = delta_fields};
static const shape_field chunk_choice_fields[] = {CHOICE("delta", delta, finish_or_null), {0}};
static const shape chunk_choice = {.types = SHAPE_OBJECT, .fields = chunk_choice_fields};
static const shape chunk_choices = {.types = SHAPE_ARRAY, .items = &chunk_choice, .max_len = 1};
static const shape_field chunk_fields[] = {
    HEAD(chunk_tag),
    {"choices", &chunk_choices, true, "Empty in the chunk that tells the usage."},
    {"usage", &usage, false, "In the last chunk, when the request asks for it."},
    {0},
};
const shape answer_chat_chunk = {
    .name = "ChatCompletionChunk", .types = SHAPE_OBJECT, .fields = chunk_fields};

// Text. The chunks of a stream have the same shape.

ONE_OF(text_tag, "text_completion");
static const shape strings = {.types = SHAPE_ARRAY, .items = &any_string};
static const shape numbers = {.types = SHAPE_ARRAY, .items = &any_number};
static const shape any_object = {.types = SHAPE_OBJECT};
static const shape objects = {.types = SHAPE_ARRAY, .items = &any_object};
static const shape_field text_logprobs_fields[] = {
    {"tokens", &strings, true, "Each token's text."},
    {"token_logprobs", &numbers, true, "Natural logarithms."},
    {"top_logprobs", &objects, true, "The likeliest at its place: logarithm by text."},
    {"text_offset", &counts, true, "Where each token begins, in bytes."},
    {0},
};
static const shape text_logprobs = {.types = SHAPE_OBJECT | SHAPE_NULL, .fields = text_logprobs_fields};
static const shape_field text_choice_fields[] = {
    {"index", &count, true, NULL},
    {"text", &any_string, true, "The answer."},
    {"logprobs", &text_logprobs, true, "When the request asks for them."},
    {"finish_reason", &finish_or_null, true, "Why the answer ended; null while it goes on."},
    {0},
};
static const shape text_choice = {.types = SHAPE_OBJECT, .fields = text_choice_fields};
static const shape text_choices = {.types = SHAPE_ARRAY, .items = &text_choice, .max_len = 1};
static const shape_field completion_fields[] = {
    HEAD(text_tag),
    {"choices", &text_choices, true, "Empty in the chunk that tells the usage."},
    {"usage", &usage, false, "Of a stream: in the last chunk, when the request asks for it."},
    {0},
};
const shape answer_completion = {.name = "Completion", .types = SHAPE_OBJECT, .fields = completion_fields};

// Tokens.

static const shape_field tokens_fields[] = {
    {"count", &count, true, "How many there are."},
    {"max_model_len", &count, true, "The context's length."},
    {"tokens", &counts, true, "Their ids."},
    {0},
};
const shape answer_tokens = {.name = "Tokens", .types = SHAPE_OBJECT, .fields = tokens_fields};
static const shape_field text_fields[] = {
    {"content", &any_string, true, "The tokens' text."}, {"prompt", &any_string, true, "The same."}, {0}};
const shape answer_text = {.name = "TokenText", .types = SHAPE_OBJECT, .fields = text_fields};
