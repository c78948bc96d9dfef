// A scripted model, tokenizer and backend for the tests of the engine. Every slot of the cache holds the
// token that was written there and a hash of all tokens before it, so that a row can check that each position
// before its own holds the right prefix, and what comes next depends on all of it. Ids 0 to 25 are letters.
//
// Every test of it runs twice: FAKE_ASYNCHRONOUS is 0 or 1. The asynchronous one computes nothing before it
// is collected, and aborts when rows, pages or choices in flight are read, changed or given away.
#ifndef PN_TESTS_FAKE_MODEL_H
#define PN_TESTS_FAKE_MODEL_H

#include "engine/engine.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
  FAKE_VOCAB = 30,
  FAKE_END = 29,
  FAKE_CTX = 400,
  FAKE_LAYERS = 3,
  FAKE_PAGES = 512,
  FAKE_STREAMS = 512
};

typedef struct fake_state {
  // Settings.
  atomic_int step_us;    // each forward takes so long
  atomic_int fail_at;    // this forward fails, counted from the next; 0: none
  atomic_int fail_code;  // with this code
  atomic_int fail_every; // every so many forwards fail; 0: none
  atomic_int fail_copies;
  atomic_int text_bytes; // that each token gives
  atomic_int end_after_pos;
  atomic_int poison; // a prompt token whose sequence gets logits that are not numbers; -1: none
  void (*before_forward)(const pn_batch *b);
  // What happened.
  atomic_int n_forwards, max_rows, max_seqs, bad_rows, n_copies, n_discarded;
  atomic_int n_rows;      // in all forwards that went well
  atomic_int n_row_twice; // two rows of a step with one place
} fake_state;
extern fake_state fake;

void fake_reset(void);
void fake_quiet(void); // no log lines
extern pn_backend fake_backend;

// Of greedy choice.
void fake_expect(const int32_t *tokens, int n, int n_out, char *text);

// A bell that `notify` rings.
typedef struct fake_bell {
  pthread_mutex_t lock;
  pthread_cond_t rung;
  int n;
} fake_bell;
#define FAKE_BELL                                                                                            \
  { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 }
void fake_ring(void *bell);
void fake_await(fake_bell *b);

// What a generation said.
typedef struct fake_answer {
  pn_event last;
  char text[4 * FAKE_CTX];
  int n_queued, n_prefills, queued_cached;
} fake_answer;
// All events until the last one, waiting for rings only.
void fake_collect(pn_gen *gen, fake_bell *b, fake_answer *out);

// A greedy request.
pn_request fake_request(const int32_t *tokens, size_t n, int max_tokens, fake_bell *b);
// Ask, wait, release.
void fake_ask(pn_engine *g, const pn_request *r, fake_answer *out);
pn_engine *fake_open(const pn_engine_options *o); // n_ctx 0: FAKE_CTX

#endif
