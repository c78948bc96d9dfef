// The document of the API, from the table of routes and its shapes.
#include "api/answer_shapes.h"
#include "api/openapi_schema.h"
#include "api/route_table.h"

#include <string.h>

static const char about[] =
    "A language model on this machine. The endpoints of Anthropic's Messages API come first, then those of "
    "OpenAI's clients. Members that a schema does not name are ignored, and an optional member may be null. "
    "HEAD works where GET does. A trailing slash does not count, and /v1/v1/... is the same as /v1/...";

static void flag(pn_buf *b, const char *name) {
  schema_key(b, name);
  pn_buf_z(b, "true");
}

// --- errors ------------------------------------------------------------------------------------------------

typedef struct failure {
  int status;
  const char *what;
  bool (*may)(const api_route *r);
} failure;

static bool always(const api_route *r) { return r != NULL; }
static bool keyed(const api_route *r) { return !r->open; }
static bool may_miss(const api_route *r) { return r->may_miss; }
static bool has_body(const api_route *r) { return r->body != NULL; }
static bool generates(const api_route *r) { return r->generates; }
static bool hides_status(const api_route *r) { return !r->tells_status; }

static const failure failures[] = {
    {400, "The request is malformed, too long for the context, or asks for what the model cannot do.",
     always},
    {401, "The API key is missing or wrong.", keyed},
    {403, "The Host or Origin header names another place, or the key may not do this.", always},
    {404, "There is no such thing, or none now.", may_miss},
    {413, "The body is too large.", has_body},
    {431, "The headers are too large.", always},
    {429, "The key has sent more requests than it may in a minute; retry-after says when to come back.",
     generates},
    {500, "The server's fault.", always},
    {503, "The server starts or shuts down; retry-after says when to come back.", hides_status},
    {504, "It took longer than the server gives a request.", generates},
    {529, "The queue is full or memory is short; retry-after says when to come back.", always},
};
enum { N_FAILURES = sizeof failures / sizeof *failures };

static bool has_retry_after(int status) { return status == 429 || status == 503 || status == 529; }

static void write_headers(pn_buf *b, bool retry_after) {
  schema_key(b, "headers");
  pn_buf_z(b, "{\"request-id\":{\"$ref\":\"#/components/headers/request-id\"}");
  if (retry_after) pn_buf_z(b, ",\"retry-after\":{\"$ref\":\"#/components/headers/retry-after\"}");
  pn_buf_char(b, '}');
}

static void write_failures(pn_buf *b, const shape *envelope) {
  for (int i = 0; i < N_FAILURES; i++) {
    pn_buf_printf(b, "%s\"%s.%d\":{", schema_comma(b), envelope->name, failures[i].status);
    schema_text(b, "description", failures[i].what);
    write_headers(b, has_retry_after(failures[i].status));
    pn_buf_z(b, ",\"content\":{\"application/json\":{\"schema\":");
    schema_write(b, envelope, (schema_use){0});
    pn_buf_z(b, "}}}");
  }
}

// --- one operation -----------------------------------------------------------------------------------------

static void write_parameter(pn_buf *b, const char *in, const shape_field *f) {
  pn_buf_printf(b, "%s{", schema_comma(b));
  schema_text(b, "name", f->name);
  schema_text(b, "in", in);
  schema_text(b, "description", f->doc);
  if (f->required) flag(b, "required");
  schema_key(b, "schema");
  schema_write(b, f->shape, (schema_use){0});
  pn_buf_char(b, '}');
}

static void write_parameters(pn_buf *b, const api_route *r) {
  static const shape name = {.types = SHAPE_STRING, .min_len = 1};
  bool named = strchr(r->path, '*') != NULL;
  if (!named && !r->query) return;
  schema_key(b, "parameters");
  pn_buf_char(b, '[');
  if (named) write_parameter(b, "path", &(shape_field){"id", &name, true, r->names});
  for (const shape_field *f = r->query; f && f->name; f++) write_parameter(b, "query", f);
  pn_buf_char(b, ']');
}

static void write_content(pn_buf *b, const char *type, const shape *s, const char *example) {
  schema_key(b, type);
  pn_buf_z(b, "{\"schema\":");
  if (s)
    schema_write(b, s, (schema_use){0});
  else
    pn_buf_z(b, "{\"type\":\"string\"}");
  if (example) pn_buf_printf(b, ",\"example\":%s", example);
  pn_buf_char(b, '}');
}

static void write_event_data(pn_buf *b, const shape *s) {
  pn_buf_z(b, "{\"type\":\"string\",\"contentMediaType\":\"application/json\",\"contentSchema\":");
  schema_write(b, s, (schema_use){0});
  pn_buf_char(b, '}');
}

// In OpenAPI 3.1 the schema of a stream is that of each event, and of lines of JSON that of each line. The
// Messages API has an event for errors and one for the end.
static void write_events(pn_buf *b, const api_route *r) {
  schema_key(b, "text/event-stream");
  pn_buf_z(b, "{\"schema\":{\"type\":\"object\",\"required\":[\"data\"],\"properties\":{");
  if (!r->openai) pn_buf_z(b, "\"event\":{\"type\":\"string\",\"description\":\"The type of the data.\"}");
  schema_key(b, "data");
  if (r->openai) {
    pn_buf_z(b, "{\"anyOf\":[");
    write_event_data(b, r->event);
    pn_buf_char(b, ',');
    write_event_data(b, &answer_openai_error);
    pn_buf_z(b, ",{\"const\":\"[DONE]\",\"description\":\"The end.\"}]}");
  } else {
    write_event_data(b, r->event);
  }
  pn_buf_z(b, "}}}");
}

