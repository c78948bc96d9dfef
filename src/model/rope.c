// Inverse frequencies of rotary position embeddings. Double precision here, rounded once to f32.
#include "model/model_internal.h"

#include <math.h>

static double plain(const model_rope *r, int i) { return pow(r->theta, -2.0 * i / r->n_rot); }

void rope_plain(model_rope *r, double divisor) {
  r->scale = 1;
  for (int i = 0; i < r->n_rot / 2; i++) r->inv_freq[i] = (float)(plain(r, i) / divisor);
}

// Source: Llama 3.1's reference code: long wavelengths are divided by `factor`, short ones kept, those
// between blended.
void rope_llama3(model_rope *r, double factor, double low, double high, double original) {
  r->scale = 1;
  for (int i = 0; i < r->n_rot / 2; i++) {
    double f = plain(r, i), wavelength = 2 * 3.14159265358979323846 / f;
    double keep = (original / wavelength - low) / (high - low);
    if (wavelength < original / high) keep = 1;
    if (wavelength > original / low) keep = 0;
    r->inv_freq[i] = (float)(f * ((1 - keep) / factor + keep));
  }
}

// Source: LongRoPE (arXiv 2402.13753) as mlx-lm evaluates it: always the long factors, so that a position's
// rotation never changes while a conversation grows.
void rope_long(model_rope *r, const double *long_factors, int max_positions, double original,
               double attention_factor) {
  double factor = max_positions / original;
  if (attention_factor <= 0) attention_factor = factor <= 1 ? 1 : sqrt(1 + log(factor) / log(original));
  r->scale = (float)attention_factor;
  for (int i = 0; i < r->n_rot / 2; i++) r->inv_freq[i] = (float)(plain(r, i) / long_factors[i]);
}
