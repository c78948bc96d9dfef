// Monotonic and wall time.
#ifndef PN_BASE_CLOCK_H
#define PN_BASE_CLOCK_H

#include <stdint.h>

uint64_t pn_now_us(void);  // monotonic; only differences mean something
uint64_t pn_now_ns(void);  // monotonic
uint64_t pn_wall_ms(void); // milliseconds since 1970-01-01 UTC

#endif
