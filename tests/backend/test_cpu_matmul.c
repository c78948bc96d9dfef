// Matrix products of the cpu backend: every kind and instruction set against a product in double precision,
// and bit for bit against the scalar kernels, for any number of rows and threads and both precisions of
// activations.
#include "backend/cpu/cpu_matmul.h"
#include "backend/ref/ref_matrix.h"
#include "base/kind.h"
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
// cmocka.h wants the headers above it
#include <cmocka.h>

static const char *const isas[] = {"scalar", "avx2", "avx2-vnni", "avx512", "neon"};
enum { N_ISAS = 5 };
static int planes; // of activations: 2 for int16, 1 for int8

// A matrix with its own memory, placed at odd 2-byte addresses and ending where the heap block ends, so that
// the sanitizer sees a read beyond the last row.
typedef struct sample {
  pn_matrix m;
  unsigned char *data, *scales, *biases;
  double *value; // [rows][cols], exact
  float *embed;  // [rows][cols]
} sample;

typedef enum flavour { RANDOM, EXTREME, ZERO_SCALES } flavour;

static float random_float(pn_rng *r) { return (float)(pn_rng_unit(r) * 2 - 1); }

// Bytes of type t holding f (rounded); returns the value that they mean.
static float put_float(pn_dtype t, unsigned char *p, float f) {
  uint16_t h = t == PN_BF16 ? pn_f32_to_bf16(f) : pn_f32_to_f16(f);
  memcpy(p, t == PN_F32 ? (const void *)&f : (const void *)&h, t == PN_F32 ? 4 : 2);
  return t == PN_F32 ? f : t == PN_BF16 ? pn_bf16_to_f32(h) : pn_f16_to_f32(h);
}

static unsigned char *odd_block(size_t n) {
  unsigned char *p = calloc(1, n + 2);
  assert_non_null(p);
  return p + 2;
}

static void put_bits(unsigned char *row, int64_t i, int bits, unsigned v) {
  for (int b = 0; b < bits; b++) {
    const int64_t at = i * bits + b;
    if (v >> b & 1) row[at / 8] |= (unsigned char)(1u << (at % 8));
  }
}

static unsigned code(pn_rng *r, flavour f, int bits) {
  const unsigned top = (1u << bits) - 1;
  return f == EXTREME ? (pn_rng_below(r, 16) ? top : 0) : (unsigned)pn_rng_below(r, top + 1);
}

static void fill_affine(sample *s, pn_rng *r, flavour f) {
  pn_matrix *m = &s->m;
  const int64_t groups = m->cols / m->group;
  const size_t size = pn_dtype_block_bytes(m->scale_dtype);
  m->row_bytes = (size_t)(m->cols * m->bits / 8);
  s->data = odd_block(m->row_bytes * (size_t)m->rows);
  s->scales = odd_block(size * (size_t)(groups * m->rows));
  s->biases = odd_block(size * (size_t)(groups * m->rows));
  for (int64_t i = 0; i < m->rows * m->cols; i++) {
    const int64_t row = i / m->cols, col = i % m->cols, g = row * groups + col / m->group;
    if (col % m->group == 0) {
      put_float(m->scale_dtype, s->scales + (size_t)g * size, f == ZERO_SCALES ? 0 : random_float(r) * 0.02f);
      put_float(m->scale_dtype, s->biases + (size_t)g * size, f == ZERO_SCALES ? 0 : random_float(r) * 0.2f);
    }
    float scale, bias;
    pn_floats_to_f32(m->scale_dtype, s->scales + (size_t)g * size, &scale, 1);
    pn_floats_to_f32(m->scale_dtype, s->biases + (size_t)g * size, &bias, 1);
    const unsigned q = code(r, f, m->bits);
    put_bits(s->data + (size_t)row * m->row_bytes, col, m->bits, q);
    s->value[i] = (double)q * (double)scale + (double)bias;
    s->embed[i] = (float)q * scale + bias;
  }
  m->scales = s->scales;
  m->biases = s->biases;
}

