// Causal convolutions over the last positions of each sequence.
#include "backend/cpu/cpu_state.h"

#include <string.h>

// Threads take columns, each for all rows: no column needs another. An item is CPU_LANES of them.
typedef struct conv_job {
  const cpu_backend *s;
  const pn_kv_rows *places;
  const pn_step *step;
  cpu_rows x, out;
} conv_job;

static float *state_of(const conv_job *j, int seq) {
  const pn_step *step = j->step;
  char *slot = cpu_kv_page(j->places->kv, step->conv.layer, j->places->state[seq]);
  return (float *)(void *)slot + step->conv.offset;
}

// Rows [row, row + n) are a sequence's. The input `back` rows before row r of them lies among them, or in the
// state; NULL: before position 0.
static const float *input_at(const conv_job *j, int row, int r, int back, const float *state) {
  int kept = j->step->conv.taps - 1, at = r - back;
  if (at >= 0) return j->x.p + (row + at) * j->x.stride;
  if (j->s->batch.pos[row] + at < 0) return NULL;
  return state + (int64_t)(kept + at) * j->step->out.width;
}

// Columns [begin, begin + n) of a sequence's rows.
static void convolve(const conv_job *j, int row, int n_rows, int64_t begin, int n) {
  const int taps = j->step->conv.taps, width = j->step->out.width;
  float *state = state_of(j, j->s->batch.seq[row]);
  for (int r = 0; r < n_rows; r++) {
    float *out = j->out.p + (row + r) * j->out.stride + begin;
    memset(out, 0, (size_t)n * sizeof *out);
    for (int k = 0; k < taps; k++) {
      const float *x = input_at(j, row, r, taps - 1 - k, state);
      if (x) j->s->ops->multiply_add(out, j->step->w[0]->vector + (int64_t)k * width + begin, x + begin, n);
    }
    if (j->step->conv.silu) j->s->ops->silu(out, n);
  }
  // Ascending: what is still to be moved lies behind what was written.
  for (int k = 0; k < taps - 1; k++) {
    const float *x = input_at(j, row, n_rows - 1, taps - 2 - k, state);
    float *to = state + (int64_t)k * width + begin;
    if (x)
      memmove(to, x + begin, (size_t)n * sizeof *to);
    else
      memset(to, 0, (size_t)n * sizeof *to);
  }
}

static void conv_columns(void *ctx, int thread, int64_t begin, int64_t end) {
  const conv_job *j = ctx;
  const pn_batch *b = &j->s->batch;
  const int64_t from = begin * CPU_LANES, to = end * CPU_LANES, width = j->step->out.width;
  (void)thread;
  for (int row = 0, n; row < b->n_rows; row += n) {
    for (n = 1; row + n < b->n_rows && b->seq[row + n] == b->seq[row];) n++;
    convolve(j, row, n, from, (int)((to < width ? to : width) - from));
  }
}

void cpu_short_conv(cpu_backend *s, const pn_step *step) {
  conv_job j = {s, &s->batch.kv[step->conv.group], step, cpu_rows_of(s, step->in[0]),
                cpu_rows_of(s, step->out)};
  const int64_t n = (step->out.width + CPU_LANES - 1) / CPU_LANES;
  if ((int64_t)s->batch.n_rows * step->out.width < 4096) // too little to wake anyone for
    conv_columns(&j, 0, 0, n);
  else
    cpu_pool_run(s->pool, conv_columns, &j, n, cpu_pool_chunk(s->pool, n, 2));
}
