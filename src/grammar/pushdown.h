// Rules at work: where an answer may stand in them, as numbered sets of places, and which tokens lead on.
//
// A place is a state and the stack of states to return to. Stacks and sets are known by number, so that what
// was found out about a set (steps, tokens) serves every answer that comes there.
//
// Thread: one.
#ifndef PN_GRAMMAR_PUSHDOWN_H
#define PN_GRAMMAR_PUSHDOWN_H

#include "grammar/dfa_table.h"
#include "grammar/grammar.h"
#include "grammar/rules.h"
#include "grammar/token_trie.h"

typedef struct place {
  int32_t state, stack; // stack 0: nothing to return to
  int32_t count;        // characters of a counted string so far
} place;

// What is known of a set.
typedef struct place_set {
  int32_t *next;  // by byte: a set, -1 none, SET_UNKNOWN; NULL: nothing is known
  int32_t *ids;   // allowed tokens, when there are few
  int32_t n_ids;  // -1: not found out
  uint64_t *bits; // allowed tokens, when there are many
  bool may_end;
} place_set;

enum { SET_NONE = -1, SET_UNKNOWN = -2 };

// The automaton of all rules.
typedef struct pushdown {
  const struct pn_vocab *vocab;
  const rules *r;
  int16_t *only;          // by state: the one byte that leads on; ONLY_NONE, ONLY_MANY
  bool *has_edges;        // by state: control tokens lead on
  bool *pure_end;         // by state: accepts, and nothing leads on
  set_table stacks, sets; // as bytes
  place_set *known;       // by number of set
  size_t cap_known;
  place *work, *done; // WORK_MAX: sets on their way
  size_t n_work, n_done;
  bool work_end;     // the answer may end in it
  int32_t *by_depth; // of a walk over the vocabulary
  size_t mask_bytes;
  uint64_t *scratch; // a set of tokens
  bool oom;
} pushdown;

bool pushdown_init(pushdown *m, const struct pn_vocab *v, const rules *r, pn_error *e);
void pushdown_fini(pushdown *m);
// All numbers of sets become void.
void pushdown_forget(pushdown *m);
bool pushdown_is_large(const pushdown *m);

int32_t pushdown_start(pushdown *m, int32_t rule); // the set where nothing of the rule is read
int32_t pushdown_step(pushdown *m, int32_t set, uint8_t byte);
int32_t pushdown_step_token(pushdown *m, int32_t set, int32_t id);       // any token; SET_NONE: not allowed
const place *pushdown_places(const pushdown *m, int32_t set, size_t *n); // valid until the next call
int32_t pushdown_set(pushdown *m, const place *p, size_t n, bool may_end);
// The number here of a stack that was written elsewhere.
int32_t pushdown_restack(pushdown *m, const set_table *from, int32_t stack);
// The tokens of a set. NULL: out of memory.
const place_set *pushdown_mask(pushdown *m, int32_t set);
// The one byte, or control token (256 + id), that leads on from it; -1: there are several, or it may end.
int32_t pushdown_only(const pushdown *m, int32_t set);

#endif
