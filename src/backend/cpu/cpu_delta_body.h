// The kernels of the gated delta rule, part of cpu_ops_body.h. Lanes are columns of the transposed state, so
// no sum crosses lanes: each value of a row is a chain of its own. No guard: it is a body, included once in
// each instruction set's file.

static float ops_dot(const float *x, const float *y, int n) {
  v16 sum = v_set1(0);
  int i = 0;
  for (; i + CPU_LANES <= n; i += CPU_LANES) sum = v_fma(v_load(x + i), v_load(y + i), sum);
  if (i < n) sum = v_fma(v_load_n(x + i, n - i), v_load_n(y + i, n - i), sum);
  return v_sum(sum);
}

static void ops_scale(const float *x, float by, int n, float *out) {
  v16 factor = v_set1(by);
  int i = 0, rest = n % CPU_LANES;
  for (; i + CPU_LANES <= n; i += CPU_LANES) v_store(out + i, v_mul(v_load(x + i), factor));
  if (rest) v_store_n(out + i, v_mul(v_load_n(x + i, rest), factor), rest);
}

// width is CPU_LANES, or fewer in a head's last block; a constant where this is inlined.
INLINE v16 delta_load(const float *p, int width) {
  return width == CPU_LANES ? v_load(p) : v_load_n(p, width);
}

INLINE void delta_store(float *p, v16 v, int width) {
  if (width == CPU_LANES)
    v_store(p, v);
  else
    v_store_n(p, v, width);
}

// What is under way of `blocks` blocks of columns.
typedef struct delta_tile {
  float *state; // of the first block; block b lies at b * key_dim * width
  v16 u[DELTA_BLOCKS], w[DELTA_BLOCKS], t[DELTA_BLOCKS];
} delta_tile;

// u = S k and w = S q.
INLINE void delta_read(const cpu_delta *d, delta_tile *x, const float *k, const float *q, int blocks,
                       int width) {
  const int apart = d->key_dim * width;
  for (int b = 0; b < blocks; b++) x->u[b] = x->w[b] = v_set1(0);
  for (int i = 0; i < d->key_dim; i++) {
    v16 ki = v_set1(k[i]), qi = v_set1(q[i]);
    for (int b = 0; b < blocks; b++) {
      v16 s = delta_load(x->state + b * apart + i * width, width);
      x->u[b] = v_fma(s, ki, x->u[b]);
      x->w[b] = v_fma(s, qi, x->w[b]);
    }
  }
}

// S = t k^T + decay * S; what lies where the next blocks are is fetched.
INLINE void delta_update(const cpu_delta *d, delta_tile *x, const float *k, v16 decay, int blocks,
                         int width) {
  const int apart = d->key_dim * width;
  for (int i = 0; i < d->key_dim; i++) {
    v16 ki = v_set1(k[i]);
    for (int b = 0; b < blocks; b++) {
      float *s = x->state + b * apart + i * width;
      __builtin_prefetch(s + blocks * apart);
      delta_store(s, v_fma(x->t[b], ki, v_mul(delta_load(s, width), decay)), width);
    }
  }
}

// Both in one go: the update with k, then the reading with the next row's k and q.
INLINE void delta_step(const cpu_delta *d, delta_tile *x, const float *k, v16 decay, const float *next_k,
                       const float *next_q, int blocks, int width) {
  const int apart = d->key_dim * width;
  for (int b = 0; b < blocks; b++) x->u[b] = x->w[b] = v_set1(0);
  for (int i = 0; i < d->key_dim; i++) {
    v16 ki = v_set1(k[i]), nk = v_set1(next_k[i]), nq = v_set1(next_q[i]);
    for (int b = 0; b < blocks; b++) {
      float *p = x->state + b * apart + i * width;
      v16 s = v_fma(x->t[b], ki, v_mul(delta_load(p, width), decay));
      delta_store(p, s, width);
      x->u[b] = v_fma(s, nk, x->u[b]);
      x->w[b] = v_fma(s, nq, x->w[b]);
    }
  }
}

// All rows over the columns [at, at + blocks * width).
INLINE void delta_blocks(const cpu_delta *d, int at, int blocks, int width) {
  delta_tile x = {.state = d->state + (int64_t)at * d->key_dim};
  const float *k = d->k, *q = d->q;
  delta_read(d, &x, k, q, blocks, width);
  for (int r = 0; r < d->n_rows; r++, k += d->key_dim, q += d->key_dim) {
    const cpu_delta_gate *g = &d->gates[r];
    v16 decay = v_set1(g->decay), beta = v_set1(g->beta), kq = v_set1(g->kq);
    for (int b = 0; b < blocks; b++) {
      const float *v = d->v + r * d->v_stride + at + b * width;
      x.t[b] = v_mul(beta, v_sub(delta_load(v, width), v_mul(decay, x.u[b])));
      delta_store(d->out + r * d->out_stride + at + b * width, v_fma(x.t[b], kq, v_mul(decay, x.w[b])),
                  width);
    }
    if (r + 1 < d->n_rows)
      delta_step(d, &x, k, decay, k + d->key_dim, q + d->key_dim, blocks, width);
    else
      delta_update(d, &x, k, decay, blocks, width);
  }
}

static void ops_delta(const cpu_delta *d) {
  int at = 0;
  for (; at + DELTA_BLOCKS * CPU_LANES <= d->n_columns; at += DELTA_BLOCKS * CPU_LANES)
    delta_blocks(d, at, DELTA_BLOCKS, CPU_LANES);
  for (; at + CPU_LANES <= d->n_columns; at += CPU_LANES) delta_blocks(d, at, 1, CPU_LANES);
  if (at < d->n_columns) delta_blocks(d, at, 1, d->n_columns - at);
}
