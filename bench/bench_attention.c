// Speed of attention of the cpu backend: one decoding row against the depth of its context (GB/s of KV read,
// with the KV write before it), and a chunk of 512 rows of a prompt that ends there (GFLOP/s). Medians of
// several rounds. Usage: bench_attention [threads] [isa] [tokens a page] [type ...]
#include "backend/backend.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { CHUNK = 512, ROUNDS = 9 };

static int page_tokens = 32;

typedef struct shape {
  const char *name;
  int heads, kv_heads, dim, layers; // layers in turn, so that a decode reads memory, not a cache
} shape;

typedef struct context {
  pn_backend *b;
  pn_kv *kv;
  const shape *s;
  int depth;
  const int32_t *pages;
  int32_t zeros[CHUNK], pos[CHUNK];
  pn_kv_rows places;
  pn_workspace *ws;
} context;

enum { X, OUT }; // buffers

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void begin(context *c, int first, int n) {
  for (int r = 0; r < n; r++) c->pos[r] = first + r;
  pn_error e;
  c->places = (pn_kv_rows){c->kv, c->pos, &c->pages, NULL};
  pn_batch batch = {n, 1, c->zeros, c->zeros, c->pos, 1, &c->places, 0, NULL};
  if (c->b->ops->begin(c->b, c->ws, &batch, &e)) return;
  fprintf(stderr, "%s\n", e.msg);
  exit(1);
}

// K and V are the same numbers.
static void write_kv(context *c, int layer) {
  const pn_view kv = {X, 0, c->s->kv_heads * c->s->dim};
  c->b->ops->run(c->b, c->ws, &(pn_step){.op = PN_OP_KV_WRITE, .in = {kv, kv}, .kv = {0, layer}});
}

// Nanoseconds a layer of n rows that end at the depth; the median.
static double time_rows(context *c, int n) {
  const int width = c->s->heads * c->s->dim;
  pn_step attend = {.op = PN_OP_ATTENTION, .in = {{X, 0, width}}, .out = {OUT, 0, width}};
  attend.attention = (pn_attention){0, 0, c->s->heads, c->s->kv_heads, c->s->dim, 0.125f, 0};
  double t[ROUNDS];
  begin(c, c->depth - n, n);
  for (int round = 0; round < ROUNDS; round++) {
    int layers = n == 1 ? c->s->layers : 1;
    uint64_t start = pn_now_ns();
    for (int i = 0; i < layers; i++) {
      attend.attention.layer = n == 1 ? i : round % c->s->layers;
      write_kv(c, attend.attention.layer);
      c->b->ops->run(c->b, c->ws, &attend);
    }
    t[round] = (double)(pn_now_ns() - start) / layers;
  }
  qsort(t, ROUNDS, sizeof t[0], by_value);
  return t[ROUNDS / 2];
}

static void measure(pn_backend *b, const shape *s, int depth, pn_kv_type type) {
  int n_pages = depth / page_tokens + 1;
  size_t floats = (size_t)CHUNK * (size_t)(s->heads * s->dim);
  pn_kv_shape kv_shape = {s->layers, s->kv_heads, s->dim, page_tokens, n_pages, type, 0};
  int32_t *pages = malloc((size_t)n_pages * sizeof *pages);
  pn_error e;
  const int width = s->heads * s->dim;
  const pn_buffer buffers[] = {[X] = {width, false}, [OUT] = {width, false}};
  const pn_plan plan = {NULL, 0, buffers, 2, NULL, 0};
  context c = {.b = b, .kv = b->ops->kv_open(b, &kv_shape, &e), .s = s, .depth = depth, .pages = pages};
  c.ws = b->ops->workspace_open(b, &plan, CHUNK, 0, &e);
  float *x = malloc(floats * sizeof *x);
  if (!c.kv || !pages || !c.ws || !x) exit(1);
  for (int p = 0; p < n_pages; p++) pages[p] = p;
  for (size_t i = 0; i < floats; i++) x[i] = (float)((uint32_t)i * 2654435761u >> 8) / 0x1p23f - 1;
  b->ops->write(b, c.ws, (pn_view){X, 0, width}, 0, CHUNK, x);
  for (int p = 0; p < depth; p += CHUNK) {
    begin(&c, p, depth - p < CHUNK ? depth - p : CHUNK);
    for (int l = 0; l < s->layers; l++) write_kv(&c, l);
  }
  int n = depth < CHUNK ? depth : CHUNK;
  double decode = time_rows(&c, 1), prefill = time_rows(&c, n), flop = 0;
  double bytes = (double)b->ops->kv_bytes(b, &kv_shape) / n_pages / page_tokens / s->layers * depth;
  for (int r = 0; r < n; r++) flop += 4.0 * s->heads * s->dim * (depth - n + r + 1);
  printf(
      "%-22s %-4s depth %5d: decode %8.1f us a layer, %5.1f GB/s; %d rows %7.2f ms a layer, %5.1f GFLOP/s\n",
      s->name, pn_kv_type_name(type), depth, decode / 1e3, bytes / decode, n, prefill / 1e6, flop / prefill);
  b->ops->kv_close(b, c.kv);
  b->ops->workspace_close(b, c.ws);
  free(pages);
  free(x);
}

int main(int argc, char **argv) {
  static const shape shapes[] = {
      {"9/3 heads of 64", 9, 3, 64, 30},
      {"32/8 heads of 64", 32, 8, 64, 16},
      {"32/32 heads of 96", 32, 32, 96, 8},
      {"32/8 heads of 128", 32, 8, 128, 16},
  };
  static const int depths[] = {128, 2048, 8192};
  pn_error e;
  pn_backend_options o = {.name = "cpu", .settings = {{"threads", argc > 1 ? argv[1] : "0", false}}};
  if (argc > 2 && *argv[2]) o.settings[1] = (pn_setting){"isa", argv[2], false};
  pn_backend *b = pn_backend_open(&o, &e);
  if (!b) {
    fprintf(stderr, "%s\n", e.msg);
    return 1;
  }
  printf("%s\n", b->ops->describe(b));
  pn_kv_type types[PN_KV_N_TYPES] = {PN_KV_F16, PN_KV_INT8, PN_KV_INT4};
  int n_types = 0;
  if (argc > 3 && atoi(argv[3]) > 0) page_tokens = atoi(argv[3]);
  for (int i = 4; i < argc && n_types < PN_KV_N_TYPES; i++)
    if (!pn_kv_type_of(argv[i], &types[n_types++])) {
      fprintf(stderr, "unknown type %s\n", argv[i]);
      return 1;
    }
  if (n_types == 0) n_types = 3;
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
    for (size_t k = 0; k < sizeof depths / sizeof depths[0]; k++)
      for (int t = 0; t < n_types; t++) measure(b, &shapes[i], depths[k], types[t]);
  pn_backend_close(b);
  return 0;
}