static void fill_blocks(sample *s, pn_rng *r, flavour f) {
  pn_matrix *m = &s->m;
  const bool wide = m->kind == PN_Q8_0, biased = m->kind == PN_Q4_1;
  const size_t step = pn_dtype_block_bytes(m->kind);
  m->row_bytes = (size_t)(m->cols / 32) * step;
  s->data = odd_block(m->row_bytes * (size_t)m->rows);
  for (int64_t i = 0; i < m->rows * m->cols; i += 32) {
    unsigned char *p = s->data + (size_t)(i / 32) * step;
    const float d = put_float(PN_F16, p, f == ZERO_SCALES ? 0 : random_float(r) * 0.02f);
    const float bias = biased ? put_float(PN_F16, p + 2, random_float(r) * 0.2f) : 0;
    p += biased ? 4 : 2;
    for (int k = 0; k < 32; k++) {
      const unsigned q = code(r, f, wide ? 8 : 4);
      if (wide)
        p[k] = (unsigned char)q;
      else
        p[k % 16] = (unsigned char)(p[k % 16] | q << (k / 16 * 4));
      const int v = wide ? (int)(int8_t)(unsigned char)q : m->kind == PN_Q4_0 ? (int)q - 8 : (int)q;
      s->value[i + k] = (double)v * (double)d + (double)bias;
      s->embed[i + k] = (float)v * d + bias;
    }
  }
}

static void decode(const pn_kind *k, const unsigned char *p, const unsigned char *s, int64_t n, float *out) {
  if (k->decode)
    k->decode(p, n, out);
  else
    k->decode_apart(p, s, n, out);
}

// Whether all values of a block (with the scales at s, where they lie apart) are numbers below 8.
static bool is_tame(const pn_kind *k, const unsigned char *p, const unsigned char *s) {
  float v[256];
  decode(k, p, s, 1, v);
  for (int i = 0; i < k->block; i++) {
    if (!(fabsf(v[i]) < 8)) return false;
  }
  return true;
}

// Blocks of any kind of the table: random bytes, or as many bytes of 255 as leave the values tame. The values
// are those of the kind's definition, which tests/base/test_kinds.py holds against other implementations.
static void fill_any(sample *s, pn_rng *r, flavour f) {
  const pn_kind *k = pn_kind_of(s->m.kind);
  const int64_t n = s->m.rows * s->m.cols / k->block;
  s->m.row_bytes = (size_t)(s->m.cols / k->block) * k->bytes;
  s->data = odd_block((size_t)n * k->bytes);
  if (k->scale_bytes) s->scales = odd_block((size_t)n * k->scale_bytes);
  for (int64_t b = 0; b < n && f != ZERO_SCALES; b++) {
    unsigned char *p = s->data + (size_t)b * k->bytes;
    unsigned char *at = s->scales ? s->scales + (size_t)b * k->scale_bytes : NULL;
    do {
      for (int i = 0; i < k->bytes; i++) p[i] = (unsigned char)pn_rng_u64(r);
      for (int i = 0; i < k->scale_bytes; i++) at[i] = (unsigned char)pn_rng_u64(r);
    } while (!is_tame(k, p, at));
    for (int i = 0; i < k->bytes && f == EXTREME; i++) {
      const unsigned char keep = p[i];
      p[i] = 255;
      if (!is_tame(k, p, at)) p[i] = keep;
    }
  }
  decode(k, s->data, s->scales, n, s->embed);
  s->m.scales = s->scales;
  for (int64_t i = 0; i < s->m.rows * s->m.cols; i++) s->value[i] = (double)s->embed[i];
}

static void fill_floats(sample *s, pn_rng *r) {
  const pn_dtype t = s->m.kind;
  const size_t size = pn_dtype_block_bytes(t);
  s->m.row_bytes = (size_t)s->m.cols * size;
  s->data = odd_block(s->m.row_bytes * (size_t)s->m.rows);
  for (int64_t i = 0; i < s->m.rows * s->m.cols; i++) {
    s->embed[i] = put_float(t, s->data + (size_t)i * size, random_float(r));
    s->value[i] = (double)s->embed[i];
  }
}

