// The table of connections: phases, deadlines, suspending, wake-ups, and what happens when a client goes.
//
// When is a client gone?
// - A reset, or a close in both directions, is always the end: the reply is freed at once.
// - The end of the client's sending alone may be a half-close; it still reads. While a stream runs, two
//   probes are sent (an SSE comment line each, 10 ms apart): a closed socket answers them with a reset.
//   Without a reset the stream goes on. While an answer's status is still open (a generation that doesn't
//   stream) nothing can be sent, and no client of this API half-closes: the end of sending counts as gone, so
//   that nobody pays for an answer that nobody reads.
// - An answer that is there at once is sent to a half-closed client as to any other.
// - Before a request is complete the library reads the end itself, but not when the end was there before it
//   read what lies in front of it: then no edge follows. A moment later we look.
// A writer that is stuck is not suspended: only shutdown(2) makes the library see that it was given up.
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "http/http_int.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EOF_CHECK_US 15000

static uint64_t key_of(const conn *c) { return (uint64_t)c->generation << 32 | c->index; }

conn *conn_by_key(pn_http *h, uint64_t key) {
  uint32_t index = (uint32_t)key, generation = (uint32_t)(key >> 32);
  if (index >= h->n_conns) return NULL;
  conn *c = h->conns[index];
  return c->mhd && c->generation == generation ? c : NULL;
}

uint64_t conn_client(const conn *c) { return pn_hash_u64(key_of(c)); }

static conn *free_place(pn_http *h) {
  for (uint32_t i = 0; i < h->n_conns; i++)
    if (!h->conns[i]->mhd) return h->conns[i];
  if (h->n_conns == h->max_conns) return NULL;
  conn *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  c->h = h;
  c->index = h->n_conns;
  return h->conns[h->n_conns++] = c;
}

conn *conn_open(pn_http *h, struct MHD_Connection *mc) {
  const union MHD_ConnectionInfo *info = MHD_get_connection_info(mc, MHD_CONNECTION_INFO_CONNECTION_FD);
  conn *c = info ? free_place(h) : NULL;
  if (!c) {
    if (info) shutdown(info->connect_fd, SHUT_RDWR); // nobody would watch its deadlines
    return NULL;
  }
  if (++c->generation == 0) c->generation = 1; // 0 marks lingering sockets
  c->fd = info->connect_fd;
  c->eof = c->gone = c->suspended = c->unread_body = false;
  if (!loop_watch_close(h->loop, c->fd, key_of(c))) return shutdown(c->fd, SHUT_RDWR), NULL;
  c->mhd = mc;
  c->phase = CONN_HEADERS;
  c->eof_check_us = HTTP_NEVER;
  int one = 1;
  if (!h->unix_path) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  conn_set_deadline(c, pn_now_us() + h->header_us);
  pn_log(PN_LOG_DEBUG, NULL, "connection opened", PN_FIELDS(PN_I("connection", c->index)));
  return c;
}

// Go on reading and throwing away what the client sends, on a copy of the descriptor.
static void start_linger(conn *c) {
  pn_http *h = c->h;
  for (uint32_t i = 0; i < HTTP_LINGERS; i++) {
    late_input *l = &h->lingers[i];
    if (l->fd >= 0) continue;
    int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return;
    if (!loop_watch_read(h->loop, fd, i)) {
      close(fd);
      return;
    }
    shutdown(fd, SHUT_WR);
    *l = (late_input){.fd = fd, .deadline_us = pn_now_us() + HTTP_LINGER_US};
    if (l->deadline_us < h->next_deadline_us) h->next_deadline_us = l->deadline_us;
    return;
  }
}

void conn_close(conn *c) {
  if (c->in_request) conn_request_end(c, false);
  pn_log(PN_LOG_DEBUG, NULL, "connection closed", PN_FIELDS(PN_I("connection", c->index)));
  loop_forget(c->h->loop, c->fd);
  if (c->unread_body && !c->gone) start_linger(c);
  c->mhd = NULL;
  c->fd = -1;
  c->h->closed_some = true;
  c->deadline_us = HTTP_NEVER;
}

void conn_set_deadline(conn *c, uint64_t at_us) {
  c->deadline_us = at_us;
  if (at_us < c->h->next_deadline_us) c->h->next_deadline_us = at_us;
}

