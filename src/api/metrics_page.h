// GET /metrics: the registry's text for Prometheus, and what the server says there of its own process.
#ifndef PN_API_METRICS_PAGE_H
#define PN_API_METRICS_PAGE_H

#include "api/api.h"

typedef struct metrics_page metrics_page;

// Adds the series of the process and the build to o->metrics, which asks for them until it is freed: *out
// must live as long as anybody writes the registry. *out is NULL without a registry.
bool metrics_page_open(const pn_api_options *o, metrics_page **out, pn_error *e);
void metrics_page_close(metrics_page *p);

#endif
