// The KV's types apart from attention's arithmetic: what they cost, what they round to, copies and discarded
// pages.
#include "../backend_options.h"
#include "backend/backend.h"
#include "backend/cpu/cpu_hadamard.h"
#include "base/rng.h"
#include "one_op.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

static const char *const backends[] = {"ref", "cpu"};

static pn_backend *open_backend(const char *name) {
  pn_backend *b = open_test_backend(name, 2, NULL, NULL, NULL);
  assert_non_null(b);
  return b;
}

static void names(void **state) {
  (void)state;
  for (int t = 0; t < PN_KV_N_TYPES; t++) {
    pn_kv_type found = PN_KV_N_TYPES;
    assert_true(pn_kv_type_of(pn_kv_type_name((pn_kv_type)t), &found));
    assert_int_equal(found, t);
  }
  pn_kv_type found;
  assert_false(pn_kv_type_of("int5", &found));
  assert_string_equal(pn_kv_type_name(PN_KV_N_TYPES), "unknown");
}

static pn_backend *costing; // cpu

static uint64_t token_bytes(int dim, int page_tokens, pn_kv_type t) {
  uint64_t page = costing->ops->kv_bytes(costing, &(pn_kv_shape){1, 1, dim, page_tokens, 1, t, 0});
  return (page + (uint64_t)page_tokens - 1) / (uint64_t)page_tokens;
}

static uint64_t all_bytes(const pn_kv_shape *s) { return costing->ops->kv_bytes(costing, s); }

static void costs(void **state) {
  (void)state;
  costing = open_backend("cpu");
  assert_int_equal(token_bytes(64, 32, PN_KV_F32), 512);
  assert_int_equal(token_bytes(64, 32, PN_KV_F16), 256);
  assert_int_equal(token_bytes(64, 32, PN_KV_BF16), 256);
  assert_int_equal(token_bytes(64, 32, PN_KV_INT8), 128 + 8);     // two scales
  assert_int_equal(token_bytes(33, 32, PN_KV_INT8), 33 + 48 + 8); // V's row is padded to 16 elements
  assert_int_equal(token_bytes(64, 32, PN_KV_INT4), 48 + 32 + 8); // 6 bits, 4 bits, two scales and minima
  assert_int_equal(token_bytes(33, 32, PN_KV_INT4), 27 + 32 + 8); // K to 4 dimensions, V to 32
  // A page of 5 tokens has columns of 16: K 16 * 64, V 5 * 64, scales 2 * 64; rounded up a token.
  assert_int_equal(token_bytes(64, 5, PN_KV_INT8), (16 * 64 + 5 * 64 + 2 * 64 + 4) / 5);
  for (int t = 0; t < PN_KV_N_TYPES; t++) {
    pn_kv_shape s = {30, 3, 64, 32, 100, (pn_kv_type)t, 0};
    assert_true(all_bytes(&s) == 3200 * 90 * token_bytes(64, 32, (pn_kv_type)t));
    pn_kv_shape none = s, huge = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX, (pn_kv_type)t, 0};
    none.head_dim = 0;
    assert_true(all_bytes(&none) == 0 && all_bytes(&huge) == UINT64_MAX);
  }
  pn_backend_close(costing);
}

enum { MAX_DIM = 256 };

// What v reads as after being stored: the answer of the only position, whose weight is 1.
static void stored(pn_backend *b, pn_kv_type type, int dim, const float *values, float *out) {
  pn_error e = {0};
  pn_kv *kv = b->ops->kv_open(b, &(pn_kv_shape){1, 1, dim, 32, 1, type, 0}, &e);
  assert_non_null(kv);
  int32_t zero = 0;
  const int32_t *pages = &zero;
  const pn_batch batch = {1, 1, &zero, &zero, &zero, 1, &(pn_kv_rows){kv, &zero, &pages, NULL}, 0, NULL};
  float v[MAX_DIM];
  memcpy(v, values, (size_t)dim * sizeof *v);
  run_kv_write(b, &batch, 0, v, v, dim);
  run_attention_op(b, &batch, (pn_attention){0, 0, 1, 1, dim, 1, 0}, v, out);
  b->ops->kv_close(b, kv);
}

