// Routed experts of `cpu` on every instruction set that the machine has: against `ref` within a tolerance,
// bit for bit against the scalar kernels on one thread, the same for a row in any company, and without a look
// at experts that nobody chose.
#include "../backend_options.h"
#include "backend/backend.h"
#include "backend/cpu/cpu_ops.h"
#include "base/kind.h"
#include "base/rng.h"
#include "check.h"
#include "one_op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MAX_BACKENDS = 16, MAX_ROWS = 300, PAGE = 4096 };

static pn_backend *ref, *scalar, *all[MAX_BACKENDS];
static int n_all;
static bool quick;
static pn_rng rng;

static int below(int n) { return (int)pn_rng_below(&rng, (uint64_t)n); }

static float normal(void) {
  double u = pn_rng_unit(&rng) + 1e-12, v = pn_rng_unit(&rng);
  return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static void open_all(void) {
  pn_error e = {0};
  ref = open_test_backend("ref", 2, NULL, NULL, &e);
  scalar = open_test_backend("cpu", 1, "scalar", NULL, &e);
  for (const char *const *isa = test_isas(); *isa; isa++)
    for (int threads = 1; threads <= 3; threads += 2)
      all[n_all++] = open_test_backend("cpu", threads, *isa, NULL, &e);
  for (int i = 0; i < n_all; i++) {
    if (!all[i]) printf("%s\n", e.msg), exit(1);
    printf("%s\n", all[i]->ops->describe(all[i]));
  }
}

static void close_all(void) {
  pn_backend_close(ref);
  pn_backend_close(scalar);
  for (int i = 0; i < n_all; i++) pn_backend_close(all[i]);
}

// Logits as models give them, with many equal ones, all equal, and with numbers that are none.
enum { PLAIN, ROUND, EQUAL, STRANGE, N_LOGITS };

static void fill_logits(float *x, int n, int kind) {
  for (int i = 0; i < n; i++) {
    const float v = normal();
    x[i] = kind == PLAIN ? 3 * v : kind == ROUND ? roundf(v) : kind == EQUAL ? 0.5f : 30 * v;
    if (kind == STRANGE && below(4) == 0) x[i] = below(2) ? NAN : -INFINITY;
  }
}

typedef struct route_case {
  int n, k, rows, logits;
  pn_route route;
  const float *bias; // NULL: none
  float *x;
} route_case;

static void run_route(pn_backend *b, const route_case *c, int first, int rows, float *out) {
  pn_error e = {0};
  pn_weight *w = c->bias ? b->ops->vector_open(b, c->bias, c->n, &e) : NULL;
  const pn_step s = {.op = PN_OP_ROUTE, .w = {w}, .n_weights = w != NULL, .route = c->route};
  run_one_op(b, s, NULL, NULL, (op_rows){c->x + first * c->n, rows, c->n, c->n}, (op_rows){0},
             (op_rows){out, rows, 2 * c->k, 2 * c->k});
  b->ops->weight_close(b, w);
}

// By definition: whoever is chosen ranks above whoever is not; numbers ascend; normalised weights sum up to
// the scale.
static void check_choice(const route_case *c, const float *x, const float *out) {
  bool chosen[PN_MAX_EXPERTS] = {false};
  double sum = 0;
  for (int i = 0; i < c->k; i++) {
    CHECK(out[i] >= 0 && out[i] < (float)c->n && (i == 0 || out[i] > out[i - 1]), "%d of %d: %g", i, c->n,
          (double)out[i]);
    chosen[(int)out[i]] = true;
    sum += (double)out[c->k + i];
  }
  for (int a = 0; a < c->n && !c->bias; a++)
    for (int b = 0; b < c->n && chosen[a]; b++) {
      bool above = x[a] > x[b] || (x[a] == x[b] && a < b) || (isnan(x[b]) && (!isnan(x[a]) || a < b));
      CHECK(chosen[b] || above, "%d (%g) before %d (%g)", a, (double)x[a], b, (double)x[b]);
    }
  if (c->route.normalise && c->logits != STRANGE)
    CHECK(fabs(sum - (double)c->route.scale) < 1e-5, "weights sum up to %g", sum);
}

static void check_route(const route_case *c) {
  const size_t n = (size_t)(c->rows * 2 * c->k);
  float *want = malloc(n * 4), *base = malloc(n * 4), *got = malloc(n * 4);
  run_route(ref, c, 0, c->rows, want);
  run_route(scalar, c, 0, c->rows, base);
  for (int r = 0; r < c->rows; r++) check_choice(c, c->x + r * c->n, base + r * 2 * c->k);
  for (size_t i = 0; i < n && c->logits != STRANGE; i++)
    CHECK(fabsf(want[i] - base[i]) <= 1e-5f * fabsf(want[i]), "%d of %d, gate %d: %.9g, ref %.9g", c->k, c->n,
          (int)c->route.gate, (double)base[i], (double)want[i]);
  for (int i = 0; i < n_all; i++) {
    run_route(all[i], c, 0, c->rows, got);
    CHECK(memcmp(got, base, n * 4) == 0, "route: %s differs", all[i]->ops->describe(all[i]));
    for (int r = 0; r < c->rows; r += 7) {
      run_route(all[i], c, r, 1, got);
      CHECK(memcmp(got, base + r * 2 * c->k, (size_t)(2 * c->k) * 4) == 0, "route: row %d alone differs", r);
    }
  }
  free(want);
  free(base);
  free(got);
}

static void check_routes(void) {
  static const struct {
    int n, k, rows;
  } shapes[] = {{1, 1, 3}, {2, 2, 1}, {7, 3, 12}, {33, 4, 5}, {128, 8, 40}, {PN_MAX_EXPERTS, 10, 5}};
  static float bias[PN_MAX_EXPERTS];
  for (int i = 0; i < PN_MAX_EXPERTS; i++) bias[i] = 0.5f * normal();
  for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
    for (int way = 0; way < 16; way++) {
      const int n = shapes[s].n, rows = shapes[s].rows;
      float *x = malloc((size_t)(rows * n) * sizeof *x);
      const route_case c = {
          .n = n,
          .k = shapes[s].k,
          .rows = rows,
          .logits = way % 4,
          .route = {way / 4 % 2 ? PN_GATE_SIGMOID : PN_GATE_SOFTMAX, way / 8 == 0, way % 3 ? 1 : 2.5f},
          .bias = way / 4 % 2 && way % 4 < 2 ? bias : NULL,
          .x = x};
      for (int r = 0; r < rows; r++) fill_logits(x + r * n, n, c.logits);
      check_route(&c);
      free(x);
    }
}

// Matrices of experts, in pages of their own.
static pn_matrix make_matrix(pn_dtype kind, int64_t rows, int64_t cols, int bits, int group) {
  const pn_kind *k = pn_kind_of(kind);
  pn_matrix m = {
      .kind = kind, .rows = rows, .cols = cols, .bits = bits, .group = group, .scale_dtype = PN_F16};
  m.row_bytes = (size_t)(kind == PN_AFFINE ? cols * bits / 8 : cols / k->block * k->bytes);
  const size_t bytes = m.row_bytes * (size_t)rows;
  unsigned char *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < bytes; i++) data[i] = (unsigned char)pn_rng_u64(&rng);
  for (size_t i = 0; kind <= PN_BF16 && i < bytes; i += k->bytes) {
    const float f = 0.2f * normal();
    cpu_ops_scalar.store(kind, data + i, &f, 1);
  }
  for (size_t i = 0; k->codes && i < bytes; i += k->bytes) { // scales are bytes like others
    float v[256], most = 1;
    while (!(most < 0.5f)) {
      for (int b = 0; b < k->bytes; b++) data[i + (size_t)b] = (unsigned char)pn_rng_u64(&rng);
      k->decode(data + i, 1, v);
      most = 0;
      for (int b = 0; b < k->block; b++)
        if (!(fabsf(v[b]) <= most)) most = fabsf(v[b]);
    }
  }
  m.data = data;
  if (kind != PN_AFFINE) return m;
  const size_t n = (size_t)(rows * cols / group);
  uint16_t *s = malloc(n * 2), *b = malloc(n * 2);
  for (size_t i = 0; i < n; i++) {
    s[i] = pn_f32_to_f16(0.02f * normal());
    b[i] = pn_f32_to_f16(0.1f * normal());
  }
  m.scales = s;
  m.biases = b;
  return m;
}

