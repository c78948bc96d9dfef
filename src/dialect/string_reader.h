// The inside of strings, in pieces that are whole: characters and escapes become what JSON writes for them.
#ifndef PN_DIALECT_STRING_READER_H
#define PN_DIALECT_STRING_READER_H

#include "base/str.h"

// Each looks at the beginning of `raw` and sets *used; 0: more bytes are needed.

// Ordinary characters up to `end`. False: there are none.
bool string_run(pn_buf *out, pn_str raw, char end, size_t *used);
// One character of any kind. Keys hold no NUL: that becomes U+FFFD. False: an FF or FE.
bool string_char(pn_buf *out, pn_str raw, bool is_key, size_t *used);
// A backslash and what belongs to it. What is no escape stands for itself.
void string_escape(pn_buf *out, pn_str raw, bool is_key, size_t *used);

#endif
