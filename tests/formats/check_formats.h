// What must hold of every parse that succeeded, whatever the bytes were. NULL when it does, else what is
// wrong.
#ifndef PN_TESTS_CHECK_FORMATS_H
#define PN_TESTS_CHECK_FORMATS_H

#include "base/kind.h"
#include "formats/formats.h"

#include <stdint.h>

static inline bool check_inside(pn_str file, const void *p, uint64_t n) {
  uintptr_t begin = (uintptr_t)file.p, at = (uintptr_t)p;
  return at >= begin && at - begin <= file.n && n <= file.n - (at - begin);
}

// Every byte is read, so that a sanitizer sees a range that leaves its buffer.
static inline unsigned check_touch(const void *p, size_t n) {
  volatile unsigned sum = 0;
  for (size_t i = 0; i < n; i++) sum = sum + ((const unsigned char *)p)[i];
  return sum;
}

// The last blocks of a tensor are decoded, so that a sanitizer sees a kind that reads behind them.
static inline void check_decode(const pn_tensor *t) {
  const pn_kind *k = pn_kind_of(t->dtype);
  float values[2 * 256], scale[2 * 16], bias[2 * 16];
  uint8_t codes[2 * 256];
  if (!k->codes || t->n_bytes < 2u * k->bytes) return;
  const unsigned char *last = t->data + t->n_bytes - 2u * k->bytes;
  k->decode(last, 2, values);
  k->codes(last, 2, codes);
  k->scales(last, 2, scale, bias);
}

static inline const char *check_tensors(pn_str file, const pn_tensors *t) {
  for (size_t i = 0; i < t->n; i++) {
    const pn_tensor *x = &t->items[i];
    uint64_t n = 1, n_bytes;
    if (!check_inside(file, x->data, x->n_bytes)) return "a tensor lies outside the file";
    check_touch(x->data, x->n_bytes);
    check_decode(x);
    check_touch(x->name.p, x->name.n);
    if (x->n_dims < 0 || x->n_dims > PN_TENSOR_DIMS) return "a tensor has too many dimensions";
    for (int d = 0; d < x->n_dims; d++)
      if (__builtin_mul_overflow(n, x->shape[d], &n)) return "a tensor's elements overflow";
    if (!x->type_name || x->dtype > PN_OTHER) return "a tensor has no type";
    if (x->dtype != PN_OTHER && (!pn_dtype_bytes(x->dtype, n, &n_bytes) || n_bytes != x->n_bytes))
      return "a tensor's size is not that of its shape";
    if (pn_tensors_find(t, x->name) != x) return "a tensor is not found by its name";
  }
  return NULL;
}

static inline const char *check_gguf(pn_str file, const pn_gguf *g) {
  if (g->version != 2 && g->version != 3) return "an unknown version was accepted";
  if (g->alignment == 0 || (g->alignment & (g->alignment - 1))) return "the alignment is no power of two";
  for (size_t i = 0; i < g->n_values; i++) {
    const pn_gguf_value *v = &g->values[i];
    int64_t n;
    double d;
    if (!check_inside(file, v->key.p, v->key.n)) return "a key lies outside the file";
    if (v->type == PN_GGUF_ARRAY || v->type > PN_GGUF_F64) return "a value has no element type";
    if (!v->is_array && v->n != 1) return "a scalar has not one element";
    for (uint64_t k = 0; k < v->n; k++) {
      pn_str s = pn_gguf_str(v, k);
      if (v->type == PN_GGUF_STR && !check_inside(file, s.p, s.n)) return "a string lies outside the file";
      check_touch(s.p, s.n);
      if (pn_gguf_num(v, k, &d) == (v->type == PN_GGUF_STR)) return "a number is not read as one";
      (void)pn_gguf_int(v, k, &n);
    }
    if (pn_gguf_num(v, v->n, &d)) return "an element past the end was read";
  }
  return check_tensors(file, &g->tensors);
}

#endif