static void free_matrix(const pn_matrix *m) {
  munmap((void *)(uintptr_t)m->data, m->row_bytes * (size_t)m->rows);
  free((void *)(uintptr_t)m->scales);
  free((void *)(uintptr_t)m->biases);
}

typedef struct weights_kind {
  pn_dtype kind;
  int bits, group;
} weights_kind;

typedef struct experts_case {
  weights_kind gate, up, down;
  bool both; // gate and up in one matrix
  int n, k, d, width, rows;
  int n_chosen; // experts that anybody goes to, from the last one down
  float tolerance;
  pn_matrix m[3]; // gate, up, down; or gate_up, down
  float *x, *route;
} experts_case;

static int n_matrices(const experts_case *c) { return c->both ? 2 : 3; }

// Each row goes to k of the last n_chosen experts.
static void draw_route(const experts_case *c, float *out) {
  for (int i = 0; i < c->k; i++) {
    const int lowest = i == 0 ? c->n - c->n_chosen : (int)out[i - 1] + 1;
    out[i] = (float)(lowest + below(c->n - (c->k - 1 - i) - lowest));
    out[c->k + i] = 0.05f + 0.5f * fabsf(normal());
  }
}

static void make_case(experts_case *c) {
  const weights_kind *in = &c->gate, *down = &c->down;
  const int64_t n = c->n, rows = c->both ? 2 * c->width : c->width;
  int at = 0;
  c->m[at++] = make_matrix(in->kind, n * rows, c->d, in->bits, in->group);
  if (!c->both) c->m[at++] = make_matrix(c->up.kind, n * rows, c->d, c->up.bits, c->up.group);
  c->m[at] = make_matrix(down->kind, n * c->d, c->width, down->bits, down->group);
  c->x = malloc((size_t)(c->rows * c->d) * sizeof *c->x);
  c->route = malloc((size_t)(c->rows * 2 * c->k) * sizeof *c->route);
  for (int i = 0; i < c->rows * c->d; i++) c->x[i] = normal();
  for (int r = 0; r < c->rows; r++) draw_route(c, c->route + r * 2 * c->k);
}

