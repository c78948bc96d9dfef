// Every op of `cpu` but attention (test_attention_grid.c) on every instruction set that the machine has:
// against `ref` within a tolerance, and bit for bit against the scalar kernels on one thread, for any number
// of rows, threads and any cut into calls.
//   test_cpu_grid [quick | products]    on fewer shapes; of products, only those
//   test_cpu_grid module NAME FOLDERS   the same of a backend in a module, whose bits must not depend on
//     rows and cuts, and in products with quantised weights are those of the cpu
#include "backend/backend.h"
#include "backend/cpu/cpu_ops.h"
#include "base/kind.h"
#include "grid.h"
#include "one_op.h"
#include "random_matrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BACKENDS = 12 };

// Of both precisions of activations; the ops without them run with the first.
typedef struct family {
  const char *activations;
  double tolerance; // distance of products by quantised weights from ref's
  pn_backend *scalar, *all[MAX_BACKENDS];
} family;

static family families[] = {{.activations = "int16", .tolerance = 1e-4},
                            {.activations = "int8", .tolerance = 0.02}};
enum { N_FAMILIES = sizeof families / sizeof *families };
static pn_backend *ref, *scalar, *best, **all = families[0].all;
static int n_all;                       // of each family
static pn_backend *module, *cpu_scalar; // NULL unless a module is tested

static void open_all(void) {
  ref = open_backend("ref", NULL, 2, NULL);
  for (family *f = families; f < families + N_FAMILIES; f++) {
    n_all = 0;
    f->scalar = open_backend("cpu", "scalar", 1, f->activations);
    for (const char *const *isa = test_isas(); *isa; isa++)
      for (int threads = 1; threads <= (quick ? 2 : 3); threads++)
        f->all[n_all++] = open_backend("cpu", *isa, threads, f->activations);
    for (int i = 0; i < n_all; i++) printf("%s\n", f->all[i]->ops->describe(f->all[i]));
  }
  scalar = families[0].scalar;
  best = all[1];
}

static void open_with_module(const char *name, const char *folders) {
  ref = open_backend("ref", NULL, 2, NULL);
  cpu_scalar = open_backend("cpu", "scalar", 1, "int16");
  module = open_module(name, folders);
  families[0].scalar = families[0].all[0] = scalar = best = module;
  n_all = 1;
}

static void close_all(void) {
  pn_backend_close(ref);
  if (module) {
    pn_backend_close(module);
    pn_backend_close(cpu_scalar);
    return;
  }
  for (family *f = families; f < families + N_FAMILIES; f++) {
    pn_backend_close(f->scalar);
    for (int i = 0; i < n_all; i++) pn_backend_close(f->all[i]);
  }
}

// The ops that need no batch, each on a copy of the same input: x, y [rows][stride], w [width].
enum {
  RMSNORM,
  HEAD_RMSNORM,
  SPREAD_RMSNORM, // of heads that are not adjacent
  ADD_RMSNORM,
  GATED_RMSNORM,
  SILU_MUL,
  GELU_MUL,
  SIGMOID_GATE,
  SCALE,
  SOFT_CAP,
  ADD,
  ADD_BIAS,
  GATHER,
  N_ROW_OPS
};
static const struct {
  const char *name;
  pn_op op;
  double tolerance;
} row_ops[N_ROW_OPS] = {[RMSNORM] = {"rmsnorm", PN_OP_RMSNORM, 2e-6},
                        [HEAD_RMSNORM] = {"rmsnorm by heads", PN_OP_RMSNORM, 2e-6},
                        [SPREAD_RMSNORM] = {"rmsnorm of heads apart", PN_OP_RMSNORM, 2e-6},
                        [ADD_RMSNORM] = {"add_rmsnorm", PN_OP_ADD_RMSNORM, 2e-6},
                        [GATED_RMSNORM] = {"gated_rmsnorm", PN_OP_GATED_RMSNORM, 3e-6},
                        [SILU_MUL] = {"silu_mul", PN_OP_SILU_MUL, 1e-6},
                        [GELU_MUL] = {"gelu_mul", PN_OP_GELU_MUL, 1e-6},
                        [SIGMOID_GATE] = {"sigmoid_gate", PN_OP_SIGMOID_GATE, 1e-6},
                        [SCALE] = {"scale", PN_OP_SCALE, 0},
                        [SOFT_CAP] = {"soft_cap", PN_OP_SOFT_CAP, 1e-6},
                        [ADD] = {"add", PN_OP_ADD, 0},
                        [ADD_BIAS] = {"add_bias", PN_OP_ADD_BIAS, 0},
                        [GATHER] = {"gather", PN_OP_GATHER, 0}};

