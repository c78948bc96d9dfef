// A conversation with tools for a template that knows none: tools, calls and results become text.
#ifndef PN_CLI_TOOLS_FALLBACK_H
#define PN_CLI_TOOLS_FALLBACK_H

#include "base/error.h"
#include "base/json.h"

// A new object of template variables from `vars`: without "tools", which the system message then tells of;
// calls of the assistant are in its content, results of tools in the user's. NULL when memory ran out.
pn_json *tools_fallback(const pn_json *vars, pn_error *e);

#endif
