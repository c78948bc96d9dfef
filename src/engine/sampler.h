// Choosing the next token from logits.
#ifndef PN_ENGINE_SAMPLER_H
#define PN_ENGINE_SAMPLER_H

#include "base/rng.h"
#include "engine/engine.h"

// Scratch for one vocabulary; owned by the engine's thread.
typedef struct sampler {
  int n_vocab;
  struct sampler_candidate *candidates; // n_vocab
  float *masked;                        // n_vocab: logits of what is allowed
} sampler;

bool sampler_init(sampler *s, int n_vocab, pn_error *e);
void sampler_fini(sampler *s);

// Order: temperature, then top_k, top_p, min_p, each over what the one before left; then one draw. Tokens e^30 times
// less likely than the best are never drawn. Ties go to the lower id. -1 when the logits hold no finite maximum.
// Only tokens of the mask are chosen; NULL, or one without ids and bits: any.
int32_t sampler_pick(sampler *s, const float *logits, const pn_mask *mask, const pn_sampling *how,
                     pn_rng *rng);

#endif
