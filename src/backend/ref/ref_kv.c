// K and V of the oracle, and attention over them.
#include "backend/cpu/cpu_hadamard.h"
#include "backend/ref/ref_codes.h"
#include "backend/ref/ref_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// int8 and int4 are kept as the values that their codes stand for.
static pn_dtype kept_as(pn_kv_type t) { return t == PN_KV_F16 ? PN_F16 : t == PN_KV_BF16 ? PN_BF16 : PN_F32; }

uint64_t ref_kv_bytes(pn_backend *b, const pn_kv_shape *s) {
  (void)b;
  const bool states = s->state_floats != 0;
  const int64_t pages[] = {s->n_layers, s->n_pages, s->n_kv_heads, s->head_dim, s->page_tokens},
                slots[] = {s->n_layers, s->n_pages, s->state_floats};
  const int64_t *counts = states ? slots : pages;
  uint64_t bytes = states ? sizeof(float) : 2 * pn_dtype_block_bytes(kept_as(s->type));
  for (int i = 0; i < (states ? 3 : 5); i++) {
    if (counts[i] < 1) return 0;
    if (__builtin_mul_overflow(bytes, (uint64_t)counts[i], &bytes)) return UINT64_MAX;
  }
  return bytes;
}

pn_kv *ref_kv_open(pn_backend *b, const pn_kv_shape *s, pn_error *e) {
  uint64_t bytes = ref_kv_bytes(b, s);
  if (bytes == 0 || (unsigned)s->type >= PN_KV_N_TYPES ||
      (s->type == PN_KV_INT4 && s->head_dim > CPU_HADAMARD_MAX)) {
    pn_fail(e, PN_ERR_UNSUPPORTED,
            "KV of %d layers, %d heads of %d, %d pages of %d tokens, %s, states of %lld numbers", s->n_layers,
            s->n_kv_heads, s->head_dim, s->n_pages, s->page_tokens, pn_kv_type_name(s->type),
            (long long)s->state_floats);
    return NULL;
  }
  pn_kv *kv = malloc(sizeof *kv);
  char *data = bytes < SIZE_MAX ? cpu_memory_new((size_t)bytes) : NULL;
  if (!kv || !data) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for a KV of %llu bytes", (unsigned long long)bytes);
    cpu_memory_free(data);
    free(kv);
    return NULL;
  }
  *kv = (pn_kv){*s, kept_as(s->type), data};
  return kv;
}

void ref_kv_close(pn_backend *b, pn_kv *kv) {
  (void)b;
  if (!kv) return;
  cpu_memory_free(kv->data);
  free(kv);
}

static size_t page_bytes(const pn_kv *kv) {
  const pn_kv_shape *s = &kv->shape;
  if (s->state_floats) return (size_t)s->state_floats * sizeof(float);
  return (size_t)s->n_kv_heads * (size_t)s->page_tokens * 2 * (size_t)s->head_dim *
         pn_dtype_block_bytes(kv->dtype);
}

char *ref_kv_page(const pn_kv *kv, int layer, int32_t page) {
  return kv->data + ((size_t)layer * (size_t)kv->shape.n_pages + (size_t)page) * page_bytes(kv);
}

bool ref_kv_copy(pn_backend *b, pn_kv *kv, int32_t from, int32_t to, pn_error *e) {
  (void)b, (void)e;
  for (int layer = 0; layer < kv->shape.n_layers && from != to; layer++)
    memcpy(ref_kv_page(kv, layer, to), ref_kv_page(kv, layer, from), page_bytes(kv));
  return true;
}

bool ref_kv_export(pn_backend *b, pn_kv *kv, int32_t page, void *bytes, pn_error *e) {
  (void)b, (void)e;
  for (int layer = 0; layer < kv->shape.n_layers; layer++)
    memcpy((char *)bytes + (size_t)layer * page_bytes(kv), ref_kv_page(kv, layer, page), page_bytes(kv));
  return true;
}

bool ref_kv_import(pn_backend *b, pn_kv *kv, int32_t page, const void *bytes, pn_error *e) {
  (void)b, (void)e;
  for (int layer = 0; layer < kv->shape.n_layers; layer++)
    memcpy(ref_kv_page(kv, layer, page), (const char *)bytes + (size_t)layer * page_bytes(kv),
           page_bytes(kv));
  return true;
}

void ref_kv_discard(pn_backend *b, pn_kv *kv, int32_t first, int n) {
  (void)b;
  for (int layer = 0; layer < kv->shape.n_layers; layer++)
    cpu_memory_discard(kv->data, ref_kv_page(kv, layer, first), (size_t)n * page_bytes(kv));
}

// Where K (which = 0) or V (1) of a token lies.
static char *kv_at(const pn_kv *kv, int layer, int64_t slot, int head, int which) {
  const pn_kv_shape *s = &kv->shape;
  int64_t page = slot / s->page_tokens, offset = slot % s->page_tokens;
  int64_t index = ((layer * (int64_t)s->n_pages + page) * s->n_kv_heads + head) * s->page_tokens + offset;
  return kv->data + (size_t)((index * 2 + which) * s->head_dim) * pn_dtype_block_bytes(kv->dtype);
}