static void free_case(experts_case *c) {
  for (int i = 0; i < n_matrices(c); i++) free_matrix(&c->m[i]);
  free(c->x);
  free(c->route);
}

// Rows [first, first + rows).
static void run_experts(pn_backend *b, const experts_case *c, int first, int rows, float *out) {
  pn_error e = {0};
  pn_step s = {.op = PN_OP_EXPERTS, .n_weights = n_matrices(c), .experts = {c->n, c->width}};
  pn_weight *w[3];
  for (int i = 0; i < s.n_weights; i++) {
    s.w[i] = w[i] = b->ops->weight_open(b, &c->m[i], &e);
    CHECK(w[i], "%s", e.msg);
  }
  run_one_op(b, s, NULL, NULL, (op_rows){c->x + first * c->d, rows, c->d, c->d},
             (op_rows){c->route + first * 2 * c->k, rows, 2 * c->k, 2 * c->k},
             (op_rows){out, rows, c->d, c->d});
  for (int i = 0; i < s.n_weights; i++) b->ops->weight_close(b, w[i]);
}

static double distance(const float *a, const float *b, size_t n) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < n; i++) {
    error += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    norm += (double)b[i] * (double)b[i];
  }
  return sqrt(error / (norm + 1e-30));
}

static void check_experts(experts_case *c) {
  make_case(c);
  const size_t n = (size_t)(c->rows * c->d), row_bytes = (size_t)c->d * sizeof(float);
  float *want = malloc(n * 4), *base = malloc(n * 4), *got = malloc(n * 4);
  run_experts(ref, c, 0, c->rows, want);
  run_experts(scalar, c, 0, c->rows, base);
  const double off = distance(base, want, n);
  CHECK(off <= (double)c->tolerance, "experts of kinds %d, %d, %d, %d rows: distance %g", (int)c->gate.kind,
        (int)c->up.kind, (int)c->down.kind, c->rows, off);
  for (int i = 0; i < n_all; i++) {
    const char *which = all[i]->ops->describe(all[i]);
    run_experts(all[i], c, 0, c->rows, got);
    CHECK(memcmp(got, base, n * 4) == 0, "experts of kinds %d, %d, %d, %d rows: %s differs",
          (int)c->gate.kind, (int)c->up.kind, (int)c->down.kind, c->rows, which);
    const int step = c->rows < 10 ? 1 : c->rows / 4;
    for (int r = 0; r < c->rows; r += step) {
      const int several = c->rows - r < 5 ? c->rows - r : 5;
      for (int company = 1; company <= several; company += 2) {
        run_experts(all[i], c, r, company, got);
        CHECK(memcmp(got, base + r * c->d, (size_t)company * row_bytes) == 0,
              "experts of kinds %d, %d, %d: row %d of %d differs among %d on %s", (int)c->gate.kind,
              (int)c->up.kind, (int)c->down.kind, r, c->rows, company, which);
      }
    }
  }
  free(want);
  free(base);
  free(got);
  free_case(c);
}

