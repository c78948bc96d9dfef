#include "api/api_reply.h"

#include "api/envelope.h"

#include <stdlib.h>

pn_reply *api_reply_new(int status, const char *content_type) {
  pn_reply *r = calloc(1, sizeof *r);
  if (!r) return NULL;
  r->status = status;
  r->content_type = content_type;
  r->ready = r->finished = true;
  return r;
}

// Official clients repeat a request twice: with five seconds they are still there after ten, which outlasts a
// restart, and a person still waits. Without the header they give up after two seconds.
#define RESTART_S 5

int api_reply_retry_after_s(int status) { return status == 503 ? RESTART_S : status == 529 ? 1 : 0; }

static pn_reply *new_error(int status) {
  pn_reply *r = api_reply_new(status, "application/json");
  if (!r) return NULL;
  r->retry_after_s = api_reply_retry_after_s(status);
  r->error_type = envelope_type(status);
  return r;
}

pn_reply *api_reply_error(int status, const char *message, const char *details, const char *request_id) {
  pn_reply *r = new_error(status);
  if (r) envelope_write(&r->body, status, message, details, request_id);
  return r;
}

pn_reply *api_reply_openai_error(int status, const char *message) {
  pn_reply *r = new_error(status);
  if (r) envelope_write_openai(&r->body, status, message);
  return r;
}

pn_reply *api_reply_later(pn_reply *r, int retry_after_s) {
  if (r && retry_after_s > 0) r->retry_after_s = retry_after_s;
  return r;
}

pn_reply *api_reply_fail(const pn_error *e, const char *details, const char *request_id) {
  return api_reply_error(envelope_status(e->code), e->msg, details, request_id);
}

pn_reply *api_reply_from(const api_source *source, void *self, bool streaming) {
  pn_reply *r = api_reply_new(200, streaming ? "text/event-stream; charset=utf-8" : "application/json");
  if (!r) {
    source->free(self, true);
    return NULL;
  }
  r->source = source;
  r->self = self;
  r->streaming = r->ready = streaming;
  r->finished = false;
  return r;
}

static void pump(pn_reply *r) {
  if (r->source && !r->finished) r->source->pump(r->self, r);
}

bool pn_reply_ready(pn_reply *r) {
  if (!r->ready) pump(r);
  return r->ready;
}

int pn_reply_status(const pn_reply *r) { return r->status; }
const char *pn_reply_content_type(const pn_reply *r) { return r->content_type; }
const char *pn_reply_allow(const pn_reply *r) { return r->allow; }
const pn_reply_header *pn_reply_headers(const pn_reply *r) { return r->headers; }
bool pn_reply_streaming(const pn_reply *r) { return r->streaming; }
int pn_reply_retry_after_s(const pn_reply *r) { return r->retry_after_s; }

const pn_reply_facts *pn_reply_facts_of(const pn_reply *r) { return &r->facts; }

static void count(pn_reply *r, int status) {
  api_counts_reply(r->counts, r->counted_path, status, r->error_type);
  r->counts = NULL;
}

// It is counted before its last bytes leave, so that who has read them finds it counted.
bool pn_reply_pull(pn_reply *r, pn_buf *out, bool *done) {
  pump(r);
  pn_buf_str(out, pn_buf_view(&r->body));
  pn_buf_clear(&r->body);
  *done = r->finished;
  if (r->finished) count(r, r->status);
  return !r->broken && !r->body.oom && !out->oom;
}

uint64_t pn_reply_deadline_us(const pn_reply *r) {
  return r->source && !r->finished ? r->source->deadline_us(r->self) : UINT64_MAX;
}

void pn_reply_end(pn_reply *r) {
  pump(r); // it may have come to its own end
  if (r->source && !r->finished) r->source->end(r->self, r);
}

void pn_reply_free(pn_reply *r, bool client_gone) {
  if (!r) return;
  count(r, r->ready ? r->status : 499);
  if (r->source) r->source->free(r->self, client_gone);
  pn_buf_fini(&r->body);
  free(r);
}
