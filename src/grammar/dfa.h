// Automata over bytes: built as nondeterministic ones, used as deterministic ones. Beside bytes there are
// symbols of other kinds (calls of rules, control tokens), which only `edges` hold.
//
// Thread: one owner while it is built; a finished dfa is immutable.
#ifndef PN_GRAMMAR_DFA_H
#define PN_GRAMMAR_DFA_H

#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

#define DFA_SYMBOLS 256 // what is not a byte counts from here

typedef struct dfa_edge {
  int32_t symbol, next;
} dfa_edge;

// State 0 is the start. From every state an accepting one can be reached, unless the language is empty: then
// the start is the only state. A step to -1 is an end in vain.
typedef struct dfa {
  int n_states, n_classes;
  uint8_t class_of[256]; // bytes of a class are alike everywhere
  int32_t *next;         // [n_states][n_classes]
  bool *accepts;         // [n_states]
  int32_t *edge_at;      // [n_states + 1]: the edges of a state
  dfa_edge *edges;
} dfa;

void dfa_free(dfa *d);
static inline int32_t dfa_step(const dfa *d, int32_t state, uint8_t byte) {
  return d->next[(size_t)state * (size_t)d->n_classes + d->class_of[byte]];
}
bool dfa_accepts(const dfa *d, pn_str text);
bool dfa_empty(const dfa *d);
bool dfa_trim(dfa *d, pn_error *e); // leave out what leads nowhere, after edges were taken away

// Zero-initialise; nfa_fini frees. Memory running out shows when it is made deterministic.
typedef struct nfa_edge {
  int32_t from, to, lo,
      hi; // bytes lo to hi; lo == hi >= DFA_SYMBOLS: another symbol; lo < 0: nothing is read
} nfa_edge;
typedef struct nfa {
  nfa_edge *edges;
  size_t n_edges, cap_edges;
  int32_t n_states;
  bool oom;
} nfa;
void nfa_fini(nfa *n);
int32_t nfa_state(nfa *n); // a new one
void nfa_add(nfa *n, int32_t from, int32_t lo, int32_t hi, int32_t to);
static inline void nfa_jump(nfa *n, int32_t from, int32_t to) { nfa_add(n, from, -1, -1, to); }
// The bytes of s from `from` on; where they end.
int32_t nfa_text(nfa *n, int32_t from, pn_str s);
// One character of [lo, hi] as UTF-8; surrogates are left out. tail is {to, -1, -1, -1}, and the same for all
// ranges of a set.
void nfa_chars(nfa *n, int32_t from, uint32_t lo, uint32_t hi, int32_t tail[4]);

// The deterministic automaton of what leads from `start` to `final`. NULL with PN_ERR_LIMIT over max_states.
dfa *dfa_of(const nfa *n, int32_t start, int32_t final, int max_states, pn_error *e);

// Automata that are described by functions: a state is so many bytes, compared as they are.
typedef struct dfa_source {
  const void *ctx;
  size_t state_bytes;      // at most DFA_SOURCE_MAX
  const uint8_t *class_of; // [256], n_classes of them
  const uint8_t *byte_of;  // [n_classes]: a byte of each class
  int n_classes;
  void (*start)(const void *ctx, void *state);
  bool (*step)(const void *ctx, const void *state, uint8_t byte,
               void *next); // *next is zeroed; false: in vain
  bool (*accepts)(const void *ctx, const void *state);
} dfa_source;
#define DFA_SOURCE_MAX 64
dfa *dfa_build(const dfa_source *s, int max_states, pn_error *e);

// Bytes that are alike for all of several automata. Begin with every byte in class 0.
typedef struct byte_classes {
  uint8_t class_of[256], byte_of[256];
  int n;
} byte_classes;
void byte_classes_init(byte_classes *c);
void byte_classes_split(byte_classes *c, const uint8_t class_of[256]);
void byte_classes_apart(byte_classes *c, uint8_t lo, uint8_t hi); // [lo, hi] differs from the rest

#endif
