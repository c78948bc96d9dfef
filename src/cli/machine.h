// What memory the machine lets this process have, and what it has used.
#ifndef PN_CLI_MACHINE_H
#define PN_CLI_MACHINE_H

#include <stdint.h>

// Bytes that can be had now: free or easily freed memory, or what the control group allows when that is less.
uint64_t machine_available_bytes(void);
uint64_t machine_total_bytes(void); // of the machine or its control group
uint64_t machine_peak_rss_bytes(void);
int machine_cores(void); // that this process may use
// Bytes of this process's memory that are pages of files whose path begins with `path`; 0 where the system can't tell.
uint64_t machine_mapped_bytes(const char *path);

#endif
