#include "dialect/string_reader.h"

#include "base/utf8.h"

#include <string.h>

#define REPLACEMENT 0xFFFDu

static void write_char(pn_buf *out, uint32_t cp, bool is_key) {
  char utf8[4];
  if (cp == 0 && is_key) cp = REPLACEMENT;
  switch (cp) {
  case '"': pn_buf_z(out, "\\\""); break;
  case '\\': pn_buf_z(out, "\\\\"); break;
  case '\n': pn_buf_z(out, "\\n"); break;
  case '\r': pn_buf_z(out, "\\r"); break;
  case '\t': pn_buf_z(out, "\\t"); break;
  default:
    if (cp < 0x20)
      pn_buf_printf(out, "\\u%04x", (unsigned)cp);
    else
      pn_buf_add(out, utf8, pn_utf8_encode(cp, utf8));
  }
}

bool string_run(pn_buf *out, pn_str raw, char end, size_t *used) {
  size_t n = 0;
  for (; n < raw.n; n++) {
    unsigned char c = (unsigned char)raw.p[n];
    if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\' || raw.p[n] == end) break;
  }
  pn_buf_add(out, raw.p, n);
  *used = n;
  return n > 0;
}

bool string_char(pn_buf *out, pn_str raw, bool is_key, size_t *used) {
  uint32_t cp = 0;
  size_t n = pn_utf8_decode(raw, 0, &cp);
  *used = 0;
  if ((unsigned char)raw.p[0] >= 0xFE) return false;
  if (n == 0 && raw.n < 4 && pn_utf8_complete(raw) == 0) return true;
  write_char(out, n ? cp : REPLACEMENT, is_key);
  *used = n ? n : 1;
  return true;
}

// The four hexadecimal digits behind \u: -1: they are none, -2: more bytes are needed.
static int32_t unicode_escape(pn_str raw) {
  int32_t v = 0;
  for (size_t i = 2; i < 6; i++) {
    if (i >= raw.n) return -2;
    char c = raw.p[i];
    if (c >= '0' && c <= '9')
      v = v * 16 + (c - '0');
    else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
      v = v * 16 + ((c | 0x20) - 'a' + 10);
    else
      return -1;
  }
  return v;
}

// The second half of a pair of surrogates: its value; 0: there is none; -2: more bytes are needed.
static int32_t low_surrogate(pn_str raw) {
  if (raw.n == 0) return -2;
  if (raw.p[0] != '\\') return 0;
  if (raw.n == 1) return -2;
  if (raw.p[1] != 'u') return 0;
  int32_t v = unicode_escape(raw);
  return v == -2 || (v >= 0xDC00 && v < 0xE000) ? v : 0;
}

void string_escape(pn_buf *out, pn_str raw, bool is_key, size_t *used) {
  static const char from[] = "\"\\/'bfnrt", to[] = "\"\\/'\b\f\n\r\t";
  *used = 0;
  if (raw.n < 2) return;
  const char *known = raw.p[1] ? strchr(from, raw.p[1]) : NULL;
  int32_t cp = known ? to[known - from] : raw.p[1] == 'u' ? unicode_escape(raw) : -1;
  size_t n = known ? 2 : 6;
  if (cp == -2) return;
  if (cp >= 0xD800 && cp < 0xDC00) {
    int32_t low = low_surrogate((pn_str){raw.p + 6, raw.n - 6});
    if (low == -2) return;
    cp = low ? 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00) : (int32_t)REPLACEMENT;
    if (low) n = 12;
  } else if (cp >= 0xDC00 && cp < 0xE000) {
    cp = (int32_t)REPLACEMENT;
  }
  if (cp < 0) {
    cp = '\\';
    n = 1;
  }
  write_char(out, (uint32_t)cp, is_key);
  *used = n;
}
