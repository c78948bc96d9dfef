// Tools in a text, for templates that know none.
#include "dialect/value_style.h"

void pn_dialect_write_tool(pn_buf *out, const pn_json *tool) { pn_style_write(out, &pn_style_json, tool); }

// OPEN BEGIN; a model that may leave OPEN out does so.
static void write_open(pn_buf *out, const pn_dialect *d) {
  if (!d->bare) pn_buf_z(out, d->open);
  pn_buf_z(out, d->begin);
}

// `value` NULL: any.
static void write_parameter(pn_buf *out, const pn_dialect *d, pn_str name, const pn_json *value) {
  const pn_parameter_marks *m = d->parameters;
  const pn_value_style raw = {.quote = ""};
  pn_buf_z(out, m->key);
  pn_buf_str(out, name);
  pn_buf_z(out, m->value);
  if (!value)
    pn_buf_z(out, "...");
  else
    pn_style_write(out, pn_json_is(value, PN_JSON_STRING) ? &raw : d->values, value);
  pn_buf_z(out, m->pad);
  pn_buf_z(out, m->close);
  pn_buf_z(out, m->next);
}

void pn_dialect_write_tools(pn_buf *out, const pn_dialect *d, const pn_json *tools) {
  pn_buf_z(out, "You can use the tools that are listed here, one JSON object a line, with the JSON Schema of "
                "their arguments:\n<tools>\n");
  for (size_t i = 0; i < pn_json_len(tools); i++) {
    pn_dialect_write_tool(out, pn_json_at(tools, i));
    pn_buf_char(out, '\n');
  }
  pn_buf_z(out, "</tools>\nTo use one, write its name and arguments like this:\n");
  write_open(out, d);
  pn_buf_z(out, d->head);
  pn_buf_z(out, "...");
  pn_buf_z(out, d->middle);
  if (d->parameters)
    write_parameter(out, d, PN_STR("..."), NULL);
  else
    pn_buf_z(out, d->named ? "..." : "{...}");
  pn_buf_z(out, d->tail);
  pn_buf_z(out, d->end);
  pn_buf_z(out, "\nIts result follows in <tool_response> marks.");
}

static void write_arguments(pn_buf *out, const pn_dialect *d, const pn_json *arguments) {
  if (d->parameters) {
    for (const pn_json_member *it = pn_json_first(arguments); it; it = pn_json_next(arguments, it))
      write_parameter(out, d, pn_json_key(it), pn_json_value(it));
    return;
  }
  if (!d->named) {
    if (pn_json_is(arguments, PN_JSON_OBJECT))
      pn_style_write(out, d->values, arguments);
    else
      pn_buf_z(out, "{}");
    return;
  }
  const pn_json_member *first = pn_json_first(arguments);
  for (const pn_json_member *it = first; it; it = pn_json_next(arguments, it)) {
    if (it != first) pn_buf_z(out, d->values->comma);
    if (style_is_bare_key(pn_json_key(it), true))
      pn_buf_str(out, pn_json_key(it));
    else
      pn_style_write_str(out, d->values, pn_json_key(it));
    pn_buf_char(out, '=');
    pn_style_write(out, d->values, pn_json_value(it));
  }
}

void pn_dialect_write_call(pn_buf *out, const pn_dialect *d, pn_str name, const pn_json *arguments,
                           bool behind_call) {
  pn_str end = pn_str_of(d->end);
  if (behind_call && d->between && pn_str_ends(pn_buf_view(out), end)) {
    out->n -= end.n;
    pn_buf_z(out, d->between);
  } else {
    if (behind_call) pn_buf_z(out, d->again ? d->again : "\n");
    write_open(out, d);
  }
  pn_buf_z(out, d->head);
  pn_buf_str(out, name);
  pn_buf_z(out, d->middle);
  write_arguments(out, d, arguments);
  pn_buf_z(out, d->tail);
  pn_buf_z(out, d->end);
}

void pn_dialect_write_result(pn_buf *out, pn_str text, bool is_error) {
  pn_buf_z(out, is_error ? "<tool_response>\nError: " : "<tool_response>\n");
  pn_buf_str(out, text);
  pn_buf_z(out, "\n</tool_response>");
}
