#include "backend/cpu/cpu_state.h"

#include <math.h>

bool cpu_rope_reserve(cpu_backend *s, int max_rows) {
  size_t row_bytes = 2 * CPU_ROPE_MAX_ROT * sizeof(float);
  s->n_ropes = 0;
  return cpu_scratch_reserve(&s->rope_floats, CPU_ROPE_TABLES * (size_t)max_rows * row_bytes);
}

typedef struct rope_job {
  cpu_backend *s;
  const pn_rope *rope;
  float *table; // of row 0; NULL: there is none
  bool fill;
  float *x;
  int64_t x_stride;
  int n_heads, head_dim;
} rope_job;

static int table_floats(const pn_rope *r) { return r->order == PN_ROPE_HALF ? r->n_rot : 2 * r->n_rot; }

static void angle_of(const pn_rope *r, int32_t pos, int i, float *cosine, float *sine) {
  float angle = (float)pos * r->inv_freq[i];
  *cosine = cosf(angle) * r->scale;
  *sine = sinf(angle) * r->scale;
}

static void fill_row(const pn_rope *r, int32_t pos, float *table) {
  int half = r->n_rot / 2;
  for (int i = 0; i < half; i++) {
    float c, s;
    angle_of(r, pos, i, &c, &s);
    if (r->order == PN_ROPE_HALF) {
      table[i] = c;
      table[half + i] = s;
    } else {
      table[2 * i] = table[2 * i + 1] = c;
      table[r->n_rot + 2 * i] = -s;
      table[r->n_rot + 2 * i + 1] = s;
    }
  }
}

// Without a table, in the same order of operations.
static void rotate_plain(const rope_job *j, int row) {
  const pn_rope *r = j->rope;
  int half = r->n_rot / 2;
  for (int i = 0; i < half; i++) {
    float c, s;
    angle_of(r, j->s->batch.pos[row], i, &c, &s);
    int first = r->order == PN_ROPE_HALF ? i : 2 * i,
        second = r->order == PN_ROPE_HALF ? i + half : 2 * i + 1;
    for (int h = 0; h < j->n_heads; h++) {
      float *x = j->x + row * j->x_stride + (int64_t)h * j->head_dim;
      float a = x[first], b = x[second];
      x[first] = fmaf(a, c, -(b * s));
      x[second] = fmaf(b, c, a * s);
    }
  }
}

static void rotate_row(const rope_job *j, int row) {
  const pn_rope *r = j->rope;
  if (!j->table) {
    rotate_plain(j, row);
    return;
  }
  float *table = j->table + (int64_t)row * table_floats(r);
  if (j->fill) fill_row(r, j->s->batch.pos[row], table);
  for (int h = 0; h < j->n_heads; h++) {
    float *x = j->x + row * j->x_stride + (int64_t)h * j->head_dim;
    if (r->order == PN_ROPE_HALF)
      j->s->ops->rope_half(x, r->n_rot, table);
    else
      j->s->ops->rope_pairs(x, r->n_rot, table);
  }
}

static void rotate_rows(void *ctx, int thread, int64_t begin, int64_t end) {
  const rope_job *j = ctx;
  (void)thread;
  for (int64_t r = begin; r < end; r++) rotate_row(j, (int)r);
}

// The table of this rotation, and whether it must be filled first.
static float *table_of(cpu_backend *s, const pn_rope *r, bool *fill) {
  int i = 0;
  for (; i < s->n_ropes; i++) {
    const cpu_rope_table *t = &s->rope[i];
    if (t->inv_freq == r->inv_freq && t->order == r->order && t->n_rot == r->n_rot && t->scale == r->scale)
      break;
  }
  *fill = i == s->n_ropes;
  if (r->n_rot > CPU_ROPE_MAX_ROT || i == CPU_ROPE_TABLES) return NULL;
  if (*fill) s->rope[s->n_ropes++] = (cpu_rope_table){r->inv_freq, r->order, r->n_rot, r->scale};
  return (float *)s->rope_floats.p + (size_t)i * (size_t)s->max_rows * 2 * CPU_ROPE_MAX_ROT;
}

void cpu_rope(cpu_backend *s, const pn_step *step) {
  const pn_rope *rope = &s->current->plan->ropes[step->rope.table];
  const cpu_rows x = cpu_rows_of(s, step->out);
  rope_job j = {s, rope, NULL, false, x.p, x.stride, step->rope.n_heads, step->rope.head_dim};
  j.table = table_of(s, rope, &j.fill);
  if ((int64_t)x.n * j.n_heads * j.head_dim < 4096 || x.n == 1)
    rotate_rows(&j, 0, 0, x.n);
  else
    cpu_pool_run(s->pool, rotate_rows, &j, x.n, cpu_pool_chunk(s->pool, x.n, 2));
}
