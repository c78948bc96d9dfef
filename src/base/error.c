#include "base/error.h"

#include <stdio.h>
#include <string.h>

// Cut at a character border when the text was too long, and keep it one line.
static void tidy(pn_error *e) {
  size_t n = strlen(e->msg);
  if (n == sizeof e->msg - 1) {
    while (n > 0 && ((unsigned char)e->msg[n - 1] & 0xC0) == 0x80) n--;
    if (n > 0 && (unsigned char)e->msg[n - 1] >= 0xC0) n--;
    e->msg[n] = '\0';
  }
  for (char *p = e->msg; *p; p++)
    if ((unsigned char)*p < 0x20 || *p == 0x7F) *p = ' ';
}

bool pn_fail(pn_error *e, pn_code code, const char *fmt, ...) {
  if (!e) return false;
  va_list ap;
  va_start(ap, fmt);
  e->code = code;
  vsnprintf(e->msg, sizeof e->msg, fmt, ap);
  va_end(ap);
  tidy(e);
  return false;
}

bool pn_fail_in(pn_error *e, const char *fmt, ...) {
  if (!e) return false;
  char old[sizeof e->msg];
  memcpy(old, e->msg, sizeof old);
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(e->msg, sizeof e->msg, fmt, ap);
  va_end(ap);
  const char *parts[] = {": ", old};
  size_t n = strlen(e->msg);
  for (int i = 0; i < 2; i++)
    for (const char *p = parts[i]; *p && n < sizeof e->msg - 1; p++) e->msg[n++] = *p;
  e->msg[n] = '\0';
  tidy(e);
  return false;
}

const char *pn_code_name(pn_code code) {
  switch (code) {
  case PN_OK: return "ok";
  case PN_ERR_USAGE: return "usage";
  case PN_ERR_NOT_FOUND: return "not_found";
  case PN_ERR_CORRUPT: return "corrupt";
  case PN_ERR_UNSUPPORTED: return "unsupported";
  case PN_ERR_NOMEM: return "out_of_memory";
  case PN_ERR_LIMIT: return "limit";
  case PN_ERR_IO: return "io";
  case PN_ERR_BUSY: return "busy";
  case PN_ERR_DEVICE: return "device";
  case PN_ERR_CANCELLED: return "cancelled";
  case PN_ERR_TIMEOUT: return "timeout";
  case PN_ERR_INTERNAL: return "internal";
  }
  return "unknown";
}
