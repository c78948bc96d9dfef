// Causal convolutions over the last tokens of each sequence.
#include "backend/cuda/cuda_int.h"

enum { THREADS = 128, MAX_TAPS = 16 };

// A thread has one column and walks the rows in order, its last inputs in registers: sums are chains of fma
// from 0, taps ascending.
__global__ void convolve(cuda_rows x, const float *w, int width, int taps, char *states, int64_t slot_floats,
                         int64_t offset, const int32_t *seq, const int32_t *pos, const int32_t *state,
                         cuda_rows out) {
  cuda_wait();
  const int i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= width) return;
  float last[MAX_TAPS];
  for (int r = 0; r < x.n; r++) {
    float *kept = (float *)states + (int64_t)state[seq[r]] * slot_floats + offset + i;
    const bool first = r == 0 || seq[r] != seq[r - 1];
    if (first)
      for (int k = 0; k < taps - 1; k++) last[k] = pos[r] == 0 ? 0.0f : kept[(int64_t)k * width];
    const float in = x.p[r * x.stride + i];
    float sum = 0;
    for (int k = 0; k < taps - 1; k++) sum = fmaf(w[(int64_t)k * width + i], last[k], sum);
    out.p[r * out.stride + i] = fmaf(w[(int64_t)(taps - 1) * width + i], in, sum);
    for (int k = 0; k + 2 < taps; k++) last[k] = last[k + 1];
    if (taps > 1) last[taps - 2] = in;
    if (r + 1 == x.n || seq[r + 1] != seq[r])
      for (int k = 0; k < taps - 1; k++) kept[(int64_t)k * width] = last[k];
  }
}

void cuda_short_conv(cuda_backend *s, pn_workspace *ws, const pn_step *step) {
  const cuda_rows x = cuda_rows_of(ws, step->in[0]), out = cuda_rows_of(ws, step->out);
  const pn_kv *kv = ws->kv[step->conv.group];
  if (out.n == 0) return;
  if (step->conv.taps > MAX_TAPS) {
    pn_fail(&s->failed, PN_ERR_UNSUPPORTED, "cuda: a convolution over %d tokens, at most %d", step->conv.taps,
            (int)MAX_TAPS);
    return;
  }
  cuda_launch(s, convolve, dim3((unsigned)(step->out.width + THREADS - 1) / THREADS), THREADS, 0, x,
              (const float *)step->w[0]->data, step->out.width, step->conv.taps,
              kv->data + step->conv.layer * kv->at.layer_bytes, kv->at.page_bytes / (int64_t)sizeof(float),
              (int64_t)step->conv.offset, ws->batch.seq, ws->batch.pos, ws->groups[step->conv.group].state,
              out);
}
