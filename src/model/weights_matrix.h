// How the loader of a model's tensors finds them and reads a matrix of any stored kind. Inside model/ only.
#ifndef PN_MODEL_WEIGHTS_MATRIX_H
#define PN_MODEL_WEIGHTS_MATRIX_H

#include "model/model_internal.h"

typedef struct weights_loader {
  pn_model *m;
  pn_files *files;
  const pn_tensors *tensors;
  const pn_json *quantization; // MLX folders: config.json's object, else NULL
  bool gguf;
  int names;           // of a folder: ALONE, INSIDE or WRAPPED, see path_of in weights.c
  bool norms_less_one; // the weights of norms are what is to be added to 1
  pn_error *e;
} weights_loader;

// The shape that a matrix must have: [rows, cols], or [experts, rows, cols], which is opened as one matrix of
// experts * rows rows.
typedef struct weights_shape {
  int64_t rows, cols, experts; // experts 0: a single matrix
} weights_shape;

// The tensor "PATH.SUFFIX", or PATH where the suffix is empty; NULL: there is none.
const pn_tensor *weights_find(const weights_loader *l, const char *path, const char *suffix);
// Its dimensions, "7, 24", in out.
const char *weights_shape_text(const pn_tensor *t, char out[96]);
// The tensor PATH.weight, which exists, and what belongs to it, as they lie in the file. PN_ERR_CORRUPT: they
// don't fit the shape or each other; PN_ERR_UNSUPPORTED: a kind that no backend reads.
bool weights_matrix(const weights_loader *l, const char *path, const weights_shape *s, pn_matrix *out);

#endif
