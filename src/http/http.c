// The server: opening, the loop with its deadlines, draining.
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "http/http_int.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define POOL_BYTES 32768      // of one connection: read buffer, headers and write buffer together
#define PEM_BYTES (1u << 20)  // a certificate chain or key file may have
#define BODIES_AT_ONCE 8      // bodies of the largest size that may be in memory before they are complete
#define SPARE_DESCRIPTORS 128 // beside the connections: models, logs, lingering sockets
#define FAREWELL_US 1000000   // for the last bytes of requests that the end of the drain stopped
#define TURNS_TO_END 4        // of the loop, until a connection that was given up is closed

static void on_daemon_log(void *ctx, const char *fmt, va_list ap) {
  pn_http *h = ctx;
  char text[sizeof h->daemon_error.msg];
  vsnprintf(text, sizeof text, fmt, ap);
  text[strcspn(text, "\r\n")] = 0;
  if (!h->daemon) pn_fail(&h->daemon_error, PN_ERR_DEVICE, "%s", text);
  pn_log(PN_LOG_DEBUG, NULL, "http library", PN_FIELDS(PN_S("says", text)));
}

static uint64_t ms_or(int ms, uint64_t fallback_ms) { return (ms > 0 ? (uint64_t)ms : fallback_ms) * 1000; }

static bool copy_keys(pn_http *h, const pn_http_options *o) {
  if (o->n_keys == 0) return true;
  size_t bytes = (size_t)o->n_keys * sizeof *h->keys;
  for (int i = 0; i < o->n_keys; i++) bytes += strlen(o->keys[i].name) + strlen(o->keys[i].key) + 2;
  h->keys = malloc(bytes);
  if (!h->keys) return false;
  char *at = (char *)(h->keys + o->n_keys);
  for (int i = 0; i < o->n_keys; i++) {
    h->keys[i].name = strcpy(at, o->keys[i].name);
    at += strlen(at) + 1;
    h->keys[i].key = strcpy(at, o->keys[i].key);
    at += strlen(at) + 1;
  }
  h->n_keys = o->n_keys;
  return true;
}

static bool copy_origins(pn_http *h, const pn_http_options *o) {
  size_t n = 0;
  while (o->cors_origins && o->cors_origins[n]) n++;
  if (n == 0) return true;
  h->cors_origins = calloc(n + 1, sizeof *h->cors_origins);
  for (size_t i = 0; h->cors_origins && i < n; i++)
    if (!(h->cors_origins[i] = pn_str_dup(pn_str_of(o->cors_origins[i])))) return false;
  return h->cors_origins != NULL;
}

static bool copy_options(pn_http *h, const pn_http_options *o, pn_error *e) {
  if (!o->tls_cert_file != !o->tls_key_file)
    return pn_fail(e, PN_ERR_USAGE, "TLS needs a certificate and a key; only the %s was given",
                   o->tls_cert_file ? "certificate" : "key");
  for (int i = 0; i < o->n_keys; i++)
    if (!*o->keys[i].key) return pn_fail(e, PN_ERR_USAGE, "the API key \"%s\" is empty", o->keys[i].name);
  h->host = pn_str_dup(pn_str_of(o->host ? o->host : "127.0.0.1"));
  if (o->unix_path) h->unix_path = pn_str_dup(pn_str_of(o->unix_path));
  h->tls = o->tls_cert_file != NULL;
  h->max_body_bytes = o->max_body_bytes ? o->max_body_bytes : 32u << 20;
  h->body_budget_bytes = (uint64_t)h->max_body_bytes * BODIES_AT_ONCE;
  h->max_conns = o->max_connections > 0 ? (uint32_t)o->max_connections : 512;
  h->drain_us = o->drain_s > 0 ? (uint64_t)o->drain_s * 1000000 : 0;
  h->header_us = ms_or(o->header_ms, 10000);
  h->body_us = ms_or(o->body_ms, 30000);
  h->idle_us = ms_or(o->idle_ms, 75000);
  h->stall_us = ms_or(o->stall_ms, 120000);
  if (!h->host || (o->unix_path && !h->unix_path) || !copy_keys(h, o) || !copy_origins(h, o))
    return pn_fail(e, PN_ERR_NOMEM, "out of memory for the server");
  return true;
}

