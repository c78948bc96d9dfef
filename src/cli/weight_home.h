// Where the weights of an opened model lie while it serves: in the mapped file, or in memory of the program's
// own, which is read faster on many machines.
#ifndef PN_CLI_WEIGHT_HOME_H
#define PN_CLI_WEIGHT_HOME_H

#include "cli/options.h"
#include "formats/formats.h"

#include <pthread.h>
#include <stdatomic.h>

// Zero-initialise; weight_home_close in every case, before the files are closed.
typedef struct weight_home {
  pn_files *files;
  pthread_t thread;
  bool started;
  atomic_bool closing;
} weight_home;

// As --prefault, --lock-memory and --weights say: at once, or with `auto` in the background when there is
// `room` for it, as long as the system gives large pages: small ones gain little, and can't be dropped
// (docs/SPEED.md). The first 8 MB show which they are, in some milliseconds. PN_ERR_LIMIT when they can't be
// locked.
bool weight_home_settle(weight_home *w, const options *o, pn_files *files, bool room, pn_error *e);
// Until what goes on in the background is done.
void weight_home_wait(weight_home *w);
void weight_home_close(weight_home *w);

#endif
