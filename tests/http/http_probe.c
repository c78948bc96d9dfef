// A server over an API that follows a script given by the path, for test_http.py:
//   /health            at once        /big/BYTES        at once, that many bytes
//   /echo (POST)       the body back  /delay/MS         JSON, ready after MS
//   /never             JSON, never    /silent           a stream that sends nothing
//   /stream/N/MS       N frames, one every MS           /flood  frames as fast as they go
//   /ping/MS           a frame whenever the deadline passes, every MS, without any wake-up
//   /fail              a stream that breaks after one frame
//   /burst/BYTES       a stream that has that many bytes at once
//   /client            who asks, as the API is told
//   /caller            the same in words: key, session, agent, retries
//   /busy/SECONDS      a 529 with Retry-After
//   /stats             what the fake API has seen
// Prints "port N" when it listens and "free PATH GONE TIME_US" when a reply is freed.
#include "base/clock.h"
#include "base/log.h"
#include "http/http.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FLOOD_CAP (900u << 10) // what the fake engine keeps for one reply: it waits when the reply is full

struct pn_api {
  pthread_mutex_t mutex;
  pthread_t engine;
  struct pn_reply *list; // replies that the engine's thread works on
  bool stop;
  int n_live, n_gone, n_calls;
  bool draining;
};

struct pn_reply {
  pn_api *api; // NULL: an error reply
  struct pn_reply *next;
  char path[128], allow[16];
  int status, retry_after_s;
  bool streaming, ready, finished, broken, flood, engine_owned;
  int n_left, n_made; // frames; n_left -1: for ever
  uint64_t every_us, next_us, ping_us, deadline_us;
  pn_buf out;
  void (*wake)(void *ctx);
  void *wake_ctx;
};

static void frame(pn_reply *r) {
  pn_buf_printf(&r->out, "event: tick\ndata: {\"n\":%d,\"us\":%llu}\n\n", r->n_made++,
                (unsigned long long)pn_now_us());
}

// One step of one reply on the engine's thread, mutex held. Whether there is something to pull.
static bool step(pn_reply *r, uint64_t now) {
  if (r->finished || now < r->next_us) return false;
  r->next_us += r->every_us;
  if (!r->streaming) {
    pn_buf_z(&r->out, "{\"late\":true}");
    return r->ready = r->finished = true;
  }
  if (r->flood)
    for (int i = 0; i < 400 && r->out.n < FLOOD_CAP; i++) frame(r);
  else
    frame(r);
  if (r->n_left > 0 && --r->n_left == 0) r->finished = true;
  return true;
}

static void *engine(void *ctx) {
  pn_api *a = ctx;
  for (;;) {
    pthread_mutex_lock(&a->mutex);
    if (a->stop) {
      pthread_mutex_unlock(&a->mutex);
      return NULL;
    }
    uint64_t now = pn_now_us();
    for (pn_reply *r = a->list; r; r = r->next)
      if (step(r, now)) r->wake(r->wake_ctx);
    pthread_mutex_unlock(&a->mutex);
    usleep(500);
  }
}

static pn_reply *reply_new(pn_api *a, int status, const char *path) {
  pn_reply *r = calloc(1, sizeof *r);
  if (!r) return NULL;
  r->api = a;
  r->status = status;
  r->ready = r->finished = true;
  r->deadline_us = UINT64_MAX;
  snprintf(r->path, sizeof r->path, "%s", path);
  return r;
}

pn_reply *pn_api_error_reply(pn_api *a, const char *path, int status, const char *message,
                             const char *request_id) {
  static const char *const types[] = {"invalid_request_error", "authentication_error", "",
                                      "permission_error"};
  (void)a, (void)path;
  pn_reply *r = reply_new(NULL, status, "error");
  if (!r) return NULL;
  pn_buf_printf(&r->out,
                "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"%s\"},\"request_id\":\"%s\"}",
                status >= 400 && status <= 403 ? types[status - 400] : "api_error", message, request_id);
  return r;
}

bool pn_api_is_open(const char *path) { return strcmp(path, "/health") == 0; }
pn_reply *pn_api_empty_reply(int status) { return reply_new(NULL, status, "empty"); }

const pn_reply_facts *pn_reply_facts_of(const pn_reply *r) {
  static const pn_reply_facts none = {0}, some = {"m", "end_turn", 7, 5, 3, 1.5, 20};
  return strncmp(r->path, "/stream", 7) == 0 ? &some : &none;
}

static int count_descriptors(void) {
  int n = 0;
  DIR *d = opendir("/proc/self/fd");
  if (!d) return 0;
  while (readdir(d)) n++;
  closedir(d);
  return n;
}

