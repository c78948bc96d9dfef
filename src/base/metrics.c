#include "base/metrics.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REFRESH = 8 };

struct pn_metric {
  pn_metric_spec spec;      // its labels are `labels`
  char *labels;             // NULL: none
  _Atomic double value;     // of a histogram: the sum of what was observed
  _Atomic uint64_t *counts; // histograms: n_bounds + 1, each of its own bucket only
  struct pn_metric *next;
};

struct pn_metrics {
  pn_metric *first, *last;
  struct {
    void (*fn)(void *ctx);
    void *ctx;
  } refresh[MAX_REFRESH];
  int n_refresh;
};

pn_metrics *pn_metrics_new(void) { return calloc(1, sizeof(pn_metrics)); }

static void free_series(pn_metric *s) {
  free((void *)s->counts);
  free(s->labels);
  free(s);
}

void pn_metrics_free(pn_metrics *m) {
  if (!m) return;
  for (pn_metric *s = m->first, *next; s; s = next) {
    next = s->next;
    free_series(s);
  }
  free(m);
}

pn_metric *pn_metrics_add(pn_metrics *m, const pn_metric_spec *spec) {
  pn_metric *s = m ? calloc(1, sizeof *s) : NULL;
  if (!s) return NULL;
  s->spec = *spec;
  if (spec->labels) s->spec.labels = s->labels = pn_str_dup(pn_str_of(spec->labels));
  if (spec->kind == PN_HISTOGRAM) s->counts = calloc((size_t)spec->n_bounds + 1, sizeof *s->counts);
  if ((spec->labels && !s->labels) || (spec->kind == PN_HISTOGRAM && !s->counts)) return free_series(s), NULL;
  if (m->last)
    m->last->next = s;
  else
    m->first = s;
  m->last = s;
  return s;
}

static void add(_Atomic double *to, double n) {
  double old = atomic_load_explicit(to, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(to, &old, old + n, memory_order_relaxed,
                                                memory_order_relaxed)) {}
}

void pn_metric_add(pn_metric *c, double n) {
  if (c) add(&c->value, n);
}

void pn_metric_set(pn_metric *g, double value) {
  if (g) atomic_store_explicit(&g->value, value, memory_order_relaxed);
}

void pn_metric_observe(pn_metric *h, double value) {
  if (!h) return;
  int i = 0;
  while (i < h->spec.n_bounds && value > h->spec.bounds[i]) i++;
  atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
  add(&h->value, value);
}

double pn_metric_value(const pn_metric *s) {
  return s ? atomic_load_explicit(&s->value, memory_order_relaxed) : 0;
}

bool pn_metrics_on_write(pn_metrics *m, void (*refresh)(void *ctx), void *ctx) {
  if (!m) return true;
  if (m->n_refresh == MAX_REFRESH) return false;
  m->refresh[m->n_refresh].fn = refresh;
  m->refresh[m->n_refresh++].ctx = ctx;
  return true;
}

static void number(pn_buf *out, double v) {
  if (isinf(v))
    pn_buf_z(out, v > 0 ? "+Inf" : "-Inf");
  else if (isnan(v))
    pn_buf_z(out, "NaN");
  else if (v == floor(v) && fabs(v) < 9007199254740992.0)
    pn_buf_printf(out, "%lld", (long long)v);
  else
    pn_buf_printf(out, "%.15g", v); // the time of day to microseconds, and 0.1 as 0.1
}

// name suffix{labels,extra} value
static void sample(pn_buf *out, const char *name, const char *suffix, const char *labels, const char *bound,
                   double value) {
  pn_buf_printf(out, "%s%s", name, suffix);
  if (labels || bound) {
    pn_buf_char(out, '{');
    if (labels) pn_buf_z(out, labels);
    if (bound) pn_buf_printf(out, "%sle=\"%s\"", labels ? "," : "", bound);
    pn_buf_char(out, '}');
  }
  pn_buf_char(out, ' ');
  number(out, value);
  pn_buf_char(out, '\n');
}

static void write_histogram(pn_buf *out, const pn_metric *s, const char *name) {
  uint64_t total = 0;
  pn_buf bound = {0};
  for (int i = 0; i <= s->spec.n_bounds; i++) {
    total += atomic_load_explicit(&s->counts[i], memory_order_relaxed);
    pn_buf_clear(&bound);
    number(&bound, i < s->spec.n_bounds ? s->spec.bounds[i] : INFINITY);
    sample(out, name, "_bucket", s->spec.labels, pn_buf_cstr(&bound), (double)total);
  }
  pn_buf_fini(&bound);
  sample(out, name, "_sum", s->spec.labels, NULL, pn_metric_value(s));
  sample(out, name, "_count", s->spec.labels, NULL, (double)total);
}

static const char *name_of(const pn_metric *s, bool alias) { return alias ? s->spec.alias : s->spec.name; }

static bool same_family(const pn_metric *a, const pn_metric *b, bool alias) {
  const char *x = name_of(a, alias), *y = name_of(b, alias);
  return x && y && strcmp(x, y) == 0;
}

// All series of the family of `s`, unless an earlier series has written them.
static void write_family(const pn_metrics *m, const pn_metric *s, bool alias, pn_buf *out) {
  static const char *const kinds[] = {"counter", "gauge", "histogram"};
  const char *name = name_of(s, alias);
  if (!name) return;
  for (const pn_metric *before = m->first; before != s; before = before->next)
    if (same_family(before, s, alias)) return;
  pn_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, s->spec.help, name, kinds[s->spec.kind]);
  for (const pn_metric *one = s; one; one = one->next) {
    if (!same_family(one, s, alias)) continue;
    if (one->spec.kind == PN_HISTOGRAM)
      write_histogram(out, one, name);
    else
      sample(out, name, "", one->spec.labels, NULL, pn_metric_value(one));
  }
}

void pn_metrics_write(pn_metrics *m, pn_buf *out) {
  if (!m) return;
  for (int i = 0; i < m->n_refresh; i++) m->refresh[i].fn(m->refresh[i].ctx);
  for (int alias = 0; alias < 2; alias++)
    for (const pn_metric *s = m->first; s; s = s->next) write_family(m, s, alias, out);
}
