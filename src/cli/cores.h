// The processors that this process may run on, as the system describes them, and how many threads compute
// well on them. A thread that reads weights and multiplies keeps a whole core busy: a second one on the same
// core (SMT) takes from the first what it gets, and one on a slow core is waited for at the end of products.
#ifndef PN_CLI_CORES_H
#define PN_CLI_CORES_H

#include <stdbool.h>
#include <stdint.h>

#define CORES_MAX_CPUS 1024

// Processors (hardware threads) by their numbers.
typedef struct cpu_set_bits {
  uint64_t bits[CORES_MAX_CPUS / 64];
} cpu_set_bits;
static inline bool cpu_set_has(const cpu_set_bits *s, int cpu) { return s->bits[cpu / 64] >> (cpu % 64) & 1; }
// "0-3,8,10-11". Numbers that are too large, and what comes behind a mistake, are left out.
void cpu_set_parse(const char *list, cpu_set_bits *out);

// A machine: of each processor its core, by the number of the first processor of it, and how fast it is
// beside others (1024 is the fastest, on Arm; else 1024 for all) or that it is one of Intel's efficient ones.
typedef struct cores_machine {
  int n_online;        // of the machine
  cpu_set_bits usable; // that the process is bound to, and that are online
  struct {
    int16_t core, capacity;
    bool efficient;
  } cpu[CORES_MAX_CPUS];
  int n_performance;    // macOS: cores of the fastest kind; 0: not known
  int quota;            // whole cores of processor time; INT_MAX: no limit
  uint64_t cache_bytes; // of the last level, all such caches of the usable processors together; 0: not known
} cores_machine;

// From `root`/sys and /proc, with `bound` (NULL: all) for the processors that the process is bound to. `root`
// is "" but in tests. Where the system does not say, all processors are cores of one kind.
void cores_read(const char *root, const cpu_set_bits *bound, cores_machine *out);
// The machine that this process runs on.
void cores_here(cores_machine *out);

// How many threads, and why in words: "one for each of 8 fast cores (16 hardware threads); 8 slower cores are
// left out".
typedef struct cores_choice {
  int threads; // at least 1
  char why[160];
} cores_choice;
// One thread a core; only cores that are at least half as fast as the fastest, and no efficient ones beside
// performance cores; no more than the quota, and than `most`. Pure.
void cores_choose(const cores_machine *m, int most, cores_choice *out);

#endif
