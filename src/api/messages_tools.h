// The tools of a request, as chat templates are given them.
#ifndef PN_API_MESSAGES_TOOLS_H
#define PN_API_MESSAGES_TOOLS_H

#include "base/error.h"
#include "base/json.h"

// Zero-initialise; tool_list_fini frees. {"type":"function","function":{"name","description","parameters"}} each.
typedef struct tool_list {
  pn_json *shown; // array of those that the model sees from the start; NULL: none
  pn_json *later; // object by name: those that something in the conversation brings up; NULL: none
} tool_list;

// `tools` has passed its shape. PN_ERR_USAGE for names that can't be or come twice.
bool tools_read(const pn_json *tools, tool_list *out, pn_error *e);
void tool_list_fini(tool_list *t);
// A tool of the request by name, shown or not; NULL: it has none of this name.
const pn_json *tools_find(const tool_list *t, pn_str name);
// One definition, such as an element of `tools`; NULL when it is one that the model can't be shown, or memory ran out.
pn_json *tool_function(const pn_json *definition);

#endif
