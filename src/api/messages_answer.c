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
  size_t n_input;
  uint64_t sent_us; // when the stream last got bytes
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

answer *answer_new(const pn_api *a, const pn_api_request *r, pn_str model, bool stream, size_t n_input,
                   const pn_str *stops, size_t n_stops) {
  answer *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  w->now_us = a->now_us;
  w->stream = stream;
  w->n_input = n_input;
  w->n_stops = n_stops;
  w->request_id = pn_str_dup(pn_str_of(r->request_id));
  w->stops = calloc(n_stops ? n_stops : 1, sizeof *w->stops);
  bool ok = copy(&w->model, model) && w->request_id && w->stops;
  for (size_t i = 0; ok && i < n_stops; i++) ok = copy(&w->stops[i], stops[i]);
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

static void write_usage(const answer *w, pn_buf *b) {
  pn_buf_printf(b,
                "\"usage\":{\"input_tokens\":%zu,\"cache_creation_input_tokens\":0,"
                "\"cache_read_input_tokens\":0,\"output_tokens\":%d}",
                w->n_input, w->n_output);
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
  write_usage(w, b);
  pn_buf_char(b, '}');
}

static void frame(pn_buf *b, const char *event) { pn_buf_printf(b, "event: %s\ndata: ", event); }
static void frame_end(pn_buf *b) { pn_buf_z(b, "\n\n"); }

static void ping(pn_buf *b) {
  frame(b, "ping");
  pn_buf_z(b, "{\"type\":\"ping\"}");
  frame_end(b);
}

static void stream_begin(answer *w, pn_buf *b) {
  frame(b, "message_start");
  pn_buf_z(b, "{\"type\":\"message_start\",\"message\":");
  write_message(w, b, NULL);
  pn_buf_char(b, '}');
  frame_end(b);
  w->begun = true;
}

// The block begins with its first text, so that an answer without text has no block.
static void stream_text(answer *w, pn_buf *b) {
  if (w->text.n == 0) return;
  if (!w->block_open) {
    frame(b, "content_block_start");
    pn_buf_z(b, "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":"
                "{\"type\":\"text\",\"text\":\"\"}}");
    frame_end(b);
    ping(b);
    w->block_open = true;
  }
  frame(b, "content_block_delta");
  pn_buf_z(b, "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":");
  pn_json_write_str(b, pn_buf_view(&w->text));
  pn_buf_z(b, "}}");
  frame_end(b);
  pn_buf_clear(&w->text);
}

static void stream_end(answer *w, pn_buf *b, const pn_event *last) {
  if (w->block_open) {
    frame(b, "content_block_stop");
    pn_buf_z(b, "{\"type\":\"content_block_stop\",\"index\":0}");
    frame_end(b);
  }
  frame(b, "message_delta");
  pn_buf_z(b, "{\"type\":\"message_delta\",\"delta\":{");
  write_stop(w, b, last);
  pn_buf_z(b, "},");
  write_usage(w, b);
  pn_buf_char(b, '}');
  frame_end(b);
  frame(b, "message_stop");
  pn_buf_z(b, "{\"type\":\"message_stop\"}");
  frame_end(b);
}

// Of a generation that ended by itself; the engine tells of those that were cancelled.
static void log_end(const answer *w, const pn_event *last, const char *how) {
  uint64_t first = last->queue_us + last->prefill_us;
  double speed = last->decode_us ? (double)w->n_output * 1e6 / (double)last->decode_us : 0;
  pn_log(PN_LOG_INFO, w->request_id, "generated",
         PN_FIELDS(PN_I("input_tokens", w->n_input), PN_I("output_tokens", w->n_output),
                   PN_D("ttft_ms", (double)first / 1000), PN_D("tok_s", speed), PN_S("stop", how)));
}

static void finish(answer *w, pn_reply *r, const pn_event *last) {
  if (w->stream) {
    stream_text(w, &r->body);
    stream_end(w, &r->body, last);
  } else {
    write_message(w, &r->body, last);
  }
  log_end(w, last, stop_name(last->stop));
}

// The status of a stream is out already: there the error is the last event.
static void fail(answer *w, pn_reply *r, const pn_event *last) {
  int status = envelope_status_running(last->error.code);
  if (w->stream) {
    stream_text(w, &r->body);
    frame(&r->body, "error");
  } else {
    r->status = status;
  }
  envelope_write(&r->body, status, last->error.msg, NULL, w->request_id);
  if (w->stream) frame_end(&r->body);
  log_end(w, last, pn_code_name(last->error.code));
  if (status != 499)
    pn_log(PN_LOG_ERROR, w->request_id, "generation failed", PN_FIELDS(PN_S("error", last->error.msg)));
}

static void end(answer *w, pn_reply *r, const pn_event *last) {
  w->n_output = last->n_output;
  if (last->kind == PN_EVENT_DONE && w->text.oom) {
    pn_event failed = *last;
    failed.kind = PN_EVENT_FAILED;
    pn_fail(&failed.error, PN_ERR_NOMEM, "out of memory for the answer's text");
    fail(w, r, &failed);
  } else if (last->kind == PN_EVENT_DONE) {
    finish(w, r, last);
  } else {
    fail(w, r, last);
  }
  w->ended = true;
  r->ready = r->finished = true;
}

static void pump(void *self, pn_reply *r) {
  answer *w = self;
  size_t before = r->body.n;
  if (w->stream && !w->begun) stream_begin(w, &r->body);
  pn_event ev;
  while (!w->ended && pn_gen_next(w->gen, &ev)) {
    switch (ev.kind) {
    case PN_EVENT_QUEUED:
    case PN_EVENT_PREFILL: break;
    case PN_EVENT_TEXT:
      pn_buf_add(&w->text, ev.text, ev.n_text);
      w->n_output = ev.n_output;
      break;
    case PN_EVENT_DONE:
    case PN_EVENT_FAILED: end(w, r, &ev); break;
    }
  }
  if (!w->stream || w->ended) return;
  stream_text(w, &r->body);
  uint64_t now = w->now_us();
  if (r->body.n == before && now >= w->sent_us + ANSWER_PING_US) ping(&r->body);
  if (r->body.n != before) w->sent_us = now;
}

static uint64_t deadline_us(const void *self) {
  const answer *w = self;
  return w->stream && !w->ended ? w->sent_us + ANSWER_PING_US : UINT64_MAX;
}

static void release(void *self, bool client_gone) {
  answer *w = self;
  if (client_gone) pn_gen_cancel(w->gen);
  pn_gen_release(w->gen);
  answer_free(w);
}

pn_reply *answer_start(answer *w, pn_gen *gen) {
  static const api_source source = {pump, deadline_us, release};
  w->gen = gen;
  w->sent_us = w->now_us();
  return api_reply_from(&source, w, w->stream);
}
