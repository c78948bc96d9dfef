// Characters as Python's str methods see them.
#ifndef PN_TEMPLATE_JUNICODE_H
#define PN_TEMPLATE_JUNICODE_H

#include "base/str.h"

bool junicode_is_space(uint32_t cp);
bool junicode_is_printable(uint32_t cp);
bool junicode_is_alpha(uint32_t cp);
bool junicode_is_decimal(uint32_t cp);
bool junicode_is_digit(uint32_t cp);
bool junicode_is_numeric(uint32_t cp);
bool junicode_is_line_end(uint32_t cp); // what str.splitlines cuts at

typedef enum junicode_case { JUNICODE_LOWER, JUNICODE_UPPER, JUNICODE_TITLE } junicode_case;
// The character(s) that cp becomes: 1 to 3 of them in out.
int junicode_map(junicode_case to, uint32_t cp, uint32_t out[3]);
bool junicode_is_lower(uint32_t cp); // has an upper case form
bool junicode_is_upper(uint32_t cp); // has a lower case form

// The character at s[at] and its length; bytes that are not UTF-8 read as single U+FFFD.
size_t junicode_at(pn_str s, size_t at, uint32_t *cp);
// The character that ends before s[end], end > 0.
size_t junicode_before(pn_str s, size_t end, uint32_t *cp);

#endif
