// Where in a prompt a recurrent state is worth keeping: at the ends of its turns.
#include "api/prompt_marks.h"

static bool ends_turn(const int32_t *ends, size_t n, int32_t id) {
  for (size_t i = 0; i < n; i++)
    if (ends[i] == id) return true;
  return false;
}

// Choosing from the front keeps marks where they are when the conversation grows behind them.
void prompt_marks(const pn_tokenizer *t, const pn_ids *ids, pn_ids *marks) {
  size_t n_ends, last = 0, kept = 0;
  const int32_t *ends = pn_tokenizer_end_ids(t, &n_ends);
  for (size_t i = 0; i < ids->n; i++) {
    if (!ends_turn(ends, n_ends, ids->p[i])) continue;
    last = i + 1;
    if (last - kept < (marks->n ? PROMPT_MARKS_APART : PROMPT_MARKS_FIRST)) continue;
    pn_ids_add(marks, (int32_t)last);
    kept = last;
  }
  if (last - kept >= PROMPT_MARKS_FIRST) pn_ids_add(marks, (int32_t)last);
}
