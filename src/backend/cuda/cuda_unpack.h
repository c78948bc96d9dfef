// Weights in host memory as the device wants them: codes of any kind in one of two forms, scales in f32.
#ifndef PN_BACKEND_CUDA_UNPACK_H
#define PN_BACKEND_CUDA_UNPACK_H

#include "backend/backend.h"

typedef struct cuda_unpacker cuda_unpacker; // threads that unpack

cuda_unpacker *cuda_unpacker_new(pn_error *e);
void cuda_unpacker_free(cuda_unpacker *u);

// A matrix that is being unpacked.
typedef struct cuda_unpacking {
  struct pn_weight *weight; // as the cpu backend reads it
  int block, n_blocks;      // columns of a block; 0: values without codes
  int shift;                // value = scale * (code + shift) + bias
  bool decoded;             // values without codes that are no f32, f16 or bf16
  bool biased, nibbles;     // nibbles: 8 columns in 4 bytes, byte i has column i and, above it, column i + 4
  size_t row_bytes;         // of codes
} cuda_unpacking;

// Checks the matrix. PN_ERR_UNSUPPORTED, PN_ERR_CORRUPT, PN_ERR_NOMEM.
bool cuda_unpack_begin(const pn_matrix *m, cuda_unpacking *out, pn_error *e);
void cuda_unpack_end(cuda_unpacking *p);
// All rows, their factors multiplied into the scales: codes [rows][row_bytes]; scales [rows][n_blocks], in
// pairs with the biases where there are any. *half: every one of them is an f16 number exactly.
void cuda_unpack_rows(cuda_unpacker *u, const cuda_unpacking *p, unsigned char *codes, float *scales,
                      bool *half);
// All rows of a decoded matrix as bf16 [rows][cols]: exact, since its values have few bits and powers of two
// as scales.
void cuda_unpack_values(cuda_unpacker *u, const cuda_unpacking *p, uint16_t *to);
// n numbers that are f16 exactly.
void cuda_unpack_half(cuda_unpacker *u, const float *from, uint16_t *to, int64_t n);

#endif
