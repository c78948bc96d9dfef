// Where the memory goes: weights, the pool of KV pages and scratch, within what the machine has or what was
// allowed.
#ifndef PN_CLI_MEMORY_PLAN_H
#define PN_CLI_MEMORY_PLAN_H

#include "cli/options.h"
#include "formats/formats.h"
#include "model/model.h"

// The least that is set aside for everything but weights and KV cache.
#define MEMORY_PLAN_OTHER_BYTES ((uint64_t)64 << 20)

typedef struct memory_limit {
  uint64_t bytes;
  bool set;       // by --memory-limit; else what the machine and its control group have
  char name[160]; // for messages: "allowed by --memory-limit"
} memory_limit;
// The memory is the backend's device's, where it has one of its own (NULL: it has not).
memory_limit memory_limit_of(const options *o, pn_backend *b);

// What an engine is to hold. Texts and the configuration are borrowed.
typedef struct memory_wish {
  const char *model; // for messages
  uint64_t weights_bytes;
  const pn_model_config *config;
  // Bytes of a KV pool of so many tokens, whole pages; never less for more.
  uint64_t (*kv_bytes)(const void *ctx, pn_kv_type type, int64_t tokens);
  const void *kv_ctx;
  uint64_t scratch_bytes; // of the engine, for the longest context that may come of this
  pn_kv_type kv_type;
  int asked_ctx;         // a context that the user asked for; 0: none
  const char *asked_how; // where: "--ctx"
  int wanted_ctx;    // without that: what the verb needs; 0: as much as the model was made for, or as fits
  int64_t kv_tokens; // tokens that the pool must hold at least; 0: of max_running contexts, or what fits
  int max_running, max_queue;
  memory_limit limit;
} memory_wish;

typedef struct memory_plan {
  int n_ctx;            // tokens that one request may have
  int wanted_ctx;       // larger than n_ctx when memory ended before
  int max_running;      // requests that run at the same time
  int64_t kv_tokens;    // tokens of the pool, whole pages, at least n_ctx
  uint64_t kv_bytes;    // of the pool; address space, committed as it is used
  uint64_t token_bytes; // of the pool, for one of its tokens
  uint64_t weights_bytes, scratch_bytes;
  pn_kv_type kv_type;
  memory_limit limit;
} memory_plan;

// PN_ERR_LIMIT with the numbers when the weights alone are too large.
bool memory_plan_weights(const char *model, uint64_t weights_bytes, const memory_limit *limit, pn_error *e);

// PN_ERR_USAGE when the model was not made for the context asked for. PN_ERR_LIMIT, with the numbers and what
// would fit, when a context that was asked for, or what the verb needs, does not fit. A limit that nobody set
// is not used up: a fifth of what is free is left to others, but for what was asked for.
bool memory_plan_make(const memory_wish *w, memory_plan *out, pn_error *e);

// The context that a plan begins with, before it is known what fits.
int memory_plan_wanted_ctx(const memory_wish *w);

// The plan in words, a few lines.
void memory_plan_write(const memory_plan *p, pn_buf *out);

#endif
