// Speed of sampling: microseconds a row for one row and for eight, over three sizes of vocabulary and the
// usual settings. Logits are normal with a standard deviation of 3.5, which is about what SmolLM2 gives on
// prose. Medians. Usage: bench_sample [threads] [isa] [backend]
#include "backend/backend.h"
#include "base/clock.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_ROWS = 8, ROUNDS = 41, N_IDS = 512 };

typedef struct setting {
  const char *name;
  pn_sample how;
  int mask; // 1: bits, two of three tokens; 2: ids
} setting;

static const setting settings[] = {
    {"greedy", {.temperature = 0, .top_p = 1}, 0},
    {"greedy, bits", {.temperature = 0, .top_p = 1}, 1},
    {"temperature 1", {.temperature = 1, .top_p = 1}, 0},
    {"top_k 40", {.temperature = 1, .top_p = 1, .top_k = 40}, 0},
    {"top_p 0.95", {.temperature = 1, .top_p = 0.95f}, 0},
    {"top_k 40, top_p 0.95", {.temperature = 1, .top_p = 0.95f, .top_k = 40}, 0},
    {"min_p 0.05", {.temperature = 1, .top_p = 1, .min_p = 0.05f}, 0},
    {"temperature 1, bits", {.temperature = 1, .top_p = 1}, 1},
    {"top_p 0.95, bits", {.temperature = 1, .top_p = 0.95f}, 1},
    {"temperature 1, 512 ids", {.temperature = 1, .top_p = 1}, 2},
    {"20 log probabilities", {.temperature = 1, .top_p = 1, .logprobs = true, .n_top = 20}, 0},
};

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// Microseconds a row; the median. Between two calls the workers stay awake, as they do behind a matrix
// product.
static double time_rows(pn_backend *b, pn_workspace *ws, int n_vocab, pn_sample how, int rows) {
  static uint64_t position;
  pn_sample each[MAX_ROWS];
  pn_choice out[MAX_ROWS];
  double t[ROUNDS];
  for (int round = -2; round < ROUNDS; round++) {
    for (int r = 0; r < rows; r++) {
      each[r] = how;
      each[r].position = position++;
    }
    uint64_t start = pn_now_ns();
    pn_error e;
    b->ops->sample(b, ws, (pn_view){0, 0, n_vocab}, each, rows, out, &e);
    if (round >= 0) t[round] = (double)(pn_now_ns() - start) / 1e3 / rows;
  }
  qsort(t, ROUNDS, sizeof t[0], by_value);
  return t[ROUNDS / 2];
}

static void measure(pn_backend *b, int n_vocab) {
  size_t n = (size_t)n_vocab * MAX_ROWS;
  float *logits = malloc(n * sizeof *logits);
  const pn_buffer buffer = {n_vocab, true};
  const pn_plan plan = {NULL, 0, &buffer, 1, NULL, 0};
  uint64_t *bits = calloc((size_t)n_vocab / 64 + 1, sizeof *bits);
  int32_t ids[N_IDS];
  pn_rng rng;
  pn_error e;
  if (!logits || !bits || !b->ops->sample_reserve(b, n_vocab, MAX_ROWS, &e)) exit(1);
  pn_workspace *ws = b->ops->workspace_open(b, &plan, 0, MAX_ROWS, &e);
  if (!ws) exit(1);
  pn_rng_seed(&rng, 1);
  for (size_t i = 0; i < n; i++) {
    double u = pn_rng_unit(&rng) + 1e-12, v = pn_rng_unit(&rng);
    logits[i] = (float)(3.5 * sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
  }
  b->ops->write(b, ws, (pn_view){0, 0, n_vocab}, 0, MAX_ROWS, logits);
  for (int i = 0; i < n_vocab; i++)
    if (i % 3) bits[i / 64] |= (uint64_t)1 << i % 64;
  for (int i = 0; i < N_IDS; i++) ids[i] = (int32_t)((int64_t)i * n_vocab / N_IDS);
  for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
    pn_sample how = settings[i].how;
    how.seed = 1;
    if (settings[i].mask == 1) how.bits = bits;
    if (settings[i].mask == 2) how.ids = ids, how.n_ids = N_IDS;
    printf("%7d  %-24s %8.1f %8.1f\n", n_vocab, settings[i].name, time_rows(b, ws, n_vocab, how, 1),
           time_rows(b, ws, n_vocab, how, MAX_ROWS));
  }
  free(bits);
  b->ops->workspace_close(b, ws);
  free(logits);
}

int main(int argc, char **argv) {
  static const int sizes[] = {49152, 151936, 262144};
  pn_error e;
  pn_backend_options o = {argc > 3 ? argv[3] : "cpu", {{"threads", argc > 1 ? argv[1] : "0", false}}, NULL};
  if (argc > 2) o.settings[1] = (pn_setting){"isa", argv[2], false};
  pn_backend *b = pn_backend_open(&o, &e);
  if (!b) {
    fprintf(stderr, "%s\n", e.msg);
    return 1;
  }
  printf("%s; us a row\nentries  setting                     1 row   8 rows\n", b->ops->describe(b));
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) measure(b, sizes[i]);
  pn_backend_close(b);
  return 0;
}
