// Taking a matrix into use: every claim is checked here, so that kernels can trust the numbers.
#include "backend/cpu/cpu_matmul_kernels.h"

#include <stdlib.h>

enum { MAX_COLS = 1 << 24 };

static const char *kind_name(pn_matrix_kind kind) {
  switch (kind) {
  case PN_MATRIX_F32: return "F32";
  case PN_MATRIX_F16: return "F16";
  case PN_MATRIX_BF16: return "BF16";
  case PN_MATRIX_AFFINE: return "affine";
  case PN_MATRIX_Q4_0: return "Q4_0";
  case PN_MATRIX_Q4_1: return "Q4_1";
  case PN_MATRIX_Q8_0: return "Q8_0";
  }
  return "unknown";
}

static bool affine_form(pn_weight *w, pn_error *e) {
  const pn_matrix *m = &w->m;
  const bool bits =
      m->bits == 2 || m->bits == 3 || m->bits == 4 || m->bits == 5 || m->bits == 6 || m->bits == 8;
  const bool group = m->group == 32 || m->group == 64 || m->group == 128;
  if (!bits || !group)
    return pn_fail(e, PN_ERR_UNSUPPORTED,
                   "affine matrix of %d bits, group %d: bits may be 2, 3, 4, 5, 6, 8 and groups 32, 64, 128",
                   m->bits, m->group);
  if (m->scale_dtype != PN_F16 && m->scale_dtype != PN_BF16 && m->scale_dtype != PN_F32)
    return pn_fail(e, PN_ERR_UNSUPPORTED,
                   "affine matrix of %d bits, group %d: scales of type %s, expected F16, BF16 "
                   "or F32",
                   m->bits, m->group, pn_dtype_name(m->scale_dtype));
  if (!m->scales || !m->biases)
    return pn_fail(e, PN_ERR_CORRUPT, "affine matrix of %d bits, group %d: %s missing", m->bits, m->group,
                   m->scales ? "biases" : "scales");
  w->block = m->group < 64 ? m->group : 64;
  w->per_group = m->group == 128 ? 2 : 1;
  return true;
}

// The kind's block and the bytes a row must have; m->cols is positive and below MAX_COLS.
static bool form(pn_weight *w, size_t *row_bytes, pn_error *e) {
  const size_t cols = (size_t)w->m.cols;
  w->per_group = 1;
  int unit = 1;
  switch (w->m.kind) {
  case PN_MATRIX_F32: *row_bytes = cols * 4; break;
  case PN_MATRIX_F16:
  case PN_MATRIX_BF16: *row_bytes = cols * 2; break;
  case PN_MATRIX_AFFINE:
    if (!affine_form(w, e)) return false;
    unit = w->m.group;
    *row_bytes = cols * (size_t)w->m.bits / 8;
    break;
  case PN_MATRIX_Q4_0:
  case PN_MATRIX_Q4_1:
  case PN_MATRIX_Q8_0:
    unit = w->block = 32;
    w->offset = w->m.kind == PN_MATRIX_Q4_0 ? 8 : w->m.kind == PN_MATRIX_Q8_0 ? 128 : 0;
    *row_bytes = cols / 32 * (w->m.kind == PN_MATRIX_Q8_0 ? 34 : w->m.kind == PN_MATRIX_Q4_1 ? 20 : 18);
    break;
  default: return pn_fail(e, PN_ERR_UNSUPPORTED, "matrix kind %d is unknown", (int)w->m.kind);
  }
  if (w->m.cols % unit)
    return pn_fail(e, PN_ERR_CORRUPT, "%s matrix: %lld columns, expected a multiple of %d",
                   kind_name(w->m.kind), (long long)w->m.cols, unit);
  w->n_blocks = w->block ? (int)(w->m.cols / w->block) : 0;
  return true;
}

