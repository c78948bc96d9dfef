#include "backend/cpu/cpu_kv_layout.h"

static int pad(int n) { return (n + CPU_LANES - 1) / CPU_LANES * CPU_LANES; }

static uint64_t element_bytes(pn_kv_type t) { return t == PN_KV_F32 ? 4 : t == PN_KV_INT8 ? 1 : 2; }

// The largest counts (2^31 each) make at most 2^62 codes of 4 bytes: all sums are watched.
uint64_t cpu_kv_lay_out(const pn_kv_shape *s, cpu_kv_head *h) {
  if (s->head_dim > INT32_MAX - CPU_LANES || s->page_tokens > INT32_MAX - CPU_LANES) return UINT64_MAX;
  h->type = s->type;
  h->head_dim = s->head_dim;
  h->dim_pad = pad(s->head_dim);
  h->page_tokens = s->page_tokens;
  h->tokens_pad = pad(s->page_tokens);
  uint64_t k, v, scales = s->type == PN_KV_INT8 ? (uint64_t)h->tokens_pad * sizeof(float) : 0, all;
  uint64_t one = element_bytes(s->type);
  if (__builtin_mul_overflow((uint64_t)h->head_dim * one, (uint64_t)h->tokens_pad, &k) ||
      __builtin_mul_overflow((uint64_t)h->dim_pad * one, (uint64_t)h->page_tokens, &v) ||
      __builtin_add_overflow(k, v, &all) || __builtin_add_overflow(all, 2 * scales, &all) || all > SIZE_MAX)
    return UINT64_MAX;
  h->k_scales_offset = (size_t)k;
  h->v_offset = (size_t)(k + scales);
  h->v_scales_offset = (size_t)(k + scales + v);
  return all;
}
