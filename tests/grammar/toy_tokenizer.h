// A tokenizer of few tokens: every byte, some words, and control tokens. It spells greedily.
#ifndef PN_TESTS_TOY_TOKENIZER_H
#define PN_TESTS_TOY_TOKENIZER_H

#include "tokenizer/tokenizer.h"

// Both lists end with NULL; the first control token ends a turn.
struct pn_tokenizer {
  const char *const *words, *const *controls;
};
int32_t toy_id(const pn_tokenizer *t, const char *text); // of a word or a control token
// The tokens of a text, the longest first; control tokens where their spelling stands.
size_t toy_tokens(const pn_tokenizer *t, const char *text, int32_t *out);

#endif
