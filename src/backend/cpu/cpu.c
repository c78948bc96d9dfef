// The `cpu` backend: fast on the cores of this machine. Every result of a row depends on that row alone, and
// all instruction sets give the same bits; the orders are written in cpu_ops.h, cpu_state.h and cpu_matmul.h.
#include "backend/cpu/cpu.h"

#include "backend/cpu/cpu_isa.h"
#include "backend/cpu/cpu_kv_layout.h"
#include "backend/cpu/cpu_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void close_backend(pn_backend *b) {
  cpu_backend *s = (cpu_backend *)b;
  cpu_matmul_free(s->matmul);
  cpu_pool_free(s->pool);
  cpu_scratch_fini(&s->rope_floats);
  cpu_scratch_fini(&s->blocks);
  cpu_scratch_fini(&s->states);
  cpu_scratch_fini(&s->rooms);
  cpu_scratch_fini(&s->spans);
  cpu_scratch_fini(&s->experts);
  cpu_sampler_free(s->sampler);
  free(s);
}

static const char *describe(pn_backend *b) { return ((cpu_backend *)b)->description; }

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

static pn_weight *vector_open(pn_backend *b, const float *host, int64_t n, pn_error *e) {
  (void)b;
  pn_weight *w = n > 0 && (uint64_t)n < SIZE_MAX / 8 ? malloc(sizeof *w + (size_t)n * sizeof *host) : NULL;
  if (!w) return pn_fail(e, PN_ERR_NOMEM, "no memory for a vector of %lld numbers", (long long)n), NULL;
  *w = (pn_weight){.m = {.kind = PN_F32, .rows = 1, .cols = n}, .vector = (float *)(w + 1)};
  memcpy(w->vector, host, (size_t)n * sizeof *host);
  return w;
}

static void weight_close(pn_backend *b, pn_weight *w) {
  (void)b;
  if (w) cpu_matmul_weight_close(w);
}

static uint64_t kv_bytes(pn_backend *b, const pn_kv_shape *shape) {
  (void)b;
  return cpu_kv_bytes(shape);
}

static bool reserve(cpu_backend *s, int rows, pn_error *e) {
  if (rows <= s->max_rows) return true;
  if (s->max_cols && !cpu_matmul_reserve(s->matmul, rows, s->max_cols, e)) return false;
  if (!cpu_scratch_reserve(&s->blocks, (size_t)rows * sizeof(cpu_block)) || !cpu_rope_reserve(s, rows))
    return pn_fail(e, PN_ERR_NOMEM, "no memory for a batch of %d rows", rows);
  s->max_rows = rows;
  s->current = NULL; // the tables of its batch are gone
  return true;
}

static uint64_t workspace_bytes(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits) {
  uint64_t widest = 0, bytes;
  for (int i = 0; i < plan->n_buffers; i++)
    if ((uint64_t)plan->buffers[i].width > widest && !plan->buffers[i].by_logits)
      widest = (uint64_t)plan->buffers[i].width;
  if (!cpu_workspace_bytes(plan, max_rows, max_logits, &bytes)) return UINT64_MAX;
  bytes += cpu_experts_bytes((cpu_backend *)b, plan, max_rows);
  // Products round their input to int16, in slices; rotations have tables.
  uint64_t rows = (uint64_t)max_rows, sliced = rows < 256 ? rows : 256;
  return bytes + sliced * widest * 3 + rows * CPU_ROPE_TABLES * 2 * CPU_ROPE_MAX_ROT * sizeof(float);
}

static pn_workspace *workspace_open(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits,
                                    pn_error *e) {
  cpu_backend *s = (cpu_backend *)b;
  if (!reserve(s, max_rows, e) || !cpu_experts_reserve(s, plan, max_rows, e)) return NULL;
  return cpu_workspace_new(plan, max_rows, max_logits, e);
}