typedef struct rows_case {
  int rows, width;
  int64_t stride;
  float *x, *y, *w;
  int32_t *pick;
} rows_case;

// Into how many pieces a row can be cut.
static int heads_of(const rows_case *c) { return c->width % 3 == 0 ? 3 : c->width % 2 == 0 ? 2 : 1; }

// From where to where a head goes that is not adjacent to the next one.
static int apart(const rows_case *c) { return c->width / heads_of(c) + 1; }

// The step of an op, without its weight and its views.
static pn_step step_of(const rows_case *c, int op) {
  pn_step s = {.op = row_ops[op].op};
  switch (op) {
  case RMSNORM:
  case ADD_RMSNORM: s.norm.heads = 1, s.norm.eps = 1e-5f; break;
  case HEAD_RMSNORM:
  case SPREAD_RMSNORM:
  case GATED_RMSNORM:
    s.norm.heads = heads_of(c), s.norm.eps = 1e-5f, s.norm.stride = op == SPREAD_RMSNORM ? apart(c) : 0;
    break;
  case SIGMOID_GATE: s.gate.heads = heads_of(c), s.gate.stride = apart(c); break;
  case SCALE: s.scale.by = 0.7f; break;
  case SOFT_CAP: s.cap.limit = 3; break;
  default: break;
  }
  return s;
}

static void run_step(pn_backend *b, const rows_case *c, int op, int n, float *x, const int32_t *pick,
                     float *y, float *out) {
  pn_error e = {0};
  const int spread = c->width + heads_of(c) - 1;
  const op_rows xs = {x, n, op == SPREAD_RMSNORM ? spread : c->width, c->stride},
                ys = {y, n, op == SIGMOID_GATE ? spread : c->width, c->stride},
                outs = {out, n, c->width, c->width}, every = {x, c->rows, c->width, c->stride}, none = {0};
  pn_step s = step_of(c, op);
  s.w[s.n_weights++] = b->ops->vector_open(b, c->w, c->width, &e);
  switch (op) {
  case RMSNORM:
  case HEAD_RMSNORM:
  case SPREAD_RMSNORM: run_one_op(b, s, NULL, NULL, xs, none, outs); break;
  case ADD:
  case SIGMOID_GATE: run_one_op(b, s, NULL, NULL, ys, none, xs); break;
  case SCALE:
  case SOFT_CAP:
  case ADD_BIAS: run_one_op(b, s, NULL, NULL, none, none, xs); break;
  case GATHER: run_one_op(b, s, NULL, &(pn_batch){.logit_rows = pick}, every, none, outs); break;
  default: run_one_op(b, s, NULL, NULL, xs, ys, outs); break;
  }
  b->ops->weight_close(b, (pn_weight *)(uintptr_t)s.w[0]);
}

// Their result lies in x.
static bool changes_x(int op) { return op >= SIGMOID_GATE && op <= ADD_BIAS; }
static bool in_place(int op) { return changes_x(op) || op == ADD_RMSNORM; }

// What op writes for rows [first, first + n): n rows of `width`.
static void run_row_op(pn_backend *b, const rows_case *c, int op, int first, int n, float *out) {
  size_t floats = (size_t)c->rows * (size_t)c->stride;
  float *x = copy_of(c->x, floats), *y = copy_of(c->y, floats);
  int from_row = op == GATHER ? 0 : first;
  run_step(b, c, op, n, x + from_row * c->stride, c->pick + first, y + first * c->stride, out);
  if (changes_x(op))
    for (int r = 0; r < n; r++)
      memcpy(out + r * c->width, x + (first + r) * c->stride, (size_t)c->width * sizeof *out);
  // Nothing but rows [first, first + n) and columns [0, width) may have changed.
  for (int r = 0; r < c->rows; r++) {
    bool mine = r >= first && r < first + n && in_place(op);
    int from = mine ? c->width : 0;
    CHECK(memcmp(x + r * c->stride + from, c->x + r * c->stride + from,
                 (size_t)(c->stride - from) * sizeof *x) == 0,
          "%s wrote where it must not", row_ops[op].name);
  }
  CHECK(memcmp(y, c->y, floats * sizeof *y) == 0, "%s wrote into its input", row_ops[op].name);
  free(x);
  free(y);
}

