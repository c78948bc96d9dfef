// Whether weights and KV cache fit into the memory that the machine has or that was allowed.
#ifndef PN_CLI_MEMORY_PLAN_H
#define PN_CLI_MEMORY_PLAN_H

#include "backend/backend.h"
#include "cli/options.h"
#include "formats/formats.h"

// What is reserved for everything but weights and KV cache.
#define MEMORY_PLAN_OTHER_BYTES ((uint64_t)64 << 20)

// PN_ERR_LIMIT with the numbers when the weights alone are too large.
bool memory_plan_weights(const options *o, const pn_files *files, pn_error *e);

// The context of the engine: --ctx when it was set (PN_ERR_USAGE beyond the model's, PN_ERR_LIMIT beyond memory, both
// with the numbers), else `wanted` (0: the model's own) or less where memory ends, which is said on stderr.
bool memory_plan_context(const options *o, const pn_files *files, const pn_kv_shape *token, int max_positions,
                         int wanted, int *n_ctx, pn_error *e);

#endif
