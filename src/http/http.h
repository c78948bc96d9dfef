// The HTTP server: connections, bounded bodies, streams, drain. One thread, the caller's.
#ifndef PN_HTTP_H
#define PN_HTTP_H

#include "api/api.h"
#include "base/error.h"

typedef struct pn_http pn_http;

// A key that clients may show, and the name that logs know it by.
typedef struct pn_http_key {
  const char *name, *key;
} pn_http_key;

typedef struct pn_http_options {
  const char *host;      // address to listen on, "127.0.0.1" or "::1" or "localhost"
  int port;              // 0: any free one
  const char *unix_path; // listen there instead; NULL: no
  const pn_http_key
      *keys;  // n_keys; none: no key is asked for; else x-api-key or Authorization: Bearer must be one
  int n_keys; // of them on every path that pn_api_is_open does not name
  // Origins of web pages that may use the server, NULL at the end, "*" for all; NULL: none. Whatever this
  // says, pages of the server itself may.
  const char *const *cors_origins;
  const char *tls_cert_file, *tls_key_file; // PEM; both or none
  size_t max_body_bytes;                    // 0: 32 MiB
  int max_connections;                      // 0: 512; more wait in the backlog. An idle one costs about 33 KB
  int drain_s;                              // how long running requests may go on after pn_http_stop
  // Deadlines by phase, in milliseconds; 0: the default. Passing one closes the connection.
  int header_ms; // 10,000: from connecting (or a later request's first line) until the headers are complete
  int body_ms;   // 30,000: for the body, plus a second for every 16 KiB that arrived
  int idle_ms;   // 75,000: between two requests
  int stall_ms;  // 120,000: a client that takes nothing of its answer
} pn_http_options;

// Bind and listen. PN_ERR_DEVICE when the port or socket is taken or may not be used, PN_ERR_USAGE for
// options that contradict each other, the file's own error or PN_ERR_CORRUPT for certificate and key. Strings
// are copied.
pn_http *pn_http_open(pn_api *api, const pn_http_options *o, pn_error *e);
int pn_http_port(const pn_http *h); // 0 on a unix socket
// Serve until pn_http_stop was called and everything is drained (or the deadline passed).
bool pn_http_run(pn_http *h, pn_error *e);
// Any thread, and safe in a signal handler: the first call drains, the second ends at once. Not after
// pn_http_close: take the signal handlers away first.
void pn_http_stop(pn_http *h);
void pn_http_close(pn_http *h);

#endif
