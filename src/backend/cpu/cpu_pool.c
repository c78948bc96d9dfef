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
  SPIN_NS = 60 * 1000,            // an idle worker's wait before it sleeps
  SPINS_BEFORE_YIELD = 1024,      // pauses at the end of a run before the core is offered to others
  LINE = 128,                     // two cache lines: the prefetcher fetches pairs
  STALL_NS = 200 * 1000,          // a worker that needs so long for its last piece has lost its core
  ALONE_MIN_NS = 4 * 1000 * 1000, // how long the caller then works alone; doubled while it happens again
  ALONE_MAX_NS = 64 * 1000 * 1000,
  PIECE_BITS = 24, // of a share's word that count its pieces
  MOST_PIECES = (1 << PIECE_BITS) - 1,
};

// A run is open while `state` is odd. The caller writes the run's fields while it is closed and nobody is
// inside, opens it, and closes it when all pieces are taken; then it waits until nobody is inside. A worker
// that sees an open run goes inside and looks again: if the state is still the same, the fields are this
// run's, and stay so until it leaves; else it has come too late. Both go by sequentially consistent orders:
// either the worker sees the new state, or the caller sees the worker. `lock` protects only going to sleep.
// Each contended word has a line of its own.
//
// The pieces of a run lie in as many shares as there are threads, neighbours together. A thread takes its own
// share from the beginning, so that it reads on where it left off, and then what is left of the others'. A
// share's word says of which run it is, so that nobody has to reset it.
struct cpu_pool {
  alignas(LINE) _Atomic uint32_t state;
  cpu_pool_fn *fn;
  void *ctx;
  int64_t n, chunk, n_pieces;
  uint64_t run; // counts runs
  alignas(LINE) atomic_bool stop;
  alignas(LINE) _Atomic int sleepers;
  alignas(LINE) _Atomic int inside;   // workers
  alignas(LINE) _Atomic int64_t left; // pieces that nobody has taken
  alignas(LINE) pthread_mutex_t lock;
  pthread_cond_t wake;
  int n_threads, n_started;
  uint64_t alone_until_ns, alone_ns; // the owner's; 0: never yet
  struct worker {
    struct cpu_pool *pool;
    pthread_t thread;
    int index;
  } workers[CPU_POOL_MAX_THREADS];
  struct share {
    alignas(LINE) _Atomic uint64_t taken; // run << PIECE_BITS | pieces; of another run: none yet
  } shares[CPU_POOL_MAX_THREADS];
};

