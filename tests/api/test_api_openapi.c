// The document of the API, the schemas in it, and the page that shows it.
#include "api/openapi_schema.h"
#include "api/query.h"
#include "api/route_table.h"
#include "base/json.h"
#include "play.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// --- schemas -----------------------------------------------------------------------------------------------

static const char *const colours[] = {"red", "blue", NULL};
static const char *const single[] = {"one", NULL};
static const shape any_string = {.types = SHAPE_STRING};
static const shape colour = {.types = SHAPE_STRING, .values = colours};
static const shape constant = {.types = SHAPE_STRING, .values = single};
static const shape number = {.types = SHAPE_NUMBER, .bounded = true, .min = 0.5, .max = 2147483647};
static const shape count = {.types = SHAPE_INT, .bounded = true, .min = 1, .max = INFINITY};
static const shape list = {.types = SHAPE_ARRAY, .items = &count, .min_len = 1, .max_len = 9};
static const shape text_or_list = {.types = SHAPE_STRING | SHAPE_ARRAY, .items = &any_string, .min_len = 2};
static const shape nothing_or_colour = {.types = SHAPE_STRING | SHAPE_NULL, .values = colours};
static const shape_field pair_fields[] = {
    {"a", &colour, true, "The \"first\"."}, {"b", &colour, false, NULL}, {0}};
static const shape pair = {.types = SHAPE_OBJECT, .fields = pair_fields};
static const shape named = {.name = "Named", .types = SHAPE_OBJECT, .fields = pair_fields};
static const shape_field uses_fields[] = {{"x", &named, true, "Must."}, {"y", &named, false, "May."}, {0}};
static const shape uses = {.types = SHAPE_OBJECT, .fields = uses_fields};
static const shape_field left_fields[] = {{"n", &count, true, NULL}, {0}};
static const shape_variant kinds[] = {
    {"left", left_fields, NULL}, {"right", NULL, NULL}, {"gone", pair_fields, "no longer"}, {0}};
static const shape inline_kind = {.types = SHAPE_OBJECT, .variants = kinds};
static const shape text_or_kind = {.types = SHAPE_STRING | SHAPE_OBJECT, .variants = kinds};
static const shape kind = {.name = "Kind", .types = SHAPE_OBJECT, .variants = kinds};
static const shape untyped_kind = {
    .name = "Free", .types = SHAPE_OBJECT, .variants = kinds, .untyped = "left"};

static bool is_abc(pn_str s) { return pn_str_is(s, "abc"); }
static const shape patterned = {.types = SHAPE_STRING, .matches = is_abc, .pattern = "^abc$"};

#define LEFT                                                                                                 \
  "{\"type\":\"object\",\"required\":[\"type\",\"n\"],\"properties\":{\"type\":{\"const\":\"left\"},"        \
  "\"n\":{\"type\":\"integer\",\"minimum\":1}}}"
#define RIGHT "{\"type\":\"object\",\"required\":[\"type\"],\"properties\":{\"type\":{\"const\":\"right\"}}}"