static void sample_init(sample *s, pn_matrix m, flavour f, uint64_t seed) {
  pn_rng r;
  pn_rng_seed(&r, seed);
  *s = (sample){.m = m};
  s->value = calloc((size_t)(m.rows * m.cols), sizeof *s->value);
  s->embed = calloc((size_t)(m.rows * m.cols), sizeof *s->embed);
  assert_non_null(s->value);
  assert_non_null(s->embed);
  if (m.kind == PN_AFFINE)
    fill_affine(s, &r, f);
  else if (m.kind == PN_Q4_0 || m.kind == PN_Q4_1 || m.kind == PN_Q8_0)
    fill_blocks(s, &r, f);
  else if (pn_kind_of(m.kind)->block > 1)
    fill_any(s, &r, f);
  else
    fill_floats(s, &r);
  s->m.data = s->data;
  for (int64_t i = 0; m.factors && i < m.rows * m.cols; i++) {
    const float factor = ((const float *)m.factors)[i / m.cols / m.factor_rows];
    s->value[i] *= (double)factor;
    s->embed[i] *= factor;
  }
}

static void sample_fini(sample *s) {
  free(s->data - 2);
  if (s->scales) free(s->scales - 2);
  if (s->biases) free(s->biases - 2);
  free(s->value);
  free(s->embed);
}

static int block_of(const pn_matrix *m) {
  if (m->kind == PN_AFFINE) return m->group < 64 ? m->group : 64;
  return pn_kind_of(m->kind)->group;
}

// x as the quantised blocks mean it, in double; x itself for float weights.
static void simulate(const pn_matrix *m, const float *x, double *out) {
  const int block = block_of(m);
  for (int64_t i = 0; i < m->cols; i++) out[i] = (double)x[i];
  for (int64_t b = 0; block && b < m->cols; b += block) {
    float amax = 0;
    for (int i = 0; i < block; i++) amax = fmaxf(amax, fabsf(x[b + i]));
    const float top = planes == 2 ? 32512.0f : 127.0f, inverse = top / amax, dx = amax / top;
    for (int i = 0; i < block; i++)
      out[b + i] = amax > 0 ? (double)dx * (double)nearbyintf(x[b + i] * inverse) : 0;
  }
}

// Products within a tight bound of the same with simulated codes, and a loose one of the exact.
static void check_close(const sample *s, const float *x, const float *y, int64_t y_stride, int n_rows) {
  const int64_t cols = s->m.cols;
  double *sim = calloc((size_t)cols, sizeof *sim);
  assert_non_null(sim);
  for (int r = 0; r < n_rows; r++) {
    simulate(&s->m, x + r * cols, sim);
    for (int64_t o = 0; o < s->m.rows; o++) {
      double want = 0, exact = 0, size = 1e-30, norm = 0;
      for (int64_t i = 0; i < cols; i++) {
        const double w = s->value[o * cols + i];
        want += w * sim[i];
        exact += w * (double)x[r * cols + i];
        size += fabs(w * sim[i]);
        norm += w * w;
      }
      const double got = (double)y[r * y_stride + o];
      if (!(fabs(got - want) <= 2e-6 * size * (block_of(&s->m) ? 2 : 1)))
        fail_msg("row %d output %lld: %.9g, expected %.9g (sum of sizes %.3g)", r, (long long)o, got, want,
                 size);
      // Rounding moves x_i by at most half a step of the largest input (8), like noise.
      if (!(fabs(got - exact) <= 6 * sqrt(norm) * 8 / (planes == 2 ? 65024 : 254) + 2e-6 * size * 2))
        fail_msg("row %d output %lld: %.9g, far from exact %.9g", r, (long long)o, got, exact);
    }
  }
  free(sim);
}

static float *random_rows(int n, int64_t cols, uint64_t seed) {
  pn_rng r;
  pn_rng_seed(&r, seed);
  float *x = calloc((size_t)(n * cols), sizeof *x);
  assert_non_null(x);
  for (int64_t i = 0; i < n * cols; i++) {
    const bool outlier = pn_rng_below(&r, 50) == 0, zero = (i % cols) / 64 % 5 == 3;
    x[i] = zero ? 0 : random_float(&r) * (outlier ? 8.0f : 1.0f);
  }
  return x;
}

