#include "backend/cpu/cpu_hadamard.h"

#include <math.h>

int cpu_hadamard_block(int n) { return n & -n; }

static void turn_block(float *restrict x, int n) {
  for (int step = 1; step < n; step *= 2)
    for (int at = 0; at < n; at += 2 * step)
      for (int i = at; i < at + step; i++) {
        float a = x[i], b = x[i + step];
        x[i] = a + b;
        x[i + step] = a - b;
      }
  float by = 1 / sqrtf((float)n);
  for (int i = 0; i < n; i++) x[i] *= by;
}

void cpu_hadamard(float *x, int n) {
  int block = cpu_hadamard_block(n);
  if (block > 1)
    for (int at = 0; at < n; at += block) turn_block(x + at, block);
}
