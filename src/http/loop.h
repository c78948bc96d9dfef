// Waiting for sockets on one thread: ours (wake-ups, closes, lingering reads) and libmicrohttpd's. Two files
// implement it: loop_epoll.c (Linux) and loop_poll.c (everywhere). All functions belong to the server's
// thread, except loop_wake.
#ifndef PN_HTTP_LOOP_H
#define PN_HTTP_LOOP_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct MHD_Daemon;
typedef struct loop loop;

// What happened to a watched descriptor. Once `gone` was told nothing more comes for it.
typedef struct loop_event {
  uint64_t key;
  bool eof;  // the other side sends nothing more; it may still read
  bool gone; // reset or closed in both directions
  bool readable;
} loop_event;

#define LOOP_EVENTS 64

extern const unsigned loop_daemon_flags; // how MHD_start_daemon is to be called
extern const int loop_max_connections;   // the most that this kind of waiting can hold
loop *loop_open(pn_error *e);
void loop_close(loop *l);
// Take the running daemon in. With n_max connections watched, new ones wait in the backlog.
bool loop_attach(loop *l, struct MHD_Daemon *d, int listen_fd, size_t n_max, pn_error *e);
void loop_no_listen(loop *l); // the daemon was quiesced
// Tell the other side's end. The daemon reads and writes the same descriptor. key is given back in events.
bool loop_watch_close(loop *l, int fd, uint64_t key);
bool loop_watch_read(loop *l, int fd, uint64_t key);
void loop_forget(loop *l, int fd); // before the descriptor is closed
// Make loop_wait return. Any thread, signal handlers too.
void loop_wake(loop *l);
// Wait at most until_us (monotonic; UINT64_MAX: for ever, 0: don't wait), less when the daemon has work.
// Returns the number of events in out, at most LOOP_EVENTS.
int loop_wait(loop *l, uint64_t until_us, loop_event *out);
// Let the daemon do what is ready; nothing when it has nothing to do, unless `always`.
void loop_run(loop *l, bool always);

#endif
