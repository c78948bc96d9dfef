// The tools of a request: the client's own, those that the API defines and the client runs, and those that
// the API's servers would run.
#include "api/messages_shapes.h"

static const char *const object_type[] = {"object", NULL};
static const shape object_string = {.types = SHAPE_STRING, .values = object_type};
static const shape_field input_schema_fields[] = {
    {"type", &object_string, true, "Arguments are an object."},
    {"properties", &shape_any_object, false, "The arguments by name."},
    {0},
};
static const shape input_schema = {.types = SHAPE_OBJECT, .fields = input_schema_fields};

#define TOOL_FIELDS                                                                                          \
  {"defer_loading", &shape_any_boolean, false,                                                               \
   "Not shown to the model until a tool_reference or tool_addition names it."},                              \
      {"strict", &shape_any_boolean, false, "Calls must be valid by the schema."}, {                         \
    "cache_control", &shape_cache_control, false, "The prompt up to here is counted as cached."              \
  }

static const shape_field custom_fields[] = {
    {"name", &shape_name, true, "The tool's name: letters, digits, _ and -, at most 128."},
    {"description", &shape_any_string, false, "What it does, for the model."},
    {"input_schema", &input_schema, true, "JSON Schema of its arguments."},
    TOOL_FIELDS,
    {0},
};
static const shape_field known_fields[] = {
    {"name", &shape_name, true, "The tool's name, as the API defines it for this type."},
    TOOL_FIELDS,
    {0},
};

static const char no_screen[] = "this model reads text only; tools that show it a screen are not supported";
static const char no_mcp[] = "this server connects to no MCP servers; give the tools themselves";

// A server's own tools are accepted, for clients that offer them to every model, and not shown to the model.
static const shape_variant tool_variants[] = {
    {"custom", custom_fields, NULL},
    {"bash_20241022", known_fields, NULL},
    {"bash_20250124", known_fields, NULL},
    {"text_editor_20241022", known_fields, NULL},
    {"text_editor_20250124", known_fields, NULL},
    {"text_editor_20250429", known_fields, NULL},
    {"text_editor_20250728", known_fields, NULL},
    {"memory_20250818", known_fields, NULL},
    {"web_search_20250305", known_fields, NULL},
    {"web_search_20260209", known_fields, NULL},
    {"web_search_20260318", known_fields, NULL},
    {"web_fetch_20250910", known_fields, NULL},
    {"web_fetch_20260209", known_fields, NULL},
    {"web_fetch_20260309", known_fields, NULL},
    {"web_fetch_20260318", known_fields, NULL},
    {"code_execution_20250522", known_fields, NULL},
    {"code_execution_20250825", known_fields, NULL},
    {"code_execution_20260120", known_fields, NULL},
    {"code_execution_20260521", known_fields, NULL},
    {"tool_search_tool_regex", known_fields, NULL},
    {"tool_search_tool_regex_20251119", known_fields, NULL},
    {"tool_search_tool_bm25", known_fields, NULL},
    {"tool_search_tool_bm25_20251119", known_fields, NULL},
    {"advisor_20260301", known_fields, NULL},
    {"computer_20241022", NULL, no_screen},
    {"computer_20250124", NULL, no_screen},
    {"computer_20251124", NULL, no_screen},
    {"computer_toolset_20260801", NULL, no_screen},
    {"browser_toolset_20260801", NULL, no_screen},
    {"mcp_toolset", NULL, no_mcp},
    {0},
};
const shape shape_tool = {
    .name = "Tool", .types = SHAPE_OBJECT, .variants = tool_variants, .untyped = "custom"};
const shape shape_tools = {.types = SHAPE_ARRAY, .items = &shape_tool};

static const shape_field choice_fields[] = {
    {"disable_parallel_tool_use", &shape_any_boolean, false, "At most one call an answer."},
    {0},
};
static const shape_field choice_tool_fields[] = {
    {"name", &shape_name, true, "The tool to use."},
    {"disable_parallel_tool_use", &shape_any_boolean, false, "At most one call an answer."},
    {0},
};
static const shape_variant choice_variants[] = {
    {"auto", choice_fields, NULL},
    {"any", choice_fields, NULL},
    {"tool", choice_tool_fields, NULL},
    {"none", choice_fields, NULL},
    {0},
};
const shape shape_tool_choice = {.name = "ToolChoice", .types = SHAPE_OBJECT, .variants = choice_variants};