static void must_open(pn_weight **w, const pn_matrix *m) {
  pn_error e;
  *w = cpu_matmul_weight_open(m, &e);
  if (!*w) fail_msg("%s", e.msg);
}

static float *run_one(const char *isa, int n_threads, const pn_matrix *m, const float *x, int n_rows,
                      int step) {
  pn_error e;
  pn_weight *w;
  must_open(&w, m);
  cpu_pool *pool = cpu_pool_new(n_threads, &e);
  assert_non_null(pool);
  cpu_matmul *s = cpu_matmul_new(isa, planes, pool, &e);
  assert_non_null(s);
  assert_true(cpu_matmul_reserve(s, step, m->cols, &e));
  const int64_t stride = m->rows + 3;
  float *y = malloc((size_t)(n_rows * stride) * sizeof *y);
  assert_non_null(y);
  for (int64_t i = 0; i < n_rows * stride; i++) y[i] = -12345.0f;
  for (int r = 0; r < n_rows; r += step) {
    const cpu_matmul_part part = {.w = w, .out = y + r * stride, .out_stride = stride};
    cpu_matmul_run(s, x + r * m->cols, m->cols, n_rows - r < step ? n_rows - r : step, &part, 1);
  }
  for (int r = 0; r < n_rows; r++) {
    for (int64_t i = m->rows; i < stride; i++) assert_true(y[r * stride + i] == -12345.0f);
  }
  cpu_matmul_free(s);
  cpu_pool_free(pool);
  cpu_matmul_weight_close(w);
  return y;
}

// Inputs whose codes meet every edge of a plane: the largest of both signs, halves of 256 and their
// neighbours.
static float *edge_rows(int n, int64_t cols) {
  static const float codes[] = {32512, -32512, 32511, 32383, 32384, -32384, -32385,
                                127,   128,    -128,  -129,  255,   384,    -384};
  float *x = calloc((size_t)(n * cols), sizeof *x);
  assert_non_null(x);
  for (int64_t i = 0; i < n * cols; i++) {
    const int64_t row = i / cols;
    x[i] = row == 0   ? 32512.0f
           : row == 1 ? -32512.0f
           : row == 2 ? 32384.0f
           : row == 3 ? -32384.0f
                      : codes[(i + row) % 14];
    if (i % 32 == 31) x[i] = i % 64 == 63 ? -32512.0f : 32512.0f; // a step of 1 in every block
    x[i] *= 0x1p-12f;
  }
  return x;
}

static void check_same(const char *what, const pn_matrix *m, const float *a, const float *b, int n_rows) {
  const int64_t stride = m->rows + 3;
  for (int r = 0; r < n_rows; r++) {
    for (int64_t i = 0; i < m->rows; i++) {
      if (memcmp(a + r * stride + i, b + r * stride + i, 4) != 0)
        fail_msg("%s: row %d output %lld: %.9g is not %.9g", what, r, (long long)i, (double)b[r * stride + i],
                 (double)a[r * stride + i]);
    }
  }
}

// Each five rows as a matrix of their own (experts lie so) hold what the whole has there.
static void check_slices(const sample *s) {
  float *row = malloc((size_t)s->m.cols * sizeof *row);
  assert_non_null(row);
  for (int64_t first = 0; first + 5 <= s->m.rows; first += 5) {
    const pn_matrix m = ref_matrix_rows(&s->m, first, 5);
    pn_error e = {0};
    if (!ref_matrix_check(&m, &e)) fail_msg("%s", e.msg);
    for (int64_t r = 0; r < m.rows; r++) {
      ref_matrix_row(&m, r, row);
      for (int64_t i = 0; i < m.cols; i++) assert_true(row[i] == s->embed[(first + r) * m.cols + i]);
    }
  }
  free(row);
}

