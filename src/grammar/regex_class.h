// Sets of characters of a regular expression.
#ifndef PN_GRAMMAR_REGEX_CLASS_H
#define PN_GRAMMAR_REGEX_CLASS_H

#include "grammar/dfa.h"

#define REGEX_MAX_RANGES 256
#define REGEX_LAST_CHAR 0x10FFFFu

typedef struct char_set {
  uint32_t lo[REGEX_MAX_RANGES], hi[REGEX_MAX_RANGES];
  int n;
  bool full; // there was no room for a range
} char_set;

void char_set_add(char_set *s, uint32_t lo, uint32_t hi);
void char_set_invert(char_set *s);
// \d \D \w \W \s \S by its letter; false: no such class.
bool char_set_named(char_set *s, char letter);
void char_set_dot(char_set *s);                                     // all but ends of lines
void char_set_write(char_set *s, nfa *n, int32_t from, int32_t to); // sorts s

#endif
