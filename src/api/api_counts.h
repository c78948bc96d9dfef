// Counts of replies by path and status, and of errors by type. Without a registry nothing is counted.
#ifndef PN_API_COUNTS_H
#define PN_API_COUNTS_H

#include "base/metrics.h"

typedef struct api_counts api_counts;

// One path of the route table; `method` says which statuses are worth a series of their own.
typedef struct api_counted {
  const char *method, *path;
} api_counted;

// NULL when the registry is NULL or memory ran out. Nothing of `paths` is kept.
api_counts *api_counts_new(pn_metrics *m, const api_counted *paths, int n_paths);
void api_counts_free(api_counts *c);
// A reply has ended: path by its number in `paths`, any other number for a path that is not there; error_type
// NULL when it held no error. Any thread.
void api_counts_reply(api_counts *c, int path, int status, const char *error_type);

#endif
