// The time of each op of a model's plan, for `bench --ops`.
#ifndef PN_CLI_BENCH_OPS_H
#define PN_CLI_BENCH_OPS_H

#include "cli/open_model.h"

// Run the opened model op by op: --decode steps, and --repeat times a chunk of a prompt (--prompt tokens, at
// most 512), both behind --depth tokens. The tables go to stdout, or with --json one object.
bool bench_ops(open_model *m, const options *o, pn_error *e);

#endif