static void int8_rounds_to_even(void **state) {
  (void)state;
  // scale 2: the codes are halves of these.
  static const float x[] = {254, -254, 1, 3, -1, -3, 5, 2.9f, 3.1f, 0, -0.0f, 100};
  static const float want[] = {254, -254, 0, 4, 0, -4, 4, 2, 4, 0, 0, 100};
  static const float tiny[] = {1e-44f, -3e-45f, 0}, zeros[3] = {0};
  float out[12];
  for (int k = 0; k < 2; k++) {
    pn_backend *b = open_backend(backends[k]);
    stored(b, PN_KV_INT8, 12, x, out);
    for (int i = 0; i < 12; i++) assert_true(out[i] == want[i]);
    stored(b, PN_KV_INT8, 3, zeros, out);
    for (int i = 0; i < 3; i++) assert_true(out[i] == 0);
    stored(b, PN_KV_INT8, 3, tiny, out);
    for (int i = 0; i < 3; i++) assert_true(fabsf(out[i]) <= 1e-43f);
    pn_backend_close(b);
  }
}

static float normal(pn_rng *rng) {
  double u = pn_rng_unit(rng) + 1e-12, v = pn_rng_unit(rng);
  return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

// The transform against its definition, and there and back again.
static void rotation(void **state) {
  (void)state;
  static const int dims[][2] = {{1, 1},   {2, 2},   {12, 4},    {33, 1},   {64, 64},
                                {80, 16}, {96, 32}, {128, 128}, {256, 256}};
  pn_rng rng;
  pn_rng_seed(&rng, 4);
  for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
    int n = dims[d][0], block = dims[d][1];
    float x[MAX_DIM], y[MAX_DIM];
    assert_int_equal(cpu_hadamard_block(n), block);
    for (int i = 0; i < n; i++) y[i] = x[i] = normal(&rng);
    cpu_hadamard(y, n);
    for (int i = 0; i < n; i++) {
      double want = 0;
      int at = i / block * block;
      for (int k = 0; k < block; k++) {
        int sign = 1;
        for (int both = (i - at) & k; both; both &= both - 1) sign = -sign;
        want += sign * (double)x[at + k];
      }
      assert_true(fabs((double)y[i] - want / sqrt(block)) < 1e-5);
    }
    cpu_hadamard(y, n);
    for (int i = 0; i < n; i++) assert_true(fabsf(y[i] - x[i]) < 1e-5f);
  }
}

// One large element costs the others nothing but its share of the range: without the rotation they would all
// vanish.
static void int4_bears_outliers(void **state) {
  (void)state;
  for (int k = 0; k < 2; k++) {
    pn_backend *b = open_backend(backends[k]);
    float x[64], out[64];
    double error = 0;
    for (int i = 0; i < 64; i++) x[i] = i % 2 ? 1 : -1;
    x[17] = 30;
    stored(b, PN_KV_INT4, 64, x, out);
    for (int i = 0; i < 64; i++) error += pow((double)out[i] - (double)x[i], 2) / 64;
    assert_true(sqrt(error) < 0.5);
    pn_backend_close(b);
  }
}

// f16 holds no scale of these, so that they must not pass for numbers.
static void int4_overflows_to_nan(void **state) {
  (void)state;
  for (int k = 0; k < 2; k++) {
    pn_backend *b = open_backend(backends[k]);
    float x[32], out[32];
    for (int i = 0; i < 32; i++) x[i] = i % 3 ? 1e30f : -2e30f;
    stored(b, PN_KV_INT4, 32, x, out);
    for (int i = 0; i < 32; i++) assert_true(isnan(out[i]));
    pn_backend_close(b);
  }
}

static void int4_head_dim_is_limited(void **state) {
  (void)state;
  for (int k = 0; k < 2; k++) {
    pn_backend *b = open_backend(backends[k]);
    pn_error e = {0};
    assert_null(b->ops->kv_open(b, &(pn_kv_shape){1, 1, 8192, 32, 1, PN_KV_INT4, 0}, &e));
    assert_int_equal(e.code, PN_ERR_UNSUPPORTED);
    pn_backend_close(b);
  }
}

