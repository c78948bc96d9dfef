// The tools of a request, as chat templates are given them.
#ifndef PN_API_MESSAGES_TOOLS_H
#define PN_API_MESSAGES_TOOLS_H

#include "base/error.h"
#include "base/json.h"

// Zero-initialise; tool_list_fini frees. Tools are
// {"type":"function","function":{"name","description","parameters"}} each.
typedef struct tool_list {
  pn_json *shown; // array of those that the model sees from the start; NULL: none
  // Object by name of all that the request defines, in `tools` or where a tool_addition brings them; null for
  // those that the API's servers would run, which the model is not shown.
  pn_json *named;
  // Array of those that the model may call in its answer; NULL or empty: none. These are the shown ones and
  // those that the conversation brought up (tool_reference, tool_addition), less those that it took away
  // (tool_removal).
  pn_json *callable;
} tool_list;

// `tools` has passed its shape. PN_ERR_USAGE for names that can't be or come twice, and when all tools are
// deferred. Before tools_follow those that are shown are callable.
bool tools_read(const pn_json *tools, tool_list *out, pn_error *e);
// Follow what the conversation does to the tools. PN_ERR_USAGE when it names one that isn't there.
bool tools_follow(tool_list *t, const pn_json *messages, pn_error *e);
void tool_list_fini(tool_list *t);
// A tool by name, shown or not; NULL: there is none of this name that a model could be shown.
const pn_json *tools_find(const tool_list *t, pn_str name);
// A tool that the model may call in its answer, by name; NULL: it may not.
const pn_json *tools_find_callable(const tool_list *t, pn_str name);
// One definition, such as an element of `tools`; NULL when it is one that the model can't be shown, or memory
// ran out.
pn_json *tool_function(const pn_json *definition);

#endif
