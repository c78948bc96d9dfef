#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>

typedef struct sampler_candidate {
  int32_t id;
  float weight; // exp((logit - max) / temperature)
} candidate;

bool sampler_init(sampler *s, int n_vocab, pn_error *e) {
  *s = (sampler){.n_vocab = n_vocab, .candidates = malloc((size_t)n_vocab * sizeof(candidate))};
  if (s->candidates) return true;
  return pn_fail(e, PN_ERR_NOMEM, "out of memory for a sampler over %d tokens", n_vocab);
}

void sampler_fini(sampler *s) {
  free(s->candidates);
  *s = (sampler){0};
}

static int32_t largest(const float *logits, int n) {
  int32_t best = -1;
  float top = -INFINITY;
  for (int32_t i = 0; i < n; i++)
    if (logits[i] > top) top = logits[i], best = i;
  return best >= 0 && isfinite(top) ? best : -1;
}

// Likelier first; at equal weight the lower id first.
static int likelier(const void *pa, const void *pb) {
  const candidate *a = pa, *b = pb;
  if (a->weight != b->weight) return a->weight > b->weight ? -1 : 1;
  return a->id < b->id ? -1 : a->id > b->id;
}

// Partial quicksort: the k best candidates to the front, in no order.
static void select_best(candidate *c, int n, int k) {
  int lo = 0, hi = n - 1;
  while (lo < hi) {
    candidate pivot = c[lo + (hi - lo) / 2];
    int i = lo, j = hi;
    while (i <= j) {
      while (likelier(&c[i], &pivot) < 0) i++;
      while (likelier(&c[j], &pivot) > 0) j--;
      if (i <= j) {
        candidate t = c[i];
        c[i++] = c[j];
        c[j--] = t;
      }
    }
    if (k <= j)
      hi = j;
    else if (k >= i)
      lo = i;
    else
      break;
  }
}

static double total(const candidate *c, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += (double)c[i].weight;
  return sum;
}

// The smallest set of likeliest tokens that holds top_p of the probability. A token outside the best that carries less
// than (1 - top_p) / n of it can't belong to that set, so only the others are sorted.
static int keep_top_p(candidate *c, int n, double top_p) {
  double sum = total(c, n), floor = (1 - top_p) * sum / n;
  int m = 0;
  for (int i = 0; i < n; i++)
    if ((double)c[i].weight >= floor) c[m++] = c[i];
  qsort(c, (size_t)m, sizeof *c, likelier);
  double have = 0;
  for (int i = 0; i < m; i++) {
    have += (double)c[i].weight;
    if (have >= top_p * sum) return i + 1;
  }
  return m;
}

int32_t sampler_pick(sampler *s, const float *logits, const pn_sampling *how, pn_rng *rng) {
  int32_t best = largest(logits, s->n_vocab);
  if (best < 0 || how->temperature <= 0) return best;
  candidate *c = s->candidates;
  float top = logits[best], cut = 30 * how->temperature;
  int n = 0;
  for (int32_t i = 0; i < s->n_vocab; i++)
    if (top - logits[i] <= cut) c[n++] = (candidate){i, expf((logits[i] - top) / how->temperature)};
  if (how->top_k > 0 && how->top_k < n) {
    select_best(c, n, how->top_k);
    n = how->top_k;
    qsort(c, (size_t)n, sizeof *c, likelier);
  }
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
