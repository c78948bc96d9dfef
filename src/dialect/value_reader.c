#include "dialect/value_reader.h"

#include "base/hash.h"
#include "dialect/raw.h"
#include "dialect/string_reader.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Every read_... takes *used bytes from the beginning of `raw`, which is not empty. VALUE_MORE: it fits so
// far; with nothing used and at the same place, it ends too early.

void value_reader_fini(value_reader *r) {
  pn_buf_fini(&r->key);
  pn_buf_fini(&r->dropped);
  free(r->seen);
  *r = (value_reader){0};
}

static value_level *top(value_reader *r) { return &r->levels[r->depth - 1]; }
static bool is_json(const value_reader *r) { return r->tongue->dialect->values == &pn_style_json; }
// Members stand in the arguments themselves: a=1, b=2.
static bool at_named(const value_reader *r) { return r->tongue->dialect->named && r->depth == 1; }

static bool push(value_reader *r, bool is_array) {
  if (r->depth == VALUE_MAX_DEPTH) return false;
  r->levels[r->depth++] = (value_level){.is_array = is_array, .serial = ++r->serial};
  pn_buf_char(r->out, is_array ? '[' : '{');
  r->place = is_array ? VALUE_AT_ITEM_OR_CLOSE : VALUE_AT_KEY_OR_CLOSE;
  return true;
}

static void pop(value_reader *r) {
  pn_buf_char(r->out, top(r)->is_array ? ']' : '}');
  r->depth--;
  r->place = r->depth ? VALUE_BEHIND : VALUE_AT_END;
}

static void begin_item(value_reader *r) {
  if (top(r)->has_items) pn_buf_char(r->out, ',');
  top(r)->has_items = true;
}

// --- keys --------------------------------------------------------------------------------------------------

static bool grow_seen(value_reader *r) {
  size_t cap = r->cap_seen ? r->cap_seen * 2 : 32;
  uint64_t *p = calloc(cap, sizeof *p);
  if (!p) return false;
  for (size_t i = 0; i < r->cap_seen; i++) {
    size_t at = (size_t)(r->seen[i] >> 1) & (cap - 1);
    if (!r->seen[i]) continue;
    while (p[at]) at = (at + 1) & (cap - 1);
    p[at] = r->seen[i];
  }
  free(r->seen);
  r->seen = p;
  r->cap_seen = cap;
  return true;
}

bool value_add_key(value_reader *r) {
  if (r->n_seen == VALUE_MAX_MEMBERS) return false;
  if (r->n_seen * 2 >= r->cap_seen && !grow_seen(r)) {
    r->out->oom = true;
    return false;
  }
  uint64_t h = pn_hash(r->key.p, r->key.n, pn_hash_u64(top(r)->serial)) | 1;
  size_t at = (size_t)(h >> 1) & (r->cap_seen - 1);
  for (; r->seen[at]; at = (at + 1) & (r->cap_seen - 1))
    if (r->seen[at] == h) return false;
  r->seen[at] = h;
  r->n_seen++;
  return true;
}

void value_begin_member(value_reader *r) {
  begin_item(r);
  pn_buf_char(r->out, '"');
  pn_buf_str(r->out, pn_buf_view(&r->key));
  pn_buf_z(r->out, "\":");
}

static value_result read_colon(value_reader *r, pn_str raw, size_t *used) {
  if (raw.p[0] != (at_named(r) ? '=' : ':') || !value_add_key(r)) return VALUE_BAD;
  value_begin_member(r);
  r->place = VALUE_AT_VALUE;
  *used = 1;
  return VALUE_MORE;
}

// A string's beginning: NO, MORE, or YES with its length.
static raw_match begins_string(value_reader *r, pn_str raw, size_t *n) {
  r->delimiter = raw.p[0];
  *n = 1;
  if (raw.p[0] == '"' || (raw.p[0] == '\'' && !is_json(r))) return RAW_YES;
  if (!r->tongue->quote.p) return RAW_NO;
  r->delimiter = 0;
  *n = r->tongue->quote.n;
  return raw_begins(raw, r->tongue->quote);
}