// As many connections as the process may have descriptors for.
static void fit_connections(pn_http *h) {
  uint32_t wanted = h->max_conns;
  struct rlimit lim;
  if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur != RLIM_INFINITY) {
    rlim_t need = (rlim_t)h->max_conns + SPARE_DESCRIPTORS;
    if (lim.rlim_cur < need) {
      struct rlimit more = {lim.rlim_max == RLIM_INFINITY || lim.rlim_max > need ? need : lim.rlim_max,
                            lim.rlim_max};
      if (setrlimit(RLIMIT_NOFILE, &more) == 0) lim = more;
    }
    rlim_t room = lim.rlim_cur > SPARE_DESCRIPTORS + 16 ? lim.rlim_cur - SPARE_DESCRIPTORS : 16;
    if (h->max_conns > room) h->max_conns = (uint32_t)room;
  }
  if (h->max_conns > (uint32_t)loop_max_connections) h->max_conns = (uint32_t)loop_max_connections;
  if (h->max_conns < wanted)
    pn_log(PN_LOG_WARN, NULL, "fewer connections than asked for: the system allows no more open files",
           PN_FIELDS(PN_I("wanted", wanted), PN_I("connections", h->max_conns)));
}

static bool read_pem(const char *what, const char *path, pn_buf *out, pn_error *e) {
  if (!pn_file_read(path, PEM_BYTES, out, e)) return pn_fail_in(e, "the TLS %s", what);
  if (pn_str_find(pn_buf_view(out), PN_STR("-----BEGIN "), 0) == SIZE_MAX)
    return pn_fail(e, PN_ERR_CORRUPT, "the TLS %s %s is not PEM: expected a line \"-----BEGIN ...\"", what,
                   path);
  return true;
}

static bool start_daemon(pn_http *h, const char *cert, const char *key, pn_error *e) {
  unsigned flags =
      loop_daemon_flags | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (h->tls ? MHD_USE_TLS : 0u);
  struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)cert},
                                 {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
                                 {MHD_OPTION_END, 0, NULL}};
  struct MHD_Daemon *d = MHD_start_daemon(
      flags, 0, NULL, NULL, request_on_call, h, MHD_OPTION_EXTERNAL_LOGGER, on_daemon_log, h,
      MHD_OPTION_LISTEN_SOCKET, h->listen_fd, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_LIMIT,
      (unsigned)h->max_conns, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
      MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_NOTIFY_CONNECTION, request_on_connection, h,
      MHD_OPTION_NOTIFY_COMPLETED, request_on_completed, h, MHD_OPTION_URI_LOG_CALLBACK, request_on_line, h,
      MHD_OPTION_UNESCAPE_CALLBACK, request_on_unescape, h, MHD_OPTION_ARRAY, h->tls ? tls : tls + 2,
      MHD_OPTION_END);
  if (!d) return false;
  h->daemon = d;
  return loop_attach(h->loop, d, h->listen_fd, h->max_conns, e);
}

