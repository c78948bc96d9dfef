#include "api/openapi.h"
#include "base/json.h"

#include <math.h>
#include <string.h>

static void write_text(pn_buf *b, const char *z) { pn_json_write_str(b, pn_str_of(z)); }

static void write_types(pn_buf *b, unsigned types) {
  static const struct {
    unsigned bit;
    const char *name;
  } names[] = {{SHAPE_STRING, "string"}, {SHAPE_INT, "integer"}, {SHAPE_NUMBER, "number"},
               {SHAPE_BOOL, "boolean"},  {SHAPE_ARRAY, "array"}, {SHAPE_OBJECT, "object"}};
  bool several = (types & (types - 1)) != 0, first = true;
  pn_buf_z(b, several ? "\"type\":[" : "\"type\":");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (!(types & names[i].bit)) continue;
    pn_buf_printf(b, "%s\"%s\"", first ? "" : ",", names[i].name);
    first = false;
  }
  if (several) pn_buf_char(b, ']');
}

static void write_bounds(pn_buf *b, const shape *s) {
  if (s->bounded) pn_buf_printf(b, ",\"minimum\":%.17g", s->min);
  if (s->bounded && isfinite(s->max)) pn_buf_printf(b, ",\"maximum\":%.17g", s->max);
  if (s->min_len && s->types & SHAPE_STRING) pn_buf_printf(b, ",\"minLength\":%zu", s->min_len);
  if (s->min_len && s->types & SHAPE_ARRAY) pn_buf_printf(b, ",\"minItems\":%zu", s->min_len);
  if (s->max_len && s->types & SHAPE_ARRAY) pn_buf_printf(b, ",\"maxItems\":%zu", s->max_len);
  for (const char *const *v = s->values; v && *v; v++) {
    pn_buf_z(b, v == s->values ? ",\"enum\":[" : ",");
    write_text(b, *v);
  }
  if (s->values) pn_buf_char(b, ']');
}

// An optional member may also be null.
static void write_member(pn_buf *b, const shape_field *f, schema_list *named) {
  write_text(b, f->name);
  pn_buf_z(b, f->required ? ":" : ":{\"anyOf\":[");
  if (f->required && f->shape->name) { // beside a reference only in 2020-12, which this is
    pn_buf_z(b, "{\"allOf\":[");
    schema_write(b, f->shape, named);
    pn_buf_z(b, "],\"description\":");
    write_text(b, f->doc);
    pn_buf_char(b, '}');
    return;
  }
  if (f->required) {
    pn_buf_z(b, "{\"description\":");
    write_text(b, f->doc);
    pn_buf_char(b, ',');
    size_t at = b->n;
    schema_write(b, f->shape, named);
    if (!b->oom) { // drop the brace that it begins with
      memmove(b->p + at, b->p + at + 1, b->n - at - 1);
      b->n--;
    }
    return;
  }
  schema_write(b, f->shape, named);
  pn_buf_z(b, ",{\"type\":\"null\"}],\"description\":");
  write_text(b, f->doc);
  pn_buf_char(b, '}');
}

// `tag`: the value of "type"; NULL: the object has none.
static void write_members(pn_buf *b, const shape_field *fields, const char *tag, bool tag_optional,
                          schema_list *named) {
  bool first = true;
  pn_buf_z(b, ",\"properties\":{");
  if (tag) {
    pn_buf_z(b, tag_optional ? "\"type\":{\"anyOf\":[{\"const\":" : "\"type\":{\"const\":");
    write_text(b, tag);
    pn_buf_z(b, tag_optional ? "},{\"type\":\"null\"}]}" : "}");
    first = false;
  }
  for (const shape_field *f = fields; f && f->name; f++, first = false) {
    if (!first) pn_buf_char(b, ',');
    write_member(b, f, named);
  }
  pn_buf_char(b, '}');
  const char *sep = ",\"required\":[";
  if (tag && !tag_optional) {
    pn_buf_printf(b, "%s\"type\"", sep);
    sep = ",";
  }
  for (const shape_field *f = fields; f && f->name; f++) {
    if (!f->required) continue;
    pn_buf_z(b, sep);
    write_text(b, f->name);
    sep = ",";
  }
  if (strcmp(sep, ",") == 0) pn_buf_char(b, ']');
}

static void write_variants(pn_buf *b, const shape *s, schema_list *named) {
  const char *sep = ",\"oneOf\":[";
  for (const shape_variant *v = s->variants; v->type; v++) {
    if (v->refuse) continue;
    pn_buf_printf(b, "%s{\"type\":\"object\"", sep);
    write_members(b, v->fields, v->type, s->untyped && strcmp(s->untyped, v->type) == 0, named);
    pn_buf_char(b, '}');
    sep = ",";
  }
  pn_buf_char(b, ']');
}

void schema_write_whole(pn_buf *b, const shape *s, schema_list *named) {
  pn_buf_char(b, '{');
  // Alternatives of which only one is an object are told apart by their types.
  bool mixed = s->types & SHAPE_OBJECT && s->types & ~(unsigned)SHAPE_OBJECT && (s->variants || s->fields);
  if (mixed) {
    shape object = *s, other = *s;
    object.types = SHAPE_OBJECT;
    other.types = s->types & ~(unsigned)SHAPE_OBJECT;
    other.variants = NULL;
    other.fields = NULL;
    pn_buf_z(b, "\"anyOf\":[");
    schema_write_whole(b, &object, named);
    pn_buf_char(b, ',');
    schema_write_whole(b, &other, named);
    pn_buf_z(b, "]}");
    return;
  }
  write_types(b, s->types);
  write_bounds(b, s);
  if (s->items) {
    pn_buf_z(b, ",\"items\":");
    schema_write(b, s->items, named);
  }
  if (s->variants)
    write_variants(b, s, named);
  else if (s->fields)
    write_members(b, s->fields, NULL, false, named);
  pn_buf_char(b, '}');
}

void schema_write(pn_buf *b, const shape *s, schema_list *named) {
  if (!s->name) {
    schema_write_whole(b, s, named);
    return;
  }
  int i = 0;
  while (i < named->n && named->p[i] != s) i++;
  if (i == named->n && i < (int)(sizeof named->p / sizeof *named->p)) named->p[named->n++] = s;
  pn_buf_printf(b, "{\"$ref\":\"#/components/schemas/%s\"}", s->name);
}
