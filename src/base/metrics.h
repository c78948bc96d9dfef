// Counters, gauges and histograms, and their text for Prometheus (exposition format 0.0.4).
//
// Threads: series are added by one thread before others start; counting is lock-free from any thread; writing
// happens on one thread at a time. Every function takes NULL for "nobody counts" and does nothing then.
#ifndef PN_BASE_METRICS_H
#define PN_BASE_METRICS_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct pn_metrics pn_metrics; // a registry
typedef struct pn_metric pn_metric;   // one series of it; lives as long as the registry

typedef enum pn_metric_kind { PN_COUNTER, PN_GAUGE, PN_HISTOGRAM } pn_metric_kind;

// Labels are copied; other texts and bounds are borrowed and must outlive the registry. Series of one name
// (with different labels) share kind and help and are written together.
typedef struct pn_metric_spec {
  pn_metric_kind kind;
  const char *name, *help;
  const char *alias;    // a second name that the series is written under; NULL: none
  const char *labels;   // such as `reason="stop"`; NULL: none
  const double *bounds; // histograms: upper bounds of the buckets, ascending, without +Inf
  int n_bounds;
} pn_metric_spec;

pn_metrics *pn_metrics_new(void); // NULL when memory ran out
void pn_metrics_free(pn_metrics *m);
// NULL when m is NULL or memory ran out: then this series is not counted.
pn_metric *pn_metrics_add(pn_metrics *m, const pn_metric_spec *s);

void pn_metric_add(pn_metric *c, double n);     // counters: n >= 0
void pn_metric_set(pn_metric *g, double value); // gauges
void pn_metric_observe(pn_metric *h, double value);
double pn_metric_value(const pn_metric *s); // of a counter or gauge; of a histogram the sum; 0 when NULL

// `refresh` is called before every write, on the writer's thread, to set gauges of what is only looked up. Up
// to 8.
bool pn_metrics_on_write(pn_metrics *m, void (*refresh)(void *ctx), void *ctx);
void pn_metrics_write(pn_metrics *m, pn_buf *out);

#endif
