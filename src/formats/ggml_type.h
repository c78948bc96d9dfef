// The numbers of tensor types in GGUF files. Inside formats/ only.
#ifndef PN_FORMATS_GGML_TYPE_H
#define PN_FORMATS_GGML_TYPE_H

#include "base/dtype.h"

typedef struct ggml_type {
  const char *name;
  pn_dtype dtype; // PN_OTHER: known by name and size only
  uint16_t block; // elements a block; 0: withdrawn from the format, its size isn't kept
  uint16_t bytes; // bytes a block
} ggml_type;

// The type with this number; its name is NULL when the format has none. Any thread.
ggml_type ggml_type_of(uint32_t number);

#endif
