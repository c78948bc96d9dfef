// A server of our own: `pensieve serve` of the same program, apart from our terminal.
#ifndef PN_CLI_SERVER_CHILD_H
#define PN_CLI_SERVER_CHILD_H

#include "cli/http_get.h"
#include "cli/options.h"
#include "cli/server_share.h"

// Start it with the flags that we were given, and wait until it answers. Between share_enter and share_leave.
// When it ends instead, its last words are shown and *status is its exit status (else it stays).
// PN_ERR_CANCELLED when a signal came.
bool server_start(server_share *s, const options *o, server_state *out, int *status, pn_error *e);
// End the one that was started here, if one lives, and wait for the end of what it does. A further signal
// ends it at once. Between share_enter and share_leave.
void server_end(server_share *s);

#endif
