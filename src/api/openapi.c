#include "api/openapi.h"

#include "api/answers_shape.h"
#include "base/json.h"

#include <string.h>

static void write_text(pn_buf *b, const char *z) { pn_json_write_str(b, pn_str_of(z)); }

// "/v1/models/*" as "/v1/models/{model_id}".
static void write_path(pn_buf *b, const api_route *r) {
  const char *star = strchr(r->path, '*');
  if (star)
    pn_buf_printf(b, "\"%.*s{%s}%s\"", (int)(star - r->path), r->path, r->name, star + 1);
  else
    write_text(b, r->path);
}

static void write_parameter(pn_buf *b, const char *in, const char *name, const char *doc, bool required,
                            const shape *s, schema_list *named) {
  pn_buf_printf(b, "{\"name\":\"%s\",\"in\":\"%s\",\"required\":%s,\"description\":", name, in,
                required ? "true" : "false");
  write_text(b, doc);
  pn_buf_z(b, ",\"schema\":");
  schema_write(b, s, named);
  pn_buf_char(b, '}');
}

static void write_parameters(pn_buf *b, const api_route *r, schema_list *named) {
  static const shape name = {.types = SHAPE_STRING, .min_len = 1};
  if (!r->name && !r->query) return;
  pn_buf_z(b, ",\"parameters\":[");
  if (r->name) write_parameter(b, "path", r->name, "Percent-escapes allowed.", true, &name, named);
  for (const shape_field *f = r->query; f && f->name; f++) {
    if (r->name || f != r->query) pn_buf_char(b, ',');
    write_parameter(b, "query", f->name, f->doc, f->required, f->shape, named);
  }
  pn_buf_char(b, ']');
}

static void write_body(pn_buf *b, const api_route *r, schema_list *named) {
  if (!r->body) return;
  pn_buf_z(b, ",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":");
  schema_write(b, r->body, named);
  pn_buf_z(b, "}}}");
}

static void write_good(pn_buf *b, const api_route *r, schema_list *named) {
  pn_buf_z(b, "\"200\":{\"description\":\"The "
              "answer.\",\"headers\":{\"request-id\":{\"required\":true,\"schema\":{\"type\":"
              "\"string\"}}},\"content\":{");
  write_text(b, r->type ? r->type : "application/json");
  pn_buf_z(b, ":{\"schema\":");
  if (r->answer)
    schema_write(b, r->answer, named);
  else
    pn_buf_z(b, r->type ? "{\"type\":\"string\"}" : "{\"type\":\"object\"}");
  pn_buf_char(b, '}');
  if (r->streams)
    pn_buf_z(b, ",\"text/event-stream; "
                "charset=utf-8\":{\"schema\":{\"type\":\"string\",\"description\":\"Server-sent "
                "events, when the body asks for a stream.\"}}");
  pn_buf_z(b, "}}");
}

// Errors by status, and which routes can meet them.
static void write_errors(pn_buf *b, const api_route *r, schema_list *named) {
  enum { EVERY = 1, BODY = 2, NAMED = 4, GENERATES = 8 };
  static const struct {
    const char *status, *doc;
    int who;
  } errors[] = {
      {"400", "The request is malformed, or asks for what the model can't do.", EVERY},
      {"401", "The API key is missing or wrong.", EVERY},
      {"403", "The Host or Origin header names somebody else.", EVERY},
      {"404", "There is nothing of this name.", EVERY},
      {"413", "The body is too large.", BODY},
      {"431", "The headers are too large.", EVERY},
      {"500", "The server's fault.", EVERY},
      {"503", "The server starts or shuts down.", EVERY},
      {"504", "The request took longer than the server gives a request.", GENERATES},
      {"529", "The queue is full or memory is short; retry-after says when there may be room.", BODY},
  };
  int is = EVERY | (r->body ? BODY : 0) | (r->name ? NAMED : 0) | (r->streams ? GENERATES : 0);
  bool health = strcmp(r->path, "/health") == 0;
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    if (!(errors[i].who & is)) continue;
    pn_buf_printf(b, ",\"%s\":{\"description\":", errors[i].status);
    write_text(b, errors[i].doc);
    pn_buf_z(b, ",\"content\":{\"application/json\":{\"schema\":");
    if (health && strcmp(errors[i].status, "503") == 0)
      schema_write(b, r->answer, named);
    else
      schema_write(b, r->openai ? &answer_openai_error_shape : &answer_error_shape, named);
    pn_buf_z(b, "}}}");
  }
}

static void write_operation(pn_buf *b, const api_route *r, schema_list *named) {
  for (const char *p = r->method; *p; p++) pn_buf_char(b, p == r->method ? '"' : p[-1] | 0x20);
  pn_buf_printf(b, "%c\":{\"tags\":[", r->method[strlen(r->method) - 1] | 0x20);
  write_text(b, r->tag);
  pn_buf_z(b, "],\"summary\":");
  write_text(b, r->summary);
  write_parameters(b, r, named);
  write_body(b, r, named);
  pn_buf_z(b, ",\"responses\":{");
  write_good(b, r, named);
  write_errors(b, r, named);
  pn_buf_z(b, "}}");
}

// A path with all its methods, at the first of its routes.
static void write_paths(pn_buf *b, const api_route *table, schema_list *named) {
  bool first = true;
  pn_buf_z(b, ",\"paths\":{");
  for (const api_route *r = table; r->path; r++) {
    bool seen = r->hidden;
    for (const api_route *before = table; before < r; before++) seen |= strcmp(before->path, r->path) == 0;
    if (seen) continue;
    if (!first) pn_buf_char(b, ',');
    first = false;
    write_path(b, r);
    pn_buf_z(b, ":{");
    for (const api_route *same = r; same->path; same++) {
      if (strcmp(same->path, r->path) != 0) continue;
      if (same != r) pn_buf_char(b, ',');
      write_operation(b, same, named);
    }
    pn_buf_char(b, '}');
  }
  pn_buf_char(b, '}');
}

void openapi_write(pn_buf *b, const api_route *table, const char *version) {
  schema_list named = {.n = 0};
  pn_buf_z(b, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Pensieve\",\"version\":");
  write_text(b, version ? version : "0");
  pn_buf_z(
      b,
      ",\"summary\":\"A language model on your own machine, behind Anthropic's Messages API.\",\"license\":{"
      "\"name\":\"MIT\",\"identifier\":\"MIT\"}},\"servers\":[{\"url\":\"/"
      "\"}],\"security\":[{},{\"key\":[]},{"
      "\"bearer\":[]}]");
  write_paths(b, table, &named);
  pn_buf_z(b, ",\"components\":{\"securitySchemes\":{\"key\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":"
              "\"x-api-key\"},"
              "\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"}},\"schemas\":{");
  for (int i = 0; i < named.n; i++) { // writing one may name more
    if (i) pn_buf_char(b, ',');
    write_text(b, named.p[i]->name);
    pn_buf_char(b, ':');
    schema_write_whole(b, named.p[i], &named);
  }
  pn_buf_z(b, "}}}");
}

pn_reply *openapi_document(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)r, (void)tail;
  pn_reply *reply = api_reply_new(200, "application/json");
  if (reply) openapi_write(&reply->body, api_table, a->o.version);
  return reply;
}
