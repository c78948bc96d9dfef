// Files built in memory for the tests of formats/.
#ifndef PN_TESTS_BUILD_FILES_H
#define PN_TESTS_BUILD_FILES_H

#include "base/str.h"
#include "formats/formats.h"

#include <stdlib.h>

static inline void build_u32(pn_buf *b, uint32_t v) {
  for (int i = 0; i < 4; i++) pn_buf_char(b, (char)(v >> (8 * i) & 0xFF));
}
static inline void build_u64(pn_buf *b, uint64_t v) {
  build_u32(b, (uint32_t)v);
  build_u32(b, (uint32_t)(v >> 32));
}
static inline void build_str(pn_buf *b, const char *z) {
  build_u64(b, strlen(z));
  pn_buf_z(b, z);
}
static inline void build_zeros(pn_buf *b, size_t n) {
  for (size_t i = 0; i < n; i++) pn_buf_char(b, 0);
}

// A safetensors file with this header and n_data bytes behind it.
static inline void build_safetensors(pn_buf *b, const char *header, size_t n_data) {
  build_str(b, header);
  for (size_t i = 0; i < n_data; i++) pn_buf_char(b, (char)i);
}

static inline void build_gguf_start(pn_buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_values) {
  pn_buf_z(b, "GGUF");
  build_u32(b, version);
  build_u64(b, n_tensors);
  build_u64(b, n_values);
}
static inline void build_key(pn_buf *b, const char *key, uint32_t type) {
  build_str(b, key);
  build_u32(b, type);
}
static inline void build_array(pn_buf *b, const char *key, uint32_t type, uint64_t n) {
  build_key(b, key, PN_GGUF_ARRAY);
  build_u32(b, type);
  build_u64(b, n);
}
// A tensor of one or two dimensions (rows 0: one), dims in the file's order.
static inline void build_info(pn_buf *b, const char *name, uint64_t row, uint64_t rows, uint32_t type,
                              uint64_t at) {
  build_str(b, name);
  build_u32(b, rows ? 2 : 1);
  build_u64(b, row);
  if (rows) build_u64(b, rows);
  build_u32(b, type);
  build_u64(b, at);
}
static inline void build_align(pn_buf *b, size_t alignment) {
  while (b->n % alignment) pn_buf_char(b, 0);
}

// Heap copy of exactly n bytes, so that a sanitizer sees every overread. free() it.
static inline char *build_exact(const char *p, size_t n) {
  char *copy = malloc(n ? n : 1);
  if (!copy) abort();
  if (n) memcpy(copy, p, n);
  return n ? copy : (free(copy), NULL);
}

#endif
