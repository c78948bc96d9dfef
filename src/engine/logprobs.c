#include "engine/logprobs.h"

#include <math.h>

// Where a logit stands among the best so far, from the end: those that it passes move down.
static void insert(pn_token_event *out, int n_top, int32_t id, float logit) {
  int at = out->n_top < n_top ? out->n_top++ : n_top - 1;
  for (; at > 0 && out->top[at - 1].logprob < logit; at--) out->top[at] = out->top[at - 1];
  out->top[at] = (pn_logprob){id, logit};
}

void logprobs_of(const float *logits, int n, int32_t id, int n_top, pn_token_event *out) {
  float most = -INFINITY;
  *out = (pn_token_event){.id = id};
  for (int i = 0; i < n; i++) {
    if (logits[i] > most) most = logits[i];
    if (n_top > 0 && (out->n_top < n_top || logits[i] > out->top[n_top - 1].logprob) && !isnan(logits[i]))
      insert(out, n_top, i, logits[i]);
  }
  double sum = 0;
  for (int i = 0; i < n; i++)
    if (!isnan(logits[i])) sum += (double)expf(logits[i] - most);
  double log_sum = (double)most + log(sum);
  out->logprob = (float)((double)logits[id] - log_sum);
  for (int i = 0; i < out->n_top; i++) out->top[i].logprob = (float)((double)out->top[i].logprob - log_sum);
}
