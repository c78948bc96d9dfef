// Words for people on stderr: colour and progress only at a terminal; and reading what comes on stdin.
#ifndef PN_CLI_CONSOLE_H
#define PN_CLI_CONSOLE_H

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"

#include <stdint.h>

bool console_is_terminal(int fd);
bool console_colour(int fd); // a terminal, and neither NO_COLOR nor TERM=dumb
void console_error(const pn_error *e);
void console_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
// A line that the next one replaces; nothing where stderr is no terminal. An empty text clears it. One
// thread.
void console_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

// All of stdin, or of a file when `path` is neither NULL nor "-".
bool console_read(const char *path, size_t max_bytes, pn_buf *out, pn_error *e);
// Bytes as people read them: "98.4 MB".
const char *console_bytes(uint64_t n, char out[32]);
// The bytes on stdout, all of them; PN_ERR_IO when they can't be written, PN_ERR_NOMEM when the buffer ran
// out of memory.
bool console_write(const pn_buf *b, pn_error *e);
// A JSON value and a newline on stdout; frees it.
bool console_json(pn_json *v, pn_error *e);

#endif
