// What is really answered has the shape that the document of the API tells.
#include "api/answer_shapes.h"
#include "api/envelope.h"
#include "api/route_table.h"
#include "base/json.h"
#include "play.h"

#include <stdlib.h>
#include <string.h>

#define CHAT(more) "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]" more "}"
#define RAW(more) "{\"model\":\"m\",\"prompt\":\"Hi\"" more "}"

// No table names a member that is missing from the object, and here the object has none that no table names.
static void check_members(const shape *s, const pn_json *v);

static void check_fields(const shape_field *fields, const pn_json *v, bool tagged) {
  for (const pn_json_member *m = pn_json_first(v); m; m = pn_json_next(v, m)) {
    if (tagged && pn_str_is(pn_json_key(m), "type")) continue;
    const shape_field *f = fields;
    while (f && f->name && !pn_str_is(pn_json_key(m), f->name)) f++;
    if (!f || !f->name) fail_msg("undocumented: %.*s", (int)pn_json_key(m).n, pn_json_key(m).p);
    check_members(f->shape, pn_json_value(m));
  }
}

static void check_members(const shape *s, const pn_json *v) {
  for (size_t i = 0; s->items && pn_json_is(v, PN_JSON_ARRAY) && i < pn_json_len(v); i++)
    check_members(s->items, pn_json_at(v, i));
  if (!pn_json_is(v, PN_JSON_OBJECT)) return;
  for (const shape_variant *k = s->variants; k && k->type; k++)
    if (pn_str_is(pn_json_str(pn_json_get(v, "type")), k->type)) check_fields(k->fields, v, true);
  if (!s->variants && s->fields) check_fields(s->fields, v, false);
}

static void conforms(const shape *s, pn_str text) {
  pn_error e = {0};
  pn_json *v = pn_json_parse(text, &e);
  if (!v || !shape_check(s, v, NULL, &e)) fail_msg("%s in %.*s", e.msg, (int)text.n, text.p);
  check_members(s, v);
  pn_json_free(v);
}

static void answer_conforms(play *p, const char *method, const char *path, const char *body, int status,
                            const shape *s) {
  pn_reply *r = play_call(p, method, path, body);
  assert_int_equal(pn_reply_status(r), status);
  char *text = play_body(r);
  conforms(s, pn_str_of(text));
  free(text);
  pn_reply_free(r, false);
}

static void reads(void **state) {
  (void)state;
  play p;
  play_init(&p);
  int n = 0;
  for (int i = 0; i < api_n_routes; i++) {
    const api_route *r = &api_routes[i];
    if (strcmp(r->method, "GET") != 0 || strchr(r->path, '*') || r->type) continue;
    if (strstr(r->path, "batches")) continue; // here is no data folder
    answer_conforms(&p, "GET", r->path, "", 200, r->answer);
    n++;
  }
  assert_true(n >= 5);
  answer_conforms(&p, "GET", "/v1/models/org%2Ftiny", "", 200, &answer_model);
  answer_conforms(&p, "POST", "/v1/messages/count_tokens", CHAT(""), 200, &answer_count);
  answer_conforms(&p, "POST", "/v1/messages/count_tokens", CHAT(",\"context_management\":{\"edits\":[]}"),
                  200, &answer_count);
  answer_conforms(&p, "POST", "/tokenize", "{\"content\":\"Hi\"}", 200, &answer_tokens);
  answer_conforms(&p, "POST", "/detokenize", "{\"tokens\":[72,105]}", 200, &answer_text);
  p.engine.failed = true;
  answer_conforms(&p, "GET", "/health", "", 503, &answer_health);
  play_fini(&p);
}

static void errors(void **state) {
  (void)state;
  static const int statuses[] = {400, 401, 402, 403, 404, 405, 408, 413, 418,
                                 429, 431, 499, 500, 502, 503, 504, 529};
  for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
    pn_buf b = {0};
    envelope_write(&b, statuses[i], "a \"b\"", i % 2 ? "{\"x\":1}" : NULL, i % 3 ? "req_1" : NULL);
    conforms(&answer_error, pn_buf_view(&b));
    pn_buf_clear(&b);
    envelope_write_openai(&b, statuses[i], i % 2 ? "messages.0: no" : "No");
    conforms(&answer_openai_error, pn_buf_view(&b));
    pn_buf_fini(&b);
  }
  play p;
  play_init(&p);
  answer_conforms(&p, "POST", "/v1/messages", CHAT(",\"max_tokens\":5,\"thread\":{}"), 400, &answer_error);
  answer_conforms(&p, "PATCH", "/v1/messages", "", 405, &answer_error);
  answer_conforms(&p, "GET", "/v1/embeddings", "", 405, &answer_openai_error);
  answer_conforms(&p, "POST", "/v1/embeddings", RAW(",\"input\":\"x\""), 400, &answer_openai_error);
  answer_conforms(&p, "GET", "/nowhere", "", 404, &answer_error);
  play_fini(&p);
}

