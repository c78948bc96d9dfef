#include "api/shape.h"

#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// Write the path from the body to `at`; returns the length so far.
static size_t write_path(const shape_path *at, char *out, size_t cap) {
  size_t n = 0;
  if (!at) return 0;
  if (at->up) n = write_path(at->up, out, cap);
  if (!at->key && !at->up) return n;
  const char *dot = n ? "." : "";
  int k = at->key ? snprintf(out + n, cap - n, "%s%s", dot, at->key)
                  : snprintf(out + n, cap - n, "%s%zu", dot, at->index);
  n += k > 0 ? (size_t)k : 0;
  return n < cap ? n : cap - 1;
}

// "messages.3.content" into out; "" for the body itself.
static void shape_path_write(const shape_path *at, char out[SHAPE_PATH_MAX]) {
  out[0] = '\0';
  write_path(at, out, SHAPE_PATH_MAX);
}

bool shape_fail(const shape_path *at, pn_error *e, const char *fmt, ...) {
  char path[SHAPE_PATH_MAX], text[400];
  shape_path_write(at, path);
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return pn_fail(e, PN_ERR_USAGE, "%s: %s", path[0] ? path : "request body", text);
}

// The bit of v's JSON type among the types that s allows; 0 when it is none of them.
static unsigned match(const shape *s, const pn_json *v) {
  switch (pn_json_type_of(v)) {
  case PN_JSON_STRING: return s->types & SHAPE_STRING;
  case PN_JSON_BOOL: return s->types & SHAPE_BOOL;
  case PN_JSON_ARRAY: return s->types & SHAPE_ARRAY;
  case PN_JSON_OBJECT: return s->types & SHAPE_OBJECT;
  case PN_JSON_INT: return s->types & (SHAPE_INT | SHAPE_NUMBER);
  case PN_JSON_REAL:
    if (s->types & SHAPE_NUMBER) return SHAPE_NUMBER;
    return pn_json_num(v) == trunc(pn_json_num(v)) ? s->types & SHAPE_INT : 0;
  case PN_JSON_NULL: return s->types & SHAPE_NULL;
  case PN_JSON_MISSING: break;
  }
  return 0;
}

static bool wrong_type(const shape *s, const shape_path *at, pn_error *e) {
  static const struct {
    unsigned bit;
    const char *name;
  } names[] = {{SHAPE_STRING, "string"}, {SHAPE_INT, "integer"}, {SHAPE_NUMBER, "number"},
               {SHAPE_BOOL, "boolean"},  {SHAPE_ARRAY, "list"},  {SHAPE_OBJECT, "dictionary"}};
  char text[80] = "";
  size_t n = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (s->types & names[i].bit)
      n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? " or " : "", names[i].name);
  return shape_fail(at, e, "Input should be a valid %s", text);
}

static bool check_number(const shape *s, const pn_json *v, const shape_path *at, pn_error *e) {
  if (!s->bounded) return true;
  double d = pn_json_num(v);
  if (!(d >= s->min)) return shape_fail(at, e, "Input should be greater than or equal to %.15g", s->min);
  if (!(d <= s->max)) return shape_fail(at, e, "Input should be less than or equal to %.15g", s->max);
  return true;
}

// "'a', 'b' or 'c'"
static void list_names(char *out, size_t cap, const char *(*name)(const void *, size_t), const void *table) {
  size_t n = 0;
  out[0] = '\0';
  for (size_t i = 0; name(table, i) && n < cap; i++) {
    const char *sep = i == 0 ? "" : name(table, i + 1) ? ", " : " or ";
    int k = snprintf(out + n, cap - n, "%s'%s'", sep, name(table, i));
    n += k > 0 ? (size_t)k : 0;
  }
}

static const char *value_name(const void *values, size_t i) { return ((const char *const *)values)[i]; }
static const char *variant_name(const void *v, size_t i) { return ((const shape_variant *)v)[i].type; }

