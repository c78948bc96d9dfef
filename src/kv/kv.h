// Pages of the KV cache as integers: numbers with reference counts for each kind of memory that layers keep,
// the tables of sequences, and radix trees that remember which tokens the pages hold, so that a later
// sequence with the same beginning uses them again. No tensors here: what stands behind the numbers is in
// kv/kv_memory.h, and a backend owns it.
//
// A pool serves groups of layers. What a group keeps decides how it is numbered:
//   full, latent  K and V of all positions, in pages. All these groups share one numbering: a page stands for
//                 the same positions in each of them.
//   window        K and V of the last `window` positions, in pages. Every such group has a numbering of its
//                 own.
//   state         one recurrent state. All state groups share one numbering of slots: a slot is a state of
//                 each.
// A number is free, used (a table, a copy or a pin holds it) or cached (only a tree does): free + used +
// cached = all. When none is free, the cached one that was used longest ago gives way: of pages, leaves
// first; window pages and snapshots go without their page, and prefixes then end earlier, at a point where
// every group can go on.
//
// The life of a sequence, in a pool with window and state groups, is the same calls as with full groups only:
//   pn_kv_attach       make the copies that it names (page, window pages, snapshot -> running state),
//                      pn_kv_attached; n_tokens 0: the running state starts empty.
//   pn_kv_reserve      before a step that computes up to n tokens: pages, window pages and the slot t->state.
//   (the step)         row at p writes to pn_kv_slot, pn_kv_window_slot and the state t->state.
//   pn_kv_mark         where the state should be kept (end of the prompt, border of a message, every some
//                      thousand tokens): end the step there, call, copy the state before the next step.
//   pn_kv_publish      after every step that was accepted: whole pages become known; window pages behind are
//                      given back.
//   pn_kv_truncate     after a step that was not: make its copies, go on at n_tokens (a state goes back to a
//                      mark).
//   pn_kv_release      at the end; the running state itself becomes a snapshot, without a copy.
// A caller does what a call asks of the backend, in order, before any later step; then no call can see half a
// page.
//
// Keys of the trees start from a salt (model, adapter, API key): different salts share nothing. Salts need no
// making; a table uses one salt from attach to release.
//
// Thread: the engine's, unless said otherwise. After pn_kv_pool_new and pn_kv_table_init nothing allocates.
#ifndef PN_KV_H
#define PN_KV_H

#include "base/error.h"

#include <stdint.h>

#define PN_KV_PAGE_TOKENS 32
#define PN_KV_MAX_GROUPS 8
#define PN_KV_MAX_WINDOWS 4 // window groups of a pool
#define PN_KV_MAX_MARKS 4   // marks of a table in pages that are not known yet

typedef struct pn_kv_pool pn_kv_pool;

typedef enum pn_kv_kind { PN_KV_FULL, PN_KV_WINDOW, PN_KV_LATENT, PN_KV_STATE } pn_kv_kind;

typedef struct pn_kv_group {
  pn_kv_kind kind;
  int window;  // window: a row at pos sees positions > pos - window; >= 1
  int n_pages; // window: how many pages of its own there are
} pn_kv_group;

typedef struct pn_kv_setup {
  int n_pages;  // of the full groups; the trees' nodes too, so also wanted when there is no full group
  int n_slots;  // states: running ones and snapshots; > 0 just when there is a state group
  int n_salts;  // salts that have pages at the same time; 0: 64
  int n_groups; // 0: one full group
  pn_kv_group groups[PN_KV_MAX_GROUPS];
} pn_kv_setup;

// A pool, owned by the caller. PN_ERR_INTERNAL: a setup that contradicts itself.
pn_kv_pool *pn_kv_pool_new(const pn_kv_setup *setup, pn_error *e);
void pn_kv_pool_free(pn_kv_pool *p); // every table must have given its pages back

typedef struct pn_kv_stats {
  int n_pages, n_free, n_used, n_cached;
  int n_pinned;       // held by pins; counted as used
  uint64_t n_evicted; // that the trees gave up so far
} pn_kv_stats;
pn_kv_stats pn_kv_pool_stats(const pn_kv_pool *p);             // of the full groups
pn_kv_stats pn_kv_group_stats(const pn_kv_pool *p, int group); // of the numbering that the group uses
int pn_kv_pool_salts(const pn_kv_pool *p);                     // that have pages now
bool pn_kv_pool_has_states(const pn_kv_pool *p);               // whether there is a state group

