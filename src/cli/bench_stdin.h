// Measurements that another program asks for, one at a time: what `bench --stdin` does.
#ifndef PN_CLI_BENCH_STDIN_H
#define PN_CLI_BENCH_STDIN_H

#include "cli/bench_run.h"

// What may be asked for at most: the room that the engine was opened with.
typedef struct bench_room {
  int prompt, decode, depth, streams;
} bench_room;

// First says on stdout that it is ready, {"ready": "what computes"}; then reads a line at a time:
//   prefill N              tokens a second of a prompt of N tokens
//   decode N DEPTH T       of an answer of N tokens behind a prompt of DEPTH, at temperature T (0: greedy)
//   streams K N            of K answers of N tokens together
// and answers each with {"tok_s": X} on a line of its own, decode with "token_bytes" too, what computing a
// token reads. Until the end of stdin; a line that is none of these, or that asks for more room, is an error.
bool bench_stdin(bench_run *r, const bench_room *room, pn_error *e);

// Bytes that computing one token of an answer of n_decode tokens behind `depth` others reads: the weights,
// and the KV cache at half of the way.
double bench_token_bytes(const open_model *m, int depth, int n_decode);

#endif
