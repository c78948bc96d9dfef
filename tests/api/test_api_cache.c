// Usage figures: what was read from the cache, what `cache_control` marks ask to be kept, and that they add
// up.
#include "api/messages_cache.h"
#include "base/json.h"
#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARK "\"cache_control\":{\"type\":\"ephemeral\"}"
#define HOUR "\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}"
#define BODY(members) "{\"model\":\"m\",\"max_tokens\":9," members "}"
#define TOOL_TEXT                                                                                            \
  "You can use the tools that are listed here, one JSON object a line, with the JSON Schema of their "       \
  "arguments:\n<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"t\", \"parameters\": "           \
  "{\"type\": "                                                                                              \
  "\"object\"}}}\n</tools>\nTo use one, write its name and arguments like this:\n<tool_call>\n{\"name\": "   \
  "\"...\", \"arguments\": {...}}\n</tool_call>\nIts result follows in <tool_response> marks."
#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]"
#define BLOCK(role, text, more)                                                                              \
  "{\"role\":\"" role "\",\"content\":[{\"type\":\"text\",\"text\":\"" text "\"" more "}]}"

typedef struct usage {
  int64_t input, created, read, short_lived, hour;
} usage;

// Play a request whose prompt has n_cached tokens in the cache; its prompt's length and the renderings it
// took.
static usage ask(fake_kind kind, const char *body, int n_cached, size_t *n_prompt, int *n_encoded) {
  play p;
  play_init(&p);
  p.tmpl.kind = kind;
  pn_reply *r = play_call(&p, "POST", "/v1/messages", body);
  assert_int_equal(p.engine.n_submitted, 1);
  *n_prompt = (size_t)p.engine.n_tokens;
  *n_encoded = p.n_encoded;
  fake_emit_news(&p.engine, PN_EVENT_QUEUED, n_cached);
  fake_emit_done(&p.engine, PN_STOP_END_TURN, 0, 1);
  char *text = play_body(r);
  pn_json *v = pn_json_parse(pn_str_of(text), NULL);
  const pn_json *u = pn_json_get(v, "usage"), *c = pn_json_get(u, "cache_creation");
  usage out = {pn_json_int(pn_json_get(u, "input_tokens")),
               pn_json_int(pn_json_get(u, "cache_creation_input_tokens")),
               pn_json_int(pn_json_get(u, "cache_read_input_tokens")),
               pn_json_int(pn_json_get(c, "ephemeral_5m_input_tokens")),
               pn_json_int(pn_json_get(c, "ephemeral_1h_input_tokens"))};
  pn_json_free(v);
  free(text);
  pn_reply_free(r, false);
  play_fini(&p);
  assert_true(out.input >= 0 && out.created >= 0 && out.read >= 0);
  assert_int_equal(out.input + out.created + out.read, *n_prompt);
  assert_int_equal(out.short_lived + out.hour, out.created);
  return out;
}

static const struct {
  const char *body;
  fake_kind kind;
  const char *marked; // the prompt's text up to the last mark; NULL: none is marked; "": the whole prompt
  bool hour;
} cases[] = {
    {BODY(HI), FAKE_PLAIN, NULL, false},
    {BODY(MARK "," HI), FAKE_PLAIN, "", false},
    {BODY(HOUR "," HI), FAKE_PLAIN, "", true},
    {BODY("\"cache_control\":null," HI), FAKE_PLAIN, NULL, false},
    {BODY("\"messages\":[" BLOCK("user", "Hi", "," MARK) "]"), FAKE_PLAIN, "", false},
    {BODY("\"messages\":[" BLOCK("user", "a", "," MARK) "," BLOCK("assistant", "b", "") "," BLOCK("user", "c",
                                                                                                  "") "]"),
     FAKE_PLAIN, "[user]a[/]\n", false},
    {BODY("\"messages\":[" BLOCK("user", "a", "," HOUR) "," BLOCK("assistant", "b",
                                                                  "," MARK) "," BLOCK("user", "c", "") "]"),
     FAKE_PLAIN, "[user]a[/]\n[assistant]b[/]\n", false},
    // neighbours of one role are one turn: the mark ends within it
    {BODY("\"messages\":[" BLOCK("user", "a", "," MARK) "," BLOCK("user", "c", "") "]"), FAKE_PLAIN,
     "[user]a", false},
    // in a tool's result, and in a final assistant message that is continued
    {BODY("\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":"
          "\"n\","
          "\"input\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\","
          "\"content\":[{\"type\":\"text\",\"text\":\"r\"," HOUR "}]}]}," BLOCK("assistant", "b", "") "]"),
     FAKE_PLAIN,
     "[assistant]<tool_call>\n{\"name\": \"n\", \"arguments\": {}}\n</tool_call>[/]\n"
     "[user]<tool_response>\nr\n</tool_response>[/]\n",
     true},
    {BODY("\"messages\":[" BLOCK("user", "a", "") "," BLOCK("assistant", "b", "," MARK) "]"), FAKE_PLAIN, "",
     false},
    // the system prompt, also where the template takes it only as user's text
    {BODY("\"system\":[{\"type\":\"text\",\"text\":\"S\"," MARK "}]," HI), FAKE_PLAIN, "[system]S[/]\n",
     false},
    {BODY("\"system\":[{\"type\":\"text\",\"text\":\"S\"," MARK "}]," HI), FAKE_NO_SYSTEM, "[user]S", false},
    {BODY("\"system\":[{\"type\":\"text\",\"text\":\"S\"," HOUR "},{\"type\":\"text\",\"text\":\"T\"," MARK
          "}]," HI),
     FAKE_PLAIN, "[system]S\nT[/]\n", false},
    // tools lie before everything
    {BODY("\"tools\":[{\"name\":\"t\",\"input_schema\":{\"type\":\"object\"}," MARK "}]," HI), FAKE_PLAIN,
     "[system]" TOOL_TEXT "[/]\n", false},
    {BODY("\"tools\":[{\"name\":\"t\",\"input_schema\":{\"type\":\"object\"}," HOUR
          "}],\"system\":[{\"type\":\"text\",\"text\":\"S\"," MARK "}]," HI),
     FAKE_PLAIN, "[system]" TOOL_TEXT "\nS[/]\n", false},
    // what is no mark
    {BODY("\"messages\":[" BLOCK("user", "Hi", ",\"cache_control\":null") "]"), FAKE_PLAIN, NULL, false},
};

