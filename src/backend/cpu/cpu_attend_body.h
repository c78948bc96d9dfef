// The kernels of attention, part of cpu_ops_body.h: one span of positions (cpu_ops.h) for up to
// CPU_ATTEND_QUERIES queries, in three passes that keep all scores of the span: q . K, softmax, e . V. No
// guard: it is a body, included once in each instruction set's file.
//
// Up to 4 queries read K and V as they are stored, page by page, and widen them in registers: that is
// decoding, which waits for memory. More read a panel: 32 keys, or 32 dimensions of all values, widened to
// f32 once for all queries and small enough for the first-level cache.

enum {
  PANEL = 2 * CPU_LANES,
  FOUR = 4 * CPU_LANES,
  SCORES = CPU_SPAN_TOKENS + CPU_LANES, // a row of scores; pages that are no multiple of 16 write past it
  LARGE_HALF = 8192, // bytes of a half of a page from which on only the next one is fetched ahead
};
#define LOG2_E 0x1.715476p+0f

// 2^x for x <= 0, as cpu_ops.h states it.
INLINE v16 v_exp2(v16 x) {
  x = v_max(x, v_set1(-125.0f));
  v16 n = v_round(x), r = v_sub(x, n);
  v16 p = v_set1(0x1.5bba12p-10f);
  p = v_fma(p, r, v_set1(0x1.3cea88p-7f));
  p = v_fma(p, r, v_set1(0x1.c6b752p-5f));
  p = v_fma(p, r, v_set1(0x1.ebf9bcp-3f));
  p = v_fma(p, r, v_set1(0x1.62e42ap-1f));
  p = v_fma(p, r, v_set1(1.0f));
  return v_scale2(p, n);
}

// Where the parts of cpu_attend.room lie; with this a span of a cpu_attend. Only queries that see positions
// of it are listed. Positions are counted from the first of the span.
typedef struct span_job {
  const cpu_attend *a;
  int first_page, n_pages;
  int n; // queries listed
  const float *q[CPU_ATTEND_QUERIES];
  float *state[CPU_ATTEND_QUERIES];
  int begin[CPU_ATTEND_QUERIES], end[CPU_ATTEND_QUERIES]; // positions that a query sees
  int lowest, highest;                                    // the first of all these, and their end
  int all_begin, all_end;                                 // positions that all queries see
  int n_seen;                                             // pages that some query sees, ascending
  int16_t seen[CPU_SPAN_TOKENS];
  bool goes_on;                             // all of them see the first page of the next span
  int ahead;                                // halves of pages between what is read and what is fetched
  float *k_scale, *k_min, *v_scale, *v_min; // [SCORES] of int8 and int4
  float *scores;                            // [n][SCORES]
  float *panel;                             // [SCORES or dimensions][PANEL]
} span_job;

// A page of the span that some query sees.
typedef struct span_page {
  const char *base;
  ptrdiff_t next; // from what is read now to what is to be fetched meanwhile
  int first;      // its first position
} span_page;

// A span is read in halves of pages: K of all pages that are seen, then V of all; then comes K of the next
// span's first page. NULL: there is no k-th half.
static const char *half_at(const span_job *j, int k) {
  const cpu_kv_head *kv = j->a->kv;
  const int32_t *pages = j->a->pages + j->first_page;
  if (k < j->n_seen) return kv->base + (size_t)pages[j->seen[k]] * kv->page_bytes;
  k -= j->n_seen;
  if (k < j->n_seen) return kv->base + (size_t)pages[j->seen[k]] * kv->page_bytes + kv->v_offset;
  if (k > j->n_seen || !j->goes_on) return NULL;
  return kv->base + (size_t)pages[j->n_pages] * kv->page_bytes;
}

