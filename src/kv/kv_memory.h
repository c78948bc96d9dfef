// What stands behind the numbers of a pool: for each group of a model's layers memory on a backend, and where
// the rows of a step find their places in it. Part of the door kv/kv.h.
//
// Thread: the engine's.
#ifndef PN_KV_MEMORY_H
#define PN_KV_MEMORY_H

#include "kv/kv.h"
#include "model/model.h"

typedef struct pn_kv_wish {
  pn_kv_type type;
  int n_pages;       // of the full groups
  int max_running;   // tables at the same time
  int step_tokens;   // of one table in one step, at most
  bool whole_tables; // window pages are never given back: as many as there are pages
} pn_kv_wish;

// The pool for a model: of a window group as many pages as the running tables need, and as many again for
// prefixes that are known, but no more than n_pages; of states one for each running table, and snapshots: two
// for each, or more while they take less than a quarter of the pages' bytes.
pn_kv_setup pn_kv_setup_of(const pn_model_config *c, pn_backend *b, const pn_kv_wish *w);
// The bytes that it takes with all groups; UINT64_MAX: more than can be counted.
uint64_t pn_kv_setup_bytes(const pn_model_config *c, pn_backend *b, pn_kv_type type, const pn_kv_setup *s);

// The bytes of KV that the row at that position reads; a whole number of tokens.
uint64_t pn_kv_read_bytes(const pn_model_config *c, pn_backend *b, pn_kv_type type, int pos);

// The bytes of a sequence's recurrent states, and of each snapshot of them; 0: no layer has any.
uint64_t pn_kv_state_bytes(const pn_model_config *c, pn_backend *b);

typedef struct pn_kv_memory {
  pn_backend *b;
  int n_groups;
  pn_kv_group groups[PN_KV_MAX_GROUPS];
  uint64_t page_bytes[PN_KV_MAX_GROUPS]; // or of a slot
  pn_kv *kv[PN_KV_MAX_GROUPS];
  uint64_t identity; // of everything that says what a page's bytes mean
} pn_kv_memory;

// Zero-initialise; pn_kv_memory_close in every case.
bool pn_kv_memory_open(pn_kv_memory *m, const pn_model_config *c, pn_backend *b, pn_kv_type type,
                       const pn_kv_setup *setup, pn_error *e);
void pn_kv_memory_close(pn_kv_memory *m);

// The copies that an attach or a truncate asks for.
bool pn_kv_memory_copy(const pn_kv_memory *m, const pn_kv_prefix *copies, pn_error *e);
// The memory of numbers that are free goes back to the system, where the backend can.
void pn_kv_memory_trim(const pn_kv_memory *m, pn_kv_pool *pool);
// Bytes that tables, copies and pins hold, and that only the trees do.
void pn_kv_memory_used(const pn_kv_memory *m, const pn_kv_pool *pool, uint64_t *used, uint64_t *cached);

// Where the rows of a step find their places, for pn_batch.kv. The arrays are made once.
typedef struct pn_kv_places {
  pn_kv_rows rows[PN_KV_MAX_GROUPS];
  int n_groups, n_windows;
  int32_t *slot[1 + PN_KV_MAX_WINDOWS];         // by numbering and row
  const int32_t **pages[1 + PN_KV_MAX_WINDOWS]; // by numbering and sequence
  int32_t *state;                               // by sequence
} pn_kv_places;

// Zero-initialise; pn_kv_places_fini in every case.
bool pn_kv_places_init(pn_kv_places *p, const pn_kv_memory *m, int max_rows, int max_seqs, pn_error *e);
void pn_kv_places_fini(pn_kv_places *p);
// Sequence `seq` of the step is the table's; row `row` is its position `pos`, which is reserved.
void pn_kv_places_set_seq(pn_kv_places *p, int seq, const pn_kv_table *t);
void pn_kv_places_set_row(pn_kv_places *p, int row, const pn_kv_table *t, int pos);

// A page of a known prefix as bytes, for a disk or another machine: in host order, with a checksum over all
// of it. pn_kv_export gives the span; its bytes:
uint64_t pn_kv_span_bytes(const pn_kv_memory *m, const pn_kv_span *span);
bool pn_kv_span_write(const pn_kv_memory *m, const pn_kv_span *span, void *out, pn_error *e);
// What n bytes hold, for pn_kv_import. PN_ERR_CORRUPT: the checksum or the length is not right.
// PN_ERR_UNSUPPORTED: they are of another model's shape, KV type, backend or version.
bool pn_kv_span_read(const pn_kv_memory *m, const void *bytes, size_t n, pn_kv_span *out, pn_error *e);
// Those that pn_kv_import gave numbers to are written there; pn_kv_imported follows.
bool pn_kv_span_load(const pn_kv_memory *m, const void *bytes, const pn_kv_span *numbers, pn_error *e);

#endif