// One matrix on all instruction sets, batch sizes and threads.
static void check_matrix(pn_matrix m, flavour f, uint64_t seed) {
  static const struct {
    int n_threads, step;
  } ways[] = {{1, 1}, {2, 1}, {1, 2}, {3, 3}, {1, 5}, {2, 8}, {1, 13}, {2, 29}};
  enum { N_ROWS = 29 };
  sample s;
  sample_init(&s, m, f, seed);
  float *x = random_rows(N_ROWS, m.cols, seed + 1);
  float *oracle = run_one("scalar", 1, &s.m, x, N_ROWS, 1);
  check_close(&s, x, oracle, m.rows + 3, N_ROWS);
  for (int i = 0; i < N_ISAS; i++) {
    if (!cpu_matmul_has(isas[i])) continue;
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
      char what[160];
      snprintf(what, sizeof what, "%s, %d planes, kind %d bits %d group %d %lldx%lld, %d threads, %d rows",
               isas[i], planes, (int)m.kind, m.bits, m.group, (long long)m.rows, (long long)m.cols,
               ways[k].n_threads, ways[k].step);
      float *y = run_one(isas[i], ways[k].n_threads, &s.m, x, N_ROWS, ways[k].step);
      check_same(what, &m, oracle, y, N_ROWS);
      free(y);
    }
  }
  check_slices(&s);
  float *row = calloc((size_t)m.cols, sizeof *row);
  assert_non_null(row);
  pn_weight *w;
  must_open(&w, &s.m);
  for (int64_t r = 0; r < m.rows; r++) {
    cpu_matmul_embed_row(w, r, 3.0f, row);
    for (int64_t i = 0; i < m.cols; i++) assert_true(row[i] == s.embed[r * m.cols + i] * 3.0f);
  }
  cpu_matmul_weight_close(w);
  free(row);
  free(oracle);
  free(x);
  sample_fini(&s);
}

static const int64_t row_counts[] = {1, 15, 16, 37};

static void affine_of_every_width(void **state) {
  (void)state;
  static const int widths[] = {2, 3, 4, 5, 6, 8}, groups[] = {32, 64, 128};
  static const pn_dtype types[] = {PN_F16, PN_BF16, PN_F32};
  static const int64_t counts[] = {1, 2, 3, 9, 17, 48}; // groups a row
  uint64_t seed = 1;
  for (int b = 0; b < 6; b++) {
    for (int g = 0; g < 3; g++) {
      for (int c = 0; c < 6; c++, seed++) {
        const pn_matrix m = {.kind = PN_AFFINE,
                             .rows = row_counts[seed % 4],
                             .cols = counts[c] * groups[g],
                             .bits = widths[b],
                             .group = groups[g],
                             .scale_dtype = types[seed % 3]};
        check_matrix(m, seed % 7 == 3 ? EXTREME : RANDOM, seed);
      }
    }
  }
}

static void affine_extremes(void **state) {
  (void)state;
  static const int widths[] = {4, 6, 8};
  for (int b = 0; b < 3; b++) {
    const pn_matrix m = {
        .kind = PN_AFFINE, .rows = 16, .cols = 320, .bits = widths[b], .group = 64, .scale_dtype = PN_BF16};
    check_matrix(m, EXTREME, 100);
    check_matrix(m, ZERO_SCALES, 101);
  }
}

static void blocks_of_every_kind(void **state) {
  (void)state;
  static const int64_t cols[] = {32, 64, 96, 160, 512, 544, 576, 1536, 256, 768, 1280};
  static const float factors[] = {-0.37f, 1, 0.1f, 3, 0, 2, 1.5f, 0.7f}; // of five rows each, of up to 37
  for (int k = 0; k < PN_OTHER; k++) {
    const pn_kind *kind = pn_kind_of((pn_dtype)k);
    const uint64_t n = kind->block <= 1 ? 0 : kind->block > 32 ? 11 : 8;
    for (uint64_t c = 0; c < n; c++) {
      if (cols[c] % kind->block) continue;
      pn_matrix m = {.kind = (pn_dtype)k, .rows = row_counts[c % 4], .cols = cols[c]};
      check_matrix(m, RANDOM, 200 + c);
      check_matrix(m, EXTREME, 300 + c);
      m.rows = row_counts[(c + 1) % 4];
      check_matrix(m, ZERO_SCALES, 400 + c);
      m.factors = factors, m.factor_rows = 5;
      if (c % 4 == 1 && kind->codes) check_matrix(m, RANDOM, 500 + c);
    }
  }
}

