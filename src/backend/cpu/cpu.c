// The `cpu` backend: fast on the cores of this machine. Every result of a row depends on that row alone, and all
// instruction sets give the same bits; the orders are written in cpu_ops.h, cpu_state.h and cpu_matmul.h.
#include "backend/cpu/cpu.h"

#include "backend/cpu/cpu_isa.h"
#include "backend/cpu/cpu_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALONE_ELEMENTS = 4096 }; // work below this is done by the caller alone

static void close_backend(pn_backend *b) {
  cpu_backend *s = (cpu_backend *)b;
  cpu_matmul_free(s->matmul);
  cpu_pool_free(s->pool);
  cpu_scratch_fini(&s->rope_floats);
  cpu_scratch_fini(&s->blocks);
  cpu_scratch_fini(&s->states);
  cpu_scratch_fini(&s->rooms);
  cpu_scratch_fini(&s->spans);
  free(s);
}

static const char *describe(pn_backend *b) { return ((cpu_backend *)b)->description; }

static void *alloc(pn_backend *b, size_t bytes) {
  (void)b;
  return cpu_memory_new(bytes);
}

static void release(pn_backend *b, void *p) {
  (void)b;
  cpu_memory_free(p);
}

static void copy(pn_backend *b, void *dst, const void *src, size_t bytes) {
  (void)b;
  if (bytes) memcpy(dst, src, bytes);
}

static void nothing_to_wait_for(pn_backend *b) { (void)b; }

static pn_weight *weight_open(pn_backend *b, const pn_matrix *m, pn_error *e) {
  cpu_backend *s = (cpu_backend *)b;
  pn_weight *w = cpu_matmul_weight_open(m, e);
  if (!w) return NULL;
  if (m->cols > s->max_cols) {
    if (!cpu_matmul_reserve(s->matmul, s->max_rows ? s->max_rows : 1, m->cols, e)) {
      cpu_matmul_weight_close(w);
      return NULL;
    }
    s->max_cols = m->cols;
  }
  return w;
}

static void weight_close(pn_backend *b, pn_weight *w) {
  (void)b;
  if (w) cpu_matmul_weight_close(w);
}

static bool begin(pn_backend *b, const pn_batch *batch, pn_error *e) {
  cpu_backend *s = (cpu_backend *)b;
  int rows = batch->n_rows > s->max_rows ? batch->n_rows : s->max_rows;
  if (rows > s->max_rows) {
    if (s->max_cols && !cpu_matmul_reserve(s->matmul, rows, s->max_cols, e)) return false;
    if (!cpu_scratch_reserve(&s->blocks, (size_t)rows * sizeof(cpu_block)))
      return pn_fail(e, PN_ERR_NOMEM, "no memory for a batch of %d rows", rows);
    s->max_rows = rows;
  }
  s->block_rows = 0;
  s->batch = *batch;
  return cpu_rope_begin(s, e);
}

// An op that works on each row alone: what `each` needs of rows [0, n_rows) and columns [begin, end).
typedef struct row_job {
  const cpu_backend *s;
  void (*each)(const struct row_job *j, int row, int begin, int end);
  const float *a, *b; // inputs
  int64_t a_stride, b_stride;
  float *out, *x; // results; x is an input too
  int64_t out_stride, x_stride;
  const float *norm; // weights of a norm
  float eps, scale;
  const pn_weight *weight;
  const int32_t *rows;
  int n_rows, width;
  bool whole; // a row can't be cut into columns
} row_job;

static void row_share(void *ctx, int thread, int n_threads) {
  const row_job *j = ctx;
  int64_t row = 0, last_row = j->n_rows, begin = 0, end = j->width;
  if (j->whole || j->n_rows >= 2 * n_threads)
    cpu_pool_share(j->n_rows, 1, thread, n_threads, &row, &last_row);
  else
    cpu_pool_share(j->width, CPU_LANES, thread, n_threads, &begin, &end);
  for (; row < last_row; row++)
    if (begin < end) j->each(j, (int)row, (int)begin, (int)end);
}

