// Strings with their user bytes: making, cutting, joining. A builder's memory belongs to the rendering.
#ifndef PN_TEMPLATE_JTEXT_H
#define PN_TEMPLATE_JTEXT_H

#include "template/junicode.h"
#include "template/jvalue.h"

const jtext *jtext_new(jctx *c, pn_str s, jtaint taint); // borrows s
const jtext *jtext_copy(jctx *c, pn_str s, jtaint taint);
const jtext *jtext_of(jctx *c, const char *z); // a literal of ours
const jtext *jtext_sub(jctx *c, const jtext *t, size_t from, size_t to);
const jtext *jtext_concat(jctx *c, const jtext *a, const jtext *b);
bool jtext_has_user(const jtext *t);
size_t jtext_chars(const jtext *t); // number of characters
bool jtext_offset(jctx *c, const jtext *t, size_t chars,
                  size_t *bytes); // byte offset of character number `chars`
const jtext *jtext_strip(jctx *c, const jtext *t, const jtext *chars, bool left,
                         bool right); // chars NULL: white space
const jtext *jtext_case(jctx *c, const jtext *t, junicode_case to);
const jtext *jtext_capitalize(jctx *c, const jtext *t);
const jtext *jtext_replace(jctx *c, const jtext *t, const jtext *from, const jtext *to, int64_t count);

jbuild *jbuild_new(jctx *c);
bool jbuild_z(jbuild *b, const char *z, bool user);
bool jbuild_char(jbuild *b, uint32_t cp, bool user);
bool jbuild_text(jbuild *b, const jtext *t);
bool jbuild_slice(jbuild *b, const jtext *t, size_t from, size_t to);
// The character at t[at] in another case; gives its length in t, 0 on failure.
size_t jbuild_mapped(jbuild *b, const jtext *t, size_t at, junicode_case to);
const jtext *jbuild_done(jbuild *b);

#endif
