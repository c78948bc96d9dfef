#include "backend/cpu/cpu_hadamard.h"
#include "backend/cpu/cpu_kv_layout.h"
#include "backend/cpu/cpu_state.h"

#include <stdlib.h>
#include <string.h>

static bool check(const pn_kv_shape *s, pn_error *e) {
  if (s->state_floats) {
    if (cpu_kv_bytes(s)) return true;
    return pn_fail(e, PN_ERR_UNSUPPORTED, "states of %d layers, %lld numbers each, %d slots", s->n_layers,
                   (long long)s->state_floats, s->n_pages);
  }
  int most = s->type == PN_KV_INT4 ? CPU_HADAMARD_MAX : 1 << 16;
  if ((unsigned)s->type < PN_KV_N_TYPES && s->n_layers >= 1 && s->n_kv_heads >= 1 && s->head_dim >= 1 &&
      s->head_dim <= most && s->page_tokens >= 1 && s->page_tokens <= CPU_MAX_PAGE_TOKENS && s->n_pages >= 1)
    return true;
  return pn_fail(
      e, PN_ERR_UNSUPPORTED,
      "KV of %d layers, %d heads of %d, %d pages of %d tokens, %s: expected at least one of each, heads "
      "of at most %d, at most %d tokens a page, and f32, f16, bf16, int8 or int4",
      s->n_layers, s->n_kv_heads, s->head_dim, s->n_pages, s->page_tokens, pn_kv_type_name(s->type), most,
      CPU_MAX_PAGE_TOKENS);
}

