// The kernels of cpu_ops.h, written once over a vector v16 of 16 floats. Each instruction set's file defines
// v16, the v_* functions, OPS_TABLE, OPS_NAME and TILE_QUERIES, TILE_VECTORS (register tiles of attention),
// then includes this. No guard: it is a body, included once in each of those files.

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

static float exp_one(float x) {
  float out[CPU_LANES];
  v_store(out, v_exp(v_set1(x)));
  return out[0];
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

INLINE v16 silu_mul(v16 gate, v16 up) {
  v16 divisor = v_add(v_set1(1.0f), v_exp(v_sub(v_set1(0), gate)));
  return v_mul(v_div(gate, divisor), up);
}

static void ops_silu_mul(const float *gate, const float *up, int n, float *out) {
  int i = 0;
  for (; i + CPU_LANES <= n; i += CPU_LANES) v_store(out + i, silu_mul(v_load(gate + i), v_load(up + i)));
  int rest = n - i;
  if (rest) v_store_n(out + i, silu_mul(v_load_n(gate + i, rest), v_load_n(up + i, rest)), rest);
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

// 16 stored elements as f32. t is a constant where this is inlined.
INLINE v16 v_stored(pn_kv_type t, const char *p, int64_t i) {
  if (t == PN_KV_F32) return v_load((const float *)(const void *)p + i);
  if (t == PN_KV_INT8) return v_from_i8(p + i);
  return t == PN_KV_F16 ? v_from_f16(p + 2 * i) : v_from_bf16(p + 2 * i);
}

// 16 scales (or minima) from the i-th on.
INLINE v16 v_scale(pn_kv_type t, const char *scales, int i) {
  return t == PN_KV_INT8 ? v_load((const float *)(const void *)scales + i) : v_from_f16(scales + 2 * i);
}

// Not of int4.
INLINE size_t element_bytes(pn_kv_type t) { return t == PN_KV_F32 ? 4 : t == PN_KV_INT8 ? 1 : 2; }

// One page for up to CPU_ATTEND_QUERIES queries. Only those that see positions of it are listed.
typedef struct page_job {
  const cpu_attend *a;
  const char *k, *v;
  const char *k_scales, *v_scales;
  ptrdiff_t next; // from a byte of this page to the same byte of the next one: what to prefetch
  int n;          // queries listed
  const float *q[CPU_ATTEND_QUERIES];
  float *state[CPU_ATTEND_QUERIES];
  int begin[CPU_ATTEND_QUERIES], end[CPU_ATTEND_QUERIES]; // tokens of this page that a query sees
  float *score[CPU_ATTEND_QUERIES];                       // [tokens_pad]
} page_job;

// score = scale * (q . K) for nq queries and nv vectors of positions from t on.
INLINE void scores_tile(const page_job *j, pn_kv_type type, int at, int nq, int t, int nv) {
  const cpu_kv_head *kv = j->a->kv;
  const char *k = j->k + (size_t)t * element_bytes(type);
  size_t row_bytes = (size_t)kv->tokens_pad * element_bytes(type);
  const float *const *q = j->q + at;
  v16 acc[TILE_QUERIES][2];
  for (int i = 0; i < nq; i++)
    for (int n = 0; n < nv; n++) acc[i][n] = v_set1(0);
  for (int d = 0; d < kv->head_dim; d++, k += row_bytes) {
    v16 kd[2];
    __builtin_prefetch(k + j->next);
    for (int n = 0; n < nv; n++) kd[n] = v_stored(type, k, n * CPU_LANES);
    for (int i = 0; i < nq; i++)
      for (int n = 0; n < nv; n++) acc[i][n] = v_fma(v_set1(q[i][d]), kd[n], acc[i][n]);
  }
  if (type == PN_KV_INT8)
    for (int n = 0; n < nv; n++) {
      v16 by = v_scale(type, j->k_scales, t + n * CPU_LANES);
      for (int i = 0; i < nq; i++) acc[i][n] = v_mul(acc[i][n], by);
    }
  v16 scale = v_set1(j->a->scale);
  for (int i = 0; i < nq; i++)
    for (int n = 0; n < nv; n++) v_store(j->score[at + i] + t + n * CPU_LANES, v_mul(acc[i][n], scale));
}

// The same of int4: groups of 4 dimensions, 3 rows of bytes each.
INLINE void scores_tile_int4(const page_job *j, int at, int nq, int t, int nv) {
  const cpu_kv_head *kv = j->a->kv;
  size_t row_bytes = (size_t)kv->tokens_pad;
  const char *k = j->k + t;
  const float *const *q = j->q + at;
  v16 acc[TILE_QUERIES][2];
  for (int i = 0; i < nq; i++)
    for (int n = 0; n < nv; n++) acc[i][n] = v_set1(0);
  for (int d = 0; d < kv->head_dim; d += 4, k += 3 * row_bytes) {
    __builtin_prefetch(k + j->next);
    __builtin_prefetch(k + j->next + 2 * row_bytes);
    v_bytes row[2][3];
    for (int n = 0; n < nv; n++)
      for (size_t r = 0; r < 3; r++) row[n][r] = v_load_bytes(k + r * row_bytes + n * CPU_LANES);
#pragma GCC unroll 4 // else the sums lie in memory
    for (int c = 0; c < 4; c++) {
      v16 kd[2];
      for (int n = 0; n < nv; n++) kd[n] = v_from_u6(row[n][c / 2], row[n][2], c);
      for (int i = 0; i < nq; i++)
        for (int n = 0; n < nv; n++) acc[i][n] = v_fma(v_set1(q[i][d + c]), kd[n], acc[i][n]);
    }
  }
  v16 scale = v_set1(j->a->scale);
  for (int n = 0; n < nv; n++) {
    int p = t + n * CPU_LANES;
    v16 by = v_scale(PN_KV_INT4, j->k_scales, p), min = v_scale(PN_KV_INT4, j->k_scales, kv->tokens_pad + p);
    for (int i = 0; i < nq; i++) {
      v16 s = v_fma(by, acc[i][n], v_mul(min, v_set1(q[i][kv->dim_pad])));
      v_store(j->score[at + i] + p, v_mul(s, scale));
    }
  }
}

INLINE void scores_of(const page_job *j, pn_kv_type type, int at, int nq) {
  int pad = j->a->kv->tokens_pad, t = 0;
  if (type == PN_KV_INT4) {
    for (; t + 2 * CPU_LANES <= pad; t += 2 * CPU_LANES) scores_tile_int4(j, at, nq, t, 2);
    if (t < pad) scores_tile_int4(j, at, nq, t, 1);
    return;
  }
  for (; t + 2 * CPU_LANES <= pad; t += 2 * CPU_LANES) scores_tile(j, type, at, nq, t, 2);
  if (t < pad) scores_tile(j, type, at, nq, t, 1);
}

// The tree sum of e_p * vmin_p, and e_p *= vscale_p.
static float scale_weights(const page_job *j, int i) {
  const cpu_kv_head *kv = j->a->kv;
  float *e = j->score[i], low[CPU_MAX_PAGE_TOKENS];
  int pad = kv->tokens_pad;
  v16 total = v_set1(0);
  if (kv->type == PN_KV_INT4) {
    for (int t = 0; t < pad; t += CPU_LANES)
      v_store(low + t, v_mul(v_load(e + t), v_scale(PN_KV_INT4, j->v_scales, pad + t)));
    for (int t = 0; t < j->begin[i]; t++) low[t] = 0; // what lies there might be a NaN
    for (int t = j->end[i]; t < pad; t++) low[t] = 0;
    for (int t = 0; t < pad; t += CPU_LANES) total = v_add(total, v_load(low + t));
  }
  for (int t = 0; t < pad; t += CPU_LANES)
    v_store(e + t, v_mul(v_load(e + t), v_scale(kv->type, j->v_scales, t)));
  return v_sum(total);
}

// Turn scores into e_p (times vscale_p where there is one) and bring max, sum and acc of the state up to
// date.
static void soften(const page_job *j, int i) {
  const cpu_kv_head *kv = j->a->kv;
  float *s = j->score[i], *acc = j->state[i], *max = acc + kv->dim_pad, *sum = max + 1;
  int begin = j->begin[i], end = j->end[i], pad = kv->tokens_pad;
  for (int t = 0; t < begin; t++) s[t] = -INFINITY;
  for (int t = end; t < pad; t++) s[t] = -INFINITY;
  v16 top = v_load(s);
  for (int t = CPU_LANES; t < pad; t += CPU_LANES) top = v_max(top, v_load(s + t));
  float found = v_top(top), m = *max > found ? *max : found;
  float shrink = exp_one(*max - m);
  v16 total = v_set1(0), by = v_set1(m);
  for (int t = 0; t < pad; t += CPU_LANES) v_store(s + t, v_exp(v_sub(v_load(s + t), by)));
  for (int t = 0; t < begin; t++) s[t] = 0;
  for (int t = end; t < pad; t++) s[t] = 0;
  for (int t = 0; t < pad; t += CPU_LANES) total = v_add(total, v_load(s + t));
  *sum = fmaf(*sum, shrink, v_sum(total));
  *max = m;
  bool codes = kv->type == PN_KV_INT8 || kv->type == PN_KV_INT4;
  float base = codes ? scale_weights(j, i) : 0;
  if (kv->type == PN_KV_INT4) {
    for (int d = 0; d < kv->dim_pad; d += CPU_LANES)
      v_store(acc + d, v_fma(v_load(acc + d), v_set1(shrink), v_set1(base)));
    return;
  }
  if (shrink == 1.0f) return;
  for (int d = 0; d < kv->dim_pad; d += CPU_LANES) v_store(acc + d, v_mul(v_load(acc + d), v_set1(shrink)));
}

// Bytes of n elements of V.
INLINE size_t values_bytes(pn_kv_type t, int n) {
  return t == PN_KV_INT4 ? (size_t)n / 2 : (size_t)n * element_bytes(t);
}

// acc += e_p V_p over tokens [begin, end) for nq queries and nv vectors from element d on.
INLINE void values_tile(const page_job *j, pn_kv_type type, int at, int nq, int d, int nv, int begin,
                        int end) {
  size_t row_bytes = values_bytes(type, j->a->kv->dim_pad);
  const char *v = j->v + values_bytes(type, d) + (size_t)begin * row_bytes;
  float *const *state = j->state + at, *const *e = j->score + at;
  v16 acc[TILE_QUERIES][TILE_VECTORS];
  for (int i = 0; i < nq; i++)
    for (int n = 0; n < nv; n++) acc[i][n] = v_load(state[i] + d + n * CPU_LANES);
  for (int t = begin; t < end; t++, v += row_bytes) {
    v16 vt[TILE_VECTORS];
    for (int n = 0; n < nv; n += 2) __builtin_prefetch(v + j->next + values_bytes(type, n * CPU_LANES));
    for (int n = 0; n < nv; n++)
      if (type != PN_KV_INT4)
        vt[n] = v_stored(type, v, n * CPU_LANES);
      else if (n % 2 == 0)
        v_from_u4(v + n * (CPU_LANES / 2), vt + n);
    for (int i = 0; i < nq; i++)
      for (int n = 0; n < nv; n++) acc[i][n] = v_fma(v_set1(e[i][t]), vt[n], acc[i][n]);
  }
  for (int i = 0; i < nq; i++)
    for (int n = 0; n < nv; n++) v_store(state[i] + d + n * CPU_LANES, acc[i][n]);
}

INLINE void values_one(const page_job *j, pn_kv_type type, int at, int begin, int end) {
  int pad = j->a->kv->dim_pad, d = 0;
  for (; d + TILE_VECTORS * CPU_LANES <= pad; d += TILE_VECTORS * CPU_LANES)
    values_tile(j, type, at, 1, d, TILE_VECTORS, begin, end);
  for (; d + 2 * CPU_LANES <= pad; d += 2 * CPU_LANES) values_tile(j, type, at, 1, d, 2, begin, end);
  if (d < pad) values_tile(j, type, at, 1, d, 1, begin, end);
}

// nq queries together over the tokens that all of them see, and each alone over the rest: none touches a V
// that it may not see, for that might be an infinity.
INLINE void values_of(const page_job *j, pn_kv_type type, int at, int nq) {
  int begin = 0, end = CPU_MAX_PAGE_TOKENS, pad = j->a->kv->dim_pad, d = 0;
  for (int i = at; i < at + nq; i++) {
    if (j->begin[i] > begin) begin = j->begin[i];
    if (j->end[i] < end) end = j->end[i];
  }
  if (begin >= end) {
    for (int i = at; i < at + nq; i++) values_one(j, type, i, j->begin[i], j->end[i]);
    return;
  }
  for (int i = at; i < at + nq; i++)
    if (j->begin[i] < begin) values_one(j, type, i, j->begin[i], begin);
  for (; d + 2 * CPU_LANES <= pad; d += 2 * CPU_LANES) values_tile(j, type, at, nq, d, 2, begin, end);
  if (d < pad) values_tile(j, type, at, nq, d, 1, begin, end);
  for (int i = at; i < at + nq; i++)
    if (j->end[i] > end) values_one(j, type, i, end, j->end[i]);
}

INLINE void attend_page(const page_job *j, pn_kv_type type) {
  int at = 0;
  for (; at + TILE_QUERIES <= j->n; at += TILE_QUERIES) scores_of(j, type, at, TILE_QUERIES);
#if TILE_QUERIES > 4
  for (; at + 3 <= j->n; at += 3) scores_of(j, type, at, 3);
#endif
  for (; at < j->n; at++) scores_of(j, type, at, 1);
  for (int i = 0; i < j->n; i++) soften(j, i);
  at = 0;
  for (; at + TILE_QUERIES <= j->n; at += TILE_QUERIES) values_of(j, type, at, TILE_QUERIES);
#if TILE_QUERIES > 4
  for (; at + 3 <= j->n; at += 3) values_of(j, type, at, 3);
#endif
  for (; at < j->n; at++) values_one(j, type, at, j->begin[at], j->end[at]);
}

static void attend_page_f32(const page_job *j) { attend_page(j, PN_KV_F32); }
static void attend_page_f16(const page_job *j) { attend_page(j, PN_KV_F16); }
static void attend_page_bf16(const page_job *j) { attend_page(j, PN_KV_BF16); }
static void attend_page_int8(const page_job *j) { attend_page(j, PN_KV_INT8); }
static void attend_page_int4(const page_job *j) { attend_page(j, PN_KV_INT4); }

static void (*page_of(pn_kv_type t))(const page_job *) {
  switch (t) {
  case PN_KV_F16: return attend_page_f16;
  case PN_KV_BF16: return attend_page_bf16;
  case PN_KV_INT8: return attend_page_int8;
  case PN_KV_INT4: return attend_page_int4;
  default: return attend_page_f32;
  }
}

static void ops_attend(const cpu_attend *a, int page_begin, int page_end) {
  const cpu_kv_head *kv = a->kv;
  _Alignas(64) float scores[CPU_ATTEND_QUERIES][CPU_MAX_PAGE_TOKENS];
  void (*attend_page_now)(const page_job *) = page_of(kv->type);
  page_job j = {.a = a};
  for (int page = page_begin; page < page_end; page++) {
    int first = page * kv->page_tokens;
    j.n = 0;
    for (int i = 0; i < a->n_queries; i++) {
      int begin = a->begin[i] - first, end = a->end[i] - first;
      if (begin < 0) begin = 0;
      if (end > kv->page_tokens) end = kv->page_tokens;
      if (begin >= end) continue;
      j.q[j.n] = a->q[i];
      j.state[j.n] = a->state[i];
      j.score[j.n] = scores[j.n];
      j.begin[j.n] = begin;
      j.end[j.n++] = end;
    }
    if (j.n == 0) continue;
    j.k = kv->base + (size_t)a->pages[page] * kv->page_bytes;
    j.v = j.k + kv->v_offset;
    j.k_scales = j.k + kv->k_scales_offset;
    j.v_scales = j.k + kv->v_scales_offset;
    int next = page + 1 < page_end ? page + 1 : page;
    j.next = ((ptrdiff_t)a->pages[next] - a->pages[page]) * (ptrdiff_t)kv->page_bytes;
    attend_page_now(&j);
  }
}

static void ops_attend_merge(float *into, const float *from, int dim_pad) {
  float *max = into + dim_pad, *sum = max + 1;
  float other = from[dim_pad], m = *max > other ? *max : other;
  float a = exp_one(*max - m), b = exp_one(other - m);
  *sum = fmaf(*sum, a, from[dim_pad + 1] * b);
  *max = m;
  for (int d = 0; d < dim_pad; d += CPU_LANES)
    v_store(into + d, v_fma(v_load(into + d), v_set1(a), v_mul(v_load(from + d), v_set1(b))));
}

static void ops_attend_finish(const float *state, int dim_pad, int head_dim, float *out) {
  v16 factor = v_set1(1.0f / state[dim_pad + 1]);
  int d = 0;
  for (; d + CPU_LANES <= head_dim; d += CPU_LANES) v_store(out + d, v_mul(v_load(state + d), factor));
  if (d < head_dim) v_store_n(out + d, v_mul(v_load(state + d), factor), head_dim - d);
}

#include "backend/cpu/cpu_sample_body.h"

const cpu_ops OPS_TABLE = {
    .name = OPS_NAME,
    .rmsnorm = ops_rmsnorm,
    .add_rmsnorm = ops_add_rmsnorm,
    .add = ops_add,
    .multiply_add = ops_multiply_add,
    .add_scaled = ops_add_scaled,
    .silu_mul = ops_silu_mul,
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