pn_weight *cpu_matmul_weight_open(const pn_matrix *m, pn_error *e) {
  pn_weight w = {.m = *m};
  size_t row_bytes = 0;
  if (m->rows < 1 || m->cols < 1 || m->cols > MAX_COLS || m->rows > INT32_MAX) {
    pn_fail(e, PN_ERR_CORRUPT, "%s matrix of %lld x %lld: expected 1 to %d rows and 1 to %d columns",
            kind_name(m->kind), (long long)m->rows, (long long)m->cols, INT32_MAX, MAX_COLS);
    return NULL;
  }
  if (!form(&w, &row_bytes, e)) return NULL;
  if (!m->data) {
    pn_fail(e, PN_ERR_CORRUPT, "%s matrix without data", kind_name(m->kind));
    return NULL;
  }
  if (m->row_bytes != row_bytes) {
    pn_fail(e, PN_ERR_CORRUPT, "%s matrix of %lld columns: rows of %zu bytes, expected %zu",
            kind_name(m->kind), (long long)m->cols, m->row_bytes, row_bytes);
    return NULL;
  }
  pn_weight *kept = malloc(sizeof *kept);
  if (!kept) {
    pn_fail(e, PN_ERR_NOMEM, "no memory to describe a matrix");
    return NULL;
  }
  *kept = w;
  return kept;
}

void cpu_matmul_weight_close(pn_weight *w) { free(w); }

static float float_at(pn_dtype type, const void *p, size_t i) {
  float f;
  pn_floats_to_f32(type, (const unsigned char *)p + i * pn_dtype_block_bytes(type), &f, 1);
  return f;
}

static void embed_affine(const pn_weight *w, int64_t row, float *out) {
  const pn_matrix *m = &w->m;
  const unsigned char *p = (const unsigned char *)m->data + (size_t)row * m->row_bytes;
  const int64_t groups = m->cols / m->group;
  const unsigned mask = (1u << m->bits) - 1;
  for (int64_t g = 0; g < groups; g++) {
    const float s = float_at(m->scale_dtype, m->scales, (size_t)(row * groups + g));
    const float b = float_at(m->scale_dtype, m->biases, (size_t)(row * groups + g));
    for (int64_t i = g * m->group; i < (g + 1) * m->group; i++) {
      const size_t bit = (size_t)i * (size_t)m->bits, at = bit / 8;
      unsigned v = p[at];
      if (bit % 8 + (size_t)m->bits > 8) v |= (unsigned)p[at + 1] << 8;
      out[i] = (float)(v >> (bit % 8) & mask) * s + b;
    }
  }
}

static void embed_blocks(const pn_weight *w, int64_t row, float *out) {
  const pn_matrix *m = &w->m;
  const size_t step = m->kind == PN_MATRIX_Q8_0 ? 34 : m->kind == PN_MATRIX_Q4_1 ? 20 : 18;
  const unsigned char *p = (const unsigned char *)m->data + (size_t)row * m->row_bytes;
  for (int b = 0; b < w->n_blocks; b++, p += step, out += 32) {
    const float s = float_at(PN_F16, p, 0), bias = m->kind == PN_MATRIX_Q4_1 ? float_at(PN_F16, p, 1) : 0;
    const unsigned char *q = p + (m->kind == PN_MATRIX_Q4_1 ? 4 : 2);
    for (int i = 0; i < 32; i++) {
      int v = i < 16 ? q[i] & 15 : q[i & 15] >> 4;
      if (m->kind == PN_MATRIX_Q8_0) v = (int8_t)q[i];
      if (m->kind == PN_MATRIX_Q4_0) v -= 8;
      out[i] = (float)v * s + bias;
    }
  }
}

void cpu_matmul_embed_row(const pn_weight *w, int64_t row, float scale, float *out) {
  const unsigned char *p = (const unsigned char *)w->m.data + (size_t)row * w->m.row_bytes;
  switch (w->m.kind) {
  case PN_MATRIX_F32: pn_floats_to_f32(PN_F32, p, out, (size_t)w->m.cols); break;
  case PN_MATRIX_F16: pn_floats_to_f32(PN_F16, p, out, (size_t)w->m.cols); break;
  case PN_MATRIX_BF16: pn_floats_to_f32(PN_BF16, p, out, (size_t)w->m.cols); break;
  case PN_MATRIX_AFFINE: embed_affine(w, row, out); break;
  default: embed_blocks(w, row, out); break;
  }
  if (scale != 1.0f) {
    for (int64_t i = 0; i < w->m.cols; i++) out[i] *= scale;
  }
}
