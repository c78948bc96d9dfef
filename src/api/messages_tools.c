#include "api/messages_tools.h"

#include "api/shape.h"
#include "base/utf8.h"

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

static bool is_type(const pn_json *block, const char *type) {
  return pn_str_is(pn_json_str(pn_json_get(block, "type")), type);
}

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

#define NAME_MAX_BYTES 128

static bool is_name(pn_str s) {
  if (s.n < 1 || s.n > NAME_MAX_BYTES) return false;
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-'))
      return false;
  }
  return true;
}

// A member by a name of the client's, which may be none; NULL: it isn't there.
static const pn_json *look_up(const pn_json *object, pn_str name) {
  char key[NAME_MAX_BYTES + 1];
  if (!is_name(name)) return NULL;
  memcpy(key, name.p, name.n);
  key[name.n] = '\0';
  return pn_json_get(object, key);
}

static bool no_memory(pn_error *e) { return pn_fail(e, PN_ERR_NOMEM, "out of memory for the tools"); }

// The tool as a member of `named`.
static pn_json *function_or_null(const pn_json *definition) {
  pn_json *function = tool_function(definition);
  return function ? function : pn_json_new_null();
}

static bool check_name(const tool_list *t, size_t i, pn_str name, pn_error *e) {
  if (!is_name(name))
    return pn_fail(e, PN_ERR_USAGE, "tools.%zu.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
                   i);
  return !look_up(t->named, name) || pn_fail(e, PN_ERR_USAGE, "tools: Tool names must be unique.");
}

bool tools_read(const pn_json *tools, tool_list *out, pn_error *e) {
  size_t n = pn_json_len(tools), n_deferred = 0;
  bool search = false;
  if (n == 0) return true;
  out->named = pn_json_new_object();
  out->shown = pn_json_new_array();
  // Who has the server search for tools can't be served so: then the model sees them all.
  for (size_t i = 0; i < n; i++) search |= is_search(pn_json_at(tools, i));
  for (size_t i = 0; i < n; i++) {
    const pn_json *tool = pn_json_at(tools, i), *name = pn_json_get(tool, "name");
    if (!check_name(out, i, pn_json_str(name), e)) return false;
    bool deferred = pn_json_true(pn_json_get(tool, "defer_loading"));
    pn_json *function = function_or_null(tool);
    bool ok = pn_json_set(out->named, pn_json_cstr(name), function);
    if (ok && pn_json_is(function, PN_JSON_OBJECT) && (!deferred || search))
      ok = pn_json_push(out->shown, pn_json_share(function));
    if (!ok) return no_memory(e);
    n_deferred += deferred;
  }
  out->callable = pn_json_share(out->shown);
  return n_deferred < n ||
         pn_fail(e, PN_ERR_USAGE,
                 "tools: At least one tool must have defer_loading=false. All tools cannot be deferred.");
}

void tool_list_fini(tool_list *t) {
  pn_json_free(t->shown);
  pn_json_free(t->named);
  pn_json_free(t->callable);
  *t = (tool_list){0};
}

const pn_json *tools_find(const tool_list *t, pn_str name) {
  const pn_json *tool = look_up(t->named, name);
  return pn_json_is(tool, PN_JSON_OBJECT) ? tool : NULL;
}

const pn_json *tools_find_callable(const tool_list *t, pn_str name) {
  for (size_t i = 0; i < pn_json_len(t->callable); i++) {
    const pn_json *tool = pn_json_at(t->callable, i);
    if (pn_str_eq(pn_json_str(pn_json_get(pn_json_get(tool, "function"), "name")), name)) return tool;
  }
  return NULL;
}

// --- tools that come and go --------------------------------------------------------------------------------

// A conversation on its way to its end.
typedef struct following {
  tool_list *tools;
  pn_json *loaded; // object by name: the tool while it may be called, else null; NULL: nothing came or went
} following;

static bool set_loaded(following *f, const pn_json *name, const pn_json *tool, pn_error *e) {
  bool ok = true;
  if (!f->loaded) {
    const pn_json *shown = f->tools->shown;
    f->loaded = pn_json_new_object();
    for (size_t i = 0; i < pn_json_len(shown); i++) {
      const pn_json *it = pn_json_at(shown, i), *key = pn_json_get(pn_json_get(it, "function"), "name");
      ok = pn_json_set(f->loaded, pn_json_cstr(key), pn_json_share(it)) && ok;
    }
  }
  ok = pn_json_set(f->loaded, pn_json_cstr(name), tool ? pn_json_share(tool) : pn_json_new_null()) && ok;
  return ok || no_memory(e);
}

