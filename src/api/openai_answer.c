// Answers in OpenAI's words: chat.completion and text_completion, whole or in chunks.
#include "api/envelope.h"
#include "api/openai.h"
#include "base/json.h"

static const openai_wish *wish_of(const answer *w) { return w->extra; }

// --- log probabilities -------------------------------------------------------------------------------------

static void token_text(const answer *w, int32_t id, pn_buf *out) {
  pn_buf_clear(out);
  pn_tokenizer_decode(w->tokenizer, &id, 1, true, out);
}

static void write_bytes(pn_buf *b, pn_str text) {
  pn_buf_z(b, ",\"bytes\":[");
  for (size_t i = 0; i < text.n; i++) pn_buf_printf(b, i ? ",%d" : "%d", (unsigned char)text.p[i]);
  pn_buf_char(b, ']');
}

// JSON has no -Infinity.
static double finite(float logprob) { return logprob > -9999.0f ? (double)logprob : -9999.0; }

static void write_logprob(const answer *w, pn_buf *b, int32_t id, float logprob, pn_buf *text) {
  token_text(w, id, text);
  pn_buf_z(b, "{\"token\":");
  pn_json_write_str(b, pn_buf_view(text));
  pn_buf_printf(b, ",\"logprob\":%.7g", finite(logprob));
  write_bytes(b, pn_buf_view(text));
}

// The token that ended the turn is no part of the text.
static size_t n_shown(const answer *w) {
  const live *l = w->live;
  bool ends = l->n_tokens && pn_tokenizer_is_control(w->tokenizer, l->tokens[l->n_tokens - 1].id);
  return l->n_tokens - ends;
}

static void write_chat_logprobs(const answer *w, pn_buf *b, size_t from, size_t to) {
  pn_buf text = {0};
  pn_buf_z(b, "{\"content\":[");
  for (size_t i = from; i < to; i++) {
    const live_token *t = &w->live->tokens[i];
    if (i > from) pn_buf_char(b, ',');
    write_logprob(w, b, t->id, t->logprob, &text);
    pn_buf_z(b, ",\"top_logprobs\":[");
    for (int k = 0; k < t->n_top; k++) {
      const pn_logprob *top = &w->live->tops[t->top_at + (size_t)k];
      if (k) pn_buf_char(b, ',');
      write_logprob(w, b, top->id, top->logprob, &text);
      pn_buf_char(b, '}');
    }
    pn_buf_z(b, "]}");
  }
  pn_buf_z(b, "],\"refusal\":null}");
  b->oom |= text.oom;
  pn_buf_fini(&text);
}

static void write_text_logprobs(const answer *w, pn_buf *b, size_t from, size_t to) {
  const live *l = w->live;
  pn_buf text = {0};
  pn_buf_z(b, "{\"tokens\":[");
  for (size_t i = from; i < to; i++) {
    token_text(w, l->tokens[i].id, &text);
    if (i > from) pn_buf_char(b, ',');
    pn_json_write_str(b, pn_buf_view(&text));
  }
  pn_buf_z(b, "],\"token_logprobs\":[");
  for (size_t i = from; i < to; i++)
    pn_buf_printf(b, i > from ? ",%.7g" : "%.7g", finite(l->tokens[i].logprob));
  pn_buf_z(b, "],\"top_logprobs\":[");
  for (size_t i = from; i < to; i++) {
    pn_buf_z(b, i > from ? ",{" : "{");
    for (int k = 0; k < l->tokens[i].n_top; k++) {
      const pn_logprob *top = &l->tops[l->tokens[i].top_at + (size_t)k];
      token_text(w, top->id, &text);
      if (k) pn_buf_char(b, ',');
      pn_json_write_str(b, pn_buf_view(&text));
      pn_buf_printf(b, ":%.7g", finite(top->logprob));
    }
    pn_buf_char(b, '}');
  }
  pn_buf_z(b, "],\"text_offset\":[");
  for (size_t i = from; i < to; i++) pn_buf_printf(b, i > from ? ",%zu" : "%zu", l->tokens[i].text_at);
  pn_buf_z(b, "]}");
  b->oom |= text.oom;
  pn_buf_fini(&text);
}

