// What the files of the engine share: the engine itself.
#ifndef PN_ENGINE_INT_H
#define PN_ENGINE_INT_H

#include "engine/chooser.h"
#include "engine/drafter.h"
#include "engine/engine_metrics.h"
#include "engine/generation.h"
#include "engine/prompt_pace.h"
#include "engine/scheduler.h"

#define ENGINE_LONG_IDLE_US (10u * 1000000u) // without work: then the memory of free pages goes back

// The rows of a step. Arrays are made when the engine opens, for the largest one.
typedef struct step_rows {
  int n_parts, n_rows, n_logits;
  int first_choice; // the chooser's row for the first row of logits
  step_part *parts;
  int32_t *token, *seq, *pos; // by row
  int32_t *logit_rows;
  int32_t
      *choice; // by part: the chooser's row for it, guessed tokens' follow; -1: more of it is to be computed
  pn_kv_places places;
} step_rows;

struct pn_engine {
  // Constant after opening.
  pn_model *model;
  const pn_tokenizer *tokenizer;
  pn_backend *backend;
  pn_engine_options options;
  uint64_t kv_bytes;
  int n_vocab;
  pthread_t thread;

  // Shared with other threads.
  pn_mpsc *inbox;
  atomic_int n_requests,
      n_running;           // in the inbox, waiting or running, without those of the background; running
  atomic_int n_background; // requests of the background, wherever they are
  atomic_int n_cancels;    // calls to cancel, hold or resume that are not seen yet
  _Atomic uint64_t used_bytes, cached_bytes; // of the KV cache
  _Atomic uint64_t end_interval_us;          // between the ends of requests, lately; 0: unknown
  atomic_bool closing, failed;
  engine_metrics *metrics; // counting is lock-free

  // The engine's thread only.
  scheduler scheduler;
  prompt_pace pace;
  step_rows streams; // their next step
  step_rows prompts; // of the pass under way; no parts: there is none
  pn_pass *pass;
  chooser chooser;
  drafter drafter;
  pn_gen **unsaid; // their last tokens are appended and not said; NULL: it has ended meanwhile
  int n_unsaid;    // at most max_running
  pn_kv_memory kv;
  pn_kv_pool *pool;
  uint64_t now_us;           // of this turn
  uint64_t streams_us;       // their last step took so long
  uint64_t next_deadline_us; // the earliest; UINT64_MAX: none
  uint64_t last_end_us;      // of a request, or when work began after a rest
  bool worked;               // since memory was given back
};

// engine_loop.c: the thread.
void *engine_main(void *engine);
// The request leaves; its last event follows. `keep`: what it computed may serve others.
void engine_finish(pn_engine *g, pn_gen *gen, pn_stop_reason why, int stop_index, const pn_error *error,
                   bool keep);
void engine_show_state(pn_engine *g); // for other threads and for the metrics

// engine_take.c: what becomes of chosen tokens, in two halves: appended, then said.
// Append the token that was chosen for a sequence (NULL: memory ran out on the way), and those that must
// follow it. False: the answer ended here, since that is settled without its text; else it is said later.
bool engine_append(pn_engine *g, pn_gen *gen, const pn_choice *choice);
// Say all that was appended, and wake the clients. Answers that turn out to be over end, unless they are in
// flight.
void engine_say(pn_engine *g);

// engine_step.c: admit, plan, compute, choose.
void engine_admit(pn_engine *g);
void engine_step(pn_engine *g);
void engine_leave_pass(pn_engine *g,
                       const sequence *seq); // the sequence gives its pages back: nothing may write there
scheduler_hooks engine_hooks(pn_engine *g);

// prefix_log.c: one debug line on what the cache gave to a request, what of it was known beyond that but has
// to be computed again, and where it differs from what was known.
void prefix_log(const pn_kv_pool *pool, const pn_tokenizer *t, const pn_gen *gen, int n_recomputed);

#endif
