// Regular expressions as tokenizer files use them (Oniguruma's syntax and meaning) on top of PCRE2, the only
// file that knows PCRE2.
#ifndef PN_TOKENIZER_SPLITTER_H
#define PN_TOKENIZER_SPLITTER_H

#include "base/error.h"
#include "base/str.h"

typedef struct splitter splitter; // a compiled expression; read-only, shared by threads

// `literal`: the pattern is plain text. `where` names its place in the file.
splitter *splitter_new(pn_str pattern, bool literal, const char *where, pn_error *e);
void splitter_free(splitter *s);

typedef struct splitter_match splitter_match; // room for one search; one owner
splitter_match *splitter_match_new(pn_error *e);
void splitter_match_free(splitter_match *m);

typedef enum splitter_found { SPLITTER_NONE, SPLITTER_HIT, SPLITTER_FAILED } splitter_found;

// The first match in `text` (valid UTF-8) that begins at `from` or later; look-behind sees what lies before.
// A pattern that needs more steps than the limit allows is PN_ERR_LIMIT.
splitter_found splitter_next(const splitter *s, splitter_match *m, pn_str text, size_t from, pn_span *hit,
                             pn_error *e);

#endif