static void run_rows(cpu_backend *s, row_job *j) {
  j->s = s;
  if ((int64_t)j->n_rows * j->width < ALONE_ELEMENTS || (j->whole && j->n_rows == 1))
    row_share(j, 0, 1);
  else
    cpu_pool_run(s->pool, row_share, j);
}

static void embed_row(const row_job *j, int row, int begin, int end) {
  (void)begin, (void)end;
  cpu_matmul_embed_row(j->weight, j->s->batch.token[row], j->scale, j->out + row * j->out_stride);
}

static void embed(pn_backend *b, const pn_weight *w, float scale, float *out, int64_t out_stride) {
  cpu_backend *s = (cpu_backend *)b;
  run_rows(s, &(row_job){.each = embed_row,
                         .weight = w,
                         .scale = scale,
                         .out = out,
                         .out_stride = out_stride,
                         .n_rows = s->batch.n_rows,
                         .width = (int)w->m.cols,
                         .whole = true});
}

static void rmsnorm_row(const row_job *j, int row, int begin, int end) {
  (void)begin, (void)end;
  j->s->ops->rmsnorm(j->a + row * j->a_stride, j->norm, j->eps, j->width, j->out + row * j->out_stride);
}

static void rmsnorm(pn_backend *b, const float *x, int64_t x_stride, const float *weight, float eps,
                    int n_rows, int width, float *out, int64_t out_stride) {
  run_rows((cpu_backend *)b, &(row_job){.each = rmsnorm_row,
                                        .a = x,
                                        .a_stride = x_stride,
                                        .norm = weight,
                                        .eps = eps,
                                        .out = out,
                                        .out_stride = out_stride,
                                        .n_rows = n_rows,
                                        .width = width,
                                        .whole = true});
}

static void add_rmsnorm_row(const row_job *j, int row, int begin, int end) {
  (void)begin, (void)end;
  j->s->ops->add_rmsnorm(j->x + row * j->x_stride, j->b + row * j->b_stride, j->norm, j->eps, j->width,
                         j->out + row * j->out_stride);
}

static void add_rmsnorm(pn_backend *b, float *x, int64_t x_stride, const float *y, int64_t y_stride,
                        const float *weight, float eps, int n_rows, int width, float *out,
                        int64_t out_stride) {
  run_rows((cpu_backend *)b, &(row_job){.each = add_rmsnorm_row,
                                        .x = x,
                                        .x_stride = x_stride,
                                        .b = y,
                                        .b_stride = y_stride,
                                        .norm = weight,
                                        .eps = eps,
                                        .out = out,
                                        .out_stride = out_stride,
                                        .n_rows = n_rows,
                                        .width = width,
                                        .whole = true});
}

static void matmul(pn_backend *b, const float *x, int64_t x_stride, int n_rows, const pn_matmul_part *parts,
                   int n_parts) {
  cpu_matmul_run(((cpu_backend *)b)->matmul, x, x_stride, n_rows, parts, n_parts);
}

static void silu_mul_part(const row_job *j, int row, int begin, int end) {
  j->s->ops->silu_mul(j->a + row * j->a_stride + begin, j->b + row * j->b_stride + begin, end - begin,
                      j->out + row * j->out_stride + begin);
}

static void silu_mul(pn_backend *b, const float *gate, const float *up, int64_t in_stride, int n_rows,
                     int width, float *out, int64_t out_stride) {
  run_rows((cpu_backend *)b, &(row_job){.each = silu_mul_part,
                                        .a = gate,
                                        .a_stride = in_stride,
                                        .b = up,
                                        .b_stride = in_stride,
                                        .out = out,
                                        .out_stride = out_stride,
                                        .n_rows = n_rows,
                                        .width = width});
}

static void add_part(const row_job *j, int row, int begin, int end) {
  j->s->ops->add(j->out + row * j->out_stride + begin, j->b + row * j->b_stride + begin, end - begin);
}

static void add(pn_backend *b, float *x, int64_t x_stride, const float *y, int64_t y_stride, int n_rows,
                int width) {
  run_rows((cpu_backend *)b, &(row_job){.each = add_part,
                                        .b = y,
                                        .b_stride = y_stride,
                                        .out = x,
                                        .out_stride = x_stride,
                                        .n_rows = n_rows,
                                        .width = width});
}