static void set_eof_check(conn *c) {
  c->eof_check_us = pn_now_us() + EOF_CHECK_US;
  if (c->eof_check_us < c->h->next_deadline_us) c->h->next_deadline_us = c->eof_check_us;
}

// The client sends no more and the request isn't complete. Bytes that nobody has read yet may still complete
// it.
static void check_eof(conn *c) {
  c->eof_check_us = HTTP_NEVER;
  if (c->phase == CONN_WAITING || c->phase == CONN_ANSWER) return;
  char byte;
  if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
    set_eof_check(c);
  else
    conn_abandon(c, "client left");
}

static void make_id(conn *c) {
  static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  memcpy(c->id, "req_", 4);
  for (int i = 4; i < 28; i++) c->id[i] = digits[pn_rng_below(&c->h->rng, 62)];
  c->id[28] = 0;
}

void conn_request_begin(conn *c) {
  uint64_t now = pn_now_us();
  make_id(c);
  c->in_request = true;
  c->started_us = now;
  c->h->n_requests++;
  if (c->phase == CONN_IDLE) conn_set_deadline(c, now + c->h->header_us);
  c->phase = CONN_HEADERS;
}

// The access log's fields, those that are known.
typedef struct fields {
  pn_field f[24];
  int n;
} fields;

static void add(fields *l, pn_field f) { l->f[l->n++] = f; }
static void add_str(fields *l, const char *key, const char *s) {
  if (s && *s) add(l, (pn_field)PN_S(key, s));
}

static void add_facts(fields *l, const pn_reply_facts *facts) {
  add_str(l, "model", facts->model);
  if (facts->n_input == 0) return; // nothing was generated
  add(l, (pn_field)PN_I("input_tokens", facts->n_input));
  add(l, (pn_field)PN_I("cached_tokens", facts->n_cached));
  add(l, (pn_field)PN_I("output_tokens", facts->n_output));
  if (facts->ttft_ms > 0) add(l, (pn_field)PN_D("ttft_ms", facts->ttft_ms));
  if (facts->tokens_per_s > 0) add(l, (pn_field)PN_D("tok_s", facts->tokens_per_s));
  add_str(l, "stop", facts->stop);
}

static void log_request(const conn *c, bool completed) {
  const char *what = completed    ? c->status ? "request" : "malformed request"
                     : c->end_why ? c->end_why
                                  : "client left";
  char path[257]; // a request line may be long
  snprintf(path, sizeof path, "%s", c->path ? c->path : "-");
  fields l = {.n = 0};
  add(&l, (pn_field)PN_S("method", c->method ? c->method : "-"));
  add(&l, (pn_field)PN_S("path", path));
  add(&l, (pn_field)PN_I("status", c->status));
  add(&l, (pn_field)PN_D("ms", (double)(pn_now_us() - c->started_us) / 1000));
  add(&l, (pn_field)PN_I("bytes_in", c->n_body));
  add(&l, (pn_field)PN_I("bytes_out", c->n_sent));
  add_str(&l, "key", c->caller.key_name);
  add_str(&l, "session", c->caller.session);
  add_str(&l, "agent", c->caller.agent);
  add_str(&l, "trace_id", c->caller.trace_id);
  add_str(&l, "parent_id", c->caller.parent_id);
  add_facts(&l, &c->facts);
  pn_log(PN_LOG_INFO, c->id, what, l.f);
}

// Free the reply, and keep what the access log says of it.
static void conn_free_reply(conn *c, bool gone) {
  if (!c->reply) return;
  c->facts = *pn_reply_facts_of(c->reply);
  if (c->facts.model) {
    snprintf(c->model, sizeof c->model, "%s", c->facts.model);
    c->facts.model = c->model;
  }
  pn_reply_free(c->reply, gone);
  c->reply = NULL;
}

