#include "api/openapi_schema.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 40

const char *schema_comma(const pn_buf *b) {
  char last = b->n ? b->p[b->n - 1] : '{';
  return last == '{' || last == '[' ? "" : ",";
}

void schema_key(pn_buf *b, const char *name) { pn_buf_printf(b, "%s\"%s\":", schema_comma(b), name); }

void schema_text(pn_buf *b, const char *name, const char *text) {
  if (!text) return;
  schema_key(b, name);
  pn_json_write_str(b, pn_str_of(text));
}

// --- which there are ---------------------------------------------------------------------------------------

void schema_list_fini(schema_list *l) {
  free(l->p);
  *l = (schema_list){0};
}

static bool push(schema_list *l, const shape *s, pn_error *e) {
  if (l->n == l->cap) {
    size_t cap = l->cap ? l->cap * 2 : 64;
    const shape **p = realloc(l->p, cap * sizeof *p);
    if (!p) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the document of the API");
    l->p = p;
    l->cap = cap;
  }
  l->p[l->n++] = s;
  return true;
}

static bool collect(schema_list *l, const shape *s, int depth, pn_error *e);

static bool collect_fields(schema_list *l, const shape_field *f, int depth, pn_error *e) {
  for (; f && f->name; f++)
    if (!collect(l, f->shape, depth, e)) return false;
  return true;
}

static bool collect(schema_list *l, const shape *s, int depth, pn_error *e) {
  if (!s) return true;
  for (size_t i = 0; s->name && i < l->n; i++) {
    if (l->p[i] == s) return true;
    if (strcmp(l->p[i]->name, s->name) == 0)
      return pn_fail(e, PN_ERR_INTERNAL, "the shape's name %s is borne by two", s->name);
  }
  if (depth > MAX_DEPTH)
    return pn_fail(e, PN_ERR_INTERNAL, "a shape that lies within itself needs a name to be described");
  if (s->name && !push(l, s, e)) return false;
  if (!collect(l, s->items, depth + 1, e)) return false;
  if (!s->variants) return collect_fields(l, s->fields, depth + 1, e);
  for (const shape_variant *v = s->variants; v->type; v++)
    if (!v->refuse && !collect_fields(l, v->fields, depth + 1, e)) return false;
  return true;
}

bool schema_collect(schema_list *l, const shape *s, pn_error *e) { return collect(l, s, 0, e); }

// --- one ---------------------------------------------------------------------------------------------------

static void write_ref(pn_buf *b, const char *name, const char *variant) {
  schema_key(b, "$ref");
  pn_buf_printf(b, "\"#/components/schemas/%s%s%s\"", name, variant ? "." : "", variant ? variant : "");
}

static void write_types(pn_buf *b, unsigned types) {
  static const struct {
    unsigned bit;
    const char *name;
  } names[] = {{SHAPE_STRING, "string"}, {SHAPE_INT, "integer"}, {SHAPE_NUMBER, "number"},
               {SHAPE_BOOL, "boolean"},  {SHAPE_ARRAY, "array"}, {SHAPE_OBJECT, "object"},
               {SHAPE_NULL, "null"}};
  bool several = (types & (types - 1)) != 0;
  const char *comma = "";
  schema_key(b, "type");
  if (several) pn_buf_char(b, '[');
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (!(types & names[i].bit)) continue;
    pn_buf_printf(b, "%s\"%s\"", comma, names[i].name);
    comma = ",";
  }
  if (several) pn_buf_char(b, ']');
}

// Values are given for strings alone.
static void write_values(pn_buf *b, const char *const *values, bool nullable) {
  bool single = !values[1] && !nullable;
  schema_key(b, single ? "const" : "enum");
  if (!single) pn_buf_char(b, '[');
  for (size_t i = 0; values[i]; i++) {
    if (i) pn_buf_char(b, ',');
    pn_json_write_str(b, pn_str_of(values[i]));
  }
  if (nullable) pn_buf_z(b, ",null");
  if (!single) pn_buf_char(b, ']');
}

static void write_numbers(pn_buf *b, const shape *s) {
  if (!s->bounded) return;
  schema_key(b, "minimum");
  pn_buf_printf(b, "%.15g", s->min);
  if (!isfinite(s->max)) return;
  schema_key(b, "maximum");
  pn_buf_printf(b, "%.15g", s->max);
}

static void write_lengths(pn_buf *b, const shape *s) {
  if (s->min_len && (s->types & SHAPE_STRING))
    schema_key(b, "minLength"), pn_buf_printf(b, "%zu", s->min_len);
  if (s->min_len && (s->types & SHAPE_ARRAY)) schema_key(b, "minItems"), pn_buf_printf(b, "%zu", s->min_len);
  if (s->max_len && (s->types & SHAPE_ARRAY)) schema_key(b, "maxItems"), pn_buf_printf(b, "%zu", s->max_len);
}

