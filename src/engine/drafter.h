// What streams will probably say next, guessed from what they and others said before: when the tokens at the
// end of a stream stand somewhere in its prompt, in its answer or in one of the conversations of late, then
// what followed there may follow again. Guessed tokens are computed in the same step as the token before
// them; each is kept only if it is the token that is chosen there anyway, so an answer is the same with and
// without.
//
// How many are worth it follows from how often such guesses were right lately and from what rows cost.
//
// Thread: the engine's. After drafter_init nothing allocates.
#ifndef PN_ENGINE_DRAFTER_H
#define PN_ENGINE_DRAFTER_H

#include "engine/row_costs.h"
#include "engine/scheduler.h"
#include "engine/suffix_index.h"

enum {
  DRAFT_ROWS = 16,               // guessed tokens of all streams in one step
  DRAFT_STREAMS = 32,            // with more streams than these nothing is guessed
  DRAFT_KEPT = 8,                // texts beside those of the running streams
  DRAFT_LENGTHS = 5,             // classes of how many tokens agree
  DRAFT_RUN = SEQUENCE_AHEAD - 1 // guessed tokens of a stream in one step
};

// The text of a sequence that runs, or ran a while ago.
typedef struct draft_text {
  suffix_index index;
  uint64_t age, used;          // of the sequence, 0: of none; the turn in which it was used last
  double right[DRAFT_LENGTHS]; // share of the guesses that were right, by how many tokens agreed
  int32_t guess[DRAFT_RUN];
  int n_guess, length, base; // how many tokens agreed; the guess is for positions from base on
} draft_text;

typedef struct drafter {
  int n_texts; // 0: guessing is off
  draft_text *texts;
  uint64_t turn;
  double right[DRAFT_LENGTHS]; // of all, for texts that are new
  row_costs costs;
} drafter;

// For `max_running` streams of up to n_ctx tokens. PN_ERR_NOMEM.
bool drafter_init(drafter *d, int max_running, int n_ctx, pn_error *e);
void drafter_fini(drafter *d);
uint64_t drafter_bytes(int max_running, int n_ctx);

// Guess for the streams of a step that is planned, at most seq->most_draft tokens for each. Afterwards
// seq->draft[n_draft] are worth to be computed with it.
void drafter_plan(drafter *d, const step_part *parts, int n_parts);
// The step took us, of so many rows in all.
void drafter_took(drafter *d, int n_rows, uint64_t us);
// The sequence has got its tokens of the step.
void drafter_learn(drafter *d, const sequence *seq);

#endif
