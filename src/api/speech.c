#include "api/speech.h"

#include "api/speech_probe.h"
#include "base/log.h"

static bool mentions(const pn_api_options *o, const char *what) {
  return pn_str_find(o->template_text, pn_str_of(what), 0) != SIZE_MAX;
}

// Templates of models that think take earlier thoughts out of a conversation, or put an empty one in.
static const pn_thinking_marks *find_thinking(const pn_api_options *o) {
  for (const pn_thinking_marks *m = pn_thinking; m->open; m++)
    if (mentions(o, m->close)) return m;
  return NULL;
}

// --- effort ------------------------------------------------------------------------------------------------

static const char *const efforts[] = {"minimal", "low", "medium", "high", "xhigh", "max"};
enum { N_EFFORTS = sizeof efforts / sizeof *efforts };

static unsigned find_efforts(const pn_api_options *o) {
  unsigned taken = 0;
  bool any = !mentions(o, "reasoning_effort");
  for (int i = 0; i < N_EFFORTS; i++)
    if (any || probe_effort(o, efforts[i])) taken |= 1u << i;
  return taken;
}

pn_str speech_effort(const speech *s, pn_str wanted) {
  int at = 0;
  while (at < N_EFFORTS && !pn_str_is(wanted, efforts[at])) at++;
  if (at == N_EFFORTS) return wanted;
  for (int i = at; i < N_EFFORTS; i++)
    if (s->efforts >> i & 1) return pn_str_of(efforts[i]);
  for (int i = at; i-- > 0;)
    if (s->efforts >> i & 1) return pn_str_of(efforts[i]);
  return (pn_str){0};
}

// --- all of it ---------------------------------------------------------------------------------------------

bool speech_init(speech *s, const pn_api_options *o, pn_error *e) {
  const pn_dialect *named = o->dialect ? pn_dialect_find(o->dialect) : NULL;
  *s = (speech){0};
  if (o->dialect && !named)
    return pn_fail(e, PN_ERR_USAGE, "--dialect %s: there is no such dialect; see docs/TOOLS.md", o->dialect);
  const pn_dialect *native = probe_dialect(o, &s->form);
  if (named && s->form != PN_API_TOOLS_UNKNOWN) native = named, s->form = PN_API_TOOLS_READ;
  const pn_thinking_marks *marks = find_thinking(o);
  s->knows_tools = native != NULL;
  s->switches_thinking = mentions(o, "enable_thinking");
  s->fold = probe_fold(o);
  s->efforts = find_efforts(o);
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

void speech_tell(const speech *s) {
  if (s->form == PN_API_TOOLS_FOREIGN)
    pn_log(PN_LOG_WARN, NULL,
           "the chat template writes calls of tools in a form that can't be read; tools are told as text",
           PN_FIELDS(PN_S("dialect", s->text.dialect->name)));
  if (s->fold != TURN_FOLD_NONE)
    pn_log(PN_LOG_INFO, NULL, "the chat template leaves system messages out; they become user text",
           PN_FIELDS(PN_S("which", s->fold == TURN_FOLD_ALL ? "all" : "all but the first")));
}

pn_api_card speech_card(const speech *s) {
  const pn_tongue *t = s->knows_tools ? &s->native : &s->text;
  return (pn_api_card){.dialect = t->dialect->name,
                       .dialect_about = t->dialect->about,
                       .tool_form = s->form,
                       .think_open = t->thinking ? t->thinking->open : NULL,
                       .think_close = t->thinking ? t->thinking->close : NULL,
                       .template_thinking = s->switches_thinking};
}

const char *pn_api_tool_form_name(pn_api_tool_form form) {
  static const char *const names[] = {
      [PN_API_TOOLS_READ] = "read", [PN_API_TOOLS_UNKNOWN] = "none", [PN_API_TOOLS_FOREIGN] = "foreign"};
  return names[form];
}

bool pn_api_card_of(const pn_api_options *o, pn_api_card *out, pn_error *e) {
  speech s;
  if (!speech_init(&s, o, e)) return false;
  *out = speech_card(&s);
  speech_fini(&s);
  return true;
}
