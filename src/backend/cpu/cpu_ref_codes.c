#include "backend/cpu/cpu_ref_codes.h"

#include <math.h>

void cpu_ref_codes(pn_kv_type t, const float *x, int n, float *out) {
  (void)t;
  float max = 0;
  bool finite = true;
  for (int i = 0; i < n; i++) {
    finite = finite && isfinite(x[i]);
    if (fabsf(x[i]) > max) max = fabsf(x[i]);
  }
  float scale = finite ? max / 127 : NAN;
  for (int i = 0; i < n; i++) out[i] = scale == 0 ? 0 : scale * fminf(fmaxf(rintf(x[i] / scale), -127), 127);
}
