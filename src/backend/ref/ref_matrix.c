// Matrices by the definition of their kinds: what is accepted, and a row as f32.
#include "backend/ref/ref_matrix.h"

#include "base/kind.h"

enum { MAX_COLS = 1 << 24 };

static bool check_affine(const pn_matrix *m, pn_error *e) {
  const bool bits =
      m->bits == 2 || m->bits == 3 || m->bits == 4 || m->bits == 5 || m->bits == 6 || m->bits == 8;
  const bool group = m->group == 32 || m->group == 64 || m->group == 128;
  if (!bits || !group)
    return pn_fail(e, PN_ERR_UNSUPPORTED,
                   "affine matrix of %d bits, group %d: bits may be 2, 3, 4, 5, 6, 8 and groups 32, 64, 128",
                   m->bits, m->group);
  if (m->scale_dtype != PN_F16 && m->scale_dtype != PN_BF16 && m->scale_dtype != PN_F32)
    return pn_fail(e, PN_ERR_UNSUPPORTED,
                   "affine matrix of %d bits, group %d: scales of type %s, expected F16, BF16 or F32",
                   m->bits, m->group, pn_dtype_name(m->scale_dtype));
  if (!m->scales || !m->biases)
    return pn_fail(e, PN_ERR_CORRUPT, "affine matrix of %d bits, group %d: %s missing", m->bits, m->group,
                   m->scales ? "biases" : "scales");
  return true;
}

bool ref_matrix_check(const pn_matrix *m, pn_error *e) {
  const pn_kind *k = pn_kind_of(m->kind);
  const bool affine = m->kind == PN_AFFINE;
  if (!affine && !k->decode && !k->decode_apart) {
    char names[160];
    return pn_fail(e, PN_ERR_UNSUPPORTED, "matrix of kind %d, %s: expected MLX's or %s", (int)m->kind,
                   k->name, pn_kind_names(names));
  }
  if (m->rows < 1 || m->cols < 1 || m->cols > MAX_COLS || m->rows > INT32_MAX)
    return pn_fail(e, PN_ERR_CORRUPT, "%s matrix of %lld x %lld: expected 1 to %d rows and 1 to %d columns",
                   k->name, (long long)m->rows, (long long)m->cols, INT32_MAX, MAX_COLS);
  if (affine && !check_affine(m, e)) return false;
  const int block = affine ? m->group : k->block;
  if (m->cols % block)
    return pn_fail(e, PN_ERR_CORRUPT, "%s matrix: %lld columns, expected a multiple of %d", k->name,
                   (long long)m->cols, block);
  if (!m->data) return pn_fail(e, PN_ERR_CORRUPT, "%s matrix without data", k->name);
  if (k->scale_bytes && !m->scales) return pn_fail(e, PN_ERR_CORRUPT, "%s matrix without scales", k->name);
  if (m->factors && (affine || !k->codes))
    return pn_fail(e, PN_ERR_UNSUPPORTED, "%s matrix with factors: expected none", k->name);
  if (m->factors && m->factor_rows < 1)
    return pn_fail(e, PN_ERR_CORRUPT, "%s matrix: factors of %lld rows each, expected 1 or more", k->name,
                   (long long)m->factor_rows);
  const size_t cols = (size_t)m->cols;
  const size_t row_bytes = affine ? cols * (size_t)m->bits / 8 : cols / k->block * k->bytes;
  if (m->row_bytes != row_bytes)
    return pn_fail(e, PN_ERR_CORRUPT, "%s matrix of %lld columns: rows of %zu bytes, expected %zu", k->name,
                   (long long)m->cols, m->row_bytes, row_bytes);
  return true;
}

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

// `bytes` behind p; nothing where there is nothing.
static const void *behind(const void *p, int64_t bytes) {
  return p ? (const unsigned char *)p + bytes : NULL;
}

pn_matrix ref_matrix_rows(const pn_matrix *m, int64_t first, int64_t n) {
  const pn_kind *k = pn_kind_of(m->kind);
  const int64_t scales = m->kind == PN_AFFINE
                             ? m->cols / m->group * (int64_t)pn_dtype_block_bytes(m->scale_dtype)
                             : k->scale_bytes * (m->cols / k->block);
  pn_matrix out = *m;
  out.rows = n;
  out.data = behind(m->data, first * (int64_t)m->row_bytes);
  out.scales = behind(m->scales, first * scales);
  out.biases = behind(m->biases, first * scales);
  if (m->factors) out.factors = behind(m->factors, first / m->factor_rows * 4);
  return out;
}

float ref_matrix_factor(const pn_matrix *m, int64_t row) {
  return m->factors ? scale_at(PN_F32, m->factors, row / m->factor_rows) : 1;
}

void ref_matrix_row(const pn_matrix *m, int64_t row, float *out) {
  const unsigned char *p = (const unsigned char *)m->data + (size_t)row * m->row_bytes;
  if (m->kind == PN_AFFINE) {
    affine_row(m, row, p, out);
    return;
  }
  const pn_kind *k = pn_kind_of(m->kind);
  const int64_t n = m->cols / k->block;
  if (k->decode)
    k->decode(p, n, out);
  else
    k->decode_apart(p, (const unsigned char *)m->scales + row * n * k->scale_bytes, n, out);
  const float factor = ref_matrix_factor(m, row);
  for (int64_t i = 0; m->factors && i < m->cols; i++) out[i] *= factor;
}
