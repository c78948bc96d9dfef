// The register tiles of attention, part of cpu_attend_body.h: dots of queries with keys, and sums of weighted
// values, as K and V are stored and from panels of them.
//
// A panel is laid out as its tile reads it: K [dimension][32 keys], V [position][32 dimensions]. A tile is
// TILE_QUERIES queries by PANEL_VECTORS vectors of sums in registers; a dimension of K, or a position of V,
// takes it a load a vector, a broadcast a query, and a fma a query and vector, so that it waits for nothing
// but the two fma that a core starts in a cycle. On Zen 5 tiles reach that; with softmax and widening, which
// take a fifth with heads of 64, prefill behind 4k tokens reaches 74 % of it on AVX-512 and 81 % on AVX2,
// with heads of 128 80 and 86 %.
//
// As they are stored, 16 numbers take a load with conversion (int8: two; int4: some five) and a fma a query.
// For 3 queries of heads of 64 in f16 that is 50 GB/s of K and V from the caches on AVX-512 and 28 on AVX2, a
// core, in int8 24 and 12.5, so but for int8 on AVX2 decoding waits for memory.
//
// Dots add their dimensions and sums their positions one by one, ascending, in each of these.

// Dots of nq queries with nv vectors of keys, rows of dimensions row_bytes apart; int4 below.
INLINE void keys_tile(pn_kv_type type, const char *k, size_t row_bytes, ptrdiff_t next, int dims,
                      const float *const *q, int nq, int nv, float *out) {
  v16 acc[8][4];
  for (int i = 0; i < nq; i++)
    for (int n = 0; n < nv; n++) acc[i][n] = v_set1(0);
  for (int d = 0; d < dims; d++, k += row_bytes) {
    v16 kd[4];
    if (next) __builtin_prefetch(k + next);
    for (int n = 0; n < nv; n++) kd[n] = v_stored(type, k, n * CPU_LANES);
    for (int i = 0; i < nq; i++)
      for (int n = 0; n < nv; n++) acc[i][n] = v_fma(v_set1(q[i][d]), kd[n], acc[i][n]);
  }
  for (int i = 0; i < nq; i++)
    for (int n = 0; n < nv; n++) v_store(out + i * SCORES + n * CPU_LANES, acc[i][n]);
}

// 4 dimensions of 16 keys of int4, whose 3 rows of bytes are here.
INLINE v16 v_key_code(const v_bytes row[3], int c) { return v_from_u6(row[c / 2], row[2], c); }

INLINE void keys_tile_int4(const char *k, size_t row_bytes, ptrdiff_t next, int dims, const float *const *q,
                           int nq, int nv, float *out) {
  v16 acc[8][4];
  for (int i = 0; i < nq; i++)
    for (int n = 0; n < nv; n++) acc[i][n] = v_set1(0);
  for (int d = 0; d < dims; d += 4, k += 3 * row_bytes) {
    v_bytes row[4][3];
    if (next) __builtin_prefetch(k + next), __builtin_prefetch(k + next + 2 * row_bytes);
    for (int n = 0; n < nv; n++)
      for (size_t r = 0; r < 3; r++) row[n][r] = v_load_bytes(k + r * row_bytes + n * CPU_LANES);
#pragma GCC unroll 4 // else the sums lie in memory
    for (int c = 0; c < 4; c++) {
      v16 kd[4];
      for (int n = 0; n < nv; n++) kd[n] = v_key_code(row[n], c);
      for (int i = 0; i < nq; i++)
        for (int n = 0; n < nv; n++) acc[i][n] = v_fma(v_set1(q[i][d + c]), kd[n], acc[i][n]);
    }
  }
  for (int i = 0; i < nq; i++)
    for (int n = 0; n < nv; n++) v_store(out + i * SCORES + n * CPU_LANES, acc[i][n]);
}

INLINE void keys_stored(pn_kv_type type, const char *k, size_t row_bytes, ptrdiff_t next, int dims,
                        const float *const *q, int nq, int nv, float *out) {
  if (type == PN_KV_INT4)
    keys_tile_int4(k, row_bytes, next, dims, q, nq, nv, out);
  else
    keys_tile(type, k, row_bytes, next, dims, q, nq, nv, out);
}

// A page for all queries, nq of them, as it is stored.
INLINE void keys_direct(const span_job *j, pn_kv_type type, const span_page *page, int nq) {
  const cpu_kv_head *kv = j->a->kv;
  const int dims = key_dims(type, kv->head_dim);
  const size_t row_bytes = key_bytes(type, kv->tokens_pad);
  float *out = j->scores + page->first;
  const int nv = KEY_VECTORS(nq);
  int t = 0;
  for (; t < kv->tokens_pad; t += nv * CPU_LANES) {
    const char *k = page->base + key_bytes(type, t);
    const ptrdiff_t next = key_bytes(type, t) % 64 == 0 ? page->next : 0; // once a cache line
    if (t + nv * CPU_LANES > kv->tokens_pad)
      keys_stored(type, k, row_bytes, next, dims, j->q, nq, 1, out + t);
    else
      keys_stored(type, k, row_bytes, next, dims, j->q, nq, nv, out + t);
  }
}

