// One generation: what was asked, the outbox to the submitter, and the state of its sequence.
#ifndef PN_ENGINE_GENERATION_H
#define PN_ENGINE_GENERATION_H

#include "base/queue.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "engine/stop.h"
#include "kv/kv.h"

#include <pthread.h>
#include <stdatomic.h>

#define GENERATION_OUTBOX_BYTES (64 << 10)

struct pn_gen {
  atomic_int refs; // submitter and engine
  atomic_bool cancelled;

  // What was asked; constant after submit.
  char id[64];
  int n_prompt, max_tokens;
  pn_sampling sampling;
  pn_str *stops; // text in stop_text
  size_t n_stops;
  char *stop_text;
  bool ignore_end;

  // Outbox. The engine writes, the submitter reads; `final` is written before `ended` is set.
  pn_spsc *outbox;
  pn_event final;
  atomic_bool ended;
  bool final_taken;            // the submitter's
  pthread_mutex_t notify_lock; // guards the two below
  void (*notify)(void *ctx);
  void *notify_ctx;

  // The engine's thread only.
  int32_t *tokens; // prompt, then what was generated
  int n_tokens, cap_tokens;
  int n_computed; // tokens whose K and V are in the table
  pn_kv_table table;
  pn_rng rng;
  pn_detokenizer detok;
  stop_matcher stop;
  pn_buf piece, text; // reused
  bool slow_reader;   // the outbox was full once
  uint64_t submit_us, start_us, first_us;
  struct pn_gen *next; // in the scheduler's list
};

// Copies everything; two references. NULL with PN_ERR_NOMEM. n_ctx bounds what its token list can hold.
pn_gen *generation_new(const pn_request *r, const pn_tokenizer *t, int n_ctx, pn_error *e);
void generation_unref(pn_gen *gen);

// The rest is called by the engine's thread.
static inline int generation_n_output(const pn_gen *gen) { return gen->n_tokens - gen->n_prompt; }
void generation_prefilled(pn_gen *gen);
// Take a sampled token: appended to the sequence, its text to the outbox. True when a stop string completed (*stop).
bool generation_take(pn_gen *gen, int32_t id, bool is_end, int *stop);
// The last event; `error` NULL means DONE.
void generation_end(pn_gen *gen, pn_stop_reason why, int stop_index, const pn_error *error);

#endif