static void shapes_become_schemas(void **state) {
  (void)state;
  static const struct {
    const shape *s;
    schema_use use;
    const char *want;
  } cases[] = {
      {&any_string, {0}, "{\"type\":\"string\"}"},
      {&any_string, {true, "Why"}, "{\"type\":[\"string\",\"null\"],\"description\":\"Why\"}"},
      {&colour, {0}, "{\"type\":\"string\",\"enum\":[\"red\",\"blue\"]}"},
      {&colour, {true, NULL}, "{\"type\":[\"string\",\"null\"],\"enum\":[\"red\",\"blue\",null]}"},
      {&nothing_or_colour, {0}, "{\"type\":[\"string\",\"null\"],\"enum\":[\"red\",\"blue\",null]}"},
      {&constant, {0}, "{\"type\":\"string\",\"const\":\"one\"}"},
      {&constant, {true, NULL}, "{\"type\":[\"string\",\"null\"],\"enum\":[\"one\",null]}"},
      {&patterned, {0}, "{\"type\":\"string\",\"pattern\":\"^abc$\"}"},
      {&number, {0}, "{\"type\":\"number\",\"minimum\":0.5,\"maximum\":2147483647}"},
      {&list,
       {0},
       "{\"type\":\"array\",\"minItems\":1,\"maxItems\":9,\"items\":{\"type\":\"integer\",\"minimum\":1}}"},
      {&text_or_list,
       {0},
       "{\"type\":[\"string\",\"array\"],\"minLength\":2,\"minItems\":2,\"items\":{\"type\":\"string\"}}"},
      {&pair,
       {0},
       "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"string\",\"enum\":["
       "\"red\",\"blue\"],\"description\":\"The \\\"first\\\".\"},\"b\":{\"type\":[\"string\",\"null\"],"
       "\"enum\":[\"red\",\"blue\",null]}}}"},
      {&uses,
       {0},
       "{\"type\":\"object\",\"required\":[\"x\"],\"properties\":{\"x\":{\"$ref\":"
       "\"#/components/schemas/Named\",\"description\":\"Must.\"},\"y\":{\"anyOf\":[{\"$ref\":"
       "\"#/components/schemas/Named\"},{\"type\":\"null\"}],\"description\":\"May.\"}}}"},
      {&inline_kind, {0}, "{\"oneOf\":[" LEFT "," RIGHT "]}"},
      {&text_or_kind, {0}, "{\"anyOf\":[{\"type\":\"string\"},{\"oneOf\":[" LEFT "," RIGHT "]}]}"},
      {&inline_kind, {true, NULL}, "{\"anyOf\":[{\"type\":\"null\"},{\"oneOf\":[" LEFT "," RIGHT "]}]}"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pn_buf b = {0};
    schema_write(&b, cases[i].s, cases[i].use);
    assert_string_equal(pn_buf_cstr(&b), cases[i].want);
    pn_buf_fini(&b);
  }
}

static void named_variants_have_a_discriminator(void **state) {
  (void)state;
  pn_buf b = {0};
  schema_write_component(&b, &kind);
  assert_string_equal(
      pn_buf_cstr(&b),
      "\"Kind\":{\"oneOf\":[{\"$ref\":\"#/components/schemas/Kind.left\"},{\"$ref\":"
      "\"#/components/schemas/Kind.right\"}],\"discriminator\":{\"propertyName\":\"type\",\"mapping\":{"
      "\"left\":\"#/components/schemas/Kind.left\",\"right\":\"#/components/schemas/Kind.right\"}}},"
      "\"Kind.left\":" LEFT ",\"Kind.right\":" RIGHT);
  pn_buf_clear(&b);
  schema_write_component(&b, &untyped_kind); // "type" may be absent, so that no discriminator tells
  assert_string_equal(
      pn_buf_cstr(&b),
      "\"Free\":{\"oneOf\":[{\"$ref\":\"#/components/schemas/Free.left\"},{\"$ref\":"
      "\"#/components/schemas/Free.right\"}]},\"Free.left\":{\"type\":\"object\",\"required\":[\"n\"],"
      "\"properties\":{\"type\":{\"enum\":[\"left\",null]},\"n\":{\"type\":\"integer\",\"minimum\":1}}},"
      "\"Free.right\":" RIGHT);
  pn_buf_fini(&b);
}

static const shape tree, loop;
static const shape_field tree_fields[] = {{"child", &tree, false, NULL}, {"pair", &named, true, NULL}, {0}};
static const shape tree = {.name = "Tree", .types = SHAPE_OBJECT, .fields = tree_fields};
static const shape_field loop_fields[] = {{"child", &loop, false, NULL}, {0}};
static const shape loop = {.types = SHAPE_OBJECT, .fields = loop_fields};
static const shape other = {.name = "Named", .types = SHAPE_STRING};
static const shape_field twice_fields[] = {{"a", &named, true, NULL}, {"b", &other, true, NULL}, {0}};
static const shape twice = {.types = SHAPE_OBJECT, .fields = twice_fields};

static void named_shapes_are_collected_once(void **state) {
  (void)state;
  schema_list l = {0};
  pn_error e = {0};
  assert_true(schema_collect(&l, &tree, &e) && schema_collect(&l, &uses, &e) && schema_collect(&l, NULL, &e));
  assert_int_equal(l.n, 2);
  assert_true(l.p[0] == &tree && l.p[1] == &named);
  schema_list_fini(&l);
  assert_false(schema_collect(&l, &loop, &e));
  assert_string_equal(e.msg, "a shape that lies within itself needs a name to be described");
  schema_list_fini(&l);
  e = (pn_error){0};
  assert_false(schema_collect(&l, &twice, &e));
  assert_string_equal(e.msg, "the shape's name Named is borne by two");
  schema_list_fini(&l);
}

static void patterns_are_checked(void **state) {
  (void)state;
  pn_error e = {0};
  pn_json *good = pn_json_new_str(PN_STR("abc")), *bad = pn_json_new_str(PN_STR("abd")),
          *null = pn_json_new_null(), *big = pn_json_new_int(1ll << 40);
  assert_true(shape_check(&patterned, good, NULL, &e));
  assert_false(shape_check(&patterned, bad, NULL, &e));
  assert_string_equal(e.msg, "request body: String should match pattern '^abc$'");
  assert_true(shape_check(&nothing_or_colour, null, NULL, &e));
  e = (pn_error){0};
  assert_false(shape_check(&colour, null, NULL, &e));
  e = (pn_error){0};
  assert_false(shape_check(&number, big, NULL, &e));
  assert_string_equal(e.msg, "request body: Input should be less than or equal to 2147483647");
  pn_json_free(good);
  pn_json_free(bad);
  pn_json_free(null);
  pn_json_free(big);
}

// --- routes ------------------------------------------------------------------------------------------------

static void every_route_is_described(void **state) {
  (void)state;
  for (int i = 0; i < api_n_routes; i++) {
    const api_route *r = &api_routes[i];
    bool named_path = strchr(r->path, '*') != NULL, posts = strcmp(r->method, "POST") == 0;
    if (!r->tag || !r->id || !r->summary) fail_msg("%s %s has no tag, id or summary", r->method, r->path);
    if (!r->answer && !r->type && !r->refuses) fail_msg("%s %s has no answer", r->method, r->path);
    if (named_path != (r->names != NULL)) fail_msg("%s: say what its * names", r->path);
    if (posts && !named_path && !r->body) fail_msg("%s %s has no body", r->method, r->path);
    if (r->event && !r->generates) fail_msg("%s streams what it does not generate", r->path);
    if (!r->body != !r->example) fail_msg("%s %s has no example of its body", r->method, r->path);
    for (int k = 0; k < i; k++) assert_string_not_equal(api_routes[k].id, r->id);
    if (!r->example) continue;
    pn_error e = {0};
    pn_json *example = pn_json_parse(pn_str_of(r->example), &e);
    if (!example || !shape_check(r->body, example, NULL, &e)) fail_msg("%s: example: %s", r->path, e.msg);
    pn_json_free(example);
  }
}

static void check_refs(const pn_json *v, const pn_json *document, int *n) {
  for (size_t i = 0; pn_json_is(v, PN_JSON_ARRAY) && i < pn_json_len(v); i++)
    check_refs(pn_json_at(v, i), document, n);
  if (!pn_json_is(v, PN_JSON_OBJECT)) return;
  const char *ref = pn_json_cstr(pn_json_get(v, "$ref"));
  if (*ref) {
    char part[120], *slash;
    const pn_json *at = document;
    assert_true(strncmp(ref, "#/", 2) == 0 && strlen(ref) < sizeof part);
    strcpy(part, ref + 2);
    for (char *p = part; at && p; p = slash) {
      slash = strchr(p, '/');
      if (slash) *slash++ = '\0';
      at = pn_json_get(at, p);
    }
    if (!at) fail_msg("%s points nowhere", ref);
    ++*n;
  }
  for (const pn_json_member *m = pn_json_first(v); m; m = pn_json_next(v, m))
    check_refs(pn_json_value(m), document, n);
}

static void the_document_has_every_route(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_reply *r = play_call(&p, "GET", "/openapi.json", "");
  assert_int_equal(pn_reply_status(r), 200);
  char *text = play_body(r);
  pn_reply_free(r, false);
  pn_error e = {0};
  pn_json *document = pn_json_parse(pn_str_of(text), &e);
  if (!document) fail_msg("%s", e.msg);
  assert_string_equal(pn_json_cstr(pn_json_get(document, "openapi")), "3.1.0");
  const pn_json *paths = pn_json_get(document, "paths");
  for (int i = 0; i < api_n_routes; i++) {
    char path[100], method[10] = "", *star;
    strcpy(path, api_routes[i].path);
    if ((star = strchr(path, '*'))) {
      memmove(star + 4, star + 1, strlen(star));
      memcpy(star, "{id}", 4);
    }
    for (size_t k = 0; api_routes[i].method[k]; k++) method[k] = (char)(api_routes[i].method[k] | 0x20);
    const pn_json *operation = pn_json_get(pn_json_get(paths, path), method);
    if (!operation) fail_msg("%s %s is not in the document", method, path);
    assert_string_equal(pn_json_cstr(pn_json_get(operation, "operationId")), api_routes[i].id);
    assert_int_equal(pn_json_get(operation, "requestBody") != NULL, api_routes[i].body != NULL);
  }
  int n_refs = 0;
  check_refs(document, document, &n_refs);
  assert_true(n_refs > 200);
  assert_null(strstr(text, "org/tiny")); // nothing of the model
  pn_json_free(document);
  r = play_call(&p, "GET", "/openapi.json", "");
  char *again = play_body(r);
  assert_string_equal(again, text);
  pn_reply_free(r, false);
  free(again);
  free(text);
  play_fini(&p);
}

static void some_paths_need_no_key(void **state) {
  (void)state;
  static const char *const open[] = {"/health",       "/docs",          "/docs/",
                                     "/docs/docs.js", "/docs/docs.css", "/openapi.json"};
  static const char *const closed[] = {"/",        "/metrics",         "/v1/models",   "/docs/x",
                                       "/healthy", "/docs/../metrics", "/v1/messages", "/api/hello",
                                       ""};
  for (size_t i = 0; i < sizeof open / sizeof *open; i++) assert_true(pn_api_is_open(open[i]));
  for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) assert_false(pn_api_is_open(closed[i]));
}

