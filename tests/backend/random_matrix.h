// Numbers and matrices of random bits, for tests of products.
#ifndef PN_TESTS_RANDOM_MATRIX_H
#define PN_TESTS_RANDOM_MATRIX_H

#include "backend/backend.h"
#include "backend/cpu/cpu_ops.h"
#include "base/kind.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

static inline float random_normal(pn_rng *rng) {
  double u = pn_rng_unit(rng) + 1e-12, v = pn_rng_unit(rng);
  return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

// Random bytes that mean numbers below 1. Scales are bytes like others, so a block is drawn until it is
// right.
static inline void random_block(pn_rng *rng, const pn_kind *k, unsigned char *p, unsigned char *s) {
  float v[256];
  bool right = false;
  while (!right) {
    for (int i = 0; i < k->bytes; i++) p[i] = (unsigned char)pn_rng_u64(rng);
    for (int i = 0; i < k->scale_bytes; i++) s[i] = (unsigned char)pn_rng_u64(rng);
    if (k->decode)
      k->decode(p, 1, v);
    else
      k->decode_apart(p, s, 1, v);
    right = true;
    for (int i = 0; i < k->block; i++) right = right && fabsf(v[i]) < 1;
  }
}

// A matrix of random bytes of the kind; affine scales and biases are near 0.01.
static inline pn_matrix random_matrix(pn_rng *rng, pn_dtype kind, int64_t rows, int64_t cols, int bits,
                                      int group, pn_dtype scales) {
  const pn_kind *k = pn_kind_of(kind);
  pn_matrix m = {
      .kind = kind, .rows = rows, .cols = cols, .bits = bits, .group = group, .scale_dtype = scales};
  m.row_bytes = (size_t)(kind == PN_AFFINE ? cols * bits / 8 : cols / k->block * k->bytes);
  size_t bytes = m.row_bytes * (size_t)rows;
  unsigned char *data =
      malloc(bytes + 64); // room behind, as a mapped file has in practice, is not relied upon
  for (size_t i = 0; i < bytes; i++) data[i] = (unsigned char)pn_rng_u64(rng);
  for (size_t i = 0; kind <= PN_BF16 && i < bytes; i += k->bytes) {
    float f = random_normal(rng);
    cpu_ops_scalar.store(kind, data + i, &f, 1);
  }
  const size_t n_blocks = k->block > 1 ? bytes / k->bytes : 0;
  unsigned char *apart = k->scale_bytes ? malloc(n_blocks * k->scale_bytes) : NULL;
  for (size_t i = 0; i < n_blocks; i++)
    random_block(rng, k, data + i * k->bytes, apart ? apart + i * k->scale_bytes : NULL);
  m.data = data;
  m.scales = apart;
  if (kind != PN_AFFINE) return m;
  size_t n = (size_t)(rows * cols / group), wide = pn_dtype_block_bytes(scales);
  char *s = malloc(n * wide), *b = malloc(n * wide);
  for (size_t i = 0; i < n; i++) {
    float x = 0.01f * random_normal(rng), y = 0.05f * random_normal(rng);
    cpu_ops_scalar.store(scales, s + i * wide, &x, 1);
    cpu_ops_scalar.store(scales, b + i * wide, &y, 1);
  }
  m.scales = s;
  m.biases = b;
  return m;
}

static inline void free_matrix(const pn_matrix *m) {
  free((void *)(uintptr_t)m->data);
  free((void *)(uintptr_t)m->scales);
  free((void *)(uintptr_t)m->biases);
}

#endif
