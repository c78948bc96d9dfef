// Errors with context. The one way to fail is `return pn_fail(e, code, "what, where, expected, found")`.
// Only api/ translates a code to HTTP and only cli/ to an exit status.
#ifndef PN_BASE_ERROR_H
#define PN_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

typedef enum pn_code {
  PN_OK = 0,
  PN_ERR_USAGE,       // the caller asked for something malformed (a request, a flag)
  PN_ERR_NOT_FOUND,   // a file, model or route is not there
  PN_ERR_CORRUPT,     // a file contradicts itself or its format
  PN_ERR_UNSUPPORTED, // well formed, but not something that we can do
  PN_ERR_NOMEM,       // the machine refused memory
  PN_ERR_LIMIT,       // a configured or stated limit would be passed
  PN_ERR_IO,          // reading or writing failed
  PN_ERR_BUSY,        // a queue is full; later may work
  PN_ERR_DEVICE,      // a port or compute device is not available or failed
  PN_ERR_CANCELLED,   // the one who asked has gone
  PN_ERR_TIMEOUT,     // a time limit of the request was over
  PN_ERR_INTERNAL,    // our own mistake
} pn_code;

// Plain value, owned by the caller, needs no release. `msg` is one UTF-8 line without a trailing newline.
typedef struct pn_error {
  pn_code code;
  char msg[500];
} pn_error;

// Fill *e (which may be NULL) and return false, so that a caller can `return pn_fail(...)`.
bool pn_fail(pn_error *e, pn_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

// Put "prefix: " before the message that is already in *e and return false; the code stays.
bool pn_fail_in(pn_error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// The code's name for logs, such as "corrupt".
const char *pn_code_name(pn_code code);

#endif
