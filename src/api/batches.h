// The message batches of an API: where they are kept, who runs them, and what the handlers share.
#ifndef PN_API_BATCHES_H
#define PN_API_BATCHES_H

#include "api/api_core.h"
#include "api/batch_runner.h"
#include "api/batch_store.h"
#include "api/shape.h"

#include <pthread.h>

#define BATCH_LIFE_MS (24 * 3600 * (int64_t)1000)

// Batches are opened by the first who wants them: a request, or the runner's thread when there is a file at
// the start. Until then nothing is written. Only one process at a time opens those of a folder: who has them
// holds a lock on batches.lock. A runner's thread that finds them taken waits for them, so that they go on
// when the other process ends.
typedef struct batches {
  pn_api *api;
  char *dir, *path, *lock_path;
  pthread_mutex_t lock; // guards the five below
  int lock_fd;          // -1: not open
  batch_store *store;   // of the HTTP thread, NULL: not open
  batch_runner *runner; // started at most once
  bool draining;
  int64_t n_pending; // requests that have no result, in batches that run
  pn_metric *pending, *results[BATCH_N_KINDS];
  bool by_hand; // tests step the runner themselves
} batches;

// *out is NULL when the API has no data folder. Starts the runner's thread when there are batches in the
// folder.
bool batches_new(pn_api *a, batches **out, pn_error *e);
void batches_free(batches *b);  // ends the thread
void batches_drain(batches *b); // no more requests are run; those under way are stopped and stay to be run
// Open the batches unless they are. Any thread. PN_ERR_BUSY: another process has them.
bool batches_open(batches *b, pn_error *e);
// So many requests more have no result, or fewer when n < 0. Any thread.
void batches_count_pending(batches *b, int64_t n);
void batches_count_results(batches *b, batch_kind kind, int64_t n);
// `prefix` and n characters of [0-9A-Za-z].
void batches_make_id(char *to, const char *prefix, int n);

// The body of POST /v1/messages/batches, beyond its shape: custom_id well formed and unique, no streams.
extern const shape batches_create_shape;
bool batches_check(const pn_json *body, pn_error *e);

// GET /v1/messages/batches/{id}/results: a line of JSON a result, in portions. Only while the batches are
// open.
pn_reply *batches_results_reply(batches *b, const batch_row *row, const pn_api_request *r);

#endif
