// The choice from one row, once the largest logit and the sum of weights of each block are known. Filters
// that rank tokens never sort the vocabulary: a bound that surely lies below the last one kept picks out few
// entries, and a histogram of those finds the exact place of the cut.
#include "backend/cpu/cpu_sample.h"
#include "base/rng.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum {
  BUCKETS = 256,
  BAND = 2, // logits, divided by the temperature
};

float sample_view_top(const sample_view *v) {
  float top = -INFINITY;
  for (int i = 0; i < v->n_blocks; i++) top = v->tops[i] > top ? v->tops[i] : top;
  return top;
}

bool sample_row_cuts(const pn_sample *how, int n) { return how->top_k > 0 && how->top_k < n; }

static int32_t id_of(const sample_view *v, int entry) { return v->ids ? v->ids[entry] : entry; }

static int block_size(const sample_view *v, int block) {
  int left = v->n - block * SAMPLE_BLOCK;
  return left < SAMPLE_BLOCK ? left : SAMPLE_BLOCK;
}

static int32_t first_of(const sample_view *v, float top) {
  int block = 0;
  while (v->tops[block] != top) block++;
  int i = block * SAMPLE_BLOCK;
  while (v->v[i] != top) i++;
  return id_of(v, i);
}

// Fill the list with the entries of [bound, limit).
static void collect(const cpu_ops *ops, const sample_view *v, float bound, float limit, sample_list *l) {
  l->n = 0;
  for (int b = 0; b < v->n_blocks; b++)
    if (v->tops[b] >= bound)
      l->n += ops->sample_collect(v->v + b * SAMPLE_BLOCK, block_size(v, b), bound, limit, b * SAMPLE_BLOCK,
                                  l->logit + l->n, l->entry + l->n);
}

static uint64_t weigh(const cpu_ops *ops, const cpu_weighing *w, sample_list *l) {
  uint64_t sum = 0;
  ops->sample_weights(l->logit, l->n, w, l->weight);
  for (int i = 0; i < l->n; i++) sum += l->weight[i];
  return sum;
}

// --- cuts --------------------------------------------------------------------------------------------------

// The part of a ranking that is kept: logits above `logit`, and equal ones up to and with `entry`.
typedef struct sample_cut {
  float logit;
  int32_t entry;
} sample_cut;

// How a cut is sought: the first of the ranking whose measure, added to `above`, reaches `need`.
typedef struct cut_search {
  bool count; // measure entries; else weights
  uint64_t above, need;
  float low, high; // all logits of the list lie there
} cut_search;

static int bucket_of(const cut_search *s, double scale, float x) {
  return (int)(((double)s->high - (double)x) * scale);
}

// Leave only the entries of the bucket of logits in which the search ends; what ranks before it goes to
// `above`. Buckets cut [low, high] evenly, 0 the highest, so a higher logit never falls into a later one.
static void narrow(cut_search *s, sample_list *l) {
  uint64_t sum[BUCKETS] = {0};
  double scale = (BUCKETS - 1) / ((double)s->high - (double)s->low);
  for (int i = 0; i < l->n; i++) sum[bucket_of(s, scale, l->logit[i])] += s->count ? 1 : l->weight[i];
  int end = 0, n = 0;
  while (end < BUCKETS - 1 && s->above + sum[end] < s->need) s->above += sum[end++];
  float least = INFINITY, most = -INFINITY;
  for (int i = 0; i < l->n; i++) {
    float x = l->logit[i];
    if (bucket_of(s, scale, x) != end) continue;
    least = x < least ? x : least;
    most = x > most ? x : most;
    l->logit[n] = x;
    l->entry[n] = l->entry[i];
    l->weight[n++] = l->weight[i];
  }
  l->n = n;
  s->low = least;
  s->high = most;
}

