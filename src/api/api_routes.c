// The door's functions, and which route a request takes.
#include "api/api_rate.h"
#include "api/api_sessions.h"
#include "api/batches.h"
#include "api/envelope.h"
#include "api/guides.h"
#include "api/kept.h"
#include "api/kept_calls.h"
#include "api/messages_prompt.h"
#include "api/route_table.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_BYTES ((size_t)8 << 20)       // of answers' tokens: some thousand answers
#define KEPT_CALLS_BYTES ((size_t)4 << 20) // of calls' arguments

// Trailing slashes don't count, nor does a second /v1, which a base URL that ends in /v1 gives.
static pn_str plain_path(const char *path) {
  pn_str p = pn_str_of(path);
  if (pn_str_starts(p, PN_STR("/v1/v1/"))) p = (pn_str){p.p + 3, p.n - 3};
  while (p.n > 1 && p.p[p.n - 1] == '/') p.n--;
  return p;
}

static bool route_matches(const char *pattern, pn_str path, pn_str *tail) {
  const char *star = strchr(pattern, '*');
  *tail = (pn_str){0};
  if (!star) return pn_str_is(path, pattern);
  pn_str before = {pattern, (size_t)(star - pattern)}, behind = pn_str_of(star + 1);
  if (path.n <= before.n + behind.n || !pn_str_starts(path, before) || !pn_str_ends(path, behind))
    return false;
  *tail = (pn_str){path.p + before.n, path.n - before.n - behind.n};
  return behind.n == 0 || !memchr(tail->p, '/', tail->n);
}

static bool method_matches(const char *route, const char *method) {
  return strcmp(route, method) == 0 || (strcmp(route, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

// An error under a route, -1: under none.
static pn_reply *error_of(int route, int status, const char *message, const char *request_id) {
  return route >= 0 && api_routes[route].openai ? api_reply_openai_error(status, message)
                                                : api_reply_error(status, message, NULL, request_id);
}

// `route` is one of those with the request's path.
static pn_reply *refuse_method(const pn_api_request *r, int route) {
  char allow[sizeof((pn_reply *)0)->allow_text] = "", message[120];
  for (int i = 0; i < api_n_routes; i++) {
    if (strcmp(api_routes[i].path, api_routes[route].path) != 0) continue;
    size_t n = strlen(allow);
    snprintf(allow + n, sizeof allow - n, "%s%s", n ? ", " : "",
             strcmp(api_routes[i].method, "GET") == 0 ? "GET, HEAD" : api_routes[i].method);
  }
  snprintf(message, sizeof message, "Method not allowed; this path takes %s", allow);
  pn_reply *reply = error_of(route, 405, message, r->request_id);
  if (!reply) return NULL;
  memcpy(reply->allow_text, allow, sizeof allow);
  reply->allow = reply->allow_text;
  return reply;
}

// The route with this path and, when there is one, this method. -1: none has the path.
static int find_route(const char *method, pn_str path) {
  int found = -1;
  pn_str tail;
  for (int i = 0; i < api_n_routes; i++) {
    if (found < 0 ? !route_matches(api_routes[i].path, path, &tail)
                  : strcmp(api_routes[i].path, api_routes[found].path) != 0)
      continue;
    if (method && method_matches(api_routes[i].method, method)) return i;
    if (found < 0) found = i;
  }
  return found;
}

static pn_reply *counted(pn_api *a, pn_reply *r, int route) {
  if (!r) return NULL;
  r->counts = a->counts;
  r->counted_path = route;
  return r;
}

pn_reply *pn_api_call(pn_api *a, const pn_api_request *r) {
  pn_str path = plain_path(r->path), tail = {0};
  int i = find_route(r->method, path);
  if (i < 0) return counted(a, api_reply_error(404, API_NO_SUCH_PATH, NULL, r->request_id), i);
  if (!method_matches(api_routes[i].method, r->method)) return counted(a, refuse_method(r, i), i);
  route_matches(api_routes[i].path, path, &tail);
  return counted(a, api_routes[i].handler(a, r, tail), i);
}

pn_reply *pn_api_error_reply(pn_api *a, const char *path, int status, const char *message,
                             const char *request_id) {
  int route = find_route(NULL, plain_path(path));
  pn_reply *r = error_of(route, status, message, request_id);
  return a ? counted(a, r, route) : r;
}

bool pn_api_is_open(const char *path) {
  int route = find_route(NULL, plain_path(path));
  return route >= 0 && api_routes[route].open;
}

pn_reply *pn_api_empty_reply(int status) { return api_reply_new(status, NULL); }

static uint64_t clock_of(void *ctx) { return ((const pn_api *)ctx)->now_us(); }

static bool start_counting(pn_api *a, pn_error *e) {
  if (!a->o.metrics) return true;
  api_counted *paths = calloc((size_t)api_n_routes, sizeof *paths);
  if (!paths) return pn_fail(e, PN_ERR_NOMEM, "out of memory while starting the metrics");
  for (int i = 0; i < api_n_routes; i++) paths[i] = (api_counted){api_routes[i].method, api_routes[i].path};
  a->counts = api_counts_new(a->o.metrics, paths, api_n_routes);
  free(paths);
  if (!a->counts) return pn_fail(e, PN_ERR_NOMEM, "out of memory while starting the metrics");
  a->sessions = api_sessions_new(&a->o, clock_of, a, e);
  return a->sessions && metrics_page_open(&a->o, &a->metrics_page, e);
}

uint64_t pn_api_tick(pn_api *a) { return live_table_sweep(a->live, atomic_load(&a->draining)); }

pn_api *pn_api_new(const pn_api_options *o, pn_error *e) {
  if (!o->tokenizer) return pn_fail(e, PN_ERR_INTERNAL, "api: no tokenizer was given"), NULL;
  pn_api *a = calloc(1, sizeof *a);
  if (!a) return pn_fail(e, PN_ERR_NOMEM, "out of memory while starting the API"), NULL;
  a->o = *o;
  a->now_us = pn_now_us;
  a->wall_ms = pn_wall_ms;
  atomic_init(&a->draining, false);
  a->kept = kept_new(KEPT_BYTES);
  a->live = live_table_new((uint64_t)(o->resend_wait_s > 0 ? o->resend_wait_s : 0) * 1000000, clock_of, a);
  a->kept_calls = kept_calls_new(KEPT_CALLS_BYTES);
  a->guides = guides_new(o->tokenizer);
  pn_error no_rate = {0};
  a->rate = api_rate_new(o->requests_per_minute, &no_rate);
  if (!a->kept || !a->kept_calls || !a->live || !a->guides || no_rate.code)
    pn_fail(e, PN_ERR_NOMEM, "out of memory while starting the API");
  else if (speech_init(&a->speech, o, e) && start_counting(a, e) && batches_new(a, &a->batches, e)) {
    if (o->chat_template) speech_tell(&a->speech);
    return a;
  }
  pn_api_free(a);
  return NULL;
}

void pn_api_free(pn_api *a) {
  if (!a) return;
  batches_free(a->batches);
  live_table_free(a->live);
  kept_free(a->kept);
  kept_calls_free(a->kept_calls);
  guides_free(a->guides);
  speech_fini(&a->speech);
  api_rate_free(a->rate);
  api_counts_free(a->counts);
  api_sessions_free(a->sessions);
  metrics_page_close(a->metrics_page);
  pn_buf_fini(&a->openapi);
  free(a);
}

void pn_api_set_draining(pn_api *a) {
  atomic_store(&a->draining, true);
  batches_drain(a->batches);
}
