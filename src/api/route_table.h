// The routes: who answers which path, and what the document of the API says about it. A route with its shapes
// is all that a new endpoint needs to be documented.
#ifndef PN_API_ROUTE_TABLE_H
#define PN_API_ROUTE_TABLE_H

#include "api/api_core.h"
#include "api/shape.h"

// A "*" in a path stands for one name, or, at the end, for everything that follows. The first pattern that a
// path matches is the one it has, with any method. HEAD is answered as GET; the HTTP layer drops the body.
typedef struct api_route {
  const char *method, *path;
  api_handler handler;
  bool openai; // errors in the shape of OpenAI's clients
  bool open;   // answered without an API key

  // For the document.
  const char *tag;
  const char *id;           // the operation's name
  const char *summary;      // one line
  const char *names;        // what the "*" is the name of
  const shape_field *query; // NULL: none is read
  const shape *body;        // NULL: none is read
  const char *example;      // of the body, as JSON; NULL: none
  const char *type;         // of the answer; NULL: application/json
  const shape *answer; // of 200; of a line for application/x-jsonl; NULL: text, or nothing with `refuses`
  const shape *event;  // the data of server-sent events, the answer to "stream": true; NULL: it never streams
  bool may_miss;       // may be 404
  bool generates;      // may meet a full engine, or take too long
  bool tells_status;   // 503 has the same shape as 200
  bool refuses;        // never 200
} api_route;

extern const api_route api_routes[];
extern const int api_n_routes;

// The document (OpenAPI 3.1), as JSON. Nothing in it depends on the model.
bool openapi_write(pn_buf *b, const char *version, pn_error *e);

pn_reply *docs_openapi(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *docs_page(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *docs_script(pn_api *a, const pn_api_request *r, pn_str tail);
pn_reply *docs_style(pn_api *a, const pn_api_request *r, pn_str tail);

#endif
