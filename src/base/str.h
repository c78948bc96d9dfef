// Byte strings: a borrowed slice (pn_str), a growable buffer (pn_buf) and a range of bytes (pn_span).
#ifndef PN_BASE_STR_H
#define PN_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Borrowed bytes; not NUL-terminated, may hold NULs. {NULL, 0} is empty.
typedef struct pn_str {
  const char *p;
  size_t n;
} pn_str;

// Bytes [begin, end) of some text.
typedef struct pn_span {
  size_t begin, end;
} pn_span;

#define PN_STR(lit) ((pn_str){(lit), sizeof(lit) - 1})
pn_str pn_str_of(const char *z); // of a NUL-terminated string; NULL gives empty
bool pn_str_eq(pn_str a, pn_str b);
bool pn_str_is(pn_str a, const char *z);
bool pn_str_starts(pn_str a, pn_str prefix);
bool pn_str_ends(pn_str a, pn_str suffix);
// Offset of the first `needle` at or after `from`, or SIZE_MAX. An empty needle is found at `from`.
size_t pn_str_find(pn_str hay, pn_str needle, size_t from);
// Heap copy with a NUL behind it, or NULL when memory ran out; free() it.
char *pn_str_dup(pn_str s);

// Growable bytes. Zero-initialise; pn_buf_fini frees. When memory runs out `oom` is set and stays set and
// later appends do nothing: write everything, check once.
typedef struct pn_buf {
  char *p;
  size_t n, cap;
  bool oom;
} pn_buf;

void pn_buf_fini(pn_buf *b);
void pn_buf_clear(pn_buf *b); // keeps the memory
bool pn_buf_reserve(pn_buf *b, size_t extra);
void pn_buf_add(pn_buf *b, const void *p, size_t n);
void pn_buf_str(pn_buf *b, pn_str s);
void pn_buf_z(pn_buf *b, const char *z);
void pn_buf_char(pn_buf *b, char c);
void pn_buf_printf(pn_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void pn_buf_drop(pn_buf *b, size_t n); // remove the first n bytes
const char *pn_buf_cstr(pn_buf *b);    // NUL behind the bytes (not counted); "" when memory ran out
pn_str pn_buf_view(const pn_buf *b);

#endif
