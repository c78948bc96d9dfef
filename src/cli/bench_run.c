#include "cli/bench_run.h"

#include "base/clock.h"
#include "cli/interrupt.h"
#include "cli/wait_answer.h"

#include <stdlib.h>

bool bench_run_init(bench_run *r, const open_model *m, pn_engine *g, int max_prompt, pn_error *e) {
  *r = (bench_run){.m = m, .engine = g, .sampling = {.top_p = 1}, .first = -1};
  pn_rng_seed(&r->rng, 1);
  r->ids = malloc((size_t)max_prompt * sizeof *r->ids);
  return r->ids ? true : pn_fail(e, PN_ERR_NOMEM, "out of memory for a prompt of %d tokens", max_prompt);
}

void bench_run_fini(bench_run *r) {
  free(r->ids);
  *r = (bench_run){0};
}

static bool is_ordinary(const bench_run *r, int32_t id) {
  return !pn_tokenizer_is_control(r->m->tokenizer, id);
}

// Ordinary tokens: what they say does not matter, but that they differ does. The first one counts up, so that
// no prompt begins like one before it until the vocabulary is used up.
static void make_prompt(bench_run *r, int n) {
  int32_t n_vocab = pn_model_config_of(r->m->model)->n_vocab;
  for (int32_t tries = 0; tries < n_vocab; tries++) {
    r->first = (r->first + 1) % n_vocab;
    if (is_ordinary(r, r->first)) break;
  }
  r->ids[0] = r->first;
  for (int i = 1; i < n; i++) {
    do r->ids[i] = (int32_t)pn_rng_below(&r->rng, (uint64_t)n_vocab);
    while (!is_ordinary(r, r->ids[i]));
  }
}

static pn_request request_of(const bench_run *r, int n_prompt, int n_out) {
  return (pn_request){.id = "bench",
                      .tokens = r->ids,
                      .n_tokens = (size_t)n_prompt,
                      .max_tokens = n_out,
                      .sampling = r->sampling,
                      .ignore_end = true};
}

static void note_memory(void *ctx, const pn_event *ev) {
  (void)ev;
  bench_run *r = ctx;
  pn_engine_info info;
  pn_engine_info_of(r->engine, &info);
  uint64_t bytes = info.kv_used_bytes + info.kv_cached_bytes;
  if (bytes > r->kv_peak_bytes) r->kv_peak_bytes = bytes;
}

static double rate(double n, uint64_t us) { return n / ((double)(us + 1) / 1e6); }

bool bench_run_one(bench_run *r, int n_prompt, int n_out, double *prompt_tok_s, double *answer_tok_s,
                   pn_error *e) {
  make_prompt(r, n_prompt);
  pn_request q = request_of(r, n_prompt, n_out);
  pn_event done;
  if (!answer_wait(r->engine, &q, note_memory, r, &done, e)) return false;
  if (prompt_tok_s) *prompt_tok_s = rate(n_prompt - done.n_cached, done.prefill_us);
  // The first token belongs to the prompt.
  if (answer_tok_s) *answer_tok_s = rate(done.n_output - 1, done.decode_us);
  return true;
}

bool bench_run_behind(bench_run *r, int depth, int n_out, double *answer_tok_s, pn_error *e) {
  const bench_run before = *r;
  pn_rng_seed(&r->rng, (uint64_t)depth);
  r->first = depth % pn_model_config_of(r->m->model)->n_vocab;
  bool ok = bench_run_one(r, depth, n_out, NULL, answer_tok_s, e);
  r->rng = before.rng;
  r->first = before.first;
  return ok;
}

// One of several answers: its parts in time, as the engine measured them.
typedef struct stream {
  pn_gen *gen;
  bool over;
  int n_out;
  uint64_t submit_us, first_us, end_us;
} stream;

static bool submit(bench_run *r, stream *s, int n_prompt, int n_out, bell *rung, pn_error *e) {
  make_prompt(r, n_prompt);
  pn_request q = request_of(r, n_prompt, n_out);
  q.notify = bell_ring;
  q.notify_ctx = rung;
  s->submit_us = pn_now_us();
  s->gen = pn_engine_submit(r->engine, &q, e);
  return s->gen != NULL;
}

// Take what a stream has to say. False: it failed.
static bool hear(bench_run *r, stream *s, pn_error *e) {
  pn_event ev;
  while (!s->over && pn_gen_next(s->gen, &ev)) {
    note_memory(r, &ev);
    if (ev.kind == PN_EVENT_FAILED) return pn_fail(e, ev.error.code, "%s", ev.error.msg);
    if (ev.kind != PN_EVENT_DONE) continue;
    s->over = true;
    s->n_out = ev.n_output;
    s->first_us = s->submit_us + ev.queue_us + ev.prefill_us;
    s->end_us = s->first_us + ev.decode_us;
  }
  return true;
}

static bool run_all(bench_run *r, stream *s, int n, int n_prompt, int n_out, bell *rung, pn_error *e) {
  for (int i = 0; i < n; i++)
    if (!submit(r, &s[i], n_prompt, n_out, rung, e)) return false;
  for (int open = n; open > 0;) {
    bell_wait(rung, 100);
    if (interrupt_count()) return pn_fail(e, PN_ERR_CANCELLED, "stopped");
    open = 0;
    for (int i = 0; i < n; i++) {
      if (!hear(r, &s[i], e)) return false;
      open += !s[i].over;
    }
  }
  return true;
}

// Tokens that came after the last prompt was computed, over the time from there to the end. Of an answer that
// had begun before, the share of its time that lies behind that moment counts.
static double together(const stream *s, int n) {
  uint64_t from = 0, end = 0;
  double tokens = 0;
  for (int i = 0; i < n; i++) {
    if (s[i].first_us > from) from = s[i].first_us;
    if (s[i].end_us > end) end = s[i].end_us;
  }
  for (int i = 0; i < n; i++) {
    if (s[i].end_us <= from) continue;
    tokens += (s[i].n_out - 1) * ((double)(s[i].end_us - from) / (double)(s[i].end_us - s[i].first_us));
  }
  return rate(tokens, end - from);
}

bool bench_run_streams(bench_run *r, int n, int n_prompt, int n_out, double *tok_s, pn_error *e) {
  stream *s = calloc((size_t)n, sizeof *s);
  if (!s) return pn_fail(e, PN_ERR_NOMEM, "out of memory for %d streams", n);
  bell rung;
  bell_init(&rung);
  bool ok = run_all(r, s, n, n_prompt, n_out, &rung, e);
  if (ok) *tok_s = together(s, n);
  for (int i = 0; i < n; i++)
    if (s[i].gen) pn_gen_release(s[i].gen);
  bell_fini(&rung);
  free(s);
  return ok;
}
