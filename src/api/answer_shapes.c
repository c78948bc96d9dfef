// What the Messages API and the server itself answer.
#include "api/answer_shapes.h"

#include <math.h>

static const shape any_string = {.types = SHAPE_STRING};
static const shape any_object = {.types = SHAPE_OBJECT};
static const shape any_boolean = {.types = SHAPE_BOOL};
static const shape string_or_null = {.types = SHAPE_STRING | SHAPE_NULL};
static const shape count = {.types = SHAPE_INT, .bounded = true, .min = 0, .max = INFINITY};
#define ONE_OF(name, ...)                                                                                    \
  static const char *const name##_values[] = {__VA_ARGS__, NULL};                                            \
  static const shape name = {.types = SHAPE_STRING, .values = name##_values}

// Errors.

ONE_OF(error_tag, "error");
static const char *const error_types[] = {"invalid_request_error",
                                          "authentication_error",
                                          "billing_error",
                                          "permission_error",
                                          "not_found_error",
                                          "timeout_error",
                                          "request_too_large",
                                          "rate_limit_error",
                                          "api_error",
                                          "overloaded_error",
                                          NULL};
static const shape error_type = {.types = SHAPE_STRING, .values = error_types};
static const shape_field error_body_fields[] = {
    {"type", &error_type, true, "The kind of error."},
    {"message", &any_string, true, "What is wrong; of a request's field it begins with the field's place."},
    {"details", &any_object, false, "More, for programs."},
    {0},
};
static const shape error_body = {.types = SHAPE_OBJECT, .fields = error_body_fields};
static const shape_field error_fields[] = {
    {"type", &error_tag, true, NULL},
    {"error", &error_body, true, NULL},
    {"request_id", &string_or_null, true, "The same as in the header request-id."},
    {0},
};
const shape answer_error = {.name = "Error", .types = SHAPE_OBJECT, .fields = error_fields};

// A message.

static const shape_field created_fields[] = {
    {"ephemeral_5m_input_tokens", &count, true, "Of a mark with a ttl of 5m, or none."},
    {"ephemeral_1h_input_tokens", &count, true, "Of a mark with a ttl of 1h."},
    {0},
};
static const shape created = {.types = SHAPE_OBJECT, .fields = created_fields};
ONE_OF(tier, "standard");
static const shape_field usage_fields[] = {
    {"input_tokens", &count, true, "Tokens of the prompt that the two below do not count."},
    {"cache_creation_input_tokens", &count, true, "Tokens up to the last cache_control mark, not read."},
    {"cache_read_input_tokens", &count, true, "Tokens that the prefix cache held."},
    {"cache_creation", &created, true, "cache_creation_input_tokens by the mark's ttl."},
    {"output_tokens", &count, true, "Tokens of the answer."},
    {"service_tier", &tier, true, "There is one tier."},
    {0},
};
static const shape usage = {.name = "Usage", .types = SHAPE_OBJECT, .fields = usage_fields};

static const shape_field text_fields[] = {
    {"text", &any_string, true, "The text."},
    {0},
};
static const shape_field thinking_fields[] = {
    {"thinking", &any_string, true, "What the model thought; empty with display omitted."},
    {"signature", &any_string, true, "To be sent back with the thought."},
    {0},
};
static const shape_field call_fields[] = {
    {"id", &any_string, true, "The call's id, for its result."},
    {"name", &any_string, true, "A tool of the request."},
    {"input", &any_object, true, "Its arguments: valid by the tool's schema, unless the answer was cut off."},
    {0},
};
static const shape_variant block_variants[] = {
    {"text", text_fields, NULL}, {"thinking", thinking_fields, NULL}, {"tool_use", call_fields, NULL}, {0}};
static const shape block = {.name = "AnswerBlock", .types = SHAPE_OBJECT, .variants = block_variants};
static const shape blocks = {.types = SHAPE_ARRAY, .items = &block};
static const char *const stops[] = {
    "end_turn", "tool_use", "max_tokens", "stop_sequence", "model_context_window_exceeded", NULL};
static const shape stop_or_null = {.types = SHAPE_STRING | SHAPE_NULL, .values = stops};
static const shape_field cleared_fields[] = {
    {"cleared_tool_uses", &count, true, "Tool results that were left out."},
    {"cleared_input_tokens", &count, true, "Tokens that this saved."},
    {0},
};
static const shape_variant applied_variants[] = {{"clear_tool_uses_20250919", cleared_fields, NULL}, {0}};
static const shape applied = {.name = "AppliedEdit", .types = SHAPE_OBJECT, .variants = applied_variants};
static const shape applied_list = {.types = SHAPE_ARRAY, .items = &applied};
static const shape_field edits_fields[] = {
    {"applied_edits", &applied_list, true, "What was left out of the prompt."},
    {0},
};
static const shape edits = {.types = SHAPE_OBJECT, .fields = edits_fields};
#define EDITS                                                                                                \
  { "context_management", &edits, false, "When the request has the member." }
#define STOP                                                                                                 \
  {"stop_reason", &stop_or_null, true, "Why the answer ended; null while it goes on."}, {                    \
    "stop_sequence", &string_or_null, true, "Which one ended it."                                            \
  }

ONE_OF(message_tag, "message");
ONE_OF(role, "assistant");
static const shape_field message_fields[] = {
    {"id", &any_string, true, "The message's id."},
    {"type", &message_tag, true, NULL},
    {"role", &role, true, NULL},
    {"model", &any_string, true, "As the request named it."},
    {"content", &blocks, true, "The answer; empty when the model said nothing."},
    STOP,
    {"usage", &usage, true, NULL},
    EDITS,
    {0},
};
const shape answer_message = {.name = "Message", .types = SHAPE_OBJECT, .fields = message_fields};

static const shape_field original_fields[] = {
    {"original_input_tokens", &count, true, "Before edits of the context."},
    {0},
};
static const shape original = {.types = SHAPE_OBJECT, .fields = original_fields};
static const shape_field count_fields[] = {
    {"input_tokens", &count, true, "Tokens of the prompt."},
    {"context_management", &original, false, "When the request has the member."},
    {0},
};
const shape answer_count = {.name = "TokenCount", .types = SHAPE_OBJECT, .fields = count_fields};

// Its events.

static const shape_field start_fields[] = {
    {"message", &answer_message, true, "The message without content, and with the usage so far."},
    {0},
};
#define INDEX                                                                                                \
  { "index", &count, true, "Of the block in the content." }
static const shape_field block_start_fields[] = {INDEX, {"content_block", &block, true, "Empty."}, {0}};
static const shape_field delta_text_fields[] = {{"text", &any_string, true, "More of the text."}, {0}};
static const shape_field delta_thinking_fields[] = {{"thinking", &any_string, true, "More of the thought."},
                                                    {0}};
static const shape_field delta_signature_fields[] = {
    {"signature", &any_string, true, "Of the whole thought."}, {0}};
static const shape_field delta_json_fields[] = {
    {"partial_json", &any_string, true, "More of the arguments; all pieces together are one JSON object."},
    {0}};
static const shape_variant delta_variants[] = {{"text_delta", delta_text_fields, NULL},
                                               {"thinking_delta", delta_thinking_fields, NULL},
                                               {"signature_delta", delta_signature_fields, NULL},
                                               {"input_json_delta", delta_json_fields, NULL},
                                               {0}};
static const shape delta = {.name = "BlockDelta", .types = SHAPE_OBJECT, .variants = delta_variants};
static const shape_field block_delta_fields[] = {INDEX, {"delta", &delta, true, NULL}, {0}};
static const shape_field block_stop_fields[] = {INDEX, {0}};
static const shape_field stop_fields[] = {STOP, {0}};
static const shape stop = {.types = SHAPE_OBJECT, .fields = stop_fields};
static const shape_field message_delta_fields[] = {
    {"delta", &stop, true, "How it ended."},
    {"usage", &usage, true, "Of the whole message."},
    EDITS,
    {0},
};
static const shape_field failed_fields[] = {
    {"error", &error_body, true, "The stream ends here."},
    {"request_id", &string_or_null, true, "The same as in the header request-id."},
    {0},
};
static const shape_variant event_variants[] = {
    {"message_start", start_fields, NULL},
    {"content_block_start", block_start_fields, NULL},
    {"content_block_delta", block_delta_fields, NULL},
    {"content_block_stop", block_stop_fields, NULL},
    {"message_delta", message_delta_fields, NULL},
    {"message_stop", NULL, NULL},
    {"ping", NULL, NULL},
    {"error", failed_fields, NULL},
    {0},
};
const shape answer_event = {.name = "MessageEvent", .types = SHAPE_OBJECT, .variants = event_variants};

// The server.

ONE_OF(model_tag, "model");
ONE_OF(list_tag, "list");
ONE_OF(lifecycle, "active");
ONE_OF(tool_form, "read", "none", "foreign");
static const shape_field card_tools_fields[] = {
    {"dialect", &any_string, true, "In which calls are written and read."},
    {"template", &tool_form, true,
     "What the chat template does: writes calls so that they are read, knows no tools, or writes calls in "
     "another form. Tools are told as text but for the first."},
    {0},
};
static const shape card_tools = {.types = SHAPE_OBJECT, .fields = card_tools_fields};
static const shape_field card_thinking_fields[] = {
    {"open", &any_string, true, "What stands in front of a thought."},
    {"close", &any_string, true, "What ends it."},
    {"by_template", &any_boolean, true, "Whether the chat template has a switch for it."},
    {0},
};
static const shape card_thinking = {.types = SHAPE_OBJECT | SHAPE_NULL, .fields = card_thinking_fields};
static const shape_field model_fields[] = {
    {"type", &model_tag, true, NULL},
    {"id", &any_string, true, "The name to ask for."},
    {"display_name", &any_string, true, "The model's own name."},
    {"created_at", &any_string, true, "The epoch, which means unknown."},
    {"lifecycle", &lifecycle, true, NULL},
    {"max_input_tokens", &count, true, "The context's length."},
    {"max_tokens", &count, true, "The longest answer."},
    {"object", &model_tag, true, "For OpenAI's clients."},
    {"created", &count, true, "For OpenAI's clients."},
    {"owned_by", &any_string, true, "For OpenAI's clients."},
    {"tools", &card_tools, true, "How the model calls tools."},
    {"thinking", &card_thinking, true, "How the model marks what it thinks; null: it does not."},
    {0},
};
const shape answer_model = {.name = "Model", .types = SHAPE_OBJECT, .fields = model_fields};
static const shape models = {.types = SHAPE_ARRAY, .items = &answer_model};
static const shape_field models_fields[] = {
    {"object", &list_tag, true, "For OpenAI's clients."},
    {"data", &models, true, "The model under each of its names."},
    {"has_more", &any_boolean, true, "Whether more follow."},
    {"first_id", &string_or_null, true, "For before_id."},
    {"last_id", &string_or_null, true, "For after_id."},
    {0},
};
const shape answer_models = {.name = "ModelList", .types = SHAPE_OBJECT, .fields = models_fields};

ONE_OF(health, "ok", "starting", "draining", "failed");
static const shape_field health_fields[] = {
    {"status", &health, true, "Requests are served when it is ok."},
    {"model", &any_string, true, "The model's name."},
    {"backend", &any_string, true, "What it computes with."},
    {"context", &count, true, "The longest prompt and answer together, in tokens."},
    {"running", &count, true, "Requests that are being answered."},
    {"waiting", &count, true, "Requests that wait for a place."},
    {0},
};
const shape answer_health = {.name = "Health", .types = SHAPE_OBJECT, .fields = health_fields};

ONE_OF(service, "pensieve");
static const shape_field hello_fields[] = {{"service", &service, true, NULL}, {0}};
const shape answer_hello = {.name = "Hello", .types = SHAPE_OBJECT, .fields = hello_fields};

const shape answer_openapi = {.types = SHAPE_OBJECT};

// Batches.

ONE_OF(batch_tag, "message_batch");
ONE_OF(batch_deleted_tag, "message_batch_deleted");
ONE_OF(batch_status, "in_progress", "canceling", "ended");
static const shape_field batch_count_fields[] = {
    {"processing", &count, true, "All, until the batch has ended."},
    {"succeeded", &count, true, NULL},
    {"errored", &count, true, NULL},
    {"canceled", &count, true, NULL},
    {"expired", &count, true, NULL},
    {0},
};
static const shape batch_counts = {.types = SHAPE_OBJECT, .fields = batch_count_fields};
static const shape_field batch_fields[] = {
    {"id", &any_string, true, "The batch's id."},
    {"type", &batch_tag, true, NULL},
    {"processing_status", &batch_status, true, NULL},
    {"request_counts", &batch_counts, true, "Requests by what became of them."},
    {"ended_at", &string_or_null, true, "RFC 3339."},
    {"created_at", &any_string, true, "RFC 3339."},
    {"expires_at", &any_string, true, "When requests without a result are given up."},
    {"archived_at", &string_or_null, true, "Always null."},
    {"cancel_initiated_at", &string_or_null, true, "RFC 3339."},
    {"results_url", &string_or_null, true, "Where the results are, once the batch has ended."},
    {0},
};
const shape answer_batch = {.name = "MessageBatch", .types = SHAPE_OBJECT, .fields = batch_fields};
static const shape batches = {.types = SHAPE_ARRAY, .items = &answer_batch};
static const shape_field batches_fields[] = {
    {"data", &batches, true, "The latest first."},
    {"has_more", &any_boolean, true, "Whether more follow."},
    {"first_id", &string_or_null, true, "For before_id."},
    {"last_id", &string_or_null, true, "For after_id."},
    {0},
};
const shape answer_batches = {.name = "MessageBatchList", .types = SHAPE_OBJECT, .fields = batches_fields};
static const shape_field batch_deleted_fields[] = {
    {"id", &any_string, true, "The batch's id."},
    {"type", &batch_deleted_tag, true, NULL},
    {0},
};
const shape answer_batch_deleted = {
    .name = "DeletedMessageBatch", .types = SHAPE_OBJECT, .fields = batch_deleted_fields};
static const shape_field succeeded_fields[] = {{"message", &answer_message, true, NULL}, {0}};
static const shape_field errored_fields[] = {{"error", &answer_error, true, NULL}, {0}};
static const shape_variant result_variants[] = {
    {"succeeded", succeeded_fields, NULL},
    {"errored", errored_fields, NULL},
    {"canceled", NULL, NULL},
    {"expired", NULL, NULL},
    {0},
};
static const shape result = {.name = "BatchOutcome", .types = SHAPE_OBJECT, .variants = result_variants};
static const shape_field result_fields[] = {
    {"custom_id", &any_string, true, "Of the request."},
    {"result", &result, true, NULL},
    {0},
};
const shape answer_batch_result = {.name = "BatchResult", .types = SHAPE_OBJECT, .fields = result_fields};
