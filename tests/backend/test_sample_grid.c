// Sampling of `cpu` on every instruction set that the machine has, with one thread and several, one row and
// many: the same bytes as `ref`, whatever the logits, masks and settings are.
#include "../backend_options.h"
#include "base/rng.h"
#include "check.h"
#include "one_op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BACKENDS = 16, MAX_ROWS = 9, MAX_VOCAB = 60000, MAX_IDS = 512 };

static pn_backend *ref, *all[MAX_BACKENDS];
static int n_all;
static pn_rng rng;
static float *logits; // [MAX_ROWS][MAX_VOCAB]
static uint64_t bits[MAX_ROWS][MAX_VOCAB / 64 + 1];
static int32_t ids[MAX_ROWS][MAX_IDS];

static int below(int n) { return (int)pn_rng_below(&rng, (uint64_t)n); }

static float normal(void) {
  double u = pn_rng_unit(&rng) + 1e-12, v = pn_rng_unit(&rng);
  return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static pn_backend *open_backend(const char *name, const char *isa, int n_threads) {
  pn_error e = {0};
  pn_backend *b = open_test_backend(name, n_threads, isa, NULL, &e);
  // Rows beyond what is reserved are done in turns: fewer than MAX_ROWS on purpose.
  CHECK(b && b->ops->sample_reserve(b, MAX_VOCAB, n_threads == 3 ? 4 : MAX_ROWS, &e), "%s", e.msg);
  if (!b) exit(1);
  return b;
}

static void open_all(void) {
  static const int threads[] = {1, 2, 3, 7};
  ref = open_backend("ref", NULL, 1);
  for (const char *const *isa = test_isas(); *isa; isa++)
    for (int t = 0; t < 4; t++) all[n_all++] = open_backend("cpu", *isa, threads[t]);
}

// Rows of all kinds: as models give them, few values, one value, numbers that are none, and the ends of the
// range.
static void fill_row(float *row, int n, int kind) {
  float value = normal();
  for (int i = 0; i < n; i++) {
    float x = normal();
    switch (kind) {
    case 0: row[i] = 3.5f * x; break;
    case 1: row[i] = roundf(2 * x); break;
    case 2: row[i] = value; break;
    case 3: row[i] = x > 2 ? NAN : x < -1 ? -INFINITY : 20 * x; break;
    case 4: row[i] = x * 1e38f; break;
    case 5: row[i] = 1e-44f * roundf(3 * x); break;
    case 6: row[i] = i == n / 2 ? 30 : x; break;
    case 7: row[i] = below(3) ? -0.0f : 0.0f; break;
    default: row[i] = below(n) == 0 ? INFINITY : NAN;
    }
  }
}

static void choose_settings(pn_sample *s, int n) {
  static const float temperatures[] = {0, 1, 1, 0.7f, 2, 1e-30f, 1e-3f, 100, 1e38f, 1e-45f};
  static const float top_ps[] = {1, 1, 0.95f, 0.5f, 1e-6f, 0.999999f, 0.1f};
  static const float min_ps[] = {0, 0, 0.05f, 0.999999f, 1e-10f, 1e-20f};
  const int top_ks[] = {0, 0, 1, 2, 40, n - 1, n, n + 1, 1 + below(n), 1 + below(300)};
  *s = (pn_sample){.temperature = temperatures[below(10)],
                   .top_p = top_ps[below(7)],
                   .min_p = min_ps[below(6)],
                   .top_k = top_ks[below(10)],
                   .seed = pn_rng_u64(&rng),
                   .position = (uint64_t)below(1 << 20),
                   .logprobs = below(3) == 0,
                   .n_top = below(PN_TOP_LOGPROBS + 1)};
}

static void choose_mask(pn_sample *s, int row, int n) {
  int kind = below(4), density = 1 + below(12);
  if (kind == 2) {
    for (int i = 0; i <= n / 64; i++) bits[row][i] = below(density) ? pn_rng_u64(&rng) : below(2) ? ~0ull : 0;
    s->bits = bits[row];
  } else if (kind == 3) {
    s->ids = ids[row];
    int want = 1 + below(MAX_IDS);
    for (int i = 0; i < n && s->n_ids < MAX_IDS; i++)
      if (below(n) < want) ids[row][s->n_ids++] = i;
  }
}

static void check_choices(const char *what, const pn_choice *got, const pn_choice *want, const pn_sample *how,
                          int n_rows, int n) {
  for (int r = 0; r < n_rows; r++)
    CHECK(memcmp(&got[r], &want[r], sizeof got[r]) == 0,
          "%s, row %d of %d, %d entries, T %g k %d p %g min %g mask %s: %d (%.9g, %d) for %d (%.9g, %d)",
          what, r, n_rows, n, (double)how[r].temperature, how[r].top_k, (double)how[r].top_p,
          (double)how[r].min_p,
          how[r].ids    ? "ids"
          : how[r].bits ? "bits"
                        : "no",
          (int)got[r].id, (double)got[r].logprob, got[r].n_top, (int)want[r].id, (double)want[r].logprob,
          want[r].n_top);
}

static void check_size(int n, int rounds) {
  pn_sample how[MAX_ROWS];
  pn_choice want[MAX_ROWS], got[MAX_ROWS];
  for (int round = 0; round < rounds; round++) {
    int stride = n + below(40), rows = 1 + below(MAX_ROWS);
    if (stride > MAX_VOCAB) stride = n;
    for (int r = 0; r < rows; r++) {
      fill_row(logits + (size_t)r * (size_t)stride, n, (round + r) % 9);
      choose_settings(&how[r], n);
      choose_mask(&how[r], r, n);
    }
    run_sample(ref, logits, stride, n, how, rows, want);
    for (int b = 0; b < n_all; b++) {
      memset(got, 0x55, sizeof got);
      run_sample(all[b], logits, stride, n, how, rows, got);
      check_choices(all[b]->ops->describe(all[b]), got, want, how, rows, n);
      memset(got, 0x55, sizeof got); // each row alone
      for (int r = 0; r < rows; r++)
        run_sample(all[b], logits + (size_t)r * (size_t)stride, stride, n, &how[r], 1, &got[r]);
      check_choices("alone", got, want, how, rows, n);
    }
  }
}

int main(int argc, char **argv) {
  bool quick = argc > 1 && strcmp(argv[1], "quick") == 0;
  static const int sizes[] = {1, 2, 15, 16, 17, 64, 100, 1023, 1024, 1025, 1040, 2049, 5000};
  logits = malloc((size_t)MAX_ROWS * MAX_VOCAB * sizeof *logits);
  if (!logits) return 1;
  pn_rng_seed(&rng, 7);
  open_all();
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) check_size(sizes[i], quick ? 6 : 60);
  check_size(49152, quick ? 1 : 12);
  check_size(59999, quick ? 1 : 6);
  pn_error e = {0};
  for (int b = 0; b <= n_all; b++) {
    pn_backend *it = b < n_all ? all[b] : ref;
    CHECK(!it->ops->sample_reserve(it, PN_SAMPLE_MAX_VOCAB + 1, 1, &e) && e.code == PN_ERR_UNSUPPORTED,
          "a vocabulary whose sums might overflow is refused");
    CHECK(!it->ops->sample_reserve(it, 0, 1, &e), "no vocabulary is refused");
    pn_backend_close(it);
  }
  free(logits);
  return check_result("sample grid");
}
