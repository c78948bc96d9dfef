// How fast this machine's memory is read by so many threads: GB/s of passes over half a gigabyte, a line each
// time that stdin has one.
//   reading THREADS
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BYTES = 512 << 20, PASSES = 3, MAX_THREADS = 256 };

typedef uint64_t wide __attribute__((vector_size(64)));

static unsigned char *memory;
static int n_threads;
static pthread_barrier_t barrier;
static volatile uint64_t sums[MAX_THREADS * 8];

static void read_share(int thread) {
  const size_t n = BYTES / (size_t)n_threads / 256 * 256;
  const wide *p = (const wide *)(const void *)(memory + n * (size_t)thread);
  wide a = {0}, b = {0}, c = {0}, d = {0};
  for (size_t i = 0; i < n / 64; i += 4) {
    a ^= p[i];
    b ^= p[i + 1];
    c ^= p[i + 2];
    d ^= p[i + 3];
  }
  a ^= b ^ c ^ d;
  sums[thread * 8] = a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7];
}

static void *work(void *thread) {
  for (;;) {
    pthread_barrier_wait(&barrier);
    read_share((int)(intptr_t)thread);
    pthread_barrier_wait(&barrier);
  }
  return NULL;
}

static double seconds(void) {
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  pthread_barrier_wait(&barrier);
  read_share(0);
  pthread_barrier_wait(&barrier);
  clock_gettime(CLOCK_MONOTONIC, &to);
  return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) * 1e-9;
}

int main(int argc, char **argv) {
  n_threads = argc > 1 ? atoi(argv[1]) : 1;
  if (n_threads < 1 || n_threads > MAX_THREADS) return 2;
  memory = aligned_alloc(4096, BYTES);
  if (!memory || pthread_barrier_init(&barrier, NULL, (unsigned)n_threads)) return 1;
  memset(memory, 1, BYTES);
  for (intptr_t i = 1; i < n_threads; i++) {
    pthread_t t;
    if (pthread_create(&t, NULL, work, (void *)i)) return 1;
  }
  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    double best = 1e9;
    for (int i = 0; i < PASSES; i++) {
      const double s = seconds();
      if (s < best) best = s;
    }
    printf("{\"gb_s\": %.3f}\n", BYTES / best / 1e9);
    fflush(stdout);
  }
  return 0;
}
