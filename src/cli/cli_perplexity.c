// pensieve perplexity: exp of the mean negative log-probability that a model gives to the tokens of a text.
#include "cli/console.h"
#include "cli/stepper.h"
#include "cli/verbs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK 64

typedef struct score {
  double nats; // sum of negative log-probabilities
  size_t n;
} score;

// -log softmax(logits)[id], in double.
static double surprise(const float *logits, int n_vocab, int32_t id) {
  float max = logits[0];
  for (int i = 1; i < n_vocab; i++)
    if (logits[i] > max) max = logits[i];
  double sum = 0;
  for (int i = 0; i < n_vocab; i++) sum += exp((double)logits[i] - max);
  return log(sum) + max - logits[id];
}

// One window from position 0: the logits after each token but the last are held against the token that
// follows.
static bool score_window(stepper *s, const int32_t *ids, int n, float *logits, score *total, pn_error *e) {
  int n_vocab = pn_model_config_of(s->m->model)->n_vocab;
  for (int at = 0; at < n - 1; at += s->chunk) {
    int rows = n - 1 - at < s->chunk ? n - 1 - at : s->chunk;
    if (!stepper_run(s, ids + at, rows, at, logits, e)) return false;
    for (int i = 0; i < rows; i++)
      total->nats += surprise(logits + (size_t)i * (size_t)n_vocab, n_vocab, ids[at + i + 1]);
    total->n += (size_t)rows;
  }
  return true;
}

static bool score_text(stepper *s, const pn_ids *ids, int window, score *total, pn_error *e) {
  size_t n_vocab = (size_t)pn_model_config_of(s->m->model)->n_vocab;
  float *logits = malloc((size_t)s->chunk * n_vocab * sizeof *logits);
  if (!logits) return pn_fail(e, PN_ERR_NOMEM, "out of memory for logits of %d tokens", s->chunk);
  bool ok = true;
  for (size_t at = 0; ok && at < ids->n; at += (size_t)window) {
    size_t n = ids->n - at < (size_t)window ? ids->n - at : (size_t)window;
    ok = score_window(s, ids->p + at, (int)n, logits, total, e);
    if (total->n)
      console_progress("perplexity: %.4f after %zu of %zu tokens", exp(total->nats / (double)total->n),
                       at + n, ids->n);
  }
  console_progress("%s", "");
  free(logits);
  if (ok && !isfinite(total->nats))
    ok = pn_fail(e, PN_ERR_INTERNAL, "the model's logits are not finite numbers");
  return ok;
}

static bool report(const score *total, pn_error *e) {
  pn_json *v = pn_json_new_object();
  pn_json_set(v, "perplexity", pn_json_new_num(exp(total->nats / (double)total->n)));
  pn_json_set(v, "n_tokens", pn_json_new_int((int64_t)total->n));
  return console_json(v, e);
}

static bool read_text(const open_model *m, const char *path, pn_ids *ids, pn_error *e) {
  pn_buf text = {0};
  bool ok = console_read(path, (size_t)256 << 20, &text, e);
  if (ok) {
    const pn_span all = {0, text.n};
    ok = pn_tokenizer_encode(m->tokenizer, pn_buf_view(&text), &all, 1, ids, e) || pn_fail_in(e, "%s", path);
  }
  if (ok && ids->oom) ok = pn_fail(e, PN_ERR_NOMEM, "out of memory for the tokens of %s", path);
  if (ok && ids->n < 2) ok = pn_fail(e, PN_ERR_USAGE, "%s: a perplexity wants two tokens or more", path);
  pn_buf_fini(&text);
  return ok && stepper_check_ids(m, ids->p, ids->n, e);
}

bool cli_perplexity(const options *o, pn_error *e) {
  if (o->n_args != 1) return pn_fail(e, PN_ERR_USAGE, "`perplexity` wants a file of text");
  open_model m = {0};
  stepper s = {0};
  pn_ids ids = {0};
  score total = {0};
  bool ok =
      open_model_read(&m, o, NULL, OPEN_WEIGHTS | OPEN_TOKENIZER, e) && read_text(&m, o->args[0], &ids, e);
  int64_t window = options_int(o, "window");
  int max = ok ? pn_model_config_of(m.model)->max_positions : 0;
  if (ok && window > max)
    ok = pn_fail(e, PN_ERR_USAGE, "--window: %lld tokens are more than the %d that the model was made for",
                 (long long)window, max);
  ok = ok && stepper_open(&s, &m, (int)window, CHUNK, e) && score_text(&s, &ids, (int)window, &total, e) &&
       report(&total, e);
  stepper_close(&s);
  pn_ids_fini(&ids);
  open_model_close(&m);
  return ok;
}
