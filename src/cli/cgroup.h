// What the control groups of Linux let this process have: its own group and those above it, version 2 and
// version 1. Elsewhere, and without limits, everything is unlimited.
#ifndef PN_CLI_CGROUP_H
#define PN_CLI_CGROUP_H

#include <stdint.h>

// `root` stands before /proc and /sys: "" but in tests.
uint64_t cgroup_memory_limit_bytes(const char *root); // the smallest limit; UINT64_MAX: none
// What is left of the tightest limit: the limit less what is in use, the page cache of files not counted,
// because the system takes it back when it is needed. UINT64_MAX: no limit.
uint64_t cgroup_memory_left_bytes(const char *root);
int cgroup_cores(
    const char *root); // the smallest quota of processor time in whole cores, rounded up; INT_MAX: none

#endif