// The table of one sequence: position p lies in pages[p / PN_KV_PAGE_TOKENS], in the w-th window group in
// window_pages[w][the same], from page first_window[w] on (before, -1).
typedef struct pn_kv_table {
  int32_t *pages;
  int n_pages, cap_pages;
  int n_known; // leading pages that stand in the tree
  int n_windows;
  int32_t *window_pages[PN_KV_MAX_WINDOWS];
  int first_window[PN_KV_MAX_WINDOWS];
  int32_t state; // slot of the running state; -1: none yet, or no state group
  int n_marks;   // snapshots of positions in pages that are not known yet, ascending
  struct {
    int pos;
    int32_t slot;
  } marks[PN_KV_MAX_MARKS];
} pn_kv_table;

// An empty table with room for the pages of max_tokens, for pools with n_windows window groups. The only
// allocation of a sequence; any thread.
bool pn_kv_table_init(pn_kv_table *t, int n_windows, int max_tokens, pn_error *e);
void pn_kv_table_fini(pn_kv_table *t); // its pages must have been given back

// How much of tokens[0, n) pn_kv_attach could use. `differs` gets the token with which the most recent of the
// known continuations goes on where they part; -1 when nothing known goes on there, or some group cannot use
// all that is known. Changes nothing.
int pn_kv_lookup(const pn_kv_pool *p, uint64_t salt, const int32_t *tokens, int n, int32_t *differs);

// How much of tokens[0, n) the trees know, whether or not every group of layers can go on there.
int pn_kv_known(const pn_kv_pool *p, uint64_t salt, const int32_t *tokens, int n);

typedef struct pn_kv_copy {
  int32_t from, to; // from: -1: nothing to copy
} pn_kv_copy;

// Where a sequence goes on, and what has to be copied before anything else is written.
typedef struct pn_kv_prefix {
  int n_tokens;      // positions [0, n_tokens) are in the table's pages once the copies are made
  int32_t copy_from; // page to copy to copy_to in all full groups; -1: nothing to copy
  int32_t copy_to;   // a page of the table
  pn_kv_copy window[PN_KV_MAX_WINDOWS];
  pn_kv_copy state; // to the running state
} pn_kv_prefix;

pn_kv_prefix pn_kv_no_copies(int n_tokens); // with nothing to copy

// The longest prefix of tokens[0, n) that is cached, into the table, which holds the first n_computed of them
// already (0: an empty table): whole pages are shared; of a page that agrees only in part a copy is wanted.
// With window groups a prefix ends where the pages that the next row sees are known (or are the table's own
// whole ones), with state groups where there is a snapshot. When that is no more than n_computed tokens
// nothing changes. Pages that were reserved behind n_computed are given back first. n_computed is 0 or counts
// at least the pages that are the tree's. At most what the table has room for is taken. What is copied is
// held until pn_kv_attached is called, after the copies. No page for a copy: only whole pages are taken; no
// slot for the state: nothing.
void pn_kv_attach(pn_kv_pool *p, pn_kv_table *t, uint64_t salt, const int32_t *tokens, int n_computed, int n,
                  pn_kv_prefix *out);
void pn_kv_attached(pn_kv_pool *p, const pn_kv_prefix *prefix);

// Make the table long enough for n tokens in all (within its capacity; PN_ERR_INTERNAL beyond). PN_ERR_LIMIT
// when too few pages, window pages or slots are free or cached; the table then keeps what it had. For a step
// of m tokens a table holds at most pn_kv_pages_of(window + m) + 1 pages of a window group.
bool pn_kv_reserve(pn_kv_pool *p, pn_kv_table *t, int n, pn_error *e);

// Keep the running state, which is that after n_computed tokens: the copy to make at once (from -1: none;
// there is such a snapshot already, or no slot, or no state group). It is known once its page is. Of more
// than PN_KV_MAX_MARKS in pages that are not known yet the oldest is given up.
pn_kv_copy pn_kv_mark(pn_kv_pool *p, pn_kv_table *t, int n_computed);

// A mark whose copy failed is forgotten.
void pn_kv_unmark(pn_kv_pool *p, pn_kv_table *t, int32_t slot);

// Let others share the whole pages of the first n_computed tokens, while the sequence goes on. A page whose
// tokens the tree knows already is exchanged for the tree's. Window pages that no row from n_computed on sees
// are given back. When all salts are in use by tables or pins, a new one's pages stay unknown.
void pn_kv_publish(pn_kv_pool *p, pn_kv_table *t, uint64_t salt, const int32_t *tokens, int n_computed);

// Back to at most n tokens: the pages behind are given back. `out` is as of pn_kv_attach (and pn_kv_attached
// follows): a copy is wanted of a page that the tree knows and that would be written to. With n_tokens < n a
// group cannot go on at n: the last mark at or before n is where a state can, given-back window pages may be
// gone, no page may be free for a copy. n_tokens 0: the sequence starts anew, with an empty state.
void pn_kv_truncate(pn_kv_pool *p, pn_kv_table *t, int n, pn_kv_prefix *out);

