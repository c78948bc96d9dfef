// Stop strings over text that comes in pieces: what could still become one is held back until it is decided.
#ifndef PN_ENGINE_STOP_H
#define PN_ENGINE_STOP_H

#include "base/str.h"

// Zero-initialise with stops and n_stops set (borrowed); stop_fini frees. One owner.
typedef struct stop_matcher {
  const pn_str *stops;
  size_t n_stops;
  pn_buf held; // a suffix of the text that is a beginning of some stop string
} stop_matcher;

// Take a piece; append to out what is decided. The index of the stop string that is complete first (at equal
// ends the one that begins first), or -1. After a match nothing more may be fed: the text before it has been
// appended.
int stop_feed(stop_matcher *m, pn_str piece, pn_buf *out);
// No more text comes: what was held is text after all.
void stop_flush(stop_matcher *m, pn_buf *out);
void stop_fini(stop_matcher *m);

#endif
