// One generation, waited for by the calling thread.
#ifndef PN_CLI_WAIT_ANSWER_H
#define PN_CLI_WAIT_ANSWER_H

#include "engine/engine.h"

#include <pthread.h>

// A bell that the engine's thread rings when an outbox has something new.
typedef struct bell {
  pthread_mutex_t lock;
  pthread_cond_t rung;
  unsigned n_rings, n_heard;
} bell;

void bell_init(bell *b);
void bell_fini(bell *b);
void bell_ring(void *b); // for pn_request.notify
// Wait for a ring since the last call, at most timeout_ms.
void bell_wait(bell *b, int timeout_ms);

// Submit, hand each piece of text to `take` (which may be NULL), and wait for the end: `last` is the DONE
// event. Ctrl-C (counted by interrupt.h) cancels: PN_ERR_CANCELLED, after what was there was handed over.
bool answer_wait(pn_engine *g, pn_request *r, void (*take)(void *ctx, const pn_event *ev), void *ctx,
                 pn_event *last, pn_error *e);

#endif
