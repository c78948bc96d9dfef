// The threads of the cpu backend: work that is cut into pieces, which threads take as they come.
//
// Threads: one engine thread owns the pool and calls everything. Workers spin for about 60 us after their
// last work and then sleep, so that between steps the cores belong to the other threads of the process.
#ifndef PN_BACKEND_CPU_POOL_H
#define PN_BACKEND_CPU_POOL_H

#include "base/error.h"

#include <stdint.h>

#define CPU_POOL_MAX_THREADS 256

typedef struct cpu_pool cpu_pool;

// Items [begin, end) of a run, by thread `thread` (0: the caller of cpu_pool_run).
typedef void cpu_pool_fn(void *ctx, int thread, int64_t begin, int64_t end);

// n_threads counts the caller; 1 starts no thread at all.
cpu_pool *cpu_pool_new(int n_threads, pn_error *e);
void cpu_pool_free(cpu_pool *p);
int cpu_pool_threads(const cpu_pool *p);

// Call fn for all of n items, `chunk` of them at a time (the last may be fewer), and return when all are
// done. The caller works too, and nobody waits for a worker that comes late, because it slept or because
// another program has its core: then there is nothing left to take. A thread takes neighbours, from
// its own part of the items first; who gets which pieces is not determined.
// With one piece only the caller works. Not from inside fn. What the caller wrote before is visible to fn,
// and what fn wrote is visible to the caller afterwards.
void cpu_pool_run(cpu_pool *p, cpu_pool_fn *fn, void *ctx, int64_t n, int64_t chunk);

// Items a piece so that each thread has about `pieces` of them.
int64_t cpu_pool_chunk(const cpu_pool *p, int64_t n, int pieces);

// The number of cores that this process may use, at least 1.
int cpu_pool_cores(void);

#endif
