// Where in an instance something is, and how that and values are said in messages.
#ifndef PN_GRAMMAR_SCHEMA_REPORT_H
#define PN_GRAMMAR_SCHEMA_REPORT_H

#include "base/json.h"

typedef enum step_kind { STEP_ROOT, STEP_KEY, STEP_INDEX, STEP_NAME } step_kind;

// One step from the root of the instance to a part of it. Lives on the stack of whoever takes the step.
typedef struct place {
  const struct place *up; // NULL at the root
  step_kind kind;
  pn_str key;   // STEP_KEY: the member's name; STEP_NAME: the name itself is what is looked at
  size_t index; // STEP_INDEX
  size_t depth; // steps from the root
} place;

place place_key(const place *up, pn_str key);
place place_index(const place *up, size_t index);
place place_name(const place *up, pn_str key);
// "input.items[2].name"; the middle of a long one is left out.
void place_write(pn_buf *out, const place *at);

// A value for a message: short scalars as JSON, the beginning of a long string, "an array", "an object".
typedef struct shown {
  char s[80];
} shown;
shown show(const pn_json *v);
shown show_str(pn_str s);
// `"a", "b" or 3`; the end of a long list is left out.
void show_list(pn_buf *out, const pn_json *array);

#endif
