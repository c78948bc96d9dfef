// Where in a prompt a recurrent state is worth keeping: where other prompts of the same conversation may part
// from this one.
#ifndef PN_API_PROMPT_MARKS_H
#define PN_API_PROMPT_MARKS_H

#include "tokenizer/tokenizer.h"

enum {
  PROMPT_MARKS_FIRST = 64, // tokens from which on a common beginning (system prompt, tools) is worth a state
  PROMPT_MARKS_APART = 256 // least tokens between two marks further on: each ends a pass and takes a state
};

// Append to `marks` (empty before), ascending, numbers of the first tokens of the prompt `ids`: where the
// first turn ends, where later ones end that are far enough from the mark before, and where the last one
// ends. Turns end with a control token that ends a turn; a later prompt of the conversation begins with the
// same marks. Running out of memory shows in `marks`.
void prompt_marks(const pn_tokenizer *t, const pn_ids *ids, pn_ids *marks);

#endif
