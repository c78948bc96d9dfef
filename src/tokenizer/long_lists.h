// The two long lists of a tokenizer.json, its vocabulary and its merges, read straight from the text. They
// are nearly all of the file, and as values of JSON each entry would be objects and memory of its own.
#ifndef PN_TOKENIZER_LONG_LISTS_H
#define PN_TOKENIZER_LONG_LISTS_H

#include "base/str.h"

// Bytes of the file, or, from its length on, of what had escapes.
typedef struct long_text {
  uint32_t at, n;
} long_text;

typedef struct long_token {
  long_text spelling;
  uint32_t id; // below VOCAB_MAX_IDS
} long_token;

// Two halves; or both in one, when the right one has n LONG_JOINED.
#define LONG_JOINED UINT32_MAX
typedef struct long_merge {
  long_text left, right;
} long_merge;

// Zero-initialise; the file's text is borrowed.
typedef struct long_lists {
  pn_str file;
  pn_buf escaped;
  long_token *tokens;
  size_t n_tokens, cap_tokens;
  long_merge *merges;
  size_t n_merges, cap_merges;
  pn_span vocab_at, merges_at; // in the file
} long_lists;

// False: something is not as it should be, or memory ran out. Then nothing is said by it: the whole file must
// be read as JSON, which tells what is wrong.
bool long_lists_read(long_lists *l, pn_str file);
void long_lists_fini(long_lists *l);
// The file with both lists empty.
void long_lists_rest(const long_lists *l, pn_buf *out);

static inline pn_str long_lists_text(const long_lists *l, long_text t) {
  return (pn_str){t.at < l->file.n ? l->file.p + t.at : l->escaped.p + (t.at - l->file.n), t.n};
}

#endif