// The data of each event.
static void events_conform(const shape *s, pn_buf *frames) {
  pn_str all = pn_buf_view(frames);
  size_t at = 0, n = 0;
  while ((at = pn_str_find(all, PN_STR("data: "), at)) != SIZE_MAX) {
    size_t end = pn_str_find(all, PN_STR("\n"), at);
    pn_str data = {all.p + at + 6, end - at - 6};
    if (!pn_str_is(data, "[DONE]")) conforms(s, data);
    at = end;
    n++;
  }
  assert_true(n > 2);
}

static void generations(void **state) {
  (void)state;
  static const struct {
    const char *path, *body;
    const shape *whole, *event;
  } cases[] = {
      {"/v1/messages", CHAT(",\"max_tokens\":5%s"), &answer_message, &answer_event},
      {"/v1/messages",
       CHAT(",\"max_tokens\":5,\"stop_sequences\":[\"x\"],\"context_management\":{\"edits\":[]}%s"),
       &answer_message, &answer_event},
      {"/v1/chat/completions", CHAT("%s"), &answer_chat, &answer_chat_chunk},
      {"/v1/chat/completions",
       CHAT(",\"logprobs\":true,\"top_logprobs\":2,\"stream_options\":{\"include_usage\":true}%s"),
       &answer_chat, &answer_chat_chunk},
      {"/v1/completions", RAW("%s"), &answer_completion, &answer_completion},
      {"/v1/completions", RAW(",\"logprobs\":2,\"stream_options\":{\"include_usage\":true}%s"),
       &answer_completion, &answer_completion},
  };
  static const pn_stop_reason stops[] = {PN_STOP_END_TURN, PN_STOP_MAX_TOKENS, PN_STOP_STRING,
                                         PN_STOP_CONTEXT};
  for (size_t i = 0; i < sizeof cases / sizeof *cases * 8; i++) {
    bool stream = i & 1;
    size_t which = i / 8;
    play p;
    play_init(&p);
    pn_buf body = {0}, out = {0};
    const char *at = strstr(cases[which].body, "%s");
    pn_buf_add(&body, cases[which].body, (size_t)(at - cases[which].body));
    pn_buf_printf(&body, "%s%s", stream ? ",\"stream\":true" : "", at + 2);
    pn_reply *r = play_call(&p, "POST", cases[which].path, pn_buf_cstr(&body));
    assert_int_equal(p.engine.n_submitted, 1);
    fake_emit_news(&p.engine, PN_EVENT_PREFILL, 1);
    if (stream) assert_false(play_pull(r, &out));
    fake_emit_text(&p.engine, "Hello ");
    if (stream) assert_false(play_pull(r, &out));
    fake_emit_done(&p.engine, stops[i / 2 % 4], 0, 2);
    assert_true(play_pull(r, &out));
    if (stream)
      events_conform(cases[which].event, &out);
    else
      conforms(cases[which].whole, pn_buf_view(&out));
    pn_reply_free(r, false);
    pn_buf_fini(&body);
    pn_buf_fini(&out);
    play_fini(&p);
  }
}

static void failed_streams(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_buf out = {0};
  pn_reply *r = play_call(&p, "POST", "/v1/messages", CHAT(",\"max_tokens\":5,\"stream\":true"));
  fake_emit_text(&p.engine, "Hello ");
  fake_emit_failed(&p.engine, PN_ERR_INTERNAL, "broken");
  assert_true(play_pull(r, &out));
  events_conform(&answer_event, &out);
  pn_reply_free(r, false);
  pn_buf_fini(&out);
  play_fini(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads),
      cmocka_unit_test(errors),
      cmocka_unit_test(generations),
      cmocka_unit_test(failed_streams),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