static void float_weights(void **state) {
  (void)state;
  static const int64_t cols[] = {1, 15, 16, 17, 31, 64, 130, 577};
  for (int k = PN_F32; k <= PN_BF16; k++) {
    for (uint64_t c = 0; c < 8; c++)
      check_matrix((pn_matrix){.kind = (pn_dtype)k, .rows = row_counts[c % 4], .cols = cols[c]}, RANDOM,
                   500 + c);
  }
}

// Every number of rows of x that one call may cut into panels, with rows of a weight that fill tiles and that
// leave one to 31 over, and odd numbers of blocks.
static void batches_of_every_size(void **state) {
  (void)state;
  enum { MOST = 70 };
  static const int64_t blocks[] = {1, 3, 5, 9}, counts[] = {49, 31, 33, 64, 17};
  uint64_t seed = 900;
  for (int kind = PN_F32; kind <= PN_AFFINE; kind++) {
    if (kind != PN_AFFINE && !pn_kind_of((pn_dtype)kind)->codes) continue;
    for (int bits = 4; bits <= (kind == PN_AFFINE ? 8 : 4); bits += 4, seed++) {
      const int64_t block = kind == PN_AFFINE ? 64 : pn_kind_of((pn_dtype)kind)->block;
      sample s;
      sample_init(&s,
                  (pn_matrix){.kind = (pn_dtype)kind,
                              .rows = counts[seed % 5],
                              .cols = block * blocks[block > 64 ? seed % 2 : seed % 4],
                              .bits = bits,
                              .group = 64,
                              .scale_dtype = PN_F16},
                  RANDOM, seed);
      float *x = random_rows(MOST, s.m.cols, seed);
      float *oracle = run_one("scalar", 1, &s.m, x, MOST, MOST);
      for (int i = 1; i < N_ISAS; i++) { // the first made the oracle
        if (!cpu_matmul_has(isas[i])) continue;
        for (int n = 1; n <= MOST; n++) {
          float *y = run_one(isas[i], 1 + n % 2, &s.m, x, n, n);
          check_same(isas[i], &s.m, oracle, y, n);
          free(y);
        }
      }
      free(oracle);
      free(x);
      sample_fini(&s);
    }
  }
}

// A call of parts in several forms gives what a call for each gives, also when there are more rows than were
// reserved.
static void parts_share_x(void **state) {
  (void)state;
  enum { N = 6, ROWS = 300, COLS = 128 };
  const pn_matrix shapes[N] = {
      {.kind = PN_AFFINE, .rows = 40, .cols = COLS, .bits = 4, .group = 64, .scale_dtype = PN_F16},
      {.kind = PN_Q8_0, .rows = 17, .cols = COLS},
      {.kind = PN_AFFINE, .rows = 5, .cols = COLS, .bits = 4, .group = 64, .scale_dtype = PN_BF16},
      {.kind = PN_F16, .rows = 33, .cols = COLS},
      {.kind = PN_Q4_1, .rows = 16, .cols = COLS},
      {.kind = PN_AFFINE, .rows = 3, .cols = COLS, .bits = 8, .group = 32, .scale_dtype = PN_F32}};
  sample s[N];
  pn_weight *w[N];
  cpu_matmul_part parts[N];
  pn_error e;
  for (int i = 0; i < N; i++) {
    sample_init(&s[i], shapes[i], RANDOM, 600 + (uint64_t)i);
    must_open(&w[i], &s[i].m);
    parts[i] =
        (cpu_matmul_part){w[i], calloc((size_t)(ROWS * (s[i].m.rows + 3)), sizeof(float)), s[i].m.rows + 3};
    assert_non_null(parts[i].out);
  }
  float *x = random_rows(ROWS, COLS, 77);
  cpu_pool *pool = cpu_pool_new(2, &e);
  for (int i = 0; i < N_ISAS; i++) {
    if (!cpu_matmul_has(isas[i])) continue;
    cpu_matmul *state_of = cpu_matmul_new(isas[i], planes, pool, &e);
    assert_non_null(state_of);
    assert_true(cpu_matmul_reserve(state_of, 7, 64, &e));
    assert_true(cpu_matmul_reserve(state_of, 70, COLS, &e));
    cpu_matmul_run(state_of, x, COLS, ROWS, parts, N);
    for (int k = 0; k < N; k++) {
      float *alone = run_one("scalar", 1, &s[k].m, x, ROWS, 100);
      check_same(isas[i], &s[k].m, alone, parts[k].out, ROWS);
      free(alone);
    }
    cpu_matmul_free(state_of);
  }
  cpu_pool_free(pool);
  for (int i = 0; i < N; i++) {
    free(parts[i].out);
    cpu_matmul_weight_close(w[i]);
    sample_fini(&s[i]);
  }
  free(x);
}

