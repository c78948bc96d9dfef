#include "backend/cpu/cpu_pool.h"

#include "base/clock.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  SPIN_NS = 60 * 1000,       // an idle worker's wait before it sleeps
  SPINS_BEFORE_YIELD = 1024, // pauses at a join or barrier before the core is offered to others
  LINE = 128,                // two cache lines: the prefetcher fetches pairs
  STALL_NS = 500 * 1000,     // a join that waits so long, and longer than the caller worked, has lost a core
  ALONE_MIN_NS = 4 * 1000 * 1000, // how long the caller then works alone; doubled while it happens again
  ALONE_MAX_NS = 64 * 1000 * 1000,
};

// Guard: `epoch` publishes fn and ctx to the workers, `done` and `phase` publish their results. `lock`
// protects only going to sleep. Each contended word has a line of its own.
struct cpu_pool {
  alignas(LINE) _Atomic uint32_t epoch; // one more a run
  cpu_pool_fn *fn;
  void *ctx;
  bool stop;
  alignas(LINE) _Atomic int sleepers;
  alignas(LINE) _Atomic int done;
  alignas(LINE) _Atomic int arrived;
  alignas(LINE) _Atomic uint32_t phase; // one more a barrier
  alignas(LINE) _Atomic int64_t next;
  alignas(LINE) pthread_mutex_t lock;
  pthread_cond_t wake;
  int n_threads, n_started;
  int n_active;                      // of the run under way: n_threads, or 1 while the caller works alone
  uint64_t alone_until_ns, alone_ns; // the owner's; 0: never yet
  struct worker {
    struct cpu_pool *pool;
    pthread_t thread;
    int index;
  } workers[CPU_POOL_MAX_THREADS];
};

static inline void pause_core(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

// Wait for the run after `seen` and return its epoch.
static uint32_t wait_for_run(cpu_pool *p, uint32_t seen) {
  uint64_t since = 0;
  for (unsigned i = 0;; i++) {
    uint32_t now = atomic_load_explicit(&p->epoch, memory_order_acquire);
    if (now != seen) return now;
    pause_core();
    if (i % 32 != 31) continue;
    uint64_t t = pn_now_ns();
    if (!since) since = t;
    if (t - since > SPIN_NS) break;
  }
  // Either this sees the new epoch or cpu_pool_run sees the sleeper: both orders are sequentially consistent.
  pthread_mutex_lock(&p->lock);
  atomic_fetch_add(&p->sleepers, 1);
  uint32_t now;
  while ((now = atomic_load(&p->epoch)) == seen) pthread_cond_wait(&p->wake, &p->lock);
  atomic_fetch_sub(&p->sleepers, 1);
  pthread_mutex_unlock(&p->lock);
  return now;
}

static void *work(void *arg) {
  struct worker *w = arg;
  cpu_pool *p = w->pool;
  uint32_t seen = 0;
  for (;;) {
    seen = wait_for_run(p, seen);
    if (p->stop) return NULL;
    p->fn(p->ctx, w->index, p->n_threads);
    atomic_fetch_add_explicit(&p->done, 1, memory_order_release);
  }
}

static void publish(cpu_pool *p) {
  atomic_fetch_add(&p->epoch, 1);
  if (atomic_load(&p->sleepers) == 0) return;
  pthread_mutex_lock(&p->lock);
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
}

static bool start_workers(cpu_pool *p) {
  sigset_t all, before; // signals belong to the process's other threads
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (int i = 1; i < p->n_threads; i++) {
    struct worker *w = &p->workers[i];
    *w = (struct worker){.pool = p, .index = i};
    if (pthread_create(&w->thread, NULL, work, w) != 0) break;
    p->n_started++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return p->n_started == p->n_threads - 1;
}

cpu_pool *cpu_pool_new(int n_threads, pn_error *e) {
  if (n_threads < 1 || n_threads > CPU_POOL_MAX_THREADS) {
    pn_fail(e, PN_ERR_USAGE, "threads: expected 1 to %d, found %d", CPU_POOL_MAX_THREADS, n_threads);
    return NULL;
  }
  cpu_pool *p = aligned_alloc(alignof(cpu_pool), sizeof *p);
  if (!p) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for a pool of %d threads", n_threads);
    return NULL;
  }
  memset(p, 0, sizeof *p);
  p->n_threads = n_threads;
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->wake, NULL);
  if (!start_workers(p)) {
    pn_fail(e, PN_ERR_NOMEM, "could start only %d of %d threads", p->n_started + 1, n_threads);
    cpu_pool_free(p);
    return NULL;
  }
  return p;
}

