// What the system knows of this process.
#ifndef PN_BASE_PROCESS_H
#define PN_BASE_PROCESS_H

#include <stdint.h>

// 0: the system doesn't tell.
typedef struct pn_process {
  uint64_t resident_bytes;
  int n_open_fds;
  double start_s; // Unix time at which it started
  double cpu_s;   // used so far, by all threads, user and system
} pn_process;

void pn_process_look(pn_process *out); // any thread

#endif
