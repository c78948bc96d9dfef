// The ops of `cpu` that keep a state of each sequence, on every instruction set that the machine has: against
// `ref` within a tolerance, and bit for bit against the scalar kernels on one thread, for any number of
// threads and any cut of the sequences into steps.
//   test_state_grid [quick]
//   test_state_grid module NAME FOLDERS   the same of a backend in a module, as far as it has these ops
#include "../backend_options.h"
#include "backend/backend.h"
#include "base/rng.h"
#include "check.h"
#include "one_op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 29, N_SEQS = 2, OFFSET = 3, MAX_BACKENDS = 12, PAD = 2 };

static pn_backend *ref, *scalar, *all[MAX_BACKENDS];
static int n_all;
static pn_rng rng;

// One op over two sequences. Rows of x and y are [sequence][token][width]; no y: width 0.
typedef struct op_case {
  char name[80];
  pn_step step; // its state is of layer 1 and begins at OFFSET
  int x_width, y_width, out_width;
  int64_t n_weights, state_floats;
  float *x, *y, *w;
  double tolerance; // of the size of the result
} op_case;

static float *randoms(size_t n, float size) {
  float *p = malloc((n ? n : 1) * sizeof *p);
  for (size_t i = 0; i < n; i++) p[i] = size * (float)(2 * pn_rng_unit(&rng) - 1);
  return p;
}

static void draw(op_case *c) {
  c->x = randoms(N_SEQS * TOKENS * (size_t)c->x_width, 1);
  c->y = randoms(N_SEQS * TOKENS * (size_t)c->y_width, 3);
  c->w = randoms((size_t)c->n_weights, 1);
}

// A KV of two layers whose slots are full of NaNs.
static pn_kv *open_kv(pn_backend *b, const op_case *c, const int32_t *slots) {
  pn_error e = {0};
  pn_kv_shape shape = {.n_layers = 2, .n_pages = 3, .state_floats = OFFSET + c->state_floats};
  pn_kv *kv = b->ops->kv_open(b, &shape, &e);
  if (!kv) {
    printf("%s\n", e.msg);
    exit(1);
  }
  shape.n_pages = 1;
  size_t bytes = (size_t)b->ops->kv_bytes(b, &shape);
  char *rubbish = malloc(bytes);
  memset(rubbish, 0xff, bytes);
  for (int i = 0; i < N_SEQS; i++) b->ops->kv_import(b, kv, slots[i], rubbish, &e);
  free(rubbish);
  return kv;
}

// n rows of `width` numbers, PAD apart, of the tokens `at` and on of every sequence; each pad is 7.
static float *rows_of(const float *from, int width, int at, int n) {
  const int stride = width + PAD;
  float *rows = malloc((size_t)(N_SEQS * n * stride) * sizeof *rows);
  for (int r = 0; r < N_SEQS * n; r++) {
    const int token = r / n * TOKENS + at + r % n;
    for (int i = 0; i < stride; i++)
      rows[r * stride + i] = i < width && from ? from[(int64_t)token * width + i] : 7;
  }
  return rows;
}

// Tokens [at, at + n) of both sequences, in one step.
static void run_chunk(pn_backend *b, const op_case *c, const pn_step *step, const pn_kv_rows *places, int at,
                      int n, float *out) {
  const int rows = N_SEQS * n, stride = c->out_width + PAD;
  int32_t seq[N_SEQS * TOKENS], pos[N_SEQS * TOKENS];
  for (int r = 0; r < rows; r++) {
    seq[r] = r / n;
    pos[r] = at + r % n;
  }
  float *x = rows_of(c->x, c->x_width, at, n), *y = rows_of(c->y, c->y_width, at, n),
        *o = rows_of(NULL, c->out_width, at, n);
  const op_rows xs = {x, rows, c->x_width, c->x_width + PAD}, ys = {y, rows, c->y_width, c->y_width + PAD},
                none = {0};
  const pn_batch batch = {rows, N_SEQS, NULL, seq, pos, 1, places, 0, NULL};
  run_one_op(b, *step, NULL, &batch, xs, c->y_width ? ys : none, (op_rows){o, rows, c->out_width, stride});
  for (int r = 0; r < rows; r++) {
    memcpy(out + (int64_t)(r / n * TOKENS + at + r % n) * c->out_width, o + r * stride,
           (size_t)c->out_width * sizeof *out);
    for (int i = c->out_width; i < stride; i++) CHECK(o[r * stride + i] == 7, "%s: behind a row", c->name);
  }
  free(x);
  free(y);
  free(o);
}

// out[sequence][token][out_width], computed in steps of `chunk` tokens of each sequence.
static void run(pn_backend *b, const op_case *c, int chunk, float *out) {
  const int32_t slots[N_SEQS] = {2, 0};
  pn_error e = {0};
  pn_kv *kv = open_kv(b, c, slots);
  const pn_kv_rows places = {kv, NULL, NULL, slots};
  pn_weight *w = b->ops->vector_open(b, c->w, c->n_weights, &e);
  pn_step s = c->step;
  s.w[s.n_weights++] = w;
  for (int at = 0; at < TOKENS; at += chunk)
    run_chunk(b, c, &s, &places, at, chunk < TOKENS - at ? chunk : TOKENS - at, out);
  b->ops->weight_close(b, w);
  b->ops->kv_close(b, kv);
}