static void check_row_op(const rows_case *c, int op) {
  if (!has_op(best, step_of(c, op))) return; // a module need not have all
  size_t n = (size_t)c->rows * (size_t)c->width, where;
  float *want = malloc(n * sizeof *want), *base = malloc(n * sizeof *base), *got = malloc(n * sizeof *got);
  run_row_op(ref, c, op, 0, c->rows, want);
  run_row_op(scalar, c, op, 0, c->rows, base);
  CHECK(close_to(base, want, n, row_ops[op].tolerance, &where), "%s width %d rows %d at %zu: %.9g, ref %.9g",
        row_ops[op].name, c->width, c->rows, where, (double)base[where], (double)want[where]);
  for (int i = 0; i < n_all; i++) {
    run_row_op(all[i], c, op, 0, c->rows, got);
    CHECK(memcmp(got, base, n * sizeof *got) == 0, "%s width %d rows %d: %s differs from scalar",
          row_ops[op].name, c->width, c->rows, all[i]->ops->describe(all[i]));
  }
  for (int r = 0; r < c->rows; r++) run_row_op(best, c, op, r, 1, got + r * c->width);
  CHECK(memcmp(got, base, n * sizeof *got) == 0, "%s width %d rows %d: a row alone differs", row_ops[op].name,
        c->width, c->rows);
  free(want);
  free(base);
  free(got);
}

static void check_row_ops(void) {
  static const int widths[] = {1, 2, 15, 16, 17, 31, 33, 64, 100, 576, 3072, 8191};
  static const int rows[] = {1, 2, 3, 5, 17, 40};
  for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
      if (widths[i] > 3072 && rows[k] > 5) continue;
      if (quick && (widths[i] > 600 || rows[k] > 5)) continue;
      rows_case c = {rows[k], widths[i], widths[i] + 5, NULL, NULL, NULL, NULL};
      size_t n = (size_t)c.rows * (size_t)c.stride;
      c.x = normals(n);
      c.y = normals(n);
      c.w = normals((size_t)c.width);
      c.x[0] = 95; // silu of large numbers
      if (n > 1) c.x[1] = -95;
      c.pick = malloc((size_t)c.rows * sizeof *c.pick);
      for (int r = 0; r < c.rows; r++) c.pick[r] = (int32_t)pn_rng_below(&rng, (uint64_t)c.rows);
      for (int op = 0; op < N_ROW_OPS; op++) check_row_op(&c, op);
      free(c.x);
      free(c.y);
      free(c.w);
      free(c.pick);
    }
}

static void run_rope(pn_backend *b, const pn_rope *rope, const int32_t *pos, int first, int rows, int heads,
                     int dim, const float *in, float *out) {
  int64_t stride = (int64_t)heads * dim + 3;
  memcpy(out + first * stride, in + first * stride, (size_t)(rows * stride) * sizeof *out);
  pn_step s = {.op = PN_OP_ROPE, .rope = {0, heads, dim}};
  run_one_op(b, s, rope, &(pn_batch){.n_rows = rows, .pos = pos + first}, (op_rows){0}, (op_rows){0},
             (op_rows){out + first * stride, rows, heads * dim, stride});
}

