// Values as calls hold them.
#include "dialect/value_style.h"

#include "base/utf8.h"

#include <string.h>

const pn_value_style pn_style_json = {
    .yes = "true", .no = "false", .null = "null", .comma = ", ", .colon = ": "};
const pn_value_style pn_style_python = {
    .yes = "True", .no = "False", .null = "None", .comma = ", ", .colon = ": "};

static void write_escape(pn_buf *out, unsigned char c) {
  switch (c) {
  case '"': pn_buf_z(out, "\\\""); break;
  case '\\': pn_buf_z(out, "\\\\"); break;
  case '\b': pn_buf_z(out, "\\b"); break;
  case '\f': pn_buf_z(out, "\\f"); break;
  case '\n': pn_buf_z(out, "\\n"); break;
  case '\r': pn_buf_z(out, "\\r"); break;
  case '\t': pn_buf_z(out, "\\t"); break;
  default: pn_buf_printf(out, "\\u%04x", c);
  }
}

static void write_escaped(pn_buf *out, pn_str s) {
  size_t from = 0;
  for (size_t i = 0; i < s.n; i++) {
    unsigned char c = (unsigned char)s.p[i];
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    pn_buf_add(out, s.p + from, i - from);
    from = i + 1;
    write_escape(out, c);
  }
  pn_buf_add(out, s.p + from, s.n - from);
}

void pn_style_write_str(pn_buf *out, const pn_value_style *s, pn_str text) {
  const char *quote = s->quote ? s->quote : "\"";
  pn_buf fixed = {0};
  if (pn_utf8_check(text) != text.n) {
    pn_utf8_repair(&fixed, text);
    text = pn_buf_view(&fixed);
  }
  pn_buf_z(out, quote);
  if (s->quote)
    pn_buf_str(out, text);
  else
    write_escaped(out, text);
  pn_buf_z(out, quote);
  pn_buf_fini(&fixed);
}

bool style_is_bare_key(pn_str key, bool named) {
  if (key.n == 0 || key.p[0] == ' ' || key.p[key.n - 1] == ' ') return false;
  for (size_t i = 0; i < key.n; i++) {
    unsigned char c = (unsigned char)key.p[i];
    if (c < 0x20 || strchr("{}[](),:\"'<", c) || (named && strchr(" =", c))) return false;
  }
  return true;
}

static void write_object(pn_buf *out, const pn_value_style *s, const pn_json *v) {
  pn_buf_char(out, '{');
  for (const pn_json_member *first = pn_json_first(v), *it = first; it; it = pn_json_next(v, it)) {
    if (it != first) pn_buf_z(out, s->comma);
    if (s->bare_keys && style_is_bare_key(pn_json_key(it), false))
      pn_buf_str(out, pn_json_key(it));
    else
      pn_style_write_str(out, s, pn_json_key(it));
    pn_buf_z(out, s->colon);
    pn_style_write(out, s, pn_json_value(it));
  }
  pn_buf_char(out, '}');
}

static void write_array(pn_buf *out, const pn_value_style *s, const pn_json *v) {
  pn_buf_char(out, '[');
  for (size_t i = 0; i < pn_json_len(v); i++) {
    if (i) pn_buf_z(out, s->comma);
    pn_style_write(out, s, pn_json_at(v, i));
  }
  pn_buf_char(out, ']');
}

void pn_style_write(pn_buf *out, const pn_value_style *s, const pn_json *v) {
  switch (pn_json_type_of(v)) {
  case PN_JSON_MISSING: break;
  case PN_JSON_NULL: pn_buf_z(out, s->null); break;
  case PN_JSON_BOOL: pn_buf_z(out, pn_json_true(v) ? s->yes : s->no); break;
  case PN_JSON_INT:
  case PN_JSON_REAL: pn_json_write(out, v); break;
  case PN_JSON_STRING: pn_style_write_str(out, s, pn_json_str(v)); break;
  case PN_JSON_ARRAY: write_array(out, s, v); break;
  case PN_JSON_OBJECT: write_object(out, s, v); break;
  }
}