// The cut that keeps the fewest of the ranking whose measure reaches what is needed, which the whole list's
// does; uses the list up. Once all logits that are left are equal, they rank as they stand.
static sample_cut find_cut(cut_search s, sample_list *l) {
  while (s.low < s.high) narrow(&s, l);
  int i = 0;
  for (; i < l->n - 1; i++) {
    s.above += s.count ? 1 : l->weight[i];
    if (s.above >= s.need) break;
  }
  return (sample_cut){l->logit[i], l->entry[i]};
}

// Fill the list with what a cut keeps.
static void collect_kept(const cpu_ops *ops, const sample_view *v, sample_cut c, sample_list *l) {
  int n = 0;
  collect(ops, v, c.logit, INFINITY, l);
  for (int i = 0; i < l->n; i++) {
    if (l->logit[i] == c.logit && l->entry[i] > c.entry) continue;
    l->logit[n] = l->logit[i];
    l->entry[n++] = l->entry[i];
  }
  l->n = n;
}

// A logit that at least k entries reach: the k-th largest of the lanes' largest, each of which is an entry of
// its own. -FLT_MAX when there are not so many lanes.
static float bound_of_best(const sample_view *v, int k, sample_list *l) {
  cut_search s = {.count = true, .need = (uint64_t)k, .low = INFINITY, .high = -INFINITY};
  l->n = 0;
  for (int i = 0; i < v->n_blocks * CPU_LANES; i++) {
    float x = v->lanes[i];
    if (x == -INFINITY) continue;
    l->logit[l->n] = x;
    l->entry[l->n] = i;
    l->weight[l->n++] = 1;
    s.low = x < s.low ? x : s.low;
    s.high = x > s.high ? x : s.high;
  }
  return l->n < k ? -FLT_MAX : find_cut(s, l).logit;
}

// Fill the list with the first k of the ranking: all finite ones where they are fewer.
static void keep_best(const cpu_ops *ops, const sample_view *v, int k, sample_list *l) {
  float bound = bound_of_best(v, k, l);
  collect(ops, v, bound, INFINITY, l);
  if (l->n <= k) return;
  memset(l->weight, 0, (size_t)l->n * sizeof *l->weight); // none are known yet
  const cut_search s = {.count = true, .need = (uint64_t)k, .low = bound, .high = sample_view_top(v)};
  collect_kept(ops, v, find_cut(s, l), l);
}

// ceil(share * sum), from 1 to sum.
static uint64_t share_of(float share, uint64_t sum) {
  double need = ceil((double)share * (double)sum);
  if (!(need >= 1)) return 1;
  return need < (double)sum ? (uint64_t)need : sum;
}

// Fill the list with the fewest of the ranking that hold top_p of the weights of all entries. The cut is
// sought in bands of logits from the top down, so that only entries near it are looked at closely.
static void keep_share(const cpu_ops *ops, const sample_view *v, float top_p, sample_list *l) {
  const cpu_weighing w = sample_weighing(v);
  cut_search s = {.low = INFINITY};
  uint64_t sum = 0, found = 0;
  for (int b = 0; b < v->n_blocks; b++) sum += v->sums[b];
  s.need = share_of(top_p, sum);
  for (double down = BAND; s.above + found < s.need; down += BAND) {
    double bound = (double)w.top - down / (double)w.inverse;
    bool last = down > -(double)PN_SAMPLE_LEAST || bound < (double)-FLT_MAX;
    s.above += found;
    s.high = s.low < w.top ? s.low : w.top;
    collect(ops, v, last ? -FLT_MAX : (float)bound, s.low, l);
    s.low = last ? -FLT_MAX : (float)bound;
    found = weigh(ops, &w, l);
    if (last) break;
  }
  collect_kept(ops, v, find_cut(s, l), l);
}

// --- draws -------------------------------------------------------------------------------------------------

// floor(random * sum / 2^64).
static uint64_t target_of(const pn_sample *how, uint64_t sum) {
  uint64_t x = pn_rng_at(how->seed, how->position), low = sum & UINT32_MAX, high = sum >> 32;
  uint64_t xl = x & UINT32_MAX, xh = x >> 32, mid = xh * low + (xl * low >> 32), cross = xl * high;
  uint64_t carry = (mid & UINT32_MAX) + (cross & UINT32_MAX);
  return xh * high + (mid >> 32) + (cross >> 32) + (carry >> 32);
}

