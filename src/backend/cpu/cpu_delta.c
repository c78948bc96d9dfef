// The gated delta rule: heads, or columns of them, shared out to threads, each through all rows in order.
#include "backend/cpu/cpu_state.h"

#include <math.h>
#include <string.h>

// The state is kept transposed, in blocks of CPU_LANES columns (the last one narrower): number (i, c) of a
// head's block is key i, value c of it. So a vector holds one key of 16 values, and a block lies together.
enum { DELTA_ROWS = 8 }; // made ready in one go; they and a tile of the state fit into the first cache

typedef struct delta_job {
  const cpu_backend *s;
  const pn_kv_rows *places;
  const pn_step *step;
  cpu_rows x, y, out;
  int parts; // of a head, of part_columns columns each
  int part_columns;
} delta_job;

// The keys, queries and gates of a head for some rows.
typedef struct delta_room {
  float q[DELTA_ROWS * PN_DELTA_MAX_KEY], k[DELTA_ROWS * PN_DELTA_MAX_KEY];
  cpu_delta_gate gates[DELTA_ROWS];
} delta_room;

static void normalize(const delta_job *j, const float *x, float scale, float *out) {
  const int n = j->step->delta.key_dim;
  j->s->ops->scale(x, scale / sqrtf(j->s->ops->dot(x, x, n) + j->step->delta.eps), n, out);
}

static cpu_delta_gate gate_of(const delta_job *j, const float *y, int head) {
  const float *rate = j->step->w[0]->vector;
  const int n = j->step->delta.n_heads;
  const float a = y[n + head] + rate[n + head], softplus = a > 20 ? a : log1pf(expf(a));
  return (cpu_delta_gate){.decay = expf(rate[head] * softplus), .beta = 1 / (1 + expf(-y[head]))};
}

// Rows lie far apart: nothing but this tells the processor which of their numbers come next.
static void fetch(const float *x, int n) {
  for (int i = 0; i < n; i += CPU_LANES) __builtin_prefetch(x + i);
}

// Rows [row, row + n) of one sequence.
static void make_ready(const delta_job *j, int head, int row, int n, delta_room *room) {
  const int dim = j->step->delta.key_dim, n_keys = j->step->delta.n_key_heads,
            from = j->step->delta.tiled ? head % n_keys : head / (j->step->delta.n_heads / n_keys);
  for (int r = 0; r < n; r++) {
    const float *x = j->x.p + (row + r) * j->x.stride;
    float *q = room->q + r * dim, *k = room->k + r * dim;
    normalize(j, x + from * dim, 1 / sqrtf((float)dim), q);
    normalize(j, x + (n_keys + from) * dim, 1, k);
    room->gates[r] = gate_of(j, j->y.p + (row + r) * j->y.stride, head);
    room->gates[r].kq = j->s->ops->dot(k, q, dim);
    const float *next = x + DELTA_ROWS * j->x.stride;
    if (row + r + DELTA_ROWS < j->s->batch.n_rows) {
      fetch(next + from * dim, dim);
      fetch(next + (n_keys + from) * dim, dim);
      fetch(next + 2 * n_keys * dim + head * j->step->delta.head_dim, j->step->delta.head_dim);
    }
  }
}

// Columns [at, at + n_columns) of a head for the rows [row, row + n_rows) of a sequence.
static void advance(const delta_job *j, int head, int at, int n_columns, int row, int n_rows,
                    delta_room *room) {
  const pn_step *step = j->step;
  const int dim = step->delta.key_dim, first = head * step->delta.head_dim + at,
            v_at = 2 * step->delta.n_key_heads * dim + first;
  char *slot = cpu_kv_page(j->places->kv, step->delta.layer, j->places->state[j->s->batch.seq[row]]);
  float *state = (float *)(void *)slot + step->delta.offset + (int64_t)first * dim;
  if (j->s->batch.pos[row] == 0) memset(state, 0, (size_t)n_columns * (size_t)dim * sizeof *state);
  for (int done = 0, n; done < n_rows; done += n) {
    n = n_rows - done < DELTA_ROWS ? n_rows - done : DELTA_ROWS;
    make_ready(j, head, row + done, n, room);
    j->s->ops->delta(&(cpu_delta){.n_rows = n,
                                  .key_dim = dim,
                                  .n_columns = n_columns,
                                  .q = room->q,
                                  .k = room->k,
                                  .gates = room->gates,
                                  .v = j->x.p + (row + done) * j->x.stride + v_at,
                                  .v_stride = j->x.stride,
                                  .out = j->out.p + (row + done) * j->out.stride + first,
                                  .out_stride = j->out.stride,
                                  .state = state});
  }
}

static void delta_parts(void *ctx, int thread, int64_t begin, int64_t end) {
  const delta_job *j = ctx;
  const pn_batch *b = &j->s->batch;
  delta_room room;
  (void)thread;
  for (int64_t i = begin; i < end; i++) {
    const int head = (int)(i / j->parts), at = (int)(i % j->parts) * j->part_columns,
              left = j->step->delta.head_dim - at, columns = left < j->part_columns ? left : j->part_columns;
    for (int row = 0, n; row < b->n_rows; row += n) {
      for (n = 1; row + n < b->n_rows && b->seq[row + n] == b->seq[row];) n++;
      advance(j, head, at, columns, row, n, &room);
    }
  }
}

void cpu_gated_delta(cpu_backend *s, const pn_step *step) {
  delta_job j = {.s = s,
                 .places = &s->batch.kv[step->delta.group],
                 .step = step,
                 .x = cpu_rows_of(s, step->in[0]),
                 .y = cpu_rows_of(s, step->in[1]),
                 .out = cpu_rows_of(s, step->out)};
  const int heads = step->delta.n_heads, blocks = (step->delta.head_dim + CPU_LANES - 1) / CPU_LANES;
  int parts = (4 * cpu_pool_threads(s->pool) + heads - 1) / heads;
  if (parts > blocks) parts = blocks;
  j.part_columns = (blocks + parts - 1) / parts * CPU_LANES;
  j.parts = (blocks * CPU_LANES + j.part_columns - 1) / j.part_columns;
  const int64_t n = (int64_t)heads * j.parts;
  if ((int64_t)s->batch.n_rows * step->out.width * step->delta.key_dim <
      16384) // too little to wake anyone for
    delta_parts(&j, 0, 0, n);
  else
    cpu_pool_run(s->pool, delta_parts, &j, n, cpu_pool_chunk(s->pool, n, 4));
}
