#include "api/api_sessions.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define ACTIVE_US 300000000u // a session counts for so long after its last request
#define MAX_SESSIONS 1024    // more at once: the one that was quiet for longest is forgotten

typedef struct seen {
  uint64_t name; // hash
  uint64_t last_us;
} seen;

enum { MAIN, AGENT, OTHER, N_SOURCES };

struct api_sessions {
  uint64_t (*now_us)(void *ctx);
  void *ctx;
  pn_metric *requests[N_SOURCES], *active;
  int n;
  seen sessions[MAX_SESSIONS];
};

static void refresh(void *ctx) {
  api_sessions *s = ctx;
  uint64_t now = s->now_us(s->ctx);
  int n = 0;
  for (int i = 0; i < s->n; i++)
    if (now - s->sessions[i].last_us < ACTIVE_US) s->sessions[n++] = s->sessions[i];
  s->n = n;
  pn_metric_set(s->active, n);
}

api_sessions *api_sessions_new(const pn_api_options *o, uint64_t (*now_us)(void *ctx), void *ctx,
                               pn_error *e) {
  static const char *const labels[] = {"source=\"main\"", "source=\"agent\"", "source=\"other\""};
  if (!o->metrics) return NULL;
  api_sessions *s = calloc(1, sizeof *s);
  if (!s || !pn_metrics_on_write(o->metrics, refresh, s)) {
    pn_fail(e, PN_ERR_NOMEM, "out of memory while starting the metrics");
    free(s);
    return NULL;
  }
  s->now_us = now_us;
  s->ctx = ctx;
  for (int i = 0; i < N_SOURCES; i++)
    s->requests[i] =
        pn_metrics_add(o->metrics, &(pn_metric_spec){.kind = PN_COUNTER,
                                                     .name = "pensieve_message_requests_total",
                                                     .help = "Requests for messages, by who sent them.",
                                                     .labels = labels[i]});
  s->active =
      pn_metrics_add(o->metrics, &(pn_metric_spec){.kind = PN_GAUGE,
                                                   .name = "pensieve_sessions_active",
                                                   .help = "Client sessions that sent a request in the last "
                                                           "five minutes."});
  return s;
}

void api_sessions_free(api_sessions *s) { free(s); }

static seen *place_of(api_sessions *s, uint64_t name) {
  seen *oldest = s->sessions;
  for (int i = 0; i < s->n; i++) {
    if (s->sessions[i].name == name) return &s->sessions[i];
    if (s->sessions[i].last_us < oldest->last_us) oldest = &s->sessions[i];
  }
  return s->n < MAX_SESSIONS ? &s->sessions[s->n++] : oldest;
}

void api_sessions_note(api_sessions *s, const pn_api_request *r) {
  if (!s || r->background) return;
  pn_metric_add(s->requests[r->agent ? AGENT : r->session ? MAIN : OTHER], 1);
  if (!r->session) return;
  uint64_t name = pn_hash(r->session, strlen(r->session), 0);
  *place_of(s, name) = (seen){name, s->now_us(s->ctx)};
}
