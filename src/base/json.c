#include "base/json.h"

#include "base/utf8.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *raw(const pn_json *v) { return (json_t *)(uintptr_t)v; }
static pn_json *cooked(json_t *v) { return (pn_json *)(void *)v; }

static json_t *load(pn_str text, json_error_t *e) {
  const size_t flags = JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
  return json_loadb(text.p ? text.p : "", text.n, flags, e);
}

// Where the string ends that begins at s.p[at]: behind its closing quote.
static size_t string_end(pn_str s, size_t at) {
  for (at++; at < s.n && s.p[at] != '"'; at++)
    if (s.p[at] == '\\') at++;
  return at < s.n ? at + 1 : s.n;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The text with a fraction behind every whole number of many digits, so that it is read as a real.
static void write_as_reals(pn_buf *out, pn_str s) {
  enum { SAFE_DIGITS = 18 };
  for (size_t at = 0, end; at < s.n; at = end) {
    end = s.p[at] == '"' ? string_end(s, at) : at + 1;
    bool number = is_digit(s.p[at]);
    while (number && end < s.n && is_digit(s.p[end])) end++;
    // Digits of a fraction or an exponent belong to a real already.
    bool whole =
        number && !(at && memchr(".eE+", s.p[at - 1], 4)) && !(end < s.n && memchr(".eE", s.p[end], 3));
    pn_buf_add(out, s.p + at, end - at);
    if (whole && end - at > SAFE_DIGITS) pn_buf_z(out, ".0");
  }
}

// JSON sets its numbers no limit; real files hold 1e30 as a whole number.
static json_t *load_large(pn_str text, json_error_t *e) {
  pn_buf reals = {0};
  write_as_reals(&reals, text);
  json_t *v = reals.oom ? NULL : load(pn_buf_view(&reals), e);
  pn_buf_fini(&reals);
  return v;
}

pn_json *pn_json_parse(pn_str text, pn_error *e) {
  json_error_t je;
  json_t *v = load(text, &je);
  if (!v && json_error_code(&je) == json_error_numeric_overflow) v = load_large(text, &je);
  if (v) return cooked(v);
  if (json_error_code(&je) == json_error_out_of_memory)
    pn_fail(e, PN_ERR_NOMEM, "out of memory while parsing JSON");
  else
    pn_fail(e, PN_ERR_CORRUPT, "not valid JSON at line %d column %d: %s", je.line, je.column, je.text);
  return NULL;
}

void pn_json_free(pn_json *v) { json_decref(raw(v)); }

pn_json_type pn_json_type_of(const pn_json *v) {
  if (!v) return PN_JSON_MISSING;
  switch (json_typeof(raw(v))) {
  case JSON_NULL: return PN_JSON_NULL;
  case JSON_TRUE:
  case JSON_FALSE: return PN_JSON_BOOL;
  case JSON_INTEGER: return PN_JSON_INT;
  case JSON_REAL: return PN_JSON_REAL;
  case JSON_STRING: return PN_JSON_STRING;
  case JSON_ARRAY: return PN_JSON_ARRAY;
  case JSON_OBJECT: return PN_JSON_OBJECT;
  }
  return PN_JSON_MISSING;
}

const char *pn_json_type_name(pn_json_type t) {
  static const char *const names[] = {"nothing",  "null",     "a boolean", "an integer",
                                      "a number", "a string", "an array",  "an object"};
  return names[t];
}

bool pn_json_is_number(const pn_json *v) { return v && json_is_number(raw(v)); }
const pn_json *pn_json_get(const pn_json *o, const char *key) { return cooked(json_object_get(raw(o), key)); }

size_t pn_json_len(const pn_json *v) {
  return pn_json_is(v, PN_JSON_OBJECT) ? json_object_size(raw(v)) : json_array_size(raw(v));
}

const pn_json *pn_json_at(const pn_json *array, size_t i) { return cooked(json_array_get(raw(array), i)); }

pn_str pn_json_str(const pn_json *v) {
  if (!pn_json_is(v, PN_JSON_STRING)) return (pn_str){0};
  return (pn_str){json_string_value(raw(v)), json_string_length(raw(v))};
}

const char *pn_json_cstr(const pn_json *v) {
  const char *z = json_string_value(raw(v));
  return z ? z : "";
}

int64_t pn_json_int(const pn_json *v) {
  if (!pn_json_is(v, PN_JSON_REAL)) return json_integer_value(raw(v));
  double d = json_real_value(raw(v));
  return d >= 0x1p63 ? INT64_MAX : d < -0x1p63 ? INT64_MIN : (int64_t)d;
}

double pn_json_num(const pn_json *v) { return v ? json_number_value(raw(v)) : 0; }
bool pn_json_true(const pn_json *v) { return v && json_is_true(raw(v)); }

const pn_json_member *pn_json_first(const pn_json *o) { return json_object_iter(raw(o)); }
const pn_json_member *pn_json_next(const pn_json *o, const pn_json_member *it) {
  return json_object_iter_next(raw(o), (void *)(uintptr_t)it);
}
pn_str pn_json_key(const pn_json_member *it) {
  return pn_str_of(json_object_iter_key((void *)(uintptr_t)it));
}
const pn_json *pn_json_value(const pn_json_member *it) {
  return cooked(json_object_iter_value((void *)(uintptr_t)it));
}

pn_json *pn_json_new_null(void) { return cooked(json_null()); }
pn_json *pn_json_new_bool(bool v) { return cooked(json_boolean(v)); }
pn_json *pn_json_new_int(int64_t v) { return cooked(json_integer(v)); }
pn_json *pn_json_new_num(double v) { return cooked(json_real(v)); }
pn_json *pn_json_new_str(pn_str v) { return cooked(json_stringn(v.p ? v.p : "", v.n)); }
pn_json *pn_json_new_array(void) { return cooked(json_array()); }
pn_json *pn_json_new_object(void) { return cooked(json_object()); }

bool pn_json_set(pn_json *o, const char *key, pn_json *v) {
  if (o) return json_object_set_new(raw(o), key, raw(v)) == 0;
  pn_json_free(v);
  return false;
}

bool pn_json_push(pn_json *a, pn_json *v) {
  if (a) return json_array_append_new(raw(a), raw(v)) == 0;
  pn_json_free(v);
  return false;
}

pn_json *pn_json_share(const pn_json *v) { return cooked(json_incref(raw(v))); }

// The fewest digits that read back as the same number; always with a point or an exponent, so that it stays a
// real.
static void write_real(pn_buf *out, double d) {
  char text[40];
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, d);
    if (strtod(text, NULL) == d) break;
  }
  pn_buf_z(out, text);
  if (!strpbrk(text, ".e")) pn_buf_z(out, ".0");
}

