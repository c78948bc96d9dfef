// An answer in the words of /v1/messages: one JSON object, or server-sent events.
#include "api/messages_answer.h"

#include "api/envelope.h"
#include "api/thinking.h"
#include "base/json.h"

static const messages_wish *wish_of(const answer *w) { return w->extra; }

// "stop_reason":...,"stop_sequence":...
static void write_stop(const answer *w, pn_buf *b, bool ended) {
  const pn_event *last = &w->live->last;
  if (!ended) {
    pn_buf_z(b, "\"stop_reason\":null,\"stop_sequence\":null");
    return;
  }
  pn_buf_printf(b, "\"stop_reason\":\"%s\",\"stop_sequence\":", answer_stop_reason(w->live));
  size_t i = (size_t)last->stop_index;
  if (last->stop == PN_STOP_STRING && last->stop_index >= 0 && i < w->n_stops)
    pn_json_write_str(b, w->stops[i]);
  else
    pn_buf_z(b, "null");
}

// What the answer's `context_management` says: the edits that were applied to the prompt.
static void write_edits(const answer *w, pn_buf *b) {
  const messages_wish *wish = wish_of(w);
  if (!wish || !wish->edits) return;
  pn_buf_z(b, ",\"context_management\":{\"applied_edits\":[");
  if (wish->n_cleared)
    pn_buf_printf(b,
                  "{\"type\":\"clear_tool_uses_20250919\",\"cleared_tool_uses\":%zu,"
                  "\"cleared_input_tokens\":%zu}",
                  wish->n_cleared, wish->n_tokens);
  pn_buf_z(b, "]}");
}

static void write_signature(const answer *w, pn_buf *b, const answer_block *block) {
  char signature[THINKING_SIGNATURE_BYTES];
  thinking_sign(wish_of(w)->api, pn_buf_view(&block->text), signature);
  pn_buf_z(b, signature);
}

// A whole block.
static void write_block(const answer *w, pn_buf *b, const answer_block *block) {
  pn_str text = pn_buf_view(&block->text);
  switch (block->kind) {
  case BLOCK_TEXT:
    pn_buf_z(b, "{\"type\":\"text\",\"text\":");
    pn_json_write_str(b, text);
    pn_buf_char(b, '}');
    break;
  case BLOCK_THINKING:
    pn_buf_z(b, "{\"type\":\"thinking\",\"thinking\":");
    pn_json_write_str(b, wish_of(w)->omits_thinking ? (pn_str){0} : text);
    pn_buf_z(b, ",\"signature\":\"");
    write_signature(w, b, block);
    pn_buf_z(b, "\"}");
    break;
  case BLOCK_CALL:
    pn_buf_printf(b, "{\"type\":\"tool_use\",\"id\":\"%s\",\"name\":", block->id);
    pn_json_write_str(b, pn_buf_view(&block->name));
    pn_buf_z(b, ",\"input\":");
    pn_buf_str(b, text);
    pn_buf_char(b, '}');
    break;
  }
}

// The message object; the beginning of a stream has no content yet.
static void write_message(const answer *w, pn_buf *b, bool ended) {
  const answer_blocks *blocks = &w->live->blocks;
  pn_buf_printf(b, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":", w->live->id);
  pn_json_write_str(b, w->model);
  pn_buf_z(b, ",\"content\":[");
  for (size_t i = 0; ended && i < blocks->n; i++) {
    if (i) pn_buf_char(b, ',');
    write_block(w, b, &blocks->p[i]);
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

#define INDEX ",\"index\":"

static void add_index(const answer *w, pn_buf *b) {
  if (w->at == 0)
    ADD(b, INDEX "0");
  else
    pn_buf_printf(b, INDEX "%zu", w->at);
}

static void open_block(answer *w, pn_buf *b, const answer_block *block) {
  ADD(b, FRAME("content_block_start"));
  add_index(w, b);
  switch (block->kind) {
  case BLOCK_TEXT: ADD(b, ",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"); break;
  case BLOCK_THINKING:
    ADD(b, ",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n");
    break;
  case BLOCK_CALL:
    pn_buf_printf(b, ",\"content_block\":{\"type\":\"tool_use\",\"id\":\"%s\",\"name\":", block->id);
    pn_json_write_str(b, pn_buf_view(&block->name));
    ADD(b, ",\"input\":{}}}\n\n");
    break;
  }
  if (w->at == 0) ping(w, b);
  w->block_open = true;
}

static void add_delta(answer *w, pn_buf *b, const answer_block *block) {
  pn_str news = answer_news(w);
  if (news.n == 0 || (block->kind == BLOCK_THINKING && wish_of(w)->omits_thinking)) return;
  ADD(b, FRAME("content_block_delta"));
  add_index(w, b);
  switch (block->kind) {
  case BLOCK_TEXT: ADD(b, ",\"delta\":{\"type\":\"text_delta\",\"text\":"); break;
  case BLOCK_THINKING: ADD(b, ",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":"); break;
  case BLOCK_CALL: ADD(b, ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":"); break;
  }
  pn_json_write_str(b, news);
  ADD(b, "}}\n\n");
  w->text_at += news.n;
}

static void close_block(answer *w, pn_buf *b) {
  const answer_block *block = &w->live->blocks.p[w->at];
  if (block->kind == BLOCK_THINKING) {
    ADD(b, FRAME("content_block_delta"));
    add_index(w, b);
    ADD(b, ",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"");
    write_signature(w, b, block);
    ADD(b, "\"}}\n\n");
  }
  ADD(b, FRAME("content_block_stop"));
  add_index(w, b);
  ADD(b, "}\n\n");
  w->block_open = false;
  w->at++;
  w->text_at = 0;
}

// Blocks begin with the first that is said of them, so an answer without text has no block.
static void news(answer *w, pn_buf *b) {
  while (w->at < w->live->blocks.n) {
    const answer_block *block = &w->live->blocks.p[w->at];
    if (!w->block_open) open_block(w, b, block);
    add_delta(w, b, block);
    if (!block->ended) return;
    close_block(w, b);
  }
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

const answer_writer messages_answer = {begin, news, ping, end, whole, fail};
