// Which sequences the next step computes, and which pages they get: pure decisions over sequences and a pool
// of page numbers, without threads, clock or model. Owned by the engine's thread; after scheduler_init
// nothing allocates.
//
// Waiting sequences are admitted while the pool has room for their prompt and a reserve for their answer. A
// step has the rows of every running stream: one, and one more for each token that was forced. Prompts are
// computed in passes of their own, within a budget of rows: at least half of it for the oldest prompt, the
// rest for the shortest. A sequence whose prefix is being computed by another one waits for it. When pages
// run out the youngest sequence pauses: it gives its pages back and computes again later what the cache has
// lost. Sequences that are held, and those of the background while there are others, are laid aside: they
// give their pages back in the same way and neither run nor wait.
#ifndef PN_ENGINE_SCHEDULER_H
#define PN_ENGINE_SCHEDULER_H

#include "engine/waiting.h"

#define SCHEDULER_RESERVE 256     // tokens: the default of `reserve`
#define SCHEDULER_MARK_EVERY 2048 // tokens: the default of `mark_every`

// What the scheduler asks of its owner.
typedef struct scheduler_hooks {
  bool (*copy)(void *ctx, const pn_kv_prefix *what);  // make its copies; false: one could not be
  void (*paused)(void *ctx, sequence *s, int n_lost); // s gave back its pages, with n_lost computed tokens
  void *ctx;
} scheduler_hooks;

// A share of a step: the next n_rows tokens that are not computed yet, and n_draft guessed ones behind them.
typedef struct step_part {
  sequence *seq;
  int n_rows, n_draft;
} step_part;

typedef struct scheduler {
  pn_kv_pool *pool;
  scheduler_hooks hooks;
  waiting_line waiting;
  sequence **running; // oldest first
  int n_running, max_running;
  sequence *aside;  // linked by next
  int n_background; // of those that run or wait
  int reserve;      // tokens of an answer that must fit at admission
  // Where layers keep recurrent states, one is kept after so many tokens of a prompt, where the sequence's
  // marks say, where another sequence follows, and at the prompt's end. Passes are cut there.
  int mark_every;
  int *rows; // by running sequence: its rows of the pass that is planned
  uint64_t n_ages;
  // The front that had no room, so that it isn't tried in vain in every step.
  const sequence *blocked;
  int blocked_slack, blocked_for; // pages there were; plans since
} scheduler;

bool scheduler_init(scheduler *s, pn_kv_pool *pool, int max_running, scheduler_hooks hooks, pn_error *e);
void scheduler_fini(scheduler *s);

void scheduler_add(scheduler *s, sequence *seq); // it waits
// Let one waiting sequence run when there is room; NULL: none can. Call until NULL before a plan.
sequence *scheduler_admit(scheduler *s);

int scheduler_n_prompts(const scheduler *s);

// Fill `parts` (room for max_running) with the next step of the streams, or with a pass of at most `budget`
// rows of prompts, which may be planned when no other is under way. Their pages are reserved. The number of
// parts; 0 with *stuck set: that sequence is alone and the pool has no page for it (*e says so).
int scheduler_plan_streams(scheduler *s, step_part *parts, sequence **stuck, pn_error *e);
int scheduler_plan_prompts(scheduler *s, int budget, step_part *parts, sequence **stuck, pn_error *e);
// The rows of a part are in a step from now on, until they are computed. After a step that failed the
// sequence is removed, or its rows are given up.
void scheduler_begun(const step_part *part);
void scheduler_computed(scheduler *s, const step_part *part);
// Guessed tokens, the next n, turned out to be the sequence's own, and are appended: their rows are computed.
void scheduler_guessed(scheduler *s, sequence *seq, int n);
// Rows that were begun are given up: the sequence goes on from where its state is known, which may be before.
void scheduler_give_up(scheduler *s, sequence *seq);

// Lay a sequence aside until it is released; then it waits like a new one. The owner sees to it that no pass
// has rows of it.
void scheduler_hold(scheduler *s, sequence *seq);
void scheduler_release(scheduler *s, sequence *seq);
// A sequence of the background that is to be laid aside because others run or wait; NULL: none. Call
// scheduler_yield for it, until NULL. Once no others are left those of the background wait again by
// themselves.
sequence *scheduler_in_the_way(scheduler *s);
void scheduler_yield(scheduler *s, sequence *seq);

// Forget a sequence, wherever it is. `keep`: what it computed stays in the prefix cache.
void scheduler_remove(scheduler *s, sequence *seq, bool keep);
// The first sequence, running, waiting or aside, for which `want` holds; NULL: none.
sequence *scheduler_find(const scheduler *s, bool (*want)(const sequence *seq, void *ctx), void *ctx);
static inline bool scheduler_idle(const scheduler *s) { return s->n_running == 0 && s->waiting.n == 0; }

#endif