void cpu_pool_free(cpu_pool *p) {
  if (!p) return;
  p->stop = true;
  publish(p);
  for (int i = 1; i <= p->n_started; i++) pthread_join(p->workers[i].thread, NULL);
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
  free(p);
}

int cpu_pool_threads(const cpu_pool *p) { return p->n_threads; }

// A worker that the system has taken off its core holds up every run for a whole time slice, when the caller
// alone would have been done long before: leave the workers out for a while.
static void work_alone(cpu_pool *p, uint64_t now) {
  bool again = p->alone_ns && now - p->alone_until_ns < 2 * (uint64_t)ALONE_MAX_NS;
  p->alone_ns = again ? p->alone_ns * 2 : ALONE_MIN_NS;
  if (p->alone_ns > ALONE_MAX_NS) p->alone_ns = ALONE_MAX_NS;
  p->alone_until_ns = now + p->alone_ns;
}

static void join(cpu_pool *p, uint64_t start) {
  uint64_t late = 0;
  for (unsigned i = 0; atomic_load_explicit(&p->done, memory_order_acquire) != p->n_threads - 1; i++) {
    if (i == SPINS_BEFORE_YIELD) late = pn_now_ns();
    if (i < SPINS_BEFORE_YIELD)
      pause_core();
    else
      sched_yield();
  }
  if (!late) return;
  uint64_t now = pn_now_ns();
  if (now - late > STALL_NS && now - late > late - start) work_alone(p, now);
}

void cpu_pool_run(cpu_pool *p, cpu_pool_fn *fn, void *ctx) {
  atomic_store_explicit(&p->next, 0, memory_order_relaxed);
  uint64_t start = p->n_threads > 1 ? pn_now_ns() : 0;
  if (p->n_threads == 1 || start < p->alone_until_ns) {
    p->n_active = 1;
    fn(ctx, 0, 1);
    return;
  }
  p->fn = fn;
  p->ctx = ctx;
  p->n_active = p->n_threads;
  atomic_store_explicit(&p->done, 0, memory_order_relaxed);
  publish(p);
  fn(ctx, 0, p->n_threads);
  join(p, start);
}

void cpu_pool_barrier(cpu_pool *p) {
  if (p->n_active == 1) return;
  uint32_t phase = atomic_load_explicit(&p->phase, memory_order_relaxed);
  if (atomic_fetch_add_explicit(&p->arrived, 1, memory_order_acq_rel) == p->n_threads - 1) {
    atomic_store_explicit(&p->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&p->phase, phase + 1, memory_order_release);
    return;
  }
  for (unsigned i = 0; atomic_load_explicit(&p->phase, memory_order_acquire) == phase; i++) {
    if (i < SPINS_BEFORE_YIELD)
      pause_core();
    else
      sched_yield();
  }
}

int64_t cpu_pool_take(cpu_pool *p, int64_t n) {
  return atomic_fetch_add_explicit(&p->next, n, memory_order_relaxed);
}

int cpu_pool_cores(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    int n = CPU_COUNT(&set);
    if (n > 0) return n < CPU_POOL_MAX_THREADS ? n : CPU_POOL_MAX_THREADS;
  }
#endif
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : n > CPU_POOL_MAX_THREADS ? CPU_POOL_MAX_THREADS : (int)n;
}
