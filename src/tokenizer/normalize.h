// Normalizers: steps that rewrite a stretch of text before it is cut.
#ifndef PN_TOKENIZER_NORMALIZE_H
#define PN_TOKENIZER_NORMALIZE_H

#include "base/arena.h"
#include "tokenizer/splitter.h"

#define NORMALIZE_MAX_STEPS 16

typedef struct normalize_step {
  enum { NORMALIZE_PREPEND, NORMALIZE_REPLACE, NORMALIZE_REGEX, NORMALIZE_NFC } kind;
  pn_str from; // REPLACE
  splitter *regex;
  pn_str to; // PREPEND, REPLACE, REGEX
} normalize_step;

// Read-only after loading.
typedef struct normalizer {
  normalize_step steps[NORMALIZE_MAX_STEPS];
  size_t n;
} normalizer;

void normalize_fini(normalizer *n);
// *out is the text itself when nothing changed, else in the arena. The text must be valid UTF-8.
bool normalize_run(const normalizer *n, splitter_match *match, pn_arena *arena, pn_str text, pn_str *out,
                   pn_error *e);

#endif