static value_result read_key(value_reader *r, pn_str raw, size_t *used) {
  size_t n;
  raw_match m = begins_string(r, raw, &n);
  if (m == RAW_MORE) return VALUE_MORE;
  pn_buf_clear(&r->key);
  r->is_key = true;
  r->place = VALUE_IN_STRING;
  *used = n;
  if (m == RAW_YES) return VALUE_MORE;
  *used = 0;
  r->place = VALUE_IN_BARE_KEY;
  return r->tongue->dialect->values->bare_keys || at_named(r) ? VALUE_MORE : VALUE_BAD;
}

static value_result read_bare_key(value_reader *r, pn_str raw, size_t *used) {
  bool inner_space = raw.p[0] == ' ' && !at_named(r);
  if ((raw_is_space(raw.p[0]) && !inner_space) || raw.p[0] == (at_named(r) ? '=' : ':')) {
    while (r->key.n && r->key.p[r->key.n - 1] == ' ') r->key.n--;
    r->place = VALUE_AT_COLON;
    return r->key.n ? VALUE_MORE : VALUE_BAD;
  }
  if (strchr("{}[]()\",", raw.p[0]) || r->key.n > VALUE_MAX_KEY) return VALUE_BAD;
  return string_char(&r->key, raw, true, used) ? VALUE_MORE : VALUE_BAD;
}

// --- values ------------------------------------------------------------------------------------------------

bool value_is_number(pn_str s, bool *whole) {
  size_t i = s.n && s.p[0] == '-', from = i;
#define DIGITS                                                                                               \
  for (; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++) {}
  DIGITS;
  if (i == from || (s.p[from] == '0' && i - from > 1)) return false;
  *whole = i == s.n;
  if (i < s.n && s.p[i] == '.') {
    from = ++i;
    DIGITS;
    if (i == from) return false;
  }
  if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
    i++;
    if (i < s.n && (s.p[i] == '+' || s.p[i] == '-')) i++;
    from = i;
    DIGITS;
    if (i == from) return false;
  }
#undef DIGITS
  return i == s.n;
}

static value_result read_number(value_reader *r, pn_str raw, size_t *used) {
  char text[VALUE_MAX_NUMBER + 1];
  size_t n = 0;
  while (n < raw.n && n <= VALUE_MAX_NUMBER && raw.p[n] && strchr("0123456789+-.eE", raw.p[n])) n++;
  if (n > VALUE_MAX_NUMBER) return VALUE_BAD;
  if (n == raw.n) return VALUE_MORE;
  bool whole = false;
  if (!value_is_number((pn_str){raw.p, n}, &whole)) return VALUE_BAD;
  memcpy(text, raw.p, n);
  text[n] = '\0';
  if (!isfinite(strtod(text, NULL))) return VALUE_BAD;
  if (top(r)->is_array) begin_item(r);
  pn_buf_z(r->out, text);
  // Readers refuse whole numbers beyond 64 bits.
  errno = 0;
  if (whole && strtoll(text, NULL, 10) && errno == ERANGE) pn_buf_z(r->out, ".0");
  r->place = VALUE_BEHIND;
  *used = n;
  return VALUE_MORE;
}

static value_result read_literal(value_reader *r, pn_str raw, size_t *used) {
  const pn_value_style *s = r->tongue->dialect->values;
  const char *const words[][2] = {{s->yes, "true"},   {s->no, "false"}, {s->null, "null"},
                                  {"true", "true"},   {"True", "true"}, {"false", "false"},
                                  {"False", "false"}, {"null", "null"}, {"None", "null"}};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    pn_str word = pn_str_of(words[i][0]);
    raw_match m = raw_begins(raw, word);
    if (m == RAW_MORE) return VALUE_MORE;
    if (m == RAW_NO) continue;
    if (top(r)->is_array) begin_item(r);
    pn_buf_z(r->out, words[i][1]);
    r->place = VALUE_BEHIND;
    *used = word.n;
    return VALUE_MORE;
  }
  return VALUE_BAD;
}