static bool check_string(const shape *s, const pn_json *v, const shape_path *at, pn_error *e) {
  pn_str text = pn_json_str(v);
  if (text.n < s->min_len)
    return s->too_short ? shape_fail(at, e, "%s", s->too_short)
                        : shape_fail(at, e, "String should have at least %zu character%s", s->min_len,
                                     s->min_len == 1 ? "" : "s");
  if (s->matches && !s->matches(text))
    return shape_fail(at, e, "String should match pattern '%s'", s->pattern);
  if (!s->values) return true;
  for (const char *const *p = s->values; *p; p++)
    if (pn_str_is(text, *p)) return true;
  char names[200];
  list_names(names, sizeof names, value_name, s->values);
  return shape_fail(at, e, "Input should be %s", names);
}

static bool check_array(const shape *s, const pn_json *v, const shape_path *at, pn_error *e) {
  size_t n = pn_json_len(v);
  if (n < s->min_len)
    return s->too_short ? shape_fail(at, e, "%s", s->too_short)
                        : shape_fail(at, e, "List should have at least %zu item%s", s->min_len,
                                     s->min_len == 1 ? "" : "s");
  if (s->max_len && n > s->max_len)
    return shape_fail(at, e, "List should have at most %zu items, not %zu", s->max_len, n);
  for (size_t i = 0; s->items && i < n; i++) {
    shape_path item = {at, NULL, i};
    if (!shape_check(s->items, pn_json_at(v, i), &item, e)) return false;
  }
  return true;
}

static bool check_fields(const shape_field *fields, const pn_json *v, const shape_path *at, pn_error *e) {
  for (const shape_field *f = fields; f && f->name; f++) {
    shape_path member = {at, f->name, 0};
    const pn_json *value = pn_json_get(v, f->name);
    if (!value && f->required) return shape_fail(&member, e, "Field required");
    if (!f->required && (!value || pn_json_is(value, PN_JSON_NULL))) continue;
    if (!shape_check(f->shape, value, &member, e)) return false;
  }
  return true;
}

static bool check_variant(const shape *s, const pn_json *v, const shape_path *at, pn_error *e) {
  shape_path type_path = {at, "type", 0};
  const pn_json *type = pn_json_get(v, "type");
  bool untyped = s->untyped && (!type || pn_json_is(type, PN_JSON_NULL));
  if (!type && !untyped) return shape_fail(&type_path, e, "Field required");
  if (!untyped && !pn_json_is(type, PN_JSON_STRING))
    return shape_fail(&type_path, e, "Input should be a valid string");
  pn_str tag = untyped ? pn_str_of(s->untyped) : pn_json_str(type);
  for (const shape_variant *k = s->variants; k->type; k++) {
    if (!pn_str_is(tag, k->type)) continue;
    if (k->refuse) {
      shape_fail(at, e, "%s", k->refuse);
      if (e) e->code = PN_ERR_UNSUPPORTED;
      return false;
    }
    return check_fields(k->fields, v, at, e);
  }
  char names[200];
  list_names(names, sizeof names, variant_name, s->variants);
  if (tag.n > 40) tag.n = 40;
  tag.n = pn_utf8_complete(tag);
  return shape_fail(at, e, "Input tag '%.*s' found using 'type' does not match any of the expected tags: %s",
                    (int)tag.n, tag.p, names);
}

bool shape_check(const shape *s, const pn_json *v, const shape_path *at, pn_error *e) {
  switch (match(s, v)) {
  case 0: return wrong_type(s, at, e);
  case SHAPE_STRING: return check_string(s, v, at, e);
  case SHAPE_BOOL:
  case SHAPE_NULL: return true;
  case SHAPE_ARRAY: return check_array(s, v, at, e);
  case SHAPE_OBJECT: return s->variants ? check_variant(s, v, at, e) : check_fields(s->fields, v, at, e);
  default: return check_number(s, v, at, e);
  }
}
