// What memory the machine lets this process have, and what it has used.
#ifndef PN_CLI_MACHINE_H
#define PN_CLI_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes that can be had now: free or easily freed memory, or what is left of the control group's limit when
// that is less.
uint64_t machine_available_bytes(void);
uint64_t machine_total_bytes(void); // of the machine or its control group
uint64_t machine_peak_rss_bytes(void);
// Bytes of this process's memory that are pages of files whose path begins with `path`; 0 where the system
// can't tell.
uint64_t machine_mapped_bytes(const char *path);
// The path of this program, to out. False: it is not known.
bool machine_own_path(char *out, size_t cap);

#endif