// The page whose half is the k-th.
static span_page page_at(const span_job *j, int k) {
  const char *now = half_at(j, k), *then = half_at(j, k + j->ahead);
  bool keys = k < j->n_seen;
  int page = j->seen[keys ? k : k - j->n_seen];
  return (span_page){now - (keys ? 0 : j->a->kv->v_offset), then ? then - now : 0,
                     page * j->a->kv->page_tokens};
}

// 16 stored elements as f32; not of int4. t is a constant where this is inlined.
INLINE v16 v_stored(pn_kv_type t, const char *p, int64_t i) {
  if (t == PN_KV_F32) return v_load((const float *)(const void *)p + i);
  if (t == PN_KV_INT8) return v_from_i8(p + i);
  return t == PN_KV_F16 ? v_from_f16(p + 2 * i) : v_from_bf16(p + 2 * i);
}

// Bytes of n elements of K (int4: of one of its rows of bytes) and of V.
INLINE size_t key_bytes(pn_kv_type t, int n) {
  return t == PN_KV_F32 ? (size_t)n * 4 : t == PN_KV_INT8 || t == PN_KV_INT4 ? (size_t)n : (size_t)n * 2;
}
INLINE size_t value_bytes(pn_kv_type t, int n) { return t == PN_KV_INT4 ? (size_t)n / 2 : key_bytes(t, n); }

// Dimensions of K that are stored; queries are zero in those past head_dim.
INLINE int key_dims(pn_kv_type t, int head_dim) {
  return t == PN_KV_INT4 ? (head_dim + 3) / 4 * 4 : head_dim;
}

// The scales of all positions as f32, side by side. What a page writes behind its last one is what the next
// page replaces, or what nobody reads; so do scores.
static void gather_scales(const span_job *j) {
  const cpu_kv_head *kv = j->a->kv;
  bool int8 = kv->type == PN_KV_INT8;
  for (int p = 0; p < j->n_seen; p++) {
    span_page page = page_at(j, p);
    const char *k = page.base + kv->k_scales_offset, *v = page.base + kv->v_scales_offset;
    for (int t = 0, at = page.first; t < kv->tokens_pad; t += CPU_LANES, at += CPU_LANES)
      if (int8) {
        v_store(j->k_scale + at, v_load((const float *)(const void *)k + t));
        v_store(j->v_scale + at, v_load((const float *)(const void *)v + t));
      } else {
        v_store(j->k_scale + at, v_from_f16(k + 2 * t));
        v_store(j->v_scale + at, v_from_f16(v + 2 * t));
        v_store(j->k_min + at, v_from_f16(k + 2 * (kv->tokens_pad + t)));
        v_store(j->v_min + at, v_from_f16(v + 2 * (kv->tokens_pad + t)));
      }
  }
}

#include "backend/cpu/cpu_attend_tiles_body.h"

// The scores of query i from its dots, over whole vectors.
INLINE void scale_scores(const span_job *j, pn_kv_type type, int i, int from, int to) {
  float *s = j->scores + (size_t)i * SCORES;
  v16 scale = v_set1(j->a->scale * LOG2_E),
      sum = type == PN_KV_INT4 ? v_set1(j->q[i][j->a->kv->dim_pad]) : scale;
  for (int t = from; t < to; t += CPU_LANES) {
    v16 v = v_load(s + t);
    if (type == PN_KV_INT8) v = v_mul(v, v_load(j->k_scale + t));
    if (type == PN_KV_INT4) v = v_fma(v_load(j->k_scale + t), v, v_mul(v_load(j->k_min + t), sum));
    v_store(s + t, v_mul(v, scale));
  }
}

// The lanes of whole vectors [from, to) that [begin, end) leaves out.
static void fill_outside(float *s, int from, int begin, int end, int to, float x) {
  for (int t = from; t < begin; t++) s[t] = x;
  for (int t = end; t < to; t++) s[t] = x;
}

