#include "api/api_counts.h"

#include "api/envelope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GET = 1, POST = 2, OTHER = 4, ALL = GET | POST | OTHER };

// Who gets a series for a status. What isn't here is counted as "other", so that the number of series stays
// small.
static const struct {
  int status, who;
} statuses[] = {
    {200, GET | POST}, {400, POST | OTHER}, {401, ALL},  {403, OTHER}, {404, GET | OTHER},
    {405, GET | POST}, {413, POST},         {499, POST}, {500, ALL},   {503, GET | POST},
    {504, POST},       {529, POST},         {0, ALL}, // other
};
enum { N_STATUSES = sizeof statuses / sizeof *statuses, N_TYPES = 16 };

typedef struct path_counts {
  pn_metric *by_status[N_STATUSES];
} path_counts;

struct api_counts {
  int n_paths;
  const char *types[N_TYPES];
  pn_metric *errors[N_TYPES];
  path_counts paths[]; // n_paths, and one for all others
};

static void add_path(path_counts *c, pn_metrics *m, const char *path, int who) {
  for (int i = 0; i < N_STATUSES; i++) {
    char status[16] = "other", labels[128];
    if (!(statuses[i].who & who)) continue;
    if (statuses[i].status) snprintf(status, sizeof status, "%d", statuses[i].status);
    snprintf(labels, sizeof labels, "path=\"%s\",status=\"%s\"", path, status);
    c->by_status[i] =
        pn_metrics_add(m, &(pn_metric_spec){.kind = PN_COUNTER,
                                            .name = "pensieve_http_requests_total",
                                            .help = "Requests that were answered, by HTTP status.",
                                            .labels = labels});
  }
}

api_counts *api_counts_new(pn_metrics *m, const api_counted *paths, int n_paths) {
  api_counts *c = m ? calloc(1, sizeof *c + ((size_t)n_paths + 1) * sizeof *c->paths) : NULL;
  if (!c) return NULL;
  c->n_paths = n_paths;
  for (int i = 0; i < n_paths; i++) {
    int who = 0, first = n_paths;
    for (int j = n_paths - 1; j >= 0; j--) {
      if (strcmp(paths[j].path, paths[i].path) != 0) continue;
      who |= strcmp(paths[j].method, "GET") == 0 ? GET : POST;
      first = j;
    }
    if (first == i)
      add_path(&c->paths[i], m, paths[i].path, who);
    else
      c->paths[i] = c->paths[first];
  }
  add_path(&c->paths[n_paths], m, "other", OTHER);
  for (int i = 0; i < N_TYPES && (c->types[i] = envelope_type_at(i)); i++) {
    char labels[64];
    snprintf(labels, sizeof labels, "type=\"%s\"", c->types[i]);
    c->errors[i] =
        pn_metrics_add(m, &(pn_metric_spec){.kind = PN_COUNTER,
                                            .name = "pensieve_http_errors_total",
                                            .help = "Errors that clients were sent, as a reply or within a "
                                                    "stream.",
                                            .labels = labels});
  }
  return c;
}

void api_counts_free(api_counts *c) { free(c); }

void api_counts_reply(api_counts *c, int path, int status, const char *error_type) {
  if (!c) return;
  const path_counts *p = &c->paths[path >= 0 && path < c->n_paths ? path : c->n_paths];
  int i = 0;
  while (i < N_STATUSES - 1 && (statuses[i].status != status || !p->by_status[i])) i++;
  pn_metric_add(p->by_status[i], 1);
  for (i = 0; error_type && i < N_TYPES && c->types[i]; i++)
    if (strcmp(c->types[i], error_type) == 0) pn_metric_add(c->errors[i], 1);
}
