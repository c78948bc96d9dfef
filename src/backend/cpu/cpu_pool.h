// The threads of the cpu backend: fork and join around one function, and a barrier inside it.
//
// Threads: one engine thread owns the pool and calls everything but cpu_pool_barrier and cpu_pool_take, which
// are called inside fn by the pool's threads. Workers spin for about 60 us after their last work and then
// sleep, so that between steps the cores belong to the other threads of the process.
#ifndef PN_BACKEND_CPU_POOL_H
#define PN_BACKEND_CPU_POOL_H

#include "base/error.h"

#include <stdint.h>

#define CPU_POOL_MAX_THREADS 256

typedef struct cpu_pool cpu_pool;

// The part of thread `thread` (0 is the caller of cpu_pool_run) among n_threads.
typedef void cpu_pool_fn(void *ctx, int thread, int n_threads);

// n_threads counts the caller; 1 starts no thread at all.
cpu_pool *cpu_pool_new(int n_threads, pn_error *e);
void cpu_pool_free(cpu_pool *p);
int cpu_pool_threads(const cpu_pool *p);

// Call fn on every thread and return when all are done. When another program has taken a worker's core, the
// caller works alone for some milliseconds (fn is called once, with n_threads 1): so what fn gives must not
// depend on n_threads. Not from inside fn. What the caller wrote before is visible to fn, and what fn wrote
// is visible to the caller afterwards.
void cpu_pool_run(cpu_pool *p, cpu_pool_fn *fn, void *ctx);

// Inside fn: wait until every thread of the pool has come here. All of them must, equally often.
void cpu_pool_barrier(cpu_pool *p);

// Inside fn: claim the next n of the run's items: the index of the first. Starts at 0 in each run; who gets
// which items is not determined.
int64_t cpu_pool_take(cpu_pool *p, int64_t n);

// The even share of thread among n_threads of n items, in whole multiples of `unit` (but for the last):
// [*begin, *end).
static inline void cpu_pool_share(int64_t n, int64_t unit, int thread, int n_threads, int64_t *begin,
                                  int64_t *end) {
  int64_t units = (n + unit - 1) / unit;
  int64_t a = units * thread / n_threads * unit, b = units * (thread + 1) / n_threads * unit;
  *begin = a < n ? a : n;
  *end = b < n ? b : n;
}

// The number of cores that this process may use, at least 1.
int cpu_pool_cores(void);

#endif
