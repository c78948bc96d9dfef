// Bodies of OpenAI's endpoints, as far as this server acts on them. What is bounded to one value is not
// supported otherwise.
#include "api/openai.h"

#include <math.h>

static const shape any_list = {.types = SHAPE_ARRAY};
static const shape one = {.types = SHAPE_INT, .bounded = true, .min = 1, .max = 1};
static const shape zero = {.types = SHAPE_NUMBER, .bounded = true, .min = 0, .max = 0};
static const shape count = {.types = SHAPE_INT, .bounded = true, .min = 0, .max = INFINITY};
static const shape positive = {.types = SHAPE_INT, .bounded = true, .min = 1, .max = INFINITY};
static const shape temperature = {.types = SHAPE_NUMBER, .bounded = true, .min = 0, .max = 2};
static const shape unit_number = {.types = SHAPE_NUMBER, .bounded = true, .min = 0, .max = 1};
static const shape seed = {.types = SHAPE_INT};
static const shape stop = {.types = SHAPE_STRING | SHAPE_ARRAY, .items = &shape_any_string, .max_len = 100};
static const shape top_logprobs = {.types = SHAPE_INT, .bounded = true, .min = 0, .max = PN_TOP_LOGPROBS};

// Messages.

static const shape_field text_fields[] = {
    {"text", &shape_any_string, true, "The text."},
    {0},
};
static const shape_field refusal_fields[] = {
    {"refusal", &shape_any_string, true, "What the model said instead."},
    {0},
};
// Refused by openai_convert.c, but in what a tool gave back.
#define ONLY_OF_TOOLS                                                                                        \
  "Only in a tool's message; the model reads a text instead, which says that there is one."
static const shape image_url = {.types = SHAPE_STRING | SHAPE_OBJECT};
static const shape_field image_fields[] = {
    {"image_url", &image_url, true, ONLY_OF_TOOLS},
    {0},
};
static const shape_field audio_fields[] = {
    {"input_audio", &shape_any_object, true, ONLY_OF_TOOLS},
    {0},
};
static const shape_field file_fields[] = {
    {"file", &shape_any_object, true, ONLY_OF_TOOLS},
    {0},
};
static const shape_variant part_variants[] = {
    {"text", text_fields, NULL},         {"refusal", refusal_fields, NULL}, {"image_url", image_fields, NULL},
    {"input_audio", audio_fields, NULL}, {"file", file_fields, NULL},       {0},
};
static const shape part = {.name = "ChatContentPart", .types = SHAPE_OBJECT, .variants = part_variants};
static const shape content = {.types = SHAPE_STRING | SHAPE_ARRAY, .items = &part};
static const shape_field called_fields[] = {
    {"name", &shape_name, true, "The function's name."},
    {"arguments", &shape_any_string, true, "Its arguments, as JSON text."},
    {0},
};
static const shape called = {.types = SHAPE_OBJECT, .fields = called_fields};
static const shape_field call_fields[] = {
    {"id", &shape_name, true, "The call's id."},
    {"function", &called, true, "What is called."},
    {0},
};
static const shape call = {.name = "ChatToolCall", .types = SHAPE_OBJECT, .fields = call_fields};
static const shape calls = {.types = SHAPE_ARRAY, .items = &call};
static const char *const roles[] = {"system", "developer", "user", "assistant", "tool", NULL};
static const shape role = {.types = SHAPE_STRING, .values = roles};
static const shape_field message_fields[] = {
    {"role", &role, true, "Who speaks; developer is the same as system."},
    {"content", &content, false, "A string or parts of text."},
    {"tool_calls", &calls, false, "Of the assistant: what it called."},
    {"tool_call_id", &shape_name, false, "Of a tool: which call this answers."},
    {0},
};
static const shape message = {.name = "ChatMessage", .types = SHAPE_OBJECT, .fields = message_fields};
static const shape messages = {
    .types = SHAPE_ARRAY, .items = &message, .min_len = 1, .too_short = "at least one message is required"};

// Tools and the answer's form.

static const shape_field function_fields[] = {
    {"name", &shape_name, true, "The function's name."},
    {"description", &shape_any_string, false, "What it does, for the model."},
    {"parameters", &shape_any_object, false, "JSON Schema of its arguments."},
    {"strict", &shape_any_boolean, false, "Calls must be valid by the schema."},
    {0},
};
static const shape function = {.types = SHAPE_OBJECT, .fields = function_fields};
static const shape_field tool_fields[] = {
    {"function", &function, true, "The function."},
    {0},
};
static const shape_variant tool_variants[] = {{"function", tool_fields, NULL}, {0}};
static const shape tool = {.name = "ChatTool", .types = SHAPE_OBJECT, .variants = tool_variants};
static const shape tools = {.types = SHAPE_ARRAY, .items = &tool};
static const shape tool_choice = {.types = SHAPE_STRING | SHAPE_OBJECT};
static const shape_field schema_fields[] = {
    {"name", &shape_any_string, false, "A name for the schema."},
    {"schema", &shape_any_object, false, "JSON Schema of the answer."},
    {"strict", &shape_any_boolean, false, "The answer must be valid by the schema."},
    {0},
};
static const shape json_schema = {.types = SHAPE_OBJECT, .fields = schema_fields};
static const shape_field json_schema_fields[] = {
    {"json_schema", &json_schema, true, "The schema."},
    {0},
};
static const shape_variant format_variants[] = {
    {"text", NULL, NULL}, {"json_object", NULL, NULL}, {"json_schema", json_schema_fields, NULL}, {0}};