static bool is_matrix(int kind) {
  const pn_kind *k = pn_kind_of((pn_dtype)kind);
  return kind == PN_AFFINE || k->decode || k->decode_apart;
}

static void strange_inputs(void **state) {
  (void)state;
  static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-44f, -1e-40f, -0.0f};
  for (int kind = PN_F32; kind < PN_OTHER; kind++) {
    sample s;
    if (!is_matrix(kind)) continue;
    sample_init(
        &s,
        (pn_matrix){
            .kind = (pn_dtype)kind, .rows = 17, .cols = 256, .bits = 4, .group = 64, .scale_dtype = PN_F16},
        RANDOM, 700);
    float *x = random_rows(8, 256, 701);
    for (int r = 0; r < 8; r++) x[r * 256 + 70] = odd[r];
    for (int i = 0; i < 64; i++) x[5 * 256 + 64 + i] = 1e-44f;
    float *oracle = run_one("scalar", 1, &s.m, x, 8, 1);
    for (int i = 0; i < N_ISAS; i++) {
      if (!cpu_matmul_has(isas[i])) continue;
      for (int step = 1; step <= 8; step += 7) {
        float *y = run_one(isas[i], 2, &s.m, x, 8, step);
        for (int64_t k = 0; k < 8 * 20; k++) {
          if (k % 20 >= 17) continue;
          assert_true((oracle[k] != oracle[k]) == (y[k] != y[k]));
          if (!isnan(y[k])) assert_memory_equal(oracle + k, y + k, 4);
        }
        free(y);
      }
    }
    for (int k = 0; k < 17; k++) {
      assert_true(isnan(oracle[k]));
      assert_true(oracle[5 * 20 + k] == oracle[5 * 20 + k]);
      assert_true(oracle[7 * 20 + k] == oracle[7 * 20 + k]);
    }
    free(oracle);
    free(x);
    sample_fini(&s);
  }
}

static void refuse(pn_matrix m, pn_code want, const char *words) {
  pn_error e = {0};
  assert_null(cpu_matmul_weight_open(&m, &e));
  assert_int_equal(e.code, want);
  if (!strstr(e.msg, words)) fail_msg("'%s' lacks '%s'", e.msg, words);
}