static void write_logprobs(const answer *w, pn_buf *b, size_t from, size_t to) {
  pn_buf_z(b, ",\"logprobs\":");
  if (!wish_of(w)->logprobs)
    pn_buf_z(b, "null");
  else if (wish_of(w)->chat)
    write_chat_logprobs(w, b, from, to);
  else
    write_text_logprobs(w, b, from, to);
}

// --- objects -----------------------------------------------------------------------------------------------

static const char *finish_reason(const answer *w) {
  switch (w->live->last.stop) {
  case PN_STOP_MAX_TOKENS:
  case PN_STOP_CONTEXT: return "\"length\"";
  case PN_STOP_END_TURN: return answer_blocks_calls(&w->live->blocks) ? "\"tool_calls\"" : "\"stop\"";
  case PN_STOP_STRING: break;
  }
  return "\"stop\"";
}

static void write_head(const answer *w, pn_buf *b, bool chunk) {
  bool chat = wish_of(w)->chat;
  pn_buf_printf(
      b, "{\"id\":\"%s%s\",\"object\":\"%s\",\"created\":%lld,\"model\":", chat ? "chatcmpl-" : "cmpl-",
      w->live->id + 6, // without "msg_01"
      !chat   ? "text_completion"
      : chunk ? "chat.completion.chunk"
              : "chat.completion",
      (long long)wish_of(w)->created_s);
  pn_json_write_str(b, w->model);
  pn_buf_z(b, ",\"system_fingerprint\":\"pensieve\",\"choices\":[");
}

static void write_usage(const answer *w, pn_buf *b) {
  size_t n_prompt = w->marks.n_prompt, n_output = (size_t)w->live->n_output,
         n_cached = (size_t)w->live->n_cached;
  pn_buf_printf(b,
                ",\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"total_tokens\":%zu,"
                "\"prompt_tokens_details\":{\"cached_tokens\":%zu}}",
                n_prompt, n_output, n_prompt + n_output, n_cached < n_prompt ? n_cached : n_prompt);
}

// All blocks of a kind as one text; false: there are none.
static bool join(const answer *w, block_kind kind, pn_buf *out) {
  bool any = false;
  for (size_t i = 0; i < w->live->blocks.n; i++) {
    if (w->live->blocks.p[i].kind != kind) continue;
    any = true;
    pn_buf_str(out, pn_buf_view(&w->live->blocks.p[i].text));
  }
  return any;
}

static void write_call_head(pn_buf *b, const answer_block *block) {
  pn_buf_printf(b, "\"id\":\"call_%s\",\"type\":\"function\",\"function\":{\"name\":",
                block->id + 6); // without "toolu_"
  pn_json_write_str(b, pn_buf_view(&block->name));
  pn_buf_z(b, ",\"arguments\":");
}

static void write_calls(const answer *w, pn_buf *b) {
  size_t n = 0;
  for (size_t i = 0; i < w->live->blocks.n; i++) {
    const answer_block *block = &w->live->blocks.p[i];
    if (block->kind != BLOCK_CALL) continue;
    pn_buf_z(b, n++ ? ",{" : ",\"tool_calls\":[{");
    write_call_head(b, block);
    pn_json_write_str(b, pn_buf_view(&block->text));
    pn_buf_z(b, "}}");
  }
  if (n) pn_buf_char(b, ']');
}

