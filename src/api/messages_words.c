#include "api/messages_words.h"

#include "dialect/dialect.h"

#define CLEARED "[result left out to save context]"
#define NO_OUTPUT "(no output)"
#define NO_MESSAGE "the tool failed without a message"

bool words_is_type(const pn_json *block, const char *type) {
  return pn_str_is(pn_json_str(pn_json_get(block, "type")), type);
}

static void begin_part(pn_buf *text) {
  if (text->n) pn_buf_char(text, '\n');
}

void words_add_part(pn_buf *text, pn_str part) {
  if (part.n == 0) return;
  begin_part(text);
  pn_buf_str(text, part);
}

static void write_content(const tool_list *tools, pn_buf *text, const pn_json *content) {
  words_add_part(text, pn_json_str(content));
  if (pn_json_is(content, PN_JSON_ARRAY))
    for (size_t i = 0; i < pn_json_len(content); i++) words_write_block(tools, text, pn_json_at(content, i));
}

// --- what the model can't read -----------------------------------------------------------------------------

// What a source says of what it holds: its media type or where it is; empty when that would be long.
static pn_str detail_of(const pn_json *source) {
  static const char *const members[] = {"media_type", "url", "file_id"};
  pn_str detail = {0};
  for (size_t i = 0; i < sizeof members / sizeof *members && !detail.n; i++)
    detail = pn_json_str(pn_json_get(source, members[i]));
  if (pn_str_starts(detail, PN_STR("data:"))) {
    size_t end = pn_str_find(detail, PN_STR(";"), 0);
    detail = (pn_str){detail.p + 5, end == SIZE_MAX ? 0 : end - 5};
  }
  return detail.n <= 200 ? detail : (pn_str){0};
}

// [WHAT "TITLE" (DETAIL) that this model can't VERB]
static void write_unread(pn_buf *text, const char *what, pn_str title, pn_str detail, const char *verb) {
  begin_part(text);
  pn_buf_printf(text, "[%s", what);
  if (title.n) {
    pn_buf_z(text, " \"");
    pn_buf_str(text, title);
    pn_buf_char(text, '"');
  }
  if (detail.n) {
    pn_buf_z(text, " (");
    pn_buf_str(text, detail);
    pn_buf_char(text, ')');
  }
  pn_buf_printf(text, " that this model can't %s]", verb);
}

static void write_unread_document(pn_buf *text, const pn_json *block, const pn_json *source) {
  pn_str detail = detail_of(source);
  bool pdf = pn_str_is(detail, "application/pdf");
  write_unread(text, pdf ? "a PDF document" : "a document", pn_json_str(pn_json_get(block, "title")),
               pdf ? (pn_str){0} : detail, "read");
  words_add_part(text, pn_json_str(pn_json_get(block, "context")));
}

// --- blocks ------------------------------------------------------------------------------------------------

static void write_document(const tool_list *tools, pn_buf *text, const pn_json *block) {
  const pn_json *source = pn_json_get(block, "source");
  if (!words_is_type(source, "text") && !words_is_type(source, "content")) {
    write_unread_document(text, block, source);
    return;
  }
  words_add_part(text, pn_json_str(pn_json_get(block, "title")));
  words_add_part(text, pn_json_str(pn_json_get(block, "context")));
  words_add_part(text, pn_json_str(pn_json_get(source, "data")));
  write_content(tools, text, pn_json_get(source, "content"));
}

// A tool that was not shown so far: here the model learns of it. Of those that it can't be shown, only the
// name.
static void write_reference(const tool_list *tools, pn_buf *text, pn_str name) {
  const pn_json *tool = tools_find(tools, name);
  begin_part(text);
  if (tool) {
    pn_dialect_write_tool(text, tool);
  } else {
    pn_buf_z(text, "The tool ");
    pn_buf_str(text, name);
  }
}

void words_write_block(const tool_list *tools, pn_buf *text, const pn_json *block) {
  if (words_is_type(block, "text")) {
    words_add_part(text, pn_json_str(pn_json_get(block, "text")));
  } else if (words_is_type(block, "image")) {
    write_unread(text, "an image", (pn_str){0}, detail_of(pn_json_get(block, "source")), "see");
  } else if (words_is_type(block, "document")) {
    write_document(tools, text, block);
  } else if (words_is_type(block, "search_result")) {
    words_add_part(text, pn_json_str(pn_json_get(block, "title")));
    words_add_part(text, pn_json_str(pn_json_get(block, "source")));
    write_content(tools, text, pn_json_get(block, "content"));
  } else if (words_is_type(block, "tool_reference")) {
    write_reference(tools, text, pn_json_str(pn_json_get(block, "tool_name")));
  } else if (words_is_type(block, "compaction")) {
    const pn_json *changes = pn_json_get(block, "tool_changes");
    words_add_part(text, pn_json_str(pn_json_get(block, "content")));
    for (size_t i = 0; i < pn_json_len(changes); i++)
      words_write_tool_change(tools, text, pn_json_at(changes, i));
  }
}

static bool is_blank(pn_str s) {
  for (size_t i = 0; i < s.n; i++)
    if (s.p[i] != ' ' && (s.p[i] < '\t' || s.p[i] > '\r')) return false;
  return true;
}

// Nothing is said to be nothing: small models take an empty result for one that is still to come, and some
// templates drop the turn.
void words_write_result(const tool_list *tools, pn_buf *text, const pn_json *block, bool left_out) {
  bool is_error = pn_json_true(pn_json_get(block, "is_error"));
  pn_buf said = {0};
  if (left_out)
    pn_buf_z(&said, CLEARED);
  else
    write_content(tools, &said, pn_json_get(block, "content"));
  if (is_blank(pn_buf_view(&said))) {
    pn_buf_clear(&said);
    pn_buf_z(&said, is_error ? NO_MESSAGE : NO_OUTPUT);
  }
  if (is_error && !pn_str_starts(pn_buf_view(&said), PN_STR("Error:"))) pn_buf_z(text, "Error: ");
  pn_buf_str(text, pn_buf_view(&said));
  text->oom |= said.oom;
  pn_buf_fini(&said);
}

void words_write_tool_change(const tool_list *tools, pn_buf *text, const pn_json *block) {
  const pn_json *change = pn_json_get(block, "tool"), *definition = pn_json_get(change, "definition");
  pn_str name = pn_json_str(pn_json_get(change, "name"));
  if (words_is_type(block, "tool_removal")) {
    if (!tools_find(tools, name)) return;
    words_add_part(text, PN_STR("This tool can't be used any more: "));
    pn_buf_str(text, name);
    return;
  }
  pn_json *defined = definition ? tool_function(definition) : NULL;
  const pn_json *tool = definition ? defined : tools_find(tools, name);
  if (tool) {
    words_add_part(text, PN_STR("This tool can be used from here on:\n"));
    pn_dialect_write_tool(text, tool);
  }
  pn_json_free(defined);
}
