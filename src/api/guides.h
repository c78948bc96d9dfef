// Guides of answers, kept by what they hold: the tools of a conversation are the same from turn to turn.
//
// Thread: the HTTP thread's and, for batches, their runner's; locked.
#ifndef PN_API_GUIDES_H
#define PN_API_GUIDES_H

#include "grammar/grammar.h"

typedef struct guides guides;

guides *guides_new(const pn_tokenizer *t); // NULL: out of memory
void guides_free(guides *g);
// The guide for what is asked (ask->vocab is set here), one reference for the caller. What could not be held
// is logged once, when it is made. NULL as pn_guide_new fails.
pn_guide *guides_get(guides *g, pn_guide_ask *ask, const char *request_id, pn_error *e);

#endif
