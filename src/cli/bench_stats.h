// Repeated measurements of one thing: minimum, median, maximum.
#ifndef PN_CLI_BENCH_STATS_H
#define PN_CLI_BENCH_STATS_H

#include "base/json.h"

// Zero-initialise; bench_stats_fini frees. Kept sorted.
typedef struct bench_stats {
  double *p;
  int n, cap;
} bench_stats;

bool bench_stats_add(bench_stats *s, double v, pn_error *e);
void bench_stats_fini(bench_stats *s);
double bench_stats_median(const bench_stats *s); // 0 when there is none
pn_json *bench_stats_json(const bench_stats *s); // {"min","median","max"}
const char *bench_stats_line(const bench_stats *s, char out[80]);

#endif