static void gather_part(const row_job *j, int row, int begin, int end) {
  memcpy(j->out + row * j->out_stride + begin, j->a + j->rows[row] * j->a_stride + begin,
         (size_t)(end - begin) * sizeof(float));
}

static void gather(pn_backend *b, const float *x, int64_t x_stride, const int32_t *rows, int n_rows,
                   int width, float *out, int64_t out_stride) {
  run_rows((cpu_backend *)b, &(row_job){.each = gather_part,
                                        .a = x,
                                        .a_stride = x_stride,
                                        .rows = rows,
                                        .out = out,
                                        .out_stride = out_stride,
                                        .n_rows = n_rows,
                                        .width = width});
}

static const pn_backend_ops table = {
    .version = PN_BACKEND_VERSION,
    .name = "cpu",
    .close = close_backend,
    .describe = describe,
    .alloc = alloc,
    .release = release,
    .upload = copy,
    .download = copy,
    .sync = nothing_to_wait_for,
    .weight_open = weight_open,
    .weight_close = weight_close,
    .kv_open = cpu_kv_open,
    .kv_close = cpu_kv_close,
    .kv_copy = cpu_kv_copy,
    .begin = begin,
    .embed = embed,
    .rmsnorm = rmsnorm,
    .matmul = matmul,
    .rope = cpu_rope,
    .kv_write = cpu_kv_write,
    .attention = cpu_attention,
    .silu_mul = silu_mul,
    .add = add,
    .gather = gather,
    .kv_discard = cpu_kv_discard,
    .add_rmsnorm = add_rmsnorm,
};

static const cpu_ops *ops_of(cpu_isa isa) {
  switch (isa) {
#if defined(__x86_64__)
  case CPU_AVX2: return &cpu_ops_avx2;
  case CPU_AVX512: return &cpu_ops_avx512;
#elif defined(__aarch64__)
  case CPU_NEON: return &cpu_ops_neon;
#endif
  default: return &cpu_ops_scalar;
  }
}

// The ISA that the options ask for, or the best.
static bool choose_isa(const char *wanted, cpu_isa *isa, pn_error *e) {
  *isa = cpu_isa_best();
  if (!wanted) return true;
  char have[64] = "";
  size_t n = 0;
  for (int i = 0; i < CPU_N_ISAS; i++) {
    if (!cpu_isa_usable((cpu_isa)i)) continue;
    const char *name = cpu_isa_name((cpu_isa)i);
    if (strcmp(name, wanted) == 0) {
      *isa = (cpu_isa)i;
      return true;
    }
    n += (size_t)snprintf(have + n, sizeof have - n, "%s%s", n ? ", " : "", name);
  }
  return pn_fail(e, PN_ERR_USAGE, "no instruction set '%s' here: this machine and build have %s", wanted,
                 have);
}

pn_backend *cpu_open(const pn_backend_options *o, pn_error *e) {
  cpu_isa isa;
  if (!choose_isa(o->isa, &isa, e)) return NULL;
  cpu_backend *s = calloc(1, sizeof *s);
  if (!s) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for the backend 'cpu'");
    return NULL;
  }
  s->head.ops = &table;
  s->ops = ops_of(isa);
  const int planes = o->activations && strcmp(o->activations, "int8") == 0 ? 1 : 2;
  s->pool = cpu_pool_new(o->n_threads ? o->n_threads : cpu_pool_cores(), e);
  s->matmul = s->pool ? cpu_matmul_new(cpu_isa_name(isa), planes, s->pool, e) : NULL;
  if (!s->matmul) {
    close_backend(&s->head);
    return NULL;
  }
  int n_threads = cpu_pool_threads(s->pool);
  snprintf(s->description, sizeof s->description, "cpu %s, %d thread%s, %s activations",
           isa == CPU_AVX512 ? "avx512-vnni" : cpu_isa_name(isa), n_threads, n_threads == 1 ? "" : "s",
           planes == 2 ? "int16" : "int8");
  return &s->head;
}