static value_result read_value(value_reader *r, pn_str raw, size_t *used) {
  size_t n;
  raw_match m = begins_string(r, raw, &n);
  if (m == RAW_MORE) return VALUE_MORE;
  if (m == RAW_NO && raw.p[0] != '{' && raw.p[0] != '[')
    return strchr("-0123456789", raw.p[0]) ? read_number(r, raw, used) : read_literal(r, raw, used);
  if (m == RAW_NO && r->depth == VALUE_MAX_DEPTH) return VALUE_BAD;
  if (top(r)->is_array) begin_item(r);
  *used = m == RAW_YES ? n : 1;
  if (m == RAW_NO) return push(r, raw.p[0] == '['), VALUE_MORE;
  pn_buf_char(r->out, '"');
  r->is_key = false;
  r->place = VALUE_IN_STRING;
  return VALUE_MORE;
}

static value_result read_string(value_reader *r, pn_str raw, size_t *used) {
  pn_buf *to = r->is_key ? &r->key : r->out;
  if (r->is_key && r->key.n > VALUE_MAX_KEY) return VALUE_BAD;
  // Where a key is too long must not depend on how it came.
  size_t n_run = r->is_key ? VALUE_MAX_KEY + 1 - r->key.n : SIZE_MAX;
  pn_str run = {raw.p, raw.n < n_run ? raw.n : n_run};
  pn_str end = r->delimiter ? (pn_str){&r->delimiter, 1} : r->tongue->quote;
  raw_match m = raw_begins(raw, end);
  if (m == RAW_MORE) return VALUE_MORE;
  if (m == RAW_YES) {
    *used = end.n;
    if (!r->is_key) pn_buf_char(to, '"');
    r->place = r->is_key ? VALUE_AT_COLON : VALUE_BEHIND;
    return VALUE_MORE;
  }
  if (r->delimiter && raw.p[0] == '\\') {
    string_escape(to, raw, r->is_key, used);
  } else if (!string_run(to, run, end.p[0], used)) {
    if (!string_char(to, raw, r->is_key, used)) return VALUE_BAD;
  }
  return VALUE_MORE;
}

static value_result read_behind(value_reader *r, pn_str raw, size_t *used) {
  *used = 1;
  if (raw.p[0] == ',') {
    r->place = top(r)->is_array ? VALUE_AT_VALUE : VALUE_AT_KEY;
    return VALUE_MORE;
  }
  if (raw.p[0] == (top(r)->is_array ? ']' : '}') && !at_named(r)) return pop(r), VALUE_MORE;
  *used = 0;
  return VALUE_BAD;
}

// --- steps -------------------------------------------------------------------------------------------------

// A control token that is no quote: the dialect's marks end the arguments, others say nothing.
static value_result read_control(value_reader *r, pn_str raw, size_t *used) {
  const pn_tongue *t = r->tongue;
  const pn_str marks[] = {t->open, t->begin, t->head, t->middle, t->tail, t->between,
                          t->end,  t->quote, t->key,  t->value,  t->close};
  size_t max = VALUE_MAX_CONTROL,
         end = pn_str_find((pn_str){raw.p, raw.n < max ? raw.n : max}, PN_STR("\xFE"), 0);
  if (end == SIZE_MAX) return raw.n < max ? VALUE_MORE : VALUE_BAD;
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
    if (marks[i].n && pn_str_find(marks[i], (pn_str){raw.p, end + 1}, 0) != SIZE_MAX) return VALUE_BAD;
  *used = end + 1;
  return VALUE_MORE;
}

static bool is_quote(const value_reader *r, pn_str raw) {
  bool place = r->place == VALUE_IN_STRING
                   ? r->delimiter == 0
                   : r->place != VALUE_IN_BARE_KEY && r->place != VALUE_AT_COLON && r->place != VALUE_BEHIND;
  return place && r->tongue->quote.n && raw_begins(raw, r->tongue->quote) != RAW_NO;
}

