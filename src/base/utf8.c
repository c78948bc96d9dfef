#include "base/utf8.h"

#include <string.h>

// Expected length and the allowed range of the second byte for a lead byte (RFC 3629, section 4); 0: never a
// lead.
static size_t lead(unsigned char c, unsigned char *lo, unsigned char *hi) {
  *lo = 0x80;
  *hi = 0xBF;
  if (c < 0x80) return 1;
  if (c < 0xC2 || c > 0xF4) return 0;
  if (c == 0xE0) *lo = 0xA0;
  if (c == 0xED) *hi = 0x9F;
  if (c == 0xF0) *lo = 0x90;
  if (c == 0xF4) *hi = 0x8F;
  return c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

// How many bytes at s[at] are valid so far (0 if the first is bad); *want is the length the lead byte
// promises.
static size_t valid_bytes(pn_str s, size_t at, size_t *want) {
  unsigned char lo, hi;
  *want = lead((unsigned char)s.p[at], &lo, &hi);
  if (*want == 0) return 0;
  size_t k = 1;
  for (; k < *want && at + k < s.n; k++) {
    unsigned char c = (unsigned char)s.p[at + k];
    if (c < (k == 1 ? lo : 0x80) || c > (k == 1 ? hi : 0xBF)) break;
  }
  return k;
}

size_t pn_utf8_decode(pn_str s, size_t at, uint32_t *cp) {
  if (at >= s.n) return 0;
  size_t want, got = valid_bytes(s, at, &want);
  if (want == 0 || got < want) return 0;
  const unsigned char *p = (const unsigned char *)s.p + at;
  switch (want) {
  case 1: *cp = p[0]; break;
  case 2: *cp = (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu); break;
  case 3: *cp = (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu); break;
  default: *cp = (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu); break;
  }
  return want;
}

size_t pn_utf8_encode(uint32_t cp, char out[4]) {
  if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000)) cp = 0xFFFD;
  if (cp < 0x80) return out[0] = (char)cp, 1;
  if (cp < 0x800) {
    out[0] = (char)(0xC0 | cp >> 6);
    out[1] = (char)(0x80 | (cp & 0x3F));
    return 2;
  }
  if (cp < 0x10000) {
    out[0] = (char)(0xE0 | cp >> 12);
    out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[2] = (char)(0x80 | (cp & 0x3F));
    return 3;
  }
  out[0] = (char)(0xF0 | cp >> 18);
  out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
  out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
  out[3] = (char)(0x80 | (cp & 0x3F));
  return 4;
}

size_t pn_utf8_check(pn_str s) {
  size_t at = 0;
  while (at < s.n) {
    if ((unsigned char)s.p[at] < 0x80) {
      at++;
      uint64_t eight;
      for (; s.n - at >= sizeof eight; at += sizeof eight) {
        memcpy(&eight, s.p + at, sizeof eight);
        if (eight & 0x8080808080808080u) break;
      }
      continue;
    }
    size_t want, got = valid_bytes(s, at, &want);
    if (want == 0 || got < want) return at;
    at += want;
  }
  return at;
}

size_t pn_utf8_complete(pn_str s) {
  size_t back = s.n < 3 ? s.n : 3;
  for (size_t k = 1; k <= back; k++) {
    size_t at = s.n - k;
    if (((unsigned char)s.p[at] & 0xC0) == 0x80) continue;
    size_t want, got = valid_bytes(s, at, &want);
    return want > k && got == k ? at : s.n;
  }
  return s.n;
}

void pn_utf8_repair(pn_buf *out, pn_str s) {
  size_t at = 0;
  while (at < s.n) {
    pn_str rest = {s.p + at, s.n - at};
    size_t good = pn_utf8_check(rest);
    pn_buf_add(out, rest.p, good);
    at += good;
    if (at == s.n) break;
    size_t want, got = valid_bytes(s, at, &want);
    pn_buf_add(out, "\xEF\xBF\xBD", 3);
    at += got ? got : 1;
  }
}