// Both over [from, to), multiples of FOUR: four chains, so that none waits for itself.
INLINE float top_of(const float *s, int from, int to) {
  v16 top[4];
  for (int k = 0; k < 4; k++) top[k] = v_load(s + from + k * CPU_LANES);
  for (int t = from + FOUR; t < to; t += FOUR)
    for (int k = 0; k < 4; k++) top[k] = v_max(top[k], v_load(s + t + k * CPU_LANES));
  return v_top(v_max(v_max(top[0], top[2]), v_max(top[1], top[3])));
}

INLINE float sum_of(const float *s, int from, int to) {
  v16 sum[4];
  for (int k = 0; k < 4; k++) sum[k] = v_set1(0);
  for (int t = from; t < to; t += FOUR)
    for (int k = 0; k < 4; k++) sum[k] = v_add(sum[k], v_load(s + t + k * CPU_LANES));
  return v_sum(v_add(v_add(sum[0], sum[2]), v_add(sum[1], sum[3])));
}

// The sum of e_p * vmin_p of int4, and e_p *= vscale_p.
static float scale_weights(const span_job *j, float *e, int from, int begin, int end, int to) {
  float low[SCORES], base = 0;
  if (j->a->kv->type == PN_KV_INT4) {
    for (int t = from; t < to; t += CPU_LANES) v_store(low + t, v_mul(v_load(e + t), v_load(j->v_min + t)));
    fill_outside(low, from, begin, end, to, 0); // what lies there might be a NaN
    base = sum_of(low, from, to);
  }
  for (int t = from; t < to; t += CPU_LANES) v_store(e + t, v_mul(v_load(e + t), v_load(j->v_scale + t)));
  return base;
}

// Turn the dots of query i into e_p (times vscale_p where there is one); max, sum and the first values of acc
// go to its state. A vector of scores takes 6 multiplications or fma of some 20 instructions.
INLINE void soften(const span_job *j, pn_kv_type type, int i) {
  float *s = j->scores + (size_t)i * SCORES, *state = j->state[i];
  const int begin = j->begin[i], end = j->end[i], dim_pad = j->a->kv->dim_pad;
  const int from = begin / FOUR * FOUR, to = (end + FOUR - 1) / FOUR * FOUR;
  scale_scores(j, type, i, from, to);
  fill_outside(s, from, begin, end, to, -INFINITY);
  const float max = top_of(s, from, to);
  for (int t = from; t < to; t += CPU_LANES) v_store(s + t, v_exp2(v_sub(v_load(s + t), v_set1(max))));
  fill_outside(s, from, begin, end, to, 0);
  state[dim_pad] = max;
  state[dim_pad + 1] = sum_of(s, from, to);
  float base = 0;
  if (type == PN_KV_INT8 || type == PN_KV_INT4) base = scale_weights(j, s, from, begin, end, to);
  for (int d = 0; d < dim_pad; d += CPU_LANES) v_store(state + d, v_set1(base));
}

INLINE void direct(const span_job *j, pn_kv_type type, int nq) {
  for (int p = 0; p < j->n_seen; p++) {
    span_page page = page_at(j, p);
    keys_direct(j, type, &page, nq);
  }
  for (int i = 0; i < nq; i++) soften(j, type, i);
  for (int p = 0; p < j->n_seen; p++) {
    span_page page = page_at(j, j->n_seen + p);
    values_direct(j, type, &page, nq);
  }
}

INLINE void by_panels(const span_job *j, pn_kv_type type) {
  const int dim_pad = j->a->kv->dim_pad;
  for (int p = 0; p < j->n_seen; p++) {
    span_page page = page_at(j, p);
    keys_by_panels(j, type, &page);
  }
  for (int i = 0; i < j->n; i++) soften(j, type, i);
  for (int d = 0; d < dim_pad; d += PANEL) {
    int nv = d + PANEL <= dim_pad ? 2 : 1;
    if (nv == 2)
      widen_values(j, type, d, 2);
    else
      widen_values(j, type, d, 1);
    values_panel(j, d, nv);
  }
}