static void workspace_close(pn_backend *b, pn_workspace *ws) {
  cpu_backend *s = (cpu_backend *)b;
  if (s->current == ws) s->current = NULL;
  cpu_workspace_free(ws);
}

// The steps from now on are of this workspace's batch.
static void enter(cpu_backend *s, const pn_workspace *ws) {
  if (s->current == ws) return;
  s->current = ws;
  s->batch = ws->batch;
  s->block_rows = 0;
  s->n_ropes = 0;
}

static bool begin(pn_backend *b, pn_workspace *ws, const pn_batch *batch, pn_error *e) {
  cpu_backend *s = (cpu_backend *)b;
  if (!cpu_workspace_begin(ws, batch, e)) return false;
  s->current = NULL;
  enter(s, ws);
  return true;
}

cpu_rows cpu_rows_of(const cpu_backend *s, pn_view v) { return cpu_workspace_rows(s->current, v); }

static void matmul(cpu_backend *s, const pn_step *step) {
  const cpu_rows x = cpu_rows_of(s, step->in[0]), out = cpu_rows_of(s, step->out);
  cpu_matmul_part parts[PN_STEP_WEIGHTS];
  float *at = out.p;
  for (int i = 0; i < step->n_weights; at += step->w[i++]->m.rows)
    parts[i] = (cpu_matmul_part){step->w[i], at, out.stride};
  cpu_matmul_run(s->matmul, x.p, x.stride, out.n, parts, step->n_weights);
}

static void run(pn_backend *b, pn_workspace *ws, const pn_step *step) {
  static void (*const ops[PN_N_OPS])(cpu_backend *, const pn_step *) = {
      [PN_OP_EMBED] = cpu_embed,
      [PN_OP_RMSNORM] = cpu_rmsnorm,
      [PN_OP_ADD_RMSNORM] = cpu_add_rmsnorm,
      [PN_OP_MATMUL] = matmul,
      [PN_OP_ADD_BIAS] = cpu_add_bias,
      [PN_OP_ROPE] = cpu_rope,
      [PN_OP_KV_WRITE] = cpu_kv_write,
      [PN_OP_ATTENTION] = cpu_attention,
      [PN_OP_SILU_MUL] = cpu_silu_mul,
      [PN_OP_ADD] = cpu_add,
      [PN_OP_GATHER] = cpu_gather,
      [PN_OP_SHORT_CONV] = cpu_short_conv,
      [PN_OP_ROUTE] = cpu_route,
      [PN_OP_EXPERTS] = cpu_experts,
      [PN_OP_GELU_MUL] = cpu_gelu_mul,
      [PN_OP_SCALE] = cpu_scale,
      [PN_OP_SOFT_CAP] = cpu_soft_cap,
      [PN_OP_SIGMOID_GATE] = cpu_sigmoid_gate,
      [PN_OP_GATED_DELTA] = cpu_gated_delta,
      [PN_OP_GATED_RMSNORM] = cpu_gated_rmsnorm,
  };
  cpu_backend *s = (cpu_backend *)b;
  enter(s, ws);
  ops[step->op](s, step);
}

static void write_rows(pn_backend *b, pn_workspace *ws, pn_view v, int first, int n, const float *host) {
  (void)b;
  cpu_workspace_write(ws, v, first, n, host);
}

static bool read_rows(pn_backend *b, pn_workspace *ws, pn_view v, int first, int n, float *host,
                      pn_error *e) {
  (void)b, (void)e;
  cpu_workspace_read(ws, v, first, n, host);
  return true;
}

static bool sample(pn_backend *b, pn_workspace *ws, pn_view logits, const pn_sample *how, int n,
                   pn_choice *out, pn_error *e) {
  (void)e;
  const cpu_rows rows = cpu_workspace_rows(ws, logits);
  cpu_sample(b, rows.p, rows.stride, logits.width, how, n, out);
  return true;
}

