// Arguments that stand one by one: KEY name VALUE text PAD CLOSE NEXT, of which the text is a string as it
// is or a JSON value.
#include "dialect/raw.h"
#include "dialect/string_reader.h"
#include "dialect/value_reader.h"

#include <string.h>

// Every step takes *used bytes from the beginning of `raw`, which is not empty. VALUE_MORE: it fits so far;
// with nothing used and at the same place, it ends too early.

void parameter_end(value_reader *r) {
  if (!r->aside) return;
  r->out = r->aside;
  r->aside = NULL;
  pn_buf_clear(&r->dropped);
}

static value_result at_parameter(value_reader *r, pn_str raw, size_t *used) {
  if (raw_is_space(raw.p[0])) return *used = 1, VALUE_MORE;
  raw_match m = raw_begins(raw, r->tongue->key);
  if (m == RAW_MORE) return VALUE_MORE;
  if (m == RAW_NO) return VALUE_DONE;
  *used = r->tongue->key.n;
  pn_buf_clear(&r->key);
  r->place = VALUE_IN_NAME;
  return VALUE_MORE;
}

static value_result in_name(value_reader *r, pn_str raw, size_t *used) {
  pn_str mark = r->tongue->value;
  raw_match m = raw_begins(raw, mark);
  if (m == RAW_MORE) return VALUE_MORE;
  if (m == RAW_NO) {
    if (r->key.n > VALUE_MAX_KEY || raw.p[0] == '\n') return VALUE_BAD;
    return string_char(&r->key, raw, true, used) ? VALUE_MORE : VALUE_BAD;
  }
  if (!value_add_key(r)) {
    if (r->n_seen == VALUE_MAX_MEMBERS || r->out->oom) return VALUE_BAD;
    r->aside = r->out;
    r->out = &r->dropped;
  }
  value_begin_member(r);
  *used = mark.n;
  r->place = VALUE_AT_CONTENT;
  return VALUE_MORE;
}

// PAD CLOSE, or CLOSE alone: *n gets its length.
static raw_match content_ends(const value_reader *r, pn_str raw, size_t *n) {
  pn_str pad = r->tongue->pad, close = r->tongue->close;
  raw_match m = raw_begins(raw, close);
  *n = close.n;
  if (m != RAW_NO || pad.n == 0) return m;
  m = raw_begins(raw, pad);
  if (m != RAW_YES) return m;
  *n += pad.n;
  return raw_begins((pn_str){raw.p + pad.n, raw.n - pad.n}, close);
}

// What kind of number or word the text is, up to where the parameter ends; 0: none. *more: too early to say.
static unsigned scalar_kind(const value_reader *r, pn_str raw, bool *more) {
  size_t n = 0, n_end;
  bool whole;
  while (n < raw.n && n <= VALUE_MAX_NUMBER && raw.p[n] && strchr("0123456789+-.eE", raw.p[n])) n++;
  if (n == 0)
    while (n < raw.n && n <= 5 && ((raw.p[n] | 0x20) >= 'a' && (raw.p[n] | 0x20) <= 'z')) n++;
  if (n > VALUE_MAX_NUMBER) return 0;
  raw_match end = content_ends(r, (pn_str){raw.p + n, raw.n - n}, &n_end);
  *more = n == raw.n || end == RAW_MORE;
  if (*more || end == RAW_NO) return 0;
  static const struct {
    const char *word;
    unsigned kind;
  } words[] = {{"true", PN_KIND_BOOL},  {"True", PN_KIND_BOOL}, {"false", PN_KIND_BOOL},
               {"False", PN_KIND_BOOL}, {"null", PN_KIND_NULL}, {"None", PN_KIND_NULL}};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (pn_str_is((pn_str){raw.p, n}, words[i].word)) return words[i].kind;
  return value_is_number((pn_str){raw.p, n}, &whole) ? PN_KIND_NUMBER : 0;
}

// Whether a parameter that can be a string is something else. *more: too early to say.
static bool is_json(const value_reader *r, unsigned kinds, pn_str raw, bool *more) {
  char c = raw.p[0];
  if (c == '{') return kinds & PN_KIND_OBJECT;
  if (c == '[') return kinds & PN_KIND_ARRAY;
  unsigned may = c == '-' || (c >= '0' && c <= '9') ? PN_KIND_NUMBER
                 : strchr("tTfF", c)                ? PN_KIND_BOOL
                 : strchr("nN", c)                  ? PN_KIND_NULL
                                                    : 0;
  return (kinds & may) && (scalar_kind(r, raw, more) & kinds);
}

static value_result at_content(value_reader *r, pn_str raw, size_t *used) {
  unsigned kinds =
      r->how && r->how->kinds ? r->how->kinds(r->how->ctx, r->tool, pn_buf_view(&r->key)) : PN_KIND_ANY;
  bool more = false, json = !(kinds & PN_KIND_STRING);
  if (json && raw_is_space(raw.p[0])) return *used = 1, VALUE_MORE;
  // What no value begins with is a string in any case.
  if (json)
    json = raw.p[0] != '\0' && strchr("{[\"-0123456789tTfFnN", raw.p[0]);
  else if (kinds != PN_KIND_STRING && raw.p[0] != '\0')
    json = is_json(r, kinds, raw, &more);
  if (more) return VALUE_MORE;
  r->place = json ? VALUE_AT_VALUE : VALUE_IN_CONTENT;
  if (!json) pn_buf_char(r->out, '"');
  return VALUE_MORE;
}

static value_result in_content(value_reader *r, pn_str raw, size_t *used) {
  raw_match m = content_ends(r, raw, used);
  if (m == RAW_YES) {
    pn_buf_char(r->out, '"');
    parameter_end(r);
    r->place = VALUE_AT_PARAMETER;
    return VALUE_MORE;
  }
  *used = 0;
  if (m == RAW_MORE) return VALUE_MORE;
  if (string_run(r->out, raw, r->tongue->close.p[0], used)) return VALUE_MORE;
  return string_char(r->out, raw, false, used) ? VALUE_MORE : VALUE_BAD;
}

// Behind a JSON value.
static value_result behind_value(value_reader *r, pn_str raw, size_t *used) {
  raw_match m = raw_begins(raw, r->tongue->close);
  if (m == RAW_NO && raw_is_space(raw.p[0])) return *used = 1, VALUE_MORE;
  if (m == RAW_NO) return VALUE_BAD;
  if (m == RAW_MORE) return VALUE_MORE;
  *used = r->tongue->close.n;
  parameter_end(r);
  r->place = VALUE_AT_PARAMETER;
  return VALUE_MORE;
}

value_result parameter_step(value_reader *r, pn_str raw, size_t *used) {
  switch (r->place) {
  case VALUE_AT_PARAMETER: return at_parameter(r, raw, used);
  case VALUE_IN_NAME: return in_name(r, raw, used);
  case VALUE_AT_CONTENT: return at_content(r, raw, used);
  case VALUE_IN_CONTENT: return in_content(r, raw, used);
  default: return behind_value(r, raw, used);
  }
}
