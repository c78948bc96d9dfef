// What the server says about itself: health and hello.
#include "api/api_core.h"
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
