// The kernels of every op but the matrix products: one table an instruction set, all from cpu_ops_body.h over
// a vector of 16 floats. Every table gives the same bits.
//
// Orders:
//  - a sum over n elements: lane l of 16 takes elements l, l + 16, ... by fma, ascending; then lane l += lane
//    l + 8, then + 4, + 2, + 1;
//  - exp: x is clamped to [-87.3, 88]; n = round to even(x * log2 e); r = x - n ln 2 in two fma steps;
//    polynomial of degree 6 by Horner in fma; times 2^n. Relative error below 1.5e-7 in that range, exp(0) =
//    1;
//  - 2^x for x <= 0, in attention: x is raised to -125 at least; n = round to even(x); polynomial of degree 5
//    of x - n by Horner in fma; times 2^n. Relative error below 1.7e-7, 2^0 = 1;
//  - attention: see cpu_attend;
//  - sampling: weights in whole units, whose sums are exact in any order (pn_backend_ops.sample).
#ifndef PN_BACKEND_CPU_OPS_H
#define PN_BACKEND_CPU_OPS_H

#include "backend/backend.h"

#include <stdbool.h>
#include <stdint.h>

enum {
  CPU_LANES = 16,
  CPU_ATTEND_QUERIES = 72, // most queries in one cpu_attend
  CPU_SPAN_TOKENS = 256,
  CPU_MAX_PAGE_TOKENS = CPU_SPAN_TOKENS,
  CPU_INT4_K_TOP = 63, // largest codes of int4
  CPU_INT4_V_TOP = 15,
};

// One kv head of one layer, as pages. Page p lies at base + p * page_bytes; the offsets below are from there.
//   f32, f16, bf16: K [head_dim][tokens_pad], V [page_tokens][dim_pad], elements of the type;
//   int8: K and V likewise, codes of one byte; K scales and V scales, each [tokens_pad] f32;
//   int4, all of rotated vectors (cpu_hadamard.h): K in groups of 4 dimensions d .. d + 3, each 3 rows of
//   tokens_pad bytes: the low 4 bits of d | of d + 1 << 4; of d + 2 and d + 3; the upper 2 bits of d | d + 1
//   << 2 | ... << 6. V [page_tokens][dim_pad / 2]: byte i of each 16 has dimension i | i + 16 << 4 of 32. K
//   scales and V scales, each [2][tokens_pad] f16: scales, then minima.
// tokens_pad and dim_pad are page_tokens and head_dim rounded up to 16 (int4: dim_pad to 32); the padding of
// V is zero (int4: codes 0). K lies with the
// positions side by side so that a vector holds the scores of 16 positions and no reduction is needed.
typedef struct cpu_kv_head {
  pn_kv_type type;
  int head_dim, dim_pad, page_tokens, tokens_pad;
  size_t page_bytes, k_scales_offset, v_offset, v_scales_offset; // bytes
  char *base;
} cpu_kv_head;

// Positions are cut into spans from position 0: as many whole pages as 256 tokens hold, so that pages of 16,
// 32, 64, 128 and 256 tokens give the same bits.
static inline int cpu_span_pages(int page_tokens) { return CPU_SPAN_TOKENS / page_tokens; }

// What a query found in a span: acc[dim_pad], then max, then sum. Of none: max = -inf, the rest says nothing.
static inline int cpu_attend_state_floats(int dim_pad) { return dim_pad + CPU_LANES; }

// Queries that read the same kv head of the same pages. For each query, over the positions of a span that it
// sees:
//   s_p = (scale log2 e) * dot, dot = fma(q[d], K[d][p], dot) for d ascending from 0; m = max s_p; e_p =
//   2^(s_p - m); sum of e_p: vector p / 16 of the span adds to vector p / 16 % 4 of four, ascending, then
//   (0 + 2) + (1 + 3), then its lanes as above; acc = fma(e_p, V_p, acc) for p ascending from 0.
// int8, with codes in place of K and V: s_p = (scale log2 e) * (dot * kscale_p), acc = fma(e_p * vscale_p,
// code, acc). int4 likewise, the queries being rotated and zero from head_dim to dim_pad, with q[dim_pad] =
// sum of q[d], ascending: s_p = (scale log2 e) * fma(kscale_p, dot, kmin_p * q[dim_pad]); acc begins at the
// sum of e_p * vmin_p, added up like that of e_p.
// What a page holds behind the positions that a query sees never enters its result, not even a NaN.
typedef struct cpu_attend {
  const cpu_kv_head *kv;
  const int32_t *pages; // a page table that is true of the span for all queries
  float scale;
  int n_queries;
  const float *q[CPU_ATTEND_QUERIES];
  int32_t begin[CPU_ATTEND_QUERIES], end[CPU_ATTEND_QUERIES]; // a query sees positions [begin, end)
  float *state[CPU_ATTEND_QUERIES];
  float *room; // cpu_attend_room_floats of scratch
} cpu_attend;

// Scores, scales of positions, and a panel of K or V.
static inline size_t cpu_attend_room_floats(int dim_pad) {
  size_t rows = (size_t)(dim_pad > CPU_SPAN_TOKENS ? dim_pad : CPU_SPAN_TOKENS);
  return (CPU_ATTEND_QUERIES + 4) * (CPU_SPAN_TOKENS + CPU_LANES) + (rows + CPU_LANES) * 2 * CPU_LANES;
}

