#include "cli/memory_plan.h"

#include "cli/console.h"
#include "cli/machine.h"

#include <stdio.h>
#include <string.h>

// The memory that may be used, and how messages name it.
static uint64_t budget(const options *o, char name[160]) {
  uint64_t set = options_bytes(o, "memory-limit", machine_total_bytes());
  if (!set) {
    strcpy(name, "available on this machine");
    return machine_available_bytes();
  }
  char origin[128];
  options_origin(o, "memory-limit", origin);
  snprintf(name, 160, "allowed by %s", origin);
  return set;
}

bool memory_plan_weights(const options *o, const pn_files *files, pn_error *e) {
  char name[160], need[32], have[32];
  uint64_t limit = budget(o, name), weights = pn_files_bytes(files);
  if (weights + MEMORY_PLAN_OTHER_BYTES <= limit) return true;
  return pn_fail(e, PN_ERR_LIMIT,
                 "the weights of %s need %s and %d MB to work with, but %s are %s; use a smaller model",
                 pn_files_path(files), console_bytes(weights, need), (int)(MEMORY_PLAN_OTHER_BYTES / 1000000),
                 console_bytes(limit, have), name);
}

static bool refuse(const options *o, int asked, uint64_t fits, uint64_t weights, uint64_t kv, uint64_t limit,
                   const char *limit_name, pn_error *e) {
  char origin[128], a[32], b[32], c[32];
  options_origin(o, "ctx", origin);
  return pn_fail(
      e, PN_ERR_LIMIT,
      "%s: a context of %d tokens needs %s for the KV cache and %s for the weights, but %s are %s; %llu "
      "tokens would fit: --ctx %llu",
      origin, asked, console_bytes(kv, a), console_bytes(weights, b), console_bytes(limit, c), limit_name,
      (unsigned long long)fits, (unsigned long long)fits);
}

bool memory_plan_context(const options *o, const pn_files *files, const pn_kv_shape *token, int max_positions,
                         int wanted, int *n_ctx, pn_error *e) {
  char name[160], origin[128];
  uint64_t limit = budget(o, name), weights = pn_files_bytes(files), each = pn_kv_token_bytes(token);
  uint64_t fixed = weights + MEMORY_PLAN_OTHER_BYTES, left = limit > fixed ? limit - fixed : 0;
  uint64_t fits = left / each / 32 * 32;
  int asked = (int)options_int(o, "ctx");
  if (asked) {
    options_origin(o, "ctx", origin);
    if (asked > max_positions)
      return pn_fail(e, PN_ERR_USAGE, "%s: %d tokens are more than the %d that the model was made for",
                     origin, asked, max_positions);
    *n_ctx = asked;
    if ((uint64_t)asked <= fits) return true;
    return refuse(o, asked, fits, weights, (uint64_t)asked * each, limit, name, e);
  }
  *n_ctx = wanted && wanted < max_positions ? wanted : max_positions;
  // Nobody asked for this much: leave the rest of the machine a fifth of what is free.
  if (!options_set(o, "memory-limit")) fits = left / 5 * 4 / each / 32 * 32;
  if ((uint64_t)*n_ctx <= fits) return true;
  char need[32], have[32];
  if (fits < 32 || wanted)
    return pn_fail(e, PN_ERR_LIMIT,
                   "%s of KV cache for %d tokens do not fit beside the weights of %s: %s are %s",
                   console_bytes((uint64_t)*n_ctx * each, need), *n_ctx, pn_files_path(files),
                   console_bytes(limit, have), name);
  console_note("pensieve: the context is reduced from the model's %d to %llu tokens: %s are %s", *n_ctx,
               (unsigned long long)fits, console_bytes(limit, have), name);
  *n_ctx = (int)fits;
  return true;
}
