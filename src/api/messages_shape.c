// The body of /v1/messages: every field of the API, as far as this server acts on it, or why it refuses it.
#include "api/messages_shapes.h"

#include <math.h>

static const char *const roles[] = {"user", "assistant", "system", NULL};
static const shape role = {.types = SHAPE_STRING, .values = roles};
static const shape_field message_fields[] = {
    {"role", &role, true, "Who speaks. A system message stays at its place."},
    {"content", &shape_content, true, "A string or an array of blocks."},
    {0},
};
static const shape message = {.name = "InputMessage", .types = SHAPE_OBJECT, .fields = message_fields};
static const shape messages = {
    .types = SHAPE_ARRAY, .items = &message, .min_len = 1, .too_short = "at least one message is required"};

static const shape count = {.types = SHAPE_INT, .bounded = true, .min = 0, .max = INFINITY};
static const shape positive = {.types = SHAPE_INT, .bounded = true, .min = 1, .max = INFINITY};
static const shape unit_number = {.types = SHAPE_NUMBER, .bounded = true, .min = 0, .max = 1};
static const shape stop_sequences = {.types = SHAPE_ARRAY, .items = &shape_any_string, .max_len = 100};
static const shape_field metadata_fields[] = {
    {"user_id", &shape_any_string, false, "An opaque name for who asks."},
    {0},
};
static const shape metadata = {.types = SHAPE_OBJECT, .fields = metadata_fields};

// Thinking.

static const shape budget = {.types = SHAPE_INT, .bounded = true, .min = 1024, .max = INFINITY};
static const char *const displays[] = {"summarized", "omitted", "updates", NULL};
static const shape display = {.types = SHAPE_STRING, .values = displays};
#define DISPLAY                                                                                              \
  { "display", &display, false, "How thinking is shown." }
static const shape_field enabled_fields[] = {
    {"budget_tokens", &budget, true, "Tokens that the model may think; less than max_tokens."},
    DISPLAY,
    {0},
};
static const shape_field adaptive_fields[] = {DISPLAY, {0}};
static const shape_variant thinking_variants[] = {
    {"enabled", enabled_fields, NULL},
    {"adaptive", adaptive_fields, NULL},
    {"between_tools", NULL, NULL},
    {"disabled", NULL, NULL},
    {0},
};
static const shape thinking = {
    .name = "ThinkingConfig", .types = SHAPE_OBJECT, .variants = thinking_variants};

// The answer's form.

static const char *const efforts[] = {"low", "medium", "high", "xhigh", "max", NULL};
static const shape effort = {.types = SHAPE_STRING, .values = efforts};
static const shape_field json_schema_fields[] = {
    {"schema", &shape_any_object, true, "JSON Schema of the answer."},
    {0},
};
static const shape_variant format_variants[] = {{"json_schema", json_schema_fields, NULL}, {0}};
static const shape format = {.name = "OutputFormat", .types = SHAPE_OBJECT, .variants = format_variants};
static const shape_field output_config_fields[] = {
    {"effort", &effort, false, "How much the model should think, where its template knows that."},
    {"format", &format, false, "The answer's form: it is held to it."},
    {"task_budget", &shape_any_object, false, "Not used."},
    {0},
};
static const shape output_config = {
    .name = "OutputConfig", .types = SHAPE_OBJECT, .fields = output_config_fields};

// Edits of the context.

