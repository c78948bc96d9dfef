// What an answer may be: a guide allows, token by token, exactly those answers that are in the dialect's
// form, call tools that there are, and hold values that are valid by their JSON Schemas.
//
// Source: masks over a vocabulary from automata with a stack, with most tokens decided at once: as xgrammar
// (arXiv:2411.15100) and llguidance describe it.
#ifndef PN_GRAMMAR_H
#define PN_GRAMMAR_H

#include "base/error.h"
#include "base/json.h"
#include "dialect/dialect.h"
#include "tokenizer/tokenizer.h"

#include <stdint.h>

// The texts of a tokenizer's tokens, sorted for walking. Immutable; the tokenizer must outlive it.
typedef struct pn_vocab pn_vocab;
pn_vocab *pn_vocab_new(const pn_tokenizer *t, pn_error *e);
void pn_vocab_free(pn_vocab *v);
const pn_tokenizer *pn_vocab_tokenizer(const pn_vocab *v);

// Counted references, any thread. What is learned while it is used belongs to the thread of its matchers.
typedef struct pn_guide pn_guide;

typedef enum pn_calls { PN_CALLS_NONE, PN_CALLS_AUTO, PN_CALLS_MUST } pn_calls;
typedef enum pn_thinks {
  PN_THINKS_NOT,
  PN_THINKS_MAYBE,   // it may begin with thinking
  PN_THINKS_FIRST,   // it must
  PN_THINKS_ALREADY, // the prompt ends within it
} pn_thinks;

// A schema is held as far as it can be: wholly, without the keywords that can't be enforced, or any JSON.
typedef enum pn_rung { PN_RUNG_STRICT, PN_RUNG_RELAXED, PN_RUNG_ANY } pn_rung;

typedef struct pn_guide_ask {
  const pn_vocab *vocab;
  const pn_tongue *tongue; // NULL: no calls, no thinking
  // Array of {"type":"function","function":{"name","parameters","strict"}}; "strict": what can't be enforced
  // is an error.
  const pn_json *tools;
  pn_calls calls;
  pn_str only;           // the one tool that is called; {NULL, 0}: any
  bool one_call;         // at most
  const pn_json *schema; // of the answer's text, when no tool is called; NULL: any text
  bool strict;           // the same for it
  pn_thinks thinks;
  int think_tokens; // at most; 0: no limit
} pn_guide_ask;

// What was not held of a schema, for the log: texts are the report's.
typedef struct pn_guide_gap {
  const char *where; // "tools.bash" or "schema"
  pn_rung rung;
  const char *what; // "properties.a.pattern: look-ahead ..."
} pn_guide_gap;

// NULL: PN_ERR_UNSUPPORTED with the place, PN_ERR_LIMIT, PN_ERR_NOMEM. Everything is copied but the
// vocabulary, which must outlive it. The tongue is used only here.
pn_guide *pn_guide_new(const pn_guide_ask *ask, pn_error *e);
pn_guide *pn_guide_ref(pn_guide *g);
void pn_guide_unref(pn_guide *g);
const pn_guide_gap *pn_guide_gaps(const pn_guide *g, size_t *n);

// Whether a value is valid by a schema, by every keyword of JSON Schema that is known here: afterwards, for
// what could not be enforced. False: *e says where and why.
bool pn_schema_valid(const pn_json *schema, const pn_json *value, pn_error *e);

// Which kinds of values a parameter of this name may be, by the schema of all parameters of a tool: a set of
// PN_KIND_. Never fewer than the schema allows; the grammar goes by the same.
unsigned pn_schema_kinds(const pn_json *schema, pn_str key);

// One answer on its way. The matchers of a guide belong to one thread.
typedef struct pn_matcher pn_matcher;
pn_matcher *pn_matcher_new(pn_guide *g, pn_error *e); // takes a reference
void pn_matcher_free(pn_matcher *m);

// `to` is where `from` is, of the same guide: to look ahead. False: out of memory.
bool pn_matcher_follow(pn_matcher *to, const pn_matcher *from);

// Tokens that may come next: those in `ids`, or, when ids is NULL, those whose bit is set. End-of-turn tokens
// are among them where the answer may end.
typedef struct pn_mask {
  const int32_t *ids;
  int32_t n_ids;
  const uint64_t *bits; // [n_words]
  int32_t n_words;      // for all tokens of the tokenizer
} pn_mask;
// Valid until the next call for any matcher of the guide. False: out of memory.
bool pn_matcher_mask(pn_matcher *m, pn_mask *out);
// The token was chosen. False: it is not allowed, or memory ran out.
bool pn_matcher_take(pn_matcher *m, int32_t id);
// Tokens that come next whatever the model says, at most max; they are not taken by this.
int pn_matcher_forced(pn_matcher *m, int32_t *out, int max);
bool pn_matcher_over(const pn_matcher *m);    // nothing but the end may follow
bool pn_matcher_in_text(const pn_matcher *m); // what comes next is text for people, not a call or thinking

#endif
