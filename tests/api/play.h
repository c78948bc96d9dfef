// A server with stand-in rooms and a clock that the test moves.
#ifndef PN_TESTS_PLAY_H
#define PN_TESTS_PLAY_H

#include "api/api.h"
#include "api/api_core.h"
#include "fake_rooms.h"

#include <stdatomic.h>

// clang-format off
#include <setjmp.h> // cmocka.h needs these four before it
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

typedef struct play {
  pn_engine engine;
  pn_template tmpl;
  pn_tokenizer tokenizer;
  pn_buf seen; // see pn_tokenizer
  int n_encoded;
  pn_api *api;
  atomic_int n_wakes;
} play;

extern _Atomic uint64_t play_clock_us;

void play_init(play *p);                                  // context of 1000 tokens, model "org/tiny"
void play_init_with(play *p, const pn_template *t);       // instead of the stand-in
void play_init_options(play *p, const pn_api_options *o); // which may point into *p
void play_fini(play *p);
pn_reply *play_call(play *p, const char *method, const char *path, const char *body);
// Everything that is there now, appended; returns whether it was the last.
bool play_pull(pn_reply *r, pn_buf *out);
// A whole reply that needs no engine: its body, NUL-terminated; free() it.
char *play_body(pn_reply *r);

#endif
