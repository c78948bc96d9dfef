// Pre-tokenisers: a list of steps, each cutting the pieces of the one before into smaller pieces.
#ifndef PN_TOKENIZER_PRETOK_H
#define PN_TOKENIZER_PRETOK_H

#include "base/arena.h"
#include "tokenizer/scan.h"
#include "tokenizer/splitter.h"

#define PRETOK_MAX_STEPS 16

// What becomes of the text that a pattern matches.
typedef enum pretok_behavior {
  PRETOK_ISOLATED, // a piece of its own
  PRETOK_REMOVED,  // dropped
  PRETOK_MERGED_PREVIOUS,
  PRETOK_MERGED_NEXT,
  PRETOK_CONTIGUOUS, // neighbouring matches are one piece
} pretok_behavior;

typedef enum pretok_prepend { PRETOK_NEVER, PRETOK_FIRST, PRETOK_ALWAYS } pretok_prepend;

typedef struct pretok_step {
  enum { PRETOK_SPLIT, PRETOK_DIGITS, PRETOK_SPACE_PREFIX, PRETOK_METASPACE } kind;
  splitter *split;          // SPLIT; DIGITS: one digit; METASPACE: cut before each replacement (NULL: no cut)
  scan_kind scan;           // SPLIT: the same pattern by hand
  pretok_behavior behavior; // SPLIT
  bool invert;              // SPLIT: the pattern matches what lies between
  pretok_prepend prepend;   // METASPACE
  pn_str replacement;       // METASPACE
} pretok_step;

// Read-only after loading.
typedef struct pretok {
  pretok_step steps[PRETOK_MAX_STEPS];
  size_t n;
} pretok;

void pretok_fini(pretok *p);

typedef bool pretok_sink(void *user, pn_str piece, pn_error *e);

// One call's walk over a text.
typedef struct pretok_walk {
  const pretok *p;
  splitter_match *match;
  pn_arena *arena; // for pieces that a step rewrites; they live as long as it
  pretok_sink *sink;
  void *user;
  bool at_start; // the piece begins where the whole text begins
} pretok_walk;

// Cut `text` and hand each piece that is not empty to the sink, in order.
bool pretok_run(pretok_walk *w, pn_str text, pn_error *e);

#endif