static const shape response_format = {
    .name = "ChatResponseFormat", .types = SHAPE_OBJECT, .variants = format_variants};
static const shape_field stream_fields[] = {
    {"include_usage", &shape_any_boolean, false, "The last chunk tells the usage."},
    {0},
};
static const shape stream_options = {.types = SHAPE_OBJECT, .fields = stream_fields};

#define COMMON_FIELDS                                                                                        \
  {"model", &shape_name, true, "Any name; the answer repeats it."},                                          \
      {"stream", &shape_any_boolean, false, "Answer as server-sent events."},                                \
      {"stream_options", &stream_options, false, "What a stream tells beside the text."},                    \
      {"temperature", &temperature, false, "Randomness; 0 takes the likeliest token. Default 1."},           \
      {"top_p", &unit_number, false, "Sample from the likeliest tokens that together have this mass."},      \
      {"top_k", &count, false, "Sample from this many of the likeliest tokens; 0: all."},                    \
      {"min_p", &unit_number, false, "Drop tokens less likely than this share of the likeliest one."},       \
      {"seed", &seed, false, "The same seed gives the same answer."},                                        \
      {"stop", &stop, false, "Texts at which the answer ends."},                                             \
      {"n", &one, false, "One choice an answer."}, {"frequency_penalty", &zero, false, "Only 0."},           \
      {"presence_penalty", &zero, false, "Only 0."},                                                         \
      {"user", &shape_any_string, false, "An opaque name for who asks."}, {                                  \
    "logit_bias", &shape_any_object, false, "Must be empty."                                                 \
  }

static const shape_field chat_fields[] = {
    {"messages", &messages, true, "The conversation."},
    {"max_completion_tokens", &positive, false, "The longest answer, in tokens. Default: what fits."},
    {"max_tokens", &positive, false, "The same."},
    {"logprobs", &shape_any_boolean, false, "Tell the log probability of every token."},
    {"top_logprobs", &top_logprobs, false, "And of so many of the likeliest ones at its place."},
    {"tools", &tools, false, "Functions that the model may call."},
    {"tool_choice", &tool_choice, false, "none, auto, required, or one function."},
    {"parallel_tool_calls", &shape_any_boolean, false, "More than one call an answer."},
    {"response_format", &response_format, false, "The answer's form: it is held to it."},
    {"reasoning_effort", &shape_any_string, false,
     "How much the model should think, where its template knows that: it thinks, unless this is none."},
    {"chat_template_kwargs", &shape_any_object, false,
     "Variables for the model's chat template, such as enable_thinking."},
    COMMON_FIELDS,
    {0},
};
const shape openai_chat_shape = {.name = "ChatRequest", .types = SHAPE_OBJECT, .fields = chat_fields};

static const shape raw_prompt = {.types = SHAPE_STRING | SHAPE_ARRAY, .min_len = 1};
static const shape few_logprobs = {.types = SHAPE_INT, .bounded = true, .min = 0, .max = 5};
static const shape_field completion_fields[] = {
    {"prompt", &raw_prompt, true,
     "A text, or its tokens; the model goes on with it. Control tokens may be spelled."},
    {"max_tokens", &positive, false, "The longest answer, in tokens. Default 16."},
    {"logprobs", &few_logprobs, false,
     "Tell log probabilities of every token and of so many of the likeliest."},
    {"best_of", &one, false, "Only 1."},
    {"echo", &shape_any_boolean, false, "Only false."},
    {"suffix", &shape_any_string, false, "Must be absent."},
    COMMON_FIELDS,
    {0},
};
const shape openai_completion_shape = {
    .name = "CompletionRequest", .types = SHAPE_OBJECT, .fields = completion_fields};

static const shape embedding_input = {.types = SHAPE_STRING | SHAPE_ARRAY};
static const shape_field embedding_fields[] = {
    {"model", &shape_name, true, "Any name."},
    {"input", &embedding_input, true, "What to embed."},
    {0},
};
const shape openai_embedding_shape = {
    .name = "EmbeddingRequest", .types = SHAPE_OBJECT, .fields = embedding_fields};

static const shape_field tokenize_fields[] = {
    {"content", &shape_any_string, false, "The text."},
    {"prompt", &shape_any_string, false, "The same."},
    {"messages", &any_list, false, "Instead: a conversation, as the model's template writes it."},
    {"add_special", &shape_any_boolean, false,
     "Begin with the model's BOS token, where it has one. Default false."},
    {"parse_special", &shape_any_boolean, false,
     "Text that spells a control token is that token. Default false."},
    {0},
};
const shape openai_tokenize_shape = {
    .name = "TokenizeRequest", .types = SHAPE_OBJECT, .fields = tokenize_fields};

static const shape token = {.types = SHAPE_INT, .bounded = true, .min = 0, .max = INT32_MAX};
static const shape token_list = {.types = SHAPE_ARRAY, .items = &token};
static const shape_field detokenize_fields[] = {
    {"tokens", &token_list, true, "Token ids."},
    {0},
};
const shape openai_detokenize_shape = {
    .name = "DetokenizeRequest", .types = SHAPE_OBJECT, .fields = detokenize_fields};
