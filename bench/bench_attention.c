// Speed of attention of the cpu backend, with the KV write before it: a decoding row against the depth of its
// context (GB/s of KV read), a chunk of 512 rows of a prompt (GFLOP/s, and the share of what a loop of fma
// reaches in the same run), and 8 streams that decode behind the same prefix, once in pages of their own and
// once in the same pages. Best of several rounds. Usage: bench_attention [threads] [isa] [part of a shape's
// name] [tokens a page] [type ...]
#include "backend/backend.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 512, ROUNDS = 15, STREAMS = 8, PREFIX = 2048, OWN = 160, MAX_PAGES = 1 << 14 };
#define POOL_BYTES 256e6 // layers in turn take so much, so that a decode reads memory, not a cache

typedef struct shape {
  const char *name;
  int heads, kv_heads, dim;
} shape;

typedef struct context {
  pn_backend *b;
  pn_kv *kv;
  pn_kv_shape kv_shape;
  const shape *s;
  int32_t table[STREAMS][MAX_PAGES];
  const int32_t *pages[STREAMS];
  int32_t zeros[CHUNK], seq[CHUNK], pos[CHUNK], slot[CHUNK];
  pn_kv_rows places;
  pn_workspace *ws;
} context;

enum { X, OUT }; // buffers

#if defined(__x86_64__)
#include <immintrin.h>
enum { FMA_STEPS = 2000000 };
// 12 chains of fma: operations a nanosecond of one thread.
__attribute__((target("avx2,fma"))) static double fma_avx2(void) {
  __m256 a[12], x = _mm256_set1_ps(0.5f);
#pragma GCC unroll 12
  for (int k = 0; k < 12; k++) a[k] = x;
  uint64_t start = pn_now_ns();
  for (int i = 0; i < FMA_STEPS; i++)
#pragma GCC unroll 12
    for (int k = 0; k < 12; k++) {
      a[k] = _mm256_fmadd_ps(a[k], x, x);
      __asm__ volatile("" : "+x"(a[k]));
    }
  return 12.0 * FMA_STEPS * 16 / (double)(pn_now_ns() - start);
}
__attribute__((target("avx512f"))) static double fma_avx512(void) {
  __m512 a[12], x = _mm512_set1_ps(0.5f);
#pragma GCC unroll 12
  for (int k = 0; k < 12; k++) a[k] = x;
  uint64_t start = pn_now_ns();
  for (int i = 0; i < FMA_STEPS; i++)
#pragma GCC unroll 12
    for (int k = 0; k < 12; k++) {
      a[k] = _mm512_fmadd_ps(a[k], x, x);
      __asm__ volatile("" : "+v"(a[k]));
    }
  return 12.0 * FMA_STEPS * 32 / (double)(pn_now_ns() - start);
}
static double fma_of(const char *isa) {
  if (strstr(isa, "avx512")) return fma_avx512();
  return strstr(isa, "avx2") ? fma_avx2() : 0;
}
#else
static double fma_of(const char *isa) { return (void)isa, 0; }
#endif

static double fma_peak; // of one thread, the most seen

static void see_peak(const context *c) {
  double now = fma_of(c->b->ops->describe(c->b));
  if (now > fma_peak) fma_peak = now;
}

static void begin(context *c, int n, int n_seqs) {
  pn_error e;
  const int page = c->kv_shape.page_tokens;
  for (int r = 0; r < n; r++) c->slot[r] = c->table[c->seq[r]][c->pos[r] / page] * page + c->pos[r] % page;
  c->places = (pn_kv_rows){c->kv, c->slot, c->pages, NULL};
  pn_batch batch = {n, n_seqs, c->zeros, c->seq, c->pos, 1, &c->places, 0, NULL};
  if (c->b->ops->begin(c->b, c->ws, &batch, &e)) return;
  fprintf(stderr, "%s\n", e.msg);
  exit(1);
}

// n rows of one sequence from position `first` on.
static void begin_chunk(context *c, int seq, int first, int n) {
  for (int r = 0; r < n; r++) c->pos[r] = first + r, c->seq[r] = seq;
  begin(c, n, seq + 1);
}

