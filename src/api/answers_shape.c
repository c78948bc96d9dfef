#include "api/answers_shape.h"

#include <math.h>

static const shape text = {.types = SHAPE_STRING};
static const shape number = {.types = SHAPE_NUMBER};
static const shape count = {.types = SHAPE_INT, .bounded = true, .min = 0, .max = INFINITY};
static const shape flag = {.types = SHAPE_BOOL};
static const shape object = {.types = SHAPE_OBJECT};
static const shape list = {.types = SHAPE_ARRAY};
static const shape counts = {.types = SHAPE_ARRAY, .items = &count};

#define WORD(id, ...)                                                                                        \
  static const char *const id##_words[] = {__VA_ARGS__, NULL};                                               \
  static const shape id = {.types = SHAPE_STRING, .values = id##_words}

// Messages.

WORD(message_type, "message");
WORD(assistant, "assistant");
WORD(stop_reason, "end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded");
WORD(tier, "standard");
static const shape_field text_fields[] = {{"text", &text, true, "What the model said."}, {0}};
static const shape_variant content_variants[] = {{"text", text_fields, NULL}, {0}};
static const shape block = {.types = SHAPE_OBJECT, .variants = content_variants};
static const shape content = {.types = SHAPE_ARRAY, .items = &block};
static const shape_field creation_fields[] = {
    {"ephemeral_5m_input_tokens", &count, true, "Asked for with a ttl of 5 minutes."},
    {"ephemeral_1h_input_tokens", &count, true, "Asked for with a ttl of an hour."},
    {0},
};
static const shape creation = {.types = SHAPE_OBJECT, .fields = creation_fields};
static const shape_field usage_fields[] = {
    {"input_tokens", &count, true, "Tokens of the prompt that the next two don't count."},
    {"cache_creation_input_tokens", &count, true, "Up to the last cache_control mark, and not read."},
    {"cache_read_input_tokens", &count, true, "Taken from the prefix cache."},
    {"cache_creation", &creation, true, "The same by the mark's ttl."},
    {"output_tokens", &count, true, "Tokens that were generated."},
    {"service_tier", &tier, true, "There is one."},
    {0},
};
static const shape usage = {.types = SHAPE_OBJECT, .fields = usage_fields, .name = "Usage"};
static const shape_field message_fields[] = {
    {"id", &text, true, "Begins with msg_."},
    {"type", &message_type, true, "Always message."},
    {"role", &assistant, true, "Always assistant."},
    {"model", &text, true, "As the request named it."},
    {"content", &content, true, "The answer; empty when the model said nothing."},
    {"stop_reason", &stop_reason, true, "Why it ended."},
    {"stop_sequence", &text, false, "The stop sequence that ended it."},
    {"usage", &usage, true, "Tokens."},
    {"context_management", &object, false,
     "Edits that were applied to the prompt, when the request asked for any."},
    {0},
};
const shape answer_message_shape = {.types = SHAPE_OBJECT, .fields = message_fields, .name = "Message"};

static const shape_field count_fields[] = {
    {"input_tokens", &count, true, "Tokens of the whole prompt."},
    {"context_management", &object, false, "The count before edits, when the request asked for any."},
    {0},
};
const shape answer_count_shape = {.types = SHAPE_OBJECT, .fields = count_fields, .name = "TokenCount"};

WORD(error_mark, "error");
WORD(error_type, "invalid_request_error", "authentication_error", "billing_error", "permission_error",
     "not_found_error", "timeout_error", "request_too_large", "rate_limit_error", "api_error",
     "overloaded_error");
static const shape_field error_fields[] = {
    {"type", &error_type, true, "What kind of error."},
    {"message", &text, true, "What is wrong; begins with the place in the body, where there is one."},
    {"details", &object, false, "More, for programs."},
    {0},
};
static const shape error = {.types = SHAPE_OBJECT, .fields = error_fields};
static const shape_field envelope_fields[] = {
    {"type", &error_mark, true, "Always error."},
    {"error", &error, true, "The error."},
    {"request_id", &text, false, "Also in the request-id header."},
    {0},
};
const shape answer_error_shape = {.types = SHAPE_OBJECT, .fields = envelope_fields, .name = "Error"};

// Batches.

WORD(batch_type, "message_batch");
WORD(batch_status, "in_progress", "canceling", "ended");
WORD(deleted_type, "message_batch_deleted");
static const shape_field request_count_fields[] = {
    {"processing", &count, true, "Not answered yet."},
    {"succeeded", &count, true, "Answered."},
    {"errored", &count, true, "Refused or failed."},
    {"canceled", &count, true, "Cancelled before they were run."},
    {"expired", &count, true, "Not run in time."},
    {0},
};
static const shape request_counts = {.types = SHAPE_OBJECT, .fields = request_count_fields};
static const shape_field batch_fields[] = {
    {"id", &text, true, "Begins with msgbatch_."},
    {"type", &batch_type, true, "Always message_batch."},
    {"processing_status", &batch_status, true, "How far it is."},
    {"request_counts", &request_counts, true, "Requests by what became of them."},
    {"created_at", &text, true, "When it was made, RFC 3339."},
    {"expires_at", &text, true, "When what is not answered expires."},
    {"ended_at", &text, false, "When its last request got a result."},
    {"cancel_initiated_at", &text, false, "When it was cancelled."},
    {"archived_at", &text, false, "Always null: results stay until the batch is deleted."},
    {"results_url", &text, false, "Where the results are, once it has ended."},
    {0},
};
const shape answer_batch_shape = {.types = SHAPE_OBJECT, .fields = batch_fields, .name = "MessageBatch"};
static const shape batches = {.types = SHAPE_ARRAY, .items = &answer_batch_shape};
#define LIST(items)                                                                                          \
  {"data", items, true, "The page."}, {"has_more", &flag, true, "Whether there are more."},                  \
      {"first_id", &text, false, "Of the page."}, {                                                          \
    "last_id", &text, false, "Of the page."                                                                  \
  }
static const shape_field batch_list_fields[] = {LIST(&batches), {0}};
const shape answer_batch_list_shape = {.types = SHAPE_OBJECT, .fields = batch_list_fields};
static const shape_field deleted_fields[] = {
    {"id", &text, true, "Of the batch."},
    {"type", &deleted_type, true, "Always message_batch_deleted."},
    {0},
};
const shape answer_deleted_shape = {.types = SHAPE_OBJECT, .fields = deleted_fields};

// Models and the server.

WORD(model_type, "model");
static const shape_field model_fields[] = {
    {"id", &text, true, "The name."},
    {"type", &model_type, true, "Always model."},
    {"display_name", &text, true, "The model's own name."},
    {"created_at", &text, true, "The epoch, which means unknown."},
    {"lifecycle", &text, true, "Always active."},
    {"max_input_tokens", &count, true, "The context."},
    {"max_tokens", &count, true, "The context: the prompt takes its part of it."},
    {"object", &model_type, true, "For OpenAI's clients."},
    {"created", &count, true, "For OpenAI's clients."},
    {"owned_by", &text, true, "For OpenAI's clients."},
    {0},
};
const shape answer_model_shape = {.types = SHAPE_OBJECT, .fields = model_fields, .name = "Model"};
static const shape models = {.types = SHAPE_ARRAY, .items = &answer_model_shape};
WORD(list_word, "list");
static const shape_field model_list_fields[] = {
    LIST(&models),
    {"object", &list_word, true, "For OpenAI's clients."},
    {0},
};
const shape answer_model_list_shape = {.types = SHAPE_OBJECT, .fields = model_list_fields};

WORD(health_status, "ok", "starting", "draining", "failed");
static const shape_field health_fields[] = {
    {"status", &health_status, true, "ok: it answers."},
    {"model", &text, true, "The model's name."},
    {"backend", &text, true, "What computes."},
    {"context", &count, true, "In tokens."},
    {"running", &count, true, "Requests that are being computed."},
    {"waiting", &count, true, "Requests that wait."},
    {0},
};
const shape answer_health_shape = {.types = SHAPE_OBJECT, .fields = health_fields, .name = "Health"};

// OpenAI.

WORD(chat_object, "chat.completion");
WORD(completion_object, "text_completion");
WORD(finish_reason, "stop", "length", "tool_calls");
static const shape_field cached_fields[] = {{"cached_tokens", &count, true, "Taken from the prefix cache."},
                                            {0}};
static const shape cached = {.types = SHAPE_OBJECT, .fields = cached_fields};
static const shape_field openai_usage_fields[] = {
    {"prompt_tokens", &count, true, "Of the prompt."},
    {"completion_tokens", &count, true, "That were generated."},
    {"total_tokens", &count, true, "Their sum."},
    {"prompt_tokens_details", &cached, true, "More of the prompt's."},
    {0},
};
static const shape openai_usage = {
    .types = SHAPE_OBJECT, .fields = openai_usage_fields, .name = "CompletionUsage"};
static const shape_field said_fields[] = {
    {"role", &assistant, true, "Always assistant."},
    {"content", &text, true, "What the model said."},
    {"refusal", &text, false, "Always null."},
    {0},
};
static const shape said = {.types = SHAPE_OBJECT, .fields = said_fields};
static const shape_field chat_logprob_fields[] = {{"content", &list, true, "A token each."}, {0}};
static const shape chat_logprobs = {.types = SHAPE_OBJECT, .fields = chat_logprob_fields};
static const shape_field chat_choice_fields[] = {
    {"index", &count, true, "Always 0."},
    {"message", &said, true, "The answer."},
    {"logprobs", &chat_logprobs, false, "When the request asked for them."},
    {"finish_reason", &finish_reason, true, "Why it ended."},
    {0},
};
static const shape chat_choice = {.types = SHAPE_OBJECT, .fields = chat_choice_fields};
static const shape chat_choices = {.types = SHAPE_ARRAY, .items = &chat_choice, .min_len = 1};
#define COMPLETION(object, choices)                                                                          \
  {"id", &text, true, "Of the answer."}, {"object", object, true, "What this is."},                          \
      {"created", &count, true, "Unix time."}, {"model", &text, true, "As the request named it."},           \
      {"system_fingerprint", &text, true, "Of this server."}, {"choices", choices, true, "One."}, {          \
    "usage", &openai_usage, true, "Tokens."                                                                  \
  }
static const shape_field chat_fields[] = {COMPLETION(&chat_object, &chat_choices), {0}};
const shape answer_chat_shape = {.types = SHAPE_OBJECT, .fields = chat_fields, .name = "ChatCompletion"};

static const shape numbers = {.types = SHAPE_ARRAY, .items = &number};
static const shape texts = {.types = SHAPE_ARRAY, .items = &text};
static const shape_field logprob_fields[] = {
    {"tokens", &texts, true, "The tokens' texts."},
    {"token_logprobs", &numbers, true, "Their log probabilities."},
    {"top_logprobs", &list, true, "The likeliest tokens at each place."},
    {"text_offset", &counts, true, "Where each begins in the text."},
    {0},
};
static const shape logprobs = {.types = SHAPE_OBJECT, .fields = logprob_fields};
static const shape_field choice_fields[] = {
    {"index", &count, true, "Always 0."},
    {"text", &text, true, "How the text goes on."},
    {"logprobs", &logprobs, false, "When the request asked for them."},
    {"finish_reason", &finish_reason, true, "Why it ended."},
    {0},
};
static const shape choice = {.types = SHAPE_OBJECT, .fields = choice_fields};
static const shape choices = {.types = SHAPE_ARRAY, .items = &choice, .min_len = 1};
static const shape_field completion_fields[] = {COMPLETION(&completion_object, &choices), {0}};
const shape answer_completion_shape = {
    .types = SHAPE_OBJECT, .fields = completion_fields, .name = "Completion"};

static const shape_field tokens_fields[] = {
    {"count", &count, true, "How many."},
    {"max_model_len", &count, true, "The context."},
    {"tokens", &counts, true, "Their ids."},
    {0},
};
const shape answer_tokens_shape = {.types = SHAPE_OBJECT, .fields = tokens_fields};
static const shape_field detokenized_fields[] = {
    {"content", &text, true, "The text; bytes that are no UTF-8 are U+FFFD."},
    {"prompt", &text, true, "The same."},
    {0},
};
const shape answer_text_shape = {.types = SHAPE_OBJECT, .fields = detokenized_fields};

WORD(openai_error_type, "invalid_request_error", "rate_limit_error", "server_error");
static const shape_field openai_error_fields[] = {
    {"message", &text, true, "What is wrong."},
    {"type", &openai_error_type, true, "What kind of error."},
    {"param", &text, false, "The place in the body."},
    {"code", &text, false, "For programs, such as context_length_exceeded."},
    {0},
};
static const shape openai_error = {.types = SHAPE_OBJECT, .fields = openai_error_fields};
static const shape_field openai_envelope_fields[] = {{"error", &openai_error, true, "The error."}, {0}};
const shape answer_openai_error_shape = {
    .types = SHAPE_OBJECT, .fields = openai_envelope_fields, .name = "OpenAIError"};
