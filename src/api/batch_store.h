// Message batches on disk: one SQLite file. A store is one connection to it and belongs to one thread;
// threads that want the file open a store each. What a function has done when it returns true survives the
// death of the process.
#ifndef PN_API_BATCH_STORE_H
#define PN_API_BATCH_STORE_H

#include "base/error.h"
#include "base/str.h"

#define BATCH_ID_CHARS 33 // "msgbatch_" and 24 characters
#define BATCH_CUSTOM_ID_CHARS 64

typedef struct batch_store batch_store;

typedef enum batch_kind {
  BATCH_SUCCEEDED, // the body is the message
  BATCH_ERRORED,   // the body is the error's envelope
  BATCH_CANCELED,  // no body
  BATCH_EXPIRED,   // no body
  BATCH_N_KINDS
} batch_kind;
extern const char *const batch_kind_names[BATCH_N_KINDS];

typedef enum batch_stage {
  BATCH_RUNNING,
  BATCH_ENDED,  // every request has its result; the requests are to be swept
  BATCH_SWEPT,  // only the results are left
  BATCH_DELETED // nobody sees it any more; everything is to be swept
} batch_stage;

typedef struct batch_row {
  int64_t number; // 1, 2, ... in the order of creation; 0: there is no such batch
  char id[BATCH_ID_CHARS + 1];
  batch_stage stage;
  int64_t created_ms, expires_ms; // since 1970
  int64_t cancel_ms, ended_ms;    // 0: not yet
  int64_t n_requests;
  int64_t n_results[BATCH_N_KINDS]; // 0 until it has ended
} batch_row;

// One request of a batch. Texts of what is read are valid during the call that hands them out.
typedef struct batch_item {
  int64_t place; // grows along a batch, and from batch to batch; see BATCH_PLACE
  pn_str custom_id;
  pn_str params;   // of a request
  const char *key; // of a request: name of the API key that made the batch, NULL: none
  batch_kind kind; // of a result
  pn_str body;     // of a result
} batch_item;

// Place of the nth request of a batch, from 1.
#define BATCH_PLACE(number, n) ((int64_t)(number) << 20 | (int64_t)(n))

// Makes the file (readable by its owner only) when it is not there. PN_ERR_CORRUPT: damaged, or no file of
// ours; PN_ERR_UNSUPPORTED: of a later version; PN_ERR_IO, PN_ERR_BUSY (written by another process for too
// long), PN_ERR_LIMIT (the disk is full), PN_ERR_NOMEM, as from every function here. All messages name the
// file.
batch_store *batch_store_open(const char *path, pn_error *e);
void batch_store_close(batch_store *s);

// Store a batch of b->n_requests requests at once or not at all; number and the results are not read. `next`
// fills in custom_id and params of the nth request, from 0. *number is the new batch's.
typedef bool batch_next(void *ctx, int64_t n, batch_item *out, pn_error *e);
bool batch_store_create(batch_store *s, const batch_row *b, const char *key, batch_next *next, void *ctx,
                        int64_t *number, pn_error *e);
// The batch with this id that this key (NULL: none) made; out->number 0: there is none.
bool batch_store_get(batch_store *s, const char *key, pn_str id, batch_row *out, pn_error *e);
// Batches of this key, the latest first: up to `max` of those whose number is between `above` and `below`,
// nearest to `above` when `from_above`, else to `below`.
bool batch_store_list(batch_store *s, const char *key, int64_t above, int64_t below, bool from_above,
                      batch_row *out, int max, int *n, pn_error *e);
// Note that cancelling has begun; nothing happens when it had, or when the batch has ended.
bool batch_store_cancel(batch_store *s, int64_t number, int64_t now_ms, pn_error *e);
// Nobody sees it from now on. Only after its end.
bool batch_store_delete(batch_store *s, int64_t number, pn_error *e);
// Results behind the place *after, in order, until `each` returns false; *after becomes the last one's place.
typedef bool batch_each(void *ctx, const batch_item *result);
bool batch_store_results(batch_store *s, int64_t number, int64_t *after, batch_each *each, void *ctx,
                         pn_error *e);

// For who runs them.

// The first batch behind number `after` that wants something done: any but BATCH_SWEPT. out->number 0: none.
bool batch_store_open_batch(batch_store *s, int64_t after, batch_row *out, pn_error *e);
// Call `each` with the first request behind `after` that has no result; *found tells whether there was one.
bool batch_store_pending(batch_store *s, int64_t number, int64_t after, batch_each *each, void *ctx,
                         bool *found, pn_error *e);
// Requests without a result in batches that run.
bool batch_store_count_pending(batch_store *s, int64_t *n, pn_error *e);
// Store a result unless the request has one; *n is 1 or 0.
bool batch_store_put(batch_store *s, const batch_item *result, int64_t *n, pn_error *e);
// Give the nth to mth requests that have no result this one; *n_put is how many.
bool batch_store_settle(batch_store *s, int64_t number, int64_t n, int64_t m, batch_kind kind, int64_t *n_put,
                        pn_error *e);
// Every request has a result. Counts them into *b, which becomes BATCH_ENDED.
bool batch_store_end(batch_store *s, batch_row *b, int64_t now_ms, pn_error *e);
// Remove the nth to mth requests, and their results too when `results`.
bool batch_store_sweep(batch_store *s, int64_t number, int64_t n, int64_t m, bool results, pn_error *e);
// Nothing is left to sweep: BATCH_ENDED becomes BATCH_SWEPT, a deleted batch is gone.
bool batch_store_swept(batch_store *s, const batch_row *b, pn_error *e);
// Give up to n free pages of the file back to the system; *more when there may be others.
bool batch_store_shrink(batch_store *s, int n, bool *more, pn_error *e);

#endif
