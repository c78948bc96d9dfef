// Log lines on stderr, as text or JSON. Any thread; a line is written with one write(2), so lines never mix.
#ifndef PN_BASE_LOG_H
#define PN_BASE_LOG_H

#include "base/error.h"

#include <stdint.h>

typedef enum pn_log_level { PN_LOG_ERROR, PN_LOG_WARN, PN_LOG_INFO, PN_LOG_DEBUG, PN_LOG_TRACE } pn_log_level;

// One key and value of a structured line.
typedef struct pn_field {
  const char *key;
  enum { PN_FIELD_STR, PN_FIELD_INT, PN_FIELD_NUM } kind;
  const char *s;
  int64_t i;
  double d;
} pn_field;

#define PN_S(k, v)                                                                                           \
  { .key = (k), .kind = PN_FIELD_STR, .s = (v) }
#define PN_I(k, v)                                                                                           \
  { .key = (k), .kind = PN_FIELD_INT, .i = (int64_t)(v) }
#define PN_D(k, v)                                                                                           \
  { .key = (k), .kind = PN_FIELD_NUM, .d = (double)(v) }
#define PN_FIELDS(...) ((const pn_field[]){__VA_ARGS__, {.key = NULL}})

// Once, before other threads start. Default: info, text, stderr.
void pn_log_setup(pn_log_level level, bool json, int fd);
// "error", "warn", "info", "debug", "trace"; false for anything else.
bool pn_log_parse_level(const char *name, pn_log_level *level);
bool pn_log_on(pn_log_level level);
// `request_id` may be NULL when the line belongs to no request; `fields` is PN_FIELDS(...) or NULL.
void pn_log(pn_log_level level, const char *request_id, const char *message, const pn_field *fields);

#endif
