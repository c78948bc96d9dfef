// GET /openapi.json and the page that shows it, whose files are in the binary.
#include "api/docs_files.h"
#include "api/envelope.h"
#include "api/route_table.h"

// A new binary may have new ones under the same names.
#define FRESH                                                                                                \
  { "Cache-Control", "no-cache" }

pn_reply *docs_openapi(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  static const pn_reply_header headers[] = {FRESH, {0}};
  pn_error e = {0};
  if (!a->openapi.n && !openapi_write(&a->openapi, a->o.version, &e)) {
    pn_buf_fini(&a->openapi);
    return api_reply_fail(&e, NULL, r->request_id);
  }
  pn_reply *reply = api_reply_new(200, "application/json");
  if (!reply) return NULL;
  reply->headers = headers;
  pn_buf_str(&reply->body, pn_buf_view(&a->openapi));
  return reply;
}

static pn_reply *file(const unsigned char *bytes, size_t n, const char *type) {
  // The page takes nothing from anywhere else, and runs no script that is not a file of its own.
  static const pn_reply_header headers[] = {
      FRESH,
      {"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; "
                                  "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                                  "frame-ancestors 'none'"},
      {"Referrer-Policy", "no-referrer"},
      {0},
  };
  pn_reply *reply = api_reply_new(200, type);
  if (!reply) return NULL;
  reply->headers = headers;
  pn_buf_add(&reply->body, bytes, n);
  return reply;
}

#define FILE_HANDLER(name, file_name, type)                                                                  \
  pn_reply *name(pn_api *a, const pn_api_request *r, pn_str tail) {                                          \
    (void)a, (void)r, (void)tail;                                                                            \
    return file(file_name, file_name##_n, type);                                                             \
  }
FILE_HANDLER(docs_page, docs_html, "text/html; charset=utf-8")
FILE_HANDLER(docs_script, docs_js, "text/javascript; charset=utf-8")
FILE_HANDLER(docs_style, docs_css, "text/css; charset=utf-8")
