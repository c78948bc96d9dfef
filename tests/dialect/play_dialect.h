// Answers played through a reader; its events as one line of text.
#ifndef PN_TESTS_PLAY_DIALECT_H
#define PN_TESTS_PLAY_DIALECT_H

#include "dialect/dialect.h"

// Which spellings are control tokens; NULL at the end.
struct pn_tokenizer {
  const char *const *controls;
};
extern const pn_tokenizer no_controls,
    all_controls; // all: every mark of every dialect that is shaped like one

typedef struct played {
  pn_buf events; // text as 'x', thinking as (x), a whole call as f{...}! and one that is not as f{...}?
  pn_buf json;   // of the call that goes on
  int last;      // the event's kind
  bool bad;      // the order of events, the JSON of arguments or empty pieces were wrong
} played;
void played_fini(played *p);

// Marks that the tokenizer knows become raw control tokens.
void raw_of(const pn_tokenizer *k, pn_str text, pn_buf *raw);

// Tools are f, g and get_weather.
bool is_known(void *ctx, pn_str name);
// Parameters that begin with s are strings, with j anything else, with n strings or null; others are any.
unsigned kinds_by_name(void *ctx, pn_str tool, pn_str key);
pn_dialect_sink play_sink(played *p);
// A reader that is given `raw` in pieces that end at the places a <= b.
bool play_raw(const pn_tongue *t, bool thinks, pn_str raw, size_t a, size_t b, played *p);
// The same in single bytes.
bool play_bytes(const pn_tongue *t, bool thinks, pn_str raw, played *p);

#endif