static bool nothing_to_wait_for(pn_backend *b, pn_error *e) { return (void)b, (void)e, true; }

static const pn_backend_ops table = {
    .version = PN_BACKEND_VERSION,
    .size = sizeof(pn_backend_ops),
    .name = "cpu",
    .close = close_backend,
    .describe = describe,
    .weight_open = weight_open,
    .vector_open = vector_open,
    .weight_close = weight_close,
    .kv_bytes = kv_bytes,
    .kv_open = cpu_kv_open,
    .kv_close = cpu_kv_close,
    .kv_copy = cpu_kv_copy,
    .kv_discard = cpu_kv_discard,
    .kv_export = cpu_kv_export,
    .kv_import = cpu_kv_import,
    .workspace_bytes = workspace_bytes,
    .workspace_open = workspace_open,
    .workspace_close = workspace_close,
    .begin = begin,
    .run = run,
    .sample_reserve = cpu_sample_reserve,
    .sample = sample,
    .write = write_rows,
    .read = read_rows,
    .sync = nothing_to_wait_for,
};

static const cpu_ops *ops_of(cpu_isa isa) {
  switch (isa) {
#if defined(__x86_64__)
  case CPU_AVX2:
  case CPU_AVX2_VNNI: return &cpu_ops_avx2;
  case CPU_AVX512: return &cpu_ops_avx512;
#elif defined(__aarch64__)
  case CPU_NEON:
  case CPU_NEON_I8MM: return &cpu_ops_neon;
#endif
  default: return &cpu_ops_scalar;
  }
}

static const char *const *activations(void) {
  static const char *const all[] = {"int16", "int8", NULL};
  return all;
}

static const char *features(void) {
  switch (cpu_isa_best()) {
  case CPU_AVX512: return "avx2 avx512-vnni";
  case CPU_AVX2_VNNI: return "avx2 avx2-vnni";
  case CPU_AVX2: return "avx2";
  case CPU_NEON: return "neon-dotprod";
  case CPU_NEON_I8MM: return "neon-dotprod neon-i8mm";
  default: return "scalar";
  }
}

// The ISA of that name, which is one of those usable here; NULL: the best.
static cpu_isa isa_of(const char *name) {
  for (int i = 0; name && i < CPU_N_ISAS; i++)
    if (strcmp(cpu_isa_name((cpu_isa)i), name) == 0) return (cpu_isa)i;
  return cpu_isa_best();
}

static pn_backend *open_backend(const pn_setting *settings, int n, pn_error *e) {
  int threads = 0;
  if (!pn_setting_count(settings, n, "threads", 0, CPU_POOL_MAX_THREADS, &threads, e)) return NULL;
  const cpu_isa isa = isa_of(pn_setting_value(settings, n, "isa"));
  const char *precision = pn_setting_value(settings, n, "activations");
  cpu_backend *s = calloc(1, sizeof *s);
  if (!s) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for the backend 'cpu'");
    return NULL;
  }
  s->head.ops = &table;
  s->ops = ops_of(isa);
  const int planes = precision && strcmp(precision, "int8") == 0 ? 1 : 2;
  s->pool = cpu_pool_new(threads ? threads : cpu_pool_cores(), e);
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

static const pn_setting_kind cpu_settings[] = {
    {"threads", "threads; 0: as many as this process may use cores", NULL},
    {"isa", "instruction set", cpu_isa_usable},
    // What x is rounded to before it meets quantised weights: int16, whose results agree with float32 to a
    // few 1e-5, or int8, faster and rougher (about 1e-2).
    {"activations", "precision of activations in products with quantised weights", activations},
    {NULL, NULL, NULL}};

const pn_backend_kind cpu_kind = {.version = PN_BACKEND_VERSION,
                                  .size = sizeof(pn_backend_kind),
                                  .name = "cpu",
                                  .about = features,
                                  .settings = cpu_settings,
                                  .open = open_backend};