static void check_rope(int dim, int n_rot, pn_rope_order order, float scale, int rows) {
  enum { HEADS = 3 };
  float inv_freq[512];
  int32_t pos[64];
  size_t n = (size_t)rows * (size_t)(HEADS * dim + 3), where;
  for (int i = 0; i < n_rot / 2; i++) inv_freq[i] = powf(10000, -2.0f * (float)i / (float)n_rot);
  for (int r = 0; r < rows; r++) pos[r] = (int32_t)pn_rng_below(&rng, r % 3 ? 131072 : 40);
  pn_rope rope = {order, n_rot, inv_freq, scale};
  float *in = normals(n), *want = calloc(n, 4), *base = calloc(n, 4), *got = calloc(n, 4);
  run_rope(ref, &rope, pos, 0, rows, HEADS, dim, in, want);
  run_rope(scalar, &rope, pos, 0, rows, HEADS, dim, in, base);
  CHECK(close_to(base, want, n, 1e-6, &where), "rope dim %d n_rot %d order %d at %zu: %.9g, ref %.9g", dim,
        n_rot, order, where, (double)base[where], (double)want[where]);
  for (int i = 0; i < n_all; i++) {
    run_rope(all[i], &rope, pos, 0, rows, HEADS, dim, in, got);
    CHECK(memcmp(got, base, n * 4) == 0, "rope dim %d n_rot %d order %d: %s differs from scalar", dim, n_rot,
          order, all[i]->ops->describe(all[i]));
  }
  for (int r = 0; r < rows; r++) run_rope(best, &rope, pos, r, 1, HEADS, dim, in, got);
  CHECK(memcmp(got, base, n * 4) == 0, "rope dim %d n_rot %d: a row alone differs", dim, n_rot);
  free(in);
  free(want);
  free(base);
  free(got);
}

static void check_ropes(void) {
  static const int shapes[][2] = {{2, 2},   {6, 6},   {33, 32},   {64, 64},  {80, 32},
                                  {80, 80}, {96, 96}, {128, 128}, {600, 520}};
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
    for (int order = 0; order < 2; order++) {
      check_rope(shapes[i][0], shapes[i][1], order ? PN_ROPE_INTERLEAVED : PN_ROPE_HALF, 1, 1);
      check_rope(shapes[i][0], shapes[i][1], order ? PN_ROPE_INTERLEAVED : PN_ROPE_HALF, 1.19f, 40);
    }
}

// More kinds of rotation in one plan than there are tables, each used twice.
static void check_many_ropes(void) {
  enum { KINDS = 7, ROWS = 30, DIM = 64 };
  float inv_freq[KINDS][DIM / 2], *in = normals(ROWS * DIM), *base = NULL;
  int32_t pos[ROWS];
  pn_rope ropes[2 * KINDS];
  for (int r = 0; r < ROWS; r++) pos[r] = r * 11;
  for (int k = 0; k < KINDS; k++)
    for (int i = 0; i < DIM / 2; i++) inv_freq[k][i] = powf(100.0f * (float)(k + 2), -(float)i / (DIM / 2));
  for (int use = 0; use < 2 * KINDS; use++)
    ropes[use] = (pn_rope){use % 2 ? PN_ROPE_HALF : PN_ROPE_INTERLEAVED, DIM, inv_freq[use % KINDS], 1};
  const pn_buffer buffer = {DIM, false};
  const pn_view view = {0, 0, DIM};
  const pn_plan plan = {NULL, 0, &buffer, 1, ropes, 2 * KINDS};
  for (int b = 0; b < n_all; b++) {
    pn_error e;
    float *x = copy_of(in, ROWS * DIM);
    pn_workspace *ws = all[b]->ops->workspace_open(all[b], &plan, ROWS, 0, &e);
    CHECK(ws && all[b]->ops->begin(all[b], ws, &(pn_batch){.n_rows = ROWS, .pos = pos}, &e), "%s", e.msg);
    all[b]->ops->write(all[b], ws, view, 0, ROWS, x);
    for (int use = 0; use < 2 * KINDS; use++)
      all[b]->ops->run(all[b], ws, &(pn_step){.op = PN_OP_ROPE, .out = view, .rope = {use, 1, DIM}});
    all[b]->ops->read(all[b], ws, view, 0, ROWS, x, &e);
    all[b]->ops->workspace_close(all[b], ws);
    if (b == 0) base = copy_of(x, ROWS * DIM);
    CHECK(memcmp(x, base, ROWS * DIM * sizeof *x) == 0, "ropes: %s", all[b]->ops->describe(all[b]));
    free(x);
  }
  free(base);
  free(in);
}

