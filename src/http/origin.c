// Cross-origin requests (the Fetch standard's CORS protocol). A browser sends requests of any web page to any
// server; what protects a server on its visitor's machine is that it refuses those of pages that it does not
// know. Programs that are no web pages send no Origin, or one of a scheme of their own.
#include "http/http_int.h"

#include <string.h>
#include <strings.h>

#define MAX_AGE_S "600"

static bool equal(const char *known, pn_str origin) {
  return strlen(known) == origin.n && strncasecmp(known, origin.p, origin.n) == 0;
}

const char *origin_allowed(const pn_http *h, const framing *f) {
  if (!f->origin.n || !h->cors_origins) return NULL;
  for (char **o = h->cors_origins; *o; o++)
    if (strcmp(*o, "*") == 0 || equal(*o, f->origin)) return *o;
  return NULL;
}

static bool starts(pn_str s, const char *prefix) {
  return s.n >= strlen(prefix) && strncasecmp(s.p, prefix, strlen(prefix)) == 0;
}

bool origin_is_foreign(const pn_http *h, const framing *f) {
  bool page = starts(f->origin, "http://") || starts(f->origin, "https://") || equal("null", f->origin);
  return page && !f->same_origin && !origin_allowed(h, f);
}

static bool add(struct MHD_Response *r, const char *name, const char *value) {
  return MHD_add_response_header(r, name, value) == MHD_YES;
}

// Credentials are never allowed: the key is the only one, and pages send it by themselves.
bool origin_add_headers(const conn *c, struct MHD_Response *r) {
  if (!c->h->cors_origins) return true;
  bool ok = add(r, "Vary", "Origin");
  if (!c->cors_origin) return ok;
  ok = ok && add(r, "Access-Control-Allow-Origin", c->cors_origin) &&
       add(r, "Access-Control-Expose-Headers", "request-id, retry-after");
  if (!c->preflight) return ok;
  ok = ok && add(r, "Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE") &&
       add(r, "Access-Control-Max-Age", MAX_AGE_S);
  if (*c->preflight) ok = ok && add(r, "Access-Control-Allow-Headers", c->preflight);
  return ok && (!c->private_network || add(r, "Access-Control-Allow-Private-Network", "true"));
}