static void store(pn_kv_type t, bool value, void *dst, const float *src, int n) {
  if (t == PN_KV_INT8 || t == PN_KV_INT4) {
    ref_codes(t, value, src, n, dst);
    return;
  }
  if (t == PN_KV_F32) {
    memcpy(dst, src, (size_t)n * 4);
    return;
  }
  for (int i = 0; i < n; i++) {
    uint16_t h = t == PN_KV_F16 ? pn_f32_to_f16(src[i]) : pn_f32_to_bf16(src[i]);
    memcpy((char *)dst + 2 * i, &h, 2);
  }
}

void ref_kv_write(ref *s, const pn_step *step) {
  const cpu_rows k = cpu_workspace_rows(s->ws, step->in[0]), v = cpu_workspace_rows(s->ws, step->in[1]);
  const pn_kv_rows *places = &s->batch.kv[step->kv.group];
  const pn_kv *kv = places->kv;
  int d = kv->shape.head_dim, layer = step->kv.layer;
  for (int r = 0; r < k.n; r++)
    for (int h = 0; h < kv->shape.n_kv_heads; h++) {
      int64_t slot = places->slot[r];
      store(kv->shape.type, false, kv_at(kv, layer, slot, h, 0), k.p + r * k.stride + (int64_t)h * d, d);
      store(kv->shape.type, true, kv_at(kv, layer, slot, h, 1), v.p + r * v.stride + (int64_t)h * d, d);
    }
}

typedef struct attend_job {
  ref *s;
  const pn_kv_rows *places;
  const pn_kv *kv;
  const pn_attention *a;
  const float *q;
  int64_t q_stride;
  float *out;
  int64_t out_stride;
} attend_job;

// Numbers [from, from + n) of K (which = 0) or V (1) of position p of a sequence: where they lie, or in
// `room`.
static const float *numbers_of(const attend_job *j, const int32_t *pages, int p, int kv_head, int which,
                               int from, int n, float room[DIMS]) {
  const pn_kv_shape *shape = &j->kv->shape;
  int64_t slot = (int64_t)pages[p / shape->page_tokens] * shape->page_tokens + p % shape->page_tokens;
  const char *at = kv_at(j->kv, j->a->layer, slot, kv_head, which);
  at += (size_t)from * pn_dtype_block_bytes(j->kv->dtype);
  if (j->kv->dtype == PN_F32) return (const float *)(const void *)at;
  pn_floats_to_f32(j->kv->dtype, at, room, (size_t)n);
  return room;
}

static double score_of(const attend_job *j, const float *q, const int32_t *pages, int p, int kv_head) {
  float room[DIMS];
  double dot = 0;
  for (int from = 0, d = j->a->head_dim; from < d; from += DIMS) {
    int n = d - from < DIMS ? d - from : DIMS;
    const float *k = numbers_of(j, pages, p, kv_head, 0, from, n, room);
    for (int i = 0; i < n; i++) dot += (double)q[from + i] * (double)k[i];
  }
  return dot * (double)j->a->scale;
}

// One query head of one row. Scores first, then their maximum, then the weights, then the sum of V.
static void attend(const attend_job *j, int r, int h, double *score) {
  const pn_batch *batch = &j->s->batch;
  int d = j->a->head_dim, kv_head = h / (j->a->n_heads / j->a->n_kv_heads);
  int last = batch->pos[r], first = j->a->window && last >= j->a->window ? last - j->a->window + 1 : 0;
  const int32_t *pages = j->places->pages[batch->seq[r]];
  float *out = j->out + r * j->out_stride + (int64_t)h * d;
  double max = -INFINITY, sum = 0;
  for (int p = first; p <= last; p++) {
    score[p] = score_of(j, j->q + r * j->q_stride + (int64_t)h * d, pages, p, kv_head);
    if (score[p] > max) max = score[p];
  }
  for (int p = first; p <= last; p++) {
    score[p] = exp(score[p] - max);
    sum += score[p];
  }
  for (int from = 0; from < d; from += DIMS) {
    int n = d - from < DIMS ? d - from : DIMS;
    double acc[DIMS] = {0}; // each grows in ascending order of positions
    for (int p = first; p <= last; p++) {
      float room[DIMS];
      const float *v = numbers_of(j, pages, p, kv_head, 1, from, n, room);
      for (int i = 0; i < n; i++) acc[i] += score[p] * (double)v[i];
    }
    for (int i = 0; i < n; i++) out[from + i] = (float)(acc[i] / sum);
  }
}

static void attend_heads(void *ctx, int thread, int64_t begin, int64_t end) {
  const attend_job *j = ctx;
  double *score = (double *)j->s->scores.p + thread * j->s->max_positions;
  for (int64_t i = begin; i < end; i++) attend(j, (int)(i / j->a->n_heads), (int)(i % j->a->n_heads), score);
}

void ref_attention(ref *s, const pn_step *step) {
  const cpu_rows q = cpu_workspace_rows(s->ws, step->in[0]), out = cpu_workspace_rows(s->ws, step->out);
  const pn_kv_rows *places = &s->batch.kv[step->attention.group];
  attend_job j = {s, places, places->kv, &step->attention, q.p, q.stride, out.p, out.stride};
  cpu_pool_run(s->pool, attend_heads, &j, (int64_t)q.n * j.a->n_heads, 1);
}