static void check_near(const op_case *c, const float *want, const float *got, size_t n) {
  double most = 0, size = 1e-30;
  for (size_t i = 0; i < n; i++) {
    const double d = fabs((double)want[i] - (double)got[i]);
    size = fmax(size, fabs((double)want[i]));
    if (!(d <= most)) most = d; // a NaN stays
  }
  CHECK(most <= c->tolerance * size, "%s: %g off ref, of %g", c->name, most, size);
}

static void check(const op_case *c) {
  if (!has_op(scalar, c->step)) {
    free(c->x);
    free(c->y);
    free(c->w);
    return;
  }
  static const int chunks[] = {TOKENS, 1, 2, 8, 13};
  const size_t n = N_SEQS * TOKENS * (size_t)c->out_width;
  float *want = calloc(n, 4), *base = calloc(n, 4), *got = calloc(n, 4);
  run(ref, c, TOKENS, want);
  run(ref, c, 3, got);
  CHECK(memcmp(got, want, n * 4) == 0, "%s: ref differs in steps of 3", c->name);
  run(scalar, c, TOKENS, base);
  check_near(c, want, base, n);
  for (int i = 0; i < n_all; i++)
    for (int k = 0; k < 5; k++) {
      run(all[i], c, chunks[k], got);
      CHECK(memcmp(got, base, n * 4) == 0, "%s: %s in steps of %d differs", c->name,
            all[i]->ops->describe(all[i]), chunks[k]);
    }
  free(c->x);
  free(c->y);
  free(c->w);
  free(want);
  free(base);
  free(got);
}

static void check_short_convs(void) {
  static const int widths[] = {1, 15, 16, 40, 500};
  for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
    for (int taps = 1; taps <= 5; taps++) {
      const int width = widths[i];
      op_case c = {.step = {.op = PN_OP_SHORT_CONV, .conv = {0, 1, taps, OFFSET, taps % 2 == 0}},
                   .x_width = width,
                   .out_width = width,
                   .n_weights = (int64_t)taps * width,
                   .state_floats = (int64_t)(taps - 1) * width,
                   .tolerance = 1e-6};
      snprintf(c.name, sizeof c.name, "conv of %d, %d taps", width, taps);
      draw(&c);
      check(&c);
    }
}

static void check_delta(int heads, int dim, int key_heads, int key_dim, bool tiled) {
  op_case c = {.step = {.op = PN_OP_GATED_DELTA,
                        .delta = {0, 1, OFFSET, heads, dim, key_heads, key_dim, tiled, 1e-6f}},
               .x_width = 2 * key_heads * key_dim + heads * dim,
               .y_width = 2 * heads,
               .out_width = heads * dim,
               .n_weights = 2 * heads,
               .state_floats = (int64_t)heads * dim * key_dim,
               .tolerance = 2e-6};
  snprintf(c.name, sizeof c.name, "delta rule of %d heads of %d, %d keys of %d", heads, dim, key_heads,
           key_dim);
  draw(&c);
  for (int h = 0; h < heads; h++) c.w[h] = -0.05f - fabsf(c.w[h]); // a state fades
  memset(c.x, 0, (size_t)(2 * key_heads * key_dim) * sizeof *c.x); // keys and queries without a direction
  c.y[heads] = 90;                                                 // f32 has no exp of it
  check(&c);
}

static void check_deltas(bool quick) {
  check_delta(1, 1, 1, 1, false);
  check_delta(3, 5, 1, 7, false);
  check_delta(6, 16, 3, 16, false);
  check_delta(6, 16, 3, 16, true);
  check_delta(4, 33, 2, 20, true);
  check_delta(2, 128, 2, 128, false);
  if (quick) return;
  check_delta(10, 100, 5, 64, true);
  check_delta(3, 48, 3, PN_DELTA_MAX_KEY, false);
  check_delta(16, 128, 16, 128, false);
}

static pn_backend *open_backend(const char *name, const char *isa, int threads) {
  pn_error e = {0};
  pn_backend *b = open_test_backend(name, threads, isa, NULL, &e);
  if (!b) {
    printf("%s\n", e.msg);
    exit(1);
  }
  return b;
}

// In the place of the scalar kernels and of all others.
static void open_module(const char *name, const char *folders) {
  pn_error e = {0};
  const pn_backend_options o = {.name = name, .folders = folders};
  scalar = all[n_all++] = pn_backend_open(&o, &e);
  if (!scalar) {
    printf("%s: %s\n", name, e.msg);
    exit(e.code == PN_ERR_DEVICE ? 77 : 1); // 77: skipped
  }
}

static void open_all(void) {
  scalar = open_backend("cpu", "scalar", 1);
  for (const char *const *isa = test_isas(); *isa; isa++)
    for (int threads = 1; threads <= 3; threads++) all[n_all++] = open_backend("cpu", *isa, threads);
}

int main(int argc, char **argv) {
  const bool module = argc == 4 && strcmp(argv[1], "module") == 0;
  pn_rng_seed(&rng, 23);
  ref = open_backend("ref", NULL, 1);
  if (module)
    open_module(argv[2], argv[3]);
  else
    open_all();
  check_short_convs();
  check_deltas(argc > 1 && strcmp(argv[1], "quick") == 0); // for emulators and sanitizers
  pn_backend_close(ref);
  if (!module) pn_backend_close(scalar);
  for (int i = 0; i < n_all; i++) pn_backend_close(all[i]);
  return check_result("state grid");
}
