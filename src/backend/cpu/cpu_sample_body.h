// The kernels of sampling, part of cpu_ops_body.h: they walk logits in vectors of 16. A vector that reaches
// past the end is filled up with -infinity, which is never the largest and weighs nothing. No guard: it is a
// body, included once in each instruction set's file.

INLINE v16 sample_load(const float *v, int i, int n) {
  float some[CPU_LANES];
  if (n - i >= CPU_LANES) return v_load(v + i);
  for (int l = 0; l < CPU_LANES; l++) some[l] = l < n - i ? v[i + l] : -INFINITY;
  return v_load(some);
}

static float ops_sample_top(const float *v, int n, float lanes[CPU_LANES]) {
  v16 top[4];
  for (int k = 0; k < 4; k++) top[k] = v_set1(-INFINITY);
  int i = 0;
  for (; i + 4 * CPU_LANES <= n; i += 4 * CPU_LANES)
    for (int k = 0; k < 4; k++) top[k] = v_max(v_load(v + i + k * CPU_LANES), top[k]); // the second for a NaN
  for (; i < n; i += CPU_LANES) top[0] = v_max(sample_load(v, i, n), top[0]);
  v16 all = v_max(v_max(top[0], top[1]), v_max(top[2], top[3]));
  v_store(lanes, all);
  return v_top(all);
}

INLINE v_units sample_units(v16 v, const cpu_weighing *w) {
  v16 x = v_mul(v_sub(v, v_set1(w->top)), v_set1(w->inverse));
  return v_to_units(v_zero_below(v_exp(x), x, v_set1(w->least)));
}

static uint64_t ops_sample_sum(const float *v, int n, const cpu_weighing *w) {
  v_units sum = v_no_units();
  uint64_t q[CPU_LANES], all = 0;
  int i = 0;
  for (; i + CPU_LANES <= n; i += CPU_LANES) sum = v_add_units(sum, sample_units(v_load(v + i), w));
  if (i < n) sum = v_add_units(sum, sample_units(sample_load(v, i, n), w));
  v_store_units(q, sum);
  for (int l = 0; l < CPU_LANES; l++) all += q[l];
  return all;
}

static void ops_sample_weights(const float *v, int n, const cpu_weighing *w, uint64_t *out) {
  int i = 0;
  for (; i + CPU_LANES <= n; i += CPU_LANES) v_store_units(out + i, sample_units(v_load(v + i), w));
  if (i == n) return;
  uint64_t q[CPU_LANES];
  v_store_units(q, sample_units(sample_load(v, i, n), w));
  memcpy(out + i, q, (size_t)(n - i) * sizeof *q);
}

static void ops_sample_mask(const float *v, int n, const uint64_t *bits, float *out) {
  v16 none = v_set1(-INFINITY);
  for (int i = 0; i < n; i += CPU_LANES) {
    v16 x = v_by_bits((unsigned)(bits[i / 64] >> i % 64 & 0xFFFF), sample_load(v, i, n), none);
    if (n - i >= CPU_LANES)
      v_store(out + i, x);
    else
      v_store_n(out + i, x, n - i);
  }
}

static int ops_sample_collect(const float *v, int n, float bound, float limit, int32_t first, float *values,
                              int32_t *indices) {
  v16 least = v_set1(bound), over = v_set1(limit);
  int got = 0;
  for (int i = 0; i < n; i += CPU_LANES) {
    v16 x = sample_load(v, i, n);
    unsigned bits = v_bits_ge(x, least) & ~v_bits_ge(x, over);
    if (n - i < CPU_LANES) bits &= (1u << (n - i)) - 1;
    for (; bits; bits &= bits - 1) {
      int at = i + __builtin_ctz(bits);
      values[got] = v[at];
      indices[got++] = first + at;
    }
  }
  return got;
}
