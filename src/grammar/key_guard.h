// Masks without the tokens that would write a member's name twice, at once or in the end.
#ifndef PN_GRAMMAR_KEY_GUARD_H
#define PN_GRAMMAR_KEY_GUARD_H

#include "grammar/key_watch.h"
#include "grammar/pushdown.h"

// Room for a mask of one's own. Zero-initialise.
typedef struct guarded_mask {
  int32_t *ids;
  uint64_t *bits;
} guarded_mask;
void guarded_mask_fini(guarded_mask *g);

// *mask belongs to the set; what is taken out is taken out of a copy in g. When nothing would be left it
// stays as it is. False: out of memory.
bool key_guard(guarded_mask *g, pushdown *m, int32_t set, const key_watch *keys, pn_mask *mask);

#endif