// nv vectors of keys to a panel.
INLINE void widen_keys(pn_kv_type type, const char *k, size_t row_bytes, ptrdiff_t next, int dims, int nv,
                       float *panel) {
  if (type == PN_KV_INT4) {
    for (int d = 0; d < dims; d += 4, k += 3 * row_bytes, panel += 4 * PANEL)
      for (int n = 0; n < nv; n++) {
        v_bytes row[3];
        for (size_t r = 0; r < 3; r++) row[r] = v_load_bytes(k + r * row_bytes + n * CPU_LANES);
        for (int c = 0; c < 4; c++) v_store(panel + c * PANEL + n * CPU_LANES, v_key_code(row, c));
      }
    return;
  }
  for (int d = 0; d < dims; d++, k += row_bytes, panel += PANEL) {
    __builtin_prefetch(k + next);
    for (int n = 0; n < nv; n++) v_store(panel + n * CPU_LANES, v_stored(type, k, n * CPU_LANES));
  }
}

// Whether one of the queries [at, at + n) sees a position of [first, end).
static bool tile_seen(const span_job *j, int at, int n, int first, int end) {
  if (j->all_begin <= first && j->all_end >= end) return true;
  for (int i = at; i < at + n; i++)
    if (j->begin[i] < end && j->end[i] > first) return true;
  return false;
}

INLINE void keys_panel_tile(const span_job *j, int dims, int at, int nq, int first, int nv) {
  if (!tile_seen(j, at, nq, first, first + nv * CPU_LANES)) return;
  const char *panel = (const char *)j->panel;
  float *out = j->scores + (size_t)at * SCORES + first;
  if (nv == 2 && PANEL_VECTORS == 2) {
    keys_tile(PN_KV_F32, panel, PANEL * sizeof(float), 0, dims, j->q + at, nq, 2, out);
    return;
  }
  for (int n = 0; n < nv; n++, panel += CPU_LANES * sizeof(float), out += CPU_LANES)
    keys_tile(PN_KV_F32, panel, PANEL * sizeof(float), 0, dims, j->q + at, nq, 1, out);
}

// The panel's nv vectors of keys, from position `first` on, for all queries.
static void keys_panel(const span_job *j, int dims, int first, int nv) {
  int at = 0;
  for (; at + TILE_QUERIES <= j->n; at += TILE_QUERIES) keys_panel_tile(j, dims, at, TILE_QUERIES, first, nv);
  for (; at + 4 <= j->n; at += 4) keys_panel_tile(j, dims, at, 4, first, nv);
  switch (j->n - at) {
  case 3: keys_panel_tile(j, dims, at, 3, first, nv); break;
  case 2: keys_panel_tile(j, dims, at, 2, first, nv); break;
  case 1: keys_panel_tile(j, dims, at, 1, first, nv); break;
  default: break;
  }
}

INLINE void keys_by_panels(const span_job *j, pn_kv_type type, const span_page *page) {
  const cpu_kv_head *kv = j->a->kv;
  const int dims = key_dims(type, kv->head_dim);
  const size_t row_bytes = key_bytes(type, kv->tokens_pad);
  for (int t = 0; t < kv->tokens_pad; t += PANEL) {
    const char *k = page->base + key_bytes(type, t);
    bool whole = t + PANEL <= kv->tokens_pad;
    if (page->first + t >= j->highest) return;
    if (whole)
      widen_keys(type, k, row_bytes, page->next, dims, 2, j->panel);
    else
      widen_keys(type, k, row_bytes, page->next, dims, 1, j->panel);
    keys_panel(j, dims, page->first + t, whole ? 2 : 1);
  }
}

// Rows of values: those of positions [begin, end), row_bytes apart.
typedef struct value_rows {
  const char *v; // of position `begin`
  size_t row_bytes;
  ptrdiff_t next;
  int begin, end;
} value_rows;

// acc += e_p V_p over positions [begin, end) for queries at .. at + nq - 1 and nv vectors from element d on,
// which are the first of the rows.
INLINE void values_tile(const span_job *j, pn_kv_type type, const value_rows *r, int at, int nq, int d,
                        int nv, int begin, int end) {
  const char *v = r->v + (size_t)(begin - r->begin) * r->row_bytes;
  float *const *state = j->state + at;
  const float *e = j->scores + (size_t)at * SCORES + begin;
  v16 acc[8][4];
  for (int i = 0; i < nq; i++)
    for (int n = 0; n < nv; n++) acc[i][n] = v_load(state[i] + d + n * CPU_LANES);
  for (int t = begin; t < end; t++, v += r->row_bytes, e++) {
    v16 vt[4];
    if (r->next)
      for (size_t b = 0; b < value_bytes(type, nv * CPU_LANES); b += 64) __builtin_prefetch(v + r->next + b);
    for (int n = 0; n < nv; n++)
      if (type != PN_KV_INT4)
        vt[n] = v_stored(type, v, n * CPU_LANES);
      else if (n % 2 == 0)
        v_from_u4(v + n * (CPU_LANES / 2), vt + n);
    for (int i = 0; i < nq; i++)
      for (int n = 0; n < nv; n++) acc[i][n] = v_fma(v_set1(e[i * SCORES]), vt[n], acc[i][n]);
  }
  for (int i = 0; i < nq; i++)
    for (int n = 0; n < nv; n++) v_store(state[i] + d + n * CPU_LANES, acc[i][n]);
}