static void write_message(const answer *w, pn_buf *b) {
  pn_buf text = {0}, thoughts = {0};
  bool said = join(w, BLOCK_TEXT, &text), thought = join(w, BLOCK_THINKING, &thoughts);
  pn_buf_z(b, "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
  if (said || answer_blocks_calls(&w->live->blocks) == 0)
    pn_json_write_str(b, pn_buf_view(&text));
  else
    pn_buf_z(b, "null");
  if (thought) {
    pn_buf_z(b, ",\"reasoning_content\":");
    pn_json_write_str(b, pn_buf_view(&thoughts));
  }
  write_calls(w, b);
  pn_buf_z(b, ",\"refusal\":null}");
  b->oom |= text.oom || thoughts.oom;
  pn_buf_fini(&text);
  pn_buf_fini(&thoughts);
}

static void whole(answer *w, pn_buf *b) {
  write_head(w, b, false);
  if (wish_of(w)->chat) {
    write_message(w, b);
  } else {
    pn_buf_z(b, "{\"index\":0,\"text\":");
    pn_json_write_str(b, pn_buf_view(&w->live->text));
  }
  write_logprobs(w, b, 0, n_shown(w));
  pn_buf_printf(b, ",\"finish_reason\":%s}]", finish_reason(w));
  write_usage(w, b);
  pn_buf_char(b, '}');
}

// One chunk: what is put between the braces of its delta (of a completion: its text), and the log
// probabilities from w->token_at on.
static void begin_chunk(answer *w, pn_buf *b) {
  pn_buf_z(b, "data: ");
  write_head(w, b, true);
  pn_buf_z(b, wish_of(w)->chat ? "{\"index\":0,\"delta\":{" : "{\"index\":0,\"text\":");
}

static void end_chunk(answer *w, pn_buf *b, bool last) {
  size_t to = n_shown(w);
  if (wish_of(w)->chat) pn_buf_char(b, '}');
  write_logprobs(w, b, w->token_at, to);
  w->token_at = to;
  pn_buf_printf(b, ",\"finish_reason\":%s}]", last ? finish_reason(w) : "null");
  if (wish_of(w)->include_usage) pn_buf_z(b, ",\"usage\":null");
  pn_buf_z(b, "}\n\n");
}

static void begin(answer *w, pn_buf *b) {
  if (!wish_of(w)->chat) return;
  begin_chunk(w, b);
  pn_buf_z(b, "\"role\":\"assistant\",\"content\":\"\"");
  end_chunk(w, b, false);
}

// Which of the calls block `at` is.
static size_t call_index(const answer *w) {
  size_t n = 0;
  for (size_t i = 0; i < w->at; i++) n += w->live->blocks.p[i].kind == BLOCK_CALL;
  return n;
}

static void write_news(answer *w, pn_buf *b, const answer_block *block, bool first) {
  pn_str news = answer_news(w);
  begin_chunk(w, b);
  if (block->kind == BLOCK_CALL) {
    pn_buf_printf(b, "\"tool_calls\":[{\"index\":%zu,", call_index(w));
    if (first)
      write_call_head(b, block);
    else
      pn_buf_z(b, "\"function\":{\"arguments\":");
    pn_json_write_str(b, news);
    pn_buf_z(b, "}}]");
  } else {
    if (wish_of(w)->chat)
      pn_buf_z(b, block->kind == BLOCK_THINKING ? "\"reasoning_content\":" : "\"content\":");
    pn_json_write_str(b, news);
  }
  end_chunk(w, b, false);
  w->text_at += news.n;
}

static void news(answer *w, pn_buf *b) {
  for (; w->at < w->live->blocks.n; w->at++, w->text_at = 0, w->block_open = false) {
    const answer_block *block = &w->live->blocks.p[w->at];
    bool first = !w->block_open && block->kind == BLOCK_CALL;
    if (first || answer_news(w).n) write_news(w, b, block, first);
    w->block_open = true;
    if (!block->ended) return;
  }
}

// A comment: OpenAI's streams know no ping.
static void ping(answer *w, pn_buf *b) {
  (void)w;
  pn_buf_z(b, ": ping\n\n");
}

static void end(answer *w, pn_buf *b) {
  begin_chunk(w, b);
  if (!wish_of(w)->chat) pn_buf_z(b, "\"\"");
  end_chunk(w, b, true);
  if (wish_of(w)->include_usage) {
    pn_buf_z(b, "data: ");
    write_head(w, b, true);
    pn_buf_char(b, ']');
    write_usage(w, b);
    pn_buf_z(b, "}\n\n");
  }
  pn_buf_z(b, "data: [DONE]\n\n");
}

static void fail(answer *w, pn_buf *b, int status, const char *message) {
  if (w->stream) pn_buf_z(b, "data: ");
  envelope_write_openai(b, status, message);
  if (w->stream) pn_buf_z(b, "\n\n");
}

const answer_writer openai_answer = {begin, news, ping, end, whole, fail};