// Relative distances of normal vectors from what is stored of them.
static void precision(void **state) {
  (void)state;
  static const struct {
    pn_kv_type type;
    double most;
  } cases[] = {
      {PN_KV_F32, 1e-7}, {PN_KV_F16, 4e-4}, {PN_KV_BF16, 3e-3}, {PN_KV_INT8, 0.01}, {PN_KV_INT4, 0.12}};
  static const int dims[] = {1, 16, 33, 64, 80, 96, 128, 256};
  pn_rng rng;
  pn_rng_seed(&rng, 3);
  for (int k = 0; k < 2; k++) {
    pn_backend *b = open_backend(backends[k]);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
      for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        float x[MAX_DIM], out[MAX_DIM];
        double error = 0, norm = 0;
        for (int i = 0; i < dims[d]; i++) x[i] = normal(&rng);
        stored(b, cases[c].type, dims[d], x, out);
        for (int i = 0; i < dims[d]; i++) {
          error += pow((double)out[i] - (double)x[i], 2);
          norm += pow((double)x[i], 2);
        }
        assert_true(sqrt(error / norm) <= cases[c].most);
      }
    pn_backend_close(b);
  }
}

// A sequence of `n` tokens at pages[], and what its last row sees of layer `layer`.
enum { LAYERS = 2, HEADS = 2, DIM = 96, PAGE = 32, TOKENS = 70, PAGES = 40, WIDTH = HEADS * DIM };

typedef struct sequence {
  pn_backend *b;
  pn_kv *kv;
  int32_t pages[3];
  float *k, *v; // [TOKENS][WIDTH]
} sequence;

static pn_batch rows_of(const sequence *s, int first, int n) {
  static pn_kv_rows places;
  static int32_t zeros[TOKENS], pos[TOKENS], slot[TOKENS];
  static const int32_t *pages;
  pages = s->pages;
  for (int r = 0; r < n; r++) {
    pos[r] = first + r;
    slot[r] = s->pages[pos[r] / PAGE] * PAGE + pos[r] % PAGE;
  }
  places = (pn_kv_rows){s->kv, slot, &pages, NULL};
  return (pn_batch){n, 1, zeros, zeros, pos, 1, &places, 0, NULL};
}

static void write_rows(sequence *s, int first, int n) {
  const pn_batch batch = rows_of(s, first, n);
  for (int layer = 0; layer < LAYERS; layer++) // the other layer gets them the other way round
    run_kv_write(s->b, &batch, layer, (layer ? s->v : s->k) + first * WIDTH,
                 (layer ? s->k : s->v) + first * WIDTH, WIDTH);
}

static void read_row(sequence *s, int row, float *out) {
  const pn_batch batch = rows_of(s, row, 1);
  for (int layer = 0; layer < LAYERS; layer++)
    run_attention_op(s->b, &batch, (pn_attention){0, layer, HEADS, HEADS, DIM, 0.1f, 0}, s->k + row * WIDTH,
                     out + layer * WIDTH);
}

static void open_sequence(sequence *s, const char *backend, pn_kv_type type) {
  pn_error e = {0};
  pn_rng rng;
  pn_rng_seed(&rng, 5);
  s->b = open_backend(backend);
  s->kv = s->b->ops->kv_open(s->b, &(pn_kv_shape){LAYERS, HEADS, DIM, PAGE, PAGES, type, 0}, &e);
  assert_non_null(s->kv);
  s->k = malloc(TOKENS * WIDTH * sizeof *s->k);
  s->v = malloc(TOKENS * WIDTH * sizeof *s->v);
  assert_true(s->k && s->v);
  for (int i = 0; i < TOKENS * WIDTH; i++) {
    s->k[i] = normal(&rng);
    s->v[i] = normal(&rng);
  }
}

static void close_sequence(sequence *s) {
  s->b->ops->kv_close(s->b, s->kv);
  pn_backend_close(s->b);
  free(s->k);
  free(s->v);
}

// A copied page is the same page, and goes on by itself: writing behind the copy leaves the original alone.
static void copies(void **state) {
  (void)state;
  for (int k = 0; k < 2; k++)
    for (int t = 0; t < PN_KV_N_TYPES; t++) {
      sequence s = {.pages = {3, 0, 39}};
      float want[LAYERS * WIDTH], early[LAYERS * WIDTH], got[LAYERS * WIDTH];
      pn_error e = {0};
      open_sequence(&s, backends[k], (pn_kv_type)t);
      write_rows(&s, 0, TOKENS);
      read_row(&s, TOKENS - 1, want);
      read_row(&s, TOKENS - 3, early);
      assert_true(s.b->ops->kv_copy(s.b, s.kv, 39, 17, &e));
      assert_true(s.b->ops->kv_copy(s.b, s.kv, 3, 38, &e));
      assert_true(s.b->ops->kv_copy(s.b, s.kv, 38, 38, &e));
      sequence other = s;
      other.pages[0] = 38, other.pages[2] = 17;
      read_row(&other, TOKENS - 1, got);
      assert_memory_equal(got, want, sizeof want);
      // The copy's last two tokens become others; those before them still read the same.
      float *tail = other.k + (TOKENS - 2) * WIDTH, old[2 * WIDTH];
      memcpy(old, tail, sizeof old);
      for (int i = 0; i < 2 * WIDTH; i++) tail[i] = -3 * tail[i] + 1;
      write_rows(&other, TOKENS - 2, 2);
      read_row(&other, TOKENS - 3, got);
      assert_memory_equal(got, early, sizeof early);
      memcpy(tail, old, sizeof old);
      read_row(&other, TOKENS - 1, got);
      assert_memory_not_equal(got, want, sizeof want);
      read_row(&s, TOKENS - 1, got);
      assert_memory_equal(got, want, sizeof want);
      close_sequence(&s);
    }
}

