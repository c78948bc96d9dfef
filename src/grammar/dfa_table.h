// Building blocks of deterministic automata: states numbered by what they are, and tables on their way.
#ifndef PN_GRAMMAR_DFA_TABLE_H
#define PN_GRAMMAR_DFA_TABLE_H

#include "grammar/dfa.h"

// Byte strings and their numbers, in the order of coming. Zero-initialise.
typedef struct set_table {
  char *bytes;
  size_t n_bytes, cap_bytes;
  size_t *end; // [n]: of each, in bytes
  size_t n, cap;
  uint32_t *slots; // number + 1, by hash
  size_t n_slots;
  bool oom;
} set_table;
void set_table_fini(set_table *t);
size_t set_table_find(set_table *t, const void *p, size_t n); // its number, a new one when it wasn't there
pn_str set_table_get(const set_table *t, size_t i);           // valid until the next find

typedef struct dfa_draft {
  byte_classes classes;
  size_t n_states, cap_states, n_edges, cap_edges;
  int32_t *next, *edge_at;
  bool *accepts;
  dfa_edge *edges;
  bool oom;
} dfa_draft;
// The next state; its row, all in vain. Its edges are added before the next state is.
int32_t *dfa_draft_state(dfa_draft *t, bool accepts);
void dfa_draft_edge(dfa_draft *t, int32_t symbol, int32_t next);
dfa *dfa_finish(dfa_draft *t, pn_error *e); // takes what the draft holds
void dfa_draft_fini(dfa_draft *t);

#endif