// "required" and "properties" of an object, after the members that are there already.
static void write_members(pn_buf *b, const shape_field *fields, const char *tag, bool tag_optional) {
  const char *comma = "";
  size_t n_required = tag && !tag_optional;
  for (const shape_field *f = fields; f && f->name; f++) n_required += f->required;
  if (n_required) {
    schema_key(b, "required");
    pn_buf_char(b, '[');
    if (tag && !tag_optional) pn_buf_z(b, "\"type\""), comma = ",";
    for (const shape_field *f = fields; f && f->name; f++)
      if (f->required) pn_buf_printf(b, "%s\"%s\"", comma, f->name), comma = ",";
    pn_buf_char(b, ']');
  }
  schema_key(b, "properties");
  pn_buf_char(b, '{');
  if (tag)
    pn_buf_printf(b, tag_optional ? "\"type\":{\"enum\":[\"%s\",null]}" : "\"type\":{\"const\":\"%s\"}", tag);
  for (const shape_field *f = fields; f && f->name; f++) {
    schema_key(b, f->name);
    schema_write(b, f->shape, (schema_use){!f->required, f->doc});
  }
  pn_buf_char(b, '}');
}

// Everything but the variants of an object.
static void write_plain(pn_buf *b, const shape *s, unsigned types) {
  write_types(b, types);
  if (types & SHAPE_STRING) {
    if (s->values) write_values(b, s->values, types & SHAPE_NULL);
    schema_text(b, "pattern", s->pattern);
  }
  if (types & (SHAPE_INT | SHAPE_NUMBER)) write_numbers(b, s);
  write_lengths(b, s);
  if ((types & SHAPE_ARRAY) && s->items) {
    schema_key(b, "items");
    schema_write(b, s->items, (schema_use){0});
  }
  if ((types & SHAPE_OBJECT) && s->fields) write_members(b, s->fields, NULL, false);
}

static bool is_untyped(const shape *s, const shape_variant *v) {
  return s->untyped && strcmp(s->untyped, v->type) == 0;
}

static void write_variant(pn_buf *b, const shape *s, const shape_variant *v) {
  pn_buf_z(b, "{\"type\":\"object\"");
  write_members(b, v->fields, v->type, is_untyped(s, v));
  pn_buf_char(b, '}');
}

// Variants that are refused are not shown. A discriminator must be there, and points to named schemas only.
static void write_variants(pn_buf *b, const shape *s) {
  const char *comma = "";
  schema_key(b, "oneOf");
  pn_buf_char(b, '[');
  for (const shape_variant *v = s->variants; v->type; v++) {
    if (v->refuse) continue;
    pn_buf_z(b, comma);
    comma = ",";
    if (!s->name) {
      write_variant(b, s, v);
      continue;
    }
    pn_buf_char(b, '{');
    write_ref(b, s->name, v->type);
    pn_buf_char(b, '}');
  }
  pn_buf_char(b, ']');
  if (!s->name || s->untyped) return;
  pn_buf_z(b, ",\"discriminator\":{\"propertyName\":\"type\",\"mapping\":{");
  for (const shape_variant *v = s->variants; v->type; v++) {
    if (v->refuse) continue;
    schema_key(b, v->type);
    pn_buf_printf(b, "\"#/components/schemas/%s.%s\"", s->name, v->type);
  }
  pn_buf_z(b, "}}");
}

// The members of the schema of s, written out.
static void write_body(pn_buf *b, const shape *s, bool nullable) {
  unsigned types = s->types | (nullable ? (unsigned)SHAPE_NULL : 0);
  if (!s->variants) {
    write_plain(b, s, types);
    return;
  }
  types &= ~(unsigned)SHAPE_OBJECT;
  if (!types) {
    write_variants(b, s);
    return;
  }
  schema_key(b, "anyOf");
  pn_buf_z(b, "[{");
  write_plain(b, s, types);
  pn_buf_z(b, "},{");
  write_variants(b, s);
  pn_buf_z(b, "}]");
}

void schema_write(pn_buf *b, const shape *s, schema_use use) {
  pn_buf_char(b, '{');
  if (!s->name) {
    write_body(b, s, use.nullable);
  } else if (!use.nullable) {
    write_ref(b, s->name, NULL);
  } else {
    pn_buf_z(b, "\"anyOf\":[{");
    write_ref(b, s->name, NULL);
    pn_buf_z(b, "},{\"type\":\"null\"}]");
  }
  schema_text(b, "description", use.doc);
  pn_buf_char(b, '}');
}

void schema_write_component(pn_buf *b, const shape *s) {
  schema_key(b, s->name);
  pn_buf_char(b, '{');
  write_body(b, s, false);
  pn_buf_char(b, '}');
  for (const shape_variant *v = s->variants; v && v->type; v++) {
    if (v->refuse) continue;
    pn_buf_printf(b, ",\"%s.%s\":", s->name, v->type);
    write_variant(b, s, v);
  }
}
