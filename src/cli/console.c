#include "cli/console.h"

#include "base/map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool console_is_terminal(int fd) { return isatty(fd) == 1; }

bool console_colour(int fd) {
  const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
  return console_is_terminal(fd) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

void console_error(const pn_error *e) {
  console_progress("%s", "");
  bool colour = console_colour(STDERR_FILENO);
  fprintf(stderr, "%spensieve: %s%s\n", colour ? "\033[31m" : "", e->msg, colour ? "\033[0m" : "");
}

void console_note(const char *fmt, ...) {
  console_progress("%s", "");
  va_list ap;
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputc('\n', stderr);
}

void console_progress(const char *fmt, ...) {
  static bool shown; // only what stands there as progress may be wiped out: never a line of an answer
  if (!console_is_terminal(STDERR_FILENO)) return;
  char text[200];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (!shown && !*text) return;
  fprintf(stderr, "\r\033[K%s", text);
  fflush(stderr);
  shown = *text != '\0';
}

bool console_read(const char *path, size_t max_bytes, pn_buf *out, pn_error *e) {
  if (path && strcmp(path, "-") != 0) {
    if (pn_file_read(path, max_bytes, out, e)) return true;
    if (e && e->code == PN_ERR_NOT_FOUND)
      e->code = PN_ERR_USAGE; // not a model: what the caller named is wrong
    return false;
  }
  char chunk[16384];
  for (;;) {
    ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return pn_fail(e, PN_ERR_IO, "cannot read stdin: %s", strerror(errno));
    if (n == 0) break;
    pn_buf_add(out, chunk, (size_t)n);
    if (out->n > max_bytes) return pn_fail(e, PN_ERR_USAGE, "stdin holds more than %zu bytes", max_bytes);
  }
  return out->oom ? pn_fail(e, PN_ERR_NOMEM, "out of memory while reading stdin") : true;
}

const char *console_bytes(uint64_t n, char out[32]) {
  static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  double v = (double)n;
  int u = 0;
  while (v >= 999.5 && u < 5) v /= 1000, u++;
  snprintf(out, 32, u && v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
  return out;
}

bool console_write(const pn_buf *b, pn_error *e) {
  if (b->oom) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the result");
  if (fwrite(b->p ? b->p : "", 1, b->n, stdout) == b->n && fflush(stdout) == 0) return true;
  return pn_fail(e, PN_ERR_IO, "cannot write the result to stdout: %s", strerror(errno));
}

bool console_json(pn_json *v, pn_error *e) {
  if (!v) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the result");
  pn_buf b = {0};
  pn_json_write(&b, v);
  pn_buf_char(&b, '\n');
  bool ok = console_write(&b, e);
  pn_buf_fini(&b);
  pn_json_free(v);
  return ok;
}
