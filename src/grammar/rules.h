// A grammar: rules, each an automaton whose edges may call other rules or ask for a control token.
//
// Symbols of edges: RULE_CALL + rule, or RULE_TOKEN + token id.
// Thread: one owner while it is built; then immutable.
#ifndef PN_GRAMMAR_RULES_H
#define PN_GRAMMAR_RULES_H

#include "grammar/dfa.h"

enum { RULE_CALL = DFA_SYMBOLS, RULE_TOKEN = 1 << 24 };

// Plain characters are those that a JSON string holds as they are: neither quotes, backslashes nor control
// characters.
#define RULE_PLAIN_MAX 16  // longer runs are not told apart
#define RULE_PLAIN_ANY 127 // any number of them

typedef struct grammar_rule {
  dfa *d;        // NULL: not built yet
  int32_t base;  // its first state among those of all rules; set by rules_finish
  int8_t *plain; // by state: any so many plain characters may follow, and stay within the rule; NULL: unknown
  bool is_text;  // free text of the answer, in which stop strings count
  bool is_thinking;
  bool is_raw; // a string that stands as it is
  // A string whose characters are counted by whoever follows it, so that the automaton needn't.
  bool counted;
  int32_t inside;               // the state in which a character may begin
  int32_t min_chars, max_chars; // max -1: none
} grammar_rule;

typedef struct rules {
  grammar_rule *p;
  size_t n, cap;
  int32_t n_states; // of all
  int32_t *rule_of; // [n_states]
  bool oom;
} rules;

int32_t rules_add(rules *r); // an empty place; its number, or 0 with r->oom
bool rules_find_plain(grammar_rule *r, pn_error *e);
// No more rules come. What calls a rule that matches nothing is left out. PN_ERR_UNSUPPORTED when rule 0
// matches nothing.
bool rules_finish(rules *r, pn_error *e);
void rules_fini(rules *r);

#endif
