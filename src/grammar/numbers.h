// Numbers of a grammar.
#ifndef PN_GRAMMAR_NUMBERS_H
#define PN_GRAMMAR_NUMBERS_H

#include "base/json.h"
#include "grammar/rules.h"

#define NUMBER_MAX_BOUNDS 4

// Bounds and the step are JSON numbers; NULL in `multiple_of`: any.
typedef struct number_limits {
  bool integer;
  const pn_json *lo[NUMBER_MAX_BOUNDS], *hi[NUMBER_MAX_BOUNDS];
  bool lo_open[NUMBER_MAX_BOUNDS], hi_open[NUMBER_MAX_BOUNDS]; // the bound itself is not allowed
  int n_lo, n_hi;
  const pn_json *multiple_of[NUMBER_MAX_BOUNDS];
  int n_multiple;
} number_limits;

// Fill a rule. Integers have no fraction and at most 18 digits, no number begins with a needless zero or is
// -0; only numbers without bounds and step have exponents, of at most two digits.
bool number_rule(grammar_rule *r, const number_limits *limits, pn_error *e);

#endif