// The running state is not that after the computed tokens any more: a step failed or was given up half-way.
// It is given back. Then the table is released (to go on, pn_kv_truncate instead).
void pn_kv_lose_state(pn_kv_pool *p, pn_kv_table *t);

// The sequence ends or pauses: what it computed stays in the tree, a last partial page too, and the running
// state, which must be that after n_computed tokens; the table is empty then. n_computed 0: nothing is kept
// that was not published.
void pn_kv_release(pn_kv_pool *p, pn_kv_table *t, uint64_t salt, const int32_t *tokens, int n_computed);

// Everything that only the trees remember is forgotten: cached pages, window pages and snapshots become free.
void pn_kv_forget(pn_kv_pool *p);

// A prefix that stays: what pn_kv_attach needs to use its n_tokens is never evicted.
typedef struct pn_kv_pin {
  int n_tokens; // 0: nothing is pinned
  int32_t page, slot;
} pn_kv_pin;

// Pin what pn_kv_lookup finds of tokens[0, n), which may be nothing. Pins of the same pages are counted.
// PN_ERR_LIMIT when pins would hold more than half of a numbering. The caller keeps *pin and unpins it once.
bool pn_kv_pin_prefix(pn_kv_pool *p, uint64_t salt, const int32_t *tokens, int n, pn_kv_pin *pin,
                      pn_error *e);
void pn_kv_unpin(pn_kv_pool *p, const pn_kv_pin *pin);

// A page of a known prefix, for export and import, which are the backend's bytes.
typedef struct pn_kv_span {
  int from, n_tokens;                // positions [from, from + n_tokens)
  uint64_t hash;                     // of the salt and all tokens up to there: a name, no proof of equality
  int32_t page;                      // -1: nothing to write
  int32_t window[PN_KV_MAX_WINDOWS]; // -1: not there
  int32_t state;                     // the last snapshot in this page, -1: none
  int state_pos;                     // the state after that many tokens
  int32_t held;                      // while an import is under way; kv/'s own
} pn_kv_span;

// The known pages of tokens[0, n), at most cap of them, in order; the last may end inside a page. Holds
// nothing: read them before any other call, or pin the prefix.
int pn_kv_export(const pn_kv_pool *p, uint64_t salt, const int32_t *tokens, int n, pn_kv_span *out, int cap);

// Numbers for an imported page with the last of tokens[0, n) (those after a multiple of PN_KV_PAGE_TOKENS).
// in->window and in->state other than -1 say what is there to import, state_pos what the state is after; all
// are replaced by numbers to write to, -1 where the tree has it already. PN_ERR_NOT_FOUND: the pages before
// are not known. PN_ERR_LIMIT: no number left. Then write, with other calls in between if need be, and end
// with pn_kv_imported and the same tokens: `kept` puts the page into the tree (unless no salt is left), else
// all is undone.
bool pn_kv_import(pn_kv_pool *p, uint64_t salt, const int32_t *tokens, int n, pn_kv_span *in, pn_error *e);
void pn_kv_imported(pn_kv_pool *p, uint64_t salt, const int32_t *tokens, const pn_kv_span *in, bool kept);

// The next run of numbers of the group's numbering that are free and were used since they were last reported:
// their memory may go back. False: no more. Groups with one numbering share the reports.
bool pn_kv_take_idle_run(pn_kv_pool *p, int group, int32_t *first, int *n);

// Pages that hold n_tokens, which stay below 2^31 pages.
static inline int pn_kv_pages_of(int64_t n_tokens) {
  return n_tokens > 0 ? (int)((n_tokens - 1) / PN_KV_PAGE_TOKENS + 1) : 0;
}

// The physical slot of position pos, which must be reserved.
static inline int32_t pn_kv_slot(const pn_kv_table *t, int pos) {
  return t->pages[pos / PN_KV_PAGE_TOKENS] * PN_KV_PAGE_TOKENS + pos % PN_KV_PAGE_TOKENS;
}

// The same in the w-th window group, for a position that is not behind the window.
static inline int32_t pn_kv_window_slot(const pn_kv_table *t, int w, int pos) {
  return t->window_pages[w][pos / PN_KV_PAGE_TOKENS] * PN_KV_PAGE_TOKENS + pos % PN_KV_PAGE_TOKENS;
}

// For tests: every count agrees with what is reachable. Pins and copies are taken as they stand.
bool pn_kv_pool_check(const pn_kv_pool *p, const pn_kv_table *const *tables, int n_tables, pn_error *e);

#include "kv/kv_memory.h"

#endif
