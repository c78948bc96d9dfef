#include "backend/cpu/cpu_ref_matrix.h"

#include <string.h>

static const char *kind_name(pn_matrix_kind k) {
  static const char *const names[] = {"F32", "F16", "BF16", "affine", "Q4_0", "Q4_1", "Q8_0"};
  return (size_t)k < sizeof names / sizeof names[0] ? names[k] : "unknown";
}

static bool check_affine(const pn_matrix *m, pn_error *e) {
  bool bits = m->bits == 2 || m->bits == 3 || m->bits == 4 || m->bits == 5 || m->bits == 6 || m->bits == 8;
  bool group = m->group == 32 || m->group == 64 || m->group == 128;
  if (!bits || !group)
    return pn_fail(
        e, PN_ERR_UNSUPPORTED,
        "affine weights of %d bits in groups of %d: expected 2, 3, 4, 5, 6 or 8 bits and groups of 32, "
        "64 or 128",
        m->bits, m->group);
  if (m->scale_dtype != PN_F16 && m->scale_dtype != PN_BF16 && m->scale_dtype != PN_F32)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "affine weights with scales of %s: expected F16, BF16 or F32",
                   pn_dtype_name(m->scale_dtype));
  if (m->cols % m->group)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "affine weights: %lld columns are no multiple of the group of %d",
                   (long long)m->cols, m->group);
  if (!m->scales || !m->biases) return pn_fail(e, PN_ERR_INTERNAL, "affine weights without scales or biases");
  return true;
}

static uint64_t row_bytes_of(const pn_matrix *m) {
  uint64_t n = (uint64_t)m->cols;
  switch (m->kind) {
  case PN_MATRIX_F32: return 4 * n;
  case PN_MATRIX_F16:
  case PN_MATRIX_BF16: return 2 * n;
  case PN_MATRIX_AFFINE: return n * (uint64_t)m->bits / 8;
  case PN_MATRIX_Q4_0: return n / 32 * 18;
  case PN_MATRIX_Q4_1: return n / 32 * 20;
  case PN_MATRIX_Q8_0: return n / 32 * 34;
  }
  return 0;
}

bool cpu_ref_matrix_check(const pn_matrix *m, pn_error *e) {
  if (m->rows < 1 || m->cols < 1 || m->cols > INT32_MAX || m->rows > INT32_MAX || !m->data)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "a matrix of %lld rows and %lld columns", (long long)m->rows,
                   (long long)m->cols);
  bool block = m->kind == PN_MATRIX_Q4_0 || m->kind == PN_MATRIX_Q4_1 || m->kind == PN_MATRIX_Q8_0;
  if (block && m->cols % 32)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "%s weights: %lld columns are no multiple of 32",
                   kind_name(m->kind), (long long)m->cols);
  if (m->kind == PN_MATRIX_AFFINE && !check_affine(m, e)) return false;
  uint64_t need = row_bytes_of(m);
  if (need == 0) return pn_fail(e, PN_ERR_UNSUPPORTED, "weights of the unknown kind %d", (int)m->kind);
  if (m->row_bytes < need)
    return pn_fail(e, PN_ERR_CORRUPT, "%s weights of %lld columns: expected %llu bytes a row, found %zu",
                   kind_name(m->kind), (long long)m->cols, (unsigned long long)need, m->row_bytes);
  return true;
}

static float f16_at(const unsigned char *p) { return pn_f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

static float scale_at(pn_dtype t, const void *base, int64_t i) {
  float f;
  pn_floats_to_f32(t, (const char *)base + (size_t)i * pn_dtype_block_bytes(t), &f, 1);
  return f;
}

// Element i of a little-endian bit stream of `bits` wide unsigned numbers; one may cross a byte border.
static unsigned bits_at(const unsigned char *p, int64_t i, int bits) {
  int64_t at = i * bits;
  unsigned v = p[at / 8];
  if (at % 8 + bits > 8) v |= (unsigned)p[at / 8 + 1] << 8;
  return v >> (at % 8) & ((1u << bits) - 1u);
}

static void affine_row(const pn_matrix *m, int64_t row, const unsigned char *p, float *out) {
  int64_t groups = m->cols / m->group;
  for (int64_t g = 0; g < groups; g++) {
    float scale = scale_at(m->scale_dtype, m->scales, row * groups + g);
    float bias = scale_at(m->scale_dtype, m->biases, row * groups + g);
    for (int64_t i = g * m->group; i < (g + 1) * m->group; i++) {
      float product = (float)bits_at(p, i, m->bits) * scale;
      out[i] = product + bias;
    }
  }
}

// Element i of the block's 32: the low nibbles come first.
static float nibble(const unsigned char *q, int i) { return (float)(i < 16 ? q[i] & 15 : q[i - 16] >> 4); }

static void block_row(const pn_matrix *m, const unsigned char *p, float *out) {
  size_t block_bytes = m->kind == PN_MATRIX_Q4_0 ? 18 : m->kind == PN_MATRIX_Q4_1 ? 20 : 34;
  for (int64_t b = 0; b < m->cols / 32; b++, p += block_bytes) {
    float d = f16_at(p);
    for (int i = 0; i < 32; i++) {
      float v = 0;
      if (m->kind == PN_MATRIX_Q4_0)
        v = (nibble(p + 2, i) - 8) * d;
      else if (m->kind == PN_MATRIX_Q4_1)
        v = nibble(p + 4, i) * d + f16_at(p + 2);
      else
        v = (float)(int8_t)p[2 + i] * d;
      out[b * 32 + i] = v;
    }
  }
}

void cpu_ref_matrix_row(const pn_matrix *m, int64_t row, float *out) {
  const unsigned char *p = (const unsigned char *)m->data + (size_t)row * m->row_bytes;
  switch (m->kind) {
  case PN_MATRIX_F32: pn_floats_to_f32(PN_F32, p, out, (size_t)m->cols); break;
  case PN_MATRIX_F16: pn_floats_to_f32(PN_F16, p, out, (size_t)m->cols); break;
  case PN_MATRIX_BF16: pn_floats_to_f32(PN_BF16, p, out, (size_t)m->cols); break;
  case PN_MATRIX_AFFINE: affine_row(m, row, p, out); break;
  case PN_MATRIX_Q4_0:
  case PN_MATRIX_Q4_1:
  case PN_MATRIX_Q8_0: block_row(m, p, out); break;
  }
}
