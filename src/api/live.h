// Generations under way and what they have said so far. One or more answers read the same one: a client that
// sends its request again joins it from its beginning, instead of waiting behind its own abandoned work.
//
// Who may join: the same API key with the same prompt and settings, when nobody reads it any more (the first
// client has gone, so the engine has laid it aside) or when the client's SDK says that it repeats itself. A
// generation that nobody reads is given up after a while.
//
// Thread: everything on the thread that owns the readers, except the wake-ups, which come from the engine's.
// A table belongs to one thread.
#ifndef PN_API_LIVE_H
#define PN_API_LIVE_H

#include "api/answer_blocks.h"
#include "engine/engine.h"

#define LIVE_ID_BYTES 32

typedef struct live_table live_table;

// One who reads. Embedded in its answer; zero-initialised but for wake.
typedef struct live_reader {
  struct live_reader *next;
  void (*wake)(void *ctx); // any thread: there is more
  void *wake_ctx;
} live_reader;

// A sampled token, when the request asks for log probabilities.
typedef struct live_token {
  int32_t id;
  float logprob;
  size_t top_at; // its likeliest tokens in tops
  int n_top;
  size_t text_at; // bytes of text when it came
} live_token;

// Read by answers, written in live.c.
typedef struct live {
  char id[LIVE_ID_BYTES]; // "msg_01" and 22 letters and digits
  pn_gen *gen;
  pn_buf text;          // of the answer so far, as the engine gives it
  answer_blocks blocks; // the same, read
  live_token *tokens;
  pn_logprob *tops;
  size_t n_tokens, cap_tokens, n_tops, cap_tops;
  bool heard; // the engine has said something
  bool ended; // `last` holds how
  bool oom;   // something of it was lost
  int n_cached, n_output;
  pn_event last; // DONE or FAILED
  struct live_inside *inside;
} live;

// What a generation is to be.
typedef struct live_ask {
  pn_engine *engine;
  pn_request request;   // without notify
  const char *key_name; // NULL: none
  bool seeded;          // the request named its seed: it counts for who may join
  int n_retries;        // how often the client has sent it before
  answer_reading reading;
  // Called once when the answer is whole, before anyone reads that; may be NULL. `ended` owns ctx from then
  // on, also when it is never called: then with l NULL.
  void (*ended)(void *ctx, const live *l, const int32_t *tokens, size_t n_tokens);
  void *ended_ctx;
} live_ask;

// How long a generation that nobody reads stays; 0: not at all, and nobody joins.
live_table *live_table_new(uint64_t stay_us, uint64_t (*now_us)(void *ctx),
                           void *ctx); // NULL when memory ran out
void live_table_free(live_table *t);   // gives up what is left; all readers must have left
// Give up what stayed long enough, or everything that nobody reads. Returns when the next is due; UINT64_MAX:
// never.
uint64_t live_table_sweep(live_table *t, bool all);

// The generation for `ask`, with r as a reader, which leaves by live_leave. t NULL: nobody else joins it.
// *joined says that it was there already. NULL as pn_engine_submit fails.
live *live_open(live_table *t, const live_ask *ask, live_reader *r, bool *joined, pn_error *e);
void live_leave(live *l, live_reader *r, bool client_gone);
// Take in what the engine has said.
void live_pump(live *l);

#endif
