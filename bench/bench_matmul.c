// Speed of the matrix products of the cpu backend, as shares of what the machine does in the same run: plain
// reading of memory (decode) and a loop of the dot instruction that is faster for the precision of
// activations (prefill): bytes, in two planes for int16, or words. Best of several interleaved rounds. Usage:
// bench_matmul [threads] [rounds] [isa] [part of a shape's name] [MB that weights take in turn] [int8]
#include "backend/cpu/cpu_matmul.h"
#include "base/clock.h"
#include "base/kind.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct shape {
  const char *name;
  pn_dtype kind;
  int bits, group;
  int64_t rows, cols;
} shape;

static const shape shapes[] = {
    {"Q4_1 576", PN_Q4_1, 0, 0, 1536, 576},
    {"Q4_1 1536", PN_Q4_1, 0, 0, 576, 1536},
    {"Q8_0 head", PN_Q8_0, 0, 0, 49152, 576},
    {"affine4 g64 3072", PN_AFFINE, 4, 64, 16384, 3072},
    {"affine4 g64 8192", PN_AFFINE, 4, 64, 3072, 8192},
    {"affine4 g32 2048", PN_AFFINE, 4, 32, 2048, 2048},
    {"affine8 g64 2048", PN_AFFINE, 8, 64, 2048, 2048},
    {"affine6 g64 2048", PN_AFFINE, 6, 64, 2048, 2048},
    {"affine3 g64 2048", PN_AFFINE, 3, 64, 2048, 2048},
    {"Q4_0 2048", PN_Q4_0, 0, 0, 2048, 2048},
    {"Q8_0 2048", PN_Q8_0, 0, 0, 2048, 2048},
    {"Q5_0 2048", PN_Q5_0, 0, 0, 2048, 2048},
    {"Q5_0 head", PN_Q5_0, 0, 0, 49152, 576},
    {"Q5_1 2048", PN_Q5_1, 0, 0, 2048, 2048},
    {"Q4_K 2048", PN_Q4_K, 0, 0, 2048, 2048},
    {"Q5_K 2048", PN_Q5_K, 0, 0, 2048, 2048},
    {"Q6_K 2048", PN_Q6_K, 0, 0, 2048, 2048},
    {"Q4_K head", PN_Q4_K, 0, 0, 49152, 512},
    {"Q6_K head", PN_Q6_K, 0, 0, 49152, 512},
    {"Q8_0 head 512", PN_Q8_0, 0, 0, 49152, 512},
    {"Q2_K 2048", PN_Q2_K, 0, 0, 2048, 2048},
    {"Q3_K 2048", PN_Q3_K, 0, 0, 2048, 2048},
    {"IQ4_NL 2048", PN_IQ4_NL, 0, 0, 2048, 2048},
    {"IQ4_XS 2048", PN_IQ4_XS, 0, 0, 2048, 2048},
    {"MXFP4 2048", PN_MXFP4, 0, 0, 2048, 2048},
    {"NVFP4 2048", PN_NVFP4, 0, 0, 2048, 2048},
    {"mlx mxfp4 2048", PN_MLX_MXFP4, 0, 0, 2048, 2048},
    {"mlx nvfp4 2048", PN_MLX_NVFP4, 0, 0, 2048, 2048},
    {"mlx mxfp8 2048", PN_MLX_MXFP8, 0, 0, 2048, 2048},
    {"F16 2048", PN_F16, 0, 0, 2048, 2048},
    {"F32 2048", PN_F32, 0, 0, 2048, 2048},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, MAX_ROWS = 512 };
static const int batches[] = {1, 2, 3, 4, 8, 16, 64, 512};
enum { N_BATCHES = sizeof batches / sizeof *batches };

enum {
  POOL_BYTES = 256 << 20
}; // weights are taken from here in turn, so that a decode reads memory, not a cache
static unsigned char *memory;
static size_t used = POOL_BYTES;

typedef struct reading {
  uint64_t sums[256 * 8];
} reading;

#if defined(__x86_64__)
#include <immintrin.h>
enum { DOT_STEPS = 1000000, DOT_OPS = 16 * 128 };
__attribute__((target("avx512f"))) static void read_wide(const unsigned char *p, size_t n, uint64_t *sum) {
  __m512i a = _mm512_setzero_si512(), b = a;
  for (size_t i = 0; i < n; i += 128) {
    a = _mm512_xor_si512(a, _mm512_load_si512(p + i));
    b = _mm512_xor_si512(b, _mm512_load_si512(p + i + 64));
  }
  *sum = (uint64_t)_mm512_reduce_add_epi64(_mm512_xor_si512(a, b));
}

