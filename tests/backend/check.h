// Checks for test programs that also run on a foreign machine (under an emulator), where no test library is
// at hand.
#ifndef PN_TESTS_CHECK_H
#define PN_TESTS_CHECK_H

#include <stdio.h>

static int check_failed;

// Count a failure and say where and what; the test goes on. At most 20 are printed.
#define CHECK(cond, ...)                                                                                     \
  do {                                                                                                       \
    if (!(cond) && check_failed++ < 20) {                                                                    \
      printf("%s:%d: %s: ", __FILE__, __LINE__, #cond);                                                      \
      printf(__VA_ARGS__);                                                                                   \
      printf("\n");                                                                                          \
    }                                                                                                        \
  } while (0)

// The exit status for the checks so far.
static inline int check_result(const char *what) {
  if (check_failed)
    printf("%s: %d checks failed\n", what, check_failed);
  else
    printf("%s: all checks passed\n", what);
  return check_failed != 0;
}

#endif
