// The ops of the cpu backend that work on each row alone: embed, norms, gates, sums, gather.
#include "backend/cpu/cpu_state.h"

#include <string.h>

enum { ALONE_ELEMENTS = 4096 }; // work below this is done by the caller alone

// What `each` needs of items [0, n_items) and columns [begin, end). An item is a row, or a piece of one.
typedef struct row_job {
  const cpu_backend *s;
  void (*each)(const struct row_job *j, int item, int begin, int end);
  const float *a, *b; // inputs
  int64_t a_stride, b_stride;
  float *out, *x; // results; x is an input too
  int64_t out_stride, x_stride;
  const float *norm; // weights of a norm
  float eps, scale;
  const pn_weight *weight;
  int n_items, width;
  bool whole;           // an item can't be cut into columns
  int pieces;           // of a row: an item is one of them
  int64_t piece_stride; // of a
} row_job;

static void whole_items(void *ctx, int thread, int64_t begin, int64_t end) {
  const row_job *j = ctx;
  (void)thread;
  for (int64_t i = begin; i < end; i++) j->each(j, (int)i, 0, j->width);
}

// Of every item the columns of lanes [begin, end).
static void columns(void *ctx, int thread, int64_t begin, int64_t end) {
  const row_job *j = ctx;
  const int from = (int)begin * CPU_LANES,
            to = (int)(end * CPU_LANES < j->width ? end * CPU_LANES : j->width);
  (void)thread;
  for (int i = 0; i < j->n_items; i++) j->each(j, i, from, to);
}

static void run_rows(cpu_backend *s, row_job *j) {
  const int64_t lanes = (j->width + CPU_LANES - 1) / CPU_LANES;
  j->s = s;
  if ((int64_t)j->n_items * j->width < ALONE_ELEMENTS || (j->whole && j->n_items == 1))
    whole_items(j, 0, 0, j->n_items);
  else if (j->whole || j->n_items >= 2 * cpu_pool_threads(s->pool))
    cpu_pool_run(s->pool, whole_items, j, j->n_items, cpu_pool_chunk(s->pool, j->n_items, 2));
  else
    cpu_pool_run(s->pool, columns, j, lanes, cpu_pool_chunk(s->pool, lanes, 2));
}

// A job over all rows of the step's result, whose `a` is its first input.
static row_job job_of(cpu_backend *s, const pn_step *step, void (*each)(const row_job *, int, int, int)) {
  const cpu_rows a = cpu_rows_of(s, step->in[0]), out = cpu_rows_of(s, step->out);
  return (row_job){.each = each,
                   .a = a.p,
                   .a_stride = a.stride,
                   .out = out.p,
                   .out_stride = out.stride,
                   .n_items = out.n,
                   .width = step->out.width};
}

static void embed_row(const row_job *j, int row, int begin, int end) {
  (void)begin, (void)end;
  cpu_matmul_embed_row(j->weight, j->s->batch.token[row], j->scale, j->out + row * j->out_stride);
}

void cpu_embed(cpu_backend *s, const pn_step *step) {
  row_job j = job_of(s, step, embed_row);
  j.weight = step->w[0];
  j.scale = step->embed.scale;
  j.whole = true;
  run_rows(s, &j);
}

static void rmsnorm_piece(const row_job *j, int item, int begin, int end) {
  (void)begin, (void)end;
  const int row = item / j->pieces, piece = item % j->pieces;
  float *out = j->out + row * j->out_stride + piece * j->width;
  j->s->ops->rmsnorm(j->a + row * j->a_stride + piece * j->piece_stride, j->norm, j->eps, j->width, out);
  if (j->b) j->s->ops->silu_mul(j->b + row * j->b_stride + piece * j->width, out, j->width, out);
}

// Items are pieces from here on; those of `a` are `stride` apart, 0: adjacent.
static void cut(row_job *j, int pieces, int stride) {
  j->pieces = pieces;
  j->n_items *= pieces;
  j->width /= pieces;
  j->piece_stride = stride ? stride : j->width;
  j->whole = true;
}

static void rmsnorm(cpu_backend *s, const pn_step *step, const cpu_rows *gate) {
  row_job j = job_of(s, step, rmsnorm_piece);
  j.norm = step->w[0]->vector;
  j.eps = step->norm.eps;
  if (gate) {
    j.b = gate->p;
    j.b_stride = gate->stride;
  }
  cut(&j, step->norm.heads, step->norm.stride);
  run_rows(s, &j);
}

void cpu_rmsnorm(cpu_backend *s, const pn_step *step) { rmsnorm(s, step, NULL); }

