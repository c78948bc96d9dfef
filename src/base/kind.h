// One table of the kinds of stored numbers: their names and sizes, and how those that a matrix may have are
// read.
#ifndef PN_BASE_KIND_H
#define PN_BASE_KIND_H

#include "base/dtype.h"

// Bytes of a block of 32, for the kinds that have kernels of their own.
enum {
  PN_Q4_0_BYTES = 18,
  PN_Q4_1_BYTES = 20,
  PN_Q8_0_BYTES = 34,
  PN_Q5_0_BYTES = 22,
  PN_Q5_1_BYTES = 24,
  PN_Q4_K_BYTES = 144, // of 256
  PN_Q5_K_BYTES = 176,
  PN_Q6_K_BYTES = 210
};

// The functions read n blocks that follow each other at p, at any address, and nothing behind them. They are
// NULL for kinds that no matrix may have; `codes` and `scales` also for floats. A kind that keeps its scales
// in an array of their own (scale_bytes) has `decode_apart` in place of `decode`.
typedef struct pn_kind {
  const char *name;
  int gguf;              // the type's number in GGUF files, -1: it has none
  uint16_t block, bytes; // elements and bytes of a block; 1 element for plain types; 0: not fixed
  uint8_t bits;          // of a code; 0: values are stored as they are
  uint8_t offset;        // value = scale * (code - offset) + bias
  uint8_t group;         // columns that share a scale (and a bias): 16 or 32; 0: not fixed, or no codes
  bool biased;
  uint8_t scale_bytes; // of the scales of a block, where they lie in an array of their own; else 0
  // out[0 .. n * block) = the values, each product and sum rounded to f32: the definition of the kind.
  void (*decode)(const unsigned char *p, int64_t n, float *out);
  // The same from n blocks at p and their n * scale_bytes bytes at s.
  void (*decode_apart)(const unsigned char *p, const unsigned char *s, int64_t n, float *out);
  // The codes as unsigned bytes in ascending order of the columns.
  void (*codes)(const unsigned char *p, int64_t n, uint8_t *codes);
  // The scale and the bias of each group. A kind without biases leaves `bias` alone. Where scales lie apart,
  // p is the place of theirs.
  void (*scales)(const unsigned char *p, int64_t n, float *scale, float *bias);
} pn_kind;

// The row of t, that of PN_OTHER for what is no type. Never NULL; any thread.
const pn_kind *pn_kind_of(pn_dtype t);
// The type with this number in GGUF files; PN_OTHER when the table has none.
pn_dtype pn_kind_of_gguf(uint32_t number);
// Writes the names of the kinds that a tensor may have to be taken as a matrix, "F32, F16, ...", and returns
// `out`.
const char *pn_kind_names(char out[160]);

#endif