// K and V are the same numbers.
static void write_kv(context *c, int layer) {
  const pn_view kv = {X, 0, c->s->kv_heads * c->s->dim};
  c->b->ops->run(c->b, c->ws, &(pn_step){.op = PN_OP_KV_WRITE, .in = {kv, kv}, .kv = {0, layer}});
}

static void fill(context *c, int seq, int first, int end) {
  for (int p = first; p < end; p += CHUNK) {
    begin_chunk(c, seq, p, end - p < CHUNK ? end - p : CHUNK);
    for (int l = 0; l < c->kv_shape.n_layers; l++) write_kv(c, l);
  }
}

// Nanoseconds a layer of the rows that were begun, over all layers or one of them; the best round.
static double time_rows(context *c, bool all_layers) {
  const int width = c->s->heads * c->s->dim;
  pn_step attend = {.op = PN_OP_ATTENTION, .in = {{X, 0, width}}, .out = {OUT, 0, width}};
  attend.attention = (pn_attention){0, 0, c->s->heads, c->s->kv_heads, c->s->dim, 0.125f, 0};
  double best = 0;
  for (int round = 0; round < ROUNDS; round++) {
    int layers = all_layers ? c->kv_shape.n_layers : 1;
    uint64_t start = pn_now_ns();
    for (int i = 0; i < layers; i++) {
      attend.attention.layer = all_layers ? i : round % c->kv_shape.n_layers;
      write_kv(c, attend.attention.layer);
      c->b->ops->run(c->b, c->ws, &attend);
    }
    double t = (double)(pn_now_ns() - start) / layers;
    if (round == 0 || t < best) best = t;
  }
  return best;
}

static void open_kv(context *c, pn_kv_type type, int page_tokens, int n_pages) {
  pn_error e;
  c->kv_shape = (pn_kv_shape){1, c->s->kv_heads, c->s->dim, page_tokens, n_pages, type, 0};
  double bytes = (double)c->b->ops->kv_bytes(c->b, &c->kv_shape);
  c->kv_shape.n_layers = bytes < POOL_BYTES ? (int)(POOL_BYTES / bytes) : 1;
  c->kv = n_pages <= MAX_PAGES ? c->b->ops->kv_open(c->b, &c->kv_shape, &e) : NULL;
  if (!c->kv) exit(1);
}

static void measure_decode(context *c, pn_kv_type type, int page_tokens, int depth) {
  open_kv(c, type, page_tokens, depth / page_tokens + 1);
  for (int p = 0; p < c->kv_shape.n_pages; p++) c->table[0][p] = p;
  fill(c, 0, 0, depth);
  begin_chunk(c, 0, depth - 1, 1);
  double t = time_rows(c, true);
  double bytes = (double)c->b->ops->kv_bytes(c->b, &c->kv_shape) / c->kv_shape.n_layers / c->kv_shape.n_pages;
  printf("  a row behind %4d: %8.1f us a layer, %5.1f GB/s\n", depth, t / 1e3,
         bytes / page_tokens * depth / t);
  c->b->ops->kv_close(c->b, c->kv);
}

static void measure_prefill(context *c, pn_kv_type type, int page_tokens, int depth, int threads) {
  open_kv(c, type, page_tokens, (depth + CHUNK) / page_tokens + 1);
  for (int p = 0; p < c->kv_shape.n_pages; p++) c->table[0][p] = p;
  fill(c, 0, 0, depth + CHUNK);
  begin_chunk(c, 0, depth, CHUNK);
  double t = time_rows(c, false), flop = 0;
  for (int r = 0; r < CHUNK; r++) flop += 4.0 * c->s->heads * c->s->dim * (depth + r + 1);
  see_peak(c);
  printf("  %d rows behind %4d: %7.2f ms a layer, %5.1f GFLOP/s", CHUNK, depth, t / 1e6, flop / t);
  if (fma_peak > 0) printf(", %2.0f %% of %.0f", 100 * flop / t / (fma_peak * threads), fma_peak * threads);
  printf("\n");
  c->b->ops->kv_close(c->b, c->kv);
}

