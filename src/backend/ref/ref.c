// The oracle: every op as plain loops, written to be read. It uses threads only to share out independent
// outputs, so no result depends on their number.
//
// Accumulation: matrix products, norms, scores and the sums of the softmax run in double, ascending, and are
// rounded to f32 once. The KV has the dtype of its shape, and of int8 and int4 the values that their codes
// stand for, as f32; everything else is f32.
#include "backend/ref/ref.h"

#include "backend/ref/ref_int.h"
#include "backend/ref/ref_matrix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ref_close(pn_backend *b) {
  ref *s = (ref *)b;
  cpu_pool_free(s->pool);
  cpu_scratch_fini(&s->row);
  cpu_scratch_fini(&s->act);
  cpu_scratch_fini(&s->columns);
  cpu_scratch_fini(&s->scores);
  ref_sampler_fini(&s->sampler);
  free(s);
}

static const char *ref_describe(pn_backend *b) { return ((ref *)b)->description; }

static pn_weight *ref_weight_open(pn_backend *b, const pn_matrix *m, pn_error *e) {
  ref *s = (ref *)b;
  if (!ref_matrix_check(m, e)) return NULL;
  pn_weight *w = malloc(sizeof *w);
  const size_t bytes = (size_t)cpu_pool_threads(s->pool) * (size_t)m->cols * sizeof(float);
  if (!w || !cpu_scratch_reserve(&s->row, bytes) || !cpu_scratch_reserve(&s->act, bytes)) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for a weight of %lld columns", (long long)m->cols);
    free(w);
    return NULL;
  }
  if (m->cols > s->max_cols) s->max_cols = m->cols;
  *w = (pn_weight){.m = *m};
  return w;
}

static pn_weight *ref_vector_open(pn_backend *b, const float *host, int64_t n, pn_error *e) {
  (void)b;
  pn_weight *w = n > 0 && (uint64_t)n < SIZE_MAX / 8 ? malloc(sizeof *w + (size_t)n * sizeof *host) : NULL;
  if (!w) return pn_fail(e, PN_ERR_NOMEM, "no memory for a vector of %lld numbers", (long long)n), NULL;
  *w = (pn_weight){.vector = (float *)(w + 1)};
  memcpy(w->vector, host, (size_t)n * sizeof *host);
  return w;
}

static void ref_weight_close(pn_backend *b, pn_weight *w) {
  (void)b;
  free(w);
}

static uint64_t ref_workspace_bytes(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits) {
  (void)b;
  uint64_t bytes;
  return cpu_workspace_bytes(plan, max_rows, max_logits, &bytes) ? bytes : UINT64_MAX;
}

static pn_workspace *ref_workspace_open(pn_backend *b, const pn_plan *plan, int max_rows, int max_logits,
                                        pn_error *e) {
  (void)b;
  return cpu_workspace_new(plan, max_rows, max_logits, e);
}

static void ref_workspace_close(pn_backend *b, pn_workspace *ws) {
  (void)b;
  cpu_workspace_free(ws);
}

static bool ref_begin(pn_backend *b, pn_workspace *ws, const pn_batch *batch, pn_error *e) {
  ref *s = (ref *)b;
  int64_t positions = s->max_positions;
  for (int r = 0; r < batch->n_rows; r++)
    if (batch->pos && batch->pos[r] >= positions) positions = (int64_t)batch->pos[r] + 1;
  if (!cpu_scratch_reserve(&s->scores,
                           (size_t)cpu_pool_threads(s->pool) * (size_t)positions * sizeof(double)))
    return pn_fail(e, PN_ERR_NOMEM, "no memory for the scores of %lld positions", (long long)positions);
  s->max_positions = positions;
  size_t groups = (size_t)(batch->n_rows > batch->n_logits ? batch->n_rows : batch->n_logits) / TOGETHER + 1;
  if (!cpu_scratch_reserve(&s->columns, groups * TOGETHER * (size_t)s->max_cols * sizeof(double)))
    return pn_fail(e, PN_ERR_NOMEM, "no memory for products of %d rows", batch->n_rows);
  return cpu_workspace_begin(ws, batch, e);
}

static void ref_write(pn_backend *b, pn_workspace *ws, pn_view v, int first, int n, const float *host) {
  (void)b;
  cpu_workspace_write(ws, v, first, n, host);
}

static bool ref_read(pn_backend *b, pn_workspace *ws, pn_view v, int first, int n, float *host, pn_error *e) {
  (void)b, (void)e;
  cpu_workspace_read(ws, v, first, n, host);
  return true;
}

