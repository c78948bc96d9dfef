// Tokens that are found in the text as a whole before anything else happens to it: a trie, leftmost and
// longest match.
#ifndef PN_TOKENIZER_ADDED_H
#define PN_TOKENIZER_ADDED_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

typedef struct added_token {
  pn_str content; // what is searched for
  uint32_t id;
  bool control;        // not matched where it touches a plain range
  bool lstrip, rstrip; // takes the white space at that side with it
  bool single_word;    // only between characters that are not of words
} added_token;

typedef struct added_node {
  uint32_t child, sibling; // 0: none
  uint32_t token;          // + 1; 0: none ends here
  unsigned char byte;
} added_node;

// Read-only after loading. Zero-initialise.
typedef struct added_set {
  const added_token *tokens;
  size_t n;
  added_node *nodes;   // nodes[0] is unused
  uint32_t first[256]; // children of the root
} added_set;

// Spelling of a control mark: <|...|>, <name>, </name>, [NAME], [/NAME]; but not a tag of HTML, which is
// ordinary text in some vocabularies.
bool added_is_mark(pn_str spelling);

// Build the trie; tokens stay the caller's.
bool added_init(added_set *s, pn_arena *a, const added_token *tokens, size_t n, pn_error *e);

// A search through one text. Start with at = done = plain_at = 0.
typedef struct added_walk {
  const added_set *set;
  pn_str text;
  const pn_span *plain; // sorted, not overlapping
  size_t n_plain, plain_at;
  size_t at;   // search goes on here
  size_t done; // everything before is used up
} added_walk;

// The next token: *before is the text in front of it (after the last), *t the token. False at the end; then
// *before is the rest.
bool added_next(added_walk *w, pn_str *before, const added_token **t);

#endif