// Nothing but a dot instruction, in as many sums as hide its latency.
#define DOT_LOOP(name, instruction)                                                                          \
  __attribute__((target("avx512f,avx512vnni"))) static void name(void *ctx, int thread, int64_t begin,       \
                                                                 int64_t end) {                              \
    reading *r = ctx;                                                                                        \
    __m512i a[16];                                                                                           \
    const __m512i x = _mm512_set1_epi32(thread + 0x01020304);                                                \
    _Pragma("GCC unroll 16") for (int k = 0; k < 16; k++) a[k] = _mm512_set1_epi32(k);                       \
    for (int64_t i = begin; i < end; i++) {                                                                  \
      _Pragma("GCC unroll 16") for (int k = 0; k < 16; k++) {                                                \
        a[k] = instruction(a[k], x, x);                                                                      \
        __asm__ volatile("" : "+v"(a[k]));                                                                   \
      }                                                                                                      \
    }                                                                                                        \
    _Pragma("GCC unroll 16") for (int k = 1; k < 16; k++) a[0] = _mm512_add_epi32(a[0], a[k]);               \
    r->sums[thread * 8] = (uint64_t)_mm512_reduce_add_epi32(a[0]);                                           \
  }
DOT_LOOP(dot_bytes, _mm512_dpbusd_epi32)
DOT_LOOP(dot_words, _mm512_dpwssd_epi32)
static bool can_dot(void) { return __builtin_cpu_supports("avx512vnni"); }
#else
enum { DOT_STEPS = 0, DOT_OPS = 0 };
static void dot_bytes(void *ctx, int thread, int64_t begin, int64_t end) {
  (void)ctx, (void)thread, (void)begin, (void)end;
}
static void dot_words(void *ctx, int thread, int64_t begin, int64_t end) {
  (void)ctx, (void)thread, (void)begin, (void)end;
}
static bool can_dot(void) { return false; }
static void read_wide(const unsigned char *p, size_t n, uint64_t *sum) { (void)p, (void)n, (void)sum; }
#endif

static void read_all(void *ctx, int thread, int64_t begin, int64_t end) {
  reading *r = ctx;
  const size_t n = (size_t)(end - begin) * 128;
  const unsigned char *p = memory + (size_t)begin * 128;
  if (can_dot()) {
    read_wide(p, n, r->sums + thread * 8);
    return;
  }
  uint64_t s[8] = {0};
  for (size_t i = 0; i < n; i += 64) {
    uint64_t v[8];
    memcpy(v, p + i, 64);
    for (int k = 0; k < 8; k++) s[k] ^= v[k];
  }
  memcpy(r->sums + thread * 8, s, sizeof s);
}

static size_t bytes_of(const shape *s, pn_matrix *m) {
  *m = (pn_matrix){.kind = s->kind,
                   .rows = s->rows,
                   .cols = s->cols,
                   .bits = s->bits,
                   .group = s->group,
                   .scale_dtype = PN_F16};
  const pn_kind *k = pn_kind_of(s->kind);
  m->row_bytes = (size_t)(s->kind == PN_AFFINE ? s->cols * s->bits / 8 : s->cols / k->block * k->bytes);
  const int64_t scales = s->kind == PN_AFFINE ? s->rows * (s->cols / s->group) * 4
                                              : s->rows * (s->cols / k->block) * k->scale_bytes;
  return m->row_bytes * (size_t)s->rows + (size_t)scales;
}

// Seconds a call, over matrices laid one after another through the memory.
static double measure(cpu_matmul *s, const shape *sh, int n_rows, const float *x, float *y, double *bytes) {
  pn_matrix m;
  pn_error e;
  const size_t each = bytes_of(sh, &m);
  const size_t most = n_rows >= 16 ? 3 : 1000, fit = used > each ? used / each : 1,
               n = fit < most ? fit : most;
  pn_weight **w = calloc(n, sizeof *w);
  if (!w) return 0;
  for (size_t i = 0; i < n; i++) {
    m.data = memory + i * each;
    m.scales = memory + i * each + m.row_bytes * (size_t)m.rows;
    m.biases = (const unsigned char *)m.scales + (each - m.row_bytes * (size_t)m.rows) / 2;
    w[i] = cpu_matmul_weight_open(&m, &e);
  }
  const uint64_t t0 = pn_now_ns();
  for (size_t i = 0; i < n; i++) {
    const cpu_matmul_part part = {.w = w[i], .out = y, .out_stride = m.rows};
    cpu_matmul_run(s, x, m.cols, n_rows, &part, 1);
  }
  const uint64_t t1 = pn_now_ns();
  for (size_t i = 0; i < n; i++) cpu_matmul_weight_close(w[i]);
  free(w);
  *bytes = (double)each;
  return (double)(t1 - t0) * 1e-9 / (double)n;
}

