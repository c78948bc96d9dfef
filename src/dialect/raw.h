// Raw text, as far as it has come.
#ifndef PN_DIALECT_RAW_H
#define PN_DIALECT_RAW_H

#include "dialect/dialect.h"

// Whether `raw` begins with `want`, MORE when it ends too early to say.
typedef enum raw_match { RAW_NO, RAW_MORE, RAW_YES } raw_match;
static inline raw_match raw_begins(pn_str raw, pn_str want) {
  if (raw.n >= want.n) return pn_str_starts(raw, want) ? RAW_YES : RAW_NO;
  return pn_str_starts(want, raw) ? RAW_MORE : RAW_NO;
}
// White space that nobody misses around marks and values.
static inline bool raw_is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

#endif
