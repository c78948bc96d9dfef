#include "api/metrics_page.h"

#include "api/api_core.h"
#include "base/process.h"

#include <stdlib.h>

struct metrics_page {
  pn_metric *resident_bytes, *open_fds, *cpu_seconds;
};

static pn_metric *add(pn_metrics *m, pn_metric_kind kind, const char *name, const char *labels,
                      const char *help) {
  return pn_metrics_add(m, &(pn_metric_spec){.kind = kind, .name = name, .help = help, .labels = labels});
}

// name="value" with the escapes of the text format.
static void write_label(pn_buf *b, const char *name, const char *value) {
  pn_buf_printf(b, "%s%s=\"", b->n ? "," : "", name);
  for (const char *p = value ? value : ""; *p; p++) {
    if (*p == '\\' || *p == '"') pn_buf_char(b, '\\');
    if (*p == '\n')
      pn_buf_z(b, "\\n");
    else
      pn_buf_char(b, *p);
  }
  pn_buf_char(b, '"');
}

static void refresh(void *ctx) {
  metrics_page *p = ctx;
  pn_process now;
  pn_process_look(&now);
  pn_metric_set(p->resident_bytes, (double)now.resident_bytes);
  pn_metric_set(p->open_fds, now.n_open_fds);
  double more = now.cpu_s - pn_metric_value(p->cpu_seconds);
  if (more > 0) pn_metric_add(p->cpu_seconds, more);
}

bool metrics_page_open(const pn_api_options *o, metrics_page **out, pn_error *e) {
  *out = NULL;
  pn_metrics *m = o->metrics;
  if (!m) return true;
  metrics_page *p = calloc(1, sizeof *p);
  if (!p) return pn_fail(e, PN_ERR_NOMEM, "out of memory while starting the metrics");
  if (!pn_metrics_on_write(m, refresh, p)) {
    free(p);
    return pn_fail(e, PN_ERR_INTERNAL, "metrics: too many sources in one registry");
  }
  p->resident_bytes =
      add(m, PN_GAUGE, "process_resident_memory_bytes", NULL, "Memory that the process occupies.");
  p->open_fds = add(m, PN_GAUGE, "process_open_fds", NULL, "Open file descriptors.");
  p->cpu_seconds = add(m, PN_COUNTER, "process_cpu_seconds_total", NULL, "Processor time, user and system.");
  pn_process now;
  pn_process_look(&now);
  pn_metric_set(
      add(m, PN_GAUGE, "process_start_time_seconds", NULL, "Unix time at which the process started."),
      now.start_s);
  pn_metric_set(add(m, PN_GAUGE, "pensieve_weights_bytes", NULL, "Bytes of the model's files."),
                (double)o->weights_bytes);
  pn_buf labels = {0};
  write_label(&labels, "version", o->version);
  write_label(&labels, "backend", o->backend_name);
  pn_metric_set(
      add(m, PN_GAUGE, "pensieve_build_info", pn_buf_cstr(&labels), "What this binary is and computes with."),
      1);
  pn_buf_fini(&labels);
  *out = p;
  return true;
}

void metrics_page_close(metrics_page *p) { free(p); }

pn_reply *about_metrics(pn_api *a, const pn_api_request *r, pn_str tail) {
  (void)tail;
  if (!a->o.metrics) return api_reply_error(404, API_NO_SUCH_PATH, NULL, r->request_id);
  pn_reply *reply = api_reply_new(200, "text/plain; version=0.0.4; charset=utf-8");
  if (reply) pn_metrics_write(a->o.metrics, &reply->body);
  return reply;
}
