// Sequences that wait: those that had to pause, then the clients in turn, each first come first served.
#ifndef PN_ENGINE_WAITING_H
#define PN_ENGINE_WAITING_H

#include "engine/sequence.h"

// Zero-initialise. Sequences are linked, not owned.
typedef struct waiting_line {
  sequence *paused;  // oldest first
  sequence *clients; // the first sequence of each client that has any, in the order of their turns
  int n;
} waiting_line;

void waiting_add(waiting_line *w, sequence *s); // behind its client's others; a new client's turn is the last
void waiting_pause(waiting_line *w, sequence *s);  // in front of everything
sequence *waiting_front(const waiting_line *w);    // NULL when nobody waits
void waiting_take(waiting_line *w);                // the front leaves; its client goes behind the others
void waiting_remove(waiting_line *w, sequence *s); // from anywhere
// The first for which `want` holds, or NULL.
sequence *waiting_find(const waiting_line *w, bool (*want)(const sequence *s, void *ctx), void *ctx);

#endif
