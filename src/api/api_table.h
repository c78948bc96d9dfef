// Every path that the server answers: how it is handled, and what the OpenAPI document says of it.
#ifndef PN_API_TABLE_H
#define PN_API_TABLE_H

#include "api/api_core.h"
#include "api/shape.h"

typedef struct api_route {
  const char *method, *path; // a "*" stands for one name, or, at the end, for everything that follows
  api_handler handler;
  bool openai; // errors in the shape of OpenAI's clients
  bool hidden; // no part of the API: not in the document
  const char *tag, *summary;
  const char *name;         // what the "*" stands for, in the document; NULL: there is none
  const shape_field *query; // what the query may hold; NULL: nothing that is looked at
  const shape *body;        // of the request; NULL: it has none
  const shape *answer;      // JSON of a 200; NULL: `type` alone says what it is
  const char *type;         // content type of the answer; NULL: application/json
  bool streams;             // or server-sent events, when the body asks for them
} api_route;

// In the order in which they are tried; `path` NULL ends the table.
extern const api_route api_table[];
int api_table_size(void);

#endif