void cpu_gated_rmsnorm(cpu_backend *s, const pn_step *step) {
  const cpu_rows gate = cpu_rows_of(s, step->in[1]);
  rmsnorm(s, step, &gate);
}

static void add_rmsnorm_row(const row_job *j, int row, int begin, int end) {
  (void)begin, (void)end;
  j->s->ops->add_rmsnorm(j->x + row * j->x_stride, j->b + row * j->b_stride, j->norm, j->eps, j->width,
                         j->out + row * j->out_stride);
}

void cpu_add_rmsnorm(cpu_backend *s, const pn_step *step) {
  const cpu_rows x = cpu_rows_of(s, step->in[0]), y = cpu_rows_of(s, step->in[1]);
  row_job j = job_of(s, step, add_rmsnorm_row);
  j.x = x.p;
  j.x_stride = x.stride;
  j.b = y.p;
  j.b_stride = y.stride;
  j.norm = step->w[0]->vector;
  j.eps = step->norm.eps;
  j.whole = true;
  run_rows(s, &j);
}

static void silu_mul_part(const row_job *j, int row, int begin, int end) {
  j->s->ops->silu_mul(j->a + row * j->a_stride + begin, j->b + row * j->b_stride + begin, end - begin,
                      j->out + row * j->out_stride + begin);
}

static void gelu_mul_part(const row_job *j, int row, int begin, int end) {
  j->s->ops->gelu_mul(j->a + row * j->a_stride + begin, j->b + row * j->b_stride + begin, end - begin,
                      j->out + row * j->out_stride + begin);
}

static void multiply(cpu_backend *s, const pn_step *step, void (*each)(const row_job *, int, int, int)) {
  const cpu_rows b = cpu_rows_of(s, step->in[1]);
  row_job j = job_of(s, step, each);
  j.b = b.p;
  j.b_stride = b.stride;
  run_rows(s, &j);
}

void cpu_silu_mul(cpu_backend *s, const pn_step *step) { multiply(s, step, silu_mul_part); }
void cpu_gelu_mul(cpu_backend *s, const pn_step *step) { multiply(s, step, gelu_mul_part); }

static void sigmoid_gate_piece(const row_job *j, int item, int begin, int end) {
  (void)begin, (void)end;
  const int row = item / j->pieces, piece = item % j->pieces;
  j->s->ops->sigmoid_gate(j->out + row * j->out_stride + piece * j->width,
                          j->a + row * j->a_stride + piece * j->piece_stride, j->width);
}

void cpu_sigmoid_gate(cpu_backend *s, const pn_step *step) {
  row_job j = job_of(s, step, sigmoid_gate_piece);
  cut(&j, step->gate.heads, step->gate.stride);
  run_rows(s, &j);
}

static void scale_part(const row_job *j, int row, int begin, int end) {
  float *out = j->out + row * j->out_stride + begin;
  j->s->ops->scale(out, j->scale, end - begin, out);
}

static void soft_cap_part(const row_job *j, int row, int begin, int end) {
  j->s->ops->soft_cap(j->out + row * j->out_stride + begin, j->scale, end - begin);
}

static void change(cpu_backend *s, const pn_step *step, void (*each)(const row_job *, int, int, int),
                   float by) {
  const cpu_rows out = cpu_rows_of(s, step->out);
  row_job j = {.each = each,
               .out = out.p,
               .out_stride = out.stride,
               .n_items = out.n,
               .width = step->out.width,
               .scale = by};
  run_rows(s, &j);
}

void cpu_scale(cpu_backend *s, const pn_step *step) { change(s, step, scale_part, step->scale.by); }
void cpu_soft_cap(cpu_backend *s, const pn_step *step) { change(s, step, soft_cap_part, step->cap.limit); }

static void add_part(const row_job *j, int row, int begin, int end) {
  j->s->ops->add(j->out + row * j->out_stride + begin, j->a + row * j->a_stride + begin, end - begin);
}

void cpu_add(cpu_backend *s, const pn_step *step) {
  row_job j = job_of(s, step, add_part);
  run_rows(s, &j);
}

void cpu_add_bias(cpu_backend *s, const pn_step *step) {
  row_job j = job_of(s, step, add_part);
  j.a = step->w[0]->vector;
  j.a_stride = 0;
  run_rows(s, &j);
}

static void gather_part(const row_job *j, int row, int begin, int end) {
  memcpy(j->out + row * j->out_stride + begin, j->a + j->s->batch.logit_rows[row] * j->a_stride + begin,
         (size_t)(end - begin) * sizeof(float));
}

void cpu_gather(cpu_backend *s, const pn_step *step) {
  row_job j = job_of(s, step, gather_part);
  run_rows(s, &j);
}