static bool load(following *f, const pn_json *name, const shape_path *at, pn_error *e) {
  pn_str text = pn_json_str(name);
  const pn_json *tool = look_up(f->tools->named, text);
  if (tool) return set_loaded(f, name, tool, e);
  if (text.n > NAME_MAX_BYTES) text.n = NAME_MAX_BYTES;
  text.n = pn_utf8_complete(text);
  return shape_fail(at, e, "Tool reference '%.*s' not found in available tools", (int)text.n, text.p);
}

// A tool by its definition. Later references show what was first defined under a name, so that a prompt stays
// the beginning of the next one.
static bool define(following *f, const pn_json *definition, const shape_path *at, pn_error *e) {
  const pn_json *name = pn_json_get(definition, "name");
  shape_path tool_at = {at, "definition", 0}, name_at = {&tool_at, "name", 0};
  tool_list *t = f->tools;
  if (!is_name(pn_json_str(name)))
    return shape_fail(&name_at, e, "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'");
  pn_json *function = function_or_null(definition);
  if (!t->named) t->named = pn_json_new_object();
  bool ok = function && set_loaded(f, name, function, e);
  if (ok && !tools_find(t, pn_json_str(name)))
    ok = pn_json_set(t->named, pn_json_cstr(name), pn_json_share(function));
  pn_json_free(function);
  return ok || no_memory(e);
}

static bool follow_change(following *f, const pn_json *block, const shape_path *at, pn_error *e) {
  const pn_json *tool = pn_json_get(block, "tool"), *name = pn_json_get(tool, "name");
  shape_path tool_at = {at, "tool", 0};
  bool by_value = is_type(tool, "tool_definition");
  if (!by_value && !is_type(tool, "tool_reference")) return true; // of MCP servers, which there are none of
  if (is_type(block, "tool_removal"))
    return !look_up(f->tools->named, pn_json_str(name)) || set_loaded(f, name, NULL, e);
  return by_value ? define(f, pn_json_get(tool, "definition"), &tool_at, e) : load(f, name, &tool_at, e);
}

static bool follow_blocks(following *f, const pn_json *blocks, const shape_path *up, const char *key,
                          pn_error *e);

static bool follow_block(following *f, const pn_json *block, const shape_path *at, pn_error *e) {
  if (is_type(block, "tool_reference")) return load(f, pn_json_get(block, "tool_name"), at, e);
  if (is_type(block, "tool_result")) return follow_blocks(f, pn_json_get(block, "content"), at, "content", e);
  if (is_type(block, "compaction"))
    return follow_blocks(f, pn_json_get(block, "tool_changes"), at, "tool_changes", e);
  bool changes = is_type(block, "tool_addition") || is_type(block, "tool_removal");
  return !changes || follow_change(f, block, at, e);
}

static bool follow_blocks(following *f, const pn_json *blocks, const shape_path *up, const char *key,
                          pn_error *e) {
  shape_path list = {up, key, 0};
  for (size_t i = 0; pn_json_is(blocks, PN_JSON_ARRAY) && i < pn_json_len(blocks); i++) {
    shape_path at = {&list, NULL, i};
    if (!follow_block(f, pn_json_at(blocks, i), &at, e)) return false;
  }
  return true;
}

static bool follow(following *f, const pn_json *messages, pn_error *e) {
  shape_path list = {NULL, "messages", 0};
  for (size_t i = 0; i < pn_json_len(messages); i++) {
    shape_path at = {&list, NULL, i};
    if (!follow_blocks(f, pn_json_get(pn_json_at(messages, i), "content"), &at, "content", e)) return false;
  }
  return true;
}

bool tools_follow(tool_list *t, const pn_json *messages, pn_error *e) {
  following f = {.tools = t};
  bool ok = follow(&f, messages, e);
  if (ok && f.loaded) {
    pn_json *callable = pn_json_new_array();
    for (const pn_json_member *it = pn_json_first(f.loaded); it; it = pn_json_next(f.loaded, it))
      if (pn_json_is(pn_json_value(it), PN_JSON_OBJECT))
        ok = pn_json_push(callable, pn_json_share(pn_json_value(it))) && ok;
    pn_json_free(t->callable);
    t->callable = callable;
    if (!ok || !callable) ok = no_memory(e);
  }
  pn_json_free(f.loaded);
  return ok;
}
