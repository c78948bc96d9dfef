// The kernels of cpu_ops.h, written once over a vector v16 of 16 floats. Each instruction set's file defines
// v16, the v_* functions, OPS_TABLE, OPS_NAME, the register tiles of attention (cpu_attend_body.h) and
// DELTA_BLOCKS (blocks of the delta rule's state that go together), then includes this. No guard: it is a
// body, included once in each of those files.

#ifndef INLINE
#define INLINE static inline __attribute__((always_inline))
#endif

// exp as cpu_ops.h states it.
INLINE v16 v_exp(v16 x) {
  x = v_min(v_max(x, v_set1(-87.3f)), v_set1(88.0f));
  v16 n = v_round(v_mul(x, v_set1(0x1.715476p+0f)));
  v16 r = v_fma(n, v_set1(-0x1.63p-1f), x); // ln 2 = 0x1.63p-1 - 0x1.bd0106p-13
  r = v_fma(n, v_set1(0x1.bd0106p-13f), r);
  v16 p = v_set1(0x1.6a23bap-10f);
  p = v_fma(p, r, v_set1(0x1.123a1ep-7f));
  p = v_fma(p, r, v_set1(0x1.5558f4p-5f));
  p = v_fma(p, r, v_set1(0x1.555492p-3f));
  p = v_fma(p, r, v_set1(0x1.fffffcp-2f));
  p = v_fma(p, r, v_set1(1.0f));
  p = v_fma(p, r, v_set1(1.0f));
  return v_mul(p, v_pow2(n));
}

static void ops_exp(const float *x, int n, float *out) {
  int i = 0;
  for (; i + CPU_LANES <= n; i += CPU_LANES) v_store(out + i, v_exp(v_load(x + i)));
  if (i < n) v_store_n(out + i, v_exp(v_load_n(x + i, n - i)), n - i);
}

static void scale_by_norm(const float *x, const float *w, v16 squares, float eps, int width, float *out) {
  v16 factor = v_set1(1.0f / sqrtf(v_sum(squares) / (float)width + eps));
  int i = 0;
  for (; i + CPU_LANES <= width; i += CPU_LANES)
    v_store(out + i, v_mul(v_mul(v_load(x + i), factor), v_load(w + i)));
  int n = width - i;
  if (n) v_store_n(out + i, v_mul(v_mul(v_load_n(x + i, n), factor), v_load_n(w + i, n)), n);
}

static void ops_rmsnorm(const float *x, const float *w, float eps, int width, float *out) {
  v16 squares = v_set1(0);
  int i = 0;
  for (; i + CPU_LANES <= width; i += CPU_LANES) {
    v16 v = v_load(x + i);
    squares = v_fma(v, v, squares);
  }
  if (i < width) {
    v16 v = v_load_n(x + i, width - i);
    squares = v_fma(v, v, squares);
  }
  scale_by_norm(x, w, squares, eps, width, out);
}

static void ops_add_rmsnorm(float *x, const float *y, const float *w, float eps, int width, float *out) {
  v16 squares = v_set1(0);
  int i = 0;
  for (; i + CPU_LANES <= width; i += CPU_LANES) {
    v16 v = v_add(v_load(x + i), v_load(y + i));
    v_store(x + i, v);
    squares = v_fma(v, v, squares);
  }
  int n = width - i;
  if (n) {
    v16 v = v_add(v_load_n(x + i, n), v_load_n(y + i, n));
    v_store_n(x + i, v, n);
    squares = v_fma(v, v, squares);
  }
  scale_by_norm(x, w, squares, eps, width, out);
}

static void ops_add(float *x, const float *y, int n) {
  int i = 0;
  for (; i + CPU_LANES <= n; i += CPU_LANES) v_store(x + i, v_add(v_load(x + i), v_load(y + i)));
  int rest = n - i;
  if (rest) v_store_n(x + i, v_add(v_load_n(x + i, rest), v_load_n(y + i, rest)), rest);
}

static void ops_multiply_add(float *x, const float *a, const float *b, int n) {
  int i = 0, rest = n % CPU_LANES;
  for (; i + CPU_LANES <= n; i += CPU_LANES)
    v_store(x + i, v_fma(v_load(a + i), v_load(b + i), v_load(x + i)));
  if (rest)
    v_store_n(x + i, v_fma(v_load_n(a + i, rest), v_load_n(b + i, rest), v_load_n(x + i, rest)), rest);
}

static void ops_add_scaled(float *x, const float *a, float scale, int n) {
  const v16 s = v_set1(scale);
  int i = 0, rest = n % CPU_LANES;
  for (; i + CPU_LANES <= n; i += CPU_LANES) v_store(x + i, v_fma(v_load(a + i), s, v_load(x + i)));
  if (rest) v_store_n(x + i, v_fma(v_load_n(a + i, rest), s, v_load_n(x + i, rest)), rest);
}

