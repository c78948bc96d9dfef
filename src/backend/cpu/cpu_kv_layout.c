#include "backend/cpu/cpu_kv_layout.h"

static uint64_t up_to(uint64_t n, uint64_t step) { return (n + step - 1) / step * step; }

// Bytes of a column of K (one token of every 1 that tokens_pad counts) and of a row of V.
static void codes(const cpu_kv_head *h, uint64_t *k, uint64_t *v) {
  uint64_t one = h->type == PN_KV_F32 ? 4 : h->type == PN_KV_INT8 ? 1 : 2;
  *k = (uint64_t)h->head_dim * one;
  *v = (uint64_t)h->dim_pad * one;
  if (h->type != PN_KV_INT4) return;
  *k = up_to((uint64_t)h->head_dim, 4) / 4 * 3;
  *v = (uint64_t)h->dim_pad / 2;
}

uint64_t cpu_kv_lay_out(const pn_kv_shape *s, cpu_kv_head *h) {
  if (s->head_dim > INT32_MAX - 2 * CPU_LANES || s->page_tokens > INT32_MAX - CPU_LANES) return UINT64_MAX;
  h->type = s->type;
  h->head_dim = s->head_dim;
  h->dim_pad = (int)up_to((uint64_t)s->head_dim, s->type == PN_KV_INT4 ? 2 * CPU_LANES : CPU_LANES);
  h->page_tokens = s->page_tokens;
  h->tokens_pad = (int)up_to((uint64_t)s->page_tokens, CPU_LANES);
  bool scaled = s->type == PN_KV_INT8 || s->type == PN_KV_INT4; // one f32, or two f16
  uint64_t k, v, scales = scaled ? (uint64_t)h->tokens_pad * sizeof(float) : 0, all;
  codes(h, &k, &v);
  if (__builtin_mul_overflow(k, (uint64_t)h->tokens_pad, &k) ||
      __builtin_mul_overflow(v, (uint64_t)h->page_tokens, &v) || __builtin_add_overflow(k, v, &all) ||
      __builtin_add_overflow(all, 2 * scales, &all) || all > SIZE_MAX)
    return UINT64_MAX;
  h->k_scales_offset = (size_t)k;
  h->v_offset = (size_t)(k + scales);
  h->v_scales_offset = (size_t)(k + scales + v);
  return all;
}

// a * b, UINT64_MAX when that overflows or either is (so that sums of claims stay refusable).
static uint64_t times(uint64_t a, uint64_t b) {
  uint64_t r;
  return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

// States lie one after another, each at a multiple of 64 bytes.
static uint64_t state_bytes(const pn_kv_shape *s) {
  if (s->n_layers < 1 || s->n_pages < 1 || s->state_floats < 0) return 0;
  if (s->state_floats > INT64_MAX / 8) return UINT64_MAX;
  return times(times((uint64_t)s->n_layers, (uint64_t)s->n_pages),
               up_to((uint64_t)s->state_floats * sizeof(float), 64));
}

uint64_t cpu_kv_bytes(const pn_kv_shape *s) {
  cpu_kv_head h;
  if (s->state_floats) return state_bytes(s);
  if (s->n_layers < 1 || s->n_kv_heads < 1 || s->head_dim < 1 || s->page_tokens < 1 || s->n_pages < 1)
    return 0;
  uint64_t heads = times((uint64_t)s->n_layers, (uint64_t)s->n_kv_heads);
  return times(times(heads, cpu_kv_lay_out(s, &h)), (uint64_t)s->n_pages);
}