static bool ref_sync(pn_backend *b, pn_error *e) { return (void)b, (void)e, true; }

static void ref_run(pn_backend *b, pn_workspace *ws, const pn_step *step) {
  static void (*const ops[PN_N_OPS])(ref *, const pn_step *) = {
      [PN_OP_EMBED] = ref_embed,
      [PN_OP_RMSNORM] = ref_rmsnorm,
      [PN_OP_ADD_RMSNORM] = ref_add_rmsnorm,
      [PN_OP_MATMUL] = ref_matmul,
      [PN_OP_ADD_BIAS] = ref_add_bias,
      [PN_OP_ROPE] = ref_rope,
      [PN_OP_KV_WRITE] = ref_kv_write,
      [PN_OP_ATTENTION] = ref_attention,
      [PN_OP_SILU_MUL] = ref_silu_mul,
      [PN_OP_ADD] = ref_add,
      [PN_OP_GATHER] = ref_gather,
      [PN_OP_SHORT_CONV] = ref_short_conv,
      [PN_OP_ROUTE] = ref_route,
      [PN_OP_EXPERTS] = ref_experts,
      [PN_OP_GELU_MUL] = ref_gelu_mul,
      [PN_OP_SCALE] = ref_scale,
      [PN_OP_SOFT_CAP] = ref_soft_cap,
      [PN_OP_SIGMOID_GATE] = ref_sigmoid_gate,
      [PN_OP_GATED_DELTA] = ref_gated_delta,
      [PN_OP_GATED_RMSNORM] = ref_gated_rmsnorm,
  };
  ref *s = (ref *)b;
  s->ws = ws;
  s->batch = ws->batch;
  ops[step->op](s, step);
}

static bool ref_sample_reserve(pn_backend *b, int n_vocab, int max_rows, pn_error *e) {
  (void)max_rows;
  return ref_sampler_reserve(&((ref *)b)->sampler, n_vocab, e);
}

static bool ref_sample(pn_backend *b, pn_workspace *ws, pn_view logits, const pn_sample *how, int n,
                       pn_choice *out, pn_error *e) {
  (void)e;
  const cpu_rows rows = cpu_workspace_rows(ws, logits);
  for (int r = 0; r < n; r++)
    out[r] = ref_sampler_row(&((ref *)b)->sampler, rows.p + r * rows.stride, logits.width, &how[r]);
  return true;
}

static const pn_backend_ops ref_ops = {
    .version = PN_BACKEND_VERSION,
    .size = sizeof(pn_backend_ops),
    .name = "ref",
    .close = ref_close,
    .describe = ref_describe,
    .weight_open = ref_weight_open,
    .vector_open = ref_vector_open,
    .weight_close = ref_weight_close,
    .kv_bytes = ref_kv_bytes,
    .kv_open = ref_kv_open,
    .kv_close = ref_kv_close,
    .kv_copy = ref_kv_copy,
    .kv_discard = ref_kv_discard,
    .kv_export = ref_kv_export,
    .kv_import = ref_kv_import,
    .workspace_bytes = ref_workspace_bytes,
    .workspace_open = ref_workspace_open,
    .workspace_close = ref_workspace_close,
    .begin = ref_begin,
    .run = ref_run,
    .sample_reserve = ref_sample_reserve,
    .sample = ref_sample,
    .write = ref_write,
    .read = ref_read,
    .sync = ref_sync,
};

static pn_backend *ref_open(const pn_setting *settings, int n, pn_error *e) {
  int threads = 0;
  if (!pn_setting_count(settings, n, "threads", 0, CPU_POOL_MAX_THREADS, &threads, e)) return NULL;
  ref *s = calloc(1, sizeof *s);
  if (!s) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for the backend 'ref'");
    return NULL;
  }
  s->head.ops = &ref_ops;
  s->pool = cpu_pool_new(threads ? threads : cpu_pool_cores(), e);
  if (!s->pool) {
    free(s);
    return NULL;
  }
  snprintf(s->description, sizeof s->description, "ref, %d threads", cpu_pool_threads(s->pool));
  return &s->head;
}

static const char *ref_about(void) { return "plain loops, the oracle of every other"; }

static const pn_setting_kind ref_settings[] = {
    {"threads", "threads; 0: as many as this process may use cores", NULL}, {NULL, NULL, NULL}};

const pn_backend_kind ref_kind = {.version = PN_BACKEND_VERSION,
                                  .size = sizeof(pn_backend_kind),
                                  .name = "ref",
                                  .about = ref_about,
                                  .settings = ref_settings,
                                  .open = ref_open};
