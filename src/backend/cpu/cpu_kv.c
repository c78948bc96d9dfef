#include "backend/cpu/cpu_state.h"

#include <stdlib.h>
#include <string.h>

static bool check(const pn_kv_shape *s, pn_error *e) {
  bool type = s->type == PN_KV_F32 || s->type == PN_KV_F16 || s->type == PN_KV_BF16;
  if (type && s->n_layers >= 1 && s->n_kv_heads >= 1 && s->head_dim >= 1 && s->head_dim <= 1 << 16 &&
      s->page_tokens >= 1 && s->page_tokens <= CPU_MAX_PAGE_TOKENS && s->n_pages >= 1)
    return true;
  return pn_fail(
      e, PN_ERR_UNSUPPORTED,
      "KV of %d layers, %d heads of %d, %d pages of %d tokens, %s: expected at least one of each, at most "
      "%d tokens a page, and f32, f16 or bf16",
      s->n_layers, s->n_kv_heads, s->head_dim, s->n_pages, s->page_tokens, pn_kv_type_name(s->type),
      CPU_MAX_PAGE_TOKENS);
}

static int pad(int n) { return (n + CPU_LANES - 1) / CPU_LANES * CPU_LANES; }

// Fill in the sizes; the bytes of all layers, or SIZE_MAX when there is no such memory.
static size_t lay_out(pn_kv *kv) {
  const pn_kv_shape *s = &kv->shape;
  cpu_kv_head *h = &kv->head;
  h->dtype = s->type == PN_KV_F32 ? PN_F32 : s->type == PN_KV_F16 ? PN_F16 : PN_BF16;
  size_t element = pn_dtype_block_bytes(h->dtype);
  h->head_dim = s->head_dim;
  h->dim_pad = pad(s->head_dim);
  h->page_tokens = s->page_tokens;
  h->tokens_pad = pad(s->page_tokens);
  h->v_offset_bytes = (size_t)s->head_dim * (size_t)h->tokens_pad * element;
  kv->head_bytes = h->v_offset_bytes + (size_t)s->page_tokens * (size_t)h->dim_pad * element;
  size_t bytes;
  if (__builtin_mul_overflow(kv->head_bytes, (size_t)s->n_kv_heads, &h->page_bytes) ||
      __builtin_mul_overflow(h->page_bytes, (size_t)s->n_pages, &kv->layer_bytes) ||
      __builtin_mul_overflow(kv->layer_bytes, (size_t)s->n_layers, &bytes))
    return SIZE_MAX;
  return bytes;
}

pn_kv *cpu_kv_open(pn_backend *b, const pn_kv_shape *shape, pn_error *e) {
  if (!check(shape, e)) return NULL;
  pn_kv *kv = calloc(1, sizeof *kv);
  if (!kv) {
    pn_fail(e, PN_ERR_NOMEM, "no memory for a KV");
    return NULL;
  }
  kv->shape = *shape;
  size_t bytes = lay_out(kv);
  kv->data = cpu_memory_new(bytes);
  if (!kv->data) {
    pn_fail(e, PN_ERR_NOMEM, "no address space for a KV of %zu bytes (%d pages)", bytes, shape->n_pages);
    free(kv);
    return NULL;
  }
  kv->head.base = kv->data;
  if (!cpu_attention_reserve((cpu_backend *)b, kv->head.dim_pad, e)) {
    cpu_kv_close(b, kv);
    return NULL;
  }
  return kv;
}

void cpu_kv_close(pn_backend *b, pn_kv *kv) {
  (void)b;
  if (!kv) return;
  cpu_memory_free(kv->data);
  free(kv);
}

bool cpu_kv_copy(pn_backend *b, pn_kv *kv, int32_t from, int32_t to, pn_error *e) {
  (void)b, (void)e;
  for (int layer = 0; layer < kv->shape.n_layers; layer++) {
    char *pages = kv->data + (size_t)layer * kv->layer_bytes;
    memcpy(pages + (size_t)to * kv->head.page_bytes, pages + (size_t)from * kv->head.page_bytes,
           kv->head.page_bytes);
  }
  return true;
}

typedef struct write_job {
  const cpu_backend *s;
  const pn_kv *kv;
  char *layer;
  const float *k, *v;
  int64_t k_stride, v_stride;
} write_job;

// One element of each of n rows, row_bytes apart: a column of K.
static void scatter(pn_dtype t, char *dst, size_t row_bytes, const void *src, int n) {
  if (t == PN_F32) {
    const float *f = src;
    for (int i = 0; i < n; i++, dst += row_bytes) memcpy(dst, &f[i], 4);
  } else {
    const uint16_t *h = src;
    for (int i = 0; i < n; i++, dst += row_bytes) memcpy(dst, &h[i], 2);
  }
}

static void write_token(const write_job *j, int row, int kv_head) {
  enum { CHUNK = 128 };
  const cpu_kv_head *h = &j->kv->head;
  const cpu_ops *ops = j->s->ops;
  int slot = j->s->batch.slot[row], page = slot / h->page_tokens, offset = slot % h->page_tokens;
  size_t element = pn_dtype_block_bytes(h->dtype), row_bytes = (size_t)h->tokens_pad * element;
  char *at = j->layer + (size_t)page * h->page_bytes + (size_t)kv_head * j->kv->head_bytes;
  const float *k = j->k + row * j->k_stride + (int64_t)kv_head * h->head_dim;
  const float *v = j->v + row * j->v_stride + (int64_t)kv_head * h->head_dim;
  float rounded[CHUNK];
  for (int d = 0; d < h->head_dim; d += CHUNK) {
    int n = h->head_dim - d < CHUNK ? h->head_dim - d : CHUNK;
    ops->store(h->dtype, rounded, k + d, n);
    scatter(h->dtype, at + (size_t)d * row_bytes + (size_t)offset * element, row_bytes, rounded, n);
  }
  ops->store(h->dtype, at + h->v_offset_bytes + (size_t)(offset * h->dim_pad) * element, v, h->head_dim);
}

static void write_share(void *ctx, int thread, int n_threads) {
  const write_job *j = ctx;
  int64_t begin, end; // of the heads, so that no two threads write the same cache line of K
  cpu_pool_share(j->kv->shape.n_kv_heads, 1, thread, n_threads, &begin, &end);
  for (int64_t h = begin; h < end; h++)
    for (int r = 0; r < j->s->batch.n_rows; r++) write_token(j, r, (int)h);
}

void cpu_kv_write(pn_backend *b, pn_kv *kv, int layer, const float *k, int64_t k_stride, const float *v,
                  int64_t v_stride) {
  cpu_backend *s = (cpu_backend *)b;
  write_job j = {s, kv, kv->data + (size_t)layer * kv->layer_bytes, k, v, k_stride, v_stride};
  int64_t elements = (int64_t)s->batch.n_rows * kv->shape.n_kv_heads * kv->shape.head_dim;
  if (elements < 1024)
    write_share(&j, 0, 1);
  else
    cpu_pool_run(s->pool, write_share, &j);
}
