#include "play_dialect.h"

#include <stdlib.h>
#include <string.h>

enum { NOTHING, TEXT, THINKING, CALL };

void played_fini(played *p) {
  pn_buf_fini(&p->events);
  pn_buf_fini(&p->json);
  *p = (played){0};
}

void raw_of(const pn_tokenizer *k, pn_str text, pn_buf *raw) {
  for (size_t i = 0, n; i < text.n; i += n) {
    pn_str rest = {text.p + i, text.n - i};
    const char *const *c = k->controls;
    while (*c && !pn_str_starts(rest, pn_str_of(*c))) c++;
    n = *c ? strlen(*c) : 1;
    if (*c) pn_buf_char(raw, PN_RAW_BEGIN);
    pn_buf_add(raw, rest.p, n);
    if (*c) pn_buf_char(raw, PN_RAW_END);
  }
}

bool is_known(void *ctx, pn_str name) {
  (void)ctx;
  return pn_str_is(name, "f") || pn_str_is(name, "g") || pn_str_is(name, "get_weather");
}

unsigned kinds_by_name(void *ctx, pn_str tool, pn_str key) {
  (void)ctx, (void)tool;
  switch (key.n ? key.p[0] : '\0') {
  case 's': return PN_KIND_STRING;
  case 'j': return PN_KIND_ANY & ~(unsigned)PN_KIND_STRING;
  case 'n': return PN_KIND_STRING | PN_KIND_NULL;
  default: return PN_KIND_ANY;
  }
}

static void add(played *p, int kind, char begin, char end, pn_str text) {
  if (text.n == 0 || p->last == CALL) p->bad = true;
  if (p->last == kind)
    p->events.n--;
  else
    pn_buf_char(&p->events, begin);
  p->last = kind;
  pn_buf_str(&p->events, text);
  pn_buf_char(&p->events, end);
}

static void on_text(void *ctx, pn_str text) { add(ctx, TEXT, '\'', '\'', text); }
static void on_thinking(void *ctx, pn_str text) { add(ctx, THINKING, '(', ')', text); }

static void on_call(void *ctx, pn_str name) {
  played *p = ctx;
  if (p->last == CALL || !is_known(NULL, name)) p->bad = true;
  p->last = CALL;
  pn_buf_str(&p->events, name);
}

static void on_arguments(void *ctx, pn_str json) {
  played *p = ctx;
  if (p->last != CALL || json.n == 0) p->bad = true;
  pn_buf_str(&p->json, json);
}

static void on_call_end(void *ctx, bool whole) {
  played *p = ctx;
  pn_json *v = pn_json_parse(pn_buf_view(&p->json), NULL);
  if (p->last != CALL || !pn_json_is(v, PN_JSON_OBJECT)) p->bad = true;
  p->last = NOTHING;
  pn_json_free(v);
  pn_buf_str(&p->events, pn_buf_view(&p->json));
  pn_buf_char(&p->events, whole ? '!' : '?');
  pn_buf_clear(&p->json);
}

pn_dialect_sink play_sink(played *p) {
  return (pn_dialect_sink){p, on_text, on_thinking, on_call, on_arguments, on_call_end};
}

static bool play_pieces(const pn_tongue *t, bool thinks, pn_str raw, const size_t *ends, size_t n,
                        played *p) {
  pn_dialect_sink sink = play_sink(p);
  pn_dialect_reader *r = pn_dialect_reader_new(
      &(pn_dialect_reading){.tongue = t, .thinks = thinks, .is_tool = is_known, .kinds = kinds_by_name},
      &sink);
  bool ok = r != NULL;
  size_t at = 0;
  for (size_t i = 0; ok && at < raw.n; i++) {
    size_t end = ends && i < n ? ends[i] : ends ? raw.n : at + 1;
    ok = pn_dialect_read(r, (pn_str){raw.p + at, end - at});
    at = end;
  }
  ok = ok && pn_dialect_read_end(r);
  pn_dialect_reader_free(r);
  if (p->last == CALL) p->bad = true;
  return ok && !p->bad;
}

bool play_raw(const pn_tongue *t, bool thinks, pn_str raw, size_t a, size_t b, played *p) {
  return play_pieces(t, thinks, raw, (const size_t[]){a, b}, 2, p);
}

bool play_bytes(const pn_tongue *t, bool thinks, pn_str raw, played *p) {
  return play_pieces(t, thinks, raw, NULL, 0, p);
}
