// Causal convolutions of the oracle: a row at a time.
#include "backend/ref/ref_int.h"

#include <math.h>
#include <string.h>

void ref_short_conv(ref *s, const pn_step *step) {
  const cpu_rows x = cpu_workspace_rows(s->ws, step->in[0]), out = cpu_workspace_rows(s->ws, step->out);
  const pn_kv_rows *places = &s->batch.kv[step->conv.group];
  const int taps = step->conv.taps, width = step->out.width;
  for (int r = 0; r < x.n; r++) {
    float *kept = (float *)(void *)ref_kv_page(places->kv, step->conv.layer, places->state[s->batch.seq[r]]) +
                  step->conv.offset;
    const float *in = x.p + r * x.stride;
    if (s->batch.pos[r] == 0) memset(kept, 0, (size_t)(taps - 1) * (size_t)width * sizeof *kept);
    for (int i = 0; i < width; i++) {
      double sum = 0;
      for (int k = 0; k < taps; k++) {
        float before = k < taps - 1 ? kept[(int64_t)k * width + i] : in[i];
        sum += (double)step->w[0]->vector[(int64_t)k * width + i] * (double)before;
      }
      out.p[r * out.stride + i] = (float)(step->conv.silu ? sum / (1 + exp(-sum)) : sum);
    }
    if (taps < 2) continue;
    memmove(kept, kept + width, (size_t)(taps - 2) * (size_t)width * sizeof *kept);
    memcpy(kept + (int64_t)(taps - 2) * width, in, (size_t)width * sizeof *kept);
  }
}