void conn_request_end(conn *c, bool completed) {
  if (!c->in_request) return;
  pn_http *h = c->h;
  conn_free_reply(c, !completed);
  log_request(c, completed && !c->gone);
  h->n_requests--;
  h->body_bytes -= c->body.n;
  pn_buf_fini(&c->body);
  pn_buf_fini(&c->out);
  free(c->method);
  free(c->path);
  free(c->query);
  free(c->preflight);
  c->method = c->path = c->query = c->preflight = NULL;
  c->cors_origin = NULL;
  c->private_network = false;
  c->caller = (caller){0};
  c->facts = (pn_reply_facts){0};
  c->end_why = NULL;
  c->in_request = c->begun = c->pulled_all = c->suspended = false;
  c->refusal = NULL;
  c->status = c->refuse_status = c->n_probes = 0;
  c->out_at = 0;
  c->n_body = c->n_sent = 0;
  memset(c->tail, 0, sizeof c->tail);
  c->phase = CONN_IDLE;
  conn_set_deadline(c, pn_now_us() + (h->draining ? 0 : h->idle_us));
  if (c->eof) set_eof_check(c);
}

void conn_suspend(conn *c, uint64_t until_us) {
  c->suspended = true;
  conn_set_deadline(c, until_us);
  MHD_suspend_connection(c->mhd);
}

void conn_resume(conn *c) {
  c->suspended = false;
  conn_set_deadline(c, pn_now_us() + c->h->stall_us);
  c->h->resumed = true;
  MHD_resume_connection(c->mhd);
}

void conn_abandon(conn *c, const char *why) {
  if (c->gone) return;
  c->gone = true;
  c->end_why = why;
  pn_log(PN_LOG_DEBUG, c->in_request ? c->id : NULL, "connection given up",
         PN_FIELDS(PN_S("why", why), PN_I("connection", c->index)));
  conn_free_reply(c, true);
  c->deadline_us = HTTP_NEVER;
  if (c->suspended) {
    c->suspended = false;
    c->h->resumed = true;
    MHD_resume_connection(c->mhd);
  } else {
    shutdown(c->fd, SHUT_RDWR);
  }
}

void conn_on_event(conn *c, const loop_event *ev) {
  pn_log(PN_LOG_DEBUG, c->in_request ? c->id : NULL, ev->gone ? "connection reset" : "client sends no more",
         PN_FIELDS(PN_I("connection", c->index), PN_I("phase", c->phase)));
  if (ev->gone) { // a request that is still unread is of no use either
    conn_abandon(c, "client left");
    return;
  }
  if (!ev->eof || c->eof) return;
  c->eof = true;
  if (c->phase == CONN_WAITING && c->suspended) {
    conn_abandon(c, "client left");
  } else if (c->phase == CONN_ANSWER) {
    c->n_probes = HTTP_PROBES;
    if (c->suspended) answer_advance(c);
  } else {
    set_eof_check(c);
  }
}

void conn_end(conn *c) {
  if (!c->mhd || c->gone || !c->in_request) return;
  if (!c->reply) {
    conn_abandon(c, "server stopped");
    return;
  }
  pn_reply_end(c->reply);
  if (c->suspended) answer_advance(c); // else the socket is full or the library is about to ask
}

uint64_t conn_due_us(const conn *c) {
  if (!c->mhd || c->gone) return HTTP_NEVER;
  return c->eof_check_us < c->deadline_us ? c->eof_check_us : c->deadline_us;
}

void conn_on_due(conn *c, uint64_t now) {
  static const char *const late[] = {
      [CONN_HEADERS] = "headers came too slowly",
      [CONN_BODY] = "body came too slowly",
      [CONN_WAITING] = "no answer",
      [CONN_ANSWER] = "client stopped reading",
      [CONN_IDLE] = "idle",
  };
  if (c->eof_check_us <= now) check_eof(c);
  if (c->deadline_us > now || c->gone) return;
  if (c->suspended)
    answer_advance(c);
  else
    conn_abandon(c, late[c->phase]);
}

void conn_wake(void *conn_ptr) {
  conn *c = conn_ptr;
  if (atomic_exchange(&c->woken, true)) return; // in the list already
  conn *head = atomic_load(&c->h->woken);
  do c->next_woken = head;
  while (!atomic_compare_exchange_weak(&c->h->woken, &head, c));
  if (atomic_exchange(&c->h->asleep, false)) loop_wake(c->h->loop);
}

void conn_take_wakes(pn_http *h) {
  if (!atomic_load_explicit(&h->woken, memory_order_relaxed)) return;
  for (conn *c = atomic_exchange(&h->woken, NULL), *next; c; c = next) {
    next = c->next_woken;
    atomic_exchange(&c->woken, false); // before looking: what comes later wakes again
    if (c->mhd && c->suspended) answer_advance(c);
  }
}