// Rows of a sequence through a head of the gated delta rule, for some columns of its transposed state (see
// cpu_delta.c). q and k are normalised, and q is scaled. For each row: u = chain of fma S[i] * k[i] from 0, i
// ascending, w likewise with q[i]; t = beta * (v - decay * u); out = fma(t, kq, decay * w); S[i] = fma(t,
// k[i], decay * S[i]).
typedef struct cpu_delta_gate {
  float decay, beta, kq; // kq = k . q
} cpu_delta_gate;
typedef struct cpu_delta {
  int n_rows, key_dim, n_columns;
  const float *q, *k; // [n_rows][key_dim]
  const cpu_delta_gate *gates;
  const float *v;
  int64_t v_stride;
  float *out;
  int64_t out_stride;
  float *state;
} cpu_delta;

// Logits as weights: x = (logit - top) * inverse; the weight is exp(x) in units of 2^-PN_SAMPLE_UNIT_BITS,
// rounded to even, and 0 where x >= least does not hold.
#define CPU_UNIT_SHIFT 384.0 // 1.5 * 2^8: the lowest bit of a double near it is a unit
typedef struct cpu_weighing {
  float top, inverse, least;
} cpu_weighing;

typedef struct cpu_ops {
  const char *name;
  // out = x / sqrt(mean x^2 + eps) * w. `out` may be x. factor = 1 / sqrt(sum / width + eps); out = x *
  // factor * w.
  void (*rmsnorm)(const float *x, const float *w, float eps, int width, float *out);
  // x += y, then the norm of x.
  void (*add_rmsnorm)(float *x, const float *y, const float *w, float eps, int width, float *out);
  void (*add)(float *x, const float *y, int n);
  void (*multiply_add)(float *x, const float *a, const float *b, int n); // x = fma(a, b, x)
  void (*add_scaled)(float *x, const float *a, float scale, int n);      // x = fma(a, scale, x)
  void (*silu_mul)(const float *gate, const float *up, int n, float *out);
  void (*gelu_mul)(const float *gate, const float *up, int n, float *out);
  void (*silu)(float *x, int n);                            // in place
  void (*sigmoid_gate)(float *x, const float *gate, int n); // x = x / (1 + exp(-gate))
  void (*soft_cap)(float *x, float limit, int n);           // x = limit * (2 / (1 + exp(-2 (x / limit))) - 1)
  float (*dot)(const float *x, const float *y, int n);
  void (*scale)(const float *x, float by, int n, float *out); // out = x * by
  void (*delta)(const cpu_delta *d);
  // In place, one head. half: pairs (i, i + n_rot / 2), table = cos[n_rot / 2], sin[n_rot / 2].
  void (*rope_half)(float *x, int n_rot, const float *table);
  // Pairs (2i, 2i + 1), table = n_rot cosines (each twice), n_rot sines (-sin, +sin alternating).
  void (*rope_pairs)(float *x, int n_rot, const float *table);
  // dst[0 .. n) = src as dtype, rounded to nearest even.
  void (*store)(pn_dtype t, void *dst, const float *src, int n);
  // n codes of x by one scale: scale = max |x| / 127, code = round to even(x / scale), 0 for scale 0. Where x
  // has an infinity or a NaN, the codes are 0 and the scale is NaN.
  float (*store_int8)(int8_t *codes, const float *x, int n);
  // n codes 0 .. top of x: value = code * scale + min, scale = (max x - min x) / top, both rounded to f16;
  // code = round to even((x - min) / scale), cut to the range, 0 for scale 0. Where x has an infinity or a
  // NaN, or f16 can't hold one of them, the codes are 0 and the scale is NaN.
  void (*store_codes)(uint8_t *codes, const float *x, int n, int top, uint16_t *scale, uint16_t *min);
  // The states of the queries for a span.
  void (*attend)(const cpu_attend *a, int span);
  // Fold the state `from`, of later positions, into `into`.
  void (*attend_merge)(float *into, const float *from, int dim_pad);
  // out[0 .. head_dim) = acc * (1 / sum).
  void (*attend_finish)(const float *state, int dim_pad, int head_dim, float *out);
  // Sampling. Lane l's maximum of v[l], v[l + 16], ... to lanes[l]; the maximum of all. NaNs don't count.
  float (*sample_top)(const float *v, int n, float lanes[CPU_LANES]);
  uint64_t (*sample_sum)(const float *v, int n, const cpu_weighing *w); // of the weights
  void (*sample_weights)(const float *v, int n, const cpu_weighing *w, uint64_t *out);
  // out = v where the bit is set, else -infinity.
  void (*sample_mask)(const float *v, int n, const uint64_t *bits, float *out);
  // The number of elements of v in [bound, limit); they and their indices, counted from `first`, go to
  // `values` and `indices`, ascending. Room for n of each.
  int (*sample_collect)(const float *v, int n, float bound, float limit, int32_t first, float *values,
                        int32_t *indices);
  void (*exp)(const float *x, int n, float *out); // for tests
} cpu_ops;

extern const cpu_ops cpu_ops_scalar, cpu_ops_avx2, cpu_ops_avx512, cpu_ops_neon;

#endif