// Discarded pages can be written again, read as numbers, and leave their neighbours as they were.
static void discards(void **state) {
  (void)state;
  for (int k = 0; k < 2; k++)
    for (int t = 0; t < PN_KV_N_TYPES; t++) {
      sequence s = {.pages = {0, 38, 39}};
      float want[LAYERS * WIDTH], got[LAYERS * WIDTH];
      open_sequence(&s, backends[k], (pn_kv_type)t);
      sequence other = s;
      for (int p = 1; p < 37; p += 3) {
        for (int i = 0; i < 3; i++) other.pages[i] = p + i;
        write_rows(&other, 0, TOKENS);
      }
      write_rows(&s, 0, TOKENS);
      read_row(&s, TOKENS - 1, want);
      s.b->ops->kv_discard(s.b, s.kv, 1, 37);
      s.b->ops->kv_discard(s.b, s.kv, 5, 0);
      read_row(&s, TOKENS - 1, got);
      assert_memory_equal(got, want, sizeof want);
      read_row(&other, TOKENS - 1, got);
      for (int i = 0; i < LAYERS * WIDTH; i++) assert_true(isfinite(got[i]));
      other.pages[0] = 20, other.pages[1] = 9, other.pages[2] = 1;
      write_rows(&other, 0, TOKENS);
      read_row(&other, TOKENS - 1, got);
      assert_memory_equal(got, want, sizeof want);
      s.b->ops->kv_discard(s.b, s.kv, 0, PAGES);
      write_rows(&s, 0, TOKENS);
      read_row(&s, TOKENS - 1, got);
      assert_memory_equal(got, want, sizeof want);
      close_sequence(&s);
    }
}

#if defined(__linux__)
static long resident_pages(void) {
  char text[128] = "";
  long total, resident = -1;
  FILE *f = fopen("/proc/self/statm", "r");
  assert_non_null(f);
  if (!fgets(text, sizeof text, f) || sscanf(text, "%ld %ld", &total, &resident) != 2) resident = -1;
  fclose(f);
  return resident;
}

// Discarding gives the memory back to the system.
static void discards_really(void **state) {
  (void)state;
  for (int k = 0; k < 2; k++) {
    sequence s = {.pages = {0, 1, 2}};
    enum { ALL = 39 };
    open_sequence(&s, backends[k], PN_KV_F32);
    for (int p = 0; p < ALL; p += 3) {
      for (int i = 0; i < 3; i++) s.pages[i] = p + i;
      write_rows(&s, 0, TOKENS);
    }
    long before = resident_pages();
    s.b->ops->kv_discard(s.b, s.kv, 0, ALL);
    long freed = (before - resident_pages()) * sysconf(_SC_PAGESIZE);
    pn_kv_shape shape = {LAYERS, HEADS, DIM, PAGE, ALL, PN_KV_F32, 0};
    assert_true(freed > (long)(s.b->ops->kv_bytes(s.b, &shape) / 2)); // the system counts in batches
    close_sequence(&s);
  }
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(names),
    cmocka_unit_test(costs),
    cmocka_unit_test(int8_rounds_to_even),
    cmocka_unit_test(precision),
    cmocka_unit_test(rotation),
    cmocka_unit_test(int4_bears_outliers),
    cmocka_unit_test(int4_overflows_to_nan),
    cmocka_unit_test(int4_head_dim_is_limited),
    cmocka_unit_test(copies),
    cmocka_unit_test(discards),
#if defined(__linux__)
    cmocka_unit_test(discards_really),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