static void limits_are_digits_within_the_shape(void **state) {
  (void)state;
  static const struct {
    const char *query;
    int want; // 0: refused
  } cases[] = {{"", 20},         {"limit=1", 1},    {"limit=1000", 1000},
               {"limit=007", 7}, {"limit=1001", 0}, {"limit=0", 0},
               {"limit=", 0},    {"limit=+5", 0},   {"limit=%205", 0},
               {"limit=-1", 0},  {"limit=5%00", 0}, {"limit=99999999999999999999999999", 0},
               {"limit=5.0", 0}, {"xlimit=3", 20},  {"limit=3&limit=x", 3}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int limit = -1;
    pn_error e = {0};
    assert_int_equal(query_limit(pn_str_of(cases[i].query), &limit, &e), cases[i].want != 0);
    if (cases[i].want) assert_int_equal(limit, cases[i].want);
    if (!cases[i].want) assert_string_equal(e.msg, "limit: Input should be an integer from 1 to 1000");
  }
}

// --- the page ----------------------------------------------------------------------------------------------

static const char *header(const pn_reply *r, const char *name) {
  for (const pn_reply_header *h = pn_reply_headers(r); h && h->name; h++)
    if (strcmp(h->name, name) == 0) return h->value;
  return "";
}

static void the_page_is_in_the_binary(void **state) {
  (void)state;
  static const struct {
    const char *path, *type, *holds;
  } files[] = {{"/docs", "text/html; charset=utf-8", "<script src=\"/docs/docs.js\" defer></script>"},
               {"/docs/", "text/html; charset=utf-8", "href=\"/docs/docs.css\""},
               {"/docs/docs.js", "text/javascript; charset=utf-8", "fetch('/openapi.json')"},
               {"/docs/docs.css", "text/css; charset=utf-8", "prefers-color-scheme: dark"}};
  play p;
  play_init(&p);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    pn_reply *r = play_call(&p, "GET", files[i].path, "");
    assert_int_equal(pn_reply_status(r), 200);
    assert_string_equal(pn_reply_content_type(r), files[i].type);
    assert_string_equal(header(r, "Cache-Control"), "no-cache");
    const char *policy = header(r, "Content-Security-Policy");
    assert_non_null(strstr(policy, "default-src 'none'"));
    assert_null(strstr(policy, "unsafe"));
    char *body = play_body(r);
    assert_non_null(strstr(body, files[i].holds));
    assert_null(strstr(body, "://")); // it asks nobody else for anything
    assert_null(strstr(body, "<style"));
    free(body);
    pn_reply_free(r, false);
  }
  pn_reply *r = play_call(&p, "GET", "/health", "");
  assert_null(pn_reply_headers(r));
  pn_reply_free(r, false);
  play_fini(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shapes_become_schemas),
      cmocka_unit_test(named_variants_have_a_discriminator),
      cmocka_unit_test(named_shapes_are_collected_once),
      cmocka_unit_test(patterns_are_checked),
      cmocka_unit_test(every_route_is_described),
      cmocka_unit_test(the_document_has_every_route),
      cmocka_unit_test(some_paths_need_no_key),
      cmocka_unit_test(limits_are_digits_within_the_shape),
      cmocka_unit_test(the_page_is_in_the_binary),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
