// A small HTTP client: one GET to a server nearby. And what it finds there.
#ifndef PN_CLI_HTTP_GET_H
#define PN_CLI_HTTP_GET_H

#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

typedef enum found_server {
  SERVER_NONE,  // nobody listens
  SERVER_OURS,  // a Pensieve server
  SERVER_OTHER, // something else listens, or does not answer
} found_server;

typedef struct server_state {
  char status[16]; // "ok", "draining", "failed"
  char model[256];
  int n_ctx;
} server_state;

// GET with an API key (NULL: none). False: nobody listens. *status is 0 when what answered, or failed to
// within timeout_ms, is no HTTP. Of an answer of more than 64 KiB the rest is left. PN_ERR_USAGE only when
// the host's name is not known.
bool http_get(const char *host, int port, const char *path, const char *key, int timeout_ms, int *status,
              pn_buf *body, pn_error *e);
// Take a whole answer apart: its status, 0 when it is no HTTP, and its body, a slice of it.
int http_get_parse(pn_str answer, pn_str *body);

// Ask /health what listens there. False only when the host's name is not known.
bool server_look(const char *host, int port, int timeout_ms, found_server *found, server_state *out,
                 pn_error *e);
// Read what /health answered. False when it is no answer of ours.
bool server_state_read(pn_str body, server_state *out);
// http://HOST:PORT as a client reaches it: an address that means all of a machine's is this machine. No slash
// at the end.
void server_url(const char *host, int port, char out[300]);

#endif
