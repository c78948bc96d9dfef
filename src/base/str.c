#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pn_str pn_str_of(const char *z) { return (pn_str){z, z ? strlen(z) : 0}; }
bool pn_str_eq(pn_str a, pn_str b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }
bool pn_str_is(pn_str a, const char *z) { return pn_str_eq(a, pn_str_of(z)); }

bool pn_str_starts(pn_str a, pn_str prefix) {
  return a.n >= prefix.n && pn_str_eq((pn_str){a.p, prefix.n}, prefix);
}

bool pn_str_ends(pn_str a, pn_str suffix) {
  return a.n >= suffix.n && (suffix.n == 0 || memcmp(a.p + (a.n - suffix.n), suffix.p, suffix.n) == 0);
}

size_t pn_str_find(pn_str hay, pn_str needle, size_t from) {
  if (from > hay.n) return SIZE_MAX;
  if (needle.n == 0) return from;
  if (hay.n - from < needle.n) return SIZE_MAX;
  const char *at = memmem(hay.p + from, hay.n - from, needle.p, needle.n);
  return at ? (size_t)(at - hay.p) : SIZE_MAX;
}

char *pn_str_dup(pn_str s) {
  char *z = malloc(s.n + 1);
  if (!z) return NULL;
  if (s.n) memcpy(z, s.p, s.n);
  z[s.n] = '\0';
  return z;
}

void pn_buf_fini(pn_buf *b) {
  free(b->p);
  *b = (pn_buf){0};
}

void pn_buf_clear(pn_buf *b) { b->n = 0; }

bool pn_buf_reserve(pn_buf *b, size_t extra) {
  if (b->oom) return false;
  if (b->cap - b->n > extra) return true; // always room for a NUL
  if (extra >= SIZE_MAX / 4 || b->n >= SIZE_MAX / 4) return b->oom = true, false;
  size_t cap = b->cap ? b->cap : 64;
  while (cap - b->n <= extra) cap *= 2;
  char *p = realloc(b->p, cap);
  if (!p) return b->oom = true, false;
  b->p = p;
  b->cap = cap;
  return true;
}

void pn_buf_add(pn_buf *b, const void *p, size_t n) {
  if (n == 0 || !pn_buf_reserve(b, n)) return;
  memcpy(b->p + b->n, p, n);
  b->n += n;
}

void pn_buf_str(pn_buf *b, pn_str s) { pn_buf_add(b, s.p, s.n); }
void pn_buf_z(pn_buf *b, const char *z) { pn_buf_add(b, z, strlen(z)); }
void pn_buf_char(pn_buf *b, char c) { pn_buf_add(b, &c, 1); }

void pn_buf_printf(pn_buf *b, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  if (n < 0 || !pn_buf_reserve(b, (size_t)n)) return;
  va_start(ap, fmt);
  vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
  va_end(ap);
  b->n += (size_t)n;
}

void pn_buf_drop(pn_buf *b, size_t n) {
  if (n >= b->n) {
    b->n = 0;
    return;
  }
  memmove(b->p, b->p + n, b->n - n);
  b->n -= n;
}

const char *pn_buf_cstr(pn_buf *b) {
  if (!pn_buf_reserve(b, 0)) return "";
  b->p[b->n] = '\0';
  return b->p;
}

pn_str pn_buf_view(const pn_buf *b) { return (pn_str){b->p, b->n}; }