// Fill in the sizes; the bytes of all layers, or SIZE_MAX when there is no such memory.
static size_t lay_out(pn_kv *kv) {
  const pn_kv_shape *s = &kv->shape;
  uint64_t bytes = cpu_kv_bytes(s);
  if (bytes >= SIZE_MAX) return SIZE_MAX;
  if (!s->state_floats) kv->head_bytes = (size_t)cpu_kv_lay_out(s, &kv->head);
  kv->layer_bytes = (size_t)bytes / (size_t)s->n_layers;
  kv->head.page_bytes = kv->layer_bytes / (size_t)s->n_pages;
  return (size_t)bytes;
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
  if (!shape->state_floats && !cpu_attention_reserve((cpu_backend *)b, kv->head.dim_pad, e)) {
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

char *cpu_kv_page(const pn_kv *kv, int layer, int32_t page) {
  return kv->data + (size_t)layer * kv->layer_bytes + (size_t)page * kv->head.page_bytes;
}

bool cpu_kv_copy(pn_backend *b, pn_kv *kv, int32_t from, int32_t to, pn_error *e) {
  (void)b, (void)e;
  for (int layer = 0; layer < kv->shape.n_layers && from != to; layer++)
    memcpy(cpu_kv_page(kv, layer, to), cpu_kv_page(kv, layer, from), kv->head.page_bytes);
  return true;
}

bool cpu_kv_export(pn_backend *b, pn_kv *kv, int32_t page, void *bytes, pn_error *e) {
  (void)b, (void)e;
  const size_t n = kv->head.page_bytes;
  for (int layer = 0; layer < kv->shape.n_layers; layer++)
    memcpy((char *)bytes + (size_t)layer * n, cpu_kv_page(kv, layer, page), n);
  return true;
}

bool cpu_kv_import(pn_backend *b, pn_kv *kv, int32_t page, const void *bytes, pn_error *e) {
  (void)b, (void)e;
  const size_t n = kv->head.page_bytes;
  for (int layer = 0; layer < kv->shape.n_layers; layer++)
    memcpy(cpu_kv_page(kv, layer, page), (const char *)bytes + (size_t)layer * n, n);
  return true;
}

// Whole pages only: what is left of the system's pages at the ends belongs to neighbours too.
void cpu_kv_discard(pn_backend *b, pn_kv *kv, int32_t first, int n) {
  (void)b;
  for (int layer = 0; layer < kv->shape.n_layers; layer++)
    cpu_memory_discard(kv->data, cpu_kv_page(kv, layer, first), (size_t)n * kv->head.page_bytes);
}

typedef struct write_job {
  const cpu_backend *s;
  const pn_kv *kv;
  const int32_t *slots;
  char *layer;
  const float *k, *v;
  int64_t k_stride, v_stride;
} write_job;

// One element of each of n rows, row_bytes apart: a column of K.
static void scatter(size_t element, char *dst, size_t row_bytes, const void *src, int n) {
  const char *from = src;
  if (element == 4)
    for (int i = 0; i < n; i++, dst += row_bytes, from += 4) memcpy(dst, from, 4);
  else if (element == 2)
    for (int i = 0; i < n; i++, dst += row_bytes, from += 2) memcpy(dst, from, 2);
  else
    for (int i = 0; i < n; i++, dst += row_bytes, from++) *dst = *from;
}

static void write_floats(const cpu_ops *ops, const cpu_kv_head *h, char *page, int offset, const float *k,
                         const float *v) {
  enum { CHUNK = 128 };
  pn_dtype t = h->type == PN_KV_F32 ? PN_F32 : h->type == PN_KV_F16 ? PN_F16 : PN_BF16;
  size_t element = pn_dtype_block_bytes(t), row_bytes = (size_t)h->tokens_pad * element;
  float rounded[CHUNK];
  for (int d = 0; d < h->head_dim; d += CHUNK) {
    int n = h->head_dim - d < CHUNK ? h->head_dim - d : CHUNK;
    ops->store(t, rounded, k + d, n);
    scatter(element, page + (size_t)d * row_bytes + (size_t)offset * element, row_bytes, rounded, n);
  }
  ops->store(t, page + h->v_offset + (size_t)(offset * h->dim_pad) * element, v, h->head_dim);
}

static void write_int8(const cpu_ops *ops, const cpu_kv_head *h, char *page, int offset, const float *k,
                       const float *v, void *room) {
  float k_scale = ops->store_int8(room, k, h->head_dim);
  scatter(1, page + offset, (size_t)h->tokens_pad, room, h->head_dim);
  float v_scale = ops->store_int8((int8_t *)page + h->v_offset + offset * h->dim_pad, v, h->head_dim);
  memcpy(page + h->k_scales_offset + (size_t)offset * sizeof k_scale, &k_scale, sizeof k_scale);
  memcpy(page + h->v_scales_offset + (size_t)offset * sizeof v_scale, &v_scale, sizeof v_scale);
}

static void put16(char *scales, int i, uint16_t x) { memcpy(scales + 2 * i, &x, sizeof x); }

// A rotated copy of x with its codes behind it, padded with zeros to dim_pad. `room` holds both.
static uint8_t *encode_int4(const cpu_ops *ops, const cpu_kv_head *h, const float *x, int top, float *room,
                            char *scales, int offset) {
  uint16_t scale, min;
  uint8_t *codes = (uint8_t *)(room + h->dim_pad);
  memcpy(room, x, (size_t)h->head_dim * sizeof *x);
  cpu_hadamard(room, h->head_dim);
  ops->store_codes(codes, room, h->head_dim, top, &scale, &min);
  memset(codes + h->head_dim, 0, (size_t)(h->dim_pad - h->head_dim));
  put16(scales, offset, scale);
  put16(scales, h->tokens_pad + offset, min);
  return codes;
}

static void write_int4(const cpu_ops *ops, const cpu_kv_head *h, char *page, int offset, const float *k,
                       const float *v, float *room) {
  const uint8_t *c = encode_int4(ops, h, k, CPU_INT4_K_TOP, room, page + h->k_scales_offset, offset);
  uint8_t *out = (uint8_t *)page + offset;
  for (int d = 0; d < h->head_dim; d += 4, c += 4, out += 3 * h->tokens_pad) {
    out[0] = (uint8_t)((c[0] & 15) | (c[1] & 15) << 4);
    out[h->tokens_pad] = (uint8_t)((c[2] & 15) | (c[3] & 15) << 4);
    out[2 * h->tokens_pad] = (uint8_t)(c[0] >> 4 | c[1] >> 4 << 2 | c[2] >> 4 << 4 | c[3] >> 4 << 6);
  }
  c = encode_int4(ops, h, v, CPU_INT4_V_TOP, room, page + h->v_scales_offset, offset);
  out = (uint8_t *)page + h->v_offset + offset * (h->dim_pad / 2);
  for (int d = 0; d < h->dim_pad; d += 2 * CPU_LANES, c += 2 * CPU_LANES, out += CPU_LANES)
    for (int i = 0; i < CPU_LANES; i++) out[i] = (uint8_t)(c[i] | c[i + CPU_LANES] << 4);
}

static void write_token(const write_job *j, int row, int kv_head, float *room) {
  const cpu_kv_head *h = &j->kv->head;
  const cpu_ops *ops = j->s->ops;
  int slot = j->slots[row], page = slot / h->page_tokens, offset = slot % h->page_tokens;
  char *at = j->layer + (size_t)page * h->page_bytes + (size_t)kv_head * j->kv->head_bytes;
  const float *k = j->k + row * j->k_stride + (int64_t)kv_head * h->head_dim;
  const float *v = j->v + row * j->v_stride + (int64_t)kv_head * h->head_dim;
  if (h->type == PN_KV_INT8)
    write_int8(ops, h, at, offset, k, v, room);
  else if (h->type == PN_KV_INT4)
    write_int4(ops, h, at, offset, k, v, room);
  else
    write_floats(ops, h, at, offset, k, v);
}

// By heads, so that no two threads write the same cache line of K.
static void write_heads(void *ctx, int thread, int64_t begin, int64_t end) {
  const write_job *j = ctx;
  float *room = cpu_attention_room(j->s, thread);
  for (int64_t h = begin; h < end; h++)
    for (int r = 0; r < j->s->batch.n_rows; r++) write_token(j, r, (int)h, room);
}

void cpu_kv_write(cpu_backend *s, const pn_step *step) {
  const cpu_rows k = cpu_rows_of(s, step->in[0]), v = cpu_rows_of(s, step->in[1]);
  const pn_kv_rows *places = &s->batch.kv[step->kv.group];
  const pn_kv *kv = places->kv;
  write_job j = {s, kv, places->slot, cpu_kv_page(kv, step->kv.layer, 0), k.p, v.p, k.stride, v.stride};
  int64_t elements = (int64_t)s->batch.n_rows * kv->shape.n_kv_heads * kv->shape.head_dim;
  if (elements < 1024)
    write_heads(&j, 0, 0, kv->shape.n_kv_heads);
  else
    cpu_pool_run(s->pool, write_heads, &j, kv->shape.n_kv_heads,
                 cpu_pool_chunk(s->pool, kv->shape.n_kv_heads, 2));
}
