// A program that runs in front of us, at our terminal: signals while it does, and waiting for its end.
#ifndef PN_CLI_RELAY_H
#define PN_CLI_RELAY_H

#include "base/error.h"

#include <sys/types.h>

// From now on SIGINT, SIGQUIT, SIGTERM and SIGHUP are counted instead of ending us, apart from those that our
// parent had us ignore. One thread, until relay_end.
void relay_begin(void);
void relay_end(void);
int relay_count(void); // signals since relay_begin

// Start the program, in our process group and with our terminal, wait for its end, and give the exit status
// that a shell would. Ctrl-C and Ctrl-\ reach it without us; SIGTERM and SIGHUP are passed on. When it stops
// (Ctrl-Z), so do we. PN_ERR_IO when it could not be started. Between relay_begin and relay_end.
bool relay_run(const char *path, char *const *argv, char *const *env, int *status, pn_error *e);

#endif