// Whether parameters decide what comes: everywhere but within a value of theirs.
static bool at_parameters(const value_reader *r) {
  return r->tongue->dialect->parameters &&
         (r->place >= VALUE_AT_PARAMETER || (r->depth == 1 && r->place == VALUE_BEHIND));
}

static value_result read_step(value_reader *r, pn_str raw, size_t *used) {
  if (at_parameters(r)) {
    value_result result = parameter_step(r, raw, used);
    if (result == VALUE_BAD && raw.p[0] == PN_RAW_BEGIN) return read_control(r, raw, used);
    if (result == VALUE_BAD && raw.p[0] == PN_RAW_END) return *used = 1, VALUE_MORE;
    return result;
  }
  bool in_text = r->place == VALUE_IN_STRING || r->place == VALUE_IN_BARE_KEY;
  if (raw.p[0] == PN_RAW_BEGIN && !is_quote(r, raw)) return read_control(r, raw, used);
  if (raw.p[0] == PN_RAW_END || (!in_text && raw_is_space(raw.p[0]))) return *used = 1, VALUE_MORE;
  bool closes = r->place == VALUE_AT_KEY_OR_CLOSE || r->place == VALUE_BEHIND;
  if (closes && at_named(r)) {
    raw_match m = raw_begins(raw, r->tongue->tail);
    if (m == RAW_YES) pop(r);
    if (m != RAW_NO) return VALUE_MORE;
  }
  switch (r->place) {
  case VALUE_AT_ARGUMENTS:
    if (raw.p[0] != '{') return VALUE_BAD;
    *used = 1;
    push(r, false);
    return VALUE_MORE;
  case VALUE_AT_KEY_OR_CLOSE: return raw.p[0] == '}' ? read_behind(r, raw, used) : read_key(r, raw, used);
  case VALUE_AT_KEY: return read_key(r, raw, used);
  case VALUE_IN_BARE_KEY: return read_bare_key(r, raw, used);
  case VALUE_AT_COLON: return read_colon(r, raw, used);
  case VALUE_AT_ITEM_OR_CLOSE: return raw.p[0] == ']' ? read_behind(r, raw, used) : read_value(r, raw, used);
  case VALUE_AT_VALUE: return read_value(r, raw, used);
  case VALUE_IN_STRING: return read_string(r, raw, used);
  case VALUE_BEHIND: return read_behind(r, raw, used);
  default: return VALUE_DONE;
  }
}

value_result value_read(value_reader *r, pn_str raw, size_t *used) {
  *used = 0;
  if (r->tongue->dialect->named && r->place == VALUE_AT_ARGUMENTS) push(r, false);
  if (r->tongue->dialect->parameters && r->place == VALUE_AT_ARGUMENTS) {
    push(r, false);
    r->place = VALUE_AT_PARAMETER;
  }
  while (*used < raw.n && r->place != VALUE_AT_END) {
    value_place before = r->place;
    size_t n = 0;
    value_result result = read_step(r, (pn_str){raw.p + *used, raw.n - *used}, &n);
    *used += n;
    if (result == VALUE_DONE && r->depth) pop(r);
    if (result != VALUE_MORE) return result;
    if (n == 0 && r->place == before) return VALUE_MORE;
  }
  return r->place == VALUE_AT_END ? VALUE_DONE : VALUE_MORE;
}

void value_close(value_reader *r) {
  if (r->place == VALUE_AT_ARGUMENTS) push(r, false);
  if ((r->place == VALUE_IN_STRING && !r->is_key) || r->place == VALUE_IN_CONTENT) pn_buf_char(r->out, '"');
  bool waits = r->place == VALUE_AT_CONTENT || (r->place == VALUE_AT_VALUE && !top(r)->is_array);
  if (waits) pn_buf_z(r->out, "null");
  while (r->depth > 1) pop(r);
  parameter_end(r);
  if (r->depth) pop(r);
}