// What query `at` alone sees of positions [begin, end).
INLINE void values_one(const span_job *j, pn_kv_type type, const value_rows *r, int at, int d, int nv,
                       int begin, int end) {
  if (begin < j->begin[at]) begin = j->begin[at];
  if (end > j->end[at]) end = j->end[at];
  if (begin < end) values_tile(j, type, r, at, 1, d, nv, begin, end);
}

// nq queries together over the positions that all of them see, and each alone over the rest: none touches a
// V that it may not see, for that might be an infinity.
INLINE void values_of(const span_job *j, pn_kv_type type, const value_rows *r, int at, int nq, int d,
                      int nv) {
  int begin = r->begin, end = r->end;
  for (int i = at; i < at + nq; i++) {
    if (j->begin[i] > begin) begin = j->begin[i];
    if (j->end[i] < end) end = j->end[i];
  }
  if (begin >= end) {
    for (int i = at; i < at + nq; i++) values_one(j, type, r, i, d, nv, r->begin, r->end);
    return;
  }
  if (nq > 1)
    for (int i = at; i < at + nq; i++) values_one(j, type, r, i, d, nv, r->begin, begin);
  values_tile(j, type, r, at, nq, d, nv, begin, end);
  if (nq > 1)
    for (int i = at; i < at + nq; i++) values_one(j, type, r, i, d, nv, end, r->end);
}

// The positions of a page for all queries, nq of them, as they are stored.
INLINE void values_direct(const span_job *j, pn_kv_type type, const span_page *page, int nq) {
  const cpu_kv_head *kv = j->a->kv;
  const int least = type == PN_KV_INT4 ? 2 : 1, nv = VALUE_VECTORS(nq) < least ? least : VALUE_VECTORS(nq);
  value_rows r = {page->base + kv->v_offset, value_bytes(type, kv->dim_pad), 0, page->first,
                  page->first + kv->page_tokens};
  for (int d = 0, n; d < kv->dim_pad; d += n * CPU_LANES, r.v += value_bytes(type, n * CPU_LANES)) {
    r.next = value_bytes(type, d) % 64 == 0 ? page->next : 0; // once a cache line
    n = d + nv * CPU_LANES <= kv->dim_pad ? nv : least;
    if (n == nv)
      values_of(j, type, &r, 0, nq, d, nv);
    else
      values_of(j, type, &r, 0, nq, d, least);
  }
}

// nv vectors from element d on of all positions to a panel, whose row 0 is position j->lowest.
INLINE void widen_values(const span_job *j, pn_kv_type type, int d, int nv) {
  const cpu_kv_head *kv = j->a->kv;
  const size_t row_bytes = value_bytes(type, kv->dim_pad);
  for (int p = 0; p < j->n_seen; p++) {
    span_page page = page_at(j, j->n_seen + p);
    int begin = page.first < j->lowest ? j->lowest - page.first : 0;
    int end = page.first + kv->page_tokens > j->highest ? j->highest - page.first : kv->page_tokens;
    const char *v = page.base + kv->v_offset + value_bytes(type, d) + (size_t)begin * row_bytes;
    float *to = j->panel + (page.first + begin - j->lowest) * PANEL;
    for (int t = begin; t < end; t++, v += row_bytes, to += PANEL) {
      v16 vt[2];
      __builtin_prefetch(v + page.next);
      if (type == PN_KV_INT4) v_from_u4(v, vt);
      for (int n = 0; n < nv; n++)
        v_store(to + n * CPU_LANES, type == PN_KV_INT4 ? vt[n] : v_stored(type, v, n * CPU_LANES));
    }
  }
}

INLINE void values_panel_tile(const span_job *j, int at, int nq, int d, int nv) {
  value_rows r = {(const char *)j->panel, PANEL * sizeof(float), 0, j->lowest, j->highest};
  if (nv == 2 && PANEL_VECTORS == 2) {
    values_of(j, PN_KV_F32, &r, at, nq, d, 2);
    return;
  }
  for (int n = 0; n < nv; n++, r.v += CPU_LANES * sizeof(float))
    values_of(j, PN_KV_F32, &r, at, nq, d + n * CPU_LANES, 1);
}

// The panel's nv vectors, from element d on, for all queries.
static void values_panel(const span_job *j, int d, int nv) {
  int at = 0;
  for (; at + TILE_QUERIES <= j->n; at += TILE_QUERIES) values_panel_tile(j, at, TILE_QUERIES, d, nv);
  for (; at + 4 <= j->n; at += 4) values_panel_tile(j, at, 4, d, nv);
  switch (j->n - at) {
  case 3: values_panel_tile(j, at, 3, d, nv); break;
  case 2: values_panel_tile(j, at, 2, d, nv); break;
  case 1: values_panel_tile(j, at, 1, d, nv); break;
  default: break;
  }
}
