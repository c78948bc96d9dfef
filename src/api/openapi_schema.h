// Shapes as JSON Schema (draft 2020-12), as OpenAPI 3.1 has it.
#ifndef PN_API_OPENAPI_SCHEMA_H
#define PN_API_OPENAPI_SCHEMA_H

#include "api/shape.h"

// A place where a shape is used. The schema of a shape with a name is a reference to schema_component of it.
typedef struct schema_use {
  bool nullable;   // may be null beside what the shape says
  const char *doc; // NULL: none
} schema_use;
void schema_write(pn_buf *b, const shape *s, schema_use use);

// The shapes with a name that are met from some shape on, each once.
typedef struct schema_list {
  const shape **p;
  size_t n, cap;
} schema_list;
// Zero-initialise *l; schema_list_fini frees, also after a failure. PN_ERR_INTERNAL: a name is borne by two
// shapes, or a shape without a name lies within itself.
bool schema_collect(schema_list *l, const shape *s, pn_error *e);
void schema_list_fini(schema_list *l);

// The member of components.schemas for a shape with a name, and those of its variants:
// "Name":{...},"Name.variant":{...}
void schema_write_component(pn_buf *b, const shape *s);

// What must stand before the next member or item: "," unless it is the first of its object or list.
const char *schema_comma(const pn_buf *b);
// Begin a member of an object.
void schema_key(pn_buf *b, const char *name);
void schema_text(pn_buf *b, const char *name, const char *text); // a member with a string; nothing for NULL

#endif
