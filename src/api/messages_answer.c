// An answer in the words of /v1/messages: one JSON object, or server-sent events.
#include "api/messages_answer.h"

#include "api/envelope.h"
#include "base/json.h"

// "stop_reason":...,"stop_sequence":...
static void write_stop(const answer *w, pn_buf *b, bool ended) {
  const pn_event *last = &w->live->last;
  if (!ended) {
    pn_buf_z(b, "\"stop_reason\":null,\"stop_sequence\":null");
    return;
  }
  pn_buf_printf(b, "\"stop_reason\":\"%s\",\"stop_sequence\":", answer_stop_reason(last->stop));
  size_t i = (size_t)last->stop_index;
  if (last->stop == PN_STOP_STRING && last->stop_index >= 0 && i < w->n_stops)
    pn_json_write_str(b, w->stops[i]);
  else
    pn_buf_z(b, "null");
}

// What the answer's `context_management` says: the edits that were applied to the prompt.
static void write_edits(const answer *w, pn_buf *b) {
  const messages_edits *edits = w->extra;
  if (!edits || !edits->asked) return;
  pn_buf_z(b, ",\"context_management\":{\"applied_edits\":[");
  if (edits->n_cleared)
    pn_buf_printf(b,
                  "{\"type\":\"clear_tool_uses_20250919\",\"cleared_tool_uses\":%zu,"
                  "\"cleared_input_tokens\":%zu}",
                  edits->n_cleared, edits->n_tokens);
  pn_buf_z(b, "]}");
}

// The message object; the beginning of a stream has no content yet.
static void write_message(const answer *w, pn_buf *b, bool ended) {
  pn_str text = pn_buf_view(&w->live->text);
  pn_buf_printf(b, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", w->live->id);
  pn_json_write_str(b, w->model);
  pn_buf_z(b, ",\"content\":[");
  if (ended && text.n) {
    pn_buf_z(b, "{\"type\":\"text\",\"text\":");
    pn_json_write_str(b, text);
    pn_buf_char(b, '}');
  }
  pn_buf_z(b, "],");
  write_stop(w, b, ended);
  pn_buf_char(b, ',');
  messages_cache_usage(b, &w->marks, w->live->n_cached, ended ? w->live->n_output : 0);
  if (ended) write_edits(w, b);
  pn_buf_char(b, '}');
}

// Frames are written for every token, so they are constants put together, without formatting.
static void add(pn_buf *b, pn_str s) { pn_buf_add(b, s.p, s.n); }
#define ADD(b, literal) add((b), PN_STR(literal))
#define FRAME(type) "event: " type "\ndata: {\"type\":\"" type "\""

static void ping(answer *w, pn_buf *b) {
  (void)w;
  ADD(b, FRAME("ping") "}\n\n");
}

static void begin(answer *w, pn_buf *b) {
  ADD(b, FRAME("message_start") ",\"message\":");
  write_message(w, b, false);
  ADD(b, "}\n\n");
}

// The block begins with its first text, so that an answer without text has no block.
static void text(answer *w, pn_buf *b) {
  pn_str news = answer_news(w);
  if (news.n == 0) return;
  if (!w->block_open) {
    ADD(b,
        FRAME("content_block_start") ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
    ping(w, b);
    w->block_open = true;
  }
  ADD(b, FRAME("content_block_delta") ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":");
  pn_json_write_str(b, news);
  ADD(b, "}}\n\n");
  w->text_at += news.n;
}

static void close_block(answer *w, pn_buf *b) {
  ADD(b, FRAME("content_block_stop") ",\"index\":0}\n\n");
  w->block_open = false;
}

static void end(answer *w, pn_buf *b) {
  if (w->block_open) close_block(w, b);
  ADD(b, FRAME("message_delta") ",\"delta\":{");
  write_stop(w, b, true);
  ADD(b, "},");
  messages_cache_usage(b, &w->marks, w->live->n_cached, w->live->n_output);
  write_edits(w, b);
  ADD(b, "}\n\n" FRAME("message_stop") "}\n\n");
}

static void whole(answer *w, pn_buf *b) { write_message(w, b, true); }

static void fail(answer *w, pn_buf *b, int status, const char *message) {
  if (w->block_open) close_block(w, b);
  if (w->stream) ADD(b, "event: error\ndata: ");
  envelope_write(b, status, message, NULL, w->request_id);
  if (w->stream) ADD(b, "\n\n");
}

const answer_writer messages_answer = {begin, text, ping, end, whole, fail};
