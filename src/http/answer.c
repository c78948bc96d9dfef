// From a reply to the socket. The library asks for bytes only when the socket takes some; then the reply is
// pulled. With nothing to send the connection is suspended until a wake-up, the reply's deadline or the
// client's end.
#include "base/clock.h"
#include "base/log.h"
#include "http/http_int.h"

#include <stdio.h>
#include <string.h>

#define PROBE ":\n\n" // a comment and the end of an event that has no fields: every SSE reader skips it
#define PROBE_GAP_US 10000
#define RETRY_US 10000 // a reply whose deadline doesn't move on is asked again this much later
#define MIN_BYTES_PER_S 16384

static size_t pending(const conn *c) { return c->out.n - c->out_at; }

static bool answer_pull(conn *c) {
  if (c->pulled_all) return true;
  if (c->out_at == c->out.n) {
    pn_buf_clear(&c->out);
    c->out_at = 0;
  }
  bool done = false;
  if (!pn_reply_pull(c->reply, &c->out, &done) || c->out.oom) return conn_abandon(c, "reply failed"), false;
  c->pulled_all = done;
  if (pn_reply_streaming(c->reply) && pending(c) > HTTP_PENDING_BYTES)
    return conn_abandon(c, "client reads too slowly"), false;
  return true;
}

// When a suspended connection wants attention without being woken.
static uint64_t next_look(const conn *c) {
  uint64_t now = pn_now_us(), at = pn_reply_deadline_us(c->reply);
  if (at < now + RETRY_US) at = now + RETRY_US;
  return c->n_probes > 0 && c->phase == CONN_ANSWER && now + PROBE_GAP_US < at ? now + PROBE_GAP_US : at;
}

// Ask a client that sends no more whether it still reads.
static bool probe(conn *c) {
  if (c->n_probes == 0 || !pn_reply_streaming(c->reply)) return false;
  if (c->n_sent && memcmp(c->tail, "\n\n", 2) != 0) return false; // inside a frame
  c->n_probes--;
  pn_buf_clear(&c->out);
  c->out_at = 0;
  pn_buf_z(&c->out, PROBE);
  return !c->out.oom;
}

void answer_advance(conn *c) {
  if (!answer_pull(c)) return;
  bool go = c->phase == CONN_WAITING ? pn_reply_ready(c->reply) || c->pulled_all
                                     : pending(c) > 0 || c->pulled_all || probe(c);
  if (go)
    conn_resume(c);
  else
    conn_set_deadline(c, next_look(c));
}

static ssize_t read_answer(void *ctx, uint64_t pos, char *to, size_t max) {
  (void)pos;
  conn *c = ctx;
  if (c->gone || (pending(c) == 0 && !answer_pull(c))) return MHD_CONTENT_READER_END_WITH_ERROR;
  size_t n = pending(c) < max ? pending(c) : max;
  if (n == 0 && c->pulled_all) return MHD_CONTENT_READER_END_OF_STREAM;
  if (n == 0) {
    conn_suspend(c, next_look(c));
    return 0;
  }
  const char *from = c->out.p + c->out_at;
  memcpy(to, from, n);
  c->tail[0] = n > 1 ? from[n - 2] : c->tail[1];
  c->tail[1] = from[n - 1];
  c->out_at += n;
  c->n_sent += n;
  conn_set_deadline(c, pn_now_us() + c->h->stall_us);
  return (ssize_t)n;
}

static struct MHD_Response *make_response(conn *c) {
  bool head = strcmp(c->method, "HEAD") == 0;
  if (c->pulled_all || head) {
    c->n_sent = head ? 0 : c->out.n;
    conn_set_deadline(c, pn_now_us() + c->h->stall_us + c->n_sent * 1000000 / MIN_BYTES_PER_S);
    return MHD_create_response_from_buffer(c->out.n, c->out.p, MHD_RESPMEM_PERSISTENT);
  }
  conn_set_deadline(c, pn_now_us() + c->h->stall_us);
  return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 8192, read_answer, c, NULL);
}

static bool add_headers(conn *c, struct MHD_Response *r) {
  const char *type = pn_reply_content_type(c->reply), *allow = pn_reply_allow(c->reply);
  int retry_after_s = pn_reply_retry_after_s(c->reply);
  bool ok = MHD_add_response_header(r, "request-id", c->id) == MHD_YES &&
            MHD_add_response_header(r, "X-Content-Type-Options", "nosniff") == MHD_YES;
  if (type) ok = ok && MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES;
  if (retry_after_s > 0) {
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", retry_after_s);
    ok = ok && MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, seconds) == MHD_YES;
  }
  ok = ok && origin_add_headers(c, r);
  if (allow) ok = ok && MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, allow) == MHD_YES;
  for (const pn_reply_header *h = pn_reply_headers(c->reply); h && h->name; h++)
    ok = ok && MHD_add_response_header(r, h->name, h->value) == MHD_YES;
  if (pn_reply_streaming(c->reply))
    ok = ok && MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache") == MHD_YES &&
         MHD_add_response_header(r, "X-Accel-Buffering", "no") == MHD_YES;
  if (c->h->draining || c->unread_body)
    ok = ok && MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES;
  return ok;
}

enum MHD_Result answer_queue(conn *c) {
  c->phase = CONN_ANSWER;
  c->status = pn_reply_status(c->reply);
  if (!pn_reply_streaming(c->reply) && !answer_pull(c)) return MHD_NO;
  if (c->eof) c->n_probes = HTTP_PROBES;
  struct MHD_Response *r = make_response(c);
  if (!r) return MHD_NO;
  enum MHD_Result rc = MHD_NO;
  if (add_headers(c, r)) rc = MHD_queue_response(c->mhd, (unsigned)c->status, r);
  MHD_destroy_response(r); // the queue has its own reference
  return rc;
}

enum MHD_Result answer_or_wait(conn *c) {
  if (!pn_reply_ready(c->reply) && !answer_pull(c)) return MHD_NO;
  if (pn_reply_ready(c->reply) || c->pulled_all) return answer_queue(c);
  c->phase = CONN_WAITING;
  if (c->eof) return conn_abandon(c, "client left"), MHD_NO;
  conn_suspend(c, next_look(c));
  return MHD_YES;
}
