#include "api/api_answer.h"

#include "api/envelope.h"
#include "base/log.h"

#include <stdlib.h>

static void no_wake(void *ctx) { (void)ctx; }

static bool copy(pn_str *to, pn_str from) {
  *to = (pn_str){pn_str_dup(from), from.n};
  return to->p != NULL;
}

static void answer_free(answer *w) {
  if (!w) return;
  for (size_t i = 0; w->stops && i < w->n_stops; i++) free((char *)(uintptr_t)w->stops[i].p);
  free(w->stops);
  free((char *)(uintptr_t)w->model.p);
  free(w->request_id);
  free(w->extra);
  free(w);
}

static answer *answer_new(const pn_api *a, const pn_api_request *r, const answer_ask *ask) {
  answer *w = calloc(1, sizeof *w);
  if (!w) {
    free(ask->extra);
    return NULL;
  }
  w->writer = ask->writer;
  w->now_us = a->now_us;
  w->tokenizer = a->o.tokenizer;
  w->reader = (live_reader){.wake = r->wake ? r->wake : no_wake, .wake_ctx = r->wake_ctx};
  w->stream = ask->stream;
  w->marks = ask->marks;
  w->extra = ask->extra;
  w->n_stops = ask->n_stops;
  w->request_id = pn_str_dup(pn_str_of(r->request_id));
  w->stops = calloc(ask->n_stops ? ask->n_stops : 1, sizeof *w->stops);
  bool ok = copy(&w->model, ask->model) && w->request_id && w->stops;
  for (size_t i = 0; ok && i < ask->n_stops; i++) ok = copy(&w->stops[i], ask->stops[i]);
  if (ok) return w;
  answer_free(w);
  return NULL;
}

pn_str answer_news(const answer *w) {
  const pn_buf *text = &w->live->blocks.p[w->at].text;
  return text->n > w->text_at ? (pn_str){text->p + w->text_at, text->n - w->text_at} : (pn_str){0};
}

const char *answer_stop_reason(const live *l) {
  switch (l->last.stop) {
  case PN_STOP_END_TURN: return answer_blocks_calls(&l->blocks) ? "tool_use" : "end_turn";
  case PN_STOP_MAX_TOKENS: return "max_tokens";
  case PN_STOP_STRING: return "stop_sequence";
  case PN_STOP_CONTEXT: return "model_context_window_exceeded";
  }
  return "end_turn";
}

static void note(const answer *w, pn_reply *r) {
  const pn_event *last = &w->live->last;
  r->facts.n_cached = w->live->n_cached;
  r->facts.n_output = w->live->n_output;
  if (!w->live->ended) return;
  r->facts.stop = last->kind == PN_EVENT_DONE ? answer_stop_reason(w->live) : pn_code_name(last->error.code);
  r->facts.ttft_ms = (double)(last->queue_us + last->prefill_us) / 1000;
  r->facts.tokens_per_s = last->decode_us ? (double)last->n_output * 1e6 / (double)last->decode_us : 0;
}

static void begin(answer *w, pn_buf *b) {
  w->writer->begin(w, b);
  w->begun = true;
}

// The status of a stream is out already: there the error is the last event.
static void fail(answer *w, pn_reply *r, int status, const char *message) {
  if (w->stream) {
    if (!w->begun) begin(w, &r->body);
    w->writer->news(w, &r->body);
  } else {
    r->status = status;
    r->retry_after_s = api_reply_retry_after_s(status);
  }
  r->error_type = envelope_type(status);
  w->writer->fail(w, &r->body, status, message);
  w->ended = true;
  r->ready = r->finished = true;
}

static void fail_as(answer *w, pn_reply *r, const pn_error *e) {
  int status = envelope_status_running(e->code);
  fail(w, r, status, e->msg);
  if (status != 499)
    pn_log(PN_LOG_ERROR, w->request_id, "generation failed", PN_FIELDS(PN_S("error", e->msg)));
}

static void end(answer *w, pn_reply *r) {
  static const pn_error no_memory = {PN_ERR_NOMEM, "out of memory for the answer's text"};
  if (w->live->last.kind == PN_EVENT_FAILED) {
    fail_as(w, r, &w->live->last.error);
    return;
  }
  if (w->live->oom) {
    fail_as(w, r, &no_memory);
    return;
  }
  if (w->stream) {
    if (!w->begun) begin(w, &r->body);
    w->writer->news(w, &r->body);
    w->writer->end(w, &r->body);
  } else {
    w->writer->whole(w, &r->body);
  }
  w->ended = true;
  r->ready = r->finished = true;
}

static void pump(void *self, pn_reply *r) {
  answer *w = self;
  size_t before = r->body.n;
  live_pump(w->live);
  note(w, r);
  if (w->live->ended && !w->ended) end(w, r);
  if (!w->stream || w->ended) return;
  uint64_t now = w->now_us();
  if (!w->begun && (w->live->heard || now >= w->sent_us + ANSWER_START_US)) begin(w, &r->body);
  if (!w->begun) return;
  w->writer->news(w, &r->body);
  if (r->body.n == before && now >= w->sent_us + ANSWER_PING_US) w->writer->ping(w, &r->body);
  if (r->body.n != before) w->sent_us = now;
}

static uint64_t deadline_us(const void *self) {
  const answer *w = self;
  if (!w->stream || w->ended) return UINT64_MAX;
  return w->sent_us + (w->begun ? ANSWER_PING_US : ANSWER_START_US);
}

static void stop(void *self, pn_reply *r) {
  answer *w = self;
  pn_gen_cancel(w->live->gen);
  fail(w, r, 503, "the server is shutting down");
  r->facts.stop = "shutdown";
}

static void release(void *self, bool client_gone) {
  answer *w = self;
  live_leave(w->live, &w->reader, client_gone);
  answer_free(w);
}

// What the generation would have told its end to.
static void let_go(const live_ask *ask) {
  if (ask->ended) ask->ended(ask->ended_ctx, NULL, NULL, 0);
}

pn_reply *answer_open(pn_api *a, const pn_api_request *r, const answer_ask *ask, live_ask *generation,
                      pn_error *e) {
  static const api_source source = {pump, deadline_us, stop, release};
  bool joined;
  answer *w = answer_new(a, r, ask);
  if (!w) {
    let_go(generation);
    return pn_fail(e, PN_ERR_NOMEM, "out of memory for the answer"), NULL;
  }
  live_table *table = r->background || atomic_load(&a->draining) ? NULL : a->live;
  w->live = live_open(table, generation, &w->reader, &joined, e);
  if (!w->live) {
    let_go(generation);
    answer_free(w);
    return NULL;
  }
  w->sent_us = w->now_us();
  pn_reply *reply = api_reply_from(&source, w, w->stream);
  if (!reply) return pn_fail(e, PN_ERR_NOMEM, "out of memory for the answer"), NULL;
  reply->facts.model = w->model.p;
  reply->facts.n_input = w->marks.n_prompt;
  return reply;
}
