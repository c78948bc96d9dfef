// How fast the machine's memory is read: what bounds the decoding of one stream, which reads all weights for
// every token.
#ifndef PN_CLI_READING_RATE_H
#define PN_CLI_READING_RATE_H

#include "base/json.h"

#include <stdint.h>

typedef struct reading_rate {
  double gb_s; // 10^9 bytes a second; 0: not measured, for want of memory
  int threads;
  uint64_t bytes; // of memory that was read over
} reading_rate;

// Read over memory of the program's own, in large pages where the system gives them, with so many threads
// that take pieces of it as they come: one pass writes it, then the best of those of 0.08 s counts. That is
// the rate of the machine, whatever model is served and wherever its weights lie. The memory is several times
// as large as the caches (128 MB to 1 GB), and given back. Any thread; takes less than 0.3 s.
reading_rate reading_rate_measure(int threads);

pn_json *reading_rate_json(const reading_rate *r); // its gb_s; null: not measured
// "38.2 GB/s by 2 threads over 134 MB of memory of its own"
const char *reading_rate_line(const reading_rate *r, char out[96]);

// What decoding is expected to reach without context: tokens a second of a model that reads token_bytes for
// each. `most` is the rate itself, `low` and `high` the usual shares of it (docs/SPEED.md).
typedef struct reading_expectation {
  double low, high, most;
} reading_expectation;
reading_expectation reading_rate_expect(const reading_rate *r, double token_bytes);

#endif