#define SAME(...) .gate = __VA_ARGS__, .up = __VA_ARGS__, .down = __VA_ARGS__

static void check_all_experts(void) {
  static const weights_kind q4_k = {PN_Q4_K, 0, 0}, q6_k = {PN_Q6_K, 0, 0}, q8_0 = {PN_Q8_0, 0, 0},
                            f16 = {PN_F16, 0, 0}, mlx4 = {PN_AFFINE, 4, 64}, mlx8 = {PN_AFFINE, 8, 32},
                            mlx3 = {PN_AFFINE, 3, 128};
  static const int rows[] = {1, 2, 9, 40};
  for (int r = 0; r < 4; r++) {
    const int n = rows[r];
    experts_case cases[] = {
        {SAME({PN_F32, 0, 0}), false, 7, 3, 33, 19, n, 7, 1e-5f, .x = NULL},
        {SAME({PN_BF16, 0, 0}), true, 5, 2, 40, 24, n, 5, 1e-5f, .x = NULL},
        {SAME({PN_AFFINE, 4, 64}), false, 7, 3, 192, 64, n, 7, 2e-4f, .x = NULL},
        {mlx4, mlx8, mlx3, false, 6, 6, 64, 128, n, 6, 2e-4f, .x = NULL},
        {SAME({PN_Q4_K, 0, 0}), false, 7, 3, 256, 256, n, 7, 2e-4f, .x = NULL},
        {SAME({PN_Q5_0, 0, 0}), true, 8, 1, 96, 32, n, 4, 2e-4f, .x = NULL},
        {q4_k, q6_k, q8_0, false, 4, 2, 256, 96, n, 4, 2e-4f, .x = NULL},
        {q6_k, q6_k, f16, true, 9, 4, 256, 49, n, 9, 2e-4f, .x = NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
      if (!quick || (i + (size_t)r) % 2 == 0) check_experts(&cases[i]);
  }
  // More pairs than a slice has, and more rows for one expert.
  experts_case many = {SAME({PN_AFFINE, 4, 64}), false, 11, 5, 64, 64, MAX_ROWS, 11, 2e-4f, .x = NULL};
  check_experts(&many);
  experts_case one = {SAME({PN_Q8_0, 0, 0}), false, 3, 1, 64, 32, MAX_ROWS, 1, 2e-4f, .x = NULL};
  check_experts(&one);
}

// The pages of experts below the first that anybody may choose can't be read.
static void hide_others(const experts_case *c, int protection) {
  for (int i = 0; i < n_matrices(c); i++) {
    const pn_matrix *m = &c->m[i];
    const size_t each = (size_t)(m->rows / c->n) * m->row_bytes;
    CHECK(each % PAGE == 0, "an expert of %zu bytes is no whole number of pages", each);
    mprotect((void *)(uintptr_t)m->data, each * (size_t)(c->n - c->n_chosen), protection);
  }
}

// The chosen ones are every second of the last, so that what lies behind each is closed too.
static void check_only_chosen_are_read(experts_case *c) {
  make_case(c);
  for (int r = 0; r < c->rows; r++)
    for (int i = 0; i < c->k; i++) c->route[r * 2 * c->k + i] = (float)(c->n - 1 - 2 * (c->k - 1 - i));
  float *want = malloc((size_t)(c->rows * c->d) * 4), *got = malloc((size_t)(c->rows * c->d) * 4);
  run_experts(scalar, c, 0, c->rows, want);
  c->n_chosen = 2 * c->k - 1;
  hide_others(c, PROT_NONE);
  for (int i = 0; i < n_matrices(c); i++) {
    const size_t each = (size_t)(c->m[i].rows / c->n) * c->m[i].row_bytes;
    for (int e = c->n - 2; e > c->n - c->n_chosen; e -= 2)
      mprotect((char *)(uintptr_t)c->m[i].data + each * (size_t)e, each, PROT_NONE);
  }
  run_experts(ref, c, 0, c->rows, got);
  for (int i = 0; i < n_all; i++) {
    run_experts(all[i], c, 0, c->rows, got);
    CHECK(memcmp(got, want, (size_t)(c->rows * c->d) * 4) == 0, "%s differs", all[i]->ops->describe(all[i]));
  }
  free(want);
  free(got);
  free_case(c);
}

static void check_what_is_read(void) {
  for (int rows = 1; rows <= 17; rows += 8) {
    experts_case f32 = {SAME({PN_F32, 0, 0}), false, 9, 3, 64, 16, rows, 9, 0, .x = NULL},
                 mlx = {SAME({PN_AFFINE, 4, 64}), false, 9, 3, 128, 64, rows, 9, 0, .x = NULL},
                 odd = {SAME({PN_AFFINE, 6, 32}), true, 6, 2, 128, 128, rows, 6, 0, .x = NULL},
                 q4_k = {SAME({PN_Q4_K, 0, 0}), false, 6, 2, 256, 256, rows, 6, 0, .x = NULL},
                 q6_k = {SAME({PN_Q6_K, 0, 0}), true, 5, 2, 1024, 512, rows, 5, 0, .x = NULL},
                 q8_0 = {SAME({PN_Q8_0, 0, 0}), false, 5, 2, 1024, 1024, rows, 5, 0, .x = NULL};
    check_only_chosen_are_read(&f32);
    check_only_chosen_are_read(&mlx);
    check_only_chosen_are_read(&odd);
    check_only_chosen_are_read(&q4_k);
    if (quick) continue;
    check_only_chosen_are_read(&q6_k);
    check_only_chosen_are_read(&q8_0);
  }
}

int main(int argc, char **argv) {
  quick = argc > 1 && strcmp(argv[1], "quick") == 0;
  pn_rng_seed(&rng, 17);
  open_all();
  check_routes();
  check_all_experts();
  check_what_is_read();
  close_all();
  return check_result("experts grid");
}
