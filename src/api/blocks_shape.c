// The blocks of messages: which there are, what they hold, and which a model that reads text refuses.
#include "api/messages_shapes.h"

static const char text_only[] = "this model reads text only; images are not supported";
static const char text_documents_only[] =
    "this model reads text only; PDF, file and URL documents are not supported, text documents are";

const shape shape_any_string = {.types = SHAPE_STRING};
const shape shape_any_boolean = {.types = SHAPE_BOOL};
const shape shape_any_object = {.types = SHAPE_OBJECT};
const shape shape_name = {.types = SHAPE_STRING, .min_len = 1};
static const shape text_string = {
    .types = SHAPE_STRING, .min_len = 1, .too_short = "text content blocks must be non-empty"};
static const shape any_list = {.types = SHAPE_ARRAY};

static const char *const ttls[] = {"5m", "1h", NULL};
static const shape ttl = {.types = SHAPE_STRING, .values = ttls};
static const shape_field ephemeral_fields[] = {
    {"ttl", &ttl, false, "How long the prefix is wanted. The cache keeps it as long as there is room."},
    {0},
};
static const shape_variant cache_control_variants[] = {{"ephemeral", ephemeral_fields, NULL}, {0}};
const shape shape_cache_control = {
    .name = "CacheControl", .types = SHAPE_OBJECT, .variants = cache_control_variants};
#define CACHE_CONTROL                                                                                        \
  { "cache_control", &shape_cache_control, false, "The prompt up to here is counted as cached." }

// Blocks that hold text, at the bottom: system prompts, parts of documents and search results.

static const shape_field text_fields[] = {
    {"text", &text_string, true, "The text."},
    {"citations", &any_list, false, "Of an earlier answer; not shown to the model."},
    CACHE_CONTROL,
    {0},
};
static const shape_variant text_variants[] = {
    {"text", text_fields, NULL},
    {0},
};
static const shape text_block = {.name = "TextBlock", .types = SHAPE_OBJECT, .variants = text_variants};
static const shape text_blocks = {.types = SHAPE_ARRAY, .items = &text_block};

static const shape_field change_by_name_fields[] = {
    {"name", &shape_name, true, "The name of a tool of the request, or of one that was defined before."},
    {0},
};
static const shape_field change_by_value_fields[] = {
    {"definition", &shape_tool, true, "The tool, as in `tools`."},
    {0},
};
static const shape_variant addition_variants[] = {
    {"tool_reference", change_by_name_fields, NULL},
    {"tool_definition", change_by_value_fields, NULL},
    {"mcp_tool_reference", NULL, NULL},
    {"mcp_toolset_reference", NULL, NULL},
    {0},
};
static const shape addition = {.name = "AddedTool", .types = SHAPE_OBJECT, .variants = addition_variants};
static const shape_variant removal_variants[] = {
    {"tool_reference", change_by_name_fields, NULL},
    {"mcp_tool_reference", NULL, NULL},
    {"mcp_toolset_reference", NULL, NULL},
    {0},
};
static const shape removal = {.name = "RemovedTool", .types = SHAPE_OBJECT, .variants = removal_variants};
static const shape_field addition_fields[] = {
    {"tool", &addition, true, "A tool that can be used from here on."},
    CACHE_CONTROL,
    {0},
};
static const shape_field removal_fields[] = {
    {"tool", &removal, true, "A tool that can't be used any more."},
    CACHE_CONTROL,
    {0},
};
static const shape_variant change_variants[] = {
    {"tool_addition", addition_fields, NULL},
    {"tool_removal", removal_fields, NULL},
    {0},
};
static const shape change = {.name = "ToolChange", .types = SHAPE_OBJECT, .variants = change_variants};
static const shape changes = {.types = SHAPE_ARRAY, .items = &change};
static const shape_variant system_variants[] = {
    {"text", text_fields, NULL},
    {0},
};
static const shape system_block = {.name = "SystemBlock", .types = SHAPE_OBJECT, .variants = system_variants};
const shape shape_string_or_text_blocks = {.types = SHAPE_STRING | SHAPE_ARRAY, .items = &system_block};

static const shape_field plain_source_fields[] = {
    {"data", &shape_any_string, true, "The document's text."},
    {"media_type", &shape_any_string, false, "text/plain."},
    {0},
};
static const shape_variant document_part_variants[] = {
    {"text", text_fields, NULL},
    {"image", NULL, text_only},
    {0},
};
static const shape document_part = {
    .name = "DocumentPart", .types = SHAPE_OBJECT, .variants = document_part_variants};
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
static const shape document_source = {
    .name = "DocumentSource", .types = SHAPE_OBJECT, .variants = source_variants};
static const shape_field citations_fields[] = {
    {"enabled", &shape_any_boolean, false, "Answers may cite; those of local models don't."},
    {0},
};
static const shape citations = {.types = SHAPE_OBJECT, .fields = citations_fields};
#define DOCUMENT_FIELDS                                                                                      \
  {"title", &shape_any_string, false, "Written before the text."},                                           \
      {"context", &shape_any_string, false, "Written before the text."},                                     \
      {"citations", &citations, false, "Whether answers may cite the document."}, CACHE_CONTROL, {           \
    0                                                                                                        \
  }
