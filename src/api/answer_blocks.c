#include "api/answer_blocks.h"

#include "base/rng.h"
#include "grammar/grammar.h"

#include <stdlib.h>
#include <string.h>

void answer_make_id(char *out, const char *prefix) {
  static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  size_t n = strlen(prefix);
  memcpy(out, prefix, n);
  uint64_t v = 0;
  for (int i = 0; i < 22; i++, v /= 62) {
    if (i % 10 == 0) v = pn_rng_entropy();
    out[n++] = digits[v % 62];
  }
  out[n] = '\0';
}

static answer_block *add(answer_blocks *b, block_kind kind) {
  if (b->n == b->cap) {
    size_t cap = b->cap ? b->cap * 2 : 4;
    answer_block *p = realloc(b->p, cap * sizeof *p);
    if (!p) {
      b->oom = true;
      return NULL;
    }
    b->p = p;
    b->cap = cap;
  }
  if (b->n) b->p[b->n - 1].ended = true;
  b->p[b->n] = (answer_block){.kind = kind};
  return &b->p[b->n++];
}

static answer_block *current(answer_blocks *b, block_kind kind) {
  answer_block *last = b->n ? &b->p[b->n - 1] : NULL;
  return last && last->kind == kind && !last->ended ? last : add(b, kind);
}

static void append(answer_blocks *b, block_kind kind, pn_str text) {
  answer_block *block = text.n ? current(b, kind) : NULL;
  if (!block) return;
  pn_buf_str(&block->text, text);
  b->oom |= block->text.oom;
}

static void take_text(void *ctx, pn_str text) { append(ctx, BLOCK_TEXT, text); }
static void take_thinking(void *ctx, pn_str text) { append(ctx, BLOCK_THINKING, text); }

static void take_call(void *ctx, pn_str name) {
  answer_block *block = add(ctx, BLOCK_CALL);
  if (!block) return;
  answer_make_id(block->id, "toolu_01");
  pn_buf_str(&block->name, name);
}

static void take_arguments(void *ctx, pn_str json) { append(ctx, BLOCK_CALL, json); }

static void end_call(void *ctx, bool whole) {
  answer_blocks *b = ctx;
  (void)whole; // why the answer ended says it too
  if (b->n) b->p[b->n - 1].ended = true;
}

static const pn_json *schema_of(const answer_blocks *b, pn_str name) {
  for (const pn_json_member *it = pn_json_first(b->tools); it; it = pn_json_next(b->tools, it))
    if (pn_str_eq(pn_json_key(it), name)) return pn_json_value(it);
  return NULL;
}

static bool is_tool(void *ctx, pn_str name) { return schema_of(ctx, name) != NULL; }

static unsigned kinds(void *ctx, pn_str tool, pn_str key) {
  return pn_schema_kinds(schema_of(ctx, tool), key);
}

bool answer_blocks_init(answer_blocks *b, const answer_reading *how) {
  *b = (answer_blocks){0};
  if (!how->tongue) return true;
  if (how->tools) b->tools = pn_json_share(how->tools);
  const pn_dialect_reading reading = {how->tongue, how->thinks, b->tools ? is_tool : NULL, kinds, b};
  const pn_dialect_sink sink = {b, take_text, take_thinking, take_call, take_arguments, end_call};
  b->reader = pn_dialect_reader_new(&reading, &sink);
  return b->reader != NULL;
}

void answer_blocks_fini(answer_blocks *b) {
  for (size_t i = 0; i < b->n; i++) {
    pn_buf_fini(&b->p[i].text);
    pn_buf_fini(&b->p[i].name);
  }
  free(b->p);
  pn_dialect_reader_free(b->reader);
  pn_json_free(b->tools);
  *b = (answer_blocks){0};
}

void answer_blocks_read(answer_blocks *b, pn_str raw) {
  if (b->reader)
    b->oom |= !pn_dialect_read(b->reader, raw);
  else
    take_text(b, raw);
}

void answer_blocks_end(answer_blocks *b) {
  if (b->reader) b->oom |= !pn_dialect_read_end(b->reader);
  if (b->n) b->p[b->n - 1].ended = true;
}

size_t answer_blocks_calls(const answer_blocks *b) {
  size_t n = 0;
  for (size_t i = 0; i < b->n; i++) n += b->p[i].kind == BLOCK_CALL;
  return n;
}