static bool start(pn_http *h, const pn_http_options *o, pn_error *e) {
  pn_buf cert = {0}, key = {0};
  bool ok = !h->tls || (read_pem("certificate", o->tls_cert_file, &cert, e) &&
                        read_pem("key", o->tls_key_file, &key, e));
  if (ok && h->tls && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
    ok = pn_fail(e, PN_ERR_UNSUPPORTED, "the installed libmicrohttpd was built without TLS");
  if (ok) {
    ok = start_daemon(h, pn_buf_cstr(&cert), pn_buf_cstr(&key), e);
    if (!ok && !h->daemon && h->tls)
      pn_fail(e, PN_ERR_CORRUPT, "the TLS certificate %s and key %s can't be used: %s", o->tls_cert_file,
              o->tls_key_file, h->daemon_error.msg);
    else if (!ok && !h->daemon)
      pn_fail(e, PN_ERR_DEVICE, "the HTTP library doesn't start: %s", h->daemon_error.msg);
  }
  if (key.p) {
    volatile char *p = key.p;
    for (size_t i = 0; i < key.n; i++) p[i] = 0;
  }
  pn_buf_fini(&cert);
  pn_buf_fini(&key);
  return ok;
}

pn_http *pn_http_open(pn_api *api, const pn_http_options *o, pn_error *e) {
  pn_http *h = calloc(1, sizeof *h);
  if (!h) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the server"), NULL;
  h->api = api;
  h->listen_fd = -1;
  h->next_deadline_us = h->drain_until_us = HTTP_NEVER;
  for (int i = 0; i < HTTP_LINGERS; i++) h->lingers[i].fd = -1;
  pn_rng_seed(&h->rng, pn_rng_entropy());
  bool ok = copy_options(h, o, e);
  if (ok) {
    fit_connections(h);
    h->conns = calloc(h->max_conns, sizeof *h->conns);
    ok = h->conns || pn_fail(e, PN_ERR_NOMEM, "out of memory for %u connections", h->max_conns);
  }
  ok = ok && (h->loop = loop_open(e)) && (h->listen_fd = listen_open(h, o->port, e)) >= 0 && start(h, o, e);
  if (ok) return h;
  pn_http_close(h);
  return NULL;
}

int pn_http_port(const pn_http *h) { return h->port; }

void pn_http_stop(pn_http *h) {
  atomic_fetch_add(&h->stops, 1);
  loop_wake(h->loop);
}

// Stop listening. The daemon gives the descriptor back.
static void quiesce(pn_http *h) {
  int fd = MHD_quiesce_daemon(h->daemon);
  loop_no_listen(h->loop);
  listen_unlink(h);
  if (fd >= 0) close(fd);
  h->listen_fd = -1;
}

static void wait_and_run(pn_http *h, uint64_t until_us);

static void begin_drain(pn_http *h) {
  wait_and_run(h, 0); // what was sent before the stop is still served
  h->draining = true;
  pn_api_set_draining(h->api);
  quiesce(h);
  uint64_t now = pn_now_us();
  h->drain_until_us = now + h->drain_us;
  for (uint32_t i = 0; i < h->n_conns; i++)
    if (h->conns[i]->mhd && !h->conns[i]->in_request) conn_set_deadline(h->conns[i], now);
  pn_log(PN_LOG_INFO, NULL, "stopping: running requests are finished",
         PN_FIELDS(PN_I("running", h->n_requests)));
}

static void close_linger(pn_http *h, late_input *l) {
  loop_forget(h->loop, l->fd);
  close(l->fd);
  l->fd = -1;
}

static void on_event(pn_http *h, const loop_event *ev) {
  if (ev->key < HTTP_LINGERS) { // generation 0
    late_input *l = &h->lingers[ev->key];
    char sink[16384];
    if (l->fd >= 0 && recv(l->fd, sink, sizeof sink, MSG_DONTWAIT) == 0)
      close_linger(h, l);
    else if (l->fd >= 0 && ev->gone)
      close_linger(h, l);
    return;
  }
  conn *c = conn_by_key(h, ev->key);
  if (c) conn_on_event(c, ev);
}

// Handle what is due and find the next time. Deadlines are moved far more often than they pass, so they are
// only looked at when the earliest that was ever set has come.
static void on_deadlines(pn_http *h) {
  uint64_t now = pn_now_us();
  if (now < h->next_deadline_us) return;
  for (uint32_t i = 0; i < h->n_conns; i++)
    if (conn_due_us(h->conns[i]) <= now) conn_on_due(h->conns[i], now);
  uint64_t next = HTTP_NEVER;
  for (uint32_t i = 0; i < h->n_conns; i++) {
    uint64_t due = conn_due_us(h->conns[i]);
    if (due < next) next = due;
  }
  for (int i = 0; i < HTTP_LINGERS; i++) {
    late_input *l = &h->lingers[i];
    if (l->fd >= 0 && l->deadline_us <= now) close_linger(h, l);
    if (l->fd >= 0 && l->deadline_us < next) next = l->deadline_us;
  }
  h->next_deadline_us = next;
}

static void wait_and_run(pn_http *h, uint64_t until_us) {
  loop_event events[LOOP_EVENTS];
  bool run = until_us == 0 || h->closed_some || h->resumed;
  h->closed_some = false;
  // Who wakes us while we work needs no system call: the list is looked at once more before we sleep.
  atomic_store(&h->asleep, true);
  int n = loop_wait(h->loop, run || atomic_load(&h->woken) ? 0 : until_us, events);
  atomic_store(&h->asleep, false);
  for (int i = 0; i < n; i++) on_event(h, &events[i]);
  conn_take_wakes(h);
  on_deadlines(h);
  run = run || h->resumed;
  h->resumed = false;
  loop_run(h->loop, run);
}

// The drain is over: tell the clients of what still runs. Those that read get it within until_us, at least
// what a few turns of the loop bring out.
static void say_farewell(pn_http *h, uint64_t until_us) {
  for (uint32_t i = 0; i < h->n_conns; i++) conn_end(h->conns[i]);
  for (int i = 0; i < TURNS_TO_END && h->n_requests > 0; i++) wait_and_run(h, 0);
  while (h->n_requests > 0 && atomic_load(&h->stops) < 2 && pn_now_us() < until_us)
    wait_and_run(h, h->next_deadline_us < until_us ? h->next_deadline_us : until_us);
}

// End every connection, whatever it does.
static void end_all(pn_http *h) {
  for (uint32_t i = 0; i < h->n_conns; i++)
    if (h->conns[i]->mhd) conn_abandon(h->conns[i], "server stopped");
  for (int i = 0; i < TURNS_TO_END; i++) wait_and_run(h, 0);
}

bool pn_http_run(pn_http *h, pn_error *e) {
  (void)e;
  for (;;) {
    int stops = atomic_load(&h->stops);
    if (stops > 0 && !h->draining) begin_drain(h);
    if (h->draining && (stops > 1 || h->n_requests == 0 || pn_now_us() >= h->drain_until_us)) break;
    uint64_t until_us = pn_api_tick(h->api);
    if (h->next_deadline_us < until_us) until_us = h->next_deadline_us;
    wait_and_run(h, h->drain_until_us < until_us ? h->drain_until_us : until_us);
  }
  if (h->n_requests > 0)
    pn_log(PN_LOG_WARN, NULL, "requests were ended before they were done",
           PN_FIELDS(PN_I("running", h->n_requests)));
  say_farewell(h, pn_now_us() + FAREWELL_US);
  end_all(h);
  return true;
}

void pn_http_close(pn_http *h) {
  if (!h) return;
  if (h->daemon) {
    if (!h->draining) quiesce(h);
    end_all(h);
    MHD_stop_daemon(h->daemon);
  } else if (h->listen_fd >= 0) {
    listen_unlink(h);
    close(h->listen_fd);
  }
  for (int i = 0; i < HTTP_LINGERS; i++)
    if (h->lingers[i].fd >= 0) close_linger(h, &h->lingers[i]);
  for (uint32_t i = 0; i < h->n_conns; i++) free(h->conns[i]);
  free(h->conns);
  loop_close(h->loop);
  free(h->host);
  free(h->unix_path);
  free(h->keys);
  for (char **o = h->cors_origins; o && *o; o++) free(*o);
  free(h->cors_origins);
  free(h);
}
