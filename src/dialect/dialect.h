// How tools, calls and results are put into words for a model. A model whose chat template knows tools writes them itself;
// this is for all others: everything as text that a template can carry.
//
// Only text is appended; JSON is borrowed. Memory running out shows in the buffer.
#ifndef PN_DIALECT_H
#define PN_DIALECT_H

#include "base/json.h"
#include "base/str.h"

// Say which tools there are and how one is called. `tools`: an array of {"type":"function","function":{"name",
// "description","parameters"}}.
void pn_dialect_write_tools(pn_buf *out, const pn_json *tools);
// One tool as a line of that list; also what tells a model of a tool that comes later.
void pn_dialect_write_tool(pn_buf *out, const pn_json *tool);
// A call, as the model is asked to write it.
void pn_dialect_write_call(pn_buf *out, pn_str name, const pn_json *arguments);
// What a tool gave back.
void pn_dialect_write_result(pn_buf *out, pn_str text, bool is_error);

#endif
