// K and V in pages, and states in slots, in device memory.
#include "backend/cuda/cuda_int.h"

#include <stdlib.h>
#include <string.h>

static int element_bytes(pn_kv_type t) { return t == PN_KV_F32 ? 4 : t == PN_KV_INT8 ? 1 : 2; }

// Sizes of a shape; false: there is no such KV here.
static bool lay_out(const pn_kv_shape *s, cuda_kv_layout *l) {
  *l = cuda_kv_layout{};
  if (s->n_layers < 1 || s->n_pages < 1) return false;
  if (s->state_floats) {
    if (s->state_floats < 0 || s->state_floats > INT32_MAX / 8) return false;
    l->page_bytes = (s->state_floats * (int64_t)sizeof(float) + 63) / 64 * 64;
    l->layer_bytes = l->page_bytes * s->n_pages;
    return true;
  }
  if (s->n_kv_heads < 1 || s->head_dim < 1 || s->head_dim > 512 || s->page_tokens != 32 ||
      s->type == PN_KV_INT4)
    return false;
  l->page_tokens = s->page_tokens;
  l->n_kv_heads = s->n_kv_heads;
  l->head_dim = s->head_dim;
  l->dim_pad = (s->head_dim + 7) / 8 * 8;
  l->type = s->type;
  const int64_t part = (int64_t)l->dim_pad * s->page_tokens * element_bytes(s->type);
  l->v_offset = (int32_t)part;
  l->scales_offset = (int32_t)(2 * part);
  l->head_bytes = 2 * part + (s->type == PN_KV_INT8 ? 2 * s->page_tokens * (int64_t)sizeof(float) : 0);
  l->page_bytes = l->head_bytes * s->n_kv_heads;
  l->layer_bytes = l->page_bytes * s->n_pages;
  return true;
}

uint64_t cuda_kv_bytes(pn_backend *b, const pn_kv_shape *s) {
  cuda_kv_layout l;
  uint64_t bytes;
  (void)b;
  if (!lay_out(s, &l)) return 0;
  return __builtin_mul_overflow((uint64_t)l.layer_bytes, (uint64_t)s->n_layers, &bytes) ? UINT64_MAX : bytes;
}

pn_kv *cuda_kv_open(pn_backend *b, const pn_kv_shape *s, pn_error *e) {
  cuda_kv_layout l;
  (void)b;
  if (!lay_out(s, &l)) {
    pn_fail(
        e, PN_ERR_UNSUPPORTED,
        "cuda: KV of %d layers, %d heads of %d, %d pages of %d tokens, %s, states of %lld numbers: expected "
        "heads of at most 512, pages of 32 tokens, and f32, f16, bf16 or int8",
        s->n_layers, s->n_kv_heads, s->head_dim, s->n_pages, s->page_tokens, pn_kv_type_name(s->type),
        (long long)s->state_floats);
    return NULL;
  }
  pn_kv *kv = (pn_kv *)calloc(1, sizeof *kv);
  if (!kv) return pn_fail(e, PN_ERR_NOMEM, "no memory for a KV"), (pn_kv *)NULL;
  kv->shape = *s;
  kv->at = l;
  const size_t bytes = (size_t)l.layer_bytes * (size_t)s->n_layers;
  if (cuda_check(cudaMalloc((void **)&kv->data, bytes), e, "memory of the KV cache") &&
      cuda_check(cudaMemset(kv->data, 0, bytes), e, "memory of the KV cache"))
    return kv;
  cuda_kv_close(b, kv);
  return NULL;
}

void cuda_kv_close(pn_backend *b, pn_kv *kv) {
  (void)b;
  if (!kv) return;
  cudaFree(kv->data);
  free(kv);
}

// A page of all layers is n_layers rows of page_bytes, layer_bytes apart.
bool cuda_kv_copy(pn_backend *b, pn_kv *kv, int32_t from, int32_t to, pn_error *e) {
  cuda_backend *s = (cuda_backend *)b;
  const cuda_kv_layout *l = &kv->at;
  if (from == to) return true;
  return cuda_check(cudaMemcpy2DAsync(kv->data + to * l->page_bytes, (size_t)l->layer_bytes,
                                      kv->data + from * l->page_bytes, (size_t)l->layer_bytes,
                                      (size_t)l->page_bytes, (size_t)kv->shape.n_layers,
                                      cudaMemcpyDeviceToDevice, s->stream),
                    e, "copying a page");
}

bool cuda_kv_export(pn_backend *b, pn_kv *kv, int32_t page, void *bytes, pn_error *e) {
  cuda_backend *s = (cuda_backend *)b;
  const cuda_kv_layout *l = &kv->at;
  return cuda_check(cudaMemcpy2DAsync(bytes, (size_t)l->page_bytes, kv->data + page * l->page_bytes,
                                      (size_t)l->layer_bytes, (size_t)l->page_bytes,
                                      (size_t)kv->shape.n_layers, cudaMemcpyDeviceToHost, s->stream),
                    e, "reading a page") &&
         cuda_check(cudaStreamSynchronize(s->stream), e, "reading a page");
}

bool cuda_kv_import(pn_backend *b, pn_kv *kv, int32_t page, const void *bytes, pn_error *e) {
  cuda_backend *s = (cuda_backend *)b;
  const cuda_kv_layout *l = &kv->at;
  return cuda_check(cudaMemcpy2DAsync(kv->data + page * l->page_bytes, (size_t)l->layer_bytes, bytes,
                                      (size_t)l->page_bytes, (size_t)l->page_bytes,
                                      (size_t)kv->shape.n_layers, cudaMemcpyHostToDevice, s->stream),
                    e, "writing a page") &&
         cuda_check(cudaStreamSynchronize(s->stream), e, "writing a page");
}
