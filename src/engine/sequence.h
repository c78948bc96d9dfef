// The tokens of one generation and where their K and V lie: what the scheduler knows of it. Owned by the
// engine's thread.
#ifndef PN_ENGINE_SEQUENCE_H
#define PN_ENGINE_SEQUENCE_H

#include "kv/kv.h"

typedef enum sequence_state {
  SEQUENCE_OUT,
  SEQUENCE_WAITING,
  SEQUENCE_RUNNING,
  SEQUENCE_ASIDE
} sequence_state;

// Zero-initialise; whoever owns the sequence sets the first block before it is added to a scheduler.
typedef struct sequence {
  int32_t *tokens; // the prompt, then what was generated; the owner appends
  int n_tokens, n_prompt, cap_tokens;
  int max_tokens; // to generate
  uint64_t client;
  bool background;      // runs only while nobody else runs or waits
  pn_kv_table table;    // room for cap_tokens
  const int32_t *marks; // numbers of prompt tokens after which a recurrent state is worth keeping, ascending
  int n_marks;
  int most_draft;       // how many guessed tokens a step may compute for it
  const int32_t *draft; // those of the step that is planned: they would stand from n_tokens on
  int n_draft;

  // The scheduler's; others only read.
  bool held; // laid aside until scheduler_release
  sequence_state state;
  int n_computed; // tokens whose K and V are in the table
  int n_cached;   // tokens that its first start took from the prefix cache
  bool started;   // had rows in a step that went well
  bool under_way; // rows of it are in a step that is not over: a recurrent state may be anywhere
  bool fresh;     // no rows since it was admitted: what became known meanwhile may still be taken
  uint64_t age;   // number of its first admission since it was added or taken up, from 1; 0: not yet
  int target;     // tokens that the pool is to have room for
  const struct sequence *leader; // computes the same prefix just now
  int follow_to;                 // tokens that the leader is to have computed
  // Lists of the waiting.
  struct sequence *next;        // of the same client
  struct sequence *next_client; // in the first of a client's: the first of the next client
} sequence;

#define SEQUENCE_AHEAD 16 // tokens that a stream computes in one step

// Only the tokens that came last are left to compute: the one that was chosen, and those that had to follow
// it.
static inline bool sequence_decoding(const sequence *s) {
  return s->n_tokens > s->n_prompt && s->n_tokens - s->n_computed <= SEQUENCE_AHEAD;
}

#endif