static int walk(const uint64_t *weight, uint64_t target) {
  int i = 0;
  while (weight[i] <= target) target -= weight[i++];
  return i;
}

static int32_t draw_from_list(const cpu_ops *ops, const sample_view *v, const pn_sample *how,
                              sample_list *l) {
  cpu_weighing w = sample_weighing(v);
  w.least = PN_SAMPLE_LEAST;
  uint64_t sum = weigh(ops, &w, l);
  if (how->top_p < 1 && sample_row_cuts(how, v->n)) {
    const cut_search s = {.need = share_of(how->top_p, sum), .low = -FLT_MAX, .high = w.top};
    collect_kept(ops, v, find_cut(s, l), l);
    sum = weigh(ops, &w, l);
  }
  if (how->min_p > 0) {
    w.least = fmaxf(w.least, fminf(0, (float)log((double)how->min_p)));
    sum = weigh(ops, &w, l);
  }
  return id_of(v, l->entry[walk(l->weight, target_of(how, sum))]);
}

static int32_t draw_from_blocks(const cpu_ops *ops, const sample_view *v, const pn_sample *how,
                                sample_list *l) {
  const cpu_weighing w = sample_weighing(v);
  uint64_t sum = 0;
  for (int b = 0; b < v->n_blocks; b++) sum += v->sums[b];
  uint64_t target = target_of(how, sum);
  int b = 0;
  for (; v->sums[b] <= target; b++) target -= v->sums[b];
  ops->sample_weights(v->v + b * SAMPLE_BLOCK, block_size(v, b), &w, l->weight);
  return id_of(v, b * SAMPLE_BLOCK + walk(l->weight, target));
}

int32_t sample_row_choose(const cpu_ops *ops, const sample_view *v, const pn_sample *how, sample_list *l) {
  float top = sample_view_top(v);
  if (!isfinite(top)) return -1;
  if (!(how->temperature > 0) || how->top_k == 1) return first_of(v, top);
  if (sample_row_cuts(how, v->n))
    keep_best(ops, v, how->top_k, l);
  else if (how->top_p < 1)
    keep_share(ops, v, how->top_p, l);
  else
    return draw_from_blocks(ops, v, how, l);
  return draw_from_list(ops, v, how, l);
}

// --- log probabilities -------------------------------------------------------------------------------------

// The likeliest first; the list is short, and equal ones keep their order.
static void sort_best(sample_list *l) {
  for (int i = 1; i < l->n; i++) {
    float logit = l->logit[i];
    int32_t entry = l->entry[i];
    int at = i;
    for (; at > 0 && l->logit[at - 1] < logit; at--) {
      l->logit[at] = l->logit[at - 1];
      l->entry[at] = l->entry[at - 1];
    }
    l->logit[at] = logit;
    l->entry[at] = entry;
  }
}

void sample_row_logprobs(const cpu_ops *ops, const sample_view *v, int n_top, sample_list *l,
                         pn_choice *out) {
  double top = (double)sample_view_top(v), log_sum = (double)NAN;
  uint64_t sum = 0;
  for (int b = 0; b < v->n_blocks; b++) sum += v->sums[b];
  if (isfinite(top)) log_sum = top + log(ldexp((double)sum, -PN_SAMPLE_UNIT_BITS));
  out->logprob = (float)((double)v->from[out->id] - log_sum);
  if (n_top <= 0 || !isfinite(top)) return;
  keep_best(ops, v, n_top, l);
  sort_best(l);
  out->n_top = l->n;
  for (int i = 0; i < l->n; i++)
    out->top[i] = (pn_logprob){id_of(v, l->entry[i]), (float)((double)l->logit[i] - log_sum)};
}
