#include "cli/reading_rate.h"

#include "base/clock.h"
#include "cli/console.h"
#include "cli/cores.h"
#include "cli/machine.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
  MAX_THREADS = 256,
  PIECE = 1 << 20, // bytes
  LARGE_PAGE = 2 << 20,
  CACHES = 4,
  LEAST_PASSES = 2,
  PASSES_US = 80 * 1000,
};
#define MEMORY_BYTES ((uint64_t)128 << 20) // or CACHES times what all caches hold, if that is more
#define MOST_BYTES ((uint64_t)1 << 30)
// Shares of the rate that decoding reached where it was measured: a small model in 4 bits on AVX2, whose
// products are bound by arithmetic, to large models on AVX-512.
#define USUAL_LOW 0.5
#define USUAL_HIGH 0.9
#define LEAST_BYTES ((uint64_t)32 << 20) // less would be read from the caches

typedef uint64_t wide __attribute__((vector_size(64)));

// A pass is open from when `pass` counts up until all of its pieces are done; who comes late finds none left.
typedef struct reader {
  unsigned char *memory;
  int n_pieces;
  atomic_int pass; // -1: over
  atomic_int next, done;
  _Atomic uint64_t sink; // so that nothing read is left out
} reader;

static uint64_t read_piece(const unsigned char *piece) {
  const wide *p = (const wide *)(const void *)piece;
  wide a = {0}, b = {0}, c = {0}, d = {0};
  for (int i = 0; i < PIECE / (int)sizeof *p; i += 4) {
    a ^= p[i];
    b ^= p[i + 1];
    c ^= p[i + 2];
    d ^= p[i + 3];
  }
  a ^= b ^ c ^ d;
  return a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7];
}

static void take_pieces(reader *r, bool write) {
  uint64_t sum = 0;
  for (int i; (i = atomic_fetch_add(&r->next, 1)) < r->n_pieces; atomic_fetch_add(&r->done, 1)) {
    if (write)
      memset(r->memory + (size_t)i * PIECE, i + 1, PIECE);
    else
      sum ^= read_piece(r->memory + (size_t)i * PIECE);
  }
  atomic_fetch_xor(&r->sink, sum);
}

static void *work(void *ctx) {
  reader *r = ctx;
  for (int seen = 0, now; (now = atomic_load(&r->pass)) >= 0;) {
    if (now == seen) {
      sched_yield();
      continue;
    }
    seen = now;
    take_pieces(r, now == 1);
  }
  return NULL;
}

// The time of one pass. The first one writes: that gives the memory its pages.
static double pass_s(reader *r, int pass) {
  atomic_store(&r->done, 0);
  atomic_store(&r->next, 0);
  const uint64_t start = pn_now_ns();
  atomic_store(&r->pass, pass);
  take_pieces(r, pass == 1);
  while (atomic_load(&r->done) < r->n_pieces) sched_yield();
  return (double)(pn_now_ns() - start) / 1e9;
}

// Seconds of the quickest pass.
static double best_s(reader *r) {
  int pass = 1;
  pass_s(r, pass);
  double best = pass_s(r, ++pass);
  const uint64_t start = pn_now_us();
  while (pass < LEAST_PASSES + 1 || pn_now_us() - start < PASSES_US) {
    const double s = pass_s(r, ++pass);
    if (s < best) best = s;
  }
  return best;
}

static double measure(reader *r, int threads, int *n_threads) {
  pthread_t thread[MAX_THREADS];
  int n = 0;
  while (n + 1 < threads && n < MAX_THREADS && pthread_create(&thread[n], NULL, work, r) == 0) n++;
  const double s = best_s(r);
  atomic_store(&r->pass, -1);
  for (int i = 0; i < n; i++) pthread_join(thread[i], NULL);
  *n_threads = n + 1;
  return (double)r->n_pieces * PIECE / s / 1e9;
}

static uint64_t bytes_to_read(void) {
  cores_machine here;
  cores_here(&here);
  uint64_t want = CACHES * here.cache_bytes, most = machine_available_bytes() / 8;
  if (want < MEMORY_BYTES) want = MEMORY_BYTES;
  if (most > MOST_BYTES) most = MOST_BYTES;
  return (most < want ? most : want) / LARGE_PAGE * LARGE_PAGE;
}

reading_rate reading_rate_measure(int threads) {
  const uint64_t bytes = bytes_to_read();
  reading_rate out = {0};
  if (bytes < LEAST_BYTES) return out;
  const size_t all = (size_t)bytes + LARGE_PAGE; // so that a large page begins in it
  unsigned char *p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return out;
  reader r = {.memory = p + (LARGE_PAGE - (uintptr_t)p % LARGE_PAGE) % LARGE_PAGE,
              .n_pieces = (int)(bytes / PIECE)};
#ifdef MADV_HUGEPAGE
  madvise(r.memory, bytes, MADV_HUGEPAGE);
#endif
  out.bytes = bytes;
  out.gb_s = measure(&r, threads, &out.threads);
  munmap(p, all);
  return out;
}

pn_json *reading_rate_json(const reading_rate *r) {
  return r->gb_s > 0 ? pn_json_new_num(r->gb_s) : pn_json_new_null();
}

const char *reading_rate_line(const reading_rate *r, char out[96]) {
  char bytes[32];
  if (r->gb_s > 0)
    snprintf(out, 96, "%.1f GB/s by %d thread%s over %s of memory of its own", r->gb_s, r->threads,
             r->threads == 1 ? "" : "s", console_bytes(r->bytes, bytes));
  else
    snprintf(out, 96, "not measured");
  return out;
}

reading_expectation reading_rate_expect(const reading_rate *r, double token_bytes) {
  const double most = token_bytes > 0 ? r->gb_s * 1e9 / token_bytes : 0;
  return (reading_expectation){USUAL_LOW * most, USUAL_HIGH * most, most};
}
