// GET /docs: a page that shows the OpenAPI document, and what it needs. Everything comes from this program.
#include "api/api_core.h"
#include "api/docs_files.h"

static pn_reply *file(const unsigned char *bytes, size_t n, const char *type) {
  pn_reply *reply = api_reply_new(200, type);
  if (reply) pn_buf_add(&reply->body, bytes, n);
  return reply;
}

pn_reply *docs_page(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)a, (void)r, (void)tail;
  return file(docs_html, docs_html_size, "text/html; charset=utf-8");
}

pn_reply *docs_part(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)a;
  if (pn_str_is(tail, "docs.css")) return file(docs_css, docs_css_size, "text/css; charset=utf-8");
  if (pn_str_is(tail, "docs.js")) return file(docs_js, docs_js_size, "text/javascript; charset=utf-8");
  return api_reply_error(404, API_NO_SUCH_PATH, NULL, r->request_id);
}
