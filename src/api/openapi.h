// The OpenAPI 3.1 document, made from the route table and the shapes that requests are checked against.
#ifndef PN_API_OPENAPI_H
#define PN_API_OPENAPI_H

#include "api/api_table.h"

// Append the document. Memory running out shows in the buffer.
void openapi_write(pn_buf *out, const api_route *table, const char *version);

// Named shapes that were referred to, each once.
typedef struct schema_list {
  const shape *p[64];
  int n;
} schema_list;

// Append the JSON Schema (2020-12) of a shape. A named shape becomes a reference and joins the list.
void schema_write(pn_buf *out, const shape *s, schema_list *named);
// The same of the shape itself, even when it has a name.
void schema_write_whole(pn_buf *out, const shape *s, schema_list *named);

#endif
