// The next tokens of all sequences of a step, chosen in one call of the backend, or in two where it is
// asynchronous.
#ifndef PN_ENGINE_CHOOSER_H
#define PN_ENGINE_CHOOSER_H

#include "engine/generation.h"

// Zero-initialise; owned by the engine's thread. Rows are numbered as they are added.
typedef struct chooser {
  pn_backend *backend;
  int n_vocab, n_words, n; // words of a mask; rows added since the last clear, at most max_rows
  pn_sample *how;          // [max_rows]
  pn_choice *choice;       // [max_rows]
  bool *lost;              // [max_rows]: there was no memory for the mask
  uint64_t *masks;         // [max_rows][n_words]: a guide's own lasts only until the next one is asked for
} chooser;

// Makes all that a step takes; False with PN_ERR_NOMEM, or what the backend says of such a vocabulary.
bool chooser_init(chooser *c, pn_backend *b, int n_vocab, int max_rows, pn_error *e);
void chooser_fini(chooser *c);
// Forget all rows: none of them is in flight.
void chooser_clear(chooser *c);
// Add a row for this generation, for the token after the first `ahead` guessed ones: take what it allows and
// wants. Returns the row's number, from 0.
int chooser_add(chooser *c, pn_gen *gen, int ahead);
// Rows [first, first + n) are for the first n rows of those logits: begin to choose, where the backend is
// asynchronous.
bool chooser_submit(chooser *c, pn_logits logits, int first, int n, pn_error *e);
// Wait for what was submitted for the logits' workspace (n may be 0), with the choices of these rows, which
// hold until the rows are cleared; a backend that is not asynchronous chooses now. False: the backend failed.
bool chooser_collect(chooser *c, pn_logits logits, int first, int n, pn_error *e);
// NULL: memory ran out when row k was added. An id of -1: its logits are not finite.
const pn_choice *chooser_choice(const chooser *c, int k);

#endif