static void write_object(pn_buf *out, const pn_json *v) {
  pn_buf_char(out, '{');
  for (const pn_json_member *it = pn_json_first(v), *first = it; it; it = pn_json_next(v, it)) {
    if (it != first) pn_buf_char(out, ',');
    pn_json_write_str(out, pn_json_key(it));
    pn_buf_char(out, ':');
    pn_json_write(out, pn_json_value(it));
  }
  pn_buf_char(out, '}');
}

static void write_array(pn_buf *out, const pn_json *v) {
  pn_buf_char(out, '[');
  for (size_t i = 0; i < pn_json_len(v); i++) {
    if (i) pn_buf_char(out, ',');
    pn_json_write(out, pn_json_at(v, i));
  }
  pn_buf_char(out, ']');
}

void pn_json_write(pn_buf *out, const pn_json *v) {
  switch (pn_json_type_of(v)) {
  case PN_JSON_MISSING: break;
  case PN_JSON_NULL: pn_buf_z(out, "null"); break;
  case PN_JSON_BOOL: pn_buf_z(out, pn_json_true(v) ? "true" : "false"); break;
  case PN_JSON_INT: pn_buf_printf(out, "%lld", (long long)pn_json_int(v)); break;
  case PN_JSON_REAL: write_real(out, pn_json_num(v)); break;
  case PN_JSON_STRING: pn_json_write_str(out, pn_json_str(v)); break;
  case PN_JSON_ARRAY: write_array(out, v); break;
  case PN_JSON_OBJECT: write_object(out, v); break;
  }
}

void pn_json_write_str(pn_buf *out, pn_str s) {
  pn_buf fixed = {0};
  if (pn_utf8_check(s) != s.n) {
    pn_utf8_repair(&fixed, s);
    s = pn_buf_view(&fixed);
  }
  pn_buf_char(out, '"');
  size_t from = 0;
  for (size_t i = 0; i < s.n; i++) {
    unsigned char c = (unsigned char)s.p[i];
    if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F) continue;
    pn_buf_add(out, s.p + from, i - from);
    from = i + 1;
    switch (c) {
    case '"': pn_buf_z(out, "\\\""); break;
    case '\\': pn_buf_z(out, "\\\\"); break;
    case '\n': pn_buf_z(out, "\\n"); break;
    case '\r': pn_buf_z(out, "\\r"); break;
    case '\t': pn_buf_z(out, "\\t"); break;
    default: pn_buf_printf(out, "\\u%04x", c);
    }
  }
  pn_buf_add(out, s.p + from, s.n - from);
  pn_buf_char(out, '"');
  pn_buf_fini(&fixed);
}
