// One sequence run through the model step by step, without an engine: for logits, perplexity, ops.
#ifndef PN_CLI_STEPPER_H
#define PN_CLI_STEPPER_H

#include "cli/open_model.h"
#include "kv/kv.h"

// Zero-initialise; stepper_close in every case.
typedef struct stepper {
  open_model *m;
  int chunk;
  uint64_t bytes; // that KV and steps take
  pn_kv_memory kv;
  pn_kv_places places;
  pn_kv_pool *pool;
  pn_kv_table table;
  int32_t *memory; // seq, pos, logit rows: chunk values each
} stepper;

// Room for n_tokens positions in steps of up to `chunk` tokens.
bool stepper_open(stepper *s, open_model *m, int n_tokens, int chunk, pn_error *e);
void stepper_close(stepper *s);
// Compute ids[0..n), n <= chunk, at positions pos, pos + 1, ...; everything before must have been computed.
// The logits after each go to `logits` ([n][n_vocab], host).
bool stepper_run(stepper *s, const int32_t *ids, int n, int pos, float *logits, pn_error *e);
// The same with the logits of the last one only, which stay with the backend; `trace` follows it.
bool stepper_follow(stepper *s, const int32_t *ids, int n, int pos, const pn_forward_trace *trace,
                    pn_error *e);

// Whether every id is one of the model's.
bool stepper_check_ids(const open_model *m, const int32_t *ids, size_t n, pn_error *e);

#endif
