#include "api/messages_answer.h"

#include "api/envelope.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

struct answer {
  pn_gen *gen; // NULL until it is handed over
  uint64_t (*now_us)(void);
  char *request_id;
  pn_str model, *stops; // heap copies
  size_t n_stops;
  char id[32];
  bool stream, begun, block_open, ended;
  bool heard; // the engine has said something
  cache_marks marks;
  int n_cached;
  uint64_t sent_us; // when the stream last got bytes; before that, when the request was submitted
  pn_buf text;      // of a stream: what came and was not sent; else the whole answer so far
  int n_output;
};

// "msg_01" and 22 characters of [0-9A-Za-z].
static void make_id(char id[32]) {
  static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  memcpy(id, "msg_01", 6);
  uint64_t v = 0;
  for (int i = 0; i < 22; i++) {
    if (i % 10 == 0) v = pn_rng_entropy();
    id[6 + i] = digits[v % 62];
    v /= 62;
  }
  id[28] = '\0';
}

static bool copy(pn_str *to, pn_str from) {
  *to = (pn_str){pn_str_dup(from), from.n};
  return to->p != NULL;
}

void answer_free(answer *w) {
  if (!w) return;
  for (size_t i = 0; w->stops && i < w->n_stops; i++) free((char *)(uintptr_t)w->stops[i].p);
  free(w->stops);
  free((char *)(uintptr_t)w->model.p);
  free(w->request_id);
  pn_buf_fini(&w->text);
  free(w);
}

answer *answer_new(const pn_api *a, const pn_api_request *r, const messages_request *q,
                   const cache_marks *m) {
  answer *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  w->now_us = a->now_us;
  w->stream = q->stream;
  w->marks = *m;
  w->n_stops = q->n_stops;
  w->request_id = pn_str_dup(pn_str_of(r->request_id));
  w->stops = calloc(q->n_stops ? q->n_stops : 1, sizeof *w->stops);
  bool ok = copy(&w->model, q->model) && w->request_id && w->stops;
  for (size_t i = 0; ok && i < q->n_stops; i++) ok = copy(&w->stops[i], q->stops[i]);
  if (!ok) {
    answer_free(w);
    return NULL;
  }
  make_id(w->id);
  return w;
}

static const char *stop_name(pn_stop_reason s) {
  switch (s) {
  case PN_STOP_END_TURN: return "end_turn";
  case PN_STOP_MAX_TOKENS: return "max_tokens";
  case PN_STOP_STRING: return "stop_sequence";
  case PN_STOP_CONTEXT: return "model_context_window_exceeded";
  }
  return "end_turn";
}

// "stop_reason":...,"stop_sequence":...; `last` is NULL while the answer goes on.
static void write_stop(const answer *w, pn_buf *b, const pn_event *last) {
  if (!last) {
    pn_buf_z(b, "\"stop_reason\":null,\"stop_sequence\":null");
    return;
  }
  pn_buf_printf(b, "\"stop_reason\":\"%s\",\"stop_sequence\":", stop_name(last->stop));
  size_t i = (size_t)last->stop_index;
  if (last->stop == PN_STOP_STRING && last->stop_index >= 0 && i < w->n_stops)
    pn_json_write_str(b, w->stops[i]);
  else
    pn_buf_z(b, "null");
}

