// GET /v1/models: the model that is served, under its name and its aliases, in a shape that Anthropic's and
// OpenAI's clients both read.
#include "api/api_core.h"
#include "api/query.h"
#include "base/json.h"

static pn_str model_name(const pn_api *a) {
  return pn_str_of(a->o.model_name && *a->o.model_name ? a->o.model_name : "local");
}

// The model's names: its own, then the aliases. {NULL, 0} behind the last.
static pn_str name_at(const pn_api *a, size_t i) {
  if (i == 0) return model_name(a);
  for (size_t k = 0; a->o.aliases && a->o.aliases[k]; k++)
    if (k + 1 == i) return pn_str_of(a->o.aliases[k]);
  return (pn_str){0};
}

static bool is_name_of(const pn_api *a, pn_str name, size_t *at) {
  pn_str known;
  for (*at = 0; known = name_at(a, *at), known.p; ++*at)
    if (pn_str_eq(known, name)) return true;
  return false;
}

bool model_served(const pn_api *a, pn_str name) {
  size_t at;
  return !a->o.strict_model || is_name_of(a, name, &at);
}

// What the model is known to do with tools and thinking.
static void write_card(pn_buf *b, const pn_api *a) {
  pn_api_card c = speech_card(&a->speech);
  pn_buf_printf(b, ",\"tools\":{\"dialect\":\"%s\",\"template\":\"%s\"},\"thinking\":", c.dialect,
                pn_api_tool_form_name(c.tool_form));
  if (!c.think_open) {
    pn_buf_z(b, "null");
    return;
  }
  pn_buf_z(b, "{\"open\":");
  pn_json_write_str(b, pn_str_of(c.think_open));
  pn_buf_z(b, ",\"close\":");
  pn_json_write_str(b, pn_str_of(c.think_close));
  pn_buf_printf(b, ",\"by_template\":%s}", c.template_thinking ? "true" : "false");
}

// created_at is the epoch: the files don't say when a model was published, and the API allows that for such
// models.
static void write_model(pn_buf *b, const pn_api *a, pn_str name) {
  pn_engine_info info = {0};
  if (a->o.engine) pn_engine_info_of(a->o.engine, &info);
  pn_buf_z(b, "{\"type\":\"model\",\"id\":");
  pn_json_write_str(b, name);
  pn_buf_z(b, ",\"display_name\":");
  pn_json_write_str(b, model_name(a));
  pn_buf_printf(b,
                ",\"created_at\":\"1970-01-01T00:00:00Z\",\"lifecycle\":\"active\",\"max_input_tokens\":%d,"
                "\"max_tokens\":%d,\"object\":\"model\",\"created\":0,\"owned_by\":\"local\"",
                info.n_ctx, info.n_ctx);
  write_card(b, a);
  pn_buf_char(b, '}');
}

// Where the name that a query pair gives stands in the list. False when it is none of the model's names;
// without the pair *at stays.
static bool read_cursor(const pn_api *a, pn_str query, const char *key, size_t *at, pn_error *e) {
  pn_buf id = {0};
  bool ok = !query_get(query, key, &id) || is_name_of(a, pn_buf_view(&id), at);
  if (!ok) pn_fail(e, PN_ERR_USAGE, "%s: there is no model %.80s", key, pn_buf_cstr(&id));
  pn_buf_fini(&id);
  return ok;
}

static void write_id(pn_buf *b, const char *key, pn_str id) {
  pn_buf_printf(b, ",\"%s\":", key);
  if (id.p)
    pn_json_write_str(b, id);
  else
    pn_buf_z(b, "null");
}

// The names [from, to).
static pn_reply *write_list(const pn_api *a, size_t from, size_t to, bool more) {
  pn_reply *reply = api_reply_new(200, "application/json");
  if (!reply) return NULL;
  pn_buf *b = &reply->body;
  pn_buf_z(b, "{\"object\":\"list\",\"data\":[");
  for (size_t i = from; i < to; i++) {
    if (i > from) pn_buf_char(b, ',');
    write_model(b, a, name_at(a, i));
  }
  pn_buf_printf(b, "],\"has_more\":%s", more ? "true" : "false");
  write_id(b, "first_id", from < to ? name_at(a, from) : (pn_str){0});
  write_id(b, "last_id", from < to ? name_at(a, to - 1) : (pn_str){0});
  pn_buf_char(b, '}');
  return reply;
}

pn_reply *models_list(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  pn_error e = {0};
  int limit;
  size_t n = 0, after = SIZE_MAX, before = SIZE_MAX;
  while (name_at(a, n).p) n++;
  if (!query_limit(r->query, &limit, &e) || !read_cursor(a, r->query, "after_id", &after, &e) ||
      !read_cursor(a, r->query, "before_id", &before, &e))
    return api_reply_fail(&e, NULL, r->request_id);
  size_t from = after == SIZE_MAX ? 0 : after + 1, to = before == SIZE_MAX ? n : before;
  if (from > to) from = to;
  bool more = to - from > (size_t)limit;
  if (more && after == SIZE_MAX && before != SIZE_MAX)
    from = to - (size_t)limit; // those right before it
  else if (more)
    to = from + (size_t)limit;
  return write_list(a, from, to, more);
}

pn_reply *models_get(pn_api *a, const pn_api_request *r, pn_str tail) {
  pn_buf id = {0}, message = {0};
  pn_reply *reply = NULL;
  size_t at;
  query_unescape(&id, tail, false);
  if (is_name_of(a, pn_buf_view(&id), &at)) {
    reply = api_reply_new(200, "application/json");
    if (reply) write_model(&reply->body, a, pn_buf_view(&id));
  } else {
    pn_buf_z(&message, "model: ");
    pn_buf_str(&message, pn_buf_view(&id));
    reply = api_reply_error(404, pn_buf_cstr(&message), NULL, r->request_id);
  }
  pn_buf_fini(&id);
  pn_buf_fini(&message);
  return reply;
}
