// Gathering the masks and settings of a step's sequences, and the one call that chooses their tokens.
#include "engine/chooser.h"

#include <stdlib.h>
#include <string.h>

bool chooser_init(chooser *c, pn_backend *b, int n_vocab, int max_rows, pn_error *e) {
  size_t rows = (size_t)max_rows;
  *c = (chooser){.backend = b, .n_vocab = n_vocab, .n_words = (n_vocab + 63) / 64};
  c->how = calloc(rows, sizeof *c->how);
  c->choice = calloc(rows, sizeof *c->choice);
  c->lost = calloc(rows, sizeof *c->lost);
  c->masks = calloc(rows * (size_t)c->n_words, sizeof *c->masks);
  if (c->how && c->choice && c->lost && c->masks) return b->ops->sample_reserve(b, n_vocab, max_rows, e);
  chooser_fini(c);
  return pn_fail(e, PN_ERR_NOMEM, "out of memory to choose from %d tokens for %d sequences", n_vocab,
                 max_rows);
}

void chooser_fini(chooser *c) {
  free(c->how);
  free(c->choice);
  free(c->lost);
  free(c->masks);
  *c = (chooser){0};
}

// Copy the ids that are the model's own. False: there are too many for the room of a mask.
static bool copy_ids(const chooser *c, const pn_mask *mask, uint64_t *room, pn_sample *how) {
  int32_t *ids = (int32_t *)room;
  if (mask->n_ids > 2 * c->n_words) return false;
  for (int32_t i = 0; i < mask->n_ids; i++)
    if (mask->ids[i] < c->n_vocab) ids[how->n_ids++] = mask->ids[i];
  how->ids = ids;
  return true;
}

// A tokenizer may know fewer tokens than the model has rows of logits for: the others are not allowed.
static void copy_mask(const chooser *c, const pn_mask *mask, uint64_t *room, pn_sample *how) {
  if (mask->ids && copy_ids(c, mask, room, how)) return;
  if (!mask->ids && !mask->bits) return;
  size_t words = (size_t)c->n_words, known = (size_t)mask->n_words < words ? (size_t)mask->n_words : words;
  memset(room, 0, words * sizeof *room);
  if (mask->bits) memcpy(room, mask->bits, known * sizeof *room);
  for (int32_t i = 0; mask->ids && i < mask->n_ids; i++)
    if (mask->ids[i] < c->n_vocab) room[mask->ids[i] / 64] |= (uint64_t)1 << mask->ids[i] % 64;
  how->bits = room;
}

void chooser_clear(chooser *c) { c->n = 0; }

int chooser_add(chooser *c, pn_gen *gen, int ahead) {
  int k = c->n++;
  pn_mask mask;
  const pn_sampling *s = &gen->sampling;
  pn_sample *how = &c->how[k];
  *how = (pn_sample){.temperature = s->temperature,
                     .top_k = s->top_k,
                     .top_p = s->top_p,
                     .min_p = s->min_p,
                     .seed = s->seed,
                     .position = (uint64_t)(gen->seq.n_tokens + ahead),
                     .logprobs = gen->logprobs,
                     .n_top = gen->n_top_logprobs};
  c->lost[k] = !generation_mask(gen, ahead, &mask);
  if (!c->lost[k]) copy_mask(c, &mask, c->masks + (size_t)k * (size_t)c->n_words, how);
  return k;
}

bool chooser_submit(chooser *c, pn_logits logits, int first, int n, pn_error *e) {
  const pn_backend_ops *ops = c->backend->ops;
  if (!ops->asynchronous || n == 0) return true;
  return ops->sample_submit(c->backend, logits.ws, logits.view, c->how + first, n, e);
}

bool chooser_collect(chooser *c, pn_logits logits, int first, int n, pn_error *e) {
  const pn_backend_ops *ops = c->backend->ops;
  if (ops->asynchronous) return ops->collect(c->backend, logits.ws, c->choice + first, n, e);
  return n == 0 || ops->sample(c->backend, logits.ws, logits.view, c->how + first, n, c->choice + first, e);
}

const pn_choice *chooser_choice(const chooser *c, int k) { return c->lost[k] ? NULL : &c->choice[k]; }
