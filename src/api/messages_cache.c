#include "api/messages_cache.h"

#include "api/messages_prompt.h"

// The block's own mark, which lies at its end.
static const pn_json *own_mark(const pn_json *block) {
  const pn_json *mark = pn_json_get(block, "cache_control");
  return pn_json_is(mark, PN_JSON_OBJECT) ? mark : NULL;
}

// The last mark of a list of blocks, at any depth: a tool's result and a document hold blocks too.
static const pn_json *last_mark(const pn_json *blocks) {
  if (!pn_json_is(blocks, PN_JSON_ARRAY)) return NULL;
  for (size_t i = pn_json_len(blocks); i-- > 0;) {
    const pn_json *block = pn_json_at(blocks, i), *mark = own_mark(block);
    if (!mark) mark = last_mark(pn_json_get(block, "content"));
    if (!mark) mark = last_mark(pn_json_get(pn_json_get(block, "source"), "content"));
    if (mark) return mark;
  }
  return NULL;
}

// The last mark of the request in the order of a prompt: tools, system, messages. *part is what lies before
// its end.
static const pn_json *find_mark(const pn_json *body, turn_part *part) {
  const pn_json *messages = pn_json_get(body, "messages"), *mark = own_mark(body);
  *part = (turn_part){.system = true, .n_messages = pn_json_len(messages)};
  for (; part->n_messages > 0; part->n_messages--) {
    if (!mark) mark = last_mark(pn_json_get(pn_json_at(messages, part->n_messages - 1), "content"));
    if (mark) return mark;
  }
  mark = last_mark(pn_json_get(body, "system"));
  if (mark) return mark;
  part->system = false;
  return last_mark(pn_json_get(body, "tools"));
}

static size_t common_prefix(const pn_ids *a, const pn_ids *b) {
  size_t n = 0;
  while (n < a->n && n < b->n && a->p[n] == b->p[n]) n++;
  return n;
}

void messages_cache_marks(const pn_api *a, const messages_request *q, const pn_ids *whole, cache_marks *out) {
  *out = (cache_marks){.n_prompt = whole->n};
  turn_part part;
  const pn_json *mark = find_mark(q->json, &part);
  if (!mark) return;
  out->hour = pn_str_is(pn_json_str(pn_json_get(mark, "ttl")), "1h");
  if (part.n_messages == pn_json_len(pn_json_get(q->json, "messages"))) {
    out->n_marked = whole->n;
    return;
  }
  pn_ids ids = {0};
  if (messages_prompt_part(a, q, &part, &ids, NULL)) out->n_marked = common_prefix(whole, &ids);
  pn_ids_fini(&ids);
}

void messages_cache_usage(pn_buf *b, const cache_marks *m, int n_cached, int n_output) {
  size_t read = n_cached > 0 ? (size_t)n_cached : 0;
  if (read > m->n_prompt) read = m->n_prompt;
  size_t created = m->n_marked > read ? m->n_marked - read : 0;
  pn_buf_printf(b,
                "\"usage\":{\"input_tokens\":%zu,\"cache_creation_input_tokens\":%zu,"
                "\"cache_read_input_tokens\":%zu,\"cache_creation\":{\"ephemeral_5m_input_tokens\":%zu,"
                "\"ephemeral_1h_input_tokens\":%zu},\"output_tokens\":%d,\"service_tier\":\"standard\"}",
                m->n_prompt - read - created, created, read, m->hour ? 0 : created, m->hour ? created : 0,
                n_output);
}