// The message object; `last` is NULL for the beginning of a stream, which has no content yet.
static void write_message(const answer *w, pn_buf *b, const pn_event *last) {
  pn_buf_printf(b, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", w->id);
  pn_json_write_str(b, w->model);
  pn_buf_z(b, ",\"content\":[");
  if (last && w->text.n) {
    pn_buf_z(b, "{\"type\":\"text\",\"text\":");
    pn_json_write_str(b, pn_buf_view(&w->text));
    pn_buf_char(b, '}');
  }
  pn_buf_z(b, "],");
  write_stop(w, b, last);
  pn_buf_char(b, ',');
  messages_cache_usage(b, &w->marks, w->n_cached, last ? w->n_output : 0);
  pn_buf_char(b, '}');
}

// Frames are written for every token, so they are constants put together, without formatting.
static void add(pn_buf *b, pn_str s) { pn_buf_add(b, s.p, s.n); }
#define ADD(b, literal) add((b), PN_STR(literal))
#define FRAME(type) "event: " type "\ndata: {\"type\":\"" type "\""

static void ping(pn_buf *b) { ADD(b, FRAME("ping") "}\n\n"); }

static void stream_begin(answer *w, pn_buf *b) {
  ADD(b, FRAME("message_start") ",\"message\":");
  write_message(w, b, NULL);
  ADD(b, "}\n\n");
  w->begun = true;
}

// The block begins with its first text, so that an answer without text has no block.
static void stream_text(answer *w, pn_buf *b) {
  if (w->text.n == 0) return;
  if (!w->block_open) {
    ADD(b,
        FRAME("content_block_start") ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
    ping(b);
    w->block_open = true;
  }
  ADD(b, FRAME("content_block_delta") ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":");
  pn_json_write_str(b, pn_buf_view(&w->text));
  ADD(b, "}}\n\n");
  pn_buf_clear(&w->text);
}

static void stream_end(answer *w, pn_buf *b, const pn_event *last) {
  if (w->block_open) ADD(b, FRAME("content_block_stop") ",\"index\":0}\n\n");
  ADD(b, FRAME("message_delta") ",\"delta\":{");
  write_stop(w, b, last);
  ADD(b, "},");
  messages_cache_usage(b, &w->marks, w->n_cached, w->n_output);
  ADD(b, "}\n\n" FRAME("message_stop") "}\n\n");
}

static void note_end(const answer *w, pn_reply *r, const pn_event *last, const char *how) {
  r->facts.stop = how;
  r->facts.n_cached = w->n_cached;
  r->facts.n_output = w->n_output;
  r->facts.ttft_ms = (double)(last->queue_us + last->prefill_us) / 1000;
  r->facts.tokens_per_s = last->decode_us ? (double)w->n_output * 1e6 / (double)last->decode_us : 0;
  pn_log(PN_LOG_INFO, w->request_id, "generated",
         PN_FIELDS(PN_I("input_tokens", w->marks.n_prompt), PN_I("cached_tokens", w->n_cached),
                   PN_I("output_tokens", w->n_output), PN_D("ttft_ms", r->facts.ttft_ms),
                   PN_D("tok_s", r->facts.tokens_per_s), PN_S("stop", how)));
}

static void finish(answer *w, pn_reply *r, const pn_event *last) {
  if (w->stream) {
    stream_text(w, &r->body);
    stream_end(w, &r->body, last);
  } else {
    write_message(w, &r->body, last);
  }
  note_end(w, r, last, stop_name(last->stop));
}

// The status of a stream is out already: there the error is the last event.
static void fail(answer *w, pn_reply *r, const pn_error *e, int status) {
  if (w->stream) {
    stream_text(w, &r->body);
    pn_buf_z(&r->body, "event: error\ndata: ");
  } else {
    r->status = status;
    r->retry_after_s = api_reply_retry_after_s(status);
  }
  r->error_type = envelope_type(status);
  envelope_write(&r->body, status, e->msg, NULL, w->request_id);
  if (w->stream) pn_buf_z(&r->body, "\n\n");
}

static void fail_as(answer *w, pn_reply *r, const pn_event *last, const pn_error *e) {
  int status = envelope_status_running(e->code);
  fail(w, r, e, status);
  note_end(w, r, last, pn_code_name(e->code));
  if (status != 499)
    pn_log(PN_LOG_ERROR, w->request_id, "generation failed", PN_FIELDS(PN_S("error", e->msg)));
}

static void end(answer *w, pn_reply *r, const pn_event *last) {
  static const pn_error no_memory = {PN_ERR_NOMEM, "out of memory for the answer's text"};
  w->n_output = last->n_output;
  if (w->stream && !w->begun) stream_begin(w, &r->body);
  if (last->kind == PN_EVENT_FAILED)
    fail_as(w, r, last, &last->error);
  else if (w->text.oom)
    fail_as(w, r, last, &no_memory);
  else
    finish(w, r, last);
  w->ended = true;
  r->ready = r->finished = true;
}

static void take(answer *w, pn_reply *r, const pn_event *ev) {
  w->heard = true;
  switch (ev->kind) {
  case PN_EVENT_QUEUED:
  case PN_EVENT_PREFILL: r->facts.n_cached = w->n_cached = ev->n_cached; break;
  case PN_EVENT_TEXT:
    pn_buf_add(&w->text, ev->text, ev->n_text);
    r->facts.n_output = w->n_output = ev->n_output;
    break;
  case PN_EVENT_DONE:
    w->n_cached = ev->n_cached;
    end(w, r, ev);
    break;
  case PN_EVENT_FAILED: end(w, r, ev); break;
  }
}

static void pump(void *self, pn_reply *r) {
  answer *w = self;
  size_t before = r->body.n;
  pn_event ev;
  while (!w->ended && pn_gen_next(w->gen, &ev)) take(w, r, &ev);
  if (!w->stream || w->ended) return;
  uint64_t now = w->now_us();
  if (!w->begun && (w->heard || now >= w->sent_us + ANSWER_START_US)) stream_begin(w, &r->body);
  if (!w->begun) return;
  stream_text(w, &r->body);
  if (r->body.n == before && now >= w->sent_us + ANSWER_PING_US) ping(&r->body);
  if (r->body.n != before) w->sent_us = now;
}

static uint64_t deadline_us(const void *self) {
  const answer *w = self;
  if (!w->stream || w->ended) return UINT64_MAX;
  return w->sent_us + (w->begun ? ANSWER_PING_US : ANSWER_START_US);
}

static void stop(void *self, pn_reply *r) {
  static const pn_error closing = {PN_ERR_BUSY, "the server is shutting down"};
  answer *w = self;
  pn_gen_cancel(w->gen);
  if (w->stream && !w->begun) stream_begin(w, &r->body);
  fail(w, r, &closing, 503);
  pn_log(PN_LOG_WARN, w->request_id, "generation ended by the server",
         PN_FIELDS(PN_I("input_tokens", w->marks.n_prompt), PN_I("output_tokens", w->n_output)));
  w->ended = true;
  r->ready = r->finished = true;
}

static void release(void *self, bool client_gone) {
  answer *w = self;
  if (client_gone) pn_gen_cancel(w->gen);
  pn_gen_release(w->gen);
  answer_free(w);
}

pn_reply *answer_start(answer *w, pn_gen *gen) {
  static const api_source source = {pump, deadline_us, stop, release};
  w->gen = gen;
  w->sent_us = w->now_us();
  pn_reply *r = api_reply_from(&source, w, w->stream);
  if (!r) return NULL;
  r->facts.model = w->model.p;
  r->facts.n_input = w->marks.n_prompt;
  return r;
}
