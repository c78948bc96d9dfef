// GET /v1/models: the model that is served, under its name and its aliases, in a shape that Anthropic's and OpenAI's
// clients both read.
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

// created_at is the epoch: the files don't say when a model was published, and the API allows that for such models.
static void write_model(pn_buf *b, const pn_api *a, pn_str name) {
  pn_engine_info info = {0};
  if (a->o.engine) pn_engine_info_of(a->o.engine, &info);
  pn_buf_z(b, "{\"type\":\"model\",\"id\":");
  pn_json_write_str(b, name);
  pn_buf_z(b, ",\"display_name\":");
  pn_json_write_str(b, model_name(a));
  pn_buf_printf(b,
                ",\"created_at\":\"1970-01-01T00:00:00Z\",\"lifecycle\":\"active\",\"max_input_tokens\":%d,"
                "\"max_tokens\":%d,\"object\":\"model\",\"created\":0,\"owned_by\":\"local\"}",
                info.n_ctx, info.n_ctx);
}

pn_reply *models_list(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)r, (void)tail;
  pn_reply *reply = api_reply_new(200, "application/json");
  if (!reply) return NULL;
  pn_buf *b = &reply->body;
  pn_str name = {0}, last = {0};
  pn_buf_z(b, "{\"object\":\"list\",\"data\":[");
  for (size_t i = 0; name = name_at(a, i), name.p; i++) {
    if (i) pn_buf_char(b, ',');
    write_model(b, a, name);
    last = name;
  }
  pn_buf_z(b, "],\"has_more\":false,\"first_id\":");
  pn_json_write_str(b, model_name(a));
  pn_buf_z(b, ",\"last_id\":");
  pn_json_write_str(b, last);
  pn_buf_char(b, '}');
  return reply;
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
