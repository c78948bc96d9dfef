#include "cli/bench_stats.h"

#include <stdio.h>
#include <stdlib.h>

bool bench_stats_add(bench_stats *s, double v, pn_error *e) {
  if (s->n == s->cap) {
    int cap = s->cap ? s->cap * 2 : 16;
    double *p = realloc(s->p, (size_t)cap * sizeof *p);
    if (!p) return pn_fail(e, PN_ERR_NOMEM, "out of memory for measurements");
    s->p = p;
    s->cap = cap;
  }
  int at = s->n++;
  for (; at > 0 && s->p[at - 1] > v; at--) s->p[at] = s->p[at - 1];
  s->p[at] = v;
  return true;
}

void bench_stats_fini(bench_stats *s) {
  free(s->p);
  *s = (bench_stats){0};
}

double bench_stats_median(const bench_stats *s) {
  if (s->n == 0) return 0;
  return s->n % 2 ? s->p[s->n / 2] : (s->p[s->n / 2 - 1] + s->p[s->n / 2]) / 2;
}

pn_json *bench_stats_json(const bench_stats *s) {
  pn_json *v = pn_json_new_object();
  pn_json_set(v, "min", pn_json_new_num(s->n ? s->p[0] : 0));
  pn_json_set(v, "median", pn_json_new_num(bench_stats_median(s)));
  pn_json_set(v, "max", pn_json_new_num(s->n ? s->p[s->n - 1] : 0));
  return v;
}

const char *bench_stats_line(const bench_stats *s, char out[80]) {
  snprintf(out, 80, "%8.1f (%.1f .. %.1f)", bench_stats_median(s), s->n ? s->p[0] : 0,
           s->n ? s->p[s->n - 1] : 0);
  return out;
}
