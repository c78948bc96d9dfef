// The tokens of a vocabulary by their bytes, for walking an automaton over all of them.
//
// Plain tokens hold only characters that a JSON string holds as they are (rules.h); they are most of a
// vocabulary, and as a rule all or none of them are allowed.
//
// Thread: immutable once made.
#ifndef PN_GRAMMAR_TOKEN_TRIE_H
#define PN_GRAMMAR_TOKEN_TRIE_H

#include "grammar/rules.h"
#include "tokenizer/tokenizer.h"

// In preorder: a node's children follow it, its next sibling is at `skip`.
typedef struct trie_node {
  uint32_t skip;
  int32_t token;  // that ends here, -1: none; further ones of the same bytes by trie.same
  uint16_t depth; // of its byte, from 0
  uint8_t byte;
} trie_node;

typedef struct trie {
  trie_node *nodes;
  size_t n;
  int max_depth;
} trie;

struct pn_vocab {
  const pn_tokenizer *tokenizer;
  int32_t n_tokens;
  size_t n_words;    // of a set of tokens, 64 each
  uint32_t *text_at; // [n_tokens + 1]: the bytes of a token in `text`
  char *text;
  int32_t *same; // [n_tokens]: the next token of the same bytes; -1: none
  trie plain, other;
  int32_t *quotes; // tokens with a quote in them
  int32_t n_quotes;
  uint64_t
      *plain_upto; // [RULE_PLAIN_MAX + 2][n_words]: plain tokens of at most so many characters; the last: all
};

// A walk down a trie, byte by byte. Zero-initialise but for the trie.
typedef struct trie_cursor {
  const trie *trie;
  size_t next, end; // among these nodes the next byte is looked for; both 0: from the top
  int32_t token;    // that ends here; -1: none
} trie_cursor;
bool trie_down(trie_cursor *c, uint8_t byte); // false: no token goes on so

static inline pn_str vocab_text(const struct pn_vocab *v, int32_t id) {
  return (pn_str){v->text + v->text_at[id], v->text_at[id + 1] - v->text_at[id]};
}
static inline const uint64_t *vocab_plain(const struct pn_vocab *v, int n_chars) {
  int row = n_chars > RULE_PLAIN_MAX ? RULE_PLAIN_MAX + 1 : n_chars;
  return v->plain_upto + (size_t)row * v->n_words;
}

#endif
