// Runs the requests of message batches, a few at a time, on a thread of its own, through the handler that
// answers POST /v1/messages.
#ifndef PN_API_BATCH_RUNNER_H
#define PN_API_BATCH_RUNNER_H

#include "api/api.h"

#define BATCH_SLOTS 4 // requests that run at the same time

typedef struct batch_runner batch_runner;
struct batches;

// Nothing runs yet.
batch_runner *batch_runner_new(struct batches *b, pn_error *e);
// The thread opens the batches, waits for them when another process has them, and runs until it is stopped.
bool batch_runner_start(batch_runner *r, pn_error *e);
// Any thread: batches have come, are cancelled or deleted.
void batch_runner_tell(batch_runner *r);
// Any thread: stop what runs, without a result, and end the thread soon.
void batch_runner_stop(batch_runner *r);
// Waits for the thread.
void batch_runner_free(batch_runner *r);

// One round of what the thread does, for tests without one: take in what has been answered, settle batches
// that are cancelled, late or complete, begin more requests. *wait_us: how long nothing will happen by
// itself.
bool batch_runner_round(batch_runner *r, uint64_t *wait_us, pn_error *e);
void batch_runner_set_slots(batch_runner *r, int n); // at most BATCH_SLOTS

#endif