static double seconds(cpu_pool *pool, cpu_pool_fn *fn, reading *r, int64_t n) {
  const uint64_t t0 = pn_now_ns();
  cpu_pool_run(pool, fn, r, n, cpu_pool_chunk(pool, n, 32));
  return (double)(pn_now_ns() - t0) * 1e-9;
}

int main(int argc, char **argv) {
  const int threads = argc > 1 ? atoi(argv[1]) : cpu_pool_cores(), rounds = argc > 2 ? atoi(argv[2]) : 5;
  const char *filter = argc > 4 ? argv[4] : NULL;
  const int planes = argc > 6 && strcmp(argv[6], "int8") == 0 ? 1 : 2;
  if (argc > 5) used = (size_t)atoi(argv[5]) << 20;
  pn_error e = {0};
  cpu_pool *pool = cpu_pool_new(threads, &e);
  cpu_matmul *s =
      pool ? cpu_matmul_new(argc > 3 && strcmp(argv[3], "best") != 0 ? argv[3] : NULL, planes, pool, &e)
           : NULL;
  memory = aligned_alloc(4096, POOL_BYTES + ((size_t)64 << 20));
  float *x = calloc((size_t)MAX_ROWS * 8192, sizeof *x), *y = calloc((size_t)MAX_ROWS * 49152, sizeof *y);
  reading *r = calloc(1, sizeof *r);
  if (!s || !memory || !x || !y || !r || !cpu_matmul_reserve(s, MAX_ROWS, 8192, &e)) {
    fprintf(stderr, "bench_matmul: %s\n", e.msg);
    return 1;
  }
  pn_rng rng;
  pn_rng_seed(&rng, 1);
  for (size_t i = 0; i < POOL_BYTES + ((size_t)64 << 20); i += 8) { // as 16-bit floats: moderate numbers
    const uint64_t v = pn_rng_u64(&rng) & 0xBBFFBBFFBBFFBBFFu;
    memcpy(memory + i, &v, 8);
  }
  for (size_t i = 0; i < (size_t)MAX_ROWS * 8192; i++) x[i] = (float)pn_rng_unit(&rng) - 0.5f;

  static double best[N_SHAPES][N_BATCHES];
  double read_best = 1e9, bytes_best = 1e9, words_best = 1e9, bytes = 0;
  for (int round = 0; round < rounds; round++) {
    double t = can_dot() ? seconds(pool, dot_bytes, r, (int64_t)DOT_STEPS * threads) : 1;
    if (t < bytes_best) bytes_best = t;
    if (can_dot()) t = seconds(pool, dot_words, r, (int64_t)DOT_STEPS * threads);
    if (t < words_best) words_best = t;
    for (int i = 0; i < N_SHAPES; i++) {
      if (filter && !strstr(shapes[i].name, filter)) continue;
      t = seconds(pool, read_all, r, POOL_BYTES / 128);
      if (t < read_best) read_best = t;
      for (int b = 0; b < N_BATCHES; b++) {
        t = measure(s, &shapes[i], batches[b], x, y, &bytes);
        if (round == 0 || t < best[i][b]) best[i][b] = t;
      }
    }
  }
  const double gbs = POOL_BYTES / read_best * 1e-9,
               of_bytes = (double)DOT_STEPS * DOT_OPS * threads / bytes_best * 1e-9,
               of_words = (double)DOT_STEPS * DOT_OPS / 2 * threads / words_best * 1e-9,
               peak = planes == 1               ? of_bytes
                      : of_bytes / 2 > of_words ? of_bytes / 2
                                                : of_words;
  printf("%s, %d threads: reading %.1f GB/s; dot loops: bytes %.0f, words %.0f, so the limit of int%d "
         "activations is %.0f GOP/s (best of %d)\n",
         cpu_matmul_isa(s), threads, gbs, of_bytes, of_words, 8 * planes, peak, rounds);
  printf("1 row: GB/s (share of reading); more rows: GOP/s (share of the limit) and the time in calls of "
         "1 row\n");
  for (int i = 0; i < N_SHAPES; i++) {
    if (filter && !strstr(shapes[i].name, filter)) continue;
    pn_matrix m;
    const double n = (double)bytes_of(&shapes[i], &m), ops = 2.0 * (double)m.rows * (double)m.cols;
    printf("%-17s 1: %4.1f (%4.2f)", shapes[i].name, n / best[i][0] * 1e-9, n / best[i][0] * 1e-9 / gbs);
    for (int b = 1; b < N_BATCHES; b++) {
      const double gops = ops * batches[b] / best[i][b] * 1e-9;
      printf("  %d: %.0f (%.2f) %.2f", batches[b], gops, peak > 0 ? gops / peak : 0, best[i][b] / best[i][0]);
    }
    printf("\n");
  }
  free(r);
  free(x);
  free(y);
  free(memory);
  cpu_matmul_free(s);
  cpu_pool_free(pool);
  return 0;
}
