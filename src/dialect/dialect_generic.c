// The Hermes way of marking tools in text, which most open models have seen in training.
#include "dialect/dialect.h"

void pn_dialect_write_tool(pn_buf *out, const pn_json *tool) { pn_json_write(out, tool); }

void pn_dialect_write_tools(pn_buf *out, const pn_json *tools) {
  pn_buf_z(out, "You can use the tools that are listed here, one JSON object a line, with the JSON Schema of "
                "their arguments:\n<tools>\n");
  for (size_t i = 0; i < pn_json_len(tools); i++) {
    pn_dialect_write_tool(out, pn_json_at(tools, i));
    pn_buf_char(out, '\n');
  }
  pn_buf_z(out, "</tools>\nTo use one, write its name and arguments like this:\n<tool_call>\n{\"name\": "
                "\"...\", \"arguments\": {...}}\n</tool_call>\nIts result follows in <tool_response> marks.");
}

void pn_dialect_write_call(pn_buf *out, pn_str name, const pn_json *arguments) {
  pn_buf_z(out, "<tool_call>\n{\"name\": ");
  pn_json_write_str(out, name);
  pn_buf_z(out, ", \"arguments\": ");
  pn_json_write(out, arguments);
  pn_buf_z(out, "}\n</tool_call>");
}

void pn_dialect_write_result(pn_buf *out, pn_str text, bool is_error) {
  pn_buf_z(out, is_error ? "<tool_response>\nError: " : "<tool_response>\n");
  pn_buf_str(out, text);
  pn_buf_z(out, "\n</tool_response>");
}
