// Memory of the ref and cpu backends: zeroed, aligned to 64 bytes, large blocks reserved and committed as
// touched.
#ifndef PN_BACKEND_CPU_MEMORY_H
#define PN_BACKEND_CPU_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

// NULL when there is none. Any thread; the caller owns the block and frees it with cpu_memory_free.
void *cpu_memory_new(size_t bytes);
void cpu_memory_free(void *p);
// The bytes [from, from + bytes) of a block are not wanted any more: the system's pages that lie wholly in
// them may go back to it. Their content afterwards is what was there or zeros, page by page.
void cpu_memory_discard(const void *block, void *from, size_t bytes);

// Scratch that grows: make *p hold at least `bytes`, content lost and zeroed when it grows. False: *p is
// unchanged.
typedef struct cpu_scratch {
  void *p;
  size_t bytes;
} cpu_scratch;
bool cpu_scratch_reserve(cpu_scratch *s, size_t bytes);
void cpu_scratch_fini(cpu_scratch *s);

#endif
