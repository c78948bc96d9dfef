// The members of an object as edges: keys in one order, each at most once, in front of their values' rules.
//
// What may come behind a member depends on its number alone, and of the keys from there on only those count
// that begin as what is read. So a state is (what is read of a key, the first key that may still be meant):
// there are as many as the keys have bytes, where sets of keys that may still come would need the square.
#ifndef PN_GRAMMAR_SCHEMA_KEYS_H
#define PN_GRAMMAR_SCHEMA_KEYS_H

#include "base/arena.h"
#include "grammar/dfa.h"

// One member that may come.
typedef struct member_key {
  const int32_t *symbols; // the key with its colon
  size_t n_symbols;
  int32_t rule; // of its value
  bool required;
} member_key;

typedef struct member_keys {
  member_key *p;
  size_t n;
  size_t *last; // [n]: the last key that may come when all before i are over: the next required one
} member_keys;

// From starts[i] one of the members from i on is read; ends[i] is where member i is over. False: out of
// memory.
bool member_keys_write(const member_keys *keys, nfa *n, pn_arena *a, const int32_t *starts,
                       const int32_t *ends);

#endif
