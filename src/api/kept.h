// The exact tokens of answers, to be used again when their text comes back as part of a conversation.
// Encoding an answer's text anew can give other tokens than those that the model chose, and then the prefix
// cache, which goes by tokens, would know nothing from there on.
//
// An answer is found by everything that stands before it (bytes, and which of them are user text) and by its
// own text, as it comes back: with or without the white space at its ends, which clients and templates drop,
// or as the template writes its calls and thoughts. Bounded; what was not used for long goes first. Any
// thread.
#ifndef PN_API_KEPT_H
#define PN_API_KEPT_H

#include "base/error.h"
#include "template/template.h"
#include "tokenizer/tokenizer.h"

typedef struct kept kept;

// Everything before a place of a rendered prompt, as a hash.
typedef struct kept_mark {
  uint64_t a, b;
  size_t n_bytes;
  bool in_user; // the place is inside, or at the end of, a range of user text
} kept_mark;

kept *kept_new(size_t limit_bytes); // NULL when memory ran out
void kept_free(kept *k);

// Encode a prompt as pn_tokenizer_encode does, with the tokens of the answers in it that are known. *end is
// the place behind it, where the model's answer begins.
bool kept_encode(kept *k, const pn_tokenizer *t, pn_str text, const pn_text_spans *user, pn_ids *out,
                 kept_mark *end, pn_error *e);
// Remember an answer: `text` is what the tokens behind the prompt `end` gave. Nothing is kept when the tokens
// don't spell the text (a stop string was cut off).
void kept_add(kept *k, const pn_tokenizer *t, const kept_mark *end, pn_str text, const int32_t *tokens,
              size_t n_tokens);
// The same of an answer whose text comes back in another form: `echo`, as the prompt will have it.
void kept_add_echo(kept *k, const pn_tokenizer *t, const kept_mark *end, pn_str echo, const int32_t *tokens,
                   size_t n_tokens);

#endif
