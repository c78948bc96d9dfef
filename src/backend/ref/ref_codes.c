#include "backend/ref/ref_codes.h"

#include "backend/cpu/cpu_hadamard.h"
#include "base/dtype.h"

#include <math.h>

static bool all_finite(const float *x, int n) {
  bool finite = true;
  for (int i = 0; i < n; i++) finite = finite && isfinite(x[i]);
  return finite;
}

static void int8(const float *x, int n, float *out) {
  float max = 0;
  for (int i = 0; i < n; i++) max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
  float scale = all_finite(x, n) ? max / 127 : NAN;
  for (int i = 0; i < n; i++) out[i] = scale == 0 ? 0 : scale * fminf(fmaxf(rintf(x[i] / scale), -127), 127);
}

// x = H x by the definition, a block at a time.
static void turn_back(float *x, int n) {
  int block = cpu_hadamard_block(n);
  for (int at = 0; at < n; at += block) {
    double y[CPU_HADAMARD_MAX];
    for (int i = 0; i < block; i++) {
      y[i] = 0;
      for (int k = 0; k < block; k++)
        y[i] += __builtin_popcount((unsigned)(i & k)) % 2 ? -(double)x[at + k] : (double)x[at + k];
    }
    for (int i = 0; i < block; i++) x[at + i] = (float)(y[i] / sqrt(block));
  }
}

// There in f32 as cpu does it, for a last bit decides about a code; back by the definition.
static void int4(const float *x, int n, int top, float *out) {
  for (int i = 0; i < n; i++) out[i] = x[i];
  cpu_hadamard(out, n);
  float max = out[0], min = out[0];
  for (int i = 0; i < n; i++) {
    max = out[i] > max ? out[i] : max;
    min = out[i] < min ? out[i] : min;
  }
  float base = pn_f16_to_f32(pn_f32_to_f16(min)),
        scale = pn_f16_to_f32(pn_f32_to_f16((max - min) / (float)top));
  bool good = all_finite(out, n) && isfinite(base) && isfinite(scale);
  for (int i = 0; i < n; i++) {
    float code = scale > 0 ? fminf(fmaxf(rintf((out[i] - base) / scale), 0), (float)top) : 0;
    out[i] = good ? code * scale + base : NAN;
  }
  turn_back(out, n);
}

void ref_codes(pn_kv_type t, bool value, const float *x, int n, float *out) {
  if (t == PN_KV_INT8)
    int8(x, n, out);
  else
    int4(x, n, value ? 15 : 63, out);
}
