// A text of tokens, and where each run of SUFFIX_LEAST tokens stands in it: what followed the last time may
// follow again.
//
// Thread: one owner. After suffix_index_init nothing allocates.
#ifndef PN_ENGINE_SUFFIX_INDEX_H
#define PN_ENGINE_SUFFIX_INDEX_H

#include <stdbool.h>
#include <stdint.h>

enum {
  SUFFIX_LEAST = 3, // tokens that must agree
  SUFFIX_MOST = 64  // tokens that are compared
};

typedef struct suffix_index {
  int32_t *tokens; // [cap], a copy of the text
  int n, cap;
  int32_t *last;   // by a hash of a run: where one with that hash ended last, + 1; 0: nowhere
  int32_t *before; // by where a run ends: where the one with that hash before it ended, + 1
  uint32_t n_slots;
} suffix_index;

// For texts of at most `cap` tokens. Memory is committed as the text grows. False: out of memory.
bool suffix_index_init(suffix_index *x, int cap);
void suffix_index_fini(suffix_index *x);
void suffix_index_clear(suffix_index *x);
// The text goes on to be tokens[0, n), which begins with what is there. What does not fit is left out.
void suffix_index_extend(suffix_index *x, const int32_t *tokens, int n);

// Where in the text the longest of the recent runs that agree with the end of tokens[0, n) is over, of at
// least SUFFIX_LEAST tokens, before position `until`; *length is how many agree, up to SUFFIX_MOST. -1: there
// is none.
int suffix_index_find(const suffix_index *x, const int32_t *tokens, int n, int until, int *length);

#endif
