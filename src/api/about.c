// What the server says about itself: health, hello, and the models list in Anthropic's shape.
#include "api/api_core.h"
#include "api/query.h"
#include "base/json.h"

static const char *text_or(const char *z, const char *other) { return z && *z ? z : other; }

pn_reply *about_health(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)r, (void)tail;
  pn_engine_info info = {0};
  if (a->o.engine) pn_engine_info_of(a->o.engine, &info);
  const char *status = !a->o.engine                ? "starting"
                       : info.failed               ? "failed"
                       : atomic_load(&a->draining) ? "draining"
                                                   : "ok";
  bool ok = a->o.engine && !info.failed && !atomic_load(&a->draining);
  pn_reply *reply = api_reply_new(ok ? 200 : 503, "application/json");
  if (!reply) return NULL;
  pn_buf *b = &reply->body;
  pn_buf_printf(b, "{\"status\":\"%s\",\"model\":", status);
  pn_json_write_str(b, pn_str_of(text_or(a->o.model_name, "")));
  pn_buf_z(b, ",\"backend\":");
  pn_json_write_str(b, pn_str_of(text_or(a->o.backend_name, "")));
  pn_buf_printf(b, ",\"context\":%d,\"running\":%d,\"waiting\":%d}", info.n_ctx, info.n_running,
                info.n_waiting);
  return reply;
}

pn_reply *about_hello(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)a, (void)r, (void)tail;
  pn_reply *reply = api_reply_new(200, "application/json");
  if (reply) pn_buf_z(&reply->body, "{\"service\":\"pensieve\"}");
  return reply;
}

// created_at is the epoch: the files don't say when a model was published, and the API allows that for such models.
static void write_model(pn_buf *b, const pn_api *a) {
  pn_engine_info info = {0};
  if (a->o.engine) pn_engine_info_of(a->o.engine, &info);
  pn_str name = pn_str_of(text_or(a->o.model_name, "local"));
  pn_buf_z(b, "{\"type\":\"model\",\"id\":");
  pn_json_write_str(b, name);
  pn_buf_z(b, ",\"display_name\":");
  pn_json_write_str(b, name);
  pn_buf_printf(b, ",\"created_at\":\"1970-01-01T00:00:00Z\",\"max_input_tokens\":%d,\"max_tokens\":%d}",
                info.n_ctx, info.n_ctx);
}

pn_reply *about_models(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)r, (void)tail;
  pn_reply *reply = api_reply_new(200, "application/json");
  if (!reply) return NULL;
  pn_buf *b = &reply->body;
  pn_str name = pn_str_of(text_or(a->o.model_name, "local"));
  pn_buf_z(b, "{\"data\":[");
  write_model(b, a);
  pn_buf_z(b, "],\"has_more\":false,\"first_id\":");
  pn_json_write_str(b, name);
  pn_buf_z(b, ",\"last_id\":");
  pn_json_write_str(b, name);
  pn_buf_char(b, '}');
  return reply;
}

pn_reply *about_model(pn_api *a, const pn_api_request *r, pn_str tail) {
  pn_buf id = {0}, message = {0};
  pn_reply *reply = NULL;
  query_unescape(&id, tail, false);
  if (pn_str_is(pn_buf_view(&id), text_or(a->o.model_name, "local"))) {
    reply = api_reply_new(200, "application/json");
    if (reply) write_model(&reply->body, a);
  } else {
    pn_buf_z(&message, "model: ");
    pn_buf_str(&message, pn_buf_view(&id));
    reply = api_reply_error(404, pn_buf_cstr(&message), NULL, r->request_id);
  }
  pn_buf_fini(&id);
  pn_buf_fini(&message);
  return reply;
}
