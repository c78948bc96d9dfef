// One validation: what it may cost, what went wrong and where, what $ref points to, compiled patterns.
#ifndef PN_GRAMMAR_SCHEMA_JUDGE_H
#define PN_GRAMMAR_SCHEMA_JUDGE_H

#include "grammar/dfa.h"
#include "grammar/schema_report.h"

typedef enum verdict {
  VALID,
  INVALID,
  BROKEN, // cannot be said; ends the whole validation
} verdict;

#define JUDGE_COMPILED 128

// A pattern or format of the schema. `key` is its text's address, which is as good as the text while the
// schema lives.
typedef struct compiled {
  const char *key;
  bool is_format;
  dfa *d; // NULL: a format that we don't know
} compiled;

// The values of an enum by their hashes: place in the list + 1, 0 for a free slot.
typedef struct listed {
  const pn_json *list; // the one that was searched last
  uint32_t *slots;     // NULL: it was searched once only
  size_t mask;
  bool crowded; // too many hashes are alike: it is searched one by one
} listed;

// Zero-initialise with `root`; judge_fini releases. One judge may check many values one after the other.
typedef struct judge {
  const pn_json *root;
  pn_error e;     // the last failure
  size_t e_depth; // how deep in the instance it lies
  unsigned quiet; // > 0: an INVALID is not told to anybody, so no message is made
  size_t depth;   // schemas within one another
  size_t n_steps;
  compiled known[JUDGE_COMPILED];
  size_t n_known; // all that were ever compiled; the oldest makes room
  listed listed;
} judge;

void judge_fini(judge *j);

// One value by one schema of the root; in schema_valid.c. Its steps begin at none.
verdict schema_judge(judge *j, const pn_json *schema, const pn_json *value);

// Both fill j->e with the place and the message; judge_invalid only when somebody reads it.
verdict judge_invalid(judge *j, const place *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
verdict judge_broken(judge *j, const place *at, pn_code code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

// VALID, or BROKEN when the steps are used up.
verdict judge_spend(judge *j, const place *at, size_t n_steps);
// Whether `text` is in the language of a pattern or format of the schema.
verdict judge_accepts(judge *j, const place *at, pn_str pattern, bool is_format, pn_str text);
// Whether a value is one of an enum's. *n_steps counts what that took.
bool judge_lists(judge *j, const pn_json *list, const pn_json *value, size_t *n_steps);
// The schema that a $ref names; NULL after judge_broken.
const pn_json *judge_resolve(judge *j, const place *at, pn_str ref);

#endif
