// Which headers may be believed. A request that two programs could cut at different places (request
// smuggling) is refused, so is one whose Host shows that a web page's name was pointed at this machine (DNS
// rebinding).
#include "base/hash.h"
#include "http/http_int.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define MAX_FIELDS 128
#define SESSION_SEED 1

bool framing_key_equal(const char *expected, pn_str given) {
  size_t n = strlen(expected);
  volatile unsigned char diff = given.n != n;
  for (size_t i = 0; i < n; i++) {
    unsigned char g = given.n ? (unsigned char)given.p[i % given.n] : 0;
    diff = (unsigned char)(diff | ((unsigned char)expected[i] ^ g));
  }
  return diff == 0;
}

bool framing_is_token(pn_str s) {
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!alnum && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c))) return false;
  }
  return s.n > 0;
}

static bool is_name(pn_str s, const char *name) {
  return s.n == strlen(name) && strncasecmp(s.p, name, s.n) == 0;
}

static bool has_control(pn_str s) {
  for (size_t i = 0; i < s.n; i++)
    if (((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t') || s.p[i] == 0x7F) return true;
  return false;
}

static bool parse_length(pn_str s, uint64_t *v) {
  *v = 0;
  for (size_t i = 0; i < s.n; i++) {
    if (s.p[i] < '0' || s.p[i] > '9' || *v > (UINT64_MAX - 9) / 10) return false;
    *v = *v * 10 + (uint64_t)(s.p[i] - '0');
  }
  return s.n > 0;
}

// A Host value's name, without the port; {NULL, 0} when it is malformed.
static pn_str host_name(pn_str v) {
  pn_str name = v, port = {0};
  if (v.n && v.p[0] == '[') {
    const char *end = memchr(v.p, ']', v.n);
    if (!end) return (pn_str){0};
    name = (pn_str){v.p + 1, (size_t)(end - v.p) - 1};
    port = (pn_str){end + 1, v.n - name.n - 2};
  } else {
    const char *colon = memchr(v.p, ':', v.n);
    if (colon) name.n = (size_t)(colon - v.p), port = (pn_str){colon, v.n - name.n};
  }
  uint64_t number;
  if (port.n &&
      (port.p[0] != ':' || (port.n > 1 && !parse_length((pn_str){port.p + 1, port.n - 1}, &number))))
    return (pn_str){0};
  return name;
}

bool framing_is_local_host(pn_str host) {
  pn_str name = host.n ? host_name(host) : host;
  unsigned char address[16];
  char z[256];
  if (name.n == 0 || name.n >= sizeof z || has_control(name)) return false;
  memcpy(z, name.p, name.n);
  z[name.n] = 0;
  if (host.p[0] == '[') return inet_pton(AF_INET6, z, address) == 1;
  return inet_pton(AF_INET, z, address) == 1 || strcasecmp(z, "localhost") == 0 ||
         strcasecmp(z, "localhost.") == 0 || (name.n > 10 && strcasecmp(z + name.n - 10, ".localhost") == 0);
}

// Splits "http://authority/path" into authority and path; origin-form has no authority.
static pn_str split_target(pn_str target, pn_str *authority) {
  *authority = (pn_str){0};
  size_t skip = target.n > 7 && strncasecmp(target.p, "http://", 7) == 0    ? 7
                : target.n > 8 && strncasecmp(target.p, "https://", 8) == 0 ? 8
                                                                            : 0;
  if (!skip) return target;
  pn_str rest = {target.p + skip, target.n - skip};
  const char *slash = memchr(rest.p, '/', rest.n);
  size_t n = slash ? (size_t)(slash - rest.p) : rest.n;
  *authority = (pn_str){rest.p, n};
  return slash ? (pn_str){slash, rest.n - n} : PN_STR("/");
}

pn_str framing_path(pn_str target) {
  pn_str authority;
  return split_target(target, &authority);
}

typedef struct scan {
  const pn_http *h;
  framing *f;
  size_t n_fields, n_bytes;
  int n_length, n_coding, n_host;
  pn_str length, coding, host;
  bool malformed, asks_method;
} scan;

// Every key is compared, whichever matches.
static void try_key(const scan *s, pn_str given) {
  for (int i = 0; i < s->h->n_keys; i++) {
    if (!framing_key_equal(s->h->keys[i].key, given)) continue;
    s->f->key_ok = true;
    s->f->caller.key_name = s->h->keys[i].name;
  }
}

static void try_bearer(const scan *s, pn_str v) {
  if (v.n < 7 || strncasecmp(v.p, "bearer ", 7) != 0) return;
  v = (pn_str){v.p + 7, v.n - 7};
  while (v.n && *v.p == ' ') v.p++, v.n--;
  try_key(s, v);
}

// Into a log line some day: printable ASCII, cut to its place.
static void keep(char *to, size_t cap, pn_str v) {
  size_t n = 0;
  for (size_t i = 0; i < v.n && n + 1 < cap; i++)
    if (v.p[i] > ' ' && v.p[i] < 0x7F) to[n++] = v.p[i];
  to[n] = '\0';
}

static bool is_hex(const char *p, size_t n) {
  bool zero = true;
  for (size_t i = 0; i < n; i++) {
    if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f'))) return false;
    zero &= p[i] == '0';
  }
  return !zero;
}

// "00-" trace id (32) "-" parent id (16) "-" flags (2); later versions may have more behind.
// W3C Trace Context, version 00 or later.
static bool framing_traceparent(pn_str v, caller *out) {
  if (v.n < 55 || v.p[2] != '-' || v.p[35] != '-' || v.p[52] != '-') return false;
  bool first = v.p[0] == '0' && v.p[1] == '0';
  if ((first && v.n != 55) || (v.n > 55 && v.p[55] != '-') || (v.p[0] == 'f' && v.p[1] == 'f')) return false;
  if ((!first && !is_hex(v.p, 2)) || !is_hex(v.p + 3, 32) || !is_hex(v.p + 36, 16)) return false;
  memcpy(out->trace_id, v.p + 3, 32);
  memcpy(out->parent_id, v.p + 36, 16);
  out->trace_id[32] = out->parent_id[16] = '\0';
  return true;
}

static void scan_caller(scan *s, pn_str name, pn_str v) {
  caller *c = &s->f->caller;
  uint64_t n;
  // Claude Code opens many connections; this names the one program behind them.
  if (is_name(name, "x-claude-code-session-id") && v.n) {
    s->f->session = pn_hash(v.p, v.n, SESSION_SEED) | 1;
    keep(c->session, sizeof c->session, v);
  }
  if (is_name(name, "x-claude-code-agent-id")) keep(c->agent, sizeof c->agent, v);
  if (is_name(name, "x-stainless-retry-count") && parse_length(v, &n))
    c->n_retries = n < 1000 ? (int)n : 1000;
  if (is_name(name, "traceparent")) framing_traceparent(v, c);
  if (is_name(name, "x-api-key")) try_key(s, v);
  if (is_name(name, "authorization")) try_bearer(s, v);
}

static void scan_origin(scan *s, pn_str name, pn_str v) {
  if (is_name(name, "origin")) s->f->origin = v;
  if (is_name(name, "access-control-request-method")) s->asks_method = v.n > 0;
  if (is_name(name, "access-control-request-headers")) s->f->asked_headers = v;
  if (is_name(name, "access-control-request-private-network"))
    s->f->asks_private_network = pn_str_is(v, "true");
}

static enum MHD_Result scan_field(void *ctx, enum MHD_ValueKind kind, const char *key, size_t n_key,
                                  const char *value, size_t n_value) {
  (void)kind;
  scan *s = ctx;
  pn_str name = {key, n_key}, v = {value, value ? n_value : 0};
  s->n_fields++;
  s->n_bytes += name.n + v.n + 4;
  s->malformed |= !framing_is_token(name) || has_control(v);
  if (is_name(name, "content-length")) s->n_length++, s->length = v;
  if (is_name(name, "transfer-encoding")) s->n_coding++, s->coding = v;
  if (is_name(name, "host")) s->n_host++, s->host = v;
  scan_caller(s, name, v);
  scan_origin(s, name, v);
  return MHD_YES;
}

// Whether a page at this origin comes from the very host that the request names.
static bool is_same(pn_str origin, pn_str host) {
  size_t at = pn_str_find(origin, PN_STR("://"), 0);
  if (at == SIZE_MAX) return false;
  pn_str authority = {origin.p + at + 3, origin.n - at - 3};
  return authority.n > 0 && authority.n == host.n && strncasecmp(authority.p, host.p, host.n) == 0;
}

static int refuse(const char **why, int status, const char *text) { return *why = text, status; }

static int check_target(pn_str target, const char **why) {
  for (size_t i = 0; i < target.n; i++)
    if ((unsigned char)target.p[i] <= 0x20 || target.p[i] == 0x7F)
      return refuse(why, 400, "The request target holds a control character.");
  if (pn_str_find(target, PN_STR("%00"), 0) != SIZE_MAX)
    return refuse(why, 400, "The request target holds a NUL character.");
  return 0;
}

int framing_check(const pn_http *h, struct MHD_Connection *mc, const char *method, const char *target,
                  const char *version, framing *f, const char **why) {
  *f = (framing){.key_ok = h->n_keys == 0};
  scan s = {.h = h, .f = f};
  MHD_get_connection_values_n(mc, MHD_HEADER_KIND, scan_field, &s);
  f->chunked = s.n_coding > 0;
  f->preflight = f->origin.n && s.asks_method && strcmp(method, "OPTIONS") == 0;
  f->same_origin = is_same(f->origin, s.host);
  // From here on an unreadable length counts as a body: the connection is closed behind the answer.
  f->has_body = s.n_coding > 0 || s.n_length > 0;
  bool length_ok = s.n_length == 0 || parse_length(s.length, &f->content_length);
  if (length_ok && s.n_coding == 0) f->has_body = f->content_length > 0;

  pn_str t = pn_str_of(target), authority;
  if (s.n_bytes + t.n > HTTP_HEADER_BYTES || s.n_fields > MAX_FIELDS)
    return refuse(why, 431, "The request headers are too large: at most 16 KiB in 128 fields are accepted.");
  if (s.malformed) return refuse(why, 400, "A request header is malformed.");
  if (s.n_length && s.n_coding)
    return refuse(why, 400, "Content-Length and Transfer-Encoding can't be used together.");
  if (s.n_length > 1 || s.n_coding > 1 || s.n_host > 1)
    return refuse(why, 400, "Content-Length, Transfer-Encoding and Host may each be given once.");
  if (s.n_coding && (!is_name(s.coding, "chunked") || strcmp(version, "HTTP/1.0") == 0))
    return refuse(why, 400, "The only Transfer-Encoding understood is chunked, in HTTP/1.1.");
  if (!length_ok) return refuse(why, 400, "Content-Length is not a number.");
  if (s.n_host == 0 && strcmp(version, "HTTP/1.0") != 0)
    return refuse(why, 400, "The Host header is missing.");
  int status = check_target(t, why);
  if (status) return status;
  split_target(t, &authority);
  if (h->check_host && (s.n_host || authority.n) && !framing_is_local_host(authority.n ? authority : s.host))
    return refuse(
        why, 403,
        "This server answers to localhost and to IP addresses only; the Host header names another.");
  bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
  if (!reads && origin_is_foreign(h, f))
    return refuse(why, 403,
                  "Web pages of other origins may not use this server; --cors-origin allows an origin.");
  if (f->preflight && origin_allowed(h, f)) return 0; // it carries no key
  if (!f->key_ok && !pn_api_is_open(target))
    return refuse(why, 401, "The API key is missing or wrong: send it as x-api-key or as a Bearer token.");
  if (f->content_length > h->max_body_bytes) return refuse(why, 413, "The request body is too large.");
  return 0;
}