// embed (when it fits) and a product of two parts, through the table: out = [rows][2 * m.rows].
static void run_matrix(pn_backend *b, const pn_matrix *m, const float *x, int rows, float *out,
                       float *embedded) {
  pn_error e = {0};
  pn_weight *w = b->ops->weight_open(b, m, &e);
  CHECK(w, "%s", e.msg);
  if (!w) return;
  int32_t token[40];
  for (int r = 0; r < rows; r++) token[r] = (int32_t)((r * 7) % m->rows);
  const int cols = (int)m->cols, width = (int)(2 * m->rows);
  float *in = copy_of(x, (size_t)rows * (size_t)cols);
  pn_step product = {.op = PN_OP_MATMUL, .w = {w, w}, .n_weights = 2};
  run_one_op(b, product, NULL, NULL, (op_rows){in, rows, cols, cols}, (op_rows){0},
             (op_rows){out, rows, width, width});
  pn_step embed = {.op = PN_OP_EMBED, .w = {w}, .n_weights = 1, .embed = {3}};
  run_one_op(b, embed, NULL, &(pn_batch){.n_rows = rows, .token = token}, (op_rows){0}, (op_rows){0},
             (op_rows){embedded, rows, cols, cols});
  free(in);
  b->ops->weight_close(b, w);
}

static double distance(const float *a, const float *b, size_t n) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < n; i++) {
    error += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    norm += (double)b[i] * (double)b[i];
  }
  return sqrt(error / (norm + 1e-30));
}

static void check_matrix(const family *f, pn_matrix m, int rows, double tolerance) {
  size_t n = (size_t)(rows * 2 * m.rows), n_embed = (size_t)(rows * m.cols), where;
  float *x = normals(n_embed), *want = malloc(n * 4), *base = malloc(n * 4), *got = malloc(n * 4);
  float *row = malloc(n_embed * 4), *base_row = malloc(n_embed * 4), *got_row = malloc(n_embed * 4);
  run_matrix(ref, &m, x, rows, want, row);
  run_matrix(module && pn_kind_of(m.kind)->bits + m.bits > 0 ? cpu_scalar : f->scalar, &m, x, rows, base,
             base_row);
  double d = distance(base, want, n);
  if (n < 64) tolerance *= 10; // few outputs may cancel to almost nothing
  CHECK(d <= tolerance, "matmul kind %d bits %d group %d, %lldx%lld, rows %d: distance %g", (int)m.kind,
        m.bits, m.group, (long long)m.rows, (long long)m.cols, rows, d);
  CHECK(close_to(base_row, row, n_embed, 1e-6, &where),
        "embed kind %d bits %d group %d at %zu: %.9g, ref %.9g", (int)m.kind, m.bits, m.group, where,
        (double)base_row[where], (double)row[where]);
  for (int i = 0; i < n_all; i++) {
    const char *which = f->all[i]->ops->describe(f->all[i]);
    run_matrix(f->all[i], &m, x, rows, got, got_row);
    CHECK(memcmp(got, base, n * 4) == 0, "matmul kind %d bits %d group %d, %lldx%lld, rows %d: %s differs",
          (int)m.kind, m.bits, m.group, (long long)m.rows, (long long)m.cols, rows, which);
    // A module may give a zero another sign.
    bool same =
        module ? close_to(got_row, base_row, n_embed, 0, &where) : !memcmp(got_row, base_row, n_embed * 4);
    CHECK(same, "embed kind %d: %s differs", (int)m.kind, which);
  }
  free_matrix(&m);
  free(x);
  free(want);
  free(base);
  free(got);
  free(row);
  free(base_row);
  free(got_row);
}

// int8 activations in blocks of 32 or 64 move a product by about 1 %, int16 by some 1e-5; float weights only
// by rounding.
static void check_matrices(const family *f) {
  static const int bits[] = {2, 3, 4, 5, 6, 8}, groups[] = {32, 64, 128}, rows[] = {1, 2, 3, 7, 13, 40};
  static const pn_dtype scales[] = {PN_F16, PN_BF16, PN_F32};
  int k = 0;
  for (int b = 0; b < 6; b++)
    for (int g = 0; g < 3; g++, k++)
      for (int s = 0; s < (quick ? 1 : 3); s++)
        check_matrix(f,
                     random_matrix(&rng, PN_AFFINE, 1 + 13 * (k % 5), 384 + 256 * (k % 4), bits[b], groups[g],
                                   scales[s]),
                     rows[(k + s) % 6], f->tolerance);
  for (int kind = 0; kind < PN_OTHER; kind++) {
    const pn_kind *t = pn_kind_of((pn_dtype)kind);
    for (int r = 0; t->block > 1 && r < 6; r++) {
      const int blocks = t->block > 32 ? 1 + r / 2 : 3 + r;
      check_matrix(f, random_matrix(&rng, (pn_dtype)kind, 19 + r * 8, t->block * blocks, 0, 0, PN_F16),
                   rows[r], f->tolerance);
    }
  }
  for (int kind = PN_F32; kind <= PN_BF16; kind++)
    for (int r = 0; r < 6; r++)
      check_matrix(f, random_matrix(&rng, (pn_dtype)kind, 5 + r * 8, 1 + 29 * r, 0, 0, PN_F16), rows[r],
                   1e-6);
}

