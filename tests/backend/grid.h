// What the grids of the cpu backend's ops share: random numbers, comparing, opening backends.
#ifndef PN_TESTS_GRID_H
#define PN_TESTS_GRID_H

#include "../backend_options.h"
#include "check.h"
#include "random_matrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool quick; // fewer shapes, for emulators and sanitizers
static pn_rng rng;

static inline float normal(void) { return random_normal(&rng); }

static inline float *normals(size_t n) {
  float *p = malloc((n ? n : 1) * sizeof *p);
  for (size_t i = 0; i < n; i++) p[i] = normal();
  return p;
}

static inline float *copy_of(const float *p, size_t n) {
  float *q = malloc((n ? n : 1) * sizeof *q);
  memcpy(q, p, n * sizeof *q);
  return q;
}

static inline bool close_to(const float *a, const float *b, size_t n, double tolerance, size_t *where) {
  for (*where = 0; *where < n; ++*where) {
    double x = (double)a[*where], y = (double)b[*where];
    if (!(fabs(x - y) <= tolerance * (1 + fabs(y)))) return false;
  }
  return true;
}

static inline pn_backend *open_backend(const char *name, const char *isa, int n_threads,
                                       const char *activations) {
  pn_error e = {0};
  pn_backend *b = open_test_backend(name, n_threads, isa, activations, &e);
  CHECK(b, "%s %s: %s", name, isa ? isa : "", e.msg);
  if (!b) exit(1);
  return b;
}

// A backend in a module. Where there is no such device the program ends, and the test is skipped.
static inline pn_backend *open_module(const char *name, const char *folders) {
  pn_error e = {0};
  const pn_backend_options o = {.name = name, .folders = folders};
  pn_backend *module = pn_backend_open(&o, &e);
  if (!module) printf("%s: %s\n", name, e.msg);
  if (!module) exit(e.code == PN_ERR_DEVICE ? 77 : 1);
  printf("%s\n", module->ops->describe(module));
  return module;
}

#endif