static void refusals(void **state) {
  (void)state;
  static const unsigned char bytes[8192];
  const pn_matrix good = {.kind = PN_AFFINE,
                          .rows = 4,
                          .cols = 128,
                          .data = bytes,
                          .row_bytes = 64,
                          .scales = bytes,
                          .biases = bytes,
                          .scale_dtype = PN_F16,
                          .bits = 4,
                          .group = 64};
  pn_weight *w;
  must_open(&w, &good);
  cpu_matmul_weight_close(w);
  pn_matrix m = good;
  m.bits = 7;
  refuse(m, PN_ERR_UNSUPPORTED, "7 bits, group 64");
  m = good, m.group = 16;
  refuse(m, PN_ERR_UNSUPPORTED, "group 16");
  m = good, m.scale_dtype = PN_I8;
  refuse(m, PN_ERR_UNSUPPORTED, "I8");
  m = good, m.biases = NULL;
  refuse(m, PN_ERR_CORRUPT, "biases");
  m = good, m.data = NULL;
  refuse(m, PN_ERR_CORRUPT, "without data");
  m = good, m.cols = 96;
  refuse(m, PN_ERR_CORRUPT, "multiple of 64");
  m = good, m.row_bytes = 60;
  refuse(m, PN_ERR_CORRUPT, "expected 64");
  m = good, m.rows = 0;
  refuse(m, PN_ERR_CORRUPT, "0 x 128");
  m = good, m.kind = PN_OTHER;
  refuse(m, PN_ERR_UNSUPPORTED, "other");
  m = (pn_matrix){.kind = PN_Q8_0, .rows = 2, .cols = 48, .data = bytes, .row_bytes = 51};
  refuse(m, PN_ERR_CORRUPT, "multiple of 32");
  m = (pn_matrix){.kind = PN_MLX_MXFP4, .rows = 2, .cols = 64, .data = bytes, .row_bytes = 32};
  refuse(m, PN_ERR_CORRUPT, "without scales");
  pn_error e = {0};
  assert_null(cpu_matmul_new("sparc", 2, NULL, &e));
  assert_int_equal(e.code, PN_ERR_DEVICE);
  assert_true(cpu_matmul_has("scalar"));
}

// The largest codes of weights with the largest codes of x: nothing overflows on the way.
static void edges_of_planes(void **state) {
  (void)state;
  enum { ROWS = 16, COLS = 256 };
  static const int widths[] = {0, 4, 6, 8};
  float *x = edge_rows(ROWS, COLS);
  for (int kind = PN_F32; kind < PN_OTHER; kind++) {
    if (kind != PN_AFFINE && !pn_kind_of((pn_dtype)kind)->codes) continue;
    for (int b = 1; b < 4; b++) {
      sample s;
      const pn_matrix m = {.kind = (pn_dtype)kind,
                           .rows = 17,
                           .cols = COLS,
                           .bits = widths[b],
                           .group = 64,
                           .scale_dtype = PN_F32};
      sample_init(&s, m, EXTREME, 800 + (uint64_t)b);
      float *oracle = run_one("scalar", 1, &s.m, x, ROWS, 1);
      if (planes == 2) check_close(&s, x, oracle, m.rows + 3, ROWS); // int8 errs alike all over a row
      for (int i = 0; i < N_ISAS; i++) {
        if (!cpu_matmul_has(isas[i])) continue;
        for (int step = 1; step <= ROWS; step += ROWS - 1) {
          float *y = run_one(isas[i], 1, &s.m, x, ROWS, step);
          check_same(isas[i], &s.m, oracle, y, ROWS);
          free(y);
        }
      }
      free(oracle);
      sample_fini(&s);
    }
  }
  free(x);
}

static int with_int16(void **state) {
  (void)state;
  planes = 2;
  return 0;
}

static int with_int8(void **state) {
  (void)state;
  planes = 1;
  return 0;
}

// With an argument only what the pool's threads share: for the thread sanitizer, under which arithmetic is
// very slow.
int main(int argc, char **argv) {
  (void)argv;
  const struct CMUnitTest shared[] = {cmocka_unit_test(blocks_of_every_kind),
                                      cmocka_unit_test(parts_share_x)};
  if (argc > 1) return cmocka_run_group_tests_name("shared out", shared, with_int16, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(affine_of_every_width),
      cmocka_unit_test(affine_extremes),
      cmocka_unit_test(blocks_of_every_kind),
      cmocka_unit_test(float_weights),
      cmocka_unit_test(batches_of_every_size),
      cmocka_unit_test(parts_share_x),
      cmocka_unit_test(strange_inputs),
      cmocka_unit_test(edges_of_planes),
      cmocka_unit_test(refusals),
  };
  const int failed = cmocka_run_group_tests_name("int16 activations", tests, with_int16, NULL);
  return failed + cmocka_run_group_tests_name("int8 activations", tests, with_int8, NULL);
}
