#include "api/speech.h"

// A tool, a call and its result under names that no template writes by itself. Nine characters in the id:
// some templates refuse others.
static const char conversation[] = "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"probe_tool\","
                                   "\"description\":\"d\",\"parameters\":"
                                   "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"string\","
                                   "\"description\":\"d\"}},\"required\":[\"x\"]}}}],"
                                   "\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":"
                                   "\"assistant\",\"content\":\"\",\"tool_calls\":["
                                   "{\"id\":\"abcdefghi\",\"type\":\"function\",\"function\":{\"name\":"
                                   "\"probe_call\",\"arguments\":{\"x\":\"probe_x\"}}}]},"
                                   "{\"role\":\"tool\",\"tool_call_id\":\"abcdefghi\",\"name\":\"probe_"
                                   "call\",\"content\":\"probe_result\"}],"
                                   "\"add_generation_prompt\":true}";

// The conversation as the template writes it; false: it refuses, or leaves something out.
static bool render_probe(const pn_api_options *o, pn_buf *text) {
  static const char *const wanted[] = {"probe_tool", "probe_call", "probe_x", "probe_result"};
  pn_json *vars = pn_json_parse(pn_str_of(conversation), NULL);
  pn_text_spans user = {0};
  bool ok = vars && pn_template_render(o->chat_template, vars, &o->template_consts, &(pn_template_limits){0},
                                       text, &user, NULL);
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    ok = ok && pn_str_find(pn_buf_view(text), pn_str_of(wanted[i]), 0) != SIZE_MAX;
  pn_text_spans_fini(&user);
  pn_json_free(vars);
  return ok;
}

static bool mentions(const pn_api_options *o, const char *what) {
  return pn_str_find(o->template_text, pn_str_of(what), 0) != SIZE_MAX;
}

// Templates of models that think take earlier thoughts out of a conversation, or put an empty one in.
static const pn_thinking_marks *find_thinking(const pn_api_options *o) {
  for (const pn_thinking_marks *m = pn_thinking; m->open; m++)
    if (mentions(o, m->close)) return m;
  return NULL;
}

bool speech_init(speech *s, const pn_api_options *o, pn_error *e) {
  const pn_dialect *named = o->dialect ? pn_dialect_find(o->dialect) : NULL, *native = NULL;
  pn_buf probe = {0};
  *s = (speech){0};
  if (o->dialect && !named)
    return pn_fail(e, PN_ERR_USAGE, "--dialect %s: there is no such dialect; see docs/TOOLS.md", o->dialect);
  if (o->chat_template && render_probe(o, &probe))
    native = named ? named : pn_dialect_detect(pn_buf_view(&probe), PN_STR("probe_call"));
  pn_buf_fini(&probe);
  const pn_thinking_marks *marks = find_thinking(o);
  s->knows_tools = native != NULL;
  s->switches_thinking = mentions(o, "enable_thinking");
  const pn_dialect *text = named ? named : &pn_dialects[0];
  if (!o->tokenizer || (pn_tongue_init(&s->native, native ? native : text, marks, o->tokenizer) &&
                        pn_tongue_init(&s->text, text, marks, o->tokenizer)))
    return true;
  speech_fini(s);
  return pn_fail(e, PN_ERR_NOMEM, "out of memory for the dialect");
}

void speech_fini(speech *s) {
  pn_tongue_fini(&s->native);
  pn_tongue_fini(&s->text);
}

bool pn_api_card_of(const pn_api_options *o, pn_api_card *out, pn_error *e) {
  speech s;
  if (!speech_init(&s, o, e)) return false;
  const pn_tongue *t = s.knows_tools ? &s.native : &s.text;
  *out = (pn_api_card){.dialect = t->dialect->name,
                       .dialect_about = t->dialect->about,
                       .template_tools = s.knows_tools,
                       .think_open = t->thinking ? t->thinking->open : NULL,
                       .think_close = t->thinking ? t->thinking->close : NULL,
                       .template_thinking = s.switches_thinking};
  speech_fini(&s);
  return true;
}
