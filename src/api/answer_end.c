#include "api/answer_end.h"

#include "api/kept.h"
#include "api/kept_calls.h"
#include "api/thinking.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct watch {
  pn_api *a;
  prompt p; // without its tokens
  char *request_id;
  pn_json *tools, *schema; // to be checked against; NULL: all was held
} watch;

static void watch_free(watch *w) {
  free(w->request_id);
  pn_json_free(w->tools);
  pn_json_free(w->schema);
  free(w);
}

// --- what comes back ---------------------------------------------------------------------------------------

static pn_json *text_block(const char *type, const char *key, const pn_buf *text) {
  pn_json *b = pn_json_new_object();
  bool ok = pn_json_set(b, "type", pn_json_new_str(pn_str_of(type)));
  ok = pn_json_set(b, key, pn_json_new_str(pn_buf_view(text))) && ok;
  if (ok) return b;
  pn_json_free(b);
  return NULL;
}

static pn_json *call_block(const answer_block *block) {
  pn_json *b = pn_json_new_object();
  bool ok = pn_json_set(b, "type", pn_json_new_str(PN_STR("tool_use")));
  ok = pn_json_set(b, "id", pn_json_new_str(pn_str_of(block->id))) && ok;
  ok = pn_json_set(b, "name", pn_json_new_str(pn_buf_view(&block->name))) && ok;
  ok = pn_json_set(b, "input", pn_json_parse(pn_buf_view(&block->text), NULL)) && ok;
  if (ok) return b;
  pn_json_free(b);
  return NULL;
}

// The answer as a client will send it back.
static pn_json *content_of(const watch *w, const answer_blocks *blocks) {
  pn_json *content = pn_json_new_array();
  bool ok = content != NULL;
  for (size_t i = 0; ok && i < blocks->n; i++) {
    const answer_block *b = &blocks->p[i];
    switch (b->kind) {
    case BLOCK_TEXT: ok = pn_json_push(content, text_block("text", "text", &b->text)); break;
    case BLOCK_CALL: ok = pn_json_push(content, call_block(b)); break;
    case BLOCK_THINKING: {
      pn_json *t = text_block("thinking", "thinking", &b->text);
      char signature[THINKING_SIGNATURE_BYTES];
      thinking_sign(w->a, pn_buf_view(&b->text), signature);
      ok = pn_json_set(t, "signature", pn_json_new_str(pn_str_of(signature)));
      ok = pn_json_push(content, t) && ok;
      break;
    }
    }
  }
  if (ok) return content;
  pn_json_free(content);
  return NULL;
}

static void keep(const watch *w, const live *l, const int32_t *tokens, size_t n_tokens) {
  const pn_api *a = w->a;
  bool plain = l->blocks.n == 0 || (l->blocks.n == 1 && l->blocks.p[0].kind == BLOCK_TEXT);
  if (l->last.stop == PN_STOP_STRING) return; // what the tokens spell is more than what was said
  if (plain) {
    kept_add(a->kept, a->o.tokenizer, &w->p.end, pn_buf_view(&l->text), tokens, n_tokens);
    return;
  }
  for (size_t i = 0; i < l->blocks.n; i++) {
    const answer_block *b = &l->blocks.p[i];
    if (b->kind == BLOCK_CALL)
      kept_calls_add(a->kept_calls, pn_str_of(b->id), pn_buf_view(&b->name), pn_buf_view(&b->text));
  }
  // What was cut off within a call comes back closed: that is not what the tokens say.
  if (l->last.stop != PN_STOP_END_TURN) return;
  pn_json *content = content_of(w, &l->blocks);
  pn_buf echo = {0};
  if (content && messages_echo(a, &w->p, content, &echo))
    kept_add_echo(a->kept, a->o.tokenizer, &w->p.end, pn_buf_view(&echo), tokens, n_tokens);
  pn_buf_fini(&echo);
  pn_json_free(content);
}

// --- what could not be held --------------------------------------------------------------------------------

static const pn_json *schema_of(const pn_json *tools, pn_str name) {
  for (size_t i = 0; i < pn_json_len(tools); i++) {
    const pn_json *f = pn_json_get(pn_json_at(tools, i), "function");
    if (pn_str_eq(pn_json_str(pn_json_get(f, "name")), name)) return pn_json_get(f, "parameters");
  }
  return NULL;
}

static void check(const watch *w, const pn_json *schema, pn_str text, const char *where) {
  pn_error e = {0};
  pn_json *v = pn_json_parse(text, &e);
  bool ok = v && (!schema || pn_schema_valid(schema, v, &e));
  pn_json_free(v);
  if (!ok)
    pn_log(PN_LOG_WARN, w->request_id, "an answer is not valid by its schema",
           PN_FIELDS(PN_S("where", where), PN_S("error", e.msg)));
}

static void check_blocks(const watch *w, const answer_blocks *blocks) {
  for (size_t i = 0; i < blocks->n; i++) {
    const answer_block *b = &blocks->p[i];
    char name[130];
    snprintf(name, sizeof name, "%.*s", (int)b->name.n, b->name.p ? b->name.p : "");
    if (b->kind == BLOCK_CALL && w->tools)
      check(w, schema_of(w->tools, pn_buf_view(&b->name)), pn_buf_view(&b->text), name);
    if (b->kind == BLOCK_TEXT && w->schema) check(w, w->schema, pn_buf_view(&b->text), "schema");
  }
}

static void ended(void *ctx, const live *l, const int32_t *tokens, size_t n_tokens) {
  watch *w = ctx;
  if (l) {
    keep(w, l, tokens, n_tokens);
    if (l->last.stop == PN_STOP_END_TURN) check_blocks(w, &l->blocks);
  }
  watch_free(w);
}

bool answer_end_watch(pn_api *a, const char *request_id, const prompt *p, const answer_plan *plan,
                      live_ask *ask) {
  watch *w = calloc(1, sizeof *w);
  if (!w) return false;
  w->a = a;
  w->p = *p;
  w->p.ids = (pn_ids){0};
  w->request_id = pn_str_dup(pn_str_of(request_id));
  if (plan->has_gaps) {
    w->tools = pn_json_share(plan->tools);
    if (plan->schema) w->schema = pn_json_share(plan->schema);
  }
  ask->ended = ended;
  ask->ended_ctx = w;
  return true;
}
