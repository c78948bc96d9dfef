// UTF-8 as RFC 3629 defines it: no surrogates, no overlong forms, at most U+10FFFF.
#ifndef PN_BASE_UTF8_H
#define PN_BASE_UTF8_H

#include "base/str.h"

// Decode one character at s[at]. Returns its length 1..4 and sets *cp; returns 0 at the end of s or where the
// bytes are not valid.
size_t pn_utf8_decode(pn_str s, size_t at, uint32_t *cp);
// Write cp to out (4 bytes of room) and return the length; a value that is no character is written as U+FFFD.
size_t pn_utf8_encode(uint32_t cp, char out[4]);
// Offset of the first byte that is not valid UTF-8, or s.n when all of it is.
size_t pn_utf8_check(pn_str s);
// Length of the longest prefix of s that ends on a character border: what follows it is the valid beginning
// of a character that needs more bytes. Bytes that can never become valid count as complete.
size_t pn_utf8_complete(pn_str s);
// Append s with every maximal invalid part replaced by U+FFFD.
void pn_utf8_repair(pn_buf *out, pn_str s);

#endif
