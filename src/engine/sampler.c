#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct sampler_candidate {
  int32_t id;
  float weight; // exp((logit - max) / temperature)
} candidate;

bool sampler_init(sampler *s, int n_vocab, pn_error *e) {
  *s = (sampler){.n_vocab = n_vocab,
                 .candidates = malloc((size_t)n_vocab * sizeof(candidate)),
                 .masked = malloc((size_t)n_vocab * sizeof(float))};
  if (s->candidates && s->masked) return true;
  sampler_fini(s);
  return pn_fail(e, PN_ERR_NOMEM, "out of memory for a sampler over %d tokens", n_vocab);
}

void sampler_fini(sampler *s) {
  free(s->candidates);
  free(s->masked);
  *s = (sampler){0};
}

enum { LANES = 16, BLOCK = 1024 };

// The largest of p[0, n), n a multiple of LANES; not-a-numbers don't count. In lanes, so that it becomes vector code.
static float top_of(const float *p, int n) {
  float lane[LANES];
  for (int j = 0; j < LANES; j++) lane[j] = -INFINITY;
  for (int i = 0; i < n; i += LANES)
    for (int j = 0; j < LANES; j++) lane[j] = p[i + j] > lane[j] ? p[i + j] : lane[j];
  float top = lane[0];
  for (int j = 1; j < LANES; j++) top = lane[j] > top ? lane[j] : top;
  return top;
}

static int32_t largest(const float *logits, int n) {
  int begin = 0, whole = n / LANES * LANES; // the block that the largest is in begins there
  float top = -INFINITY;
  for (int at = 0; at < whole; at += BLOCK) {
    float t = top_of(logits + at, whole - at < BLOCK ? whole - at : BLOCK);
    if (t > top) top = t, begin = at;
  }
  for (int i = whole; i < n; i++)
    if (logits[i] > top) top = logits[i], begin = i;
  if (!isfinite(top)) return -1;
  while (logits[begin] != top) begin++;
  return begin;
}

// Of equal weight the lower id comes first.
static bool likelier(const candidate *a, const candidate *b) {
  return a->weight != b->weight ? a->weight > b->weight : a->id < b->id;
}

// Move c[at] down until no one below it is likelier: c[0, n) is a heap then, if it was one below `at`.
static void sink(candidate *c, int n, int at) {
  candidate moving = c[at];
  for (int kid; (kid = 2 * at + 1) < n; at = kid) {
    if (kid + 1 < n && likelier(&c[kid + 1], &c[kid])) kid++;
    if (!likelier(&c[kid], &moving)) break;
    c[at] = c[kid];
  }
  c[at] = moving;
}

// Bring the likeliest candidates to the front, in order: k of them, or fewer as soon as their weights reach `enough`.
// The others are lost. Nothing else is sorted.
static int take_best(candidate *c, int n, int k, double enough) {
  for (int at = n / 2 - 1; at >= 0; at--) sink(c, n, at);
  int got = 0;
  double have = 0;
  while (got < k && have < enough) { // taken ones gather at the end, the last one first
    candidate best = c[0];
    have += (double)best.weight;
    c[0] = c[n - 1 - got];
    c[n - 1 - got] = best;
    got++;
    if (n - got > 0) sink(c, n - got, 0);
  }
  for (int i = 0; i < n / 2; i++) {
    candidate t = c[i];
    c[i] = c[n - 1 - i];
    c[n - 1 - i] = t;
  }
  return got;
}

static double total(const candidate *c, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += (double)c[i].weight;
  return sum;
}

// The smallest set of likeliest tokens that holds top_p of the probability. A token outside the best that carries less
// than (1 - top_p) / n of it can't belong to that set, so only the others are looked at.
static int keep_top_p(candidate *c, int n, double top_p) {
  double sum = total(c, n), floor = (1 - top_p) * sum / n;
  int m = 0;
  for (int i = 0; i < n; i++)
    if ((double)c[i].weight >= floor) c[m++] = c[i];
  return take_best(c, m, m, top_p * sum);
}

// The logits with all that is not allowed out of reach.
static const float *apply(const sampler *s, const float *logits, const pn_mask *mask) {
  for (int32_t i = 0; i < s->n_vocab; i += 64) {
    uint64_t allowed = mask->bits[i / 64];
    int32_t n = s->n_vocab - i < 64 ? s->n_vocab - i : 64;
    if (allowed == UINT64_MAX) {
      memcpy(s->masked + i, logits + i, (size_t)n * sizeof *logits);
      continue;
    }
    for (int32_t k = 0; k < n; k++) s->masked[i + k] = allowed >> k & 1 ? logits[i + k] : -INFINITY;
  }
  return s->masked;
}

static int32_t largest_of(const float *logits, const pn_mask *mask) {
  int32_t best = -1;
  for (int32_t i = 0; i < mask->n_ids; i++) { // in rising order, so the lower of equal ones stays
    float v = logits[mask->ids[i]];
    if (isfinite(v) && (best < 0 || v > logits[best])) best = mask->ids[i];
  }
  return best;
}

int32_t sampler_pick(sampler *s, const float *logits, const pn_mask *mask, const pn_sampling *how,
                     pn_rng *rng) {
  const int32_t *ids = mask ? mask->ids : NULL;
  if (mask && mask->bits) logits = apply(s, logits, mask);
  int32_t best = ids ? largest_of(logits, mask) : largest(logits, s->n_vocab);
  if (best < 0 || how->temperature <= 0) return best;
  candidate *c = s->candidates;
  float top = logits[best], cut = 30 * how->temperature;
  int n = 0, n_all = ids ? mask->n_ids : s->n_vocab;
  for (int32_t k = 0; k < n_all; k++) {
    int32_t i = ids ? ids[k] : k;
    if (top - logits[i] <= cut) c[n++] = (candidate){i, expf((logits[i] - top) / how->temperature)};
  }
  if (how->top_k > 0 && how->top_k < n) n = take_best(c, n, how->top_k, INFINITY);
  if (how->top_p < 1) n = keep_top_p(c, n, (double)how->top_p);
  if (how->min_p > 0) {
    int m = 0;
    for (int i = 0; i < n; i++)
      if (c[i].weight >= how->min_p) c[m++] = c[i]; // the best one's weight is 1
    n = m;
  }
  double at = pn_rng_unit(rng) * total(c, n);
  for (int i = 0; i < n; i++) {
    at -= (double)c[i].weight;
    if (at < 0) return c[i].id;
  }
  return n ? c[n - 1].id : best;
}
