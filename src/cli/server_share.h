// A server that several programs of one user share: whoever finds none starts it, the last one ends it. All
// of it lies in locks (flock) on empty files in the user's folder for state, so nothing stale is left when a
// program is killed.
//
//   claude-HOST-PORT.start      held while one looks for the server, starts it or ends it: one at a time
//   claude-HOST-PORT.sessions   held, shared, by everybody who uses the server
//   claude-HOST-PORT.server     held by a server that was started here, as long as it lives; its process id
//   is in it serve.log                   what such servers say
#ifndef PN_CLI_SERVER_SHARE_H
#define PN_CLI_SERVER_SHARE_H

#include "base/arena.h"
#include "base/error.h"

#include <sys/types.h>

typedef struct server_share {
  char *start_path, *sessions_path, *server_path, *log_path;
  int start_fd, sessions_fd; // -1: not held
  pn_arena arena;
} server_share;

// The folder is made when it is not there. share_close in every case; it leaves whatever is held.
bool share_open(server_share *s, const char *host, int port, pn_error *e);
void share_close(server_share *s);

// One at a time between enter and leave. Waits; PN_ERR_CANCELLED when a signal came meanwhile.
bool share_enter(server_share *s, pn_error *e);
void share_leave(server_share *s);
// The others only in between.
bool share_join(server_share *s, pn_error *e); // use the server from now on
bool share_part(server_share *s);              // no longer; true when nobody else uses it
// The lock for a server that is to be started, to be held open by it alone: -1 with *e.
int share_take_server(server_share *s, pn_error *e);
bool share_name_server(server_share *s, int fd, pid_t pid, pn_error *e);
// The server that was started here and lives, else 0.
pid_t share_server(server_share *s);

#endif
