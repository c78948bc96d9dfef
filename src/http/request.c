// The library's callbacks: a request from its first line to its end.
//
// Order: first line, headers (first call of request_on_call), body (more calls), whole request (last call). A
// refusal of a request with a body is answered in the first call, which closes the connection behind the
// answer; without a body in the second, which keeps it. While a body arrives the library takes no answer, so
// a chunked body that grows too large is thrown away to its end and then refused.
//
// What the library can't read as a request at all (a malformed line or chunk, headers beyond its pool, no
// Host) it answers itself with a bare status: those answers alone have no request-id.
#include "base/clock.h"
#include "base/log.h"
#include "http/http_int.h"

#include <string.h>

#define MIN_BYTES_PER_S 16384 // slower bodies run into their deadline

static conn *conn_of(struct MHD_Connection *mc) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(mc, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info ? info->socket_context : NULL;
}

size_t request_on_unescape(void *h, struct MHD_Connection *mc, char *s) {
  (void)h, (void)mc;
  return strlen(s); // as sent: %2F is part of a name
}

void request_on_connection(void *h, struct MHD_Connection *mc, void **socket_ctx,
                           enum MHD_ConnectionNotificationCode what) {
  if (what == MHD_CONNECTION_NOTIFY_STARTED)
    *socket_ctx = conn_open(h, mc);
  else if (*socket_ctx)
    conn_close(*socket_ctx);
}

void *request_on_line(void *h, const char *uri, struct MHD_Connection *mc) {
  (void)h;
  conn *c = conn_of(mc);
  const char *mark = strchr(uri, '?');
  if (!c) return NULL;
  conn_request_begin(c);
  if (mark) c->query = pn_str_dup(pn_str_of(mark + 1));
  return c;
}

void request_on_completed(void *h, struct MHD_Connection *mc, void **ctx,
                          enum MHD_RequestTerminationCode why) {
  (void)h, (void)ctx;
  conn *c = conn_of(mc);
  if (c) conn_request_end(c, why == MHD_REQUEST_TERMINATED_COMPLETED_OK);
}

static bool refuse(conn *c, int status, const char *why) {
  c->reply = pn_api_error_reply(c->h->api, c->path, status, why, c->id);
  return c->reply != NULL;
}

// A comma-separated list of header names; anything else in it is left out.
static bool read_preflight(conn *c, const framing *f) {
  pn_buf names = {0};
  const char *p = f->asked_headers.p, *end = p + f->asked_headers.n;
  while (p < end) {
    const char *comma = memchr(p, ',', (size_t)(end - p));
    pn_str name = {p, (size_t)((comma ? comma : end) - p)};
    while (name.n && *name.p == ' ') name.p++, name.n--;
    while (name.n && name.p[name.n - 1] == ' ') name.n--;
    if (framing_is_token(name)) {
      pn_buf_z(&names, names.n ? ", " : "");
      pn_buf_str(&names, name);
    }
    p = comma ? comma + 1 : end;
  }
  c->private_network = f->asks_private_network;
  c->preflight = pn_str_dup(pn_buf_view(&names));
  pn_buf_fini(&names);
  return c->preflight != NULL;
}

// Headers are complete.
static enum MHD_Result on_headers(conn *c, const char *url, const char *method, const char *version) {
  c->begun = true;
  c->method = pn_str_dup(pn_str_of(method));
  c->path = pn_str_dup(framing_path(pn_str_of(url)));
  if (!c->method || !c->path) return MHD_NO;
  framing f;
  const char *why = "";
  int status = framing_check(c->h, c->mhd, method, url, version, &f, &why);
  c->caller = f.caller;
  c->cors_origin = origin_allowed(c->h, &f);
  if (!status && f.preflight && c->cors_origin && !read_preflight(c, &f)) return MHD_NO;
  if (status && !refuse(c, status, why)) return MHD_NO;
  if (status && f.has_body) {
    c->unread_body = true;
    return answer_queue(c);
  }
  c->client = f.session ? f.session : conn_client(c);
  c->phase = CONN_BODY;
  c->body_us = pn_now_us();
  conn_set_deadline(c, c->body_us + c->h->body_us);
  return MHD_YES;
}

static void drop_body(conn *c, int status, const char *why) {
  c->refuse_status = status;
  c->refusal = why;
  c->h->body_bytes -= c->body.n;
  pn_buf_fini(&c->body);
  conn_set_deadline(c, pn_now_us() + c->h->body_us); // it may end in peace, but not go on for ever
}

static void on_body(conn *c, const char *p, size_t n) {
  pn_http *h = c->h;
  c->n_body += n;
  if (c->refusal || c->reply) return;
  if (c->n_body > h->max_body_bytes) {
    drop_body(c, 413, "The request body is too large.");
    return;
  }
  if (h->body_bytes + n > h->body_budget_bytes) {
    drop_body(c, 503, "Too many large requests arrive at once; try again.");
    return;
  }
  pn_buf_add(&c->body, p, n);
  if (c->body.oom) {
    drop_body(c, 503, "There is no memory for this request; try again.");
    return;
  }
  h->body_bytes += n;
  conn_set_deadline(c, c->body_us + h->body_us + c->n_body * 1000000 / MIN_BYTES_PER_S);
}

// The whole request is there.
static enum MHD_Result on_whole(conn *c) {
  if (c->refusal && !c->reply && !refuse(c, c->refuse_status, c->refusal)) return MHD_NO;
  if (!c->reply && c->preflight) {
    c->reply = pn_api_empty_reply(204);
    if (!c->reply) return MHD_NO;
  }
  if (!c->reply) {
    const caller *who = &c->caller;
    pn_api_request r = {.method = c->method,
                        .path = c->path,
                        .query = pn_str_of(c->query),
                        .body = pn_buf_view(&c->body),
                        .request_id = c->id,
                        .key_name = who->key_name,
                        .session = *who->session ? who->session : NULL,
                        .agent = *who->agent ? who->agent : NULL,
                        .n_retries = who->n_retries,
                        .client = c->client,
                        .wake = conn_wake,
                        .wake_ctx = c};
    c->reply = pn_api_call(c->h->api, &r);
    c->h->body_bytes -= c->body.n; // nothing points into it any more
    pn_buf_fini(&c->body);
    if (!c->reply && !refuse(c, 529, "The server is out of memory; try again.")) return MHD_NO;
  }
  return answer_or_wait(c);
}

enum MHD_Result request_on_call(void *h, struct MHD_Connection *mc, const char *url, const char *method,
                                const char *version, const char *upload, size_t *n_upload, void **ctx) {
  (void)h, (void)ctx;
  conn *c = conn_of(mc);
  if (!c || c->gone) return MHD_NO;
  if (!c->begun) return on_headers(c, url, method, version);
  if (*n_upload) {
    on_body(c, upload, *n_upload);
    *n_upload = 0;
    return MHD_YES;
  }
  return on_whole(c);
}