static void marks_and_reads_add_up(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t n = 0;
    int n_encoded = 0;
    ask(cases[i].kind, cases[i].body, 0, &n, &n_encoded);
    size_t marked = !cases[i].marked ? 0 : *cases[i].marked ? strlen(cases[i].marked) : n;
    if (marked == n) assert_int_equal(n_encoded, 1);
    if (marked && marked < n) assert_int_equal(n_encoded, 2);
    const int reads[] = {0,      1,          7, (int)marked - 1, (int)marked, (int)marked + 1, (int)n - 1,
                         (int)n, (int)n + 5, -2};
    for (size_t k = 0; k < sizeof reads / sizeof *reads; k++) {
      usage u = ask(cases[i].kind, cases[i].body, reads[k], &n, &n_encoded);
      size_t read = reads[k] < 0 ? 0 : (size_t)reads[k] > n ? n : (size_t)reads[k];
      size_t created = marked > read ? marked - read : 0;
      if ((size_t)u.read != read || (size_t)u.created != created ||
          (size_t)u.hour != (cases[i].hour ? created : 0))
        fail_msg("case %zu, read %d: input %d, created %d, read %d, hour %d", i, reads[k], (int)u.input,
                 (int)u.created, (int)u.read, (int)u.hour);
    }
  }
}

// The last event has the true figure: between QUEUED and the start other requests may have filled or emptied
// the cache.
static void the_end_knows_better(void **state) {
  (void)state;
  play p;
  play_init(&p);
  pn_reply *r = play_call(&p, "POST", "/v1/messages", BODY("\"stream\":true," HI));
  pn_buf b = {0};
  fake_emit_news(&p.engine, PN_EVENT_QUEUED, 20);
  play_pull(r, &b);
  assert_non_null(strstr(pn_buf_cstr(&b), "\"input_tokens\":3,"));
  pn_buf_clear(&b);
  fake_emit_news(&p.engine, PN_EVENT_PREFILL, 10);
  fake_emit_done(&p.engine, PN_STOP_END_TURN, 0, 1);
  assert_true(play_pull(r, &b));
  assert_non_null(strstr(pn_buf_cstr(&b), "\"input_tokens\":13,"));
  assert_non_null(strstr(pn_buf_cstr(&b), "\"cache_read_input_tokens\":10,"));
  pn_reply_free(r, false);
  pn_buf_fini(&b);
  play_fini(&p);
}

// The three figures are the number that count_tokens tells.
static void counting_agrees(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t n = 0;
    int n_encoded;
    ask(cases[i].kind, cases[i].body, 9, &n, &n_encoded);
    play p;
    play_init(&p);
    p.tmpl.kind = cases[i].kind;
    pn_reply *r = play_call(&p, "POST", "/v1/messages/count_tokens", cases[i].body);
    char *text = play_body(r), want[60];
    snprintf(want, sizeof want, "{\"input_tokens\":%zu}", n);
    assert_string_equal(text, want);
    assert_int_equal(p.n_encoded, 1);
    free(text);
    pn_reply_free(r, false);
    play_fini(&p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(marks_and_reads_add_up),
      cmocka_unit_test(the_end_knows_better),
      cmocka_unit_test(counting_agrees),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