// x * sigmoid(gate).
INLINE v16 sigmoid_of(v16 x, v16 gate) {
  return v_div(x, v_add(v_set1(1.0f), v_exp(v_sub(v_set1(0), gate))));
}

INLINE v16 silu_mul(v16 gate, v16 up) { return v_mul(sigmoid_of(gate, gate), up); }

static void ops_silu_mul(const float *gate, const float *up, int n, float *out) {
  int i = 0;
  for (; i + CPU_LANES <= n; i += CPU_LANES) v_store(out + i, silu_mul(v_load(gate + i), v_load(up + i)));
  int rest = n - i;
  if (rest) v_store_n(out + i, silu_mul(v_load_n(gate + i, rest), v_load_n(up + i, rest)), rest);
}

INLINE v16 gelu_mul(v16 gate, v16 up) {
  v16 cubic = v_mul(v_mul(gate, gate), v_set1(0x1.2444f2p-4f)); // 0.044715 * 2 sqrt(2 / pi)
  return v_mul(sigmoid_of(gate, v_mul(gate, v_add(cubic, v_set1(0x1.988454p+0f)))), up);
}

static void ops_gelu_mul(const float *gate, const float *up, int n, float *out) {
  int i = 0, rest = n % CPU_LANES;
  for (; i + CPU_LANES <= n; i += CPU_LANES) v_store(out + i, gelu_mul(v_load(gate + i), v_load(up + i)));
  if (rest) v_store_n(out + i, gelu_mul(v_load_n(gate + i, rest), v_load_n(up + i, rest)), rest);
}

static void ops_silu(float *x, int n) {
  int i = 0, rest = n % CPU_LANES;
  for (; i + CPU_LANES <= n; i += CPU_LANES) v_store(x + i, sigmoid_of(v_load(x + i), v_load(x + i)));
  if (rest) v_store_n(x + i, sigmoid_of(v_load_n(x + i, rest), v_load_n(x + i, rest)), rest);
}

static void ops_sigmoid_gate(float *x, const float *gate, int n) {
  int i = 0, rest = n % CPU_LANES;
  for (; i + CPU_LANES <= n; i += CPU_LANES) v_store(x + i, sigmoid_of(v_load(x + i), v_load(gate + i)));
  if (rest) v_store_n(x + i, sigmoid_of(v_load_n(x + i, rest), v_load_n(gate + i, rest)), rest);
}

INLINE v16 soft_cap(v16 x, v16 limit) {
  v16 twice = v_div(x, v_mul(limit, v_set1(0.5f)));
  return v_mul(limit, v_sub(sigmoid_of(v_set1(2), twice), v_set1(1)));
}

static void ops_soft_cap(float *x, float limit, int n) {
  v16 by = v_set1(limit);
  int i = 0, rest = n % CPU_LANES;
  for (; i + CPU_LANES <= n; i += CPU_LANES) v_store(x + i, soft_cap(v_load(x + i), by));
  if (rest) v_store_n(x + i, soft_cap(v_load_n(x + i, rest), by), rest);
}

static void ops_rope_half(float *x, int n_rot, const float *table) {
  int half = n_rot / 2, i = 0;
  const float *cosine = table, *sine = table + half;
  float *y = x + half;
  for (; i + CPU_LANES <= half; i += CPU_LANES) {
    v16 a = v_load(x + i), b = v_load(y + i), c = v_load(cosine + i), s = v_load(sine + i);
    v_store(x + i, v_fma(a, c, v_sub(v_set1(0), v_mul(b, s))));
    v_store(y + i, v_fma(b, c, v_mul(a, s)));
  }
  int n = half - i;
  if (n) {
    v16 a = v_load_n(x + i, n), b = v_load_n(y + i, n), c = v_load_n(cosine + i, n),
        s = v_load_n(sine + i, n);
    v_store_n(x + i, v_fma(a, c, v_sub(v_set1(0), v_mul(b, s))), n);
    v_store_n(y + i, v_fma(b, c, v_mul(a, s)), n);
  }
}

static void ops_rope_pairs(float *x, int n_rot, const float *table) {
  const float *cosine = table, *sine = table + n_rot;
  int i = 0;
  for (; i + CPU_LANES <= n_rot; i += CPU_LANES) {
    v16 a = v_load(x + i);
    v_store(x + i, v_fma(a, v_load(cosine + i), v_mul(v_swap_pairs(a), v_load(sine + i))));
  }
  int n = n_rot - i;
  if (n) {
    v16 a = v_load_n(x + i, n);
    v_store_n(x + i, v_fma(a, v_load_n(cosine + i, n), v_mul(v_swap_pairs(a), v_load_n(sine + i, n))), n);
  }
}

