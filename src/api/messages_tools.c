#include "api/messages_tools.h"

#include "api/shape.h"

#include <string.h>

// Tools that the API defines by their type and clients run. The newest of a kind serves all its dates.
static const struct {
  const char *type, *description, *parameters;
} known[] = {
    {"bash_", "Run a command in a shell that stays open between calls.",
     "{\"type\":\"object\",\"properties\":{\"command\":{\"type\":\"string\",\"description\":\"The command to "
     "run\"},"
     "\"restart\":{\"type\":\"boolean\",\"description\":\"Start the shell anew instead\"}}}"},
    {"text_editor_", "View and edit text files.",
     "{\"type\":\"object\",\"properties\":{\"command\":{\"type\":\"string\",\"enum\":[\"view\",\"create\","
     "\"str_replace\",\"insert\"]},\"path\":{\"type\":\"string\",\"description\":\"File or folder\"},"
     "\"view_range\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"description\":\"First and last "
     "line to "
     "view\"},\"file_text\":{\"type\":\"string\",\"description\":\"Text of a file to create\"},"
     "\"old_str\":{\"type\":\"string\",\"description\":\"Text to replace, which must be there once\"},"
     "\"new_str\":{\"type\":\"string\",\"description\":\"What replaces it\"},"
     "\"insert_line\":{\"type\":\"integer\",\"description\":\"Line to insert behind\"},"
     "\"insert_text\":{\"type\":\"string\",\"description\":\"Text to insert\"}},"
     "\"required\":[\"command\",\"path\"]}"},
    {"memory_", "Keep notes in files under /memories, which last from one conversation to the next.",
     "{\"type\":\"object\",\"properties\":{\"command\":{\"type\":\"string\",\"enum\":[\"view\",\"create\","
     "\"str_replace\",\"insert\",\"delete\",\"rename\"]},\"path\":{\"type\":\"string\"},"
     "\"view_range\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},\"file_text\":{\"type\":"
     "\"string\"},"
     "\"old_str\":{\"type\":\"string\"},\"new_str\":{\"type\":\"string\"},\"insert_line\":{\"type\":"
     "\"integer\"},"
     "\"insert_text\":{\"type\":\"string\"},\"old_path\":{\"type\":\"string\"},\"new_path\":{\"type\":"
     "\"string\"}},"
     "\"required\":[\"command\"]}"},
};

static bool is_custom(const pn_json *tool) {
  pn_str type = pn_json_str(pn_json_get(tool, "type"));
  return type.n == 0 || pn_str_is(type, "custom");
}

static bool is_search(const pn_json *tool) {
  return pn_str_starts(pn_json_str(pn_json_get(tool, "type")), PN_STR("tool_search_tool_"));
}

static pn_json *make_function(pn_str name, pn_str description, pn_json *parameters) {
  pn_json *tool = pn_json_new_object(), *function = pn_json_new_object();
  bool ok = pn_json_set(function, "name", pn_json_new_str(name));
  if (description.n) ok = pn_json_set(function, "description", pn_json_new_str(description)) && ok;
  ok = pn_json_set(function, "parameters", parameters) && ok;
  ok = pn_json_set(tool, "type", pn_json_new_str(PN_STR("function"))) && ok;
  ok = pn_json_set(tool, "function", function) && ok;
  if (ok) return tool;
  pn_json_free(tool);
  return NULL;
}

pn_json *tool_function(const pn_json *definition) {
  pn_str name = pn_json_str(pn_json_get(definition, "name"));
  if (is_custom(definition))
    return make_function(name, pn_json_str(pn_json_get(definition, "description")),
                         pn_json_share(pn_json_get(definition, "input_schema")));
  pn_str type = pn_json_str(pn_json_get(definition, "type"));
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (pn_str_starts(type, pn_str_of(known[i].type)))
      return make_function(name, pn_str_of(known[i].description),
                           pn_json_parse(pn_str_of(known[i].parameters), NULL));
  return NULL;
}

static bool is_name(pn_str s) {
  if (s.n < 1 || s.n > 128) return false;
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
      return false;
  }
  return true;
}

// Names are looked up in an object of all tools, whose keys are the names.
static bool check_name(const pn_json *seen, size_t i, pn_str name, pn_error *e) {
  if (!is_name(name))
    return pn_fail(e, PN_ERR_USAGE, "tools.%zu.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
                   i);
  return !pn_json_get(seen, name.p) || pn_fail(e, PN_ERR_USAGE, "tools: Tool names must be unique.");
}

bool tools_read(const pn_json *tools, tool_list *out, pn_error *e) {
  size_t n = pn_json_len(tools);
  bool ok = true, search = false;
  if (n == 0) return true;
  pn_json *seen = pn_json_new_object();
  out->shown = pn_json_new_array();
  out->later = pn_json_new_object();
  // Who has the server search for tools can't be served so: then the model sees them all.
  for (size_t i = 0; i < n; i++) search |= is_search(pn_json_at(tools, i));
  for (size_t i = 0; ok && i < n; i++) {
    const pn_json *tool = pn_json_at(tools, i), *name = pn_json_get(tool, "name");
    ok = check_name(seen, i, pn_json_str(name), e);
    if (!ok) break;
    bool later = pn_json_true(pn_json_get(tool, "defer_loading")) && !search;
    pn_json *function = tool_function(tool);
    ok = pn_json_set(seen, pn_json_cstr(name), pn_json_new_bool(true));
    if (ok && function)
      ok = later ? pn_json_set(out->later, pn_json_cstr(name), function) : pn_json_push(out->shown, function);
    if (!ok) pn_fail(e, PN_ERR_NOMEM, "out of memory for the tools");
  }
  pn_json_free(seen);
  return ok;
}

void tool_list_fini(tool_list *t) {
  pn_json_free(t->shown);
  pn_json_free(t->later);
  *t = (tool_list){0};
}

const pn_json *tools_find(const tool_list *t, pn_str name) {
  for (size_t i = 0; i < pn_json_len(t->shown); i++) {
    const pn_json *tool = pn_json_at(t->shown, i);
    if (pn_str_eq(pn_json_str(pn_json_get(pn_json_get(tool, "function"), "name")), name)) return tool;
  }
  for (const pn_json_member *it = pn_json_first(t->later); it; it = pn_json_next(t->later, it))
    if (pn_str_eq(pn_json_key(it), name)) return pn_json_value(it);
  return NULL;
}