static void write_answer(pn_buf *b, const api_route *r, int status, const char *what) {
  pn_buf_printf(b, "%s\"%d\":{", schema_comma(b), status);
  schema_text(b, "description", what);
  write_headers(b, false);
  pn_buf_z(b, ",\"content\":{");
  write_content(b, r->type ? r->type : "application/json", r->answer, NULL);
  if (r->event) write_events(b, r);
  pn_buf_z(b, "}}");
}

static void write_responses(pn_buf *b, const api_route *r) {
  schema_key(b, "responses");
  pn_buf_char(b, '{');
  if (!r->refuses)
    write_answer(b, r, 200,
                 r->event ? "The answer; events when the body says \"stream\": true." : "The answer.");
  for (int i = 0; i < N_FAILURES; i++) {
    if (!failures[i].may(r)) continue;
    pn_buf_printf(b, "%s\"%d\":{\"$ref\":\"#/components/responses/%s.%d\"}", schema_comma(b),
                  failures[i].status, r->openai ? answer_openai_error.name : answer_error.name,
                  failures[i].status);
  }
  if (r->tells_status) write_answer(b, r, 503, "Requests are not served.");
  pn_buf_char(b, '}');
}

static void write_operation(pn_buf *b, const api_route *r) {
  static const char *const methods[][2] = {
      {"GET", "get"}, {"POST", "post"}, {"DELETE", "delete"}, {"PUT", "put"}};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
    if (strcmp(methods[i][0], r->method) == 0) schema_key(b, methods[i][1]);
  pn_buf_printf(b, "{\"tags\":[\"%s\"]", r->tag);
  schema_text(b, "operationId", r->id);
  schema_text(b, "summary", r->summary);
  if (r->open) pn_buf_z(b, ",\"security\":[]");
  write_parameters(b, r);
  if (r->body) {
    pn_buf_z(b, ",\"requestBody\":{\"required\":true,\"content\":{");
    write_content(b, "application/json", r->body, r->example);
    pn_buf_z(b, "}}");
  }
  write_responses(b, r);
  pn_buf_char(b, '}');
}

// --- all ---------------------------------------------------------------------------------------------------

static int first_with(const char *path) {
  int i = 0;
  while (strcmp(api_routes[i].path, path) != 0) i++;
  return i;
}

static void write_paths(pn_buf *b) {
  schema_key(b, "paths");
  pn_buf_char(b, '{');
  for (int i = 0; i < api_n_routes; i++) {
    const char *path = api_routes[i].path, *star = strchr(path, '*');
    if (first_with(path) != i) continue;
    if (i) pn_buf_char(b, ',');
    if (star)
      pn_buf_printf(b, "\"%.*s{id}%s\":{", (int)(star - path), path, star + 1);
    else
      pn_buf_printf(b, "\"%s\":{", path);
    for (int k = i; k < api_n_routes; k++)
      if (strcmp(api_routes[k].path, path) == 0) write_operation(b, &api_routes[k]);
    pn_buf_char(b, '}');
  }
  pn_buf_char(b, '}');
}

static void write_tags(pn_buf *b) {
  schema_key(b, "tags");
  pn_buf_char(b, '[');
  for (int i = 0; i < api_n_routes; i++) {
    int first = 0;
    while (strcmp(api_routes[first].tag, api_routes[i].tag) != 0) first++;
    if (first == i) pn_buf_printf(b, "%s{\"name\":\"%s\"}", i ? "," : "", api_routes[i].tag);
  }
  pn_buf_char(b, ']');
}

static bool collect(schema_list *l, pn_error *e) {
  if (!schema_collect(l, &answer_error, e) || !schema_collect(l, &answer_openai_error, e)) return false;
  for (int i = 0; i < api_n_routes; i++) {
    const api_route *r = &api_routes[i];
    for (const shape_field *f = r->query; f && f->name; f++)
      if (!schema_collect(l, f->shape, e)) return false;
    if (!schema_collect(l, r->body, e) || !schema_collect(l, r->answer, e) || !schema_collect(l, r->event, e))
      return false;
  }
  return true;
}

static void write_components(pn_buf *b, const schema_list *l) {
  pn_buf_z(b, ",\"components\":{\"securitySchemes\":{"
              "\"x-api-key\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"x-api-key\"},"
              "\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"}},\"headers\":{"
              "\"request-id\":{\"description\":\"Names the request in the log.\",\"required\":true,"
              "\"schema\":{\"type\":\"string\"}},"
              "\"retry-after\":{\"description\":\"Seconds after which to come back.\",\"required\":true,"
              "\"schema\":{\"type\":\"integer\",\"minimum\":1}}},\"responses\":{");
  write_failures(b, &answer_error);
  write_failures(b, &answer_openai_error);
  pn_buf_z(b, "},\"schemas\":{");
  for (size_t i = 0; i < l->n; i++) schema_write_component(b, l->p[i]);
  pn_buf_z(b, "}}");
}

bool openapi_write(pn_buf *b, const char *version, pn_error *e) {
  schema_list l = {0};
  bool ok = collect(&l, e);
  if (ok) {
    pn_buf_z(b, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Pensieve\"");
    schema_text(b, "version", version ? version : "0");
    schema_text(b, "description", about);
    pn_buf_z(b, "},\"servers\":[{\"url\":\"/\"}],\"security\":[{\"x-api-key\":[]},{\"bearer\":[]},{}]");
    write_tags(b);
    write_paths(b);
    write_components(b, &l);
    pn_buf_char(b, '}');
    ok = !b->oom || pn_fail(e, PN_ERR_NOMEM, "out of memory for the document of the API");
  }
  schema_list_fini(&l);
  return ok;
}
