#include "backend/cpu/cpu_memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

// Elsewhere than on Linux MADV_DONTNEED is a hint that keeps the memory; MADV_FREE gives it back.
#if defined(__linux__) || !defined(MADV_FREE)
#define DISCARD MADV_DONTNEED
#else
#define DISCARD MADV_FREE
#endif

enum { ALIGN = 64, MAP_FROM_BYTES = 256 * 1024 };

// Lies in the 64 bytes before each block.
typedef struct head {
  size_t total_bytes;
  bool mapped;
} head;

void *cpu_memory_new(size_t bytes) {
  if (bytes > SIZE_MAX - 2 * ALIGN) return NULL;
  size_t total = (bytes + ALIGN - 1) / ALIGN * ALIGN + ALIGN;
  bool mapped = total >= MAP_FROM_BYTES;
  char *p;
  if (mapped) {
    p = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
  } else {
    p = aligned_alloc(ALIGN, total);
    if (!p) return NULL;
    memset(p, 0, total);
  }
  head *h = (head *)(void *)p;
  h->total_bytes = total;
  h->mapped = mapped;
  return p + ALIGN;
}

void cpu_memory_free(void *block) {
  if (!block) return;
  char *p = (char *)block - ALIGN;
  const head *h = (const head *)(void *)p;
  if (h->mapped)
    munmap(p, h->total_bytes);
  else
    free(p);
}

void cpu_memory_discard(const void *block, void *from, size_t bytes) {
  const head *h = (const head *)(const void *)((const char *)block - ALIGN);
  long size = sysconf(_SC_PAGESIZE);
  if (!h->mapped || size <= 0) return;
  uintptr_t page = (uintptr_t)size, begin = ((uintptr_t)from + page - 1) / page * page;
  uintptr_t end = ((uintptr_t)from + bytes) / page * page;
  if (begin < end) madvise((char *)from + (begin - (uintptr_t)from), end - begin, DISCARD);
}

bool cpu_scratch_reserve(cpu_scratch *s, size_t bytes) {
  if (bytes <= s->bytes) return true;
  void *p = cpu_memory_new(bytes);
  if (!p) return false;
  cpu_memory_free(s->p);
  *s = (cpu_scratch){p, bytes};
  return true;
}

void cpu_scratch_fini(cpu_scratch *s) {
  cpu_memory_free(s->p);
  *s = (cpu_scratch){0};
}
