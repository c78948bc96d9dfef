// A model of a KV pool of groups, for test_kv_groups_property.c: plain lists of what the trees know, as salts
// and tokens, searched from end to end; what is used is counted anew after every call. It sees the pool only
// through its door and does not follow the order of last uses exactly: each number has the earliest and the
// latest time it can have been used last.
#ifndef KV_MODEL_H
#define KV_MODEL_H

#include "base/rng.h"
#include "kv/kv.h"

enum {
  PAGE = PN_KV_PAGE_TOKENS,
  MAX_IDS = 48,
  N_SEQS = 5,
  MAX_T = 5 * PAGE,
  T_PAGES = MAX_T / PAGE,
  N_TEMPLATES = 5,
  N_PINS = 3,
  MAX_W = 2,
};

// Numberings.
enum { FULL, WIN, SLOT = WIN + MAX_W, N_KINDS };

typedef struct number {
  bool known, used, before; // before: used before the call
  long lo, hi;              // when it was used last
} number;

// A page of the tree that ends with tokens[n - 1], or a snapshot after n tokens.
typedef struct text {
  uint64_t salt;
  int n;
  int32_t tokens[MAX_T];
} text;

typedef struct snapshot {
  text at;
  uint64_t holders; // a bit for each page that it may hang on
  bool maybe;       // it may be gone
} snapshot;

// A table as it was before a call.
typedef struct was {
  int n_pages, n_known, first[MAX_W];
  int32_t pages[T_PAGES], windows[MAX_W][T_PAGES], state;
} was;

typedef struct seq {
  bool live, pending; // pending: copies are to be made
  uint64_t salt;
  int32_t tokens[MAX_T];
  uint64_t hash[MAX_T + 1]; // [i]: of the salt and tokens[0, i)
  int n, n_computed;
  pn_kv_table t;
  pn_kv_prefix copy;
  int n_marks;
  struct {
    int pos;
    int32_t slot;
  } marks[PN_KV_MAX_MARKS];
} seq;

typedef struct pin {
  pn_kv_pin pin;
  text at;
} pin;

typedef struct world {
  const char *name;
  pn_kv_pool *p;
  pn_kv_setup setup;
  pn_rng rng;
  int n_windows, lengths[MAX_W], group[N_KINDS];
  int n_ids[N_KINDS], n_salts, n_using; // n_using: salts that sequences have
  long step;
  uint64_t n_evicted[N_KINDS];
  number num[N_KINDS][MAX_IDS];
  text page[MAX_IDS];
  int node[MAX_W][MAX_IDS], window_of[MAX_W][MAX_IDS]; // window page -> page, and back
  snapshot snap[MAX_IDS];
  uint64_t memory[1 + MAX_W][MAX_IDS][PAGE], state[MAX_IDS]; // what was written
  seq seqs[N_SEQS];
  pin pins[N_PINS];
  int32_t templates[N_TEMPLATES][MAX_T];
} world;

#define CHECK(ok)                                                                                            \
  do {                                                                                                       \
    if (!(ok)) fail_msg("%s: %s, step %ld, line %d", #ok, w->name, w->step, __LINE__);                       \
  } while (0)

typedef struct range {
  int lo, hi;
} range;

// What a call may find: the last point up to n and behind n_computed. s: of a table, which was `b`, else
// NULL.
range model_points(world *w, const text *of, int n, int n_computed, const seq *s, const was *b);
range model_points_back(world *w, const seq *s, const was *b, int n);

was model_before(const seq *s); // and what a call did, after it:
void model_look(world *w);      // what is used now
void model_taken(world *w, int kind, int32_t id);
void model_settle(world *w, seq *s, int n_known);
void model_publish(world *w, seq *s, const was *b, int n_computed);
void model_release(world *w, seq *s, const was *b, int n_computed);
void model_hang_window(world *w, int k, int32_t id, int32_t page);
void model_forget(world *w);
void model_end(world *w, const seq *s); // checks the counts

int32_t model_whole(const world *w, const text *of, int i); // the page i of the text; -1: not known
bool model_covers(const world *w, int x, const text *of, int n);
// Whether page x may have, or has for certain, a snapshot after n tokens.
bool model_snap_on(const world *w, int x, int n, bool certain);
void model_hang_snap(world *w, int32_t slot, uint64_t pages, const text *of, int n);
text model_text(const seq *s, int n);
int model_first(const world *w, int k, int pos); // the first page that a row at pos sees

#endif