static inline void pause_core(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

static bool is_new(uint32_t state, uint32_t seen) { return state % 2 && state != seen; }

// Wait for an open run after `seen` and return its state.
static uint32_t wait_for_run(cpu_pool *p, uint32_t seen) {
  uint64_t since = 0;
  for (unsigned i = 0;; i++) {
    uint32_t now = atomic_load_explicit(&p->state, memory_order_relaxed);
    if (is_new(now, seen)) return now;
    pause_core();
    if (i % 32 != 31) continue;
    uint64_t t = pn_now_ns();
    if (!since) since = t;
    if (t - since > SPIN_NS) break;
  }
  // Either this sees the new state or the caller sees the sleeper: both orders are sequentially consistent.
  pthread_mutex_lock(&p->lock);
  atomic_fetch_add(&p->sleepers, 1);
  uint32_t now;
  while (!is_new(now = atomic_load(&p->state), seen) && !atomic_load(&p->stop))
    pthread_cond_wait(&p->wake, &p->lock);
  atomic_fetch_sub(&p->sleepers, 1);
  pthread_mutex_unlock(&p->lock);
  return now;
}

static int64_t first_piece(const cpu_pool *p, int share) { return p->n_pieces * share / p->n_threads; }

// The next piece of a share; -1: all are taken.
static int64_t take_piece(cpu_pool *p, int share) {
  const int64_t first = first_piece(p, share), n = first_piece(p, share + 1) - first;
  _Atomic uint64_t *at = &p->shares[share].taken;
  uint64_t now = atomic_load_explicit(at, memory_order_relaxed);
  for (;;) {
    const uint64_t taken = now >> PIECE_BITS == p->run ? now & MOST_PIECES : 0;
    if ((int64_t)taken >= n) return -1;
    if (!atomic_compare_exchange_weak_explicit(at, &now, p->run << PIECE_BITS | (taken + 1),
                                               memory_order_relaxed, memory_order_relaxed))
      continue;
    atomic_fetch_sub_explicit(&p->left, 1, memory_order_relaxed);
    return first + (int64_t)taken;
  }
}

static void take_pieces(cpu_pool *p, int thread) {
  const int64_t n = p->n, chunk = p->chunk;
  for (int k = 0; k < p->n_threads && atomic_load_explicit(&p->left, memory_order_relaxed) > 0; k++) {
    const int share = (thread + k) % p->n_threads;
    for (int64_t piece; (piece = take_piece(p, share)) >= 0;) {
      const int64_t at = piece * chunk;
      p->fn(p->ctx, thread, at, at + chunk < n ? at + chunk : n);
    }
  }
}

static void *work(void *arg) {
  struct worker *w = arg;
  cpu_pool *p = w->pool;
  uint32_t seen = 0;
  while (!atomic_load(&p->stop)) {
    uint32_t now = wait_for_run(p, seen);
    if (!is_new(now, seen)) continue; // it stops
    seen = now;
    atomic_fetch_add(&p->inside, 1);
    if (atomic_load(&p->state) == seen) take_pieces(p, w->index);
    atomic_fetch_sub(&p->inside, 1);
  }
  return NULL;
}

static void wake_sleepers(cpu_pool *p) {
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
  atomic_store(&p->stop, true);
  wake_sleepers(p);
  for (int i = 1; i <= p->n_started; i++) pthread_join(p->workers[i].thread, NULL);
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
  free(p);
}

int cpu_pool_threads(const cpu_pool *p) { return p->n_threads; }

// A worker that the system takes off its core in the middle of a piece holds up the run for a whole time
// slice: leave the workers out for a while.
static void work_alone(cpu_pool *p, uint64_t now) {
  bool again = p->alone_ns && now - p->alone_until_ns < 2 * (uint64_t)ALONE_MAX_NS;
  p->alone_ns = again ? p->alone_ns * 2 : ALONE_MIN_NS;
  if (p->alone_ns > ALONE_MAX_NS) p->alone_ns = ALONE_MAX_NS;
  p->alone_until_ns = now + p->alone_ns;
}

// Until nobody is inside any more.
static void wait_for_last(cpu_pool *p) {
  uint64_t late = 0;
  for (unsigned i = 0; atomic_load(&p->inside) != 0; i++) {
    if (i == SPINS_BEFORE_YIELD) late = pn_now_ns();
    if (i < SPINS_BEFORE_YIELD)
      pause_core();
    else
      sched_yield();
  }
  if (!late) return;
  uint64_t now = pn_now_ns();
  if (now - late > STALL_NS) work_alone(p, now);
}

void cpu_pool_run(cpu_pool *p, cpu_pool_fn *fn, void *ctx, int64_t n, int64_t chunk) {
  if (n <= 0) return;
  if (n / chunk >= MOST_PIECES) chunk = n / MOST_PIECES + 1;
  if (p->n_threads == 1 || n <= chunk || (p->alone_until_ns && pn_now_ns() < p->alone_until_ns)) {
    fn(ctx, 0, 0, n);
    return;
  }
  p->fn = fn;
  p->ctx = ctx;
  p->n = n;
  p->chunk = chunk;
  p->n_pieces = (n + chunk - 1) / chunk;
  p->run++;
  atomic_store_explicit(&p->left, p->n_pieces, memory_order_relaxed);
  atomic_fetch_add(&p->state, 1);
  wake_sleepers(p);
  take_pieces(p, 0);
  atomic_fetch_add(&p->state, 1);
  wait_for_last(p);
}

int64_t cpu_pool_chunk(const cpu_pool *p, int64_t n, int pieces) {
  int64_t all = (int64_t)p->n_threads * pieces;
  return n > all ? (n + all - 1) / all : 1;
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
