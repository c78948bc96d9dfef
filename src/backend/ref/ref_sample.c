// Sampling as the contract in backend.h states it, in plain loops: the oracle of every other implementation.
#include "backend/ref/ref_sample.h"

#include "base/rng.h"

#include <float.h>
#include <math.h>

bool ref_sampler_reserve(ref_sampler *s, int n_vocab, pn_error *e) {
  if (n_vocab < 1 || n_vocab > PN_SAMPLE_MAX_VOCAB)
    return pn_fail(e, PN_ERR_UNSUPPORTED, "sampling: expected 1 to %d entries, found %d", PN_SAMPLE_MAX_VOCAB,
                   n_vocab);
  if (cpu_scratch_reserve(&s->ranking, (size_t)n_vocab * sizeof(int32_t)) &&
      cpu_scratch_reserve(&s->weights, (size_t)n_vocab * sizeof(uint64_t)))
    return true;
  return pn_fail(e, PN_ERR_NOMEM, "no memory to sample from %d entries", n_vocab);
}

void ref_sampler_fini(ref_sampler *s) {
  cpu_scratch_fini(&s->ranking);
  cpu_scratch_fini(&s->weights);
}

// exp as cpu_ops.h states it, for -30 <= x <= 0.
static float exp_of(float x) {
  static const float p[] = {
      0x1.6a23bap-10f, 0x1.123a1ep-7f, 0x1.5558f4p-5f, 0x1.555492p-3f, 0x1.fffffcp-2f, 1.0f, 1.0f};
  float n = rintf(x * 0x1.715476p+0f); // log2 e
  float r = fmaf(n, 0x1.bd0106p-13f, fmaf(n, -0x1.63p-1f, x)), sum = p[0];
  for (int k = 1; k < 7; k++) sum = fmaf(sum, r, p[k]);
  return ldexpf(sum, (int)n);
}

static uint64_t units_of(float x) {
  return x >= PN_SAMPLE_LEAST ? (uint64_t)llrint(ldexp((double)exp_of(x), PN_SAMPLE_UNIT_BITS)) : 0;
}

static bool ranks_before(const float *logits, int32_t a, int32_t b) {
  return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
}

// Move p[at] down the heap p[0, n), whose root ranks last.
static void sink(const float *logits, int32_t *p, int n, int at) {
  int32_t moving = p[at];
  for (int kid; (kid = 2 * at + 1) < n; at = kid) {
    if (kid + 1 < n && ranks_before(logits, p[kid], p[kid + 1])) kid++;
    if (ranks_before(logits, p[kid], moving)) break;
    p[at] = p[kid];
  }
  p[at] = moving;
}

static void rank(const float *logits, int32_t *p, int n) {
  for (int at = n / 2 - 1; at >= 0; at--) sink(logits, p, n, at);
  for (int end = n - 1; end > 0; end--) {
    int32_t last = p[0];
    p[0] = p[end];
    p[end] = last;
    sink(logits, p, end, 0);
  }
}

static bool allows(const pn_sample *how, int32_t id) {
  if (how->ids) {
    for (int32_t i = 0; i < how->n_ids; i++)
      if (how->ids[i] == id) return true;
    return false;
  }
  return !how->bits || (how->bits[id / 64] >> id % 64 & 1);
}

// The first n of the ranking that the filters leave, whose weights lie in `weights` by id.
static int filter(const pn_sample *how, const int32_t *ranking, int n, const uint64_t *weights) {
  if (how->top_k > 0 && how->top_k < n) n = how->top_k;
  if (how->top_p < 1) {
    uint64_t sum = 0, have = 0;
    for (int i = 0; i < n; i++) sum += weights[ranking[i]];
    double need = ceil((double)how->top_p * (double)sum);
    uint64_t least = need < 1 ? 1 : need < (double)sum ? (uint64_t)need : sum;
    int kept = 0;
    while (have < least) have += weights[ranking[kept++]];
    n = kept;
  }
  return n;
}

// The first id, ascending, at which the running sum exceeds floor(random * sum / 2^64).
static int32_t draw(const pn_sample *how, const uint64_t *weights, int n_vocab) {
  __extension__ typedef unsigned __int128 wide;
  uint64_t sum = 0;
  for (int i = 0; i < n_vocab; i++) sum += weights[i];
  uint64_t target = (uint64_t)((wide)pn_rng_at(how->seed, how->position) * sum >> 64);
  int32_t id = 0;
  for (; weights[id] <= target; id++) target -= weights[id];
  return id;
}

static int32_t choose(ref_sampler *s, const float *logits, int n_vocab, const pn_sample *how) {
  int32_t *ranking = s->ranking.p;
  uint64_t *weights = s->weights.p;
  int n = 0;
  for (int32_t i = 0; i < n_vocab; i++) {
    weights[i] = 0;
    if (!isnan(logits[i]) && allows(how, i)) ranking[n++] = i;
  }
  rank(logits, ranking, n);
  if (n == 0 || !isfinite(logits[ranking[0]])) return -1;
  if (!(how->temperature > 0)) return ranking[0];
  float top = logits[ranking[0]], inverse = fminf(1.0f / how->temperature, FLT_MAX);
  float least = how->min_p > 0 ? (float)log((double)how->min_p) : -INFINITY;
  for (int i = 0; i < n; i++) weights[ranking[i]] = units_of((logits[ranking[i]] - top) * inverse);
  int kept = filter(how, ranking, n, weights);
  for (int i = 0; i < n; i++)
    if (i >= kept || (logits[ranking[i]] - top) * inverse < least) weights[ranking[i]] = 0;
  return draw(how, weights, n_vocab);
}

static void tell(ref_sampler *s, const float *logits, int n_vocab, int n_top, pn_choice *out) {
  int32_t *ranking = s->ranking.p;
  int n = 0;
  uint64_t sum = 0;
  for (int32_t i = 0; i < n_vocab; i++)
    if (!isnan(logits[i])) ranking[n++] = i;
  rank(logits, ranking, n);
  float top = logits[ranking[0]];
  for (int i = 0; i < n && isfinite(top); i++) sum += units_of(logits[ranking[i]] - top);
  double log_sum = isfinite(top) ? (double)top + log(ldexp((double)sum, -PN_SAMPLE_UNIT_BITS)) : (double)NAN;
  out->logprob = (float)((double)logits[out->id] - log_sum);
  for (int i = 0; i < n && i < n_top && isfinite(top) && isfinite(logits[ranking[i]]); i++)
    out->top[out->n_top++] = (pn_logprob){ranking[i], (float)((double)logits[ranking[i]] - log_sum)};
}

pn_choice ref_sampler_row(ref_sampler *s, const float *logits, int n_vocab, const pn_sample *how) {
  pn_choice out = {.id = choose(s, logits, n_vocab, how)};
  if (out.id >= 0 && how->logprobs) tell(s, logits, n_vocab, how->n_top, &out);
  return out;
}