INLINE void attend_span(const span_job *j, pn_kv_type type) {
  switch (j->n) {
  case 1: direct(j, type, 1); break;
  case 2: direct(j, type, 2); break;
  case 3: direct(j, type, 3); break;
  case 4: direct(j, type, 4); break;
  default: by_panels(j, type); break;
  }
}

static void attend_f32(const span_job *j) { attend_span(j, PN_KV_F32); }
static void attend_f16(const span_job *j) { attend_span(j, PN_KV_F16); }
static void attend_bf16(const span_job *j) { attend_span(j, PN_KV_BF16); }
static void attend_int8(const span_job *j) { attend_span(j, PN_KV_INT8); }
static void attend_int4(const span_job *j) { attend_span(j, PN_KV_INT4); }

static void attend_typed(const span_job *j) {
  switch (j->a->kv->type) {
  case PN_KV_F16: attend_f16(j); break;
  case PN_KV_BF16: attend_bf16(j); break;
  case PN_KV_INT8: attend_int8(j); break;
  case PN_KV_INT4: attend_int4(j); break;
  default: attend_f32(j); break;
  }
}

// List the queries that see positions of the span; the state of another is that of none.
static void list_queries(span_job *j, int n_tokens) {
  const cpu_attend *a = j->a;
  int first = j->first_page * a->kv->page_tokens;
  j->lowest = j->all_end = n_tokens;
  j->goes_on = true;
  for (int i = 0; i < a->n_queries; i++) {
    int begin = a->begin[i] - first, end = a->end[i] - first;
    if (begin < 0) begin = 0;
    if (end > n_tokens) end = n_tokens;
    if (begin >= end) {
      a->state[i][a->kv->dim_pad] = -INFINITY;
      continue;
    }
    if (a->end[i] - first <= n_tokens) j->goes_on = false;
    j->q[j->n] = a->q[i];
    j->state[j->n] = a->state[i];
    j->begin[j->n] = begin;
    j->end[j->n++] = end;
    if (begin < j->lowest) j->lowest = begin;
    if (end > j->highest) j->highest = end;
    if (begin > j->all_begin) j->all_begin = begin;
    if (end < j->all_end) j->all_end = end;
  }
}

// No page is read, nor its number, in which no query sees a position.
static void list_pages(span_job *j) {
  const int tokens = j->a->kv->page_tokens;
  bool seen[CPU_SPAN_TOKENS] = {false};
  for (int i = 0; i < j->n; i++)
    for (int p = j->begin[i] / tokens; p * tokens < j->end[i]; p++) seen[p] = true;
  for (int p = 0; p < j->n_pages; p++)
    if (seen[p]) j->seen[j->n_seen++] = (int16_t)p;
  j->ahead = j->a->kv->v_offset >= LARGE_HALF ? 1 : 2;
}

static void ops_attend(const cpu_attend *a, int span) {
  const int n_pages = cpu_span_pages(a->kv->page_tokens);
  span_job j = {.a = a, .first_page = span * n_pages, .n_pages = n_pages};
  float *room = a->room;
  j.k_scale = room, j.k_min = room + SCORES, j.v_scale = room + 2 * SCORES, j.v_min = room + 3 * SCORES;
  j.scores = room + 4 * SCORES;
  j.panel = j.scores + CPU_ATTEND_QUERIES * SCORES;
  list_queries(&j, n_pages * a->kv->page_tokens);
  if (j.n == 0) return;
  list_pages(&j);
  if (a->kv->type == PN_KV_INT8 || a->kv->type == PN_KV_INT4) gather_scales(&j);
  attend_typed(&j);
}

static void ops_attend_merge(float *into, const float *from, int dim_pad) {
  float *max = into + dim_pad, *sum = max + 1;
  float other = from[dim_pad], m = *max > other ? *max : other;
  float by[CPU_LANES] = {*max - m, other - m};
  v_store(by, v_exp2(v_load(by)));
  const float a = by[0], b = by[1];
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
