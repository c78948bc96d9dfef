#include "hear_call.h"

#include "grammar/grammar.h"

typedef struct heard {
  const pn_json *schema;
  pn_buf *json;
  int n_calls;
  bool text, whole;
} heard;

static void on_text(void *ctx, pn_str text) { (void)text, ((heard *)ctx)->text = true; }
static void on_call(void *ctx, pn_str name) { ((heard *)ctx)->n_calls += pn_str_is(name, "f"); }
static void on_arguments(void *ctx, pn_str json) { pn_buf_str(((heard *)ctx)->json, json); }
static void on_end(void *ctx, bool whole) { ((heard *)ctx)->whole = whole; }
static bool is_tool(void *ctx, pn_str name) { return (void)ctx, pn_str_is(name, "f"); }
static unsigned kinds(void *ctx, pn_str tool, pn_str key) {
  return (void)tool, pn_schema_kinds(((heard *)ctx)->schema, key);
}

bool hear_call(const pn_tongue *t, const pn_json *schema, pn_str raw, pn_buf *arguments) {
  heard h = {.schema = schema, .json = arguments};
  const pn_dialect_reading how = {.tongue = t, .is_tool = is_tool, .kinds = kinds, .ctx = &h};
  const pn_dialect_sink sink = {&h, on_text, on_text, on_call, on_arguments, on_end};
  pn_dialect_reader *r = pn_dialect_reader_new(&how, &sink);
  bool ok = r && pn_dialect_read(r, raw) && pn_dialect_read_end(r);
  pn_dialect_reader_free(r);
  return ok && h.n_calls == 1 && h.whole && !h.text;
}