static void stats(pn_api *a, pn_buf *out) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  pthread_mutex_lock(&a->mutex);
  pn_buf_printf(out, "{\"live\":%d,\"gone\":%d,\"calls\":%d,\"fds\":%d,\"rss_kb\":%ld,\"cpu_ms\":%ld}",
                a->n_live, a->n_gone, a->n_calls, count_descriptors(), u.ru_maxrss,
                (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000L +
                    (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000L);
  pthread_mutex_unlock(&a->mutex);
}

// A reply that comes over time.
static pn_reply *timed(pn_reply *r, bool streaming, int frames, long every_ms) {
  r->streaming = r->ready = streaming;
  r->finished = false;
  r->engine_owned = every_ms >= 0;
  r->n_left = frames;
  r->every_us = (uint64_t)every_ms * 1000;
  r->next_us = pn_now_us() + (streaming ? 0 : r->every_us);
  return r;
}

static pn_reply *route(pn_api *a, const pn_api_request *q) {
  pn_reply *r = reply_new(a, 200, q->path);
  long x = 0;
  int n = 0;
  if (!r) return NULL;
  if (strcmp(q->path, "/echo") == 0 && strcmp(q->method, "POST") != 0) {
    r->status = 405;
    snprintf(r->allow, sizeof r->allow, "POST");
    pn_buf_z(&r->out, "{}");
  } else if (strcmp(q->path, "/echo") == 0) {
    pn_buf_str(&r->out, q->body);
  } else if (strcmp(q->path, "/health") == 0 || strcmp(q->path, "/") == 0) {
    pn_buf_z(&r->out, "{\"ok\":true}");
  } else if (strcmp(q->path, "/stats") == 0) {
    stats(a, &r->out);
  } else if (strcmp(q->path, "/client") == 0) {
    pn_buf_printf(&r->out, "%llu", (unsigned long long)q->client);
  } else if (strcmp(q->path, "/caller") == 0) {
    pn_buf_printf(&r->out, "%s %s %s %d", q->key_name ? q->key_name : "-", q->session ? q->session : "-",
                  q->agent ? q->agent : "-", q->n_retries);
  } else if (sscanf(q->path, "/busy/%d", &n) == 1) {
    r->status = 529;
    r->retry_after_s = n;
    pn_buf_z(&r->out, "{}");
  } else if (sscanf(q->path, "/big/%ld", &x) == 1) {
    for (long i = 0; i < x; i++) pn_buf_char(&r->out, "0123456789abcdef"[i % 16]);
  } else if (sscanf(q->path, "/delay/%ld", &x) == 1) {
    timed(r, false, 1, x);
  } else if (strcmp(q->path, "/never") == 0) {
    timed(r, false, 1, 100000000);
  } else if (strcmp(q->path, "/silent") == 0) {
    timed(r, true, -1, -1);
  } else if (strcmp(q->path, "/flood") == 0) {
    timed(r, true, -1, 0)->flood = true;
  } else if (sscanf(q->path, "/stream/%d/%ld", &n, &x) == 2) {
    timed(r, true, n, x);
  } else if (sscanf(q->path, "/burst/%ld", &x) == 1) {
    r->streaming = true;
    while (r->out.n <= (size_t)x) frame(r);
  } else if (strcmp(q->path, "/fail") == 0) {
    timed(r, true, 1, 10)->broken = true;
  } else if (sscanf(q->path, "/ping/%ld", &x) == 1) {
    timed(r, true, -1, -1);
    r->ping_us = (uint64_t)x * 1000;
    r->deadline_us = pn_now_us() + r->ping_us;
  } else {
    r->status = 404;
    pn_buf_printf(&r->out, "{\"path\":\"%s\"}", q->path);
  }
  return r;
}

pn_reply *pn_api_call(pn_api *a, const pn_api_request *q) {
  pn_reply *r = route(a, q);
  if (!r) return NULL;
  r->wake = q->wake;
  r->wake_ctx = q->wake_ctx;
  pthread_mutex_lock(&a->mutex);
  a->n_calls++;
  a->n_live++;
  if (r->engine_owned) r->next = a->list, a->list = r;
  pthread_mutex_unlock(&a->mutex);
  return r;
}

uint64_t pn_api_tick(pn_api *a) { return (void)a, UINT64_MAX; }
void pn_api_set_draining(pn_api *a) {
  a->draining = true;
  puts("draining");
}

static void lock(pn_reply *r) {
  if (r->api) pthread_mutex_lock(&r->api->mutex);
}
static void unlock(pn_reply *r) {
  if (r->api) pthread_mutex_unlock(&r->api->mutex);
}

bool pn_reply_ready(pn_reply *r) {
  lock(r);
  bool ready = r->ready;
  unlock(r);
  return ready;
}
int pn_reply_status(const pn_reply *r) { return r->status; }
const char *pn_reply_content_type(const pn_reply *r) {
  return r->streaming ? "text/event-stream" : "application/json";
}
const char *pn_reply_allow(const pn_reply *r) { return *r->allow ? r->allow : NULL; }
const pn_reply_header *pn_reply_headers(const pn_reply *r) {
  static const pn_reply_header more[] = {{"X-More", "more"}, {0}};
  return strcmp(r->path, "/health") == 0 ? more : NULL;
}
bool pn_reply_streaming(const pn_reply *r) { return r->streaming; }
int pn_reply_retry_after_s(const pn_reply *r) { return r->retry_after_s; }
uint64_t pn_reply_deadline_us(const pn_reply *r) { return r->deadline_us; }

bool pn_reply_pull(pn_reply *r, pn_buf *out, bool *done) {
  lock(r);
  uint64_t now = pn_now_us();
  if (r->ping_us && now >= r->deadline_us) {
    frame(r);
    r->deadline_us = now + r->ping_us;
  }
  bool ok = !r->broken || r->n_made == 0 || r->out.n > 0;
  pn_buf_str(out, pn_buf_view(&r->out));
  pn_buf_clear(&r->out);
  *done = r->finished && !r->broken;
  unlock(r);
  return ok;
}

void pn_reply_end(pn_reply *r) {
  lock(r);
  if (!r->finished) {
    pn_buf_z(&r->out, r->streaming ? "event: error\ndata: {\"ended\":true}\n\n" : "{\"ended\":true}");
    if (!r->streaming) r->status = 503;
    r->ready = r->finished = true;
    r->deadline_us = UINT64_MAX;
  }
  unlock(r);
}

void pn_reply_free(pn_reply *r, bool gone) {
  if (r->api) {
    lock(r);
    for (pn_reply **p = &r->api->list; *p; p = &(*p)->next)
      if (*p == r) {
        *p = r->next;
        break;
      }
    r->api->n_live--;
    r->api->n_gone += gone;
    unlock(r);
    printf("free %s %d %llu\n", r->path, gone, (unsigned long long)pn_now_us());
  }
  pn_buf_fini(&r->out);
  free(r);
}

static pn_http *the_server; // for the signal handler

static void on_signal(int sig) {
  (void)sig;
  pn_http_stop(the_server);
}

static bool flag(pn_http_options *o, const char *name, const char *value) {
  const struct {
    const char *name;
    const char **text;
    int *number;
  } flags[] = {{"--host", &o->host, NULL},
               {"--unix", &o->unix_path, NULL},
               {"--tls-cert", &o->tls_cert_file, NULL},
               {"--tls-key", &o->tls_key_file, NULL},
               {"--port", NULL, &o->port},
               {"--max-connections", NULL, &o->max_connections},
               {"--drain", NULL, &o->drain_s},
               {"--header-ms", NULL, &o->header_ms},
               {"--body-ms", NULL, &o->body_ms},
               {"--idle-ms", NULL, &o->idle_ms},
               {"--stall-ms", NULL, &o->stall_ms}};
  static pn_http_key keys[2] = {{.name = "main"}, {.name = "other"}};
  static const char *origins[3];
  if (strcmp(name, "--key") == 0 || strcmp(name, "--other-key") == 0) {
    keys[o->n_keys++].key = value;
    o->keys = keys;
    return true;
  }
  if (strcmp(name, "--origin") == 0 || strcmp(name, "--other-origin") == 0) {
    origins[origins[0] != NULL] = value;
    o->cors_origins = origins;
    return true;
  }
  if (strcmp(name, "--max-body") == 0) return o->max_body_bytes = (size_t)atol(value), true;
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    if (strcmp(name, flags[i].name) == 0) {
      if (flags[i].text)
        *flags[i].text = value;
      else
        *flags[i].number = atoi(value);
      return true;
    }
  return false;
}

int main(int argc, char **argv) {
  pn_http_options o = {.host = "127.0.0.1", .drain_s = 5};
  for (int i = 1; i + 1 < argc; i += 2)
    if (!flag(&o, argv[i], argv[i + 1])) return fprintf(stderr, "unknown flag %s\n", argv[i]), 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  pn_api api = {.mutex = PTHREAD_MUTEX_INITIALIZER};
  pn_error e = {0};
  pn_log_setup(PN_LOG_TRACE, true, STDERR_FILENO);
  the_server = pn_http_open(&api, &o, &e);
  if (!the_server)
    return fprintf(stderr, "%s\n", e.msg), e.code == PN_ERR_DEVICE ? 5 : e.code == PN_ERR_USAGE ? 2 : 1;
  struct sigaction act = {.sa_handler = on_signal};
  sigaction(SIGTERM, &act, NULL);
  sigaction(SIGINT, &act, NULL);
  pthread_create(&api.engine, NULL, engine, &api);
  printf("port %d\n", pn_http_port(the_server));
  bool ok = pn_http_run(the_server, &e);
  act.sa_handler = SIG_IGN; // the server that the handler knows is about to go
  sigaction(SIGTERM, &act, NULL);
  sigaction(SIGINT, &act, NULL);
  pn_http_close(the_server);
  pthread_mutex_lock(&api.mutex);
  api.stop = true;
  pthread_mutex_unlock(&api.mutex);
  pthread_join(api.engine, NULL);
  printf("live %d\n", api.n_live);
  return ok && api.n_live == 0 ? 0 : 1;
}