static const cpu_ops *const tables[] = {
    &cpu_ops_scalar,
#if defined(__x86_64__)
    &cpu_ops_avx2,
    &cpu_ops_avx512,
#elif defined(__aarch64__)
    &cpu_ops_neon,
#endif
};

static bool usable(const cpu_ops *t) {
  for (const char *const *isa = test_isas(); *isa; isa++)
    if (strcmp(*isa, t->name) == 0) return true;
  return false;
}

static void check_exp(void) {
  const int N = quick ? 20001 : 400001;
  float *x = malloc((size_t)N * 4), *y = malloc((size_t)N * 4), *base = malloc((size_t)N * 4);
  double worst = 0;
  for (int i = 0; i < N; i++) x[i] = -87.3f + 175.3f * (float)i / (float)(N - 1);
  x[7] = 0;
  cpu_ops_scalar.exp(x, N, base);
  for (int i = 0; i < N; i++) {
    double want = exp((double)x[i]), error = fabs((double)base[i] - want) / want;
    if (error > worst) worst = error;
  }
  printf("exp: worst relative error %.3g\n", worst);
  CHECK(worst < 1.5e-7, "exp: %g", worst);
  CHECK(base[7] == 1.0f, "exp(0) = %.9g", (double)base[7]);
  for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
    if (!usable(tables[t])) continue;
    tables[t]->exp(x, N, y);
    CHECK(memcmp(y, base, (size_t)N * 4) == 0, "exp: %s differs from scalar", tables[t]->name);
  }
  free(x);
  free(y);
  free(base);
}

static void check_store(void) {
  static const float special[] = {0.0f,       -0.0f,          65504,       65519.9f, 65520,   1e30f,  -1e30f,
                                  INFINITY,   -INFINITY,      6e-8f,       3e-8f,    2.9e-8f, 1e-40f, 6.1e-5f,
                                  1.0009765f, 1.00048828125f, 1.00146484f, 3.4e38f,  1e-20f};
  enum { N = 1003 };
  float x[N];
  uint16_t got[N];
  for (int i = 0; i < N; i++) x[i] = normal() * powf(10, (float)(i % 12) - 7);
  memcpy(x, special, sizeof special);
  for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
    if (!usable(tables[t])) continue;
    tables[t]->store(PN_F16, got, x, N);
    for (int i = 0; i < N; i++)
      CHECK(got[i] == pn_f32_to_f16(x[i]), "%s: f16 of %.9g is %04x", tables[t]->name, (double)x[i], got[i]);
    tables[t]->store(PN_BF16, got, x, N);
    for (int i = 0; i < N; i++)
      CHECK(got[i] == pn_f32_to_bf16(x[i]), "%s: bf16 of %.9g is %04x", tables[t]->name, (double)x[i],
            got[i]);
    float nan = NAN;
    for (int k = 0; k < 2; k++) {
      tables[t]->store(k ? PN_BF16 : PN_F16, got, &nan, 1);
      CHECK(isnan(k ? pn_bf16_to_f32(got[0]) : pn_f16_to_f32(got[0])), "%s: a NaN became %04x",
            tables[t]->name, got[0]);
    }
  }
}

static void check_all_but_products(void) {
  if (!module) {
    check_exp();
    check_store();
  }
  check_row_ops();
  check_ropes();
  check_many_ropes();
}

int main(int argc, char **argv) {
  const bool products = argc > 1 && strcmp(argv[1], "products") == 0;
  quick = products || (argc > 1 && strcmp(argv[1], "quick") == 0);
  pn_rng_seed(&rng, 7);
  if (argc == 4 && strcmp(argv[1], "module") == 0)
    open_with_module(argv[2], argv[3]);
  else
    open_all();
  if (!products) check_all_but_products();
  for (int i = 0; i < (module ? 1 : N_FAMILIES); i++) check_matrices(&families[i]);
  close_all();
  return check_result("cpu grid");
}
