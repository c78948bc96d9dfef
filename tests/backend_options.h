// Options to open a backend with in a test: its name, the number of threads, and an instruction set (NULL:
// the best) and precision of activations (NULL: the default) where it is `cpu`.
#ifndef PN_TESTS_BACKEND_OPTIONS_H
#define PN_TESTS_BACKEND_OPTIONS_H

#include "backend/backend.h"

#include <stdio.h>

static inline pn_backend *open_test_backend(const char *name, int n_threads, const char *isa,
                                            const char *activations, pn_error *e) {
  char threads[16];
  snprintf(threads, sizeof threads, "%d", n_threads);
  pn_backend_options o = {.name = name, .settings = {{"threads", threads, false}}};
  int n = 1;
  if (isa) o.settings[n++] = (pn_setting){"isa", isa, false};
  if (activations) o.settings[n++] = (pn_setting){"activations", activations, false};
  return pn_backend_open(&o, e);
}

static inline const char *const *test_isas(void) {
  return pn_backend_setting(pn_backend_builtin("cpu"), "isa")->values();
}

#endif
