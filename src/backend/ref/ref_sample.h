// Sampling of the oracle: the ranking is sorted as a whole, and every filter is a loop over it.
#ifndef PN_BACKEND_REF_SAMPLE_H
#define PN_BACKEND_REF_SAMPLE_H

#include "backend/backend.h"
#include "backend/cpu/cpu_memory.h"

// Zero-initialise. Scratch of one row; owned by the thread that owns the backend.
typedef struct ref_sampler {
  cpu_scratch ranking; // [n_vocab] int32_t
  cpu_scratch weights; // [n_vocab] uint64_t
} ref_sampler;

bool ref_sampler_reserve(ref_sampler *s, int n_vocab, pn_error *e);
void ref_sampler_fini(ref_sampler *s);
// pn_backend_ops.sample of one row.
pn_choice ref_sampler_row(ref_sampler *s, const float *logits, int n_vocab, const pn_sample *how);

#endif