static void ops_store(pn_dtype t, void *dst, const float *src, int n) {
  if (t == PN_F32) {
    memcpy(dst, src, (size_t)n * sizeof(float));
    return;
  }
  uint16_t *out = dst;
  int i = 0;
  for (; i + CPU_LANES <= n; i += CPU_LANES)
    if (t == PN_F16)
      v_to_f16(out + i, v_load(src + i));
    else
      v_to_bf16(out + i, v_load(src + i));
  if (i < n) {
    uint16_t rest[CPU_LANES];
    if (t == PN_F16)
      v_to_f16(rest, v_load_n(src + i, n - i));
    else
      v_to_bf16(rest, v_load_n(src + i, n - i));
    memcpy(out + i, rest, (size_t)(n - i) * sizeof *out);
  }
}

static float ops_store_int8(int8_t *codes, const float *x, int n) {
  v16 top = v_set1(0), wrong = v_set1(0);
  int i = 0;
  for (; i < n; i += CPU_LANES) {
    v16 v = n - i < CPU_LANES ? v_load_n(x + i, n - i) : v_load(x + i);
    top = v_max(top, v_max(v, v_sub(v_set1(0), v)));
    wrong = v_fma(v, v_set1(0), wrong);
  }
  bool finite = v_sum(wrong) == 0;
  float scale = finite ? v_top(top) / 127 : NAN;
  if (!finite || scale == 0) {
    memset(codes, 0, (size_t)n);
    return scale;
  }
  v16 by = v_set1(scale), most = v_set1(127);
  for (i = 0; i < n; i += CPU_LANES) {
    int8_t rest[CPU_LANES];
    int left = n - i;
    v16 v = v_div(left < CPU_LANES ? v_load_n(x + i, left) : v_load(x + i), by);
    v = v_round(v_min(v_max(v, v_sub(v_set1(0), most)), most));
    v_to_i8(left < CPU_LANES ? rest : codes + i, v);
    if (left < CPU_LANES) memcpy(codes + i, rest, (size_t)left);
  }
  return scale;
}

// x[i ..] of n elements; lanes past them are copies of x[0].
INLINE v16 v_load_some(const float *x, int i, int n) {
  float some[CPU_LANES];
  if (n - i >= CPU_LANES) return v_load(x + i);
  for (int l = 0; l < CPU_LANES; l++) some[l] = l < n - i ? x[i + l] : x[0];
  return v_load(some);
}

static void ops_store_codes(uint8_t *codes, const float *x, int n, int top, uint16_t *scale, uint16_t *min) {
  v16 most = v_set1(x[0]), least = most, wrong = v_set1(0);
  for (int i = 0; i < n; i += CPU_LANES) {
    v16 v = v_load_some(x, i, n);
    most = v_max(most, v);
    least = v_min(least, v);
    wrong = v_fma(v, v_set1(0), wrong);
  }
  float low = -v_top(v_sub(v_set1(0), least));
  *min = pn_f32_to_f16(low);
  *scale = pn_f32_to_f16((v_top(most) - low) / (float)top);
  float base = pn_f16_to_f32(*min), step = pn_f16_to_f32(*scale);
  memset(codes, 0, (size_t)n);
  if (v_sum(wrong) != 0 || !isfinite(base) || !isfinite(step)) {
    *scale = 0x7E00;
    *min = 0;
  } else if (step > 0)
    for (int i = 0; i < n; i += CPU_LANES) {
      int8_t some[CPU_LANES];
      v16 v = v_div(v_sub(v_load_some(x, i, n), v_set1(base)), v_set1(step));
      v_to_i8(some, v_round(v_min(v_max(v, v_set1(0)), v_set1((float)top))));
      memcpy(codes + i, some, (size_t)(n - i < CPU_LANES ? n - i : CPU_LANES));
    }
}

#include "backend/cpu/cpu_attend_body.h"
#include "backend/cpu/cpu_delta_body.h"
#include "backend/cpu/cpu_sample_body.h"

const cpu_ops OPS_TABLE = {
    .name = OPS_NAME,
    .rmsnorm = ops_rmsnorm,
    .add_rmsnorm = ops_add_rmsnorm,
    .add = ops_add,
    .multiply_add = ops_multiply_add,
    .add_scaled = ops_add_scaled,
    .silu_mul = ops_silu_mul,
    .gelu_mul = ops_gelu_mul,
    .silu = ops_silu,
    .sigmoid_gate = ops_sigmoid_gate,
    .soft_cap = ops_soft_cap,
    .dot = ops_dot,
    .scale = ops_scale,
    .delta = ops_delta,
    .rope_half = ops_rope_half,
    .rope_pairs = ops_rope_pairs,
    .store = ops_store,
    .store_int8 = ops_store_int8,
    .store_codes = ops_store_codes,
    .attend = ops_attend,
    .attend_merge = ops_attend_merge,
    .attend_finish = ops_attend_finish,
    .sample_top = ops_sample_top,
    .sample_sum = ops_sample_sum,
    .sample_weights = ops_sample_weights,
    .sample_mask = ops_sample_mask,
    .sample_collect = ops_sample_collect,
    .exp = ops_exp,
};
