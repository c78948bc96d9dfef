#include "api/speech_probe.h"

#define TOOL_NAME "probe_call"

// The conversation as the template writes it; false: it refuses.
static bool render(const pn_api_options *o, const char *variables, pn_buf *text) {
  pn_json *vars = pn_json_parse(pn_str_of(variables), NULL);
  pn_text_spans user = {0};
  bool ok = o->chat_template && vars &&
            pn_template_render(o->chat_template, vars, &o->template_consts, &(pn_template_limits){0}, text,
                               &user, NULL);
  pn_text_spans_fini(&user);
  pn_json_free(vars);
  return ok && !text->oom;
}

static bool holds(const pn_buf *text, const char *word) {
  return pn_str_find(pn_buf_view(text), pn_str_of(word), 0) != SIZE_MAX;
}

// --- tools -------------------------------------------------------------------------------------------------

// A tool, a call of every kind of value, and its result, under names that no template writes by itself. Nine
// characters in the id: some templates refuse others.
static const char tools_used[] =
    "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"probe_tool\",\"description\":\"d\","
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"string\",\"description\":\"d\"}},"
    "\"required\":[\"x\"]}}}],\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\","
    "\"content\":\"\",\"tool_calls\":[{\"id\":\"abcdefghi\",\"type\":\"function\",\"function\":{\"name\":"
    "\"" TOOL_NAME "\",\"arguments\":{\"x\":\"probe_x\",\"n\":3,\"b\":true,\"l\":[\"probe_l\"]}}}]},"
    "{\"role\":\"tool\",\"tool_call_id\":\"abcdefghi\",\"name\":\"" TOOL_NAME
    "\",\"content\":\"probe_result\"}],"
    "\"add_generation_prompt\":true}";

typedef struct heard {
  pn_buf arguments;
  int n_calls;
  bool whole;
} heard;

static void on_text(void *ctx, pn_str text) { (void)ctx, (void)text; }
static void on_call(void *ctx, pn_str name) { (void)name, ((heard *)ctx)->n_calls++; }
static void on_arguments(void *ctx, pn_str json) {
  if (((heard *)ctx)->n_calls == 1) pn_buf_str(&((heard *)ctx)->arguments, json);
}
static void on_end(void *ctx, bool whole) {
  if (((heard *)ctx)->n_calls == 1) ((heard *)ctx)->whole = whole;
}
static bool is_tool(void *ctx, pn_str name) { return (void)ctx, pn_str_is(name, TOOL_NAME); }
static unsigned kinds(void *ctx, pn_str tool, pn_str key) {
  (void)ctx, (void)tool;
  return pn_str_is(key, "x") ? PN_KIND_STRING : PN_KIND_ANY;
}

static bool are_the_arguments(pn_str json) {
  pn_json *v = pn_json_parse(json, NULL);
  bool ok = pn_json_len(v) == 4 && pn_str_is(pn_json_str(pn_json_get(v, "x")), "probe_x") &&
            pn_json_int(pn_json_get(v, "n")) == 3 && pn_json_true(pn_json_get(v, "b")) &&
            pn_str_is(pn_json_str(pn_json_at(pn_json_get(v, "l"), 0)), "probe_l");
  pn_json_free(v);
  return ok;
}

// Where the call begins in what the template wrote; SIZE_MAX: nowhere.
static size_t call_at(const pn_dialect *d, pn_str rendered) {
  size_t at = SIZE_MAX;
  for (int bare = 0; bare <= d->bare && at == SIZE_MAX; bare++) {
    pn_buf header = {0};
    if (!bare) pn_buf_z(&header, d->open);
    pn_buf_z(&header, d->begin);
    pn_buf_z(&header, d->head);
    pn_buf_z(&header, TOOL_NAME);
    if (!header.oom) at = pn_str_find(rendered, pn_buf_view(&header), 0);
    pn_buf_fini(&header);
  }
  return at;
}

