// The shape of a /v1/messages body: what the Messages API takes, as far as this server reads it.
#include "api/messages_read.h"

#include <math.h>

static const char text_only[] = "this model reads text only; images are not supported";
static const char text_documents_only[] =
    "this model reads text only; PDF, file and URL documents are not supported, text documents are";

static const shape any_string = {.types = SHAPE_STRING};
static const shape any_boolean = {.types = SHAPE_BOOL};
static const shape any_object = {.types = SHAPE_OBJECT};
static const shape name_string = {.types = SHAPE_STRING, .min_len = 1};
static const shape text_string = {
    .types = SHAPE_STRING, .min_len = 1, .too_short = "text content blocks must be non-empty"};

// Blocks that hold text, at the bottom: system prompts, parts of documents and search results.

static const shape_field text_fields[] = {
    {"text", &text_string, true, "The text."},
    {0},
};
static const shape_variant text_variants[] = {
    {"text", text_fields, NULL},
    {0},
};
static const shape text_block = {.types = SHAPE_OBJECT, .variants = text_variants};
static const shape text_blocks = {.types = SHAPE_ARRAY, .items = &text_block};
static const shape string_or_text_blocks = {.types = SHAPE_STRING | SHAPE_ARRAY, .items = &text_block};

static const shape_field plain_source_fields[] = {
    {"data", &any_string, true, "The document's text."},
    {0},
};
static const shape_variant document_part_variants[] = {
    {"text", text_fields, NULL},
    {"image", NULL, text_only},
    {0},
};
static const shape document_part = {.types = SHAPE_OBJECT, .variants = document_part_variants};
static const shape document_parts = {.types = SHAPE_STRING | SHAPE_ARRAY, .items = &document_part};
static const shape_field content_source_fields[] = {
    {"content", &document_parts, true, "A string or blocks of text."},
    {0},
};
static const shape_variant source_variants[] = {
    {"text", plain_source_fields, NULL},   {"content", content_source_fields, NULL},
    {"base64", NULL, text_documents_only}, {"url", NULL, text_documents_only},
    {"file", NULL, text_documents_only},   {0},
};
static const shape document_source = {.types = SHAPE_OBJECT, .variants = source_variants};
static const shape_field document_fields[] = {
    {"source", &document_source, true, "Where the document's text is."},
    {"title", &any_string, false, "Written before the text."},
    {"context", &any_string, false, "Written before the text."},
    {0},
};
static const shape_field search_result_fields[] = {
    {"source", &any_string, true, "Where the result comes from."},
    {"title", &any_string, true, "The result's title."},
    {"content", &text_blocks, true, "The result's text."},
    {0},
};

// Blocks inside a tool's result.

static const shape_variant result_variants[] = {
    {"text", text_fields, NULL},         {"image", NULL, text_only},
    {"document", document_fields, NULL}, {"search_result", search_result_fields, NULL},
    {"tool_reference", NULL, NULL},      {0},
};
static const shape result_block = {.types = SHAPE_OBJECT, .variants = result_variants};
static const shape result_content = {.types = SHAPE_STRING | SHAPE_ARRAY, .items = &result_block};

// Blocks of a message.

static const shape_field tool_use_fields[] = {
    {"id", &name_string, true, "The call's id."},
    {"name", &name_string, true, "The tool's name."},
    {"input", &any_object, true, "The call's arguments."},
    {0},
};
static const shape_field tool_result_fields[] = {
    {"tool_use_id", &name_string, true, "The id of the call that this answers."},
    {"content", &result_content, false, "What the tool gave back."},
    {"is_error", &any_boolean, false, "Whether the tool failed."},
    {0},
};
static const shape_field thinking_fields[] = {
    {"thinking", &any_string, true, "What the model thought; not shown to it again."},
    {"signature", &any_string, false, "Not checked."},
    {0},
};
static const shape_variant block_variants[] = {
    {"text", text_fields, NULL},
    {"image", NULL, text_only},
    {"document", document_fields, NULL},
    {"search_result", search_result_fields, NULL},
    {"tool_use", tool_use_fields, NULL},
    {"tool_result", tool_result_fields, NULL},
    {"thinking", thinking_fields, NULL},
    {"redacted_thinking", NULL, NULL},
    {"tool_addition", NULL, NULL},
    {"tool_removal", NULL, NULL},
    {0},
};
static const shape block = {.types = SHAPE_OBJECT, .variants = block_variants};
static const shape content = {.types = SHAPE_STRING | SHAPE_ARRAY, .items = &block};

static const char *const roles[] = {"user", "assistant", "system", NULL};
static const shape role = {.types = SHAPE_STRING, .values = roles};
static const shape_field message_fields[] = {
    {"role", &role, true, "Who speaks. A system message stays at its place."},
    {"content", &content, true, "A string or an array of blocks."},
    {0},
};
static const shape message = {.types = SHAPE_OBJECT, .fields = message_fields};
static const shape messages = {
    .types = SHAPE_ARRAY, .items = &message, .min_len = 1, .too_short = "at least one message is required"};

// The body.

static const shape max_tokens = {.types = SHAPE_INT, .bounded = true, .min = 1, .max = INFINITY};
static const shape unit_number = {.types = SHAPE_NUMBER, .bounded = true, .min = 0, .max = 1};
static const shape top_k = {.types = SHAPE_INT, .bounded = true, .min = 0, .max = INFINITY};
static const shape stop_sequences = {.types = SHAPE_ARRAY, .items = &any_string, .max_len = 100};
static const shape_field metadata_fields[] = {
    {"user_id", &any_string, false, "An opaque name for who asks."},
    {0},
};
static const shape metadata = {.types = SHAPE_OBJECT, .fields = metadata_fields};

#define COMMON_FIELDS                                                                                        \
  {"messages", &messages, true, "The conversation."},                                                        \
      {"system", &string_or_text_blocks, false, "The system prompt."},                                       \
      {"stream", &any_boolean, false, "Answer as server-sent events."},                                      \
      {"temperature", &unit_number, false, "Randomness; 0 takes the likeliest token. Default 1."},           \
      {"top_p", &unit_number, false, "Sample from the likeliest tokens that together have this mass."},      \
      {"top_k", &top_k, false, "Sample from this many of the likeliest tokens; 0: all."},                    \
      {"stop_sequences", &stop_sequences, false, "Texts at which the answer ends."},                         \
      {"metadata", &metadata, false, "About the request."}, {                                                \
    0                                                                                                        \
  }

static const shape_field create_fields[] = {
    {"model", &name_string, true, "Any name; the answer repeats it."},
    {"max_tokens", &max_tokens, true, "The longest answer, in tokens."},
    COMMON_FIELDS,
};
static const shape_field count_fields[] = {
    {"model", &name_string, true, "Any name."},
    {"max_tokens", &max_tokens, false, "Not used for counting."},
    COMMON_FIELDS,
};

const shape messages_create_shape = {.types = SHAPE_OBJECT, .fields = create_fields};
const shape messages_count_shape = {.types = SHAPE_OBJECT, .fields = count_fields};
