// One generation: what was asked, the outbox to the submitter, and the state of its sequence.
#ifndef PN_ENGINE_GENERATION_H
#define PN_ENGINE_GENERATION_H

#include "base/queue.h"
#include "engine/engine.h"
#include "engine/sequence.h"
#include "engine/stop.h"

#include <pthread.h>
#include <stdatomic.h>

#define GENERATION_OUTBOX_BYTES (64 << 10)
#define GENERATION_UNSAID (2 * SEQUENCE_AHEAD) // tokens of a step: guessed ones, and those that are forced

// What is remembered of a token between its two halves.
typedef struct unsaid_token {
  bool is_end, in_text; // ends the turn; is text that people read
  bool off_guide;       // the guide doesn't allow it, or memory ran out
} unsaid_token;

struct pn_gen {
  atomic_int refs; // submitter and engine
  atomic_bool cancelled;
  atomic_bool held; // wanted so by the submitter; seq.held tells whether it is

  // What was asked; constant after submit. The rest is in `seq`.
  char id[64];
  pn_sampling sampling;
  pn_str *stops; // text in stop_text
  size_t n_stops;
  char *stop_text;
  bool ignore_end, logprobs, raw;
  int n_top_logprobs;
  uint64_t submit_us, deadline_us, timeout_us; // deadline UINT64_MAX and timeout 0: none

  // Outbox. The engine writes, the submitter reads; `final` is written before `ended` is set.
  pn_spsc *outbox;
  pn_event final;
  atomic_bool ended;
  bool final_taken;            // the submitter's
  pthread_mutex_t notify_lock; // guards the three below
  void (*notify)(void *ctx);
  void *notify_ctx;
  atomic_int *n_cancels; // of the engine: counts those that wait to be seen; NULL once it has ended
  pn_mpsc *inbox;        // of the engine, to wake it; as long as n_cancels

  // The engine's thread only.
  sequence seq;
  int n_told; // prompt tokens computed, as the client knows
  pn_detokenizer detok;
  stop_matcher stop;
  pn_matcher *matcher, *scout;            // NULL: no guide; scout: runs ahead over guessed tokens
  pn_buf piece, text;                     // reused
  bool slow_reader;                       // the outbox was full once
  bool off_guide;                         // a token was taken that the guide doesn't allow, or memory ran out
  int n_said;                             // tokens of the answer that were said; the others are appended only
  unsaid_token unsaid[GENERATION_UNSAID]; // from n_said on
  pn_token_event told;                    // of the first one that is not said, with log probabilities
  bool has_told;                          // and it is to be told
  bool in_flight;                         // it has rows that are being computed behind the call
  bool over_in_flight;                    // then: its answer has turned out to be over, and they are dropped
  int over_stop;                          // by this stop string; -1: by its reader
  bool untold;                            // it has something that the client was not woken for
  uint64_t start_us, first_us, last_us;   // began to run, first and latest token; 0: not yet
};

// What tells the engine that a generation is cancelled, held or resumed.
typedef struct generation_bell {
  atomic_int *n_cancels;
  pn_mpsc *inbox;
} generation_bell;

typedef struct generation_room {
  int n_ctx;     // tokens of a sequence, at most
  int n_windows; // window groups of the model's layers
} generation_room;

// Copies everything, and reserves what an ordinary answer takes; two references. NULL with PN_ERR_NOMEM.
pn_gen *generation_new(const pn_request *r, const pn_tokenizer *t, const generation_room *room,
                       generation_bell bell, pn_error *e);
void generation_unref(pn_gen *gen);
pn_gen *generation_of(sequence *seq);

// The rest is called by the engine's thread.
static inline int generation_n_output(const pn_gen *gen) { return gen->seq.n_tokens - gen->seq.n_prompt; }
// What these put into the outbox the client hears of with generation_tell, or at the end.
void generation_queued(pn_gen *gen, int n_cached);
void generation_prefilled(pn_gen *gen); // more of the prompt may be computed
// How many of the sequence's guessed tokens its guide allows.
int generation_allowed(pn_gen *gen);
// Choose among what the guide allows after the first `ahead` guessed tokens, which it allows; to be asked for
// 0, 1, ... in turn. False: out of memory.
bool generation_mask(pn_gen *gen, int ahead, pn_mask *mask);
// The tokens that must follow now, at most max; they are to be taken one by one.
int generation_forced(pn_gen *gen, int32_t *ids, int max);
bool generation_over(const pn_gen *gen); // its guide lets nothing follow
// The first half of a token: appended to the sequence and known to the guide, so that the next rows may be
// planned. `told` (else NULL): its log probabilities are told. At most GENERATION_UNSAID between two calls of
// generation_say, and only the first of them is told.
void generation_append(pn_gen *gen, int32_t id, bool is_end, const pn_token_event *told, uint64_t now_us);
// The second half, of all that were appended: what is told and their text, to the outbox. True: the answer is
// over with one of them, since a stop string is complete (*stop) or nobody reads (-1); those behind it are
// taken back.
bool generation_say(pn_gen *gen, int *stop);
void generation_tell(pn_gen *gen);
// Makes the last event, `final`: error NULL means DONE. Then, when everything is counted, the client hears of
// it.
void generation_end(pn_gen *gen, pn_stop_reason why, int stop_index, const pn_error *error, uint64_t now_us);
void generation_tell_end(pn_gen *gen);

#endif