static const shape_field value_fields[] = {
    {"value", &count, true, "The number."},
    {0},
};
static const shape_variant trigger_variants[] = {
    {"input_tokens", value_fields, NULL},
    {"tool_uses", value_fields, NULL},
    {0},
};
static const shape trigger = {.name = "ContextTrigger", .types = SHAPE_OBJECT, .variants = trigger_variants};
static const shape_variant uses_variants[] = {{"tool_uses", value_fields, NULL}, {0}};
static const shape uses = {.types = SHAPE_OBJECT, .variants = uses_variants};
static const shape_variant tokens_variants[] = {{"input_tokens", value_fields, NULL}, {0}};
static const shape tokens = {.types = SHAPE_OBJECT, .variants = tokens_variants};
static const shape names = {.types = SHAPE_ARRAY, .items = &shape_any_string};
static const shape inputs = {.types = SHAPE_BOOL | SHAPE_ARRAY, .items = &shape_any_string};
static const shape_field clear_uses_fields[] = {
    {"trigger", &trigger, false, "When results of tools are left out. Default: over 100000 input tokens."},
    {"keep", &uses, false, "How many of the latest stay. Default: 3."},
    {"clear_at_least", &tokens, false, "Nothing is left out when it would save less."},
    {"exclude_tools", &names, false, "Results of these tools stay."},
    {"clear_tool_inputs", &inputs, false, "Leave out the calls' arguments too."},
    {0},
};
static const shape keep_thinking = {.types = SHAPE_STRING | SHAPE_OBJECT};
static const shape_field clear_thinking_fields[] = {
    {"keep", &keep_thinking, false,
     "Earlier turns' thoughts: \"all\" shows them where the template can; else they are left out."},
    {0},
};
static const shape_variant edit_variants[] = {
    {"clear_tool_uses_20250919", clear_uses_fields, NULL},
    {"clear_thinking_20251015", clear_thinking_fields, NULL},
    {0},
};
static const shape edit = {.name = "ContextEdit", .types = SHAPE_OBJECT, .variants = edit_variants};
static const shape edits = {.types = SHAPE_ARRAY, .items = &edit};
static const shape_field context_management_fields[] = {
    {"edits", &edits, false, "What to leave out of a long prompt."},
    {0},
};
static const shape context_management = {
    .name = "ContextManagement", .types = SHAPE_OBJECT, .fields = context_management_fields};

// What takes a service behind the API.

static const char *const tiers[] = {"auto", "standard_only", NULL};
static const shape service_tier = {.types = SHAPE_STRING, .values = tiers};
static const char *const speeds[] = {"standard", "fast", NULL};
static const shape speed = {.types = SHAPE_STRING, .values = speeds};
static const shape mcp_servers = {.types = SHAPE_ARRAY};
static const shape container = {.types = SHAPE_STRING | SHAPE_OBJECT};

#define COMMON_FIELDS                                                                                        \
  {"messages", &messages, true, "The conversation."},                                                        \
      {"system", &shape_string_or_text_blocks, false, "The system prompt."},                                 \
      {"tools", &shape_tools, false, "Tools that the model may call."},                                      \
      {"tool_choice", &shape_tool_choice, false, "Whether and which tools are called."},                     \
      {"stream", &shape_any_boolean, false, "Answer as server-sent events."},                                \
      {"temperature", &unit_number, false, "Randomness; 0 takes the likeliest token. Default 1."},           \
      {"top_p", &unit_number, false, "Sample from the likeliest tokens that together have this mass."},      \
      {"top_k", &count, false, "Sample from this many of the likeliest tokens; 0: all."},                    \
      {"stop_sequences", &stop_sequences, false, "Texts at which the answer ends."},                         \
      {"thinking", &thinking, false, "Whether the model thinks first, where its template knows that."},      \
      {"output_config", &output_config, false, "Effort and form of the answer."},                            \
      {"context_management", &context_management, false, "What is left out of a long prompt."},              \
      {"cache_control", &shape_cache_control, false, "The whole prompt is counted as cached."},              \
      {"metadata", &metadata, false, "About the request."},                                                  \
      {"service_tier", &service_tier, false, "There is one tier, standard."},                                \
      {"speed", &speed, false, "There is one speed."},                                                       \
      {"mcp_servers", &mcp_servers, false, "Must be empty: this server connects to none."},                  \
      {"container", &container, false, "Must be absent: this server has none."},                             \
      {"compaction", &shape_any_object, false,                                                               \
       "Must be absent: clients summarize with a request of theirs."},                                       \
  {                                                                                                          \
    0                                                                                                        \
  }

static const shape_field create_fields[] = {
    {"model", &shape_name, true, "Any name; the answer repeats it."},
    {"max_tokens", &positive, true, "The longest answer, in tokens."},
    COMMON_FIELDS,
};
static const shape_field count_fields[] = {
    {"model", &shape_name, true, "Any name."},
    {"max_tokens", &positive, false, "Not used for counting."},
    COMMON_FIELDS,
};

const shape messages_create_shape = {
    .name = "MessageRequest", .types = SHAPE_OBJECT, .fields = create_fields};
const shape messages_count_shape = {
    .name = "CountTokensRequest", .types = SHAPE_OBJECT, .fields = count_fields};
