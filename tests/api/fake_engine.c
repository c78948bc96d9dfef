#include "fake_rooms.h"

#include <stdlib.h>
#include <string.h>

// Guard: `lock` protects the events.
struct pn_gen {
  pthread_mutex_t lock;
  pn_event *events;
  size_t head, n;
  pn_engine *engine;
  void (*notify)(void *ctx);
  void *notify_ctx;
};

void pn_engine_info_of(pn_engine *g, pn_engine_info *out) {
  *out = (pn_engine_info){.n_ctx = g->n_ctx,
                          .n_running = g->n_running,
                          .n_waiting = g->n_waiting,
                          .retry_after_s = g->retry_after_s,
                          .failed = g->failed};
}

pn_gen *pn_engine_submit(pn_engine *g, const pn_request *r, pn_error *e) {
  if (g->refuse.code) return pn_fail(e, g->refuse.code, "%s", g->refuse.msg), NULL;
  pn_gen *gen = calloc(1, sizeof *gen);
  pthread_mutex_init(&gen->lock, NULL);
  gen->engine = g;
  gen->notify = r->notify;
  gen->notify_ctx = r->notify_ctx;
  g->gen = gen;
  g->n_submitted++;
  g->n_tokens = (int)r->n_tokens;
  g->max_tokens = r->max_tokens;
  g->client = r->client;
  g->timeout_us = r->timeout_us;
  g->background = r->background;
  g->n_cached = 0;
  g->sampling = r->sampling;
  g->logprobs = r->logprobs;
  g->n_top_logprobs = r->n_top_logprobs;
  pn_buf_clear(&g->tokens);
  pn_buf_add(&g->tokens, r->tokens, r->n_tokens * sizeof *r->tokens);
  pn_buf_clear(&g->stops);
  for (size_t i = 0; i < r->n_stops; i++) {
    pn_buf_str(&g->stops, r->stops[i]);
    pn_buf_char(&g->stops, '|');
  }
  return gen;
}

bool pn_gen_next(pn_gen *gen, pn_event *out) {
  pthread_mutex_lock(&gen->lock);
  bool some = gen->head < gen->n;
  if (some) *out = gen->events[gen->head++];
  pthread_mutex_unlock(&gen->lock);
  return some;
}

const int32_t *pn_gen_output(const pn_gen *gen, int *n) {
  *n = gen->engine->n_output;
  return gen->engine->output;
}

void pn_gen_hold(pn_gen *gen) { gen->engine->n_held++; }
void pn_gen_resume(pn_gen *gen) { gen->engine->n_resumed++; }

void pn_gen_cancel(pn_gen *gen) { gen->engine->n_cancelled++; }

void pn_gen_release(pn_gen *gen) {
  gen->engine->n_released++;
  gen->engine->gen = NULL;
  pthread_mutex_destroy(&gen->lock);
  free(gen->events);
  free(gen);
}

void fake_emit(pn_engine *g, const pn_event *ev) {
  pn_gen *gen = g->gen;
  pthread_mutex_lock(&gen->lock);
  gen->events = realloc(gen->events, (gen->n + 1) * sizeof *gen->events);
  gen->events[gen->n++] = *ev;
  pthread_mutex_unlock(&gen->lock);
  gen->notify(gen->notify_ctx);
}

void fake_emit_news(pn_engine *g, pn_event_kind kind, int n_cached) {
  g->n_cached = n_cached;
  fake_emit(g, &(pn_event){.kind = kind, .n_cached = n_cached});
}

void fake_emit_text(pn_engine *g, const char *text) {
  pn_event ev = {.kind = PN_EVENT_TEXT, .n_output = 1, .n_text = strlen(text)};
  memcpy(ev.text, text, ev.n_text);
  fake_emit(g, &ev);
}

void fake_emit_done(pn_engine *g, pn_stop_reason stop, int stop_index, int n_output) {
  fake_emit(g, &(pn_event){.kind = PN_EVENT_DONE,
                           .n_cached = g->n_cached,
                           .stop = stop,
                           .stop_index = stop_index,
                           .n_output = n_output,
                           .queue_us = 500,
                           .prefill_us = 1500,
                           .decode_us = 100000});
}

void fake_emit_failed(pn_engine *g, pn_code code, const char *msg) {
  pn_event ev = {.kind = PN_EVENT_FAILED};
  pn_fail(&ev.error, code, "%s", msg);
  fake_emit(g, &ev);
}

void fake_engine_fini(pn_engine *g) {
  pn_buf_fini(&g->stops);
  pn_buf_fini(&g->tokens);
}
