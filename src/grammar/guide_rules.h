// The rules of a whole answer: text, thinking, calls.
#ifndef PN_GRAMMAR_GUIDE_RULES_H
#define PN_GRAMMAR_GUIDE_RULES_H

#include "grammar/grammar.h"
#include "grammar/rules.h"

typedef struct guide_gaps {
  pn_guide_gap *p;
  size_t n, cap;
} guide_gaps;

// Rule 0 is the answer. *closing gets the rule that ends thinking and goes on behind it; -1: there is none.
bool guide_rules(rules *r, const pn_guide_ask *ask, int32_t *closing, guide_gaps *gaps, pn_error *e);
void guide_gaps_fini(guide_gaps *g);

#endif
