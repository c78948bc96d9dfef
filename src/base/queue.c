#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Guard: `lock` protects every field below it.
struct pn_mpsc {
  pthread_mutex_t lock;
  pthread_cond_t filled;
  size_t head, n, cap;
  bool wake;
  void *items[];
};

pn_mpsc *pn_mpsc_new(size_t capacity) {
  if (capacity == 0 || capacity > SIZE_MAX / 16) return NULL;
  pn_mpsc *q = calloc(1, sizeof *q + capacity * sizeof(void *));
  if (!q) return NULL;
  pthread_mutex_init(&q->lock, NULL);
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
#ifndef __APPLE__
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
  pthread_cond_init(&q->filled, &attr);
  pthread_condattr_destroy(&attr);
  q->cap = capacity;
  return q;
}

void pn_mpsc_free(pn_mpsc *q) {
  if (!q) return;
  pthread_cond_destroy(&q->filled);
  pthread_mutex_destroy(&q->lock);
  free(q);
}

bool pn_mpsc_push(pn_mpsc *q, void *item) {
  pthread_mutex_lock(&q->lock);
  bool room = q->n < q->cap;
  if (room) {
    q->items[(q->head + q->n++) % q->cap] = item;
    pthread_cond_signal(&q->filled);
  }
  pthread_mutex_unlock(&q->lock);
  return room;
}

// Wait on `filled` until the deadline; false when it has passed.
static bool wait_until(pn_mpsc *q, const struct timespec *deadline) {
  if (!deadline) return pthread_cond_wait(&q->filled, &q->lock) == 0;
  return pthread_cond_timedwait(&q->filled, &q->lock, deadline) != ETIMEDOUT;
}

void *pn_mpsc_pop(pn_mpsc *q, uint64_t timeout_us) {
  struct timespec deadline, *until = NULL;
  if (timeout_us && timeout_us != UINT64_MAX) {
#ifdef __APPLE__
    clock_gettime(CLOCK_REALTIME, &deadline);
#else
    clock_gettime(CLOCK_MONOTONIC, &deadline);
#endif
    uint64_t ns = (uint64_t)deadline.tv_nsec + timeout_us % 1000000u * 1000u;
    deadline.tv_sec += (time_t)(timeout_us / 1000000u + ns / 1000000000u);
    deadline.tv_nsec = (long)(ns % 1000000000u);
    until = &deadline;
  }
  void *item = NULL;
  pthread_mutex_lock(&q->lock);
  while (timeout_us && q->n == 0 && !q->wake)
    if (!wait_until(q, until)) break;
  q->wake = false;
  if (q->n) {
    item = q->items[q->head];
    q->head = (q->head + 1) % q->cap;
    q->n--;
  }
  pthread_mutex_unlock(&q->lock);
  return item;
}

void pn_mpsc_wake(pn_mpsc *q) {
  pthread_mutex_lock(&q->lock);
  q->wake = true;
  pthread_cond_signal(&q->filled);
  pthread_mutex_unlock(&q->lock);
}

size_t pn_mpsc_count(pn_mpsc *q) {
  pthread_mutex_lock(&q->lock);
  size_t n = q->n;
  pthread_mutex_unlock(&q->lock);
  return n;
}

// Positions only grow; the writer owns `tail`, the reader `head`. A record is a 2-byte length and its bytes.
struct pn_spsc {
  size_t mask;
  _Alignas(64) atomic_size_t head;
  _Alignas(64) atomic_size_t tail;
  unsigned char bytes[];
};

pn_spsc *pn_spsc_new(size_t capacity_bytes) {
  size_t cap = 64;
  while (cap < capacity_bytes && cap <= SIZE_MAX / 4) cap *= 2;
  size_t whole = (sizeof(pn_spsc) + cap + 63) / 64 * 64;
  pn_spsc *q = aligned_alloc(64, whole);
  if (!q) return NULL;
  q->mask = cap - 1;
  atomic_init(&q->head, 0);
  atomic_init(&q->tail, 0);
  return q;
}

void pn_spsc_free(pn_spsc *q) { free(q); }

static void ring_write(pn_spsc *q, size_t at, const void *p, size_t n) {
  size_t i = at & q->mask, first = q->mask + 1 - i;
  if (first > n) first = n;
  memcpy(q->bytes + i, p, first);
  memcpy(q->bytes, (const char *)p + first, n - first);
}

static void ring_read(const pn_spsc *q, size_t at, void *p, size_t n) {
  size_t i = at & q->mask, first = q->mask + 1 - i;
  if (first > n) first = n;
  memcpy(p, q->bytes + i, first);
  memcpy((char *)p + first, q->bytes, n - first);
}

bool pn_spsc_push(pn_spsc *q, const void *record, size_t n) {
  if (n > UINT16_MAX) return false;
  size_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
  size_t head = atomic_load_explicit(&q->head, memory_order_acquire);
  if (q->mask + 1 - (tail - head) < n + 2) return false;
  uint16_t len = (uint16_t)n;
  ring_write(q, tail, &len, 2);
  if (n) ring_write(q, tail + 2, record, n);
  atomic_store_explicit(&q->tail, tail + 2 + n, memory_order_release);
  return true;
}

size_t pn_spsc_pop(pn_spsc *q, void *out, size_t cap) {
  size_t head = atomic_load_explicit(&q->head, memory_order_relaxed);
  if (head == atomic_load_explicit(&q->tail, memory_order_acquire)) return SIZE_MAX;
  uint16_t len;
  ring_read(q, head, &len, 2);
  size_t n = len < cap ? len : cap;
  if (n) ring_read(q, head + 2, out, n);
  atomic_store_explicit(&q->head, head + 2 + len, memory_order_release);
  return n;
}
