// Bounded queues: many writers to one reader (pointers), and one writer to one reader (byte records,
// lock-free).
#ifndef PN_BASE_QUEUE_H
#define PN_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Many to one. Any thread pushes; one thread pops. Pointers only: who pops owns.
typedef struct pn_mpsc pn_mpsc;
pn_mpsc *pn_mpsc_new(size_t capacity);     // NULL when memory ran out
void pn_mpsc_free(pn_mpsc *q);             // must be empty
bool pn_mpsc_push(pn_mpsc *q, void *item); // false when full: nothing was stored
// The oldest item; waits up to timeout_us for one (0: don't wait, UINT64_MAX: for ever); NULL when none came
// or pn_mpsc_wake was called.
void *pn_mpsc_pop(pn_mpsc *q, uint64_t timeout_us);
void pn_mpsc_wake(pn_mpsc *q); // make a waiting or the next pop return early
size_t pn_mpsc_count(pn_mpsc *q);

// One to one. Exactly one thread pushes and one pops. Records keep their borders.
typedef struct pn_spsc pn_spsc;
pn_spsc *pn_spsc_new(size_t capacity_bytes); // rounded up to a power of two; NULL when memory ran out
void pn_spsc_free(pn_spsc *q);
// A record of up to 65,535 bytes is stored whole or not at all: false when there is no room.
bool pn_spsc_push(pn_spsc *q, const void *record, size_t n);
// Copy the oldest record to out and remove it: its length, or SIZE_MAX when the queue is empty. A record
// longer than cap is cut to cap.
size_t pn_spsc_pop(pn_spsc *q, void *out, size_t cap);

#endif