// Streams that have gone their own ways for 20 to 160 tokens.
static void measure_streams(context *c, pn_kv_type type, int page_tokens) {
  const int prefix = PREFIX / page_tokens, own = OWN / page_tokens + 1;
  double t[2];
  for (int shared = 0; shared < 2; shared++) {
    open_kv(c, type, page_tokens, STREAMS * (prefix + own));
    for (int s = 0; s < STREAMS; s++) {
      for (int p = 0; p < prefix + own; p++)
        c->table[s][p] = s * (prefix + own) + p - (shared && p < prefix ? s * (prefix + own) : 0);
      fill(c, s, 0, PREFIX + 20 * (s + 1));
    }
    for (int s = 0; s < STREAMS; s++) c->pos[s] = PREFIX + 20 * (s + 1) - 1, c->seq[s] = s;
    begin(c, STREAMS, STREAMS);
    t[shared] = time_rows(c, true);
    c->b->ops->kv_close(c->b, c->kv);
  }
  printf("  %d streams behind %d: %8.1f us a layer, in the same pages %8.1f, %.2f times as fast\n", STREAMS,
         PREFIX, t[0] / 1e3, t[1] / 1e3, t[0] / t[1]);
}

static void measure(pn_backend *b, const shape *s, pn_kv_type type, int page_tokens, int threads) {
  static context c;
  static const int depths[] = {2048, 4096, 8192};
  const int width = s->heads * s->dim;
  const pn_buffer buffers[] = {[X] = {width, false}, [OUT] = {width, false}};
  const pn_plan plan = {NULL, 0, buffers, 2, NULL, 0};
  pn_error e;
  c = (context){.b = b, .s = s, .ws = b->ops->workspace_open(b, &plan, CHUNK, 0, &e)};
  size_t floats = (size_t)CHUNK * (size_t)width;
  float *x = malloc(floats * sizeof *x);
  if (!c.ws || !x) exit(1);
  for (int k = 0; k < STREAMS; k++) c.pages[k] = c.table[k];
  for (size_t i = 0; i < floats; i++) x[i] = (float)((uint32_t)i * 2654435761u >> 8) / 0x1p23f - 1;
  b->ops->write(b, c.ws, (pn_view){X, 0, width}, 0, CHUNK, x);
  see_peak(&c);
  printf("%s, %s\n", s->name, pn_kv_type_name(type));
  for (size_t i = 0; i < sizeof depths / sizeof depths[0]; i++)
    measure_decode(&c, type, page_tokens, depths[i]);
  measure_prefill(&c, type, page_tokens, 0, threads);
  measure_prefill(&c, type, page_tokens, 4096, threads);
  measure_streams(&c, type, page_tokens);
  b->ops->workspace_close(b, c.ws);
  free(x);
}

int main(int argc, char **argv) {
  static const shape shapes[] = {{"9/3 heads of 64", 9, 3, 64},
                                 {"32/8 heads of 64", 32, 8, 64},
                                 {"32/32 heads of 96", 32, 32, 96},
                                 {"32/8 heads of 128", 32, 8, 128},
                                 {"28/4 heads of 128", 28, 4, 128}};
  pn_error e;
  const char *part = argc > 3 ? argv[3] : "";
  const int page_tokens = argc > 4 && atoi(argv[4]) > 0 ? atoi(argv[4]) : 32;
  const int threads = argc > 1 && atoi(argv[1]) > 0 ? atoi(argv[1]) : 1;
  char count[16];
  snprintf(count, sizeof count, "%d", threads);
  pn_backend_options o = {.name = "cpu", .settings = {{"threads", count, false}}};
  if (argc > 2 && *argv[2]) o.settings[1] = (pn_setting){"isa", argv[2], false};
  pn_backend *b = pn_backend_open(&o, &e);
  if (!b) {
    fprintf(stderr, "%s\n", e.msg);
    return 1;
  }
  printf("%s, pages of %d tokens\n", b->ops->describe(b), page_tokens);
  pn_kv_type types[PN_KV_N_TYPES] = {PN_KV_F16, PN_KV_INT8};
  int n_types = 0;
  for (int i = 5; i < argc && n_types < PN_KV_N_TYPES; i++)
    if (!pn_kv_type_of(argv[i], &types[n_types++])) {
      fprintf(stderr, "unknown type %s\n", argv[i]);
      return 1;
    }
  if (n_types == 0) n_types = 2;
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
    for (int t = 0; t < n_types; t++)
      if (strstr(shapes[i].name, part)) measure(b, &shapes[i], types[t], page_tokens, threads);
  pn_backend_close(b);
  return 0;
}