static const shape_field document_fields[] = {
    {"source", &document_source, true, "Where the document's text is."},
    DOCUMENT_FIELDS,
};
static const shape_field search_result_fields[] = {
    {"source", &shape_any_string, true, "Where the result comes from."},
    {"title", &shape_any_string, true, "The result's title."},
    {"content", &text_blocks, true, "The result's text."},
    {"citations", &citations, false, "Whether answers may cite the result."},
    CACHE_CONTROL,
    {0},
};

// Blocks inside a tool's result.

static const shape_field tool_reference_fields[] = {
    {"tool_name", &shape_name, true, "The name of a tool of the request: its definition is shown here."},
    CACHE_CONTROL,
    {0},
};
// What a tool gave back can't be taken back by the client: what the model can't read, a text stands for.
static const shape_field unread_image_fields[] = {
    {"source", &shape_any_object, true,
     "The image. The model reads a text instead, which says that there is one."},
    CACHE_CONTROL,
    {0},
};
static const shape_variant result_part_variants[] = {
    {"text", text_fields, NULL},
    {"image", unread_image_fields, NULL},
    {0},
};
static const shape result_part = {
    .name = "ToolResultDocumentPart", .types = SHAPE_OBJECT, .variants = result_part_variants};
static const shape result_parts = {.types = SHAPE_STRING | SHAPE_ARRAY, .items = &result_part};
static const shape_field result_content_source_fields[] = {
    {"content", &result_parts, true, "A string or blocks of text."},
    {0},
};
static const shape_variant result_source_variants[] = {
    {"text", plain_source_fields, NULL},
    {"content", result_content_source_fields, NULL},
    {"base64", NULL, NULL},
    {"url", NULL, NULL},
    {"file", NULL, NULL},
    {0},
};
static const shape result_source = {
    .name = "ToolResultDocumentSource", .types = SHAPE_OBJECT, .variants = result_source_variants};
static const shape_field result_document_fields[] = {
    {"source", &result_source, true,
     "Where the document is. For all but text and content the model reads a text instead, which says that "
     "there is one."},
    DOCUMENT_FIELDS,
};
static const shape_variant result_variants[] = {
    {"text", text_fields, NULL},
    {"image", unread_image_fields, NULL},
    {"document", result_document_fields, NULL},
    {"search_result", search_result_fields, NULL},
    {"tool_reference", tool_reference_fields, NULL},
    {0},
};
static const shape result_block = {
    .name = "ToolResultPart", .types = SHAPE_OBJECT, .variants = result_variants};
static const shape result_content = {.types = SHAPE_STRING | SHAPE_ARRAY, .items = &result_block};

// Blocks of a message.

static const shape_field tool_use_fields[] = {
    {"id", &shape_name, true, "The call's id."},
    {"name", &shape_name, true, "The tool's name."},
    {"input", &shape_any_object, true, "The call's arguments."},
    CACHE_CONTROL,
    {0},
};
static const shape_field tool_result_fields[] = {
    {"tool_use_id", &shape_name, true, "The id of the call that this answers."},
    {"content", &result_content, false, "What the tool gave back."},
    {"is_error", &shape_any_boolean, false, "Whether the tool failed."},
    CACHE_CONTROL,
    {0},
};
static const shape_field thinking_fields[] = {
    {"thinking", &shape_any_string, true,
     "What the model thought; shown to it again where its template does that."},
    {"signature", &shape_any_string, false, "As it came; a thought with another one is not shown."},
    {0},
};
static const shape_field redacted_fields[] = {
    {"data", &shape_any_string, false, "Not shown to the model."},
    {0},
};
static const shape_field compaction_fields[] = {
    {"content", &shape_any_string, false, "The summary of what came before."},
    {"tool_changes", &changes, false, "What came before did to the tools."},
    CACHE_CONTROL,
    {0},
};

// What servers run by themselves: conversations that began elsewhere hold such blocks. They are not shown to
// the model.
#define FOREIGN(type)                                                                                        \
  { type, NULL, NULL }
static const shape_variant block_variants[] = {
    {"text", text_fields, NULL},
    {"image", NULL, text_only},
    {"document", document_fields, NULL},
    {"search_result", search_result_fields, NULL},
    {"tool_use", tool_use_fields, NULL},
    {"tool_result", tool_result_fields, NULL},
    {"thinking", thinking_fields, NULL},
    {"redacted_thinking", redacted_fields, NULL},
    {"tool_addition", addition_fields, NULL},
    {"tool_removal", removal_fields, NULL},
    {"compaction", compaction_fields, NULL},
    FOREIGN("server_tool_use"),
    FOREIGN("web_search_tool_result"),
    FOREIGN("web_fetch_tool_result"),
    FOREIGN("code_execution_tool_result"),
    FOREIGN("bash_code_execution_tool_result"),
    FOREIGN("text_editor_code_execution_tool_result"),
    FOREIGN("tool_search_tool_result"),
    FOREIGN("advisor_tool_result"),
    FOREIGN("mcp_tool_use"),
    FOREIGN("mcp_tool_result"),
    FOREIGN("mcp_tool_listing"),
    FOREIGN("fallback"),
    {"container_upload", NULL, "this server has no containers; send the file's text as a document"},
    {0},
};
static const shape block = {.name = "ContentBlock", .types = SHAPE_OBJECT, .variants = block_variants};
const shape shape_content = {.types = SHAPE_STRING | SHAPE_ARRAY, .items = &block};