// Whether the reader takes the call out of what the template wrote as it went in.
static bool reads_back(const pn_api_options *o, const pn_dialect *d, pn_str rendered) {
  pn_tongue t;
  pn_buf raw = {0};
  heard h = {0};
  size_t at = call_at(d, rendered);
  if (at == SIZE_MAX || !pn_tongue_init(&t, d, NULL, o->tokenizer)) return false;
  pn_raw_text(&raw, (pn_str){rendered.p + at, rendered.n - at}, o->tokenizer);
  const pn_dialect_reading how = {.tongue = &t, .is_tool = is_tool, .kinds = kinds};
  const pn_dialect_sink sink = {&h, on_text, on_text, on_call, on_arguments, on_end};
  pn_dialect_reader *r = pn_dialect_reader_new(&how, &sink);
  bool ok = r && !raw.oom && pn_dialect_read(r, pn_buf_view(&raw)) && pn_dialect_read_end(r) && h.whole &&
            are_the_arguments(pn_buf_view(&h.arguments));
  pn_dialect_reader_free(r);
  pn_buf_fini(&h.arguments);
  pn_buf_fini(&raw);
  pn_tongue_fini(&t);
  return ok;
}

const pn_dialect *probe_dialect(const pn_api_options *o, pn_api_tool_form *form) {
  static const char *const wanted[] = {"probe_tool", TOOL_NAME, "probe_x", "probe_l", "probe_result"};
  pn_buf text = {0};
  bool known = render(o, tools_used, &text);
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) known = known && holds(&text, wanted[i]);
  const pn_dialect *d = known ? pn_dialect_detect(pn_buf_view(&text), PN_STR(TOOL_NAME)) : NULL;
  if (d && !reads_back(o, d, pn_buf_view(&text))) d = NULL;
  *form = d ? PN_API_TOOLS_READ : known ? PN_API_TOOLS_FOREIGN : PN_API_TOOLS_UNKNOWN;
  pn_buf_fini(&text);
  return d;
}

// --- system messages ---------------------------------------------------------------------------------------

#define SAYS(role, text) "{\"role\":\"" role "\",\"content\":\"" text "\"}"

turn_fold probe_fold(const pn_api_options *o) {
  static const char *const folded[TURN_N_FOLDS] = {
      [TURN_FOLD_NONE] = "{\"messages\":[" SAYS("system", "probe_first") "," SAYS("user", "q") "," SAYS(
          "assistant", "a") "," SAYS("system", "probe_later") "," SAYS("user", "q") "]}",
      [TURN_FOLD_LATER] = "{\"messages\":[" SAYS("system", "probe_first") "," SAYS("user", "q") "," SAYS(
          "assistant", "a") "," SAYS("user", "probe_later") "]}",
      [TURN_FOLD_ALL] = "{\"messages\":[" SAYS("user", "probe_first") "," SAYS("assistant", "a") "," SAYS(
          "user", "probe_later") "]}",
  };
  for (turn_fold fold = TURN_FOLD_NONE; fold < TURN_N_FOLDS; fold++) {
    pn_buf text = {0};
    bool whole = render(o, folded[fold], &text) && holds(&text, "probe_first") && holds(&text, "probe_later");
    pn_buf_fini(&text);
    if (whole) return fold;
  }
  return TURN_FOLD_NONE;
}

// --- effort ------------------------------------------------------------------------------------------------

bool probe_effort(const pn_api_options *o, const char *effort) {
  pn_buf vars = {0}, text = {0};
  pn_buf_printf(
      &vars,
      "{\"messages\":[" SAYS("user", "q") "],\"add_generation_prompt\":true,\"enable_thinking\":true,"
                                          "\"reasoning_effort\":\"%s\"}",
      effort);
  bool ok = render(o, pn_buf_cstr(&vars), &text);
  pn_buf_fini(&vars);
  pn_buf_fini(&text);
  return ok;
}
